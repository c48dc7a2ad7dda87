//! # serializable
//!
//! **Claim.** Never overbooks: the transaction takes effect as if it had run alone, or not at all.
//!
//! **Mechanism.** Reads in a snapshot; the update fails if the row has changed since. The first to
//! update wins.
//!
//! **Fails when.** None known. Under contention a client can lose every try and get
//! `retry_later`.
//!
//! **Service.** `target-service/src/strategies/serializable.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Serializable {
    Read,
    Write { snapshot_version: u32 },
    Commit,
    RollBack,
}

impl Strategy for Serializable {
    const BEGINNINGS: &'static [Self] = &[Self::Read];

    fn point(self) -> Point {
        match self {
            Self::Read => Point::new("read", "begins and reads the slot's seats in its snapshot"),
            Self::Write { .. } => Point::new(
                "write",
                "writes the booking and takes the seat, if the row is as in its snapshot",
            ),
            Self::Commit => Point::new("commit", "commits"),
            Self::RollBack => Point::new("roll_back", "rolls back, because no seat is free"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read => read(database),
            Self::Write { snapshot_version } => write(snapshot_version, call, database),
            Self::Commit => commit(call, database),
            Self::RollBack => roll_back(call, database),
        }
    }
}

fn read(database: &Database) -> Next<Serializable> {
    match database.slot.available {
        1.. => Next::Goes(Serializable::Write { snapshot_version: database.slot.version }),
        _ => Next::Goes(Serializable::RollBack),
    }
}

/// Fails with 40001 if the row has changed since the snapshot; waits for the holder of the row, and
/// fails if the holder changes it.
fn write(snapshot_version: u32, call: CallId, database: &mut Database) -> Next<Serializable> {
    // Held or not, it is not the row of the snapshot any more.
    if database.slot.version != snapshot_version {
        return Next::Nothing;
    }
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    Next::Goes(Serializable::Commit)
}

fn commit(call: CallId, database: &mut Database) -> Next<Serializable> {
    database.commit(call, database.slot.available - 1);
    Next::Took
}

fn roll_back(call: CallId, database: &mut Database) -> Next<Serializable> {
    database.rollback(call);
    Next::Nothing
}
