//! The seam between the protocol, which is the same for all, and a strategy, which is one page.

use std::{fmt::Debug, hash::Hash};

use crate::{
    answer::Answer,
    call_id::CallId,
    database::{Database, StateChange},
};

/// A strategy is the steps of one try to take a seat: a value is the step that comes next, with
/// what was read before.
///
/// What surrounds a try is the service's common code, the same for all. A negative control that
/// breaks it overrides the method here.
pub(crate) trait Strategy: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// Where every try begins; where requests can take different paths, the beginning of each.
    const BEGINNINGS: &'static [Self];

    /// Seats of each booking.
    const SEATS: i32 = 1;

    /// Tries of a call before it answers `retry_later`. The service allows more; two tries take
    /// every branch.
    const TRIES: u8 = 2;

    /// Whether a client gets 202 and polls for its receipt, instead of getting the answer of the
    /// call itself.
    const POLLS: bool = false;

    /// Whether what is committed is on disk.
    const DURABLE: bool = true;

    /// Whether writes carry a fencing token.
    const FENCES: bool = false;

    /// Whether reads of the slot are answered from a cache.
    const CACHES_READS: bool = false;

    /// The step that comes next. The service pauses at a point of this name before it takes it.
    fn point(self) -> Point;

    /// Takes that step. What a step has done to the database before it waits is forgotten.
    fn step(self, call: CallId, database: &mut Database) -> Next<Self>;

    /// Where the next try begins after one that wrote nothing.
    fn again(self) -> Self {
        Self::BEGINNINGS[0]
    }

    /// What a call does that has lost all its tries.
    fn out_of_tries(self, _: &Database) -> OutOfTries<Self> {
        OutOfTries::Answers(Answer::RetryLater)
    }

    /// The booking that a duplicate is answered with, which finds the receipt of `receipt`.
    fn booking_of_receipt(_call: CallId, receipt: CallId) -> CallId {
        receipt
    }

    /// Where a call goes on when the process that works on it crashes. Most are lost.
    fn after_crash(self) -> Option<Self> {
        None
    }

    /// Whether the try has written nothing, and only gives back what it holds.
    fn has_failed(self) -> bool {
        false
    }

    /// Whether a fencing token has kept the try from writing.
    fn was_fenced_off(self) -> bool {
        false
    }

    /// The process that works on the call, if a crash of it takes other calls with it.
    fn process(self) -> Option<u8> {
        None
    }

    /// A call is answered or lost: it leaves everything that it shares with others.
    fn leave(_: CallId, _: &mut Database) {}

    fn confirm(booking: CallId, database: &mut Database) -> StateChange {
        database.confirm(booking)
    }

    fn cancel(booking: CallId, database: &mut Database) -> StateChange {
        database.cancel(booking)
    }
}

/// A step as the service's pause point names it, and as a sentence whose subject is the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub name: &'static str,
    pub sentence: &'static str,
}

impl Point {
    pub const fn new(name: &'static str, sentence: &'static str) -> Self {
        Self { name, sentence }
    }
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<S> {
    /// Another transaction holds what it needs: nothing has happened.
    Waits,
    /// The try goes on to its next step.
    Goes(S),
    /// The booking is committed.
    Took,
    /// Nothing was written, for a reason that the page need not give: too few seats, a lost race, a
    /// key that has its booking.
    Nothing,
    /// Another call has decided for this one.
    Answered(Answer),
    /// The work is done, and no client waits for an answer to it.
    Ended,
}

impl<S> Next<S> {
    /// The same for a strategy that wraps this one.
    pub fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Next<T> {
        match self {
            Self::Waits => Next::Waits,
            Self::Goes(at) => Next::Goes(wrap(at)),
            Self::Took => Next::Took,
            Self::Nothing => Next::Nothing,
            Self::Answered(answer) => Next::Answered(answer),
            Self::Ended => Next::Ended,
        }
    }
}

/// What follows the last try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfTries<S> {
    /// The call answers.
    Answers(Answer),
    /// It goes on elsewhere, where its tries are counted anew.
    Goes(S),
}

impl<S> OutOfTries<S> {
    /// The same for a strategy that wraps this one.
    pub fn map<T>(self, wrap: impl FnOnce(S) -> T) -> OutOfTries<T> {
        match self {
            Self::Answers(answer) => OutOfTries::Answers(answer),
            Self::Goes(at) => OutOfTries::Goes(wrap(at)),
        }
    }
}
