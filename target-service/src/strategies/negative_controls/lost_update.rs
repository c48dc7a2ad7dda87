//! # lost_update (negative control)
//!
//! **Claim.** None. Sells a seat as often as it is read before somebody writes.
//!
//! **Mechanism.** Reads the counter, subtracts in the program, and writes the result back over
//! whatever others have written since. The counter never falls below zero, so its check constraint
//! sees nothing wrong.
//!
//! **Cost.** Two round trips and no waiting. The real bug behind it: object mappers that save a
//! whole row, as in event-espresso#874, cubecart/v6#4224 and django-shop#888.
//!
//! **Fails when.** Two clients read the same number.
//!
//! **Model.** `models/src/lost_update.rs`

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::{
    booking::{Taken, Want},
    pausing::about_to,
    strategies::Reserve,
};

pub(crate) struct LostUpdate;

#[async_trait]
impl Reserve for LostUpdate {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error> {
        about_to("read").await;
        let read = sqlx::query!(
            "
            select available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
            want.doctor_id(),
            want.slot_month(),
            want.slot.as_uuid(),
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(seen) = read.filter(|slot| slot.available_seats >= want.seats) else {
            return Ok(None);
        };

        about_to("write").await;
        sqlx::query_as!(
            Taken,
            r#"
            with slot as (
                update appointment_slots
                set available_seats = $8::integer - $4, version = version + 1
                where doctor_id = $1 and slot_month = $2 and slot_id = $3
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
            seen.available_seats,
        )
        .fetch_optional(connection)
        .await
    }
}
