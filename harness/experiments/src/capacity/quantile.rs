//! A quantile with an interval that assumes no distribution, and how long a load must last for it.
//!
//! How many of n independent values lie below a quantile is binomial, so two order statistics
//! enclose the quantile with a probability that is known whatever the values are distributed like
//! (David and Nagaraja, Order Statistics, 3rd edition, section 7.1). Latencies that queue behind
//! each other are not independent: the interval is then too narrow, which is why a rate is never
//! confirmed by one load.

use slotproof_reports::capacity::{Interval, P99};
use slotproof_vocabulary::Span;
use statrs::distribution::{Binomial, DiscreteCDF};

/// The quantile of which objectives speak.
const P: f64 = 0.99;
/// The probability with which an interval misses the quantile on one side.
const ONE_SIDE: f64 = 0.025;
/// Operations of a probe, at least: ten of them lie beyond p99.
pub(super) const OPERATIONS_MIN: u64 = 1_000;

/// The 99th percentile of values with its 95 % interval; sorts them. Nothing of no values.
///
/// Fewer than 368 values bound it on one side only: all of them may lie below it.
pub(super) fn p99(values: &mut [u64]) -> Option<P99> {
    values.sort_unstable();
    let count = values.len() as u64;
    let at = |rank: u64| values[rank as usize - 1];
    let rank = ((count as f64 * P).ceil() as u64).max(1);
    let (low, high) = ranks(count)?;
    Some(P99 {
        us: at(rank),
        interval: Interval { low: at(low), high: high.map(at) },
        operations: count,
        beyond: count - rank,
    })
}

/// The ranks, counted from 1, of the order statistics that enclose the quantile of so many values.
fn ranks(count: u64) -> Option<(u64, Option<u64>)> {
    if count == 0 {
        return None;
    }
    let below = Binomial::new(P, count).expect("a probability and a count");
    // The largest rank whose value lies above the quantile only rarely: P(B < rank) <= 2.5 %.
    let low = largest(count, |rank| below.cdf(rank - 1) <= ONE_SIDE).unwrap_or(1);
    // The smallest one whose value lies below it only rarely: P(B >= rank) <= 2.5 %.
    let too_small = largest(count, |rank| 1.0 - below.cdf(rank - 1) > ONE_SIDE).unwrap_or(0);
    Some((low, (too_small < count).then_some(too_small + 1)))
}

/// The largest rank of 1 to `count` of which something holds that holds up to some rank.
fn largest(count: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut within, mut beyond) = (0, count + 1);
    while beyond - within > 1 {
        let middle = within + (beyond - within) / 2;
        if holds(middle) {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    (within > 0).then_some(within)
}

/// How long a load must last to make [`OPERATIONS_MIN`] operations at a rate: the usual window, or
/// a longer one, in whole tenths of a second, up to a limit.
pub(super) fn window(usual: Span, longest: Span, operations_per_s: f64) -> Span {
    let needed_ms = OPERATIONS_MIN as f64 / operations_per_s.max(f64::MIN_POSITIVE) * 1e3;
    let needed = Span::of_ms((needed_ms / 100.0).ceil() as u64).ms().saturating_mul(100);
    Span::of_ms(needed).max(usual).min(longest)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn ranks_are_those_of_the_binomial_tables() {
        // B(1000, 0.99) is 1000 minus a nearly Poisson count of mean 10: P(X >= 17) = 0.026 and
        // P(X >= 18) = 0.013, P(X <= 4) = 0.029 and P(X <= 3) = 0.010.
        assert_eq!(ranks(1_000), Some((983, Some(997))));
        assert_eq!(ranks(367).expect("values").1, None, "0.99^367 is 2.501 %");
        assert_eq!(ranks(368).expect("values").1, Some(368), "0.99^368 is 2.476 %");
        assert_eq!(ranks(1), Some((1, None)));
        assert_eq!(ranks(0), None);
    }

    #[test]
    fn the_interval_encloses_the_quantile_as_often_as_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut missed = 0;
        for _ in 0..2_000 {
            let mut values: Vec<u64> = (0..1_500).map(|_| rng.random_range(0..100_000)).collect();
            let P99 { us, interval, .. } = p99(&mut values).expect("there are values");
            let high = interval.high.expect("there are enough");
            assert!(interval.low <= us && us <= high);
            missed += u32::from(!(interval.low..=high).contains(&99_000));
        }
        assert!(missed <= 110, "{missed} of 2,000 intervals miss the quantile; 5 % are 100");
    }

    #[test]
    fn a_percentile_counts_what_lies_beyond_it() {
        let mut values: Vec<u64> = (1..=1_000).rev().collect();
        let found = p99(&mut values).expect("there are values");
        assert_eq!((found.us, found.operations, found.beyond), (990, 1_000, 10));
        assert_eq!(found.interval, Interval { low: 983, high: Some(997) });
        assert_eq!(p99(&mut []), None);
    }

    #[test]
    fn a_slow_rate_is_loaded_for_longer_up_to_a_limit() {
        let (usual, longest) = (Span::of_ms(3_000), Span::of_ms(24_000));
        assert_eq!(window(usual, longest, 5_000.0), usual);
        assert_eq!(window(usual, longest, 120.0), Span::of_ms(8_400));
        assert_eq!(window(usual, longest, 2.0), longest);
        assert_eq!(window(usual, longest, 0.0), longest);
    }
}
