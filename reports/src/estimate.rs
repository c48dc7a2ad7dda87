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
    /// A value that is known without error.
    pub fn exactly(value: f64) -> Self {
        Self { median: value, low: value, high: value }
    }

    /// Whether two intervals have a value in common: then these rounds do not tell which is larger.
    /// It is no test of equality.
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

/// The middle of some values; zero of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_lies_between_the_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 2.0]), 3.0);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn intervals_overlap_if_they_have_a_value_in_common() {
        let of = |low, high| Estimate { median: f64::midpoint(low, high), low, high };
        assert!(of(1.0, 2.0).overlaps(&of(2.0, 3.0)) && of(1.0, 9.0).overlaps(&of(2.0, 3.0)));
        assert!(!of(1.0, 2.0).overlaps(&of(2.1, 3.0)) && !of(5.0, 6.0).overlaps(&of(2.1, 3.0)));
    }
}
