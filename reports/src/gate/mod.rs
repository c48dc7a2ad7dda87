//! A gate: what a merge was held against, and what is drawn from it: a page, JUnit XML, annotations
//! and a badge.

mod data;
mod outcome;

mod annotations;
mod document;
mod junit;

pub use data::{
    Check, CheckRun, Decision, Gate, Measure, MeasureKind, Performance, RoundsLay, Undecided,
};
pub use outcome::GateOutcome;
