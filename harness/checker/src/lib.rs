#![doc = include_str!("../README.md")]
//!
//! # Example
//!
//! A slot with one seat, and two clients that were both told that they have it:
//!
//! ```
//! use slotproof_checker::{Case, History, judge};
//! use slotproof_vocabulary::{Invariant, Verdict, operation_builder::reserve};
//!
//! let operations = vec![
//!     reserve("monday-9").by(1).key("k1").at(100, 900).booked("b1"),
//!     reserve("monday-9").by(2).key("k2").at(200, 950).booked("b2"),
//!     reserve("monday-9").by(3).key("k3").at(960, 990).sold_out(),
//! ];
//! let history = History::of(operations);
//! let report = judge(&Case { history, capacity: 1, ..Case::default() });
//!
//! assert_eq!(report.verdict, Verdict::Violated);
//! let finding = &report.findings[0];
//! assert_eq!(finding.invariant, Invariant::NoOverbookingObserved);
//! let witness = finding.witness.as_ref().expect("a violation is shown");
//! assert_eq!(witness.instant_ns, Some(950));
//! assert_eq!(witness.operations.len(), 2);
//! ```

// In reading order: each module uses only those before it.
pub mod history;

pub mod case;

mod basket;

mod interpretation;

mod slot_operations;

mod freshness;

pub mod spec;

pub mod step_function;

mod changed_booking;
mod held_interval;

pub mod slot_history;

pub mod certificate;
pub mod search;

pub mod occupancy;

mod capacity;
mod extrema;

mod availability;

mod overbooking;

mod slot_evidence;

pub mod audit;

mod resolution;

mod invariants;

pub mod evidence_file;

#[cfg(test)]
mod fixture;

pub use case::{Case, CaseError, Origin};
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
