//! `unprotected`: reads the seats left, then books. Negative control.
//!
//! *Claim.* None: nothing holds the number still.
//! *Mechanism.* `select available_seats`, then a write that trusts it and stops at zero.
//! *Fails when.* Two calls read before either of them commits.

use crate::{
    database::{CallId, Database, KeyInsert},
    strategy::{Answer, Next, Strategy},
};

/// The steps of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unprotected {
    Read,
    Write,
    Commit,
}

impl Strategy for Unprotected {
    const BEGIN: Self = Self::Read;

    fn point(self) -> &'static str {
        match self {
            Self::Read => "reads the receipt and the seats left",
            Self::Write => "writes the booking because seats were left when it read",
            Self::Commit => "commits",
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read => read(call, database),
            Self::Write => write(call, database),
            Self::Commit => commit(call, database),
        }
    }
}

fn read(call: CallId, database: &Database) -> Next<Unprotected> {
    if let Some(receipt) = database.receipt(call.client) {
        return Next::Answers(Answer::Ok { booking: receipt });
    }
    match database.slot.available {
        1.. => Next::Goes(Unprotected::Write),
        _ => Next::Answers(Answer::SoldOut { version: database.slot.version }),
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
