//! # conditional
//!
//! **Claim.** Never overbooks: the condition and the write are one statement, evaluated under the
//! row's lock.
//!
//! **Mechanism.** `update ... where available_seats >= k`. At READ COMMITTED a statement that
//! waited for the row's lock evaluates its condition again on the row that the other transaction
//! left (PostgreSQL 15 manual, 13.2.1).
//!
//! **Cost.** One round trip. The row is locked from the update to the end of the commit's fsync,
//! without waiting for the client in between. Requests that find the slot sold out match no row,
//! but queue for the lock while a writer holds it.
//!
//! **Fails when.** None known. A statement that matched no row cannot say how many seats are left:
//! its snapshot may be older than the row that it waited for. `sold_out` is decided from a fresh
//! snapshot, in `reserve/attempts.rs`.
//!
//! **Model.** `models/src/conditional.rs`

use async_trait::async_trait;
use sqlx::PgConnection;

use super::statement::reservation;
use crate::{
    pausing::about_to,
    reserve::{Reservation, Reserve, ReserveCommand},
};

macro_rules! statement {
    ($($form:tt)+) => {
        reservation!(
            $($form)+
            set "available_seats = available_seats - $4, version = version + 1"
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= $4"
        )
    };
}

/// The statement as text, for programs that measure the database alone; see
/// `strategies/statement.rs` for its parameters. The names of the columns that it returns carry
/// SQLx's hint that they are never null: `"slot_version!"`.
pub const STATEMENT: &str = statement!(text);

pub(crate) struct Conditional;

#[async_trait]
impl Reserve for Conditional {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("write").await;
        statement!(query(command)).fetch_optional(connection).await
    }
}
