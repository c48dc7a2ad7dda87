//! # grouped
//!
//! **Claim.** Never overbooks: the call that decides about a slot holds the slot's row, and decides
//! for many at once.
//!
//! **Mechanism.** Requests gather in a lane of their process; one at a time takes all that have
//! gathered and decides them in one transaction under the slot's row lock, in order of arrival. A
//! call that is alone goes as by `conditional`. There are two processes here, one for each path.
//!
//! **Fails when.** None known. A duplicate of an earlier batch makes it fail by the unique key;
//! then receipts are read before seats are granted.
//!
//! **Service.** `target-service/src/strategies/grouped.rs`

use crate::{
    call_id::CallId,
    database::Database,
    lanes::{self, Duplicates, LaneTurn},
    strategy::{Next, Point, Strategy},
};

/// The steps of a call of one process: its own, and those of a batch if it is the first of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Grouped {
    process: u8,
    at: At,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Gather,
    /// In the lane, until it is the first of it and no batch is being decided; or in a batch, until
    /// it has been decided.
    Gathered,
    /// Alone in its batch.
    Alone,
    /// First of a batch of several.
    Lock(Duplicates),
    Write(Duplicates),
    Commit,
    RollBack,
}

impl Strategy for Grouped {
    const BEGINNINGS: &'static [Self] =
        &[Self { process: 0, at: At::Gather }, Self { process: 1, at: At::Gather }];

    fn point(self) -> Point {
        match self.at {
            At::Gather => Point::new("gather", "joins the lane of its process"),
            At::Gathered => Point::new(
                "take",
                "takes the waiting requests as a batch, or receives its decision",
            ),
            At::Alone => Point::new("write", "writes the booking if a seat is free"),
            At::Lock(Duplicates::NotExpected) => {
                Point::new("lock", "begins for its batch and locks the slot")
            }
            At::Lock(Duplicates::LookedFor) => {
                Point::new("lock", "begins again for its batch, locks the slot and reads receipts")
            }
            At::Write(_) => Point::new("write", "writes the bookings of its batch"),
            At::Commit => Point::new("commit", "commits for its batch"),
            At::RollBack => Point::new("roll_back", "rolls back, because its batch gets no seat"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        let lane = usize::from(self.process);
        let goes = |at| Next::Goes(Self { at, ..self });
        match self.at {
            At::Gather => {
                database.lanes[lane].waiting.push(call);
                goes(At::Gathered)
            }
            At::Gathered => match lanes::take_or_receive(call, &mut database.lanes[lane]) {
                LaneTurn::Waits => Next::Waits,
                LaneTurn::Decided(answer) => Next::Answered(answer),
                LaneTurn::Batch(1) => goes(At::Alone),
                LaneTurn::Batch(_) => goes(At::Lock(Duplicates::NotExpected)),
            },
            At::Alone => lanes::alone(call, database),
            At::Lock(duplicates) => {
                if !database.lock_slot(call) {
                    return Next::Waits;
                }
                match lanes::granted(lane, duplicates, database).is_empty() {
                    true => goes(At::RollBack),
                    false => goes(At::Write(duplicates)),
                }
            }
            At::Write(duplicates) => {
                if lanes::keys_are_new(lane, duplicates, database) {
                    return goes(At::Commit);
                }
                // The unique key took the whole statement back, and the transaction with it.
                database.rollback(call);
                goes(At::Lock(Duplicates::LookedFor))
            }
            At::Commit | At::RollBack => lanes::decide(call, lane, database),
        }
    }

    fn again(self) -> Self {
        Self { at: At::Alone, ..self }
    }

    fn process(self) -> Option<u8> {
        (self.at != At::Gather).then_some(self.process)
    }

    fn leave(call: CallId, database: &mut Database) {
        lanes::leave(call, database);
    }
}
