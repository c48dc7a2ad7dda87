//! `capacity.json`: the highest rate that keeps the objective, what saturates there, and a verdict
//! on each claim.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Plan, StrategyKind, Verdict};

use crate::{estimate::Estimate, header::ReportHeader, tone::Tone};

/// A capacity search with the claims that it judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Version, name, origin and environment.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// The strategy of the service.
    pub strategy: StrategyKind,
    /// The load, without its rate.
    pub plan: Plan,
    /// What a rate must keep.
    pub objective: Objective,
    /// Every rate that was tried, in the order of trying.
    pub probes: Vec<Probe>,
    /// Where the capacity lies.
    pub bracket: Bracket,
    /// Throughput over concurrent clients.
    pub by_clients: Scaling,
    /// Throughput over service processes on this one machine.
    pub by_replicas: Scaling,
    /// The claims, in the order of their file.
    pub claims: Vec<JudgedClaim>,
}

/// What a rate must keep to count as held; and nothing may be violated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The response latency that 99 % of operations stay below.
    pub p99_ms: u64,
    /// The share of operations that may end without an answer.
    pub errors_max: f64,
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Why: `growth`, `bisection`, `confirmation`, `claim`.
    pub phase: String,
    /// The run's directory, beside this file.
    pub run: String,
    /// Visits per second that the schedule had.
    pub asked_per_s: f64,
    /// Visits per second that were made.
    pub made_per_s: f64,
    /// Operations per second that were answered: what others call requests.
    pub operations_per_s: f64,
    /// Response latency over all operations, median.
    pub response_us_p50: u64,
    /// The same, 99th percentile.
    pub response_us_p99: u64,
    /// Service latency, 99th percentile: counted from the socket, so a late generator is not in it.
    pub service_us_p99: u64,
    /// How late operations were sent, 99th percentile.
    pub lag_us_p99: u64,
    /// The share of operations that ended without an answer.
    pub errors: f64,
    /// What the checker says.
    pub verdict: Verdict,
    /// CPUs that each group of processes kept busy.
    pub cpus_busy: BTreeMap<String, f64>,
    /// Connections of the database that waited for a lock, on average.
    pub lock_waiters: Option<f64>,
    /// The share of the time that the log's flushes took, each as long as the calibration's median.
    pub flushing: Option<f64>,
    /// Whether the rate was sustained.
    pub held: ProbeOutcome,
}

/// Whether a rate was sustained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// The objective was kept.
    Holds,
    /// It was not; says which part.
    Fails(String),
    /// The generator could not make the load; nothing is known of the service.
    #[serde(rename = "generator")]
    GeneratorSaturated(String),
}

impl ProbeOutcome {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Holds => String::new(),
            Self::Fails(reason) | Self::GeneratorSaturated(reason) => reason.clone(),
        }
    }
}

/// Where the capacity lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// The highest rate that was held, and held again in the confirmation window.
    pub holds: Option<Rates>,
    /// The lowest rate above it that was not.
    pub fails: Option<Rates>,
    /// Whether the search ended because the generator could make no more.
    pub ended_by_generator: bool,
    /// What was busy where it failed, in words; the most telling first.
    pub saturated: Vec<String>,
}

/// A rate in both units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Visits.
    pub visits_per_s: f64,
    /// Operations, which others call requests.
    pub operations_per_s: f64,
}

/// Throughput over something that grows, and the Universal Scalability Law fitted to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// What grows.
    pub over: String,
    /// (how many, operations per second in each round).
    pub points: Vec<(u32, Vec<f64>)>,
    /// The fit; absent where there were too few points.
    pub usl: Option<Usl>,
}

/// X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): Gunther's Universal Scalability Law,
/// with 95 % intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// Throughput of one, operations per second.
    pub lambda: Estimate,
    /// The share of the work that cannot be done at once: contention.
    pub sigma: Estimate,
    /// The cost of agreeing with each other: coherence.
    pub kappa: Estimate,
    /// Where the throughput is highest; absent where more is always better.
    pub peak_at: Option<f64>,
    /// The share of the throughput's variance that the law explains.
    pub r_squared: f64,
}

impl Usl {
    /// Throughput that the law predicts for N.
    pub fn at(&self, n: f64) -> f64 {
        let (lambda, sigma, kappa) = (self.lambda.median, self.sigma.median, self.kappa.median);
        lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
    }
}

/// A claim, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedClaim {
    /// Its name.
    pub id: String,
    /// In its author's words.
    pub says: String,
    /// Where it stands.
    pub source: Option<String>,
    /// What came of it.
    pub verdict: ClaimVerdict,
    /// The measurement that decides it, or what is missing.
    pub because: String,
    /// The working: how one figure was made of another, and what that rests on.
    pub working: Vec<String>,
    /// Operations per second that it claims, for the plots.
    pub operations_per_s: Option<f64>,
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// It was measured, and it is so.
    Supported,
    /// It was measured, and it is not so.
    Refuted,
    /// No measurement on this machine decides it.
    NotMeasurableHere,
}

impl ClaimVerdict {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Refuted => "refuted",
            Self::NotMeasurableHere => "not measurable here",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Supported => Tone::Good,
            Self::Refuted => Tone::Bad,
            Self::NotMeasurableHere => Tone::Uncertain,
        }
    }
}

impl Capacity {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Whether anything was violated at any rate.
    pub fn violated(&self) -> bool {
        self.probes.iter().any(|probe| probe.verdict == Verdict::Violated)
    }

    pub(super) fn count(&self, verdict: ClaimVerdict) -> usize {
        self.claims.iter().filter(|claim| claim.verdict == verdict).count()
    }
}
