//! `capacity.json`: the highest rate that keeps the objective, what saturates there, and a verdict
//! on each line of somebody's estimates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Plan, StrategyKind, Verdict};

use crate::{
    document::{Document, Section, Tone},
    estimate::Estimate,
    plots, quantity, run_context,
    run_report::EnvironmentBlock,
    table::{Table, numbers, words},
};

/// A capacity search with the claims that it judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Version of this shape: [`Capacity::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of its directory.
    pub name: String,
    /// When it began (UTC, RFC 3339).
    pub started_at: String,
    /// The version of Slotproof that made it.
    pub slotproof_version: String,
    /// The one command that repeats it.
    pub repeat_command: String,
    /// Where it ran.
    pub environment: EnvironmentBlock,
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
    /// What it came to.
    pub held: ProbeOutcome,
}

/// What a rate came to.
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
    fn word(&self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails(_) => "fails",
            Self::GeneratorSaturated(_) => "the generator ended it",
        }
    }

    fn reason(&self) -> String {
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
    /// Throughput that the law gives for so many.
    pub fn at(&self, n: f64) -> f64 {
        let (lambda, sigma, kappa) = (self.lambda.median, self.sigma.median, self.kappa.median);
        lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
    }
}

/// A line of somebody's estimates.
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
    /// Operations per second that it speaks of, to be drawn.
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
}

impl Capacity {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Whether anything was violated at any rate.
    pub fn violated(&self) -> bool {
        self.probes.iter().any(|probe| probe.verdict == Verdict::Violated)
    }

    fn count(&self, verdict: ClaimVerdict) -> usize {
        self.claims.iter().filter(|claim| claim.verdict == verdict).count()
    }

    fn bracket_text(&self) -> String {
        let rates = |rates: &Rates| {
            format!(
                "{} operations/s ({} visits/s)",
                quantity::rate(rates.operations_per_s),
                quantity::rate(rates.visits_per_s)
            )
        };
        match (&self.bracket.holds, &self.bracket.fails) {
            (Some(holds), Some(fails)) => {
                format!("holds {}, fails at {}", rates(holds), rates(fails))
            }
            (Some(holds), None) => {
                format!("holds {}, and the generator could make no more", rates(holds))
            }
            (None, Some(fails)) => format!("fails at {} already", rates(fails)),
            (None, None) => "no rate was decided: the generator could not make the load".to_owned(),
        }
    }

    fn objective_text(&self) -> String {
        format!(
            "response p99 below {}, no more than {:.2} % of operations without an answer, and nothing violated",
            quantity::duration_ms(self.objective.p99_ms),
            self.objective.errors_max * 100.0
        )
    }

    /// The page.
    pub fn document(&self) -> Document {
        let (supported, refuted) =
            (self.count(ClaimVerdict::Supported), self.count(ClaimVerdict::Refuted));
        let (tone, word) = match (self.violated(), refuted) {
            (true, _) => (Tone::Bad, "violated".to_owned()),
            (false, 0) => (Tone::Good, "measured".to_owned()),
            (false, refuted) => {
                (Tone::Uncertain, format!("{} refuted", quantity::counted(refuted as u64, "claim")))
            }
        };
        let sections = vec![
            self.claims_section(),
            self.working_section(),
            self.search_section(),
            self.scaling_section(),
            Section::new("environment", "Environment").table(
                "",
                run_context::environment_of(
                    &self.environment,
                    &self.slotproof_version,
                    &self.started_at,
                ),
            ),
        ];
        Document {
            kicker: "Slotproof capacity",
            title: format!("{} on one machine", self.strategy),
            subtitle: format!("{}: {}", self.plan.scenario, self.objective_text()),
            tone,
            word,
            headline: format!("It {}.", self.bracket_text()),
            facts: vec![
                ("claims supported".to_owned(), supported.to_string()),
                ("refuted".to_owned(), refuted.to_string()),
                (
                    "not measurable here".to_owned(),
                    self.count(ClaimVerdict::NotMeasurableHere).to_string(),
                ),
                ("rates tried".to_owned(), self.probes.len().to_string()),
            ],
            name: self.name.clone(),
            started_at: self.started_at.clone(),
            repeat_command: self.repeat_command.clone(),
            sections: sections.into_iter().filter(Section::says_something).collect(),
            made_by: format!(
                "Made by slotproof {} from capacity.json alone, schema version {}.",
                self.slotproof_version, self.schema_version
            ),
        }
    }

    fn claims_section(&self) -> Section {
        let mut table =
            Table::new(&[words("claim"), words("verdict"), words("because"), words("source")]);
        for claim in &self.claims {
            table.push(vec![
                claim.says.clone(),
                claim.verdict.name().to_owned(),
                claim.because.clone(),
                claim.source.clone().unwrap_or_default(),
            ]);
        }
        Section::new("claims", "The estimates, line by line").table("", table)
    }

    fn working_section(&self) -> Section {
        let steps = self
            .claims
            .iter()
            .flat_map(|claim| claim.working.iter().map(|step| format!("{}: {step}", claim.id)));
        Section::new("working", "The working, and what it rests on").list(steps)
    }

    fn search_section(&self) -> Section {
        let columns = [
            words("phase"),
            numbers("visits / s asked"),
            numbers("made"),
            numbers("operations / s"),
            numbers("response p50"),
            numbers("p99"),
            numbers("service p99"),
            numbers("send lag p99"),
            numbers("no answer"),
            numbers("CPUs busy"),
            words("outcome"),
            words("because"),
            words("report"),
        ];
        let mut table = Table::new(&columns);
        for probe in &self.probes {
            table.push(vec![
                probe.phase.clone(),
                quantity::rate(probe.asked_per_s),
                quantity::rate(probe.made_per_s),
                quantity::rate(probe.operations_per_s),
                quantity::duration_us(probe.response_us_p50),
                quantity::duration_us(probe.response_us_p99),
                quantity::duration_us(probe.service_us_p99),
                quantity::duration_us(probe.lag_us_p99),
                format!("{:.2} %", probe.errors * 100.0),
                quantity::rate(probe.cpus_busy.values().sum()),
                probe.held.word().to_owned(),
                probe.held.reason(),
                format!("{}/report.html", probe.run),
            ]);
        }
        Section::new("search", "The search")
            .say(format!("A rate is held if {}.", self.objective_text()))
            .say("The load is open: visits arrive on schedule, however slow the service becomes. Rates are doubled until one fails; then the \
                  bracket is halved; then the highest rate that was held must be held again, for longer.")
            .list(self.bracket.saturated.iter().cloned())
            .figure(plots::knee::figure(self))
            .table("", table)
    }

    fn scaling_section(&self) -> Section {
        let mut table = Table::new(&[
            words("over"),
            numbers("lambda: of one, operations / s"),
            numbers("sigma: contention"),
            numbers("kappa: coherence"),
            numbers("highest at"),
            numbers("explains"),
        ]);
        for scaling in [&self.by_clients, &self.by_replicas] {
            let Some(usl) = &scaling.usl else { continue };
            let share = |value: f64| format!("{value:.4}");
            table.push(vec![
                scaling.over.clone(),
                usl.lambda.text(quantity::rate),
                usl.sigma.text(share),
                usl.kappa.text(|value| format!("{value:.6}")),
                usl.peak_at.map_or("no end in sight".to_owned(), quantity::rate),
                format!("{:.1} %", usl.r_squared * 100.0),
            ]);
        }
        Section::new("scaling", "How it scales")
            .say("The Universal Scalability Law, X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)), fitted to a closed load without thinking time. Beyond the \
                  largest N that was measured it is an extrapolation; on one machine more processes of the service share its CPUs with everything else.")
            .figure(plots::usl::figure("usl-clients", "Throughput over clients", &self.by_clients, &self.claims))
            .figure(plots::usl::figure("usl-replicas", "Throughput over service processes", &self.by_replicas, &self.claims))
            .table("", table)
    }
}
