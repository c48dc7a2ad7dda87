//! All databases of the reference service: one, or the shards among which doctors are divided.

use std::collections::HashMap;

use async_recursion::async_recursion as boxed_future;
use slotproof_scenarios::Clock;
use slotproof_vocabulary::{AuditRecord, EndState};
use uuid::Uuid;

use super::{Announcements, Holds, ReferenceDatabase, Slots, Waiting};
use crate::EvidenceError;

/// Connections to all databases of the reference service.
#[derive(Debug)]
pub struct ReferenceShards(Vec<ReferenceDatabase>);

impl ReferenceShards {
    /// Those among which doctors are to be divided later, and are not yet, are left out.
    ///
    /// # Errors
    /// One of them does not answer.
    #[boxed_future]
    pub async fn connect(urls: &[&str]) -> Result<Self, EvidenceError> {
        let mut databases = Vec::new();
        for url in urls {
            let mut database = ReferenceDatabase::connect(url).await?;
            if urls.len() == 1 || database.has_tables().await? {
                databases.push(database);
            }
        }
        Ok(Self(databases))
    }

    /// Closes the connections in order.
    ///
    /// # Errors
    /// A database does not answer any more.
    #[boxed_future]
    pub async fn close(self) -> Result<(), EvidenceError> {
        for database in self.0 {
            database.close().await?;
        }
        Ok(())
    }

    /// Empties every table of every database; shards are founded anew by the next service.
    ///
    /// # Errors
    /// A database refuses.
    #[boxed_future]
    pub async fn clear(&mut self) -> Result<(), EvidenceError> {
        let are_shards = self.0.len() > 1;
        for database in &mut self.0 {
            database.clear().await?;
            if are_shards {
                database.forget_shards().await?;
            }
        }
        Ok(())
    }

    /// The holds of the slots.
    pub(crate) async fn holds(&mut self, slots: &Slots) -> Result<Holds, EvidenceError> {
        let mut all = Holds { left: 0, to_run_out: 0 };
        for database in &mut self.0 {
            let Holds { left, to_run_out } = database.holds(slots).await?;
            all.left += left;
            all.to_run_out += to_run_out;
        }
        Ok(all)
    }

    /// How far the announcements have come.
    pub(crate) async fn waiting(&mut self, slots: &Slots) -> Result<Waiting, EvidenceError> {
        let mut all = Waiting { in_outbox: 0, missing: 0 };
        for database in &mut self.0 {
            let Waiting { in_outbox, missing } = database.waiting(slots).await?;
            all.in_outbox += in_outbox;
            all.missing += missing;
        }
        Ok(all)
    }

    /// Rows and log. Rows are those of each slot's owner, by the highest epoch. The log is that of
    /// every shard that claims the slot: where two have sold it, one version names two changes.
    ///
    /// Each shard is read in a snapshot of its own. No slot is in two of them, and the service has
    /// settled.
    pub(crate) async fn read(
        &mut self,
        slots: &Slots,
        announcements: Announcements,
        clock: &Clock,
    ) -> Result<(Vec<AuditRecord>, EndState), EvidenceError> {
        if let [database] = self.0.as_mut_slice() {
            return database.read(slots, announcements, clock).await;
        }
        let mut claims = Vec::new();
        for database in &mut self.0 {
            claims.push(database.claims(slots).await?);
        }
        let mut owners: HashMap<Uuid, (i64, usize)> = HashMap::new();
        for (shard, claim) in claims.iter().enumerate() {
            for (slot, epoch) in &claim.owned {
                let owner = owners.entry(*slot).or_insert((*epoch, shard));
                *owner = (*owner).max((*epoch, shard));
            }
        }
        let unowned =
            claims.iter().flat_map(|claim| &claim.there).find(|it| !owners.contains_key(it));
        if let Some(slot) = unowned {
            return Err(EvidenceError::Unowned { slot: slot.to_string() });
        }
        let owners: HashMap<String, usize> =
            owners.into_iter().map(|(slot, (_, shard))| (slot.to_string(), shard)).collect();
        let mut log = Vec::new();
        let mut all = EndState::default();
        for (shard, (database, claim)) in self.0.iter_mut().zip(&claims).enumerate() {
            let claimed = Slots(claim.owned.keys().copied().collect());
            let (records, end) = database.read(&claimed, announcements, clock).await?;
            log.extend(records);
            let is_owner = |slot: &String| owners.get(slot) == Some(&shard);
            all.read_ns = all.read_ns.or(end.read_ns);
            all.slots.extend(end.slots.into_iter().filter(|row| is_owner(&row.slot)));
            all.bookings.extend(end.bookings.into_iter().filter(|row| is_owner(&row.slot)));
        }
        all.slots.sort_by(|one, other| one.slot.cmp(&other.slot));
        // A record that was copied when its bucket moved is one.
        log.sort_by(|one, other| {
            let (one, other) = (
                (&one.slot, one.version, &one.booking),
                (&other.slot, other.version, &other.booking),
            );
            one.cmp(&other)
        });
        log.dedup();
        Ok((log, all))
    }
}
