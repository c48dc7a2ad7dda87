//! Experiments: a trial, and everything that is made of several trials.
//!
//! A trial goes from a plan to a judged run: start the stack, load it, collect the evidence, judge,
//! report. A `Series` makes many trials on one set of servers; [`compare`], [`capacity`], [`gate`]
//! and [`selftest`] are series with a question. Benches measure without judging. Every experiment
//! holds one [`ExperimentSpec`] and says what it does to a [`Progress`].

pub mod spec;

pub mod check_run;
pub mod convert;
#[cfg(feature = "parquet")]
mod parquet_file;
mod summary;
pub mod trial;

pub mod coverage;
mod series;

pub mod architecture;
pub mod bench;
pub mod capacity;
pub mod compare;
pub mod gate;
pub mod on;
pub mod selftest;
pub mod simulated;
pub mod target_run;
pub mod target_series;
mod target_stack;
pub mod target_try;

mod statistics;

pub mod progress;

mod fault_effects;
mod injected;
mod input;
mod machine;
mod target;

pub use progress::{Progress, Silent};
pub use spec::{ExperimentSpec, command_of};
pub use summary::totals_of;
