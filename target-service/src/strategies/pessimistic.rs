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

use super::statement::reservation;
use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
};

pub(crate) struct Pessimistic;

#[async_trait]
impl Reserve for Pessimistic {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("lock").await;
        let mut transaction = connection.begin().await?;

        let locked = sqlx::query!(
            "
            select available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            for no key update
            ",
            command.doctor_id(),
            command.slot_month(),
            command.slot.as_uuid(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if locked.is_none_or(|slot| slot.available_seats < command.seats) {
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
