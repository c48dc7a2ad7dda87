//! # seat_rows
//!
//! **Claim.** Never overbooks: a seat is a row, a row is locked by one transaction, and a locked
//! row is passed over.
//!
//! **Mechanism.** `select ... where booking_id is null ... for update skip locked limit k` takes
//! free seats without waiting for anybody who takes others. Too few of them is not sold out: who
//! holds the others may yet roll back. `sold_out` is said by the counter in a fresh snapshot
//! (`booking.rs`); while the counter says that seats are left, the try is repeated.
//!
//! **Cost.** Four round trips. Choosing seats waits for nobody; but each change of a slot has a
//! version, and numbering the changes is a row lock again, taken last and held for one round trip
//! and the commit's fsync. Without an order of changes per slot seat rows are much faster (8 times
//! was measured), and nobody can check them.
//!
//! **Fails when.** A slot was made or sold under another strategy, which knows no seat rows: then
//! counter and rows disagree. Near the end clients lose tries to seats that are locked and come
//! back.
//!
//! **Model.** `models/src/seat_rows.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::Reserve;
use crate::{
    booking::{Taken, Want},
    pausing::about_to,
};

pub(crate) struct SeatRows;

#[async_trait]
impl Reserve for SeatRows {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error> {
        about_to("pick").await;
        let mut transaction = connection.begin().await?;

        let seats = sqlx::query_scalar!(
            "
            select seat_no from slot_seats
            where doctor_id = $1 and slot_month = $2 and slot_id = $3 and booking_id is null
            limit $4
            for update skip locked
            ",
            want.doctor_id(),
            want.slot_month(),
            want.slot.as_uuid(),
            i64::from(want.seats),
        )
        .fetch_all(&mut *transaction)
        .await?;
        if seats.len() < want.seats.unsigned_abs() as usize {
            about_to("roll_back").await;
            transaction.rollback().await?;
            return Ok(None);
        }

        about_to("write").await;
        let taken = sqlx::query_as!(
            Taken,
            r#"
            with seat as (
                update slot_seats set booking_id = $5
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and seat_no = any($8)
            ), slot as (
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
            &seats,
        )
        .fetch_one(&mut *transaction)
        .await?;
        about_to("commit").await;
        transaction.commit().await?;
        Ok(Some(taken))
    }
}
