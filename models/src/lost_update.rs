//! # lost_update (negative control)
//!
//! **Claim.** None. Sells a seat as often as it is read before one call writes.
//!
//! **Mechanism.** Reads the counter, subtracts in the program, and writes the result back over
//! what others have written since. The counter never falls below zero, so its check constraint
//! sees nothing wrong.
//!
//! **Fails when.** Two clients read the same number.
//!
//! **Service.** `target-service/src/strategies/negative_controls/lost_update.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LostUpdate {
    Read,
    Write { seen_available: i32 },
}

impl Strategy for LostUpdate {
    const BEGINNINGS: &'static [Self] = &[Self::Read];

    fn point(self) -> Point {
        match self {
            Self::Read => Point::new("read", "reads the slot's seats"),
            Self::Write { .. } => {
                Point::new("write", "writes the booking, and one seat less than it read")
            }
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read => read(database),
            Self::Write { seen_available } => write(seen_available, call, database),
        }
    }
}

fn read(database: &Database) -> Next<LostUpdate> {
    match database.slot.available {
        1.. => Next::Goes(LostUpdate::Write { seen_available: database.slot.available }),
        _ => Next::Nothing,
    }
}

/// One statement. If it had to wait for the row's lock, it overwrites what the holder wrote.
fn write(seen_available: i32, call: CallId, database: &mut Database) -> Next<LostUpdate> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    database.commit(call, seen_available - 1);
    Next::Took
}
