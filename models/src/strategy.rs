//! The seam between the protocol, which is the same for all, and a strategy, which is one page.

use std::{fmt::Debug, hash::Hash};

use crate::{
    call::{Answer, Progress},
    database::{CallId, Change, Database},
};

/// A strategy is the steps of one try at taking a seat: a value is the step that comes next, with
/// what was read before.
///
/// What surrounds a try is the service's common code, and the same for all. A negative control that
/// breaks it says so here.
pub(crate) trait Strategy: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// Where every try begins; where requests can take different paths, the beginning of each.
    const BEGINNINGS: &'static [Self];

    /// Seats of each booking.
    const SEATS: i32 = 1;

    /// Tries of a call before its client is told `retry_later`. The service allows more; two tries
    /// take every branch.
    const TRIES: u8 = 2;

    /// Whether a client is told 202 and asks for its receipt, instead of being told by the call
    /// itself.
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
    fn out_of_tries(self, _: &Database) -> Progress<Self> {
        Progress::Answers(Answer::RetryLater)
    }

    /// Which booking a duplicate is told of, that finds the receipt of this one.
    fn told_by_receipt(_call: CallId, receipt: CallId) -> CallId {
        receipt
    }

    /// Where a call goes on when whoever works on it crashes. Most are lost.
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

    /// A call is answered or lost: it leaves whatever it shares with others.
    fn leave(_: CallId, _: &mut Database) {}

    fn confirm(booking: CallId, database: &mut Database) -> Change {
        database.confirm(booking)
    }

    fn cancel(booking: CallId, database: &mut Database) -> Change {
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
    /// Nothing was written, and the page need not say why: too few seats, a lost race, a key that
    /// has its booking.
    Nothing,
    /// Somebody else has decided for this call.
    Answered(Answer),
    /// The work is done, and nobody waits for an answer to it.
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
