//! `hot_and_cold`: an ordinary day on which a few slots are wanted by most.
//!
//! Slot `k` of the plan is wanted in proportion to `1 / k^s` (Zipf's law; `s` is the plan's
//! `zipf`). With 1,000 slots and `s = 1.1` the first is wanted by 18 of a hundred and the last by
//! one of ten thousand. Else it is `steady`.

use rand::distr::Distribution;
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;

use crate::{
    steady::{self, Intent},
    visits::World,
};

pub(crate) fn intent(world: &World, rng: &mut ChaCha8Rng) -> Intent {
    Intent { slot: slot(world, rng), ..steady::intent(world, rng) }
}

pub(crate) use steady::visit;

fn slot(world: &World, rng: &mut ChaCha8Rng) -> usize {
    let exponent = world.plan.zipf.expect("a plan of hot_and_cold has one");
    let zipf =
        Zipf::new(world.slots as f64, exponent).expect("the plan's exponent is from 0 to 10");
    zipf.sample(rng) as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance;

    #[test]
    fn the_first_slots_are_wanted_most_by_the_law() {
        let world = World::of(r#"{"scenario": "hot_and_cold", "slots": 1000, "zipf": 1.1}"#);
        let mut rng = chance::stream(1, 0);
        let mut wanted = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            wanted[slot(&world, &mut rng)] += 1;
        }
        let sum: f64 = (1..=1_000).map(|k| f64::from(k).powf(-1.1)).sum();
        for k in [1_u32, 2, 10] {
            let expected = 100_000.0 * f64::from(k).powf(-1.1) / sum;
            let drawn = f64::from(wanted[k as usize - 1]);
            assert!((drawn / expected - 1.0).abs() < 0.1, "slot {k}: {drawn} of {expected}");
        }
    }
}
