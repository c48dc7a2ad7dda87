//! The seam between the protocol, which is the same for all, and a strategy, which is one page.

use std::{fmt::Debug, hash::Hash};

use crate::database::{CallId, Database};

/// A strategy is the steps of its `reserve`: a value says which step a call is about to take, and what it has read so far.
pub(crate) trait Strategy: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// Where every call begins.
    const BEGIN: Self;

    /// The step that comes next, as a sentence whose subject is the call. The service pauses at points of these names.
    fn point(self) -> &'static str;

    /// Takes that step. A step that waits must leave the database as it was, or what it did is lost.
    fn step(self, call: CallId, database: &mut Database) -> Next<Self>;

    fn forget(self, _: &Database) -> Self {
        self
    }
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<S> {
    /// Another transaction holds a row that the step needs: nothing has happened.
    Waits,
    /// The call goes on to its next step.
    Goes(S),
    /// The call is over.
    Answers(Answer),
}

/// What `reserve` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok { booking: CallId },
    SoldOut { version: u8 },
    RetryLater,
}
