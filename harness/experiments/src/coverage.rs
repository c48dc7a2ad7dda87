//! A load goes on until it has reached what its scenario is about (I15), or whatever else is asked
//! of it. How much a machine does in a second decides nothing then.

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use slotproof_reports::{RunReport, quantity, run_report::ShorterLoad};
use slotproof_vocabulary::{Finding, Invariant, Plan, Span, UsageError, Verdict};

use slotproof_evidence::RunDirectory;
use slotproof_stack::guard::Guard;

use crate::{
    progress::Progress,
    target_run::{self, TargetRunSpec},
    trial::{TrialSpec, conduct},
};

/// How many times as long as the plan a load may last.
pub const LONGEST: u32 = 16;

/// Whether the run has not reached what its scenario is about (I15).
pub(crate) fn lacks_coverage(report: &RunReport) -> bool {
    let coverage = |finding: &&Finding| finding.invariant == Invariant::RunCoverage;
    report.verdict.verdict != Verdict::Violated
        && report
            .verdict
            .findings
            .iter()
            .find(coverage)
            .is_some_and(|coverage| coverage.verdict == Verdict::Unknown)
}

/// The load that follows one which did not decide: twice as long, and with that one among its
/// shorter ones, and with the same faults at the same times. `None` when that would be longer than [`LONGEST`] times what was asked for, or the
/// workload is open.
pub(crate) fn longer(asked: &TrialSpec, last: &RunReport) -> Option<TrialSpec> {
    let plan = longer_plan(&asked.plan, last)?;
    let next = asked.experiment.trial(plan, asked.strategy, asked.faults.clone());
    Some(TrialSpec { shorter: shorter_loads(last), ..next })
}

/// The plan of the load that follows one which did not decide.
pub(crate) fn longer_plan(asked: &Plan, last: &RunReport) -> Option<Plan> {
    let times = 1_u32.checked_shl(u32::try_from(last.shorter.len() + 1).ok()?)?;
    let plan = asked.lasting(Span(asked.duration().0.checked_mul(times)?))?;
    (times <= LONGEST).then_some(plan)
}

/// The loads before one that follows this.
pub(crate) fn shorter_loads(last: &RunReport) -> Vec<ShorterLoad> {
    let this = ShorterLoad {
        run: last.run.clone(),
        lasted_ms: last.totals.window_ms,
        operations: last.verdict.operations,
    };
    last.shorter.iter().cloned().chain([this]).collect()
}

/// Whether a plan can be repeated for longer, up to [`LONGEST`] times as long.
///
/// # Errors
/// Says why not.
pub fn can_last_longer(plan: &Plan) -> Result<(), UsageError> {
    let longest = Span(plan.duration().0.saturating_mul(LONGEST));
    if plan.lasting(longest).is_none() {
        return Err(UsageError(
            "--until covered needs a closed workload: the schedule of an open one says how long it \
             lasts; leave out --rate and --stages, or --until"
                .to_owned(),
        ));
    }
    if longest > Plan::SPAN_MAX {
        return Err(UsageError(format!(
            "--until covered may last {LONGEST} times --duration {}, and a load lasts {} at most; \
             give a shorter --duration",
            plan.duration(),
            Plan::SPAN_MAX
        )));
    }
    Ok(())
}

/// A run that goes on until it has reached what I15 asks for: each load is a run of its own, on
/// servers of its own, in a directory of its own. Answers with the last one.
///
/// # Errors
/// As [`conduct`].
#[boxed_future]
pub async fn conduct_until_covered(
    spec: &TrialSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, RunReport)> {
    let (mut run, mut report) = conduct(spec, guard, progress).await?;
    while let Some(next) = longer(spec, &report).filter(|_| lacks_coverage(&report)) {
        say_once_more(&spec.plan, &report, &next.plan, progress);
        (run, report) = conduct(&next, guard, progress).await?;
    }
    say_covered(&report, progress);
    Ok((run, report))
}

/// As [`conduct_until_covered`], on the API of a target file.
///
/// # Errors
/// As [`target_run::conduct`].
#[boxed_future]
pub async fn conduct_target_until_covered(
    spec: &TargetRunSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, RunReport)> {
    let (mut run, mut report) = target_run::conduct(spec, guard, progress).await?;
    while let Some(plan) = longer_plan(&spec.plan, &report).filter(|_| lacks_coverage(&report)) {
        say_once_more(&spec.plan, &report, &plan, progress);
        let next = TargetRunSpec { plan, shorter: shorter_loads(&report), ..spec.clone() };
        (run, report) = target_run::conduct(&next, guard, progress).await?;
    }
    say_covered(&report, progress);
    Ok((run, report))
}

fn say_once_more(asked: &Plan, last: &RunReport, next: &Plan, progress: &dyn Progress) {
    let longest = Span(asked.duration().0 * LONGEST);
    progress.line(&format!(
        "  not covered after {} and {}: once more, for {} ({} at most)",
        quantity::duration_ms(last.totals.window_ms),
        quantity::counted(last.verdict.operations, "operation"),
        quantity::duration_ms(next.duration().ms()),
        quantity::duration_ms(longest.ms()),
    ));
}

fn say_covered(report: &RunReport, progress: &dyn Progress) {
    let covered = if lacks_coverage(report) { "not covered after" } else { "covered after" };
    progress.line(&format!(
        "  {covered} {} and {}{}",
        quantity::duration_ms(report.totals.window_ms),
        quantity::counted(report.verdict.operations, "operation"),
        match report.shorter.len() {
            0 => String::new(),
            shorter => format!(
                "; {} before it did not reach what I15 asks for",
                quantity::counted(shorter as u64, "shorter load")
            ),
        }
    ));
}
