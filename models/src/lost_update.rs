//! `lost_update`: writes back a number of seats that it read earlier. Negative control.
//!
//! *Claim.* None: what others wrote in between is overwritten.
//! *Mechanism.* `select available_seats`, then `update ... set available_seats = $seen - 1`.
//! *Fails when.* Anything is committed between the read and the write.

use crate::{
    database::{CallId, Database, KeyInsert},
    strategy::{Answer, Next, Strategy},
};

/// The steps of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LostUpdate {
    Read,
    Write { seen: i8 },
    Commit { seen: i8 },
}

impl Strategy for LostUpdate {
    const BEGIN: Self = Self::Read;

    fn point(self) -> &'static str {
        match self {
            Self::Read => "reads the receipt and the slot's seats",
            Self::Write { .. } => "writes the booking and one seat less than it read",
            Self::Commit { .. } => "commits",
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read => read(call, database),
            Self::Write { seen } => write(seen, call, database),
            Self::Commit { seen } => commit(seen, call, database),
        }
    }
}

fn read(call: CallId, database: &Database) -> Next<LostUpdate> {
    if let Some(receipt) = database.receipt(call.client) {
        return Next::Answers(Answer::Ok { booking: receipt });
    }
    match database.slot.available {
        1.. => Next::Goes(LostUpdate::Write { seen: database.slot.available }),
        _ => Next::Answers(Answer::SoldOut { version: database.slot.version }),
    }
}

/// Waits for whoever holds the slot's row, and then overwrites what they wrote.
fn write(seen: i8, call: CallId, database: &mut Database) -> Next<LostUpdate> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    match database.insert_key(call) {
        KeyInsert::Inserted => Next::Goes(LostUpdate::Commit { seen }),
        // Does not happen: who has inserted the key and not committed holds the slot's row as well.
        KeyInsert::Waits => Next::Waits,
        KeyInsert::Conflict { receipt } => {
            database.rollback(call);
            Next::Answers(Answer::Ok { booking: receipt })
        }
    }
}

fn commit(seen: i8, call: CallId, database: &mut Database) -> Next<LostUpdate> {
    database.commit(call, seen - 1);
    Next::Answers(Answer::Ok { booking: call })
}
