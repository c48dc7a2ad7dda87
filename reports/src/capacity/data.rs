//! `capacity.json`: the highest rate that keeps the objective, what saturates there, and a verdict
//! on each claim.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Invariant, Plan, Verdict};

use crate::{estimate::Estimate, header::ReportHeader, quantity, tone::Tone};

/// A capacity search with the claims that it judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Version, name, origin and environment.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// The strategy of the reference service, or the name of the target.
    pub strategy: String,
    /// The load, without its rate.
    pub plan: Plan,
    /// What a rate must keep.
    pub objective: Objective,
    /// The machine, as two calibrations know it.
    pub machine: Machine,
    /// The invariant whose violation ended the search; nothing after it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<Violation>,
    /// Every rate that was tried, in the order of trying.
    pub probes: Vec<Probe>,
    /// Where the capacity lies.
    pub bracket: Bracket,
    /// Throughput over concurrent clients.
    pub by_clients: Scaling,
    /// Throughput over service processes on this one machine.
    pub by_replicas: Scaling,
    /// The load beside a database that was filled; absent without `--fill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeMeasured>,
    /// The claims, in the order of their file.
    pub claims: Vec<JudgedClaim>,
}

/// What a machine can do, in figures that can be compared with another machine's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs that the harness may use.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// Durable commits per second of one connection: 1 / the median time of one. The interval is
    /// the range of several calibrations before and after the loads. Absent where it could not be
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable_commits_per_s: Option<Estimate>,
    /// Steps per second of the CPU calibration on one core; the interval is the range of its
    /// rounds before and after the loads.
    pub single_core_per_s: Estimate,
}

impl Machine {
    /// In a phrase: `2 CPUs, 23.4 GiB of memory, 4,100 durable commits/s, 312 million steps/s of one
    /// core`.
    pub fn text(&self) -> String {
        let commits = match self.durable_commits_per_s {
            Some(commits) => format!("{} durable commits/s", quantity::rate(commits.median)),
            None => "durable commits not measured".to_owned(),
        };
        format!(
            "{}, {} of memory, {commits}, {} million steps/s of one core",
            quantity::counted(self.cpus.into(), "CPU"),
            quantity::bytes(self.memory_bytes),
            quantity::rate(self.single_core_per_s.median / 1e6)
        )
    }
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The directory of the run that shows it, beside this file.
    pub run: String,
    /// Which one.
    pub invariant: Invariant,
    /// What was seen, in a sentence.
    pub summary: String,
    /// The load under which it was seen.
    pub under: String,
}

/// A rate measured on an empty database and on one that was filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizeMeasured {
    /// Size of all tables with their indexes when the fill had ended.
    pub filled_bytes: u64,
    /// Bookings that were filled in.
    pub bookings: u64,
    /// What a booking takes with its audit records, receipt, notifications and indexes; over the
    /// batches of the fill.
    pub bytes_per_booking: Estimate,
    /// How long the fill took.
    pub took_ms: u64,
    /// Size of the tables before the fill.
    pub empty_bytes: u64,
    /// Loads on the empty database, just before the fill.
    pub empty: Vec<Probe>,
    /// The same loads on the filled one.
    pub filled: Vec<Probe>,
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
    /// Why it was tried.
    pub phase: Phase,
    /// The run's directory, beside this file.
    pub run: String,
    /// Visits per second that the search asked for; loads of one rate repeat each other.
    pub rate_per_s: f64,
    /// The measured window of the load.
    pub window_ms: u64,
    /// Shorter loads of this rate before it, which did not decide; each was half as long as the
    /// next one.
    pub shorter: u32,
    /// Visits per second that the schedule had.
    pub asked_per_s: f64,
    /// Visits per second that were made.
    pub made_per_s: f64,
    /// Operations per second that were answered: what others call requests.
    pub operations_per_s: f64,
    /// Response latency over all operations, median.
    pub response_us_p50: u64,
    /// The same, 99th percentile.
    pub response_p99: P99,
    /// Service latency, 99th percentile: counted from the socket, so a late generator is not in it.
    pub service_p99: P99,
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

/// Why a rate was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The search doubles the rate, or divides it by four.
    Growth,
    /// The search halves the bracket.
    Bisection,
    /// The highest sustained rate, again.
    Confirmation,
    /// The lowest rate that failed, again.
    Refutation,
    /// A claim names the rate.
    Claim,
    /// The confirmed rate, on the empty database beside the filled one.
    Empty,
    /// The confirmed rate, on the filled database.
    Filled,
}

impl Phase {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Growth => "growth",
            Self::Bisection => "bisection",
            Self::Confirmation => "confirmation",
            Self::Refutation => "refutation",
            Self::Claim => "claim",
            Self::Empty => "empty database",
            Self::Filled => "filled database",
        }
    }
}

/// A 99th percentile with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct P99 {
    /// The percentile.
    pub us: u64,
    /// Its distribution-free 95 % interval, by order statistics.
    pub interval: Interval,
    /// Decided operations that were judged.
    pub operations: u64,
    /// How many of them are slower than the percentile.
    pub beyond: u64,
}

impl P99 {
    /// Of no operations.
    pub const NONE: Self =
        Self { us: 0, interval: Interval { low: 0, high: None }, operations: 0, beyond: 0 };

    /// `241 ms (95 % interval 220 ms to 262 ms)`.
    pub fn text(&self) -> String {
        let low = quantity::duration_us(self.interval.low);
        let interval = match self.interval.high {
            Some(high) => format!("{low} to {}", quantity::duration_us(high)),
            None => format!("{low} and more"),
        };
        format!("{} (95 % interval {interval})", quantity::duration_us(self.us))
    }
}

/// An interval of microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Where it begins.
    pub low: u64,
    /// Where it ends; absent where too few values bound it.
    pub high: Option<u64>,
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
    /// The longest load that is allowed does not tell; says why.
    Undecided(String),
}

impl ProbeOutcome {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Holds => String::new(),
            Self::Fails(reason) | Self::GeneratorSaturated(reason) | Self::Undecided(reason) => {
                reason.clone()
            }
        }
    }
}

/// Where the capacity lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// The highest rate that was held, and that most of its loads held again.
    pub holds: Option<Rates>,
    /// All loads of that rate.
    pub at_holds: Tally,
    /// The lowest rate above it that most of its loads failed.
    pub fails: Option<Rates>,
    /// All loads of that rate.
    pub at_fails: Tally,
    /// Whether the search ended because the generator could make no more.
    pub ended_by_generator: bool,
    /// What was busy where it failed, in words; the most telling first.
    pub saturated: Vec<String>,
}

/// How the loads of one rate came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Loads.
    pub loads: u32,
    /// Those that kept the objective.
    pub held: u32,
    /// Those that missed it.
    pub failed: u32,
}

impl Tally {
    /// Of some loads of one rate.
    pub fn of<'a>(probes: impl IntoIterator<Item = &'a Probe>) -> Self {
        let mut tally = Self::default();
        for probe in probes {
            tally.loads += 1;
            tally.held += u32::from(probe.held == ProbeOutcome::Holds);
            tally.failed += u32::from(matches!(probe.held, ProbeOutcome::Fails(_)));
        }
        tally
    }
}

/// A rate in both units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Visits that the search asked for: the rate of its loads.
    pub rate_per_s: f64,
    /// Visits that their schedule had.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How far each point lies from the law.
    pub residuals: Vec<Residual>,
}

/// A point beside the law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// How many.
    pub n: u32,
    /// Operations per second, median of the rounds.
    pub measured: f64,
    /// What the law has there.
    pub predicted: f64,
    /// (measured - predicted) / predicted.
    pub relative: f64,
}

impl Usl {
    /// A law that explains less of the variance than this does not fit.
    pub const R_SQUARED_MIN: f64 = 0.9;
    /// Nor does one that a point misses by more than this share.
    pub const RESIDUAL_MAX: f64 = 0.2;

    /// Why the law does not fit; nothing is read off such a law, inside or outside the points.
    pub fn misfit(&self) -> Option<String> {
        let worst = self
            .residuals
            .iter()
            .max_by(|left, right| left.relative.abs().total_cmp(&right.relative.abs()))
            .filter(|worst| worst.relative.abs() > Self::RESIDUAL_MAX);
        let explains = (self.r_squared < Self::R_SQUARED_MIN).then(|| {
            format!(
                "R² is {:.3}, and {} is the least that counts as a fit",
                self.r_squared,
                Self::R_SQUARED_MIN
            )
        });
        let misses = worst.map(|worst| {
            format!(
                "at N = {} the measurement is {:+.0} % off the law, and {:.0} % is the limit",
                worst.n,
                worst.relative * 100.0,
                Self::RESIDUAL_MAX * 100.0
            )
        });
        let reasons: Vec<String> = explains.into_iter().chain(misses).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

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
    /// The machine that the verdict is about; absent for a claim about no machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
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
    /// Only a drill decides it: a rehearsed disaster.
    NeedsDrill,
}

/// The machine that a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The claim names no machine, or this one: the verdict holds where it was measured.
    ThisMachine,
    /// The claim names another machine, to which the measurement was carried over.
    ClaimedMachine,
}

impl JudgedClaim {
    /// The verdict and the machine that it is about: `supported on this machine`.
    pub fn verdict_text(&self) -> String {
        let name = self.verdict.name();
        match (self.verdict, self.scope) {
            (ClaimVerdict::Supported | ClaimVerdict::Refuted, Some(Scope::ThisMachine)) => {
                format!("{name} on this machine")
            }
            (ClaimVerdict::Supported | ClaimVerdict::Refuted, Some(Scope::ClaimedMachine)) => {
                format!("{name} on the claimed machine")
            }
            _ => name.to_owned(),
        }
    }
}

impl ClaimVerdict {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Refuted => "refuted",
            Self::NotMeasurableHere => "not measurable here",
            Self::NeedsDrill => "needs a drill",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Supported => Tone::Good,
            Self::Refuted => Tone::Bad,
            Self::NotMeasurableHere | Self::NeedsDrill => Tone::Uncertain,
        }
    }
}

impl Capacity {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 2;

    /// Whether an invariant was violated under any load.
    pub fn violated(&self) -> bool {
        self.violation.is_some()
    }

    /// The loads of a rate, in the order of trying.
    pub fn loads_of(&self, rates: Rates) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(move |probe| probe.rate_per_s == rates.rate_per_s)
    }

    pub(super) fn count(&self, verdict: ClaimVerdict) -> usize {
        self.claims.iter().filter(|claim| claim.verdict == verdict).count()
    }
}
