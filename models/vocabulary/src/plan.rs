//! Plans: a workload as data. A run can be repeated from its plan and nothing else.
//!
//! [`PlanArgs`] is how people write one (`plan_args.rs`). [`Plan`] is what the words mean, with
//! nothing left open and nothing contradictory.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    StrategyKind,
    mix::Mix,
    plan_args::PlanArgs,
    scenario::ScenarioKind,
    span::{Ramp, Rate, Span, Spike, Stage},
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
    /// Seats of a hold that ran out were promised again.
    Reclaim,
    /// Some operation was sent more than once.
    Resend,
    /// Every arrival was made, and all but one of a hundred operations were sent within this many
    /// milliseconds of their time.
    OnSchedule(u64),
}

/// What a run does. Stored as `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanArgs", into = "PlanArgs")]
pub struct Plan {
    /// The load shape.
    pub scenario: ScenarioKind,
    /// The service's strategy; absent when the target is not ours.
    pub strategy: Option<StrategyKind>,
    /// Who arrives when.
    pub workload: Workload,
    /// Slots that the load is spread over.
    pub slots: u32,
    /// Seats of each slot.
    pub capacity: u32,
    /// The exponent by which slots are wanted, where the scenario is about that.
    pub zipf: Option<f64>,
    /// What visits are; `flash_sale` has visits of its own.
    pub mix: Mix,
    /// How clients connect.
    pub sockets: Sockets,
    /// Load before the measured time: judged as everything is, and left out of the figures.
    pub warm_up: Span,
    /// How long a client waits for the answer to one operation before it calls the outcome unknown.
    pub timeout: Span,
    /// How often one operation is sent at most.
    pub attempts: u32,
    /// How long a client waits for an answer before it sends the same operation again.
    pub resend: Span,
    /// How long a hold lasts before it expires.
    pub hold: Span,
    /// Everything random comes from this.
    pub seed: u64,
}

/// Who arrives when.
#[derive(Debug, Clone, PartialEq)]
pub enum Workload {
    /// So many clients, each of which comes again when it is done and has thought: a slow service
    /// slows them down.
    Closed {
        /// Concurrent clients, each with at most one operation in flight.
        clients: u32,
        /// Mean time between two visits of a client; each time is drawn evenly from half of it to
        /// one and a half of it.
        think: Span,
        /// How long new operations are begun.
        duration: Span,
    },
    /// Visitors that arrive whatever the service does.
    Open {
        /// Clients that take the arrivals: the most visits that can be under way at once.
        clients: u32,
        /// How arrivals are spread in time.
        arrivals: Arrivals,
        /// The rate, one stage after the other.
        stages: Vec<Stage>,
        /// The largest send lag (99th percentile) at which the figures still mean something.
        lag_limit: Span,
    },
}

/// How arrivals are spread in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// One after the other, evenly.
    Constant,
    /// Independent of each other: a Poisson process of the stages' rate, on the condition that it
    /// has as many arrivals as asked for.
    Poisson,
}

/// How clients connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Sockets {
    /// One pool for all: as many connections as operations in flight.
    Shared,
    /// Each client has a connection of its own, as browsers do.
    Own,
}

/// How long new operations are begun.
const DURATION: Span = Span::of_ms(15_000);
/// How long an answer is awaited.
const TIMEOUT: Span = Span::of_ms(30_000);
/// How long an impatient client waits.
const RESEND: Span = Span::of_ms(200);
/// A tenth of a second is what people notice; a generator that is later than that measures itself.
const LAG_LIMIT: Span = Span::of_ms(100);
/// A pool outlasts a stall of this long before arrivals have to wait in the generator.
const POOL_S: f64 = 10.0;
/// A pool of fewer is of no use, however low the rate.
const POOL_MIN: u32 = 64;

impl Plan {
    /// More clients than this do not fit into one process's file descriptors.
    pub const CLIENTS_MAX: u32 = 10_000;
    /// The largest capacity that the service accepts.
    pub const CAPACITY_MAX: u32 = 1_000_000;
    /// A day: longer is a typing error.
    pub const SPAN_MAX: Span = Span::of_ms(24 * 60 * 60 * 1_000);
    /// Arrivals of one plan: a day of a thousand a second.
    pub const ARRIVALS_MAX: f64 = 100_000_000.0;
    /// Attempts of one operation.
    pub const ATTEMPTS_MAX: u32 = 100;

    /// Clients: all of a closed workload, the pool of an open one.
    pub fn clients(&self) -> u32 {
        match self.workload {
            Workload::Closed { clients, .. } | Workload::Open { clients, .. } => clients,
        }
    }

    /// How long new operations are begun, the warm-up not included.
    pub fn duration(&self) -> Span {
        match &self.workload {
            Workload::Closed { duration, .. } => *duration,
            Workload::Open { stages, .. } => length(stages),
        }
    }

    /// What a run of it must have reached to be worth judging (I15).
    pub fn expectations(&self) -> Vec<Expectation> {
        let mut expected = Vec::new();
        let flash_sale = self.scenario == ScenarioKind::FlashSale;
        if flash_sale || self.mix.takes() {
            expected.extend([Expectation::SoldOut, Expectation::Full]);
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
        if let Workload::Open { lag_limit, .. } = self.workload {
            expected.push(Expectation::OnSchedule(lag_limit.ms()));
        }
        expected
    }
}

/// The stages of a plan are each of a day at most, and not so many that their sum has no end.
fn length(stages: &[Stage]) -> Span {
    Span(stages.iter().fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.lasts.0)))
}

impl TryFrom<PlanArgs> for Plan {
    type Error = PlanError;

    fn try_from(words: PlanArgs) -> Result<Self, PlanError> {
        let scenario = words.scenario.unwrap_or(ScenarioKind::FlashSale);
        let defaults = scenario.defaults();
        let refuse_where = |field, said: bool, reason: &str| {
            if said { Err(PlanError::new(field, reason)) } else { Ok(()) }
        };
        refuse_where(
            "zipf",
            words.zipf.is_some() && defaults.zipf.is_none(),
            "only hot_and_cold has one",
        )?;
        if scenario == ScenarioKind::FlashSale {
            let reason =
                "flash_sale has a way of its own: everyone at one instant, and again and again";
            refuse_where("mix", words.mix.is_some(), reason)?;
            refuse_where("think", words.think.is_some(), reason)?;
            refuse_where("rate", words.rate.is_some(), reason)?;
            refuse_where("stages", !words.stages.is_empty(), reason)?;
        }
        let attempts = words.attempts.unwrap_or(defaults.attempts);
        let once = "nothing is sent again: give --attempts too";
        refuse_where("resend", words.resend.is_some() && attempts == 1, once)?;
        let resend = words.resend.unwrap_or(RESEND);
        let never = format!(
            "nothing is sent again after {resend} when nobody waits longer than the timeout"
        );
        refuse_where("resend", attempts > 1 && resend >= words.timeout.unwrap_or(TIMEOUT), &never)?;
        let plan = Self {
            scenario,
            strategy: words.strategy,
            workload: workload(&words)?,
            slots: in_range("slots", words.slots.unwrap_or(defaults.slots), 1, 100_000)?,
            capacity: in_range(
                "capacity",
                words.capacity.unwrap_or(defaults.capacity),
                1,
                Self::CAPACITY_MAX,
            )?,
            zipf: words.zipf.or(defaults.zipf),
            mix: words.mix.unwrap_or(defaults.mix),
            sockets: words.sockets.unwrap_or(Sockets::Shared),
            warm_up: spans(
                "warm_up",
                words.warm_up.unwrap_or_default(),
                Span::default(),
                Self::SPAN_MAX,
            )?,
            timeout: spans(
                "timeout",
                words.timeout.unwrap_or(TIMEOUT),
                Span::of_ms(10),
                Span::of_ms(600_000),
            )?,
            attempts: in_range(
                "attempts",
                words.attempts.unwrap_or(defaults.attempts),
                1,
                Self::ATTEMPTS_MAX,
            )?,
            resend: spans(
                "resend",
                words.resend.unwrap_or(RESEND),
                Span::of_ms(1),
                Span::of_ms(600_000),
            )?,
            hold: spans(
                "hold",
                words.hold.unwrap_or(defaults.hold),
                Span::of_ms(10),
                Self::SPAN_MAX,
            )?,
            seed: words.seed.unwrap_or(1),
        };
        match plan.zipf {
            Some(exponent) if !(0.0..=10.0).contains(&exponent) => {
                Err(PlanError::new("zipf", format!("it is {exponent}; it must be 0 to 10")))
            }
            _ => Ok(plan),
        }
    }
}

fn workload(words: &PlanArgs) -> Result<Workload, PlanError> {
    let scenario = words.scenario.unwrap_or(ScenarioKind::FlashSale);
    let clients =
        |default| in_range("clients", words.clients.unwrap_or(default), 1, Plan::CLIENTS_MAX);
    let duration =
        || spans("duration", words.duration.unwrap_or(DURATION), Span::of_ms(100), Plan::SPAN_MAX);
    if !words.is_open() {
        let only_open = [
            ("arrivals", words.arrivals.is_some()),
            ("spike", words.spike.is_some()),
            ("lag_limit", words.lag_limit.is_some()),
        ];
        if let Some((field, _)) = only_open.into_iter().find(|(_, said)| *said) {
            return Err(PlanError::new(
                field,
                "without a rate nobody arrives by a schedule; give a rate too",
            ));
        }
        let defaults = scenario.defaults();
        let think = words.think.unwrap_or(defaults.think);
        return Ok(Workload::Closed {
            clients: clients(defaults.clients)?,
            think: spans("think", think, Span::default(), Plan::SPAN_MAX)?,
            duration: duration()?,
        });
    }
    if words.think.is_some() {
        let reason = "a rate says when visitors arrive, and a thinking time when they come again; leave one of them out";
        return Err(PlanError::new("think", reason));
    }
    let stages = match (words.rate, words.stages.as_slice()) {
        (Some(ramp), []) => spiked(Stage { lasts: duration()?, ramp }, words.spike)?,
        (None, stages) => {
            if words.spike.is_some() {
                return Err(PlanError::new(
                    "spike",
                    "the stages say every rate; write it as one of them",
                ));
            }
            if words.duration.is_some_and(|duration| duration != length(stages)) {
                return Err(PlanError::new(
                    "duration",
                    format!("the stages last {}; leave it out", length(stages)),
                ));
            }
            stages.to_vec()
        }
        (Some(_), _) => {
            return Err(PlanError::new("rate", "the stages say every rate; leave one of them out"));
        }
    };
    spans("duration", length(&stages), Span::of_ms(100), Plan::SPAN_MAX)?;
    let warm_up = stages.first().map(|first| Stage {
        lasts: words.warm_up.unwrap_or_default(),
        ramp: Ramp::flat(first.ramp.from),
    });
    let arrivals: f64 = stages.iter().chain(&warm_up).map(Stage::arrivals).sum();
    if !(1.0..=Plan::ARRIVALS_MAX).contains(&arrivals) {
        let reason =
            format!("{arrivals} arrivals are asked for; it must be 1 to {}", Plan::ARRIVALS_MAX);
        return Err(PlanError::new(if words.rate.is_some() { "rate" } else { "stages" }, reason));
    }
    let peak = stages.iter().flat_map(|stage| [stage.ramp.from, stage.ramp.to]).map(Rate::per_s);
    let pool = peak.fold(0.0, f64::max) * POOL_S;
    let lag_limit = words.lag_limit.unwrap_or(LAG_LIMIT);
    Ok(Workload::Open {
        clients: clients(pool.clamp(POOL_MIN.into(), Plan::CLIENTS_MAX.into()) as u32)?,
        arrivals: words.arrivals.unwrap_or(Arrivals::Constant),
        stages,
        lag_limit: spans("lag_limit", lag_limit, Span::of_ms(1), Span::of_ms(600_000))?,
    })
}

/// A stage with another rate in its midst.
fn spiked(stage: Stage, spike: Option<Spike>) -> Result<Vec<Stage>, PlanError> {
    let Some(Spike { rate, lasts, at }) = spike else { return Ok(vec![stage]) };
    let Some(rest) = stage.lasts.0.checked_sub(at.0 + lasts.0) else {
        return Err(PlanError::new(
            "spike",
            format!("it ends after the {} that the load lasts", stage.lasts),
        ));
    };
    if stage.ramp.from != stage.ramp.to {
        return Err(PlanError::new("spike", "the rate changes already; write stages"));
    }
    let stages = [
        Stage { lasts: at, ..stage },
        Stage { lasts, ramp: Ramp::flat(rate) },
        Stage { lasts: Span(rest), ..stage },
    ];
    Ok(stages.into_iter().filter(|stage| stage.lasts > Span::default()).collect())
}

impl From<Plan> for PlanArgs {
    fn from(plan: Plan) -> Self {
        let flash_sale = plan.scenario == ScenarioKind::FlashSale;
        let words = Self {
            scenario: Some(plan.scenario),
            strategy: plan.strategy,
            slots: Some(plan.slots),
            capacity: Some(plan.capacity),
            zipf: plan.zipf,
            mix: (!flash_sale).then_some(plan.mix),
            sockets: Some(plan.sockets),
            warm_up: Some(plan.warm_up),
            timeout: Some(plan.timeout),
            attempts: Some(plan.attempts),
            resend: (plan.attempts > 1).then_some(plan.resend),
            hold: Some(plan.hold),
            seed: Some(plan.seed),
            ..Self::default()
        };
        match plan.workload {
            Workload::Closed { clients, think, duration } => Self {
                clients: Some(clients),
                think: (!flash_sale).then_some(think),
                duration: Some(duration),
                ..words
            },
            Workload::Open { clients, arrivals, stages, lag_limit } => {
                let words = Self {
                    clients: Some(clients),
                    arrivals: Some(arrivals),
                    lag_limit: Some(lag_limit),
                    ..words
                };
                match stages.as_slice() {
                    [stage] => {
                        Self { rate: Some(stage.ramp), duration: Some(stage.lasts), ..words }
                    }
                    _ => Self { stages, ..words },
                }
            }
        }
    }
}

fn in_range(field: &'static str, value: u32, least: u32, most: u32) -> Result<u32, PlanError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(PlanError::range(field, &value, &least, &most))
    }
}

fn spans(field: &'static str, value: Span, least: Span, most: Span) -> Result<Span, PlanError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(PlanError::range(field, &value, &least, &most))
    }
}

/// A field of a plan that is out of its range, or contradicts another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct PlanError {
    /// The field.
    pub field: &'static str,
    reason: String,
}

impl PlanError {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }

    fn range(
        field: &'static str,
        value: &dyn fmt::Display,
        least: &dyn fmt::Display,
        most: &dyn fmt::Display,
    ) -> Self {
        Self::new(field, format!("it is {value}; it must be {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: serde_json::Value) -> PlanArgs {
        serde_json::from_value(json).expect("the words of a plan")
    }

    fn plan(json: serde_json::Value) -> Plan {
        words(json).try_into().expect("a plan")
    }

    fn refused(json: serde_json::Value) -> &'static str {
        Plan::try_from(words(json.clone())).expect_err(&json.to_string()).field
    }

    use serde_json::json;

    #[test]
    fn the_shape_of_a_plan_is_pinned() {
        let closed = plan(json!({"strategy": "lost_update", "seed": 42}));
        let open = plan(
            json!({"scenario": "hot_and_cold", "rate": "800/s", "spike": "4000/s:2s@8s", "arrivals": "poisson"}),
        );
        insta::assert_json_snapshot!([closed, open]);
    }

    #[test]
    fn a_plan_is_repeated_from_its_own_words() {
        for words in [
            json!({}),
            json!({"scenario": "steady", "clients": 10_000, "think": "2s"}),
            json!({"scenario": "hot_and_cold", "rate": "800/s", "arrivals": "poisson", "zipf": 0.8}),
            json!({"scenario": "steady", "rate": "100/s..1000/s", "warm_up": "2s", "sockets": "own"}),
            json!({"scenario": "steady", "stages": ["10s@100/s", "5s@100/s..900/s"], "mix": "book=1,cancel=2"}),
            json!({"scenario": "retry_storm", "attempts": 9, "resend": "50ms"}),
        ] {
            let plan = plan(words);
            let text = serde_json::to_string(&plan).expect("it is written");
            assert_eq!(serde_json::from_str::<Plan>(&text).expect(&text), plan, "{text}");
        }
    }

    #[test]
    fn a_field_out_of_range_is_named() {
        assert_eq!(refused(json!({"clients": 0})), "clients");
        assert_eq!(refused(json!({"clients": 10_001})), "clients");
        assert_eq!(refused(json!({"capacity": 0})), "capacity");
        assert_eq!(refused(json!({"duration": "0s"})), "duration");
        assert_eq!(refused(json!({"hold": "0s"})), "hold");
        assert_eq!(refused(json!({"attempts": 0})), "attempts");
        assert_eq!(refused(json!({"scenario": "hot_and_cold", "zipf": -1.0})), "zipf");
        assert_eq!(refused(json!({"scenario": "steady", "rate": "0/s"})), "rate");
        assert_eq!(refused(json!({"scenario": "steady", "stages": ["24h@1000000/s"]})), "stages");
    }

    #[test]
    fn contradictions_name_the_field_that_is_too_much() {
        let open = |more: serde_json::Value| {
            let mut words = json!({"scenario": "steady", "rate": "800/s"});
            words
                .as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("an object").clone());
            refused(words)
        };
        assert_eq!(open(json!({"think": "1s"})), "think");
        assert_eq!(open(json!({"stages": ["10s@5/s"]})), "rate");
        assert_eq!(open(json!({"spike": "900/s:9s@9s"})), "spike");
        assert_eq!(refused(json!({"scenario": "steady", "arrivals": "poisson"})), "arrivals");
        assert_eq!(
            refused(json!({"scenario": "steady", "stages": ["9s@5/s"], "duration": "10s"})),
            "duration"
        );
        assert_eq!(refused(json!({"scenario": "steady", "zipf": 1.0})), "zipf");
        assert_eq!(refused(json!({"scenario": "steady", "resend": "50ms"})), "resend");
        assert_eq!(refused(json!({"scenario": "retry_storm", "timeout": "100ms"})), "resend");
        assert_eq!(
            open(json!({"rate": "1000000/s", "duration": "100ms", "warm_up": "24h"})),
            "rate"
        );
        let endless = vec!["18446744073709551615ms@1/s"; 1_100];
        assert_eq!(refused(json!({"scenario": "steady", "stages": endless})), "duration");
        for field in ["rate", "think", "mix"] {
            let value = match field {
                "rate" => "800/s",
                "think" => "1s",
                _ => "browse=1",
            };
            assert_eq!(refused(json!({"scenario": "flash_sale", field: value})), field);
        }
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        let refused = |json: serde_json::Value| {
            serde_json::from_value::<PlanArgs>(json).expect_err("refused").to_string()
        };
        assert!(refused(json!({"cleints": 5})).contains("unknown field `cleints`"));
        assert!(refused(json!({"rate": "-5/s"})).contains("is not a rate"));
        assert!(refused(json!({"clients": "unlimited"})).contains("invalid type"));
    }

    #[test]
    fn a_spike_is_three_stages() {
        let plan = plan(
            json!({"scenario": "steady", "rate": "100/s", "duration": "10s", "spike": "900/s:2s@3s"}),
        );
        let Workload::Open { stages, clients, .. } = plan.workload else { panic!("it is open") };
        let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
        assert_eq!(stages, ["3s@100/s", "2s@900/s", "5s@100/s"]);
        assert_eq!(clients, 9_000, "ten seconds of the peak");
    }

    #[test]
    fn flags_go_before_the_file_and_another_way_to_arrive_replaces_it_whole() {
        let file =
            || words(json!({"scenario": "steady", "rate": "800/s", "clients": 500, "capacity": 9}));
        let merged = words(json!({"capacity": 7, "duration": "3s"})).or(file());
        let plan = Plan::try_from(merged).expect("a plan");
        assert_eq!((plan.capacity, plan.clients(), plan.duration()), (7, 500, Span::of_ms(3_000)));

        let closed = Plan::try_from(words(json!({"think": "1s"})).or(file())).expect("a plan");
        assert!(matches!(closed.workload, Workload::Closed { clients: 1_000, .. }), "{closed:?}");
        let other =
            Plan::try_from(words(json!({"stages": ["2s@5/s"]})).or(file())).expect("a plan");
        assert_eq!(other.duration(), Span::of_ms(2_000));
    }
}
