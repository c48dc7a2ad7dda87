//! # conditional
//!
//! **Claim.** Never overbooks: the condition and the write are one statement, evaluated under the
//! row's lock.
//!
//! **Mechanism.** `update ... where available_seats >= k`. At READ COMMITTED a statement that
//! waited for the row's lock evaluates its condition again on the row that the other transaction
//! left (PostgreSQL 15 manual, 13.2.1).
//!
//! **Cost.** One round trip. The row is locked from the update to the end of the commit's fsync,
//! and for no round trip of the client. Those who find it sold out match no row, but queue for the
//! lock while a writer holds it.
//!
//! **Fails when.** None known. A statement that matched no row must not be asked how many seats
//! there are: its snapshot may be older than the row that it waited for. `sold_out` is decided from
//! a fresh snapshot, in `booking.rs`.
//!
//! **Model.** `models/src/conditional.rs`

use async_trait::async_trait;
use sqlx::PgConnection;

use super::Reserve;
use crate::{
    booking::{Taken, Want},
    pausing::about_to,
};

pub(crate) struct Conditional;

#[async_trait]
impl Reserve for Conditional {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error> {
        about_to("write").await;
        sqlx::query_as!(
            Taken,
            r#"
            with slot as (
                update appointment_slots
                set available_seats = available_seats - $4, version = version + 1
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= $4
                returning version, available_seats, clock_timestamp() + $7::bigint * interval '1 millisecond' as expires_at
            ), booking as (
                insert into bookings
                    (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key, expires_at)
                select $1, $2, $5, $3, 'pending', $4, $6, expires_at from slot
            ), receipt as (
                insert into idempotency_keys
                    (doctor_id, slot_month, idempotency_key, slot_id, seats,
                     booking_id, expires_at, hold_ms, slot_version, available_seats)
                select $1, $2, $6, $3, $4, $5, expires_at, $7, version, available_seats from slot
            ), audit as (
                insert into booking_audit
                    (doctor_id, slot_month, slot_id, slot_version, booking_id, to_status, seats, available_seats)
                select $1, $2, $3, version, $5, 'pending', $4, available_seats from slot
            ), event as (
                insert into outbox (doctor_id, slot_month, slot_id, slot_version)
                select $1, $2, $3, version from slot
            )
            select version as "slot_version!", available_seats as "available_seats!", expires_at as "expires_at!" from slot
            "#,
            want.doctor_id(),
            want.slot_month(),
            want.slot.as_uuid(),
            want.seats,
            want.booking.as_uuid(),
            want.key.as_str(),
            want.hold_ms,
        )
        .fetch_optional(connection)
        .await
    }
}
