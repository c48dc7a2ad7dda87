//! The selftest: every strategy and every negative control under the same loads, on one set of
//! servers, and what convicted whom.
//!
//! A checker that convicts nothing proves nothing. Here every bug that is known and shows under
//! load alone must be convicted, those that need a fault must stay silent without one, and
//! strategies that claim to be safe must never be convicted.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use slotproof_checker::Case;
use slotproof_reports::RunReport;
use slotproof_vocabulary::{
    Finding, Plan, PlanArgs, ShownBy, Span, StrategyKind, Verdict, VerdictReport,
};

use slotproof_evidence::RunDirectory;
use slotproof_reports::selftest::{Selftest, SelftestRow, SelftestTrial, Tier};
use slotproof_stack::{StackSpec, guard::Guard};

use crate::{
    progress::Progress,
    series::{Extended, Series, lacks_coverage},
    spec::ExperimentSpec,
    trial::TrialSpec,
};

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
    /// What the service runs on.
    pub stack: StackSpec,
    /// Where the directory of the selftest is made.
    pub runs: PathBuf,
}

/// Runs every trial and writes `selftest.json`, `selftest.md` and the report.
///
/// # Errors
/// What kept a trial from being made.
#[boxed_future]
pub async fn selftest(
    spec: &SelftestSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, Selftest)> {
    let begun = Instant::now();
    let run = RunDirectory::create_named(&spec.runs, "selftest", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("selftest {}", run.path().display()));
    let experiment = ExperimentSpec {
        stack: spec.stack.clone(),
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
        let row = SelftestRow::new(*strategy, trials);
        progress.line(&format!(
            "  {:<20} {} ({} s)",
            strategy.name(),
            row.summary(),
            begun.elapsed().as_secs()
        ));
        rows.push(row);
    }
    series.end().await;
    let report = Selftest {
        schema_version: Selftest::SCHEMA_VERSION,
        clients: CLIENTS,
        capacity: CAPACITY,
        duration_ms: DURATION.ms(),
        seeds: spec.seeds.clone(),
        took_s: begun.elapsed().as_secs(),
        rows,
    };
    run.write_json("selftest.json", &report)?;
    run.write("selftest.md", report.document().markdown().as_bytes())?;
    run.write_document(&report.document())?;
    Ok((run, report))
}

/// A run of its own, in a directory of its own; all of them share the servers and one database,
/// where each has a doctor of its own.
async fn one(
    strategy: StrategyKind,
    seed: u64,
    experiment: &ExperimentSpec,
    series: &mut Series<'_>,
) -> Result<SelftestTrial> {
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
        wired_before: None,
        shorter: Vec::new(),
        experiment: ExperimentSpec {
            repeat_command: format!(
                "slotproof run --strategy {strategy} --clients {CLIENTS} --capacity {CAPACITY} \
                 --duration {DURATION} --hold {HOLD} --seed {seed} --topology {}",
                experiment.stack.topology.argument()
            ),
            ..experiment.clone()
        },
    };
    // A control that load alone shows is loaded until it is convicted, the others until the load
    // has reached what it is about.
    let shown_by_load = strategy.shown_by() == Some(ShownBy::Load);
    let open = |report: &RunReport| match shown_by_load {
        true => report.verdict.verdict != Verdict::Violated,
        false => lacks_coverage(report),
    };
    let Extended { tried, .. } = series.trial_until_decided(&spec, None, open).await?;
    Ok(trial_of(seed, &tried.case, &tried.report.verdict))
}

fn trial_of(seed: u64, case: &Case, verdict: &VerdictReport) -> SelftestTrial {
    let violated: Vec<&Finding> =
        verdict.findings.iter().filter(|finding| finding.verdict == Verdict::Violated).collect();
    let mut returns: Vec<u64> =
        case.history.operations.iter().map(|operation| operation.returned_ns).collect();
    returns.sort_unstable();
    let detected =
        |finding: &&Finding| (operations_until(finding, &returns), Tier::of(finding.invariant));
    SelftestTrial {
        seed,
        verdict: verdict.verdict,
        operations: verdict.operations,
        convicted_by: violated.iter().map(|finding| finding.invariant).collect(),
        first: violated.iter().map(detected).min(),
    }
}

/// Operations that had returned when the finding's witness was complete; all of them where rows or
/// log are the witness.
pub(crate) fn operations_until(finding: &Finding, returns: &[u64]) -> u64 {
    let operations = finding.witness.iter().flat_map(|witness| &witness.operations);
    let last_ns = operations.map(|shown| shown.operation.returned_ns).max().unwrap_or(u64::MAX);
    returns.partition_point(|returned_ns| *returned_ns <= last_ns) as u64
}
