//! # lost_update (negative control)
//!
//! **Claim.** None. Sells a seat once for each request that reads it before another one writes.
//!
//! **Mechanism.** Reads the counter, subtracts in the program, and writes the result back over what
//! others have written since. The counter never falls below zero, so its check constraint does not
//! fire.
//!
//! **Cost.** Two round trips and no waiting. The real bug behind it: object mappers that save a
//! whole row, as in event-espresso#874, cubecart/v6#4224 and django-shop#888.
//!
//! **Fails when.** Two clients read the same number.
//!
//! **Model.** `models/src/lost_update.rs`

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
    strategies::statement::reservation,
};

pub(crate) struct LostUpdate;

#[async_trait]
impl Reserve for LostUpdate {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
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
        .fetch_optional(&mut *connection)
        .await?;
        let Some(seen) = read.filter(|slot| slot.available_seats >= command.seats) else {
            return Ok(None);
        };

        about_to("write").await;
        reservation!(
            query(command, seen.available_seats)
            set "available_seats = $8::integer - $4, version = version + 1"
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3"
        )
        .fetch_optional(connection)
        .await
    }
}
