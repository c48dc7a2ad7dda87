//! The selftest: every strategy and every negative control under the same loads, on one set of
//! servers, and what convicted whom.
//!
//! A checker that convicts nobody proves nothing. Here every bug that is known and shows under load
//! alone must be convicted, those that need a fault must stay silent without one, and strategies
//! that claim to be safe must never be convicted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
    time::Instant,
};

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use serde::Serialize;
use slotproof_checker::Case;
use slotproof_vocabulary::{
    Finding, Invariant, Plan, PlanArgs, ShownBy, Span, StrategyKind, Verdict, VerdictReport,
};

use slotproof_evidence::RunDirectory;
use slotproof_stack::{EnvironmentSpec, StackSpec, guard::Guard};

use crate::{progress::Progress, series::Series, spec::ExperimentSpec, trial::TrialSpec};

/// Clients of each load: enough to meet at the one slot, few enough for two seconds to be worth
/// something.
const CLIENTS: u32 = 200;
/// Seats: enough for both calls of a double click to find one, too few for everybody.
const CAPACITY: u32 = 120;
const DURATION: Span = Span::of_ms(2_000);
const HOLD: Span = Span::of_ms(600);

/// What is tested.
#[derive(Debug, Clone)]
pub struct SelftestSpec {
    /// What is tested.
    pub strategies: Vec<StrategyKind>,
    /// A load of each strategy for each seed.
    pub seeds: Vec<u64>,
    /// Where the directory of the selftest is made.
    pub runs: PathBuf,
}

/// By which means something was convicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The service's own story does not add up.
    A,
    /// By what clients were told.
    B,
    /// By rows and log after the run had settled.
    End,
}

impl Tier {
    fn of(invariant: Invariant) -> Self {
        match invariant {
            Invariant::OneOrder => Self::A,
            Invariant::NoOverbookingObserved
            | Invariant::Idempotent
            | Invariant::HonestSoldOut
            | Invariant::PossibleReads
            | Invariant::SessionOrder
            | Invariant::UniqueBookings => Self::B,
            Invariant::NoOverbookingStored
            | Invariant::NoLostBooking
            | Invariant::NoPhantom
            | Invariant::LawfulLifecycle
            | Invariant::SeatsConserved
            | Invariant::NothingLeaked
            | Invariant::AnnouncedOnce
            | Invariant::RunCoverage => Self::End,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::End => "end",
        }
    }
}

/// One load of one strategy.
#[derive(Debug, Clone, Serialize)]
struct Trial {
    seed: u64,
    verdict: Verdict,
    operations: u64,
    convicted_by: BTreeSet<Invariant>,
    /// Operations that had returned when the first violation was complete, and the tier that shows
    /// it.
    first: Option<(u64, Tier)>,
}

/// A row of the matrix.
#[derive(Debug, Serialize)]
struct Row {
    strategy: StrategyKind,
    /// What it takes to see it break; absent for a strategy that claims to be safe.
    needs: Option<&'static str>,
    trials: Vec<Trial>,
    as_it_should: bool,
}

/// The matrix.
#[derive(Debug, Serialize)]
pub struct SelftestReport {
    schema_version: u32,
    clients: u32,
    capacity: u32,
    duration_ms: u64,
    seeds: Vec<u64>,
    took_s: u64,
    rows: Vec<Row>,
}

/// Runs every trial and writes `selftest.json` and `selftest.md`.
///
/// # Errors
/// What kept a trial from being made.
#[boxed_future]
pub async fn selftest(
    spec: &SelftestSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, SelftestReport)> {
    let begun = Instant::now();
    let run = RunDirectory::create_named(&spec.runs, "selftest", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("selftest {}", run.path().display()));
    let experiment = ExperimentSpec {
        stack: StackSpec::single(EnvironmentSpec::Native),
        runs: run.path().to_owned(),
        repeat_command: "slotproof selftest".to_owned(),
    };
    let mut series = Series::begin(run.clone(), &experiment, guard).await?;
    let mut rows = Vec::new();
    for strategy in &spec.strategies {
        let mut trials = Vec::new();
        for seed in &spec.seeds {
            trials.push(one(*strategy, *seed, &experiment, &mut series).await?);
        }
        let row = row(*strategy, trials);
        progress.line(&format!(
            "  {:<20} {} ({} s)",
            strategy.name(),
            row.said(),
            begun.elapsed().as_secs()
        ));
        rows.push(row);
    }
    series.end().await;
    let report = SelftestReport {
        schema_version: 1,
        clients: CLIENTS,
        capacity: CAPACITY,
        duration_ms: DURATION.ms(),
        seeds: spec.seeds.clone(),
        took_s: begun.elapsed().as_secs(),
        rows,
    };
    run.write_json("selftest.json", &report)?;
    run.write("selftest.md", report.markdown().as_bytes())?;
    Ok((run, report))
}

/// A run of its own, in a directory of its own; all of them share the servers and one database,
/// where each has a doctor of its own.
async fn one(
    strategy: StrategyKind,
    seed: u64,
    experiment: &ExperimentSpec,
    series: &mut Series<'_>,
) -> Result<Trial> {
    let words = PlanArgs {
        strategy: Some(strategy),
        clients: Some(CLIENTS),
        capacity: Some(CAPACITY),
        duration: Some(DURATION),
        hold: Some(HOLD),
        seed: Some(seed),
        ..PlanArgs::default()
    };
    let spec = TrialSpec {
        plan: Plan::try_from(words)?,
        strategy,
        faults: Vec::new(),
        experiment: ExperimentSpec {
            repeat_command: format!(
                "slotproof run --strategy {strategy} --clients {CLIENTS} --capacity {CAPACITY} \
                 --duration {DURATION} --hold {HOLD} --seed {seed}"
            ),
            ..experiment.clone()
        },
    };
    let tried = series.trial(&spec).await?;
    Ok(trial_of(seed, &tried.case, &tried.report.verdict))
}

fn trial_of(seed: u64, case: &Case, verdict: &VerdictReport) -> Trial {
    let violated: Vec<&Finding> =
        verdict.findings.iter().filter(|finding| finding.verdict == Verdict::Violated).collect();
    let mut returns: Vec<u64> =
        case.history.operations.iter().map(|operation| operation.returned_ns).collect();
    returns.sort_unstable();
    let detected =
        |finding: &&Finding| (operations_until(finding, &returns), Tier::of(finding.invariant));
    Trial {
        seed,
        verdict: verdict.verdict,
        operations: verdict.operations,
        convicted_by: violated.iter().map(|finding| finding.invariant).collect(),
        first: violated.iter().map(detected).min(),
    }
}

/// Operations that had returned when the finding's witness was complete; all of them where rows or
/// log are the witness.
fn operations_until(finding: &Finding, returns: &[u64]) -> u64 {
    let operations = finding.witness.iter().flat_map(|witness| &witness.operations);
    let last_ns = operations.map(|shown| shown.operation.returned_ns).max().unwrap_or(u64::MAX);
    returns.partition_point(|returned_ns| *returned_ns <= last_ns) as u64
}

fn row(strategy: StrategyKind, trials: Vec<Trial>) -> Row {
    let convicted = trials.iter().any(|trial| trial.verdict == Verdict::Violated);
    let undecided = trials.iter().any(|trial| trial.verdict == Verdict::Unknown);
    let (needs, as_it_should) = match strategy.shown_by() {
        None => (None, !convicted && !undecided),
        Some(ShownBy::Load) => (Some("load"), convicted),
        Some(ShownBy::Pause) => (Some("a pause"), !convicted),
        Some(ShownBy::Crash) => (Some("a crash"), !convicted),
    };
    Row { strategy, needs, trials, as_it_should }
}

impl Row {
    fn convicted(&self) -> usize {
        self.trials.iter().filter(|trial| trial.verdict == Verdict::Violated).count()
    }

    fn said(&self) -> String {
        let by: BTreeSet<Invariant> =
            self.trials.iter().flat_map(|trial| trial.convicted_by.iter().copied()).collect();
        let by: Vec<String> = by.iter().map(ToString::to_string).collect();
        let convicted = match self.convicted() {
            0 => "not convicted".to_owned(),
            count => format!("convicted in {count} of {} by {}", self.trials.len(), by.join(" ")),
        };
        let should = if self.as_it_should { "as it should be" } else { "NOT AS IT SHOULD BE" };
        format!("{convicted}, {should}")
    }
}

impl SelftestReport {
    /// Whether every row is as it should be.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.as_it_should)
    }

    /// The matrix as people read it, in Markdown.
    pub fn markdown(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "# Who was convicted\n\nflash_sale with {} clients for {} seats, {} ms, seeds {}. A number is in how many of the {} loads an invariant \
             convicted. Operations are those that had returned when the first violation was complete. Tier A is the service's own story, B what \
             clients were told, end the rows and the log after the run. Took {} s.\n\n",
            self.clients,
            self.capacity,
            self.duration_ms,
            seeds.join(", "),
            self.seeds.len(),
            self.took_s
        );
        let columns: Vec<String> = Invariant::ALL.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "| | shows under | convicted | {} | operations, median | p95 | tier | |\n|---|---|--:|{}--:|--:|---|---|",
            columns.join(" | "),
            "--:|".repeat(columns.len())
        );
        for row in &self.rows {
            let mut counts: BTreeMap<Invariant, usize> = BTreeMap::new();
            for invariant in row.trials.iter().flat_map(|trial| &trial.convicted_by) {
                *counts.entry(*invariant).or_default() += 1;
            }
            let cells: Vec<String> = Invariant::ALL
                .iter()
                .map(|invariant| counts.get(invariant).map_or(String::new(), ToString::to_string))
                .collect();
            let mut first: Vec<(u64, Tier)> =
                row.trials.iter().filter_map(|trial| trial.first).collect();
            first.sort_unstable();
            let at = |share: f64| {
                let place = ((first.len().max(1) - 1) as f64 * share).ceil() as usize;
                first.get(place).map_or(String::new(), |(operations, _)| operations.to_string())
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {} of {} | {} | {} | {} | {} | {} |",
                row.strategy,
                row.needs.unwrap_or("-"),
                row.convicted(),
                row.trials.len(),
                cells.join(" | "),
                at(0.5),
                at(0.95),
                first.first().map_or("", |(_, tier)| tier.name()),
                if row.as_it_should { "as it should be" } else { "**not as it should be**" }
            );
        }
        text
    }
}
