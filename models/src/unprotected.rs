//! `unprotected`: counts the bookings, then inserts one more. Negative control.
//!
//! *Claim.* None: nothing holds the count still.
//! *Mechanism.* `select count(*)`, then an insert that trusts it.
//! *Fails when.* Two calls count before either of them commits.

use crate::{
    database::{CallId, Database, KeyInsert},
    strategy::{Answer, Next, Strategy},
};

/// The steps of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unprotected {
    Count,
    Write,
    Commit,
}

impl Strategy for Unprotected {
    const BEGIN: Self = Self::Count;

    fn point(self) -> &'static str {
        match self {
            Self::Count => "reads the receipt and counts the active bookings",
            Self::Write => "writes the booking because the count was below the capacity",
            Self::Commit => "commits",
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Count => count(call, database),
            Self::Write => write(call, database),
            Self::Commit => commit(call, database),
        }
    }
}

fn count(call: CallId, database: &Database) -> Next<Unprotected> {
    if let Some(receipt) = database.receipt(call.client) {
        return Next::Answers(Answer::Ok { booking: receipt });
    }
    match database.is_full() {
        false => Next::Goes(Unprotected::Write),
        true => Next::Answers(Answer::SoldOut { version: database.slot.version }),
    }
}

/// The row lock that comes with the update of the slot is taken too late: the decision has been made.
fn write(call: CallId, database: &mut Database) -> Next<Unprotected> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    match database.insert_key(call) {
        KeyInsert::Inserted => Next::Goes(Unprotected::Commit),
        // Does not happen: who has inserted the key and not committed holds the slot's row as well.
        KeyInsert::Waits => Next::Waits,
        KeyInsert::Conflict { receipt } => {
            database.rollback(call);
            Next::Answers(Answer::Ok { booking: receipt })
        }
    }
}

/// Keeps the stored number of seats out of the negative, or the table's check would protect it after all.
fn commit(call: CallId, database: &mut Database) -> Next<Unprotected> {
    database.commit(call, (database.slot.available - 1).max(0));
    Next::Answers(Answer::Ok { booking: call })
}
