//! Medians and what is known of them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_reports::estimate::Estimate;
use statrs::distribution::{ContinuousCDF, StudentsT};

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

/// The geometric mean of ratios with its t interval, which is missed with a probability of `alpha`;
/// `None` of fewer than two. Ratios vary by factors, so their logarithms are what is about normal.
pub fn geometric_mean(ratios: &[f64], alpha: f64) -> Option<Estimate> {
    let count = ratios.len() as f64;
    let freedom = count - 1.0;
    if freedom < 1.0 {
        return None;
    }
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / freedom;
    let student = StudentsT::new(0.0, 1.0, freedom).expect("its parameters are positive");
    let reach = student.inverse_cdf(1.0 - alpha / 2.0) * (variance / count).sqrt();
    Some(Estimate {
        median: mean.exp(),
        low: (mean - reach).exp(),
        high: (mean + reach).exp(),
    })
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
    fn a_t_interval_is_that_of_the_tables() {
        // t of 4 degrees of freedom at 97.5 %: 2.776.
        let ratios = [0.9_f64, 1.0, 1.1, 1.2, 0.8];
        let logs: Vec<f64> = ratios.iter().map(|it| it.ln()).collect();
        let mean = logs.iter().sum::<f64>() / 5.0;
        let deviation = (logs.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        let found = geometric_mean(&ratios, 0.05).expect("five");
        assert!((found.median - mean.exp()).abs() < 1e-12);
        let reach = 2.776 * deviation / 5.0_f64.sqrt();
        assert!((found.high - (mean + reach).exp()).abs() < 1e-3, "{found:?}");
        assert!((found.low - (mean - reach).exp()).abs() < 1e-3, "{found:?}");
        assert_eq!(geometric_mean(&[1.0], 0.05), None);
    }

    #[test]
    fn equals_are_rarely_told_apart() {
        // Two hundred comparisons of a thing with itself, five rounds each, with a noise of 15 %.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut noise = || (1.0 + 0.15 * (rng.random::<f64>() * 2.0 - 1.0)).max(0.01);
        let worse = (0..200).filter(|_| {
            let ratios: Vec<f64> = (0..5).map(|_| noise() / noise()).collect();
            geometric_mean(&ratios, 0.05).is_some_and(|it| it.high < 1.0 / 1.1 || it.low > 1.1)
        });
        assert!(worse.count() <= 2);
    }

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
