//! # serializable
//!
//! **Claim.** Never overbooks: the transaction takes effect as if it had run alone, or not at all.
//!
//! **Mechanism.** One SERIALIZABLE transaction reads the seats, decides and writes. If another
//! transaction has changed the row since its snapshot, it gets SQLSTATE 40001, and
//! `reserve/attempts.rs` repeats the whole. Confirm, cancel and expire run at READ COMMITTED beside
//! it. That is safe because each of them updates the slot's row too, so first-updater-wins sees
//! them, and because none of them takes a free seat. For this page REPEATABLE READ would be enough;
//! SERIALIZABLE is what people mean, and costs little more.
//!
//! **Cost.** Four round trips, and on a hot slot most of them are lost: of the transactions that
//! read the same version, one commits.
//!
//! **Fails when.** Another program reserves at a lower isolation level and without changing the
//! row. Under contention a client can lose every try and get `retry_later`.
//!
//! **Model.** `models/src/serializable.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::statement::reservation;
use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
};

pub(crate) struct Serializable;

#[async_trait]
impl Reserve for Serializable {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("read").await;
        let mut transaction = connection.begin_with("begin isolation level serializable").await?;

        let read = sqlx::query!(
            "
            select available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
            command.doctor_id(),
            command.slot_month(),
            command.slot.as_uuid(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if read.is_none_or(|slot| slot.available_seats < command.seats) {
            about_to("roll_back").await;
            transaction.rollback().await?;
            return Ok(None);
        }

        about_to("write").await;
        let reservation = reservation!(
            query(command)
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
