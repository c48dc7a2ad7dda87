//! The Universal Scalability Law, fitted to measured throughput.
//!
//! N / X(N) = 1/lambda + (sigma/lambda) (N - 1) + (kappa/lambda) N (N - 1) is linear in three
//! unknowns, none of which can be negative. Each point is weighted by its throughput, so that
//! relative errors count alike. Source: N. J. Gunther, A General Theory of Computational
//! Scalability, 2008.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_reports::{
    capacity::{Residual, Usl},
    estimate::{Estimate, median},
};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 500;
/// Three unknowns need more points than three.
const POINTS_MIN: usize = 4;

/// Lambda, sigma, kappa.
type Law = [f64; 3];

/// Fits the law to (N, throughput of each round); nothing where there are too few different N.
pub(crate) fn fit(points: &[(u32, Vec<f64>)]) -> Option<Usl> {
    if points.len() < POINTS_MIN || points.iter().any(|(_, rounds)| rounds.is_empty()) {
        return None;
    }
    let flat = |pick: &mut dyn FnMut(&[f64]) -> Vec<f64>| -> Vec<(f64, f64)> {
        points
            .iter()
            .flat_map(|(n, rounds)| {
                pick(rounds).into_iter().map(|per_s| (f64::from(*n), per_s)).collect::<Vec<_>>()
            })
            .filter(|(_, per_s)| *per_s > 0.0)
            .collect()
    };
    let all = flat(&mut <[f64]>::to_vec);
    let law = solve(&all)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut resampled: Vec<Law> = Vec::new();
    for _ in 0..RESAMPLES {
        let sample = flat(&mut |rounds| {
            (0..rounds.len()).map(|_| rounds[rng.random_range(0..rounds.len())]).collect()
        });
        resampled.extend(solve(&sample));
    }
    let interval = |index: usize| {
        let mut values: Vec<f64> = resampled.iter().map(|law| law[index]).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied()
        };
        let own = law[index];
        Estimate {
            median: own,
            low: at(0.025).unwrap_or(own).min(own),
            high: at(0.975).unwrap_or(own).max(own),
        }
    };
    let [_, sigma, kappa] = law;
    Some(Usl {
        lambda: interval(0),
        sigma: interval(1),
        kappa: interval(2),
        peak_at: (kappa > 0.0 && sigma < 1.0).then(|| ((1.0 - sigma) / kappa).sqrt()),
        r_squared: r_squared(&all, law),
        residuals: points.iter().map(|(n, rounds)| residual(*n, rounds, law)).collect(),
    })
}

fn residual(n: u32, rounds: &[f64], law: Law) -> Residual {
    let (measured, predicted) = (median(rounds.iter().copied()), at(law, f64::from(n)));
    Residual { n, measured, predicted, relative: (measured - predicted) / predicted }
}

fn at([lambda, sigma, kappa]: Law, n: f64) -> f64 {
    lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
}

/// How much of the variance the law explains.
fn r_squared(points: &[(f64, f64)], law: Law) -> f64 {
    let mean = points.iter().map(|(_, per_s)| per_s).sum::<f64>() / points.len().max(1) as f64;
    let total: f64 = points.iter().map(|(_, per_s)| (per_s - mean).powi(2)).sum();
    let left: f64 = points.iter().map(|(n, per_s)| (per_s - at(law, *n)).powi(2)).sum();
    if total > 0.0 { 1.0 - left / total } else { 1.0 }
}

/// Weighted least squares over every choice of terms that may be zero; of those without a negative
/// one, the best.
fn solve(points: &[(f64, f64)]) -> Option<Law> {
    let mut best: Option<(f64, Law)> = None;
    for terms in [&[0, 1, 2][..], &[0, 1], &[0, 2], &[0]] {
        let Some(solution) = least_squares(points, terms) else { continue };
        if solution[0] <= 0.0 || solution.iter().any(|term| *term < 0.0) {
            continue;
        }
        let law = [1.0 / solution[0], solution[1] / solution[0], solution[2] / solution[0]];
        let error: f64 = points.iter().map(|(n, per_s)| (1.0 - at(law, *n) / per_s).powi(2)).sum();
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, law));
        }
    }
    best.map(|(_, law)| law)
}

/// Solves for the chosen terms; the others are zero.
fn least_squares(points: &[(f64, f64)], terms: &[usize]) -> Option<[f64; 3]> {
    let mut normal = vec![vec![0.0; terms.len() + 1]; terms.len()];
    for (n, per_s) in points {
        let columns = [1.0, n - 1.0, n * (n - 1.0)];
        let weight = (per_s / n).powi(2);
        for (row, left) in terms.iter().enumerate() {
            for (column, right) in terms.iter().enumerate() {
                normal[row][column] += weight * columns[*left] * columns[*right];
            }
            normal[row][terms.len()] += weight * columns[*left] * n / per_s;
        }
    }
    let solved = eliminate(normal)?;
    let mut solution = [0.0; 3];
    for (term, value) in terms.iter().zip(solved) {
        solution[*term] = value;
    }
    Some(solution)
}

/// Gaussian elimination with the largest pivot.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() < 1e-300 {
            return None;
        }
        let pivot_row = rows[column].clone();
        for row in
            rows.iter_mut().enumerate().filter(|(place, _)| *place != column).map(|(_, row)| row)
        {
            let factor = row[column] / pivot_row[column];
            for (cell, above) in row.iter_mut().zip(&pivot_row) {
                *cell -= factor * above;
            }
        }
    }
    Some((0..size).map(|row| rows[row][size] / rows[row][row]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(law: Law, noise: f64) -> Vec<(u32, Vec<f64>)> {
        let sizes = [1_u32, 2, 4, 8, 16, 32, 64];
        let measured = |n: &u32| {
            let exact = at(law, f64::from(*n));
            (*n, vec![exact * (1.0 + noise), exact * (1.0 - noise), exact])
        };
        sizes.iter().map(measured).collect()
    }

    #[test]
    fn a_law_is_found_again() {
        let law = [1_000.0, 0.05, 0.001];
        let usl = fit(&points(law, 0.0)).expect("seven sizes");
        assert!(
            (usl.lambda.median - 1_000.0).abs() < 1.0 && (usl.sigma.median - 0.05).abs() < 1e-3,
            "{usl:?}"
        );
        assert!((usl.kappa.median - 0.001).abs() < 1e-5 && usl.r_squared > 0.999, "{usl:?}");
        assert!((usl.peak_at.expect("it falls again") - 30.8).abs() < 0.5);
        let noisy = fit(&points(law, 0.05)).expect("seven sizes");
        assert!(noisy.sigma.low <= 0.05 && 0.05 <= noisy.sigma.high, "{noisy:?}");
        assert!(noisy.lambda.low < noisy.lambda.high);
        assert_eq!(noisy.residuals.len(), 7);
        assert!(noisy.residuals.iter().all(|it| it.relative.abs() < 0.02), "{noisy:?}");
        assert_eq!(noisy.misfit(), None);
    }

    #[test]
    fn a_law_that_does_not_fit_says_so() {
        // Clients that wait for each other's holds: throughput rises faster than linear, then
        // stands still.
        let bent = [(16, 100.0), (32, 200.0), (64, 480.0), (128, 1_200.0), (256, 2_000.0)];
        let bent: Vec<_> = bent.iter().map(|(n, per_s)| (*n, vec![*per_s])).collect();
        let usl = fit(&bent).expect("five sizes");
        let misfit = usl.misfit().expect("it does not fit");
        assert!(misfit.contains("off the law"), "{misfit}");
        let falls = [(1, 400.0), (2, 900.0), (3, 300.0), (4, 800.0)];
        let falls: Vec<_> = falls.iter().map(|(n, per_s)| (*n, vec![*per_s])).collect();
        let misfit = fit(&falls).expect("four sizes").misfit().expect("it does not fit");
        assert!(misfit.contains("R²"), "{misfit}");
    }

    #[test]
    fn nothing_is_negative_and_too_few_points_have_no_fit() {
        // Faster than linear: no law of this kind, and no negative contention either.
        let rising: Vec<_> =
            [1_u32, 2, 4, 8].iter().map(|n| (*n, vec![f64::from(*n).powf(1.2)])).collect();
        let usl = fit(&rising).expect("four sizes");
        assert!(usl.sigma.median >= 0.0 && usl.kappa.median >= 0.0 && usl.peak_at.is_none());
        assert_eq!(fit(&rising[..3]), None);
    }
}
