//! # advisory
//!
//! **Claim.** Never overbooks: a request decides about a slot while it holds the advisory lock of
//! that slot, and all others wait.
//!
//! **Mechanism.** `pg_advisory_xact_lock` on a 64-bit hash of the slot's id, released at the end of
//! the transaction. The seats are read in a separate statement after the lock: in the same
//! statement they would come from a snapshot that is older than the wait. Two slots whose hashes
//! collide wait for each other, which costs time only.
//!
//! **Cost.** Five round trips, four of them under the lock, and the commit's fsync: the most
//! expensive of the locks in the database. In return the lock needs no row, so it can guard rules
//! that span rows.
//!
//! **Fails when.** A request reserves without taking the lock. The lock is a convention: the row
//! does not know of it.
//!
//! **Model.** `models/src/advisory.rs`

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::statement::reservation;
use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
};

pub(crate) struct Advisory;

#[async_trait]
impl Reserve for Advisory {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("lock").await;
        let mut transaction = connection.begin().await?;

        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))",
            command.slot.as_uuid()
        )
        .execute(&mut *transaction)
        .await?;
        about_to("read").await;
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
