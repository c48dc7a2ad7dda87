//! Estimates: a median and what is known of it.

use serde::{Deserialize, Serialize};

/// A median over rounds with its bootstrap 95 % interval. With few rounds the interval is about
/// their range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The middle of the rounds.
    pub median: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Estimate {
    /// Whether two intervals have a value in common: then nobody can say which is larger.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    /// The median and its interval, each written by `format`; only the median where all rounds
    /// agree.
    pub(crate) fn text(&self, format: impl Fn(f64) -> String) -> String {
        let (median, low, high) = (format(self.median), format(self.low), format(self.high));
        if low == high { median } else { format!("{median} ({low} to {high})") }
    }
}
