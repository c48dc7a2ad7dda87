//! From the arguments of a plan to a plan: defaults, ranges, and the arguments that exclude each
//! other.

use crate::{
    plan::Plan,
    plan_args::PlanArgs,
    scenario::ScenarioKind,
    share::Share,
    span::{Ramp, Rate, Span, Spike, Stage},
    workload::{Arrivals, Sockets, Workload, length},
};

/// How long clients start operations.
const DURATION: Span = Span::of_ms(15_000);
/// How long a client waits for an answer.
const TIMEOUT: Span = Span::of_ms(30_000);
/// How long an impatient client waits.
const RESEND: Span = Span::of_ms(200);
/// People notice a tenth of a second; a generator with a larger send lag measures itself.
const LAG_LIMIT: Span = Span::of_ms(100);
/// One operation in a hundred without a decision: more is a service that does not serve.
const ERRORS_MAX: Share = Share::of(0.01).expect("it is a share");
/// Impatient clients resend before they are answered, and end without an answer by their own doing.
const ERRORS_MAX_OF_THE_IMPATIENT: Share = Share::of(1.0).expect("it is a share");
/// A pool of clients outlasts a stall of this long before arrivals wait in the generator.
const POOL_S: f64 = 10.0;
/// The smallest pool of clients, however low the rate.
const POOL_MIN: u32 = 64;

/// An argument of a plan that is out of range, or contradicts another one. The texts name the flags
/// of `slotproof run`; the key in a plan file is the same word with `_`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A value out of range.
    #[error("`{}` must be {least} to {most}, not {value}", flag(.field))]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The smallest value.
        least: String,
        /// The largest value.
        most: String,
        /// The value given.
        value: String,
    },
    /// `zipf` in another scenario than `hot_and_cold`.
    #[error("`--zipf` applies to `--scenario hot_and_cold` only; omit it")]
    ZipfElsewhere,
    /// An argument that `flash_sale` does not have.
    #[error(
        "`flash_sale` does not accept `--mix`, `--think`, `--rate` or `--stages`: all its clients \
         start at once, and repeat; omit `{}` or choose another `--scenario`",
        flag(.0)
    )]
    FlashSale(&'static str),
    /// `resend` with one attempt.
    #[error("`--resend` requires `--attempts` of 2 or more: one attempt is never resent")]
    ResendOfOneAttempt,
    /// `resend` that is not shorter than the timeout.
    #[error(
        "`--resend` ({resend}) must be shorter than `--timeout` ({timeout}), or no request is ever \
         resent"
    )]
    ResendAfterTimeout {
        /// How long a client waits before it resends.
        resend: Span,
        /// How long it waits before the outcome is unknown.
        timeout: Span,
    },
    /// An argument of open workloads in a closed one.
    #[error(
        "`{}` applies to open workloads only; add `--rate` or `--stages`, or omit it",
        flag(.0)
    )]
    OnlyOpen(&'static str),
    /// A rate and a think time.
    #[error(
        "`{}` and `--think` exclude each other: `{}` fixes arrivals, `--think` fixes pauses of a \
         closed loop",
        flag(.0),
        flag(.0)
    )]
    ThinkAndArrivals(&'static str),
    /// A rate and stages.
    #[error("`--rate` and `--stages` exclude each other: `--stages` lists every rate; omit one")]
    RateAndStages,
    /// A spike and stages.
    #[error(
        "`--spike` and `--stages` exclude each other: write the spike as one of the `--stages`"
    )]
    SpikeAndStages,
    /// A duration that is not that of the stages.
    #[error("`--duration` ({duration}) differs from the length of `--stages` ({stages}); omit it")]
    DurationOfStages {
        /// The duration given.
        duration: Span,
        /// The length of the stages together.
        stages: Span,
    },
    /// Too few arrivals, or too many.
    #[error(
        "`{}` results in {arrivals} arrivals; 1 to {} are supported: change the rate or the \
         duration",
        flag(.field),
        Plan::ARRIVALS_MAX
    )]
    Arrivals {
        /// The field that states the rate.
        field: &'static str,
        /// The arrivals that it results in.
        arrivals: String,
    },
    /// A spike that ends after the load.
    #[error("`--spike` ends at {ends}, after the load of {lasts}; start it earlier")]
    SpikeAfterLoad {
        /// When the spike ends.
        ends: Span,
        /// How long the load lasts.
        lasts: Span,
    },
    /// A spike on a rate that changes.
    #[error("`--spike` requires a constant `--rate`; write a changing rate as `--stages`")]
    SpikeOnRamp,
}

impl PlanError {
    /// The field to change, by its key in a plan file.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OutOfRange { field, .. }
            | Self::FlashSale(field)
            | Self::OnlyOpen(field)
            | Self::Arrivals { field, .. } => field,
            Self::ZipfElsewhere => "zipf",
            Self::ResendOfOneAttempt | Self::ResendAfterTimeout { .. } => "resend",
            Self::ThinkAndArrivals(_) => "think",
            Self::RateAndStages => "rate",
            Self::DurationOfStages { .. } => "duration",
            Self::SpikeAndStages | Self::SpikeAfterLoad { .. } | Self::SpikeOnRamp => "spike",
        }
    }
}

/// The largest share of operations without a decision, unless the plan says otherwise.
fn errors_max(scenario: ScenarioKind) -> Share {
    match scenario {
        ScenarioKind::RetryStorm => ERRORS_MAX_OF_THE_IMPATIENT,
        _ => ERRORS_MAX,
    }
}

/// The flag of a field.
fn flag(field: &str) -> String {
    format!("--{}", field.replace('_', "-"))
}

impl Plan {
    /// A number of clients, if it is within the limit of a plan: for arguments that become
    /// a plan later.
    ///
    /// # Errors
    /// It is not 1 to [`Plan::CLIENTS_MAX`].
    pub fn clients_in_range(clients: u32) -> Result<u32, PlanError> {
        in_range("clients", clients, 1, Self::CLIENTS_MAX)
    }

    /// The same of a text, as the value parser of a flag.
    ///
    /// # Errors
    /// It is not a number from 1 to [`Plan::CLIENTS_MAX`].
    pub fn parse_clients(text: &str) -> Result<u32, PlanError> {
        let wrong = || out_of_range("clients", &text, &1, &Self::CLIENTS_MAX);
        Self::clients_in_range(text.parse().map_err(|_| wrong())?)
    }
}

impl TryFrom<PlanArgs> for Plan {
    type Error = PlanError;

    fn try_from(args: PlanArgs) -> Result<Self, PlanError> {
        let scenario = args.scenario.unwrap_or(ScenarioKind::FlashSale);
        let defaults = scenario.defaults();
        refuse_what_does_not_apply(&args, scenario)?;
        let attempts = args.attempts.unwrap_or(defaults.attempts);
        let (resend, timeout) = (args.resend.unwrap_or(RESEND), args.timeout.unwrap_or(TIMEOUT));
        if args.resend.is_some() && attempts == 1 {
            return Err(PlanError::ResendOfOneAttempt);
        }
        if attempts > 1 && resend >= timeout {
            return Err(PlanError::ResendAfterTimeout { resend, timeout });
        }
        let (ms, ten_minutes) = (Span::of_ms, Span::of_ms(600_000));
        let capacity = args.capacity.unwrap_or(defaults.capacity);
        let warm_up = args.warm_up.unwrap_or_default();
        Ok(Self {
            scenario,
            strategy: args.strategy,
            workload: workload(&args, scenario)?,
            slots: in_range("slots", args.slots.unwrap_or(defaults.slots), 1, 100_000)?,
            capacity: in_range("capacity", capacity, 1, Self::CAPACITY_MAX)?,
            zipf: zipf(args.zipf.or(defaults.zipf))?,
            mix: args.mix.unwrap_or(defaults.mix),
            sockets: args.sockets.unwrap_or(Sockets::Shared),
            warm_up: span_in_range("warm_up", warm_up, Span::default(), Self::SPAN_MAX)?,
            timeout: span_in_range("timeout", timeout, ms(10), ten_minutes)?,
            attempts: in_range("attempts", attempts, 1, Self::ATTEMPTS_MAX)?,
            resend: span_in_range("resend", resend, ms(1), ten_minutes)?,
            hold: span_in_range(
                "hold",
                args.hold.unwrap_or(defaults.hold),
                ms(10),
                Self::SPAN_MAX,
            )?,
            errors_max: args.errors_max.unwrap_or(errors_max(scenario)),
            contested_min: args.contested_min.unwrap_or(0),
            seed: args.seed.unwrap_or(1),
        })
    }
}

fn refuse_what_does_not_apply(args: &PlanArgs, scenario: ScenarioKind) -> Result<(), PlanError> {
    if args.zipf.is_some() && scenario.defaults().zipf.is_none() {
        return Err(PlanError::ZipfElsewhere);
    }
    let not_in_flash_sale = [
        ("mix", args.mix.is_some()),
        ("think", args.think.is_some()),
        ("rate", args.rate.is_some()),
        ("stages", !args.stages.is_empty()),
    ];
    match not_in_flash_sale.into_iter().find(|(_, given)| *given) {
        Some((field, _)) if scenario == ScenarioKind::FlashSale => Err(PlanError::FlashSale(field)),
        _ => Ok(()),
    }
}

fn zipf(exponent: Option<f64>) -> Result<Option<f64>, PlanError> {
    match exponent {
        Some(exponent) if !(0.0..=10.0).contains(&exponent) => {
            Err(out_of_range("zipf", &exponent, &0, &10))
        }
        _ => Ok(exponent),
    }
}

fn workload(args: &PlanArgs, scenario: ScenarioKind) -> Result<Workload, PlanError> {
    if args.is_open() { open(args) } else { closed(args, scenario) }
}

fn closed(args: &PlanArgs, scenario: ScenarioKind) -> Result<Workload, PlanError> {
    let only_open = [
        ("arrivals", args.arrivals.is_some()),
        ("spike", args.spike.is_some()),
        ("lag_limit", args.lag_limit.is_some()),
    ];
    if let Some((field, _)) = only_open.into_iter().find(|(_, given)| *given) {
        return Err(PlanError::OnlyOpen(field));
    }
    let defaults = scenario.defaults();
    let think = args.think.unwrap_or(defaults.think);
    Ok(Workload::Closed {
        clients: Plan::clients_in_range(args.clients.unwrap_or(defaults.clients))?,
        think: span_in_range("think", think, Span::default(), Plan::SPAN_MAX)?,
        duration: duration(args)?,
    })
}

fn open(args: &PlanArgs) -> Result<Workload, PlanError> {
    let stated_by = if args.rate.is_some() { "rate" } else { "stages" };
    if args.think.is_some() {
        return Err(PlanError::ThinkAndArrivals(stated_by));
    }
    let stages = stages(args)?;
    span_in_range("duration", length(&stages), Span::of_ms(100), Plan::SPAN_MAX)?;
    let warm_up = stages.first().map(|first| Stage {
        lasts: args.warm_up.unwrap_or_default(),
        ramp: Ramp::flat(first.ramp.from),
    });
    let arrivals: f64 = stages.iter().chain(&warm_up).map(Stage::arrivals).sum();
    if !(1.0..=Plan::ARRIVALS_MAX).contains(&arrivals) {
        return Err(PlanError::Arrivals { field: stated_by, arrivals: arrivals.to_string() });
    }
    let peak = stages.iter().flat_map(|stage| [stage.ramp.from, stage.ramp.to]).map(Rate::per_s);
    let pool = peak.fold(0.0, f64::max) * POOL_S;
    let pool = pool.clamp(POOL_MIN.into(), Plan::CLIENTS_MAX.into()) as u32;
    let lag_limit = args.lag_limit.unwrap_or(LAG_LIMIT);
    Ok(Workload::Open {
        clients: Plan::clients_in_range(args.clients.unwrap_or(pool))?,
        arrivals: args.arrivals.unwrap_or(Arrivals::Constant),
        stages,
        lag_limit: span_in_range("lag_limit", lag_limit, Span::of_ms(1), Span::of_ms(600_000))?,
    })
}

fn stages(args: &PlanArgs) -> Result<Vec<Stage>, PlanError> {
    let stages = args.stages.as_slice();
    match (args.rate, stages) {
        (Some(ramp), []) => with_spike(Stage { lasts: duration(args)?, ramp }, args.spike),
        (Some(_), _) => Err(PlanError::RateAndStages),
        (None, _) if args.spike.is_some() => Err(PlanError::SpikeAndStages),
        (None, _) => match args.duration {
            Some(duration) if duration != length(stages) => {
                Err(PlanError::DurationOfStages { duration, stages: length(stages) })
            }
            _ => Ok(stages.to_vec()),
        },
    }
}

/// A stage with another rate in the middle.
fn with_spike(stage: Stage, spike: Option<Spike>) -> Result<Vec<Stage>, PlanError> {
    let Some(Spike { rate, lasts, at }) = spike else { return Ok(vec![stage]) };
    let ends = at.0.saturating_add(lasts.0);
    let Some(rest) = stage.lasts.0.checked_sub(ends) else {
        return Err(PlanError::SpikeAfterLoad { ends: Span(ends), lasts: stage.lasts });
    };
    if stage.ramp.from != stage.ramp.to {
        return Err(PlanError::SpikeOnRamp);
    }
    let stages = [
        Stage { lasts: at, ..stage },
        Stage { lasts, ramp: Ramp::flat(rate) },
        Stage { lasts: Span(rest), ..stage },
    ];
    Ok(stages.into_iter().filter(|stage| stage.lasts > Span::default()).collect())
}

fn duration(args: &PlanArgs) -> Result<Span, PlanError> {
    let duration = args.duration.unwrap_or(DURATION);
    span_in_range("duration", duration, Span::of_ms(100), Plan::SPAN_MAX)
}

fn in_range(field: &'static str, value: u32, least: u32, most: u32) -> Result<u32, PlanError> {
    let within = (least..=most).contains(&value);
    if within { Ok(value) } else { Err(out_of_range(field, &value, &least, &most)) }
}

fn span_in_range(
    field: &'static str,
    value: Span,
    least: Span,
    most: Span,
) -> Result<Span, PlanError> {
    let within = (least..=most).contains(&value);
    if within { Ok(value) } else { Err(out_of_range(field, &value, &least, &most)) }
}

fn out_of_range(
    field: &'static str,
    value: &dyn ToString,
    least: &dyn ToString,
    most: &dyn ToString,
) -> PlanError {
    let (value, least, most) = (value.to_string(), least.to_string(), most.to_string());
    PlanError::OutOfRange { field, least, most, value }
}

impl From<Plan> for PlanArgs {
    fn from(plan: Plan) -> Self {
        let flash_sale = plan.scenario == ScenarioKind::FlashSale;
        let args = Self {
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
            errors_max: (plan.errors_max != errors_max(plan.scenario)).then_some(plan.errors_max),
            contested_min: (plan.contested_min > 0).then_some(plan.contested_min),
            seed: Some(plan.seed),
            ..Self::default()
        };
        match plan.workload {
            Workload::Closed { clients, think, duration } => Self {
                clients: Some(clients),
                think: (!flash_sale).then_some(think),
                duration: Some(duration),
                ..args
            },
            Workload::Open { clients, arrivals, stages, lag_limit } => {
                let args = Self {
                    clients: Some(clients),
                    arrivals: Some(arrivals),
                    lag_limit: Some(lag_limit),
                    ..args
                };
                match stages.as_slice() {
                    [stage] => Self { rate: Some(stage.ramp), duration: Some(stage.lasts), ..args },
                    _ => Self { stages, ..args },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(json: serde_json::Value) -> PlanArgs {
        serde_json::from_value(json).expect("the arguments of a plan")
    }

    fn plan(json: serde_json::Value) -> Plan {
        args(json).try_into().expect("a plan")
    }

    fn refused(json: serde_json::Value) -> &'static str {
        Plan::try_from(args(json.clone())).expect_err(&json.to_string()).field()
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
    fn clients_have_one_limit_whether_a_plan_or_a_flag_states_them() {
        for clients in [0, 1, Plan::CLIENTS_MAX, Plan::CLIENTS_MAX + 1, 20_000] {
            let planned = Plan::try_from(args(json!({"clients": clients})));
            let planned = planned.map(|plan| plan.clients());
            assert_eq!(Plan::clients_in_range(clients), planned);
            assert_eq!(Plan::parse_clients(&clients.to_string()), planned);
        }
        assert!(Plan::parse_clients("many").is_err());
    }

    #[test]
    fn contradictions_name_the_field_that_is_too_much() {
        let open = |more: serde_json::Value| {
            let mut args = json!({"scenario": "steady", "rate": "800/s"});
            args.as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("an object").clone());
            refused(args)
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
    fn unknown_arguments_are_refused() {
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
    fn flags_go_before_the_file_and_another_workload_replaces_the_files_whole() {
        let file =
            || args(json!({"scenario": "steady", "rate": "800/s", "clients": 500, "capacity": 9}));
        let merged = args(json!({"capacity": 7, "duration": "3s"})).or(file());
        let plan = Plan::try_from(merged).expect("a plan");
        assert_eq!((plan.capacity, plan.clients(), plan.duration()), (7, 500, Span::of_ms(3_000)));

        let closed = Plan::try_from(args(json!({"think": "1s"})).or(file())).expect("a plan");
        assert!(matches!(closed.workload, Workload::Closed { clients: 1_000, .. }), "{closed:?}");
        let other = Plan::try_from(args(json!({"stages": ["2s@5/s"]})).or(file())).expect("a plan");
        assert_eq!(other.duration(), Span::of_ms(2_000));
    }
}
