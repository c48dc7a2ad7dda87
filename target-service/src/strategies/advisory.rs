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
