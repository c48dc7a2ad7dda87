//! The seam between the protocol, which is the same for all, and a strategy, which is one page.

use std::{fmt::Debug, hash::Hash};

use crate::database::{CallId, Database};

/// A strategy is the steps of one try at taking a seat: a value is the step that comes next, with what was read before.
pub(crate) trait Strategy: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// Where every try begins.
    const BEGIN: Self;

    /// The step that comes next, as a sentence whose subject is the call. The service pauses at points of these names.
    fn point(self) -> &'static str;

    /// Takes that step. What a step has done to the database before it waits is forgotten.
    fn step(self, call: CallId, database: &mut Database) -> Next<Self>;
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<S> {
    /// Another transaction holds the slot's row: nothing has happened.
    Waits,
    /// The try goes on to its next step.
    Goes(S),
    /// The booking is committed.
    Took,
    /// Nothing was written, and the page need not say why: too few seats, a lost race, a key that has its booking.
    Nothing,
}
