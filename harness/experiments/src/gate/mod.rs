//! The gate: what CI runs before a merge. Correctness is hard: nothing is tried again, and a race
//! that is seen once fails. Performance is soft: only an interval that lies beyond the tolerance
//! counts, and only against a base that was measured on this machine by this plan.

pub mod config;
pub mod performance;

use std::time::Instant;

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use slotproof_checker::{Case, evidence_file};
use slotproof_reports::{
    Objective, ReportHeader, RunReport,
    gate::{Check, CheckRun, Gate},
    quantity,
};
use slotproof_vocabulary::Invariant;

use self::{
    config::{CheckConfig, GateConfig, Objectives},
    performance::Baseline,
};
use slotproof_evidence::RunDirectory;
use slotproof_stack::guard::Guard;

use crate::{
    on::{On, Subject},
    progress::Progress,
    series::{Extended, LONGEST, Tried, lacks_coverage},
    spec::ExperimentSpec,
};

/// What is run.
#[derive(Debug, Clone)]
pub struct GateSpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// What is required.
    pub config: GateConfig,
    /// What performance is compared with.
    pub baseline: Option<Baseline>,
}

/// Runs every check; writes `gate.json`, `report.html`, `report.md`, `junit.xml`, `badge.json`, and
/// a file of operations for each conviction.
///
/// # Errors
/// What kept a check from being run.
#[boxed_future]
pub async fn gate(
    spec: &GateSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, Gate)> {
    if let (Some(config), Some(baseline)) = (&spec.config.performance, &spec.baseline) {
        baseline.is_of_this_machine(&config.plan)?;
    }
    let begun = Instant::now();
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create_named(&spec.experiment.runs, "gate", now)?;
    progress.line(&format!("gate {}", run.path().display()));
    let least: u64 = spec.config.checks.iter().map(|check| check.plan.duration().ms()).sum();
    progress.line(&format!(
        "  {}: {} of load at least; a load that does not reach what I15 asks for is repeated for \
         longer, up to {LONGEST} times, while the budget of {} lasts",
        quantity::counted(spec.config.checks.len() as u64, "check"),
        quantity::duration_ms(least),
        quantity::duration_ms(spec.config.budget.ms()),
    ));
    let targets = spec.config.target.as_slice();
    let mut on = On::begin(&spec.experiment, targets, &run, guard, progress).await?;
    let context = on.run_context(&spec.experiment, now)?;
    if let Some(baseline) = &spec.baseline {
        baseline.is_of_these_servers(&context.environment)?;
    }
    let judged = match &spec.config.target {
        Some(target) => target.read()?.name,
        None => String::new(),
    };
    let mut checks = Vec::new();
    for config in &spec.config.checks {
        let ran = if begun.elapsed() < spec.config.budget.0 {
            Some(check(spec, &run, config, &mut on, begun + spec.config.budget.0).await?)
        } else {
            None
        };
        let check = Check {
            name: config.name.clone(),
            strategy: config.strategy.map_or(judged.clone(), |it| it.name().to_owned()),
            required: required(config.require.as_deref(), ran.as_ref()),
            ran,
        };
        progress.line(&format!("  {} with {}: {:?}", check.name, check.strategy, check.outcome()));
        checks.push(check);
    }
    on.end().await;
    let performance = match (&spec.config.performance, &spec.baseline) {
        (Some(config), Some(baseline)) => Some(
            performance::measure(config, baseline, spec, &run, &context.environment, progress)
                .await?,
        ),
        _ => None,
    };
    let gate = Gate {
        header: ReportHeader { schema_version: Gate::SCHEMA_VERSION, name: run.name(), context },
        took_ms: elapsed_ms(begun),
        budget_ms: spec.config.budget.ms(),
        checks,
        performance,
    };
    run.write_json("gate.json", &gate)?;
    run.write_document(&gate.document())?;
    run.write("junit.xml", &gate.junit()?)?;
    run.write("badge.json", gate.badge().as_bytes())?;
    Ok((run, gate))
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What is named; else all that the run was judged by, which is nothing less than what `slotproof
/// run` decides by.
fn required(named: Option<&[Invariant]>, ran: Option<&CheckRun>) -> Vec<Invariant> {
    let judged =
        |invariant: &Invariant| ran.is_none_or(|ran| !ran.verdict.not_judged.contains(invariant));
    match named {
        Some(named) => named.to_vec(),
        None => Invariant::ALL.iter().copied().filter(judged).collect(),
    }
}

async fn check(
    spec: &GateSpec,
    run: &RunDirectory,
    config: &CheckConfig,
    on: &mut On<'_>,
    deadline: Instant,
) -> Result<CheckRun> {
    let begun = Instant::now();
    let subject = match (config.strategy, &spec.config.target) {
        (Some(strategy), _) => Subject::Strategy(strategy),
        (None, Some(target)) => Subject::Target(target.read()?.name),
        (None, None) => anyhow::bail!("check {:?} has no strategy", config.name),
    };
    let deadline = Some(deadline);
    let Extended { tried: Tried { case, report }, shorter } = on
        .until_decided(&spec.experiment, &subject, &config.plan, deadline, lacks_coverage)
        .await?;
    let evidence = write_evidence(&case, &report, run)?;
    Ok(CheckRun {
        run: report.run.clone(),
        seed: report.plan.seed,
        took_ms: Some(elapsed_ms(begun)),
        lasted_ms: Some(report.totals.window_ms),
        shorter,
        repeat_command: report.repeat_command.clone(),
        objectives: objectives(config.objectives, &report),
        verdict: report.verdict,
        evidence,
    })
}

/// Each file convicts alone, by `slotproof check FILE --capacity SEATS`.
fn write_evidence(case: &Case, report: &RunReport, parent: &RunDirectory) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for finding in &report.verdict.findings {
        let Some(operations) = evidence_file::operations(case, finding) else { continue };
        let name = format!("{}-{}.jsonl", report.run, finding.invariant);
        parent.write(&name, evidence_file::text(case, &operations).as_bytes())?;
        names.push(name);
    }
    Ok(names)
}

fn objectives(wanted: Objectives, report: &RunReport) -> Vec<Objective> {
    let totals = &report.totals;
    let reserve =
        report.latency.iter().find(|it| it.operation == "reserve" && it.outcome.is_none());
    let p99 = wanted.p99.map(|limit| {
        // Without an answer, no answer was in time.
        let measured_us = reserve.map_or(u64::MAX, |reserve| reserve.response.us_p99);
        Objective {
            name: "response p99 of reserves".to_owned(),
            limit: quantity::duration_ms(limit.ms()),
            measured: quantity::duration_us(measured_us),
            met: measured_us <= limit.ms().saturating_mul(1_000),
        }
    });
    let goodput = wanted.goodput.map(|limit| Objective {
        name: "confirmed bookings per second".to_owned(),
        limit: quantity::rate(limit.per_s()),
        measured: quantity::rate(totals.confirmed_per_s),
        met: totals.confirmed_per_s >= limit.per_s(),
    });
    let of_the_run = report.objectives.iter().cloned();
    of_the_run.chain([p99, goodput].into_iter().flatten()).collect()
}
