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
/// pairs: both are resampled. `None` of nothing, and where nothing was made.
pub fn ratio_of_medians(over: &[f64], under: &[f64]) -> Option<Estimate> {
    if over.is_empty() || under.is_empty() || under.contains(&0.0) {
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

/// The goodput of each row divided by that of the row `best`, round by round: geometric means, each
/// with a t interval that is missed with a probability of `alpha`. `None` of fewer than two rounds.
///
/// A randomized block design: rows are treatments, rounds are blocks, and every row has a value of
/// each round. Ratios vary by factors, so logarithms are compared; what a round has of good or bad
/// luck falls out; and the noise that is left is estimated from all rows together, because three
/// values of one pair say next to nothing of it. (Montgomery, Design and Analysis of Experiments,
/// chapter 4.) A row that made nothing in some round has the ratio 0.
pub fn ratios_to(best: usize, rows: &[Vec<f64>], alpha: f64) -> Vec<Option<Estimate>> {
    let rounds = rows.iter().map(Vec::len).min().unwrap_or_default();
    let made = |row: &[f64]| row.iter().take(rounds).all(|value| *value > 0.0);
    if rounds < 2 || !made(&rows[best]) {
        return vec![None; rows.len()];
    }
    let logs: Vec<Option<Vec<f64>>> = rows
        .iter()
        .map(|row| made(row).then(|| row.iter().take(rounds).map(|it| it.ln()).collect()))
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let known: Vec<&Vec<f64>> = logs.iter().flatten().collect();
    let of_round: Vec<f64> = (0..rounds)
        .map(|round| mean(&known.iter().map(|row| row[round]).collect::<Vec<_>>()))
        .collect();
    let grand = mean(&of_round);
    let residuals = known.iter().flat_map(|row| {
        let own = mean(row);
        let left = |(value, of_round): (&f64, &f64)| value - own - of_round + grand;
        row.iter().zip(&of_round).map(left).collect::<Vec<_>>()
    });
    let freedom = ((known.len() - 1) * (rounds - 1)) as f64;
    let reach = if freedom < 1.0 {
        0.0
    } else {
        let variance = residuals.map(|left| left * left).sum::<f64>() / freedom;
        let student = StudentsT::new(0.0, 1.0, freedom).expect("its parameters are positive");
        student.inverse_cdf(1.0 - alpha / 2.0) * (2.0 * variance / rounds as f64).sqrt()
    };
    let top = mean(logs[best].as_ref().expect("it made something"));
    let ratio = |row: &Option<Vec<f64>>| match row {
        None => Estimate { median: 0.0, low: 0.0, high: 0.0 },
        Some(row) => {
            let log = mean(row) - top;
            Estimate { median: log.exp(), low: (log - reach).exp(), high: (log + reach).exp() }
        }
    };
    logs.iter().map(|row| Some(ratio(row))).collect()
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
    fn the_ratio_of_two_rows_has_the_paired_t_interval_of_the_tables() {
        let ratios = [0.9_f64, 1.0, 1.1, 1.2, 0.8];
        let luck = [1.0, 5.0, 0.2, 3.0, 0.7];
        let rows = [luck.to_vec(), luck.iter().zip(ratios).map(|(a, b)| a * b).collect()];
        let logs: Vec<f64> = ratios.iter().map(|it| it.ln()).collect();
        let mean = logs.iter().sum::<f64>() / 5.0;
        let deviation = (logs.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        // t of 4 degrees of freedom at 97.5 %: 2.776.
        let reach = 2.776 * deviation / 5.0_f64.sqrt();
        let found = ratios_to(0, &rows, 0.05)[1].expect("five rounds");
        assert!((found.median - mean.exp()).abs() < 1e-12, "{found:?}");
        assert!((found.high - (mean + reach).exp()).abs() < 1e-3, "{found:?}");
        assert!((found.low - (mean - reach).exp()).abs() < 1e-3, "{found:?}");
        assert_eq!(ratios_to(0, &[vec![1.0], vec![2.0]], 0.05), [None, None]);
        let nothing = ratios_to(0, &[vec![1.0, 1.0], vec![0.0, 1.0]], 0.05);
        assert_eq!(nothing[1].map(|it| it.high), Some(0.0));
    }

    /// Ten rows of three rounds with a noise of 15 %, the last of them a third slower.
    fn rows(rng: &mut ChaCha8Rng, slower: f64) -> Vec<Vec<f64>> {
        let luck: Vec<f64> = (0..3).map(|_| rng.random_range(0.5..2.0)).collect();
        let mut row = |factor: f64| -> Vec<f64> {
            luck.iter().map(|luck| luck * factor * rng.random_range(0.85..1.15)).collect()
        };
        let mut rows: Vec<Vec<f64>> = (0..9).map(|_| row(1.0)).collect();
        rows.push(row(slower));
        rows
    }

    #[test]
    fn equals_are_not_told_apart_and_a_known_difference_has_the_right_direction() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let alpha = 0.05 / 9.0;
        let (mut apart, mut found) = (0, 0);
        for _ in 0..400 {
            let equal = ratios_to(0, &rows(&mut rng, 1.0), alpha);
            apart += u32::from(equal.iter().flatten().any(|it| it.high < 1.0 || it.low > 1.0));
            let differs = ratios_to(0, &rows(&mut rng, 0.6), alpha)[9].expect("three rounds");
            assert!(differs.low < 1.0, "the wrong direction: {differs:?}");
            found += u32::from(differs.high < 1.0 / 1.1);
        }
        assert!(apart <= 28, "{apart} of 400 families of equals have an interval without 1");
        assert!(found >= 360, "{found} of 400 differences were found");
    }

    /// Rounds of five variants, more of them until nothing is undecided or twelve were made, as
    /// `compare` adds them. Which of the variants are worse then than the best.
    fn decided(rng: &mut ChaCha8Rng, factors: [f64; 5]) -> Vec<bool> {
        let mut rows: Vec<Vec<f64>> = vec![Vec::new(); 5];
        loop {
            let luck = rng.random_range(0.5..2.0);
            for (row, factor) in rows.iter_mut().zip(factors) {
                row.push(luck * factor * rng.random_range(0.8..1.2));
            }
            if rows[0].len() < 3 {
                continue;
            }
            let medians = |row: &Vec<f64>| median(&mut row.clone());
            let best = (0..5).max_by(|a, b| medians(&rows[*a]).total_cmp(&medians(&rows[*b])));
            let ratios = ratios_to(best.expect("five"), &rows, 0.05 / 4.0);
            let of = |ratio: &Option<Estimate>| ratio.expect("three rounds");
            let open =
                |it: &Estimate| it.high >= 1.0 / 1.1 && (it.low < 1.0 / 1.1 || it.high > 1.1);
            if !ratios.iter().map(of).any(|it| open(&it)) || rows[0].len() == 12 {
                return ratios.iter().map(|ratio| of(ratio).high < 1.0 / 1.1).collect();
            }
        }
    }

    #[test]
    fn rounds_that_are_added_until_all_is_decided_do_not_make_equals_worse() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut wrong, mut found) = (0, 0);
        for _ in 0..400 {
            wrong += u32::from(decided(&mut rng, [1.0; 5]).contains(&true));
            found += u32::from(decided(&mut rng, [1.0, 1.0, 1.0, 1.0, 0.7])[4]);
        }
        assert!(wrong <= 10, "{wrong} of 400 families of equals have one that is called worse");
        assert!(found >= 392, "{found} of 400 differences of 30 % were found");
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
