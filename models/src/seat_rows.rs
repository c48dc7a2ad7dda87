//! # seat_rows
//!
//! **Claim.** Never overbooks: a seat is a row, a row is locked by one transaction, and a locked
//! row is skipped.
//!
//! **Mechanism.** Locks a free seat, skipping those that others have locked; the change of the slot
//! is numbered last.
//!
//! **Fails when.** None known. A locked seat is not a sold seat: the counter decides about
//! `sold_out`.
//!
//! **Service.** `target-service/src/strategies/seat_rows.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SeatRows {
    Pick,
    Write,
    Commit,
    RollBack,
}

impl Strategy for SeatRows {
    const BEGINNINGS: &'static [Self] = &[Self::Pick];

    fn point(self) -> Point {
        match self {
            Self::Pick => Point::new("pick", "begins and locks a free seat, skipping locked ones"),
            Self::Write => Point::new("write", "writes the booking and takes the seat"),
            Self::Commit => Point::new("commit", "commits"),
            Self::RollBack => {
                Point::new("roll_back", "rolls back, because it found no seat to lock")
            }
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Pick => pick(call, database),
            Self::Write => write(call, database),
            Self::Commit => commit(call, database),
            Self::RollBack => roll_back(call, database),
        }
    }
}

fn pick(call: CallId, database: &mut Database) -> Next<SeatRows> {
    match database.lock_a_free_seat(call) {
        true => Next::Goes(SeatRows::Write),
        false => Next::Goes(SeatRows::RollBack),
    }
}

fn write(call: CallId, database: &mut Database) -> Next<SeatRows> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    Next::Goes(SeatRows::Commit)
}

fn commit(call: CallId, database: &mut Database) -> Next<SeatRows> {
    database.take_locked_seat(call);
    database.commit(call, database.slot.available - 1);
    Next::Took
}

fn roll_back(call: CallId, database: &mut Database) -> Next<SeatRows> {
    database.rollback(call);
    Next::Nothing
}
