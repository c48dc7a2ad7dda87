//! # optimistic
//!
//! **Claim.** Never overbooks: a write counts only if the slot has not changed since the read that
//! it rests on.
//!
//! **Mechanism.** Reads version and seats without a lock, then writes with `where version = ` the
//! version read. If another transaction came first, the statement changes no row, nothing is
//! written, and the whole is tried again with jitter.
//!
//! **Cost.** Two round trips; the row is locked during the second and its fsync only. On a hot slot
//! most tries lose the race and are repeated: the work is lost, and requests are not served in
//! order. Requests that find the slot sold out do not wait.
//!
//! **Fails when.** None known. Under contention a client can lose every try and get `retry_later`.
//!
//! **Model.** `models/src/optimistic.rs`

use async_trait::async_trait;
use sqlx::PgConnection;

use super::statement::reservation;
use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
};

pub(crate) struct Optimistic;

#[async_trait]
impl Reserve for Optimistic {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("read").await;
        let read = sqlx::query!(
            "
            select version, available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
            command.doctor_id(),
            command.slot_month(),
            command.slot.as_uuid(),
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(seen) = read.filter(|slot| slot.available_seats >= command.seats) else {
            return Ok(None);
        };

        about_to("write").await;
        reservation!(
            query(command, seen.version)
            set "available_seats = available_seats - $4, version = version + 1"
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3
                    and version = $8 and available_seats >= $4"
        )
        .fetch_optional(connection)
        .await
    }
}
