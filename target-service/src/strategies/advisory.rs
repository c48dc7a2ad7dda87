//! # advisory
//!
//! **Claim.** Never overbooks: whoever decides about a slot holds the lock of that name, and
//! everyone else waits.
//!
//! **Mechanism.** `pg_advisory_xact_lock` on a 64-bit hash of the slot's id, freed by the
//! transaction's end, whichever it is. The seats are read in a statement of their own after the
//! lock: read in the same statement, they would come from a snapshot that is older than the wait.
//! Two slots whose hashes collide wait for each other, which costs time and nothing else.
//!
//! **Cost.** Five round trips, four of them under the lock, and the commit's fsync: the most
//! expensive of the locks in the database. What it buys is a lock that needs no row, for rules that
//! span rows.
//!
//! **Fails when.** Anybody reserves without asking for the lock: it is an agreement, and the row
//! knows nothing of it.
//!
//! **Model.** `models/src/advisory.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::Reserve;
use crate::{
    booking::{Taken, Want},
    pausing::about_to,
};

pub(crate) struct Advisory;

#[async_trait]
impl Reserve for Advisory {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error> {
        about_to("lock").await;
        let mut transaction = connection.begin().await?;

        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))",
            want.slot.as_uuid()
        )
        .execute(&mut *transaction)
        .await?;
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
