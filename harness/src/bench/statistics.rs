//! Medians and what is known of them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// A median with its bootstrap 95 % interval (percentile method). With few rounds the interval is about their range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// `None` of nothing.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut resample: Vec<f64> =
                (0..values.len()).map(|_| values[rng.random_range(0..values.len())]).collect();
            median(&mut resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Estimate { median: median(&mut values.to_vec()), low: at(0.025), high: at(0.975) })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_lies_within_its_interval_and_the_interval_within_the_range() {
        let values = [10.0, 12.0, 11.0, 30.0, 9.0];
        let Estimate { median, low, high } = estimate(&values).expect("there are values");
        assert_eq!(median, 11.0);
        assert!(9.0 <= low && low <= median && median <= high && high <= 30.0);
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[4.0, 2.0]).expect("two").median, 3.0);
    }
}
