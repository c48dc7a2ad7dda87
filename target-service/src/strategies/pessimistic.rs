//! # pessimistic
//!
//! **Claim.** Never overbooks: a request decides about a slot while it holds the lock of the slot's
//! row, and all others wait.
//!
//! **Mechanism.** `select ... for no key update` locks the row; the seats read under the lock stay
//! true until commit; then one statement writes. It is `for no key update` and not `for update`
//! because the row's key does not change, and `for update` would make the foreign key checks of
//! other inserts wait.
//!
//! **Cost.** Four round trips, three of them while the row is locked, and the commit's fsync as
//! well: on a hot slot the rate is at most one over that time. Requests that find the slot sold out
//! queue for the lock too.
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
