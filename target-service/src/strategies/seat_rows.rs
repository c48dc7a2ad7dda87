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
