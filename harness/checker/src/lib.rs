#![doc = include_str!("../README.md")]

pub mod case;
pub mod history;

pub mod certificate;
pub mod search;
pub mod spec;
pub mod story;

mod free;
mod resolution;
mod tenure;

pub mod slots;

pub mod extrema;
pub mod occupancy;

mod invariants;

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

/// Seats times seconds of calls that were told `sold_out` while what they wanted was free for
/// certain: what I8 counts, weighed.
pub fn wrongly_refused_seat_seconds(case: &Case) -> f64 {
    invariants::wrongly_refused_seat_seconds(case)
}
