//! `conditional`: decides and writes in one conditional statement.
//!
//! *Claim.* The seat is taken only if one is free at the instant at which it is taken.
//! *Mechanism.* `update ... where available_seats >= 1 returning ...`, and the booking is inserted from what it returns.
//! *Fails when.* No failure is known; a slot that empties and fills while it looks may make it answer `retry_later`.

use crate::{
    database::{CallId, Database, KeyInsert},
    strategy::{Answer, Next, Strategy},
};

/// Times that a call tries to write before it answers `retry_later`. The service allows more; two show every path.
const MAX_TRIES: u8 = 2;

/// The steps of one call. `tries` counts those that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Conditional {
    Write { tries: u8 },
    ReadAfresh { tries: u8 },
    Commit,
}

impl Strategy for Conditional {
    const BEGIN: Self = Self::Write { tries: 0 };

    fn point(self) -> &'static str {
        match self {
            Self::Write { .. } => "writes the booking if a seat is free",
            Self::ReadAfresh { .. } => "reads the receipt and the slot afresh",
            Self::Commit => "commits",
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Write { tries } => write(tries, call, database),
            Self::ReadAfresh { tries } => read_afresh(tries, call, database),
            Self::Commit => commit(call, database),
        }
    }
}

/// The `where` is evaluated on the committed row before the lock is asked for, and again after a wait for it.
fn write(tries: u8, call: CallId, database: &mut Database) -> Next<Conditional> {
    if database.slot.available < 1 {
        return Next::Goes(Conditional::ReadAfresh { tries: tries + 1 });
    }
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    match database.insert_key(call) {
        KeyInsert::Inserted => Next::Goes(Conditional::Commit),
        // Does not happen: who has inserted the key and not committed holds the slot's row as well.
        KeyInsert::Waits => Next::Waits,
        KeyInsert::Conflict { receipt } => {
            database.rollback(call);
            Next::Answers(Answer::Ok { booking: receipt })
        }
    }
}

/// Zero rows say nothing that can be answered: the statement's snapshot may be older than the row that it failed on.
fn read_afresh(tries: u8, call: CallId, database: &Database) -> Next<Conditional> {
    if let Some(receipt) = database.receipt(call.client) {
        return Next::Answers(Answer::Ok { booking: receipt });
    }
    match database.slot.available {
        ..1 => Next::Answers(Answer::SoldOut { version: database.slot.version }),
        _ if tries < MAX_TRIES => Next::Goes(Conditional::Write { tries }),
        _ => Next::Answers(Answer::RetryLater),
    }
}

fn commit(call: CallId, database: &mut Database) -> Next<Conditional> {
    database.commit(call, database.slot.available - 1);
    Next::Answers(Answer::Ok { booking: call })
}
