//! # conditional
//!
//! **Claim.** Never overbooks: the condition and the write are one statement, evaluated under the
//! row's lock.
//!
//! **Mechanism.** `update ... where available_seats >= 1`, and everything else inserted from the
//! row that it returns.
//!
//! **Fails when.** None known. A client can lose every try, to seats that are freed when it looks
//! and gone when it writes.
//!
//! **Service.** `target-service/src/strategies/conditional.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Conditional {
    Write,
}

impl Strategy for Conditional {
    const BEGINNINGS: &'static [Self] = &[Self::Write];

    fn point(self) -> Point {
        match self {
            Self::Write => Point::new("write", "writes the booking if a seat is free"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Write => write(call, database),
        }
    }
}

/// One statement. Its `where` decides before it asks for the row's lock, and once more if it had to
/// wait for it.
fn write(call: CallId, database: &mut Database) -> Next<Conditional> {
    if database.slot.available < 1 {
        return Next::Nothing;
    }
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    database.commit(call, database.slot.available - 1);
    Next::Took
}
