//! The words of a plan: flags of `slotproof run`, keys of a plan file and of `plan.json`, all the
//! same. What they mean is in `plan.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    StrategyKind,
    mix::Mix,
    plan::{Arrivals, Sockets},
    scenario::ScenarioKind,
    span::{Ramp, Span, Spike, Stage},
};

/// A plan as people write it. What is left out is the scenario's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
pub struct PlanArgs {
    /// The load shape; `slotproof run --list` explains them [default: flash_sale]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioKind>,

    /// How the service makes `reserve` safe, or a negative control; `slotproof serve --list` lists
    /// them
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyKind>,

    /// Closed: concurrent clients. Open: the most visits under way at once [default: the
    /// scenario's; ten seconds of the peak rate]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,

    /// Closed: mean time between two visits of a client
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Span>,

    /// Open: visits that arrive per second, whatever the service does: 800/s, or rising evenly:
    /// 100/s..1000/s
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE", allow_hyphen_values = true))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Ramp>,

    /// Open: how arrivals are spread in time [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,

    /// Open: another rate for a while: 4000/s:2s@8s is 4,000 a second for 2 s, after 8 s
    #[cfg_attr(feature = "cli", arg(long, value_name = "SPIKE"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike: Option<Spike>,

    /// Open: rates one after the other, instead of --rate and --duration:
    /// 10s@100/s,20s@100/s..1000/s,10s@1000/s
    #[cfg_attr(feature = "cli", arg(long, value_name = "STAGES", value_delimiter = ','))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,

    /// Open: the largest send lag (99th percentile) at which the figures still mean something
    /// [default: 100ms]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_limit: Option<Span>,

    /// Slots that the load is spread over
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,

    /// Seats of each slot
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,

    /// hot_and_cold: the exponent by which slots are wanted; the larger, the hotter the first ones
    /// [default: 1.1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "EXPONENT"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zipf: Option<f64>,

    /// What visits are, as weights: browse=60,book=20,cancel=15,give_up=3,abandon=2
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIX"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,

    /// How clients connect [default: shared]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Sockets>,

    /// Load before the measured time: judged as everything is, and left out of the figures
    /// [default: 0s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Span>,

    /// How long new operations are begun, after the warm-up [default: 15s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,

    /// How long a client waits before it calls an outcome unknown [default: 30s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,

    /// How often one operation is sent at most, always by the same key [default: 1; retry_storm 4]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,

    /// How long a client waits for an answer before it sends the same operation again [default:
    /// 200ms]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend: Option<Span>,

    /// How long a hold lasts before it expires [default: 3s; abandoned_holds 1s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,

    /// Everything random comes from this [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl PlanArgs {
    /// These words, and where they are silent those of another plan.
    #[must_use]
    pub fn or(self, mut other: Self) -> Self {
        if (self.think.is_some() && other.is_open()) || (self.is_open() && !other.is_open()) {
            // Who says how visitors arrive says all of it: a rate here and a thinking time there
            // are not one workload.
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
            seed: self.seed.or(other.seed),
        }
    }

    /// Whether they say when visitors arrive.
    pub fn is_open(&self) -> bool {
        self.rate.is_some() || !self.stages.is_empty()
    }
}
