//! # grouped
//!
//! **Claim.** Never overbooks: one transaction at a time decides about a slot, and it decides many
//! requests.
//!
//! **Mechanism.** One lane per slot and process. While a transaction commits, requests gather in
//! the lane; the next transaction takes all of them, 256 at most, locks the slot's row, grants
//! seats in order of arrival, and writes everything in one statement. There is no timer: a single
//! request is decided at once, as `conditional` does. The row's lock keeps out the lanes of other
//! processes, as in `pessimistic`.
//!
//! **Cost.** Four round trips and one fsync, shared by all requests of the batch: the busier the
//! slot, the cheaper each booking.
//!
//! **Fails when.** None known. A batch that the database refuses is halved until the request at
//! fault is alone, so that it fails no other request. If the connection is lost at commit, the
//! outcome of the batch is unknown, and each request looks for its own receipt.
//!
//! **Model.** `models/src/grouped.rs`

use async_trait::async_trait;
use slotproof_vocabulary::SlotId;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::lanes::{Granted, LockedSlot, LockedSlots, Page};
use crate::reserve::ReserveCommand;

pub(crate) struct Grouped;

#[async_trait]
impl Page for Grouped {
    fn lane_of(&self, slot: SlotId) -> u128 {
        slot.as_uuid().as_u128()
    }

    async fn lock(
        &self,
        connection: &mut PgConnection,
        commands: &[&ReserveCommand],
    ) -> Result<LockedSlots, sqlx::Error> {
        let Some(first) = commands.first() else { return Ok(LockedSlots::new()) };
        let locked = sqlx::query_as!(
            LockedSlot,
            "
            select version, available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            for no key update
            ",
            first.doctor_id(),
            first.slot_month(),
            first.slot.as_uuid(),
        )
        .fetch_optional(connection)
        .await?;
        Ok(locked.map(|locked| (first.slot, locked)).into_iter().collect())
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        granted: &[Granted<'_>],
        slots: &LockedSlots,
    ) -> Result<OffsetDateTime, sqlx::Error> {
        let first = granted.first().expect("something was granted").command;
        let left = slots[&first.slot];
        let bookings: Vec<_> = granted.iter().map(|row| row.command.booking.as_uuid()).collect();
        let keys: Vec<_> = granted.iter().map(|row| row.command.key.as_str().to_owned()).collect();
        let seats: Vec<_> = granted.iter().map(|row| row.command.seats).collect();
        let versions: Vec<_> = granted.iter().map(|row| row.slot.version).collect();
        let lefts: Vec<_> = granted.iter().map(|row| row.slot.available_seats).collect();
        sqlx::query_scalar!(
            r#"
            with slot as (
                update appointment_slots set available_seats = $4, version = $5
                where doctor_id = $1 and slot_month = $2 and slot_id = $3
                returning clock_timestamp() + $11::bigint * interval '1 millisecond' as expires_at
            ), taken as (
                select booking_id, idempotency_key, seats, slot_version, available_seats, expires_at
                from slot, unnest($6::uuid[], $7::text[], $8::integer[], $9::bigint[], $10::integer[])
                    as granted (booking_id, idempotency_key, seats, slot_version, available_seats)
            ), booking as (
                insert into bookings
                    (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key, expires_at)
                select $1, $2, booking_id, $3, 'pending', seats, idempotency_key, expires_at from taken
            ), receipt as (
                insert into idempotency_keys
                    (doctor_id, slot_month, idempotency_key, slot_id, seats,
                     booking_id, expires_at, hold_ms, slot_version, available_seats)
                select $1, $2, idempotency_key, $3, seats, booking_id, expires_at, $11, slot_version, available_seats from taken
            ), audit as (
                insert into booking_audit
                    (doctor_id, slot_month, slot_id, slot_version, booking_id, to_status, seats, available_seats)
                select $1, $2, $3, slot_version, booking_id, 'pending', seats, available_seats from taken
            ), event as (
                insert into outbox (doctor_id, slot_month, slot_id, slot_version)
                select $1, $2, $3, slot_version from taken
            )
            select expires_at as "expires_at!" from slot
            "#,
            first.doctor_id(),
            first.slot_month(),
            first.slot.as_uuid(),
            left.available_seats,
            left.version,
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
