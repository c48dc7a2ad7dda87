//! `pessimistic`: locks the slot's row, then decides.
//!
//! *Claim.* Nobody else changes the slot between the decision and the commit.
//! *Mechanism.* `select ... for no key update`, held until the transaction ends.
//! *Fails when.* No failure is known; without the lock it overbooks (`broken.rs`).

use crate::{
    database::{CallId, Database, KeyInsert},
    strategy::{Answer, Next, Strategy},
};

/// The steps of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pessimistic {
    InsertKey,
    LockSlot,
    WriteBooking,
    Commit,
    RollBack { version: u8 },
}

impl Strategy for Pessimistic {
    const BEGIN: Self = Self::InsertKey;

    fn point(self) -> &'static str {
        match self {
            Self::InsertKey => "begins and inserts the idempotency key",
            Self::LockSlot => "locks the slot and reads its seats",
            Self::WriteBooking => "writes the booking and takes a seat",
            Self::Commit => "commits",
            Self::RollBack { .. } => "finds no seat and rolls back",
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::InsertKey => insert_key(call, database),
            Self::LockSlot => lock_slot(call, database),
            Self::WriteBooking => write_booking(call, database),
            Self::Commit => commit(call, database),
            Self::RollBack { version } => roll_back(version, call, database),
        }
    }
}

/// `insert into idempotency_keys ... on conflict do nothing`, which waits for whoever is about to commit this key.
fn insert_key(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    match database.insert_key(call) {
        KeyInsert::Inserted => Next::Goes(Pessimistic::LockSlot),
        KeyInsert::Waits => Next::Waits,
        KeyInsert::Conflict { receipt } => Next::Answers(Answer::Ok { booking: receipt }),
    }
}

/// `select ... for no key update`: who had to wait reads the row as the holder left it.
fn lock_slot(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    Next::Goes(match database.slot.available {
        1.. => Pessimistic::WriteBooking,
        _ => Pessimistic::RollBack { version: database.slot.version },
    })
}

/// Needs the lock on the slot's row, which this transaction holds already.
fn write_booking(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    match database.lock_slot(call) {
        true => Next::Goes(Pessimistic::Commit),
        false => Next::Waits,
    }
}

fn commit(call: CallId, database: &mut Database) -> Next<Pessimistic> {
    database.commit(call, database.slot.available - 1);
    Next::Answers(Answer::Ok { booking: call })
}

fn roll_back(version: u8, call: CallId, database: &mut Database) -> Next<Pessimistic> {
    database.rollback(call);
    Next::Answers(Answer::SoldOut { version })
}
