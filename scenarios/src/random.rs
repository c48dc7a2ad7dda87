//! What clients draw, all of it from the plan's seed.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Flow, Mix};

/// Seats of a reserve, and the percentage of reserves that ask for them.
const SEATS_PERCENT: [(u32, u32); 3] = [(1, 80), (2, 15), (3, 5)];

/// The random numbers of one client, or of one arrival: each has a stream of its own.
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// The seats that a user wants.
pub(crate) fn seats(rng: &mut ChaCha8Rng) -> u32 {
    let mut choice = rng.random_range(0..100);
    for (seats, weight) in SEATS_PERCENT {
        if choice < weight {
            return seats;
        }
        choice -= weight;
    }
    1
}

/// True with a probability of `share` percent.
pub(crate) fn percent(rng: &mut ChaCha8Rng, share: u32) -> bool {
    rng.random_range(0..100) < share
}

/// A flow of a mix.
pub(crate) fn flow(rng: &mut ChaCha8Rng, mix: &Mix) -> Flow {
    mix.at(rng.random_range(0..mix.total()))
}

/// A pause, in nanoseconds, from a range in milliseconds.
pub(crate) fn pause_ns(rng: &mut ChaCha8Rng, range_ms: Range<u64>) -> u64 {
    rng.random_range(range_ms.start * 1_000_000..range_ms.end * 1_000_000)
}

/// A think time, in nanoseconds: uniform from half of the mean to one and a half of it.
pub(crate) fn think_ns(rng: &mut ChaCha8Rng, mean_ns: u64) -> u64 {
    rng.random_range(mean_ns / 2..=mean_ns / 2 + mean_ns)
}

/// An instant within the first think time, so that not all clients begin at once.
pub(crate) fn up_to_ns(rng: &mut ChaCha8Rng, mean_ns: u64) -> u64 {
    rng.random_range(0..=mean_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_seats_add_up_and_every_size_occurs() {
        assert_eq!(SEATS_PERCENT.iter().map(|(_, weight)| weight).sum::<u32>(), 100);
        let mut rng = stream(1, 0);
        let drawn: std::collections::BTreeSet<u32> = (0..1_000).map(|_| seats(&mut rng)).collect();
        assert_eq!(drawn, [1, 2, 3].into());
    }

    #[test]
    fn a_mix_is_drawn_by_its_weights() {
        let mix: Mix = "browse=70,book=30".parse().expect("a mix");
        let mut rng = stream(1, 0);
        let browses = (0..10_000).filter(|_| flow(&mut rng, &mix) == Flow::Browse).count();
        assert!((6_800..7_200).contains(&browses), "{browses}");
    }

    #[test]
    fn think_times_have_the_mean_that_was_asked_for() {
        let mut rng = stream(1, 0);
        let sum: u64 = (0..10_000).map(|_| think_ns(&mut rng, 1_000)).sum();
        assert!((9_800_000..10_200_000).contains(&sum), "{sum}");
        assert_eq!(think_ns(&mut rng, 0), 0);
    }
}
