//! # serializable
//!
//! **Claim.** Never overbooks: the transaction takes effect as if it had run alone, or not at all.
//!
//! **Mechanism.** One SERIALIZABLE transaction reads the seats, decides and writes. Whoever finds
//! that another transaction has changed the row since its snapshot gets SQLSTATE 40001, and
//! `booking.rs` repeats the whole. Confirm, cancel and expire run at READ COMMITTED beside it; that
//! is safe because each of them updates the slot's row too, so first-updater-wins sees them, and
//! because none of them takes a free seat. For this page REPEATABLE READ would do; SERIALIZABLE is
//! what people mean and costs little more.
//!
//! **Cost.** Four round trips, and on a hot slot most of them for nothing: of those who read the
//! same version one commits.
//!
//! **Fails when.** Somebody reserves outside it at a lower level and without changing the row.
//! Under contention a client can lose every try and be told `retry_later`.
//!
//! **Model.** `models/src/serializable.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::Reserve;
use crate::{
    booking::{Taken, Want},
    pausing::about_to,
};

pub(crate) struct Serializable;

#[async_trait]
impl Reserve for Serializable {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error> {
        about_to("read").await;
        let mut transaction = connection.begin_with("begin isolation level serializable").await?;

        let read = sqlx::query!(
            "
            select available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
            want.doctor_id(),
            want.slot_month(),
            want.slot.as_uuid(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if read.is_none_or(|slot| slot.available_seats < want.seats) {
            about_to("roll_back").await;
            transaction.rollback().await?;
            return Ok(None);
        }

        about_to("write").await;
        let taken = sqlx::query_as!(
            Taken,
            r#"
            with slot as (
                update appointment_slots
                set available_seats = available_seats - $4, version = version + 1
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
        )
        .fetch_one(&mut *transaction)
        .await?;
        about_to("commit").await;
        transaction.commit().await?;
        Ok(Some(taken))
    }
}
