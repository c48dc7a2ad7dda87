//! # pessimistic
//!
//! **Claim.** Never overbooks: whoever decides about a slot holds the slot's row, and everyone else
//! waits.
//!
//! **Mechanism.** `select ... for no key update` locks the row; the seats read under the lock stay
//! true until commit; then one statement writes. `for no key update` and not `for update`, because
//! nothing here changes the row's key and the foreign key check of other inserts would wait for
//! nothing.
//!
//! **Cost.** Four round trips, three of them while the row is locked, and the commit's fsync as
//! well: on a hot slot the rate is bounded by one over that time. Those who find it sold out queue
//! for the lock like everyone else.
//!
//! **Fails when.** None known. A client that stalls between lock and commit stalls the slot.
//!
//! **Model.** `models/src/pessimistic.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::Reserve;
use crate::{
    booking::{Taken, Want},
    pausing::about_to,
};

pub(crate) struct Pessimistic;

#[async_trait]
impl Reserve for Pessimistic {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error> {
        about_to("lock").await;
        let mut transaction = connection.begin().await?;

        let locked = sqlx::query!(
            "
            select available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            for no key update
            ",
            want.doctor_id(),
            want.slot_month(),
            want.slot.as_uuid(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if locked.is_none_or(|slot| slot.available_seats < want.seats) {
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
