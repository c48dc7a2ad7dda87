//! The arguments of a plan: flags of `slotproof run`, keys of a plan file and of `plan.json`, all
//! the same words. `plan_validation.rs` turns them into a plan.

use serde::{Deserialize, Serialize};

use crate::{
    mix::Mix,
    scenario::ScenarioKind,
    share::Share,
    span::{Ramp, Span, Spike, Stage},
    strategy::StrategyKind,
    workload::{Arrivals, Sockets},
};

/// A plan as people write it. What is omitted has the scenario's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
pub struct PlanArgs {
    /// Load shape; `slotproof run --list` explains each [default: flash_sale]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioKind>,

    /// Strategy of the service, or a negative control; `slotproof serve --list` lists them
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyKind>,

    /// Closed: number of concurrent clients [default: the scenario's]. Open: size of the client
    /// pool, which limits the flows in progress [default: 10 s of the peak rate]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,

    /// Closed: mean pause between two flows of a client [default: the scenario's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Span>,

    /// Open: arrivals per second, whatever the service does: 800/s, or a linear ramp: 100/s..1000/s
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE", allow_hyphen_values = true))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Ramp>,

    /// Open: spacing of the arrivals [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,

    /// Open: another rate for a while: 4000/s:2s@8s is 4,000/s for 2 s, starting at 8 s
    #[cfg_attr(feature = "cli", arg(long, value_name = "SPIKE"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike: Option<Spike>,

    /// Open: a list of rates, instead of --rate and --duration:
    /// 10s@100/s,20s@100/s..1000/s,10s@1000/s
    #[cfg_attr(feature = "cli", arg(long, value_name = "STAGES", value_delimiter = ','))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,

    /// Open: limit of the p99 send lag, above which the load generator is saturated and the run is
    /// unknown [default: 100ms]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_limit: Option<Span>,

    /// Number of slots under load [default: the scenario's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,

    /// Seats of each slot [default: the scenario's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,

    /// hot_and_cold: Zipf exponent of slot popularity; the larger, the more load on the first slots
    /// [default: 1.1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "EXPONENT"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zipf: Option<f64>,

    /// Weights of the user flows: browse=60,book=20,cancel=15,give_up=3,abandon=2 [default: the
    /// scenario's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIX"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,

    /// How clients connect [default: shared]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Sockets>,

    /// Load before the measured window: judged, but excluded from the figures [default: 0s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Span>,

    /// Length of the measured window, in which clients start operations [default: 15s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,

    /// How long a client waits for an answer before the outcome is unknown [default: 30s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,

    /// Attempts per operation, all with the same idempotency key [default: 1; retry_storm 4]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,

    /// How long a client waits for an answer before it resends the operation [default: 200ms]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend: Option<Span>,

    /// How long a hold lasts before it expires [default: 3s; abandoned_holds 1s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,

    /// Largest share of operations that may get no decision (refused connection, throttled,
    /// unknown); above it the run ends with exit code 3 [default: 1%;
    /// retry_storm 100%, whose clients give up by themselves]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_max: Option<Share>,

    /// Contested grants that a run must have reached, or its verdict is unknown (I15): seats that
    /// one client got while another was refused seats of the same slot [default: 0; a gate of the
    /// reference service 30, or a quarter of the seats]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested_min: Option<u32>,

    /// Seed of everything random [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl PlanArgs {
    /// These arguments, and those of another plan where these have none.
    #[must_use]
    pub fn or(self, mut other: Self) -> Self {
        if (self.think.is_some() && other.is_open()) || (self.is_open() && !other.is_open()) {
            // A workload is taken from one place: a rate from here and a think time from there are
            // not one workload.
            (other.clients, other.think, other.arrivals, other.lag_limit) =
                (None, None, None, None);
            (other.rate, other.spike) = (None, None);
            other.stages.clear();
        }
        if self.rate.is_some() {
            other.stages.clear();
        }
        if !self.stages.is_empty() {
            (other.rate, other.spike, other.duration) = (None, None, None);
        }
        Self {
            scenario: self.scenario.or(other.scenario),
            strategy: self.strategy.or(other.strategy),
            clients: self.clients.or(other.clients),
            think: self.think.or(other.think),
            rate: self.rate.or(other.rate),
            arrivals: self.arrivals.or(other.arrivals),
            spike: self.spike.or(other.spike),
            stages: if self.stages.is_empty() { other.stages } else { self.stages },
            lag_limit: self.lag_limit.or(other.lag_limit),
            slots: self.slots.or(other.slots),
            capacity: self.capacity.or(other.capacity),
            zipf: self.zipf.or(other.zipf),
            mix: self.mix.or(other.mix),
            sockets: self.sockets.or(other.sockets),
            warm_up: self.warm_up.or(other.warm_up),
            duration: self.duration.or(other.duration),
            timeout: self.timeout.or(other.timeout),
            attempts: self.attempts.or(other.attempts),
            resend: self.resend.or(other.resend),
            hold: self.hold.or(other.hold),
            errors_max: self.errors_max.or(other.errors_max),
            contested_min: self.contested_min.or(other.contested_min),
            seed: self.seed.or(other.seed),
        }
    }

    /// Whether they state when users arrive: the workload is open.
    pub fn is_open(&self) -> bool {
        self.rate.is_some() || !self.stages.is_empty()
    }
}
