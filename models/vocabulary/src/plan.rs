//! Plans: a workload as data. A run can be repeated from its plan alone.
//!
//! [`PlanArgs`] is how people write a plan. [`Plan`] is what it means: complete, and without
//! contradiction. `plan_validation.rs` turns the one into the other.

use serde::{Deserialize, Serialize};

use crate::{
    mix::Mix,
    plan_args::PlanArgs,
    scenario::ScenarioKind,
    share::Share,
    span::Span,
    strategy::StrategyKind,
    workload::{Sockets, Workload},
};

/// Something that a run must have reached, or its verdict means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Some client was told `sold_out`.
    SoldOut,
    /// Some slot had all its seats promised.
    Full,
    /// Seats that a cancel gave back were promised again after the slot had been full.
    Resale,
    /// Seats of an expired hold were promised again.
    Reclaim,
    /// Some operation was sent more than once.
    Resend,
    /// So many grants were contested: one client got seats while another was refused seats of the
    /// same slot. In each of them a service that is not safe may sell a seat twice.
    Contested(u32),
    /// So many keys were in flight twice at once, and one of the two got seats. A service that looks
    /// a key up before it books may book such a key twice.
    KeyTwice(u32),
    /// Every arrival was made, and the p99 send lag was below this many milliseconds.
    OnSchedule(u64),
}

/// What a run does. Stored as `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanArgs", into = "PlanArgs")]
pub struct Plan {
    /// The load shape.
    pub scenario: ScenarioKind,
    /// The service's strategy; absent when the target is another service.
    pub strategy: Option<StrategyKind>,
    /// Who arrives when.
    pub workload: Workload,
    /// Slots under load.
    pub slots: u32,
    /// Seats of each slot.
    pub capacity: u32,
    /// The Zipf exponent of slot popularity, for the scenario that has one.
    pub zipf: Option<f64>,
    /// Weights of the user flows; `flash_sale` does not use them.
    pub mix: Mix,
    /// How clients connect.
    pub sockets: Sockets,
    /// Load before the measured window: judged, but excluded from the figures.
    pub warm_up: Span,
    /// How long a client waits for the answer to one operation before the outcome is unknown.
    pub timeout: Span,
    /// Attempts per operation.
    pub attempts: u32,
    /// How long a client waits for an answer before it resends.
    pub resend: Span,
    /// How long a hold lasts before it expires.
    pub hold: Span,
    /// Largest share of operations that may get no decision: an objective, and no invariant.
    pub errors_max: Share,
    /// Contested grants that a run must have reached: see [`Expectation::Contested`].
    pub contested_min: u32,
    /// The seed of everything random.
    pub seed: u64,
}

impl Plan {
    /// Clients of one process: each needs a file descriptor, and the pool opens up to twice as many
    /// connections.
    pub const CLIENTS_MAX: u32 = 10_000;
    /// The largest capacity that the service accepts.
    pub const CAPACITY_MAX: u32 = 1_000_000;
    /// A day: longer is a typing error.
    pub const SPAN_MAX: Span = Span::of_ms(24 * 60 * 60 * 1_000);
    /// Arrivals of one plan: about a day of 1,000/s.
    pub const ARRIVALS_MAX: f64 = 100_000_000.0;
    /// Keys that a scenario with double clicks must have had in flight twice: see
    /// [`Expectation::KeyTwice`]. I5 says how many there were; a small load has few, and none says
    /// nothing.
    pub const KEYS_TWICE_MIN: u32 = 1;
    /// Attempts of one operation.
    pub const ATTEMPTS_MAX: u32 = 100;

    /// Clients: all of a closed workload, the pool of an open one.
    pub fn clients(&self) -> u32 {
        self.workload.clients()
    }

    /// How long clients start operations, the warm-up excluded.
    pub fn duration(&self) -> Span {
        self.workload.duration()
    }

    /// The same load for longer or shorter; `None` if the workload is open, whose schedule says
    /// how long it lasts.
    pub fn lasting(&self, duration: Span) -> Option<Self> {
        let Workload::Closed { clients, think, .. } = self.workload else { return None };
        Some(Self { workload: Workload::Closed { clients, think, duration }, ..self.clone() })
    }

    /// What a run of it must have reached to be worth judging (I15).
    pub fn expectations(&self) -> Vec<Expectation> {
        let mut expected = Vec::new();
        let flash_sale = self.scenario == ScenarioKind::FlashSale;
        if flash_sale || self.mix.takes() {
            expected.extend([Expectation::SoldOut, Expectation::Full]);
        }
        if self.contested_min > 0 && (flash_sale || self.mix.takes()) {
            expected.push(Expectation::Contested(self.contested_min));
        }
        if flash_sale || self.mix.gives_back() {
            expected.push(Expectation::Resale);
        }
        if self.scenario == ScenarioKind::AbandonedHolds {
            expected.push(Expectation::Reclaim);
        }
        if self.scenario == ScenarioKind::RetryStorm {
            expected.push(Expectation::Resend);
        }
        if flash_sale || self.scenario == ScenarioKind::RetryStorm {
            expected.push(Expectation::KeyTwice(Self::KEYS_TWICE_MIN));
        }
        if let Workload::Open { lag_limit, .. } = self.workload {
            expected.push(Expectation::OnSchedule(lag_limit.ms()));
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn plan(json: serde_json::Value) -> Plan {
        serde_json::from_value(json).expect("a plan")
    }

    #[test]
    fn the_shape_of_a_plan_is_pinned() {
        let closed = plan(json!({"strategy": "lost_update", "seed": 42}));
        let open = plan(
            json!({"scenario": "hot_and_cold", "rate": "800/s", "spike": "4000/s:2s@8s", "arrivals": "poisson"}),
        );
        insta::assert_json_snapshot!([closed, open]);
    }

    #[test]
    fn a_plan_is_repeated_from_what_it_is_written_as() {
        for args in [
            json!({}),
            json!({"scenario": "steady", "clients": 10_000, "think": "2s"}),
            json!({"scenario": "hot_and_cold", "rate": "800/s", "arrivals": "poisson", "zipf": 0.8}),
            json!({"scenario": "steady", "rate": "100/s..1000/s", "warm_up": "2s", "sockets": "own"}),
            json!({"scenario": "steady", "stages": ["10s@100/s", "5s@100/s..900/s"], "mix": "book=1,cancel=2"}),
            json!({"scenario": "retry_storm", "attempts": 9, "resend": "50ms"}),
        ] {
            let plan = plan(args);
            let text = serde_json::to_string(&plan).expect("it is written");
            assert_eq!(serde_json::from_str::<Plan>(&text).expect(&text), plan, "{text}");
        }
    }
}
