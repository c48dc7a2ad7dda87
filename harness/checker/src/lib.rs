#![doc = include_str!("../README.md")]

pub mod case;
pub mod history;

mod slot_operations;

pub mod slot_history;
pub mod spec;

pub mod certificate;
pub mod search;

mod held_interval;
pub mod occupancy;
pub mod step_function;

mod availability;
mod capacity;
mod extrema;

mod slot_evidence;

pub mod audit;

mod invariants;
mod resolution;

pub mod evidence_file;

#[cfg(test)]
mod fixture;

pub use case::{Case, Origin};
pub use history::{History, HistoryError};

use slotproof_vocabulary::VerdictReport;

/// Judges a case by every invariant that its evidence allows.
pub fn judge(case: &Case) -> VerdictReport {
    VerdictReport::new(case.history.operations.len() as u64, invariants::judge(case))
}

/// Seats times seconds of calls that were told `sold_out` while the seats that they wanted were
/// certainly free: what I8 counts, weighted.
pub fn wrongly_refused_seat_seconds(case: &Case) -> f64 {
    invariants::wrongly_refused_seat_seconds(case)
}
