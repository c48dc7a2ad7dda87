//! Medians and what is known of them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_reports::estimate::Estimate;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// `None` of nothing.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
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

/// How much larger the median of one list is than that of another, which were not measured in
/// pairs: both are resampled.
pub fn ratio_of_medians(over: &[f64], under: &[f64]) -> Option<Estimate> {
    if over.is_empty() || under.is_empty() {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut resampled = |values: &[f64]| {
        let mut resample: Vec<f64> =
            (0..values.len()).map(|_| values[rng.random_range(0..values.len())]).collect();
        median(&mut resample)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| resampled(over) / resampled(under)).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((RESAMPLES - 1) as f64 * share).round() as usize];
    let ratio = median(&mut over.to_vec()) / median(&mut under.to_vec());
    Some(Estimate { median: ratio, low: at(0.025), high: at(0.975) })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
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
        let ratio =
            ratio_of_medians(&[20.0, 22.0, 24.0], &[10.0, 11.0, 12.0]).expect("there are values");
        assert!(ratio.low <= 2.0 && ratio.median == 2.0 && ratio.high >= 2.0);
        assert_eq!(estimate(&[4.0, 2.0]).expect("two").median, 3.0);
    }
}
