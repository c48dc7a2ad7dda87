//! # advisory
//!
//! **Claim.** Never overbooks: the call that decides about a slot holds its advisory lock, and all
//! others wait.
//!
//! **Mechanism.** `pg_advisory_xact_lock`, then a read in a statement of its own, then the write.
//!
//! **Fails when.** Any other code reserves without taking the lock.
//!
//! **Service.** `target-service/src/strategies/advisory.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Advisory {
    Lock,
    Read,
    Write,
    Commit,
    RollBack,
}

impl Strategy for Advisory {
    const BEGINNINGS: &'static [Self] = &[Self::Lock];

    fn point(self) -> Point {
        match self {
            Self::Lock => Point::new("lock", "begins and takes the slot's advisory lock"),
            Self::Read => Point::new("read", "reads the slot's seats"),
            Self::Write => Point::new("write", "writes the booking and takes the seat"),
            Self::Commit => Point::new("commit", "commits"),
            Self::RollBack => Point::new("roll_back", "rolls back, because no seat is free"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Lock => lock(call, database),
            Self::Read => read(database),
            Self::Write => write(call, database),
            Self::Commit => commit(call, database),
            Self::RollBack => roll_back(call, database),
        }
    }
}

fn lock(call: CallId, database: &mut Database) -> Next<Advisory> {
    match database.lock_name(call) {
        true => Next::Goes(Advisory::Read),
        false => Next::Waits,
    }
}

fn read(database: &Database) -> Next<Advisory> {
    match database.slot.available {
        1.. => Next::Goes(Advisory::Write),
        _ => Next::Goes(Advisory::RollBack),
    }
}

fn write(call: CallId, database: &mut Database) -> Next<Advisory> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    Next::Goes(Advisory::Commit)
}

fn commit(call: CallId, database: &mut Database) -> Next<Advisory> {
    database.commit(call, database.slot.available - 1);
    Next::Took
}

fn roll_back(call: CallId, database: &mut Database) -> Next<Advisory> {
    database.rollback(call);
    Next::Nothing
}
