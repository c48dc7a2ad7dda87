//! # batched
//!
//! **Claim.** Never overbooks: the call that decides about a slot holds the slot's row, and decides
//! for many at once, for several slots.
//!
//! **Mechanism.** As `grouped`, and a batch has a request for a neighbouring slot too: its
//! transaction locks that slot's row first, whose id is lower, and then this slot's. What becomes
//! of the other request changes nothing here. There are two processes, one for each path.
//!
//! **Fails when.** None known. If each process locked its slots in the order in which their
//! requests arrived, two of them would wait for each other; if seats were granted by what was read
//! before the wait for a row, the slot would be overbooked. `broken.rs` has both.
//!
//! **Service.** `target-service/src/strategies/batched.rs`

use crate::{
    call_id::CallId,
    database::Database,
    lanes::{self, Duplicates, LaneTurn},
    strategy::{Next, Point, Strategy},
};

/// The steps of a call of one process: its own, and those of a batch if it is the first of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Batched {
    pub process: u8,
    pub at: At,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Gather,
    /// In the lane, until it is the first of it and no batch is being decided; or in a batch, until
    /// it has been decided.
    Gathered,
    /// Alone in its batch.
    Alone,
    /// First of a batch of several.
    LockNeighbour(Duplicates),
    Lock(Duplicates),
    Write(Duplicates),
    Commit,
    RollBack,
}

impl Strategy for Batched {
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
            At::LockNeighbour(Duplicates::NotExpected) => {
                Point::new("lock_first", "begins for its batch and locks the first of its slots")
            }
            At::LockNeighbour(Duplicates::LookedFor) => Point::new(
                "lock_first",
                "begins again for its batch and locks the first of its slots",
            ),
            At::Lock(Duplicates::NotExpected) => Point::new("lock", "locks the slot"),
            At::Lock(Duplicates::LookedFor) => {
                Point::new("lock", "locks the slot and reads receipts")
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
                LaneTurn::Batch(_) => goes(At::LockNeighbour(Duplicates::NotExpected)),
            },
            At::Alone => lanes::alone(call, database),
            At::LockNeighbour(duplicates) => match database.lock_neighbour(call) {
                true => goes(At::Lock(duplicates)),
                false => Next::Waits,
            },
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
                goes(At::LockNeighbour(Duplicates::LookedFor))
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
