//! Lists over all shards: each is asked at once, and the answers are merged. A list is no snapshot:
//! one shard may be asked later than another, and a doctor who moves meanwhile may be in both answers
//! or in none.

use std::cmp::Reverse;

use futures::future::try_join_all;
use slotproof_vocabulary::reference_api::{DoctorBody, SlotList};

use super::Shards;
use crate::read_model::{self, DOCTORS_MAX, LISTED_MAX, SlotFilter};

/// The doctors that a shard has: a copy that is being made is none of its own.
const OF_SHARD: &str =
    "shard_bucket(doctor_id) in (select bucket from shard_buckets where state <> 'moved')";

impl Shards {
    /// Which doctors of a database are its own, in SQL.
    pub(crate) fn condition_on_doctors(&self) -> &'static str {
        if self.directory.is_none() { "true" } else { OF_SHARD }
    }

    /// Slots by start.
    pub(crate) async fn list_slots(&self, filter: SlotFilter) -> Result<SlotList, sqlx::Error> {
        if self.directory.is_none() {
            return self.shards[0].operations.list_slots(filter).await;
        }
        let lists = self.pools().map(|pool| read_model::list_slots_of_shard(pool, filter));
        let mut slots = try_join_all(lists).await?.concat();
        slots.sort_by_key(|slot| (slot.starts_at, slot.id.as_uuid(), Reverse(slot.version)));
        slots.dedup_by_key(|slot| slot.id);
        slots.truncate(usize::try_from(LISTED_MAX).unwrap_or(usize::MAX));
        Ok(SlotList { items: slots })
    }

    /// Doctors by id.
    pub(crate) async fn list_doctors(&self) -> Result<Vec<DoctorBody>, sqlx::Error> {
        if self.directory.is_none() {
            return read_model::list_doctors(&self.shards[0].pool).await;
        }
        let lists = self.pools().map(read_model::list_doctors_of_shard);
        let mut doctors = try_join_all(lists).await?.concat();
        doctors.sort_by_key(|doctor| doctor.id);
        doctors.dedup_by_key(|doctor| doctor.id);
        doctors.truncate(usize::try_from(DOCTORS_MAX).unwrap_or(usize::MAX));
        Ok(doctors)
    }
}
