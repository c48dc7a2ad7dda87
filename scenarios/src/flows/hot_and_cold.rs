//! `hot_and_cold`: ordinary traffic over slots of unequal popularity.
//!
//! Slot `k` of the plan is chosen in proportion to `1 / k^s` (Zipf's law; `s` is the plan's
//! `zipf`). With 1,000 slots and `s = 1.1` the first gets 18 % of the flows, and the last 0.01 %.
//! Otherwise it is `steady`.

use rand::distr::Distribution;
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;

use super::{
    intent::{FlowContext, Intent},
    steady,
};

pub(crate) fn intent(context: &FlowContext, rng: &mut ChaCha8Rng) -> Intent {
    Intent { slot: slot(context, rng), ..steady::intent(context, rng) }
}

pub(crate) use steady::run;

fn slot(context: &FlowContext, rng: &mut ChaCha8Rng) -> usize {
    let exponent = context.plan.zipf.expect("a plan of hot_and_cold has one");
    let zipf =
        Zipf::new(context.slots as f64, exponent).expect("the plan's exponent is from 0 to 10");
    zipf.sample(rng) as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn slots_are_chosen_by_zipfs_law() {
        let context =
            FlowContext::of(r#"{"scenario": "hot_and_cold", "slots": 1000, "zipf": 1.1}"#);
        let mut rng = random::stream(1, 0);
        let mut chosen = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            chosen[slot(&context, &mut rng)] += 1;
        }
        let sum: f64 = (1..=1_000).map(|k| f64::from(k).powf(-1.1)).sum();
        for k in [1_u32, 2, 10] {
            let expected = 100_000.0 * f64::from(k).powf(-1.1) / sum;
            let drawn = f64::from(chosen[k as usize - 1]);
            assert!((drawn / expected - 1.0).abs() < 0.1, "slot {k}: {drawn} of {expected}");
        }
    }
}
