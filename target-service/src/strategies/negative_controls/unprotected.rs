//! # unprotected (negative control)
//!
//! **Claim.** None. Overbooks as soon as two clients read before either writes.
//!
//! **Mechanism.** Reads the seats that are left, and books if they are enough. Nothing keeps the
//! number true between the two statements. The write subtracts from the current value and stops at
//! zero, so the check constraint of the counter does not fire: the database's safety net does not
//! catch this.
//!
//! **Cost.** Two round trips and no waiting, which makes it tempting. The real bug behind it:
//! cal.com double bookings (calcom/cal.diy#13397, some 850 lines between check and insert),
//! easyappointments#31, LibreBooking#147.
//!
//! **Fails when.** Two clients want the last seat at once.
//!
//! **Model.** `models/src/unprotected.rs`

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
    strategies::statement::reservation,
};

pub(crate) struct Unprotected;

#[async_trait]
impl Reserve for Unprotected {
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
        if read.is_none_or(|slot| slot.available_seats < command.seats) {
            return Ok(None);
        }

        about_to("write").await;
        reservation!(
            query(command)
            set "available_seats = greatest(available_seats - $4, 0), version = version + 1"
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3"
        )
        .fetch_optional(connection)
        .await
    }
}
