//! # batched
//!
//! **Claim.** Never overbooks: one transaction at a time decides about a slot, and it decides many
//! requests for many slots.
//!
//! **Mechanism.** As `grouped`, but a lane serves many slots: a slot belongs to one lane, so that
//! its requests keep their order, and a lane uses one connection at a time. A batch takes one
//! request of each slot in turn, locks the rows of its slots in the order of their ids, grants the
//! seats of each slot in order of arrival, and writes everything in one statement. A row that
//! another process holds stops its lane and no other; with a change that waits for it, also the
//! lanes that want a slot of the same batch of changes. Confirms and cancels gather in lanes of
//! their own, and one statement makes all that wait (`lanes/changes.rs`).
//!
//! **Cost.** Four round trips and one fsync, shared by all requests of the batch: what is cheap for
//! `grouped` on one hot slot is cheap here for any load that is high enough.
//!
//! **Fails when.** None known. As `grouped`; a batch that the database refuses, because of a
//! deadlock or of one of its requests, is halved, so that no slot fails another one. Rows are
//! locked in the same order everywhere; a duplicate that is sent for two slots at once can still
//! make two batches wait for each other's keys, which PostgreSQL ends as a deadlock.
//!
//! **Model.** `models/src/batched.rs`

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use async_trait::async_trait;
use slotproof_vocabulary::SlotId;
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::lanes::{Granted, LockedSlot, LockedSlots, Page};
use crate::{
    connections::Connections,
    reserve::ReserveCommand,
    routing::{doctor_key, month_key, not_an_id},
};

/// Lanes of one process: one is written while another one commits. With more of them each batch is
/// smaller, and what a batch costs is shared by fewer requests. CPU time of the database for a
/// booking, against 4 lanes, on two cores, 256 clients and 1,000 slots: 0.66 with 1 lane, 0.81 with
/// 2, 0.90 with 3, 1.42 with 8. One lane alone leaves the database idle while it is flushed.
const LANES_MAX: u32 = 2;

pub(crate) struct Batched {
    lanes: u64,
}

impl Batched {
    /// A lane for each connection of the pool, up to a limit.
    pub(crate) fn new(pool: &Connections) -> Self {
        Self { lanes: pool.options().get_max_connections().min(LANES_MAX).into() }
    }
}

#[async_trait]
impl Page for Batched {
    fn lane_of(&self, slot: SlotId) -> u128 {
        let mut hasher = DefaultHasher::new();
        slot.hash(&mut hasher);
        (hasher.finish() % self.lanes).into()
    }

    async fn lock(
        &self,
        connection: &mut PgConnection,
        commands: &[&ReserveCommand],
    ) -> Result<LockedSlots, sqlx::Error> {
        // One row after the other, in the order of the set. For a join with `order by` the planner reads
        // the whole table: 256 us of CPU time for 40 slots of 1,000, and 195 us as it is.
        let wanted: BTreeSet<SlotId> = commands.iter().map(|command| command.slot).collect();
        let wanted = Keys::of(wanted);
        let rows = sqlx::query!(
            "
            select slot.slot_id, slot.version, slot.available_seats
            from unnest($1::integer[], $2::date[], $3::uuid[]) as wanted (doctor_id, slot_month, slot_id)
            cross join lateral (
                select slot_id, version, available_seats from appointment_slots
                where doctor_id = wanted.doctor_id and slot_month = wanted.slot_month and slot_id = wanted.slot_id
                for no key update
            ) slot
            ",
            &wanted.doctors,
            &wanted.months,
            &wanted.slots,
        )
        .fetch_all(connection)
        .await?;
        rows.into_iter()
            .map(|row| {
                let slot = SlotId::try_from(row.slot_id).map_err(not_an_id)?;
                let (version, available_seats) = (row.version, row.available_seats);
                Ok((slot, LockedSlot { version, available_seats }))
            })
            .collect()
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        granted: &[Granted<'_>],
        slots: &LockedSlots,
    ) -> Result<OffsetDateTime, sqlx::Error> {
        let first = granted.first().expect("something was granted").command;
        let changed: BTreeSet<SlotId> = granted.iter().map(|row| row.command.slot).collect();
        let left_versions: Vec<_> = changed.iter().map(|slot| slots[slot].version).collect();
        let left_seats: Vec<_> = changed.iter().map(|slot| slots[slot].available_seats).collect();
        let changed = Keys::of(changed);
        let of = Keys::of(granted.iter().map(|row| row.command.slot));
        let bookings: Vec<_> = granted.iter().map(|row| row.command.booking.as_uuid()).collect();
        let keys: Vec<_> = granted.iter().map(|row| row.command.key.as_str().to_owned()).collect();
        let seats: Vec<_> = granted.iter().map(|row| row.command.seats).collect();
        let versions: Vec<_> = granted.iter().map(|row| row.slot.version).collect();
        let lefts: Vec<_> = granted.iter().map(|row| row.slot.available_seats).collect();
        sqlx::query_scalar!(
            r#"
            with slot as (
                update appointment_slots slot set available_seats = changed.available_seats, version = changed.version
                from unnest($1::integer[], $2::date[], $3::uuid[], $4::integer[], $5::bigint[])
                    as changed (doctor_id, slot_month, slot_id, available_seats, version)
                where slot.doctor_id = changed.doctor_id and slot.slot_month = changed.slot_month
                    and slot.slot_id = changed.slot_id
            ), moment as (
                select clock_timestamp() + $14::bigint * interval '1 millisecond' as expires_at
            ), taken as (
                select doctor_id, slot_month, slot_id,
                    booking_id, idempotency_key, seats, slot_version, available_seats, expires_at
                from moment, unnest($6::integer[], $7::date[], $8::uuid[],
                        $9::uuid[], $10::text[], $11::integer[], $12::bigint[], $13::integer[])
                    as granted (doctor_id, slot_month, slot_id,
                        booking_id, idempotency_key, seats, slot_version, available_seats)
            ), booking as (
                insert into bookings
                    (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key, expires_at)
                select doctor_id, slot_month, booking_id, slot_id, 'pending', seats, idempotency_key, expires_at from taken
            ), receipt as (
                insert into idempotency_keys
                    (doctor_id, slot_month, idempotency_key, slot_id, seats,
                     booking_id, expires_at, hold_ms, slot_version, available_seats)
                select doctor_id, slot_month, idempotency_key, slot_id, seats,
                    booking_id, expires_at, $14, slot_version, available_seats from taken
            ), audit as (
                insert into booking_audit
                    (doctor_id, slot_month, slot_id, slot_version, booking_id, to_status, seats, available_seats)
                select doctor_id, slot_month, slot_id, slot_version, booking_id, 'pending', seats, available_seats from taken
            ), event as (
                insert into outbox (doctor_id, slot_month, slot_id, slot_version)
                select doctor_id, slot_month, slot_id, slot_version from taken
            )
            select expires_at as "expires_at!" from moment
            "#,
            &changed.doctors,
            &changed.months,
            &changed.slots,
            &left_seats,
            &left_versions,
            &of.doctors,
            &of.months,
            &of.slots,
            &bookings,
            &keys,
            &seats,
            &versions,
            &lefts,
            first.hold_ms,
        )
        .fetch_one(connection)
        .await
    }
}

/// The primary keys of slots, a column each.
#[derive(Default)]
struct Keys {
    doctors: Vec<i32>,
    months: Vec<Date>,
    slots: Vec<Uuid>,
}

impl Keys {
    fn of(slots: impl IntoIterator<Item = SlotId>) -> Self {
        let mut keys = Self::default();
        for slot in slots {
            keys.doctors.push(doctor_key(slot.doctor()));
            keys.months.push(month_key(slot.month()));
            keys.slots.push(slot.as_uuid());
        }
        keys
    }
}
