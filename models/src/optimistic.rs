//! # optimistic
//!
//! **Claim.** Never overbooks: a write counts only if nothing was written since the read that it
//! rests on.
//!
//! **Mechanism.** Reads version and seats without a lock, then writes with `where version = ` the
//! version read.
//!
//! **Fails when.** None known. Under contention a client can lose every try and get
//! `retry_later`.
//!
//! **Service.** `target-service/src/strategies/optimistic.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Optimistic {
    Read,
    Write { seen_version: u32 },
}

impl Strategy for Optimistic {
    const BEGINNINGS: &'static [Self] = &[Self::Read];

    fn point(self) -> Point {
        match self {
            Self::Read => Point::new("read", "reads the slot's version and seats"),
            Self::Write { .. } => {
                Point::new("write", "writes the booking if the version is unchanged")
            }
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read => read(database),
            Self::Write { seen_version } => write(seen_version, call, database),
        }
    }
}

fn read(database: &Database) -> Next<Optimistic> {
    match database.slot.available {
        1.. => Next::Goes(Optimistic::Write { seen_version: database.slot.version }),
        _ => Next::Nothing,
    }
}

/// One statement. Its `where` decides before it asks for the row's lock, and once more if it had to
/// wait for it.
fn write(seen_version: u32, call: CallId, database: &mut Database) -> Next<Optimistic> {
    if database.slot.version != seen_version || database.slot.available < 1 {
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
