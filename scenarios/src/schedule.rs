//! The schedule of an open workload: when each user arrives, whatever the service does.
//!
//! The rate is a chain of ramps. Let `L(t)` be the area under it up to `t`: the number of users
//! that should have arrived by then. User `i` arrives when `L(t)` reaches the `i`-th of a row of
//! points: every whole number for constant arrivals, and for Poisson arrivals points whose
//! distances are exponential with mean 1 (the time change of an inhomogeneous Poisson process;
//! Çınlar, Introduction to Stochastic Processes, 1975, theorem 7.4). The latter are stretched so
//! that as many fall into the schedule as were asked for: that is the Poisson process on the
//! condition that its total is this, and the rate asked for and the rate made can be compared to a
//! fraction of a percent.
//!
//! Instants are offsets from the beginning, computed from the plan and never from when the one
//! before was really sent.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;
use slotproof_vocabulary::{Arrivals, Plan, Ramp, Rate, Stage, Workload};

/// The stream of the random numbers that space arrivals; clients and flows have the streams from 0.
const STREAM: u64 = u64::MAX;

/// The arrivals of an open workload, in their order, as nanoseconds since the beginning; the
/// warm-up comes first.
#[derive(Debug, Clone)]
pub struct Schedule {
    stages: Vec<Stage>,
    points: Points,
    /// The stage that the last arrival lay in, and how much time and area lie before it.
    stage: usize,
    before_s: f64,
    before_area: f64,
}

/// The increasing sequence of areas at which users arrive.
#[derive(Debug, Clone)]
struct Points {
    next: u64,
    total: u64,
    spacing: Spacing,
}

#[derive(Debug, Clone)]
enum Spacing {
    Even,
    /// Distances drawn, times `scale`.
    Drawn {
        rng: Box<ChaCha8Rng>,
        scale: f64,
        area: f64,
    },
}

impl Schedule {
    /// The schedule of a plan; `None` for a closed workload, in which clients arrive when they are
    /// ready.
    pub fn of(plan: &Plan) -> Option<Self> {
        let Workload::Open { arrivals, stages, .. } = &plan.workload else { return None };
        let mut all = Vec::new();
        if let Some(first) = stages.first() {
            all.push(Stage { lasts: plan.warm_up, ramp: Ramp::flat(first.ramp.from) });
        }
        all.extend(stages);
        let area: f64 = all.iter().map(Stage::arrivals).sum();
        let total = area.round() as u64;
        let spacing = match arrivals {
            Arrivals::Constant => Spacing::Even,
            Arrivals::Poisson => Spacing::drawn(plan.seed, total, area),
        };
        let points = Points { next: 0, total, spacing };
        Some(Self { stages: all, points, stage: 0, before_s: 0.0, before_area: 0.0 })
    }

    /// Arrivals from beginning to end.
    pub fn total(&self) -> u64 {
        self.points.total
    }

    /// The instant at which the area reaches `area`, in seconds.
    fn at_s(&mut self, area: f64) -> f64 {
        loop {
            let stage = self.stages[self.stage];
            let (lasts_s, inside) = (stage.lasts.0.as_secs_f64(), stage.arrivals());
            let last = self.stage + 1 == self.stages.len();
            if area <= self.before_area + inside || last {
                let within = (area - self.before_area).clamp(0.0, inside);
                return self.before_s + reached_s(stage.ramp, lasts_s, within).clamp(0.0, lasts_s);
            }
            self.before_s += lasts_s;
            self.before_area += inside;
            self.stage += 1;
        }
    }
}

/// When the area under a ramp of `lasts_s` seconds reaches `area`: the root of a quadratic, written
/// so that it does not cancel out for a ramp that is nearly flat.
fn reached_s(ramp: Ramp, lasts_s: f64, area: f64) -> f64 {
    let (from, to) = (Rate::per_s(ramp.from), Rate::per_s(ramp.to));
    if area <= 0.0 || lasts_s <= 0.0 {
        return 0.0;
    }
    let slope = (to - from) / lasts_s;
    2.0 * area / (from + (from * from + 2.0 * slope * area).max(0.0).sqrt())
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let area = self.points.next()?;
        Some((self.at_s(area) * 1e9) as u64)
    }
}

impl Iterator for Points {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        if self.next == self.total {
            return None;
        }
        self.next += 1;
        Some(match &mut self.spacing {
            // In the middle of its share, so that a second of 800/s holds 800 and not 801.
            Spacing::Even => self.next as f64 - 0.5,
            Spacing::Drawn { rng, scale, area } => {
                *area += distance(rng) * *scale;
                *area
            }
        })
    }
}

impl Spacing {
    /// Draws all distances twice: once for their sum, and once, by the iterator, to use them.
    fn drawn(seed: u64, total: u64, area: f64) -> Self {
        let rng = || {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(STREAM);
            rng
        };
        let mut first = rng();
        // One more than there are arrivals: the distance from the last one to the end.
        let sum: f64 = (0..=total).map(|_| distance(&mut first)).sum();
        Self::Drawn { rng: Box::new(rng()), scale: area / sum, area: 0.0 }
    }
}

fn distance(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(Exp1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(args: &str) -> Plan {
        serde_json::from_str(args).expect("a plan")
    }

    fn schedule(args: &str) -> Vec<u64> {
        Schedule::of(&plan(args)).expect("it is open").collect()
    }

    fn within(instants: &[u64], from_s: f64, to_s: f64) -> usize {
        let second = |ns: u64| ns as f64 / 1e9;
        instants.iter().filter(|ns| (from_s..to_s).contains(&second(**ns))).count()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let instants = schedule(r#"{"scenario": "steady", "rate": "100/s", "duration": "2s"}"#);
        assert_eq!(instants.len(), 200);
        assert_eq!(
            (instants[0], instants[1], instants[199]),
            (5_000_000, 15_000_000, 1_995_000_000)
        );
    }

    #[test]
    fn a_ramp_holds_the_area_under_it_in_every_part() {
        let instants =
            schedule(r#"{"scenario": "steady", "rate": "0/s..1000/s", "duration": "10s"}"#);
        assert_eq!(instants.len(), 5_000);
        // The area up to t is 50 t^2.
        assert_eq!((within(&instants, 0.0, 2.0), within(&instants, 0.0, 5.0)), (200, 1_250));
        let falling =
            schedule(r#"{"scenario": "steady", "rate": "1000/s..0/s", "duration": "10s"}"#);
        assert_eq!((within(&falling, 0.0, 5.0), within(&falling, 8.0, 10.1)), (3_750, 200));
    }

    #[test]
    fn stages_follow_each_other_after_the_warm_up() {
        let instants = schedule(
            r#"{"scenario": "steady", "warm_up": "1s", "stages": ["2s@100/s", "1s@0/s", "1s@0/s..100/s", "1s@100/s"]}"#,
        );
        let by_second: Vec<usize> = (0..6)
            .map(|second| within(&instants, second.into(), f64::from(second) + 1.0))
            .collect();
        assert_eq!(by_second, [100, 100, 100, 0, 50, 100]);
        assert!(instants.is_sorted());
    }

    #[test]
    fn poisson_arrivals_are_as_many_as_asked_for_and_as_irregular_as_they_should_be() {
        let instants = schedule(
            r#"{"scenario": "steady", "rate": "800/s", "duration": "20s", "arrivals": "poisson", "seed": 3}"#,
        );
        assert_eq!(instants.len(), 16_000);
        assert!(instants.is_sorted() && *instants.last().expect("some") <= 20_000_000_000);
        let gaps: Vec<f64> = instants.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential distribution has a coefficient of variation of 1, and 1/e of it lies above
        // its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{}", variance.sqrt() / mean);
        let long = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!((long - (-1.0_f64).exp()).abs() < 0.015, "{long}");
    }

    #[test]
    fn the_same_seed_gives_the_same_instants_and_another_seed_others() {
        let seeded = |seed: u64| {
            schedule(&format!(
                r#"{{"scenario": "steady", "rate": "500/s", "arrivals": "poisson", "seed": {seed}}}"#
            ))
        };
        assert_eq!(seeded(7), seeded(7));
        assert_ne!(seeded(7), seeded(8));
    }

    #[test]
    fn a_closed_workload_has_no_schedule() {
        assert!(Schedule::of(&plan(r#"{"scenario": "steady"}"#)).is_none());
    }
}
