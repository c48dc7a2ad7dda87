//! `optimistic`: reads without a lock, writes only if the version is unchanged, tries again if not.
//!
//! *Claim.* A write succeeds only on the version of the slot that the decision was made on.
//! *Mechanism.* `update ... where version = $seen and available_seats >= 1`.
//! *Fails when.* No failure is known; under contention it may answer `retry_later`.

use crate::{
    database::{CallId, Database, KeyInsert},
    strategy::{Answer, Next, Strategy},
};

/// Times that a call reads and tries to write before it answers `retry_later`. The service allows more; two show every path.
const MAX_TRIES: u8 = 2;

/// The steps of one call. `tries` counts those that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Optimistic {
    Read { tries: u8 },
    Write { seen_version: u8, tries: u8 },
    Commit,
}

impl Strategy for Optimistic {
    const BEGIN: Self = Self::Read { tries: 0 };

    fn point(self) -> &'static str {
        match self {
            Self::Read { .. } => "reads the receipt and the slot's version and seats",
            Self::Write { .. } => "writes the booking if the version is unchanged",
            Self::Commit => "commits",
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read { tries } => read(tries, call, database),
            Self::Write { seen_version, tries } => write(seen_version, tries, call, database),
            Self::Commit => commit(call, database),
        }
    }

    fn forget(self, database: &Database) -> Self {
        match self {
            Self::Write { seen_version, tries } if seen_version != database.slot.version => {
                Self::Write { seen_version: u8::MAX, tries }
            }
            _ => self,
        }
    }
}

/// One statement, so one snapshot: a receipt that is missing was missing while these seats were free.
fn read(tries: u8, call: CallId, database: &Database) -> Next<Optimistic> {
    if let Some(receipt) = database.receipt(call.client) {
        return Next::Answers(Answer::Ok { booking: receipt });
    }
    match database.slot.available {
        1.. => Next::Goes(Optimistic::Write { seen_version: database.slot.version, tries }),
        _ => Next::Answers(Answer::SoldOut { version: database.slot.version }),
    }
}

/// The `where` is evaluated on the committed row before the lock is asked for, and again after a wait for it.
fn write(seen_version: u8, tries: u8, call: CallId, database: &mut Database) -> Next<Optimistic> {
    if database.slot.version != seen_version || database.slot.available < 1 {
        return conflict(tries + 1);
    }
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    match database.insert_key(call) {
        KeyInsert::Inserted => Next::Goes(Optimistic::Commit),
        // Does not happen: who has inserted the key and not committed holds the slot's row as well.
        KeyInsert::Waits => Next::Waits,
        KeyInsert::Conflict { receipt } => {
            database.rollback(call);
            Next::Answers(Answer::Ok { booking: receipt })
        }
    }
}

/// Zero rows: somebody else has changed the slot.
fn conflict(tries: u8) -> Next<Optimistic> {
    match tries {
        MAX_TRIES.. => Next::Answers(Answer::RetryLater),
        _ => Next::Goes(Optimistic::Read { tries }),
    }
}

fn commit(call: CallId, database: &mut Database) -> Next<Optimistic> {
    database.commit(call, database.slot.available - 1);
    Next::Answers(Answer::Ok { booking: call })
}
