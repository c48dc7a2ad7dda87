//! # unprotected (negative control)
//!
//! **Claim.** None. Overbooks as soon as two clients read before either writes.
//!
//! **Mechanism.** Reads the seats that are left, and books if they are enough. The write subtracts
//! from the counter as it is by then and stops at zero, so that the check constraint of the counter
//! sees nothing wrong.
//!
//! **Fails when.** Two clients want the last seat at once.
//!
//! **Service.** `target-service/src/strategies/negative_controls/unprotected.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unprotected {
    Read,
    Write,
}

impl Strategy for Unprotected {
    const BEGINNINGS: &'static [Self] = &[Self::Read];

    fn point(self) -> Point {
        match self {
            Self::Read => Point::new("read", "reads the slot's seats"),
            Self::Write => Point::new("write", "writes the booking, based on its earlier read"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read => read(database),
            Self::Write => write(call, database),
        }
    }
}

fn read(database: &Database) -> Next<Unprotected> {
    match database.slot.available {
        1.. => Next::Goes(Unprotected::Write),
        _ => Next::Nothing,
    }
}

/// One statement. The lock that its update takes comes too late: the decision was made before.
fn write(call: CallId, database: &mut Database) -> Next<Unprotected> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    database.commit(call, (database.slot.available - 1).max(0));
    Next::Took
}
