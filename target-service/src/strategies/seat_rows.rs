//! # seat_rows
//!
//! **Claim.** Never overbooks: a seat is a row, one transaction at a time can lock a row, and
//! others skip locked rows.
//!
//! **Mechanism.** `select ... where booking_id is null ... for update skip locked limit k` takes
//! free seats without waiting for transactions that take others. Finding too few is not sold out:
//! the transactions that hold the others may roll back. `sold_out` is decided by the counter in a
//! fresh snapshot (`reserve/attempts.rs`); while the counter shows enough seats, the try is
//! repeated.
//!
//! **Cost.** Four round trips. Choosing seats never waits; but each change of a slot has a version,
//! and numbering the changes takes the slot's row lock, last, for one round trip and the commit's
//! fsync. Without an order of changes per slot, seat rows are much faster (8 times was measured),
//! but then no checker can verify them.
//!
//! **Fails when.** A slot was created or sold under another strategy, which writes no seat rows:
//! then counter and rows disagree. When few seats are left, clients lose tries to seats that are
//! locked, and retry.
//!
//! **Model.** `models/src/seat_rows.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::statement::reservation;
use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
};

pub(crate) struct SeatRows;

#[async_trait]
impl Reserve for SeatRows {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("pick").await;
        let mut transaction = connection.begin().await?;

        let seats = sqlx::query_scalar!(
            "
            select seat_no from slot_seats
            where doctor_id = $1 and slot_month = $2 and slot_id = $3 and booking_id is null
            limit $4
            for update skip locked
            ",
            command.doctor_id(),
            command.slot_month(),
            command.slot.as_uuid(),
            i64::from(command.seats),
        )
        .fetch_all(&mut *transaction)
        .await?;
        if seats.len() < command.seats.unsigned_abs() as usize {
            about_to("roll_back").await;
            transaction.rollback().await?;
            return Ok(None);
        }

        about_to("write").await;
        let reservation = reservation!(
            query(command, &seats)
            with "seat as (
                update slot_seats set booking_id = $5
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and seat_no = any($8)"
            set "available_seats = available_seats - $4, version = version + 1"
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3"
        )
        .fetch_one(&mut *transaction)
        .await?;
        about_to("commit").await;
        transaction.commit().await?;
        Ok(Some(reservation))
    }
}
