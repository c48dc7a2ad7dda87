//! # pessimistic
//!
//! **Claim.** Never overbooks: the call that decides about a slot holds the slot's row, and all
//! others wait.
//!
//! **Mechanism.** `select ... for no key update` locks the row; the seats read under the lock stay
//! true until commit.
//!
//! **Fails when.** None known. Without the lock it overbooks: `broken.rs` takes it away.
//!
//! **Service.** `target-service/src/strategies/pessimistic.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pessimistic {
    Lock,
    Write,
    Commit,
    RollBack,
}

impl Strategy for Pessimistic {
    const BEGINNINGS: &'static [Self] = &[Self::Lock];

    fn point(self) -> Point {
        match self {
            Self::Lock => Point::new("lock", "begins, locks the slot and reads its seats"),
            Self::Write => Point::new("write", "writes the booking and takes the seat"),
            Self::Commit => Point::new("commit", "commits"),
            Self::RollBack => Point::new("roll_back", "rolls back, because no seat is free"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Lock => lock(call, database),
            Self::Write => write(call, database),
            Self::Commit => commit(call, database),
            Self::RollBack => roll_back(call, database),
        }
    }
}

/// A call that had to wait reads the row as the holder left it.
fn lock(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    match database.slot.available {
        1.. => Next::Goes(Pessimistic::Write),
        _ => Next::Goes(Pessimistic::RollBack),
    }
}

/// The update needs the slot's row, which this transaction holds. A key that has a receipt ends the
/// transaction.
fn write(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    Next::Goes(Pessimistic::Commit)
}

fn commit(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    database.commit(call, database.slot.available - 1);
    Next::Took
}

fn roll_back(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    database.rollback(call);
    Next::Nothing
}
