//! Replaying a way through a model on the running service, against a real database.
//!
//! The director holds each request at its pause points and lets them go in the schedule's order. A
//! step that the database blocks is recognised by `pg_blocking_pids`. After each step what can be
//! seen is held against the model of the strategy that is replayed, and the whole ends in the
//! ordinary checker.

mod channel;
pub mod coverage;
mod diagram;
mod director;
pub mod regressions;
mod report;
mod rig;
mod work;

pub use diagram::of_schedule;
pub use report::{Fate, Line, ReplayReport};
pub use rig::ReplayRig;

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use slotproof_models::{ModelEvent, Schedule, ScheduledEvent, Walk};
use slotproof_scenarios::{
    Clock,
    recorder::{Outputs, Writer},
};
use slotproof_vocabulary::{
    LoadTotals, Operation, Plan, PlanArgs, ScenarioKind, SlotId, Span, StrategyKind, UsageError,
    Verdict, VerdictReport,
};

use slotproof_evidence::{Past, Place, RunDirectory, collect};
use slotproof_experiments::{ExperimentSpec, Progress, trial};
use slotproof_stack::{Environment, EnvironmentSpec, StackSpec, Topology, guard::Guard};

use self::director::{Came, Director, Stepped};

/// After a schedule has ended, the calls that are still under way take so many steps at most.
const AFTERMATH_MAX: usize = 200;

/// What is replayed, on what, and how often.
#[derive(Debug, Clone)]
pub struct ReplaySpec {
    /// The stack, where the directory is made, and the command that repeats the replay.
    pub experiment: ExperimentSpec,
    /// What is replayed.
    pub schedule: Schedule,
    /// Whose service is led through it.
    pub strategy: StrategyKind,
    /// How often, each time on a fresh slot.
    pub times: u32,
}

/// A replay that was judged.
#[derive(Debug)]
pub struct Played {
    /// Its directory.
    pub run: RunDirectory,
    /// What each step came to.
    pub report: ReplayReport,
    /// The checker's verdict.
    pub verdict: VerdictReport,
}

/// The stack of every replay. No strategy that can be replayed has a queue, and a directed service
/// announces nothing.
pub fn stack() -> StackSpec {
    let single = StackSpec::single(EnvironmentSpec::Native);
    StackSpec { topology: Topology::without_queue(), replicas: 1, ..single }
}

/// Starts servers and service, plays the schedule as often as was asked for, each time on a fresh
/// slot, and judges each time.
///
/// # Errors
/// What kept it from being played; a strategy that has no model.
#[boxed_future(?Send)]
pub async fn replay(
    spec: &ReplaySpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<Vec<Played>> {
    can_be_replayed(spec.strategy)?;
    let now = time::OffsetDateTime::now_utc();
    let name = format!("replay-{}-on-{}", spec.schedule.strategy, spec.strategy);
    let parent = RunDirectory::create_named(&spec.experiment.runs, &name, now)?;
    progress.line(&format!("run {}", parent.path().display()));
    let environment =
        slotproof_stack::provision(&spec.experiment.stack, parent.path(), guard).await?;
    let rig = ReplayRig::start(spec.strategy, &environment, &parent, guard).await?;
    let mut played = Vec::new();
    for time in 0..spec.times {
        let run = match spec.times {
            1 => parent.clone(),
            _ => RunDirectory::create_named(parent.path(), &format!("{}", time + 1), now)?,
        };
        played.push(play(spec, &rig, &environment, run).await?);
    }
    rig.teardown().await;
    environment.stop().await;
    Ok(played)
}

/// # Errors
/// A strategy whose requests no director can hold, or that has no model to compare with.
pub fn can_be_replayed(strategy: StrategyKind) -> Result<(), UsageError> {
    let reason = match strategy {
        StrategyKind::Queue
        | StrategyKind::Hybrid
        | StrategyKind::Grouped
        | StrategyKind::Batched => {
            "workers and lanes decide its requests, and they have no pause points"
        }
        StrategyKind::CommitNotDurable => {
            "it shows when the database crashes; use `slotproof run --fault crash-postgres@3s`"
        }
        StrategyKind::AnnounceApart => {
            "it shows in the announcements, and a directed service makes none"
        }
        StrategyKind::StaleCache => "it shows in reads of the slot, which are not replayed",
        _ => return Ok(()),
    };
    Err(UsageError(format!("{strategy} cannot be replayed: {reason}")))
}

/// Leads the service of each strategy along every edge of its model, one strategy after the other
/// on the same servers.
///
/// # Errors
/// What kept it from being done.
#[boxed_future(?Send)]
pub async fn cover_all(
    strategies: &[StrategyKind],
    extent: coverage::Extent,
    runs: &std::path::Path,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<Vec<coverage::Coverage>> {
    for strategy in strategies {
        can_be_replayed(*strategy)?;
    }
    let run =
        RunDirectory::create_named(runs, "replay-every-edge", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("run {}", run.path().display()));
    let environment = slotproof_stack::provision(&stack(), run.path(), guard).await?;
    let mut all = Vec::new();
    for strategy in strategies {
        let coverage =
            coverage::cover_strategy(*strategy, extent, &environment, &run, guard).await?;
        progress.line(&coverage.to_string());
        all.push(coverage);
    }
    environment.stop().await;
    run.write_json("coverage.json", &all)?;
    Ok(all)
}

/// Plays a schedule once, on a fresh slot.
async fn play(
    spec: &ReplaySpec,
    rig: &ReplayRig,
    environment: &Environment,
    run: RunDirectory,
) -> Result<Played> {
    let now = time::OffsetDateTime::now_utc();
    let plan = plan(spec)?;
    run.write_json("plan.json", &plan)?;
    run.write("schedule.json", spec.schedule.to_json().as_bytes())?;
    run.write_json("environment.json", &trial::run_context(environment, &spec.experiment, now)?)?;

    let (lines, slot, history, clock) = perform(spec, rig).await?;
    let report = ReplayReport::new(spec, lines);
    run.write_json("replay.json", &report)?;
    match diagram::of_replay(&report, &spec.schedule).svg() {
        Ok(svg) => run.write("replay.svg", svg.as_bytes())?,
        Err(error) => tracing::warn!("failed to draw the replay: {error}"),
    }

    let loaded = record(&run, history).await?;
    let place = Place {
        database_urls: &environment.endpoints.postgres_urls(),
        announces: false,
        past: Past::Swept,
        targets: rig.targets(),
        slots: &[slot.to_string()],
        clock: &clock,
    };
    collect(&place, &plan, loaded, &run).await?;
    run.write_manifest()?;
    let judged = trial::judge_and_report(&run)?;
    Ok(Played { run, report, verdict: judged.verdict })
}

/// The steps of the schedule, and then those that are left until every call is over.
async fn perform(
    spec: &ReplaySpec,
    rig: &ReplayRig,
) -> Result<(Vec<Line>, SlotId, Vec<Operation>, Clock)> {
    let size = spec.schedule.size();
    let walk = Walk::begin(spec.strategy, size);
    let slot = rig.slot(size.capacity).await?;
    let steps: Vec<ModelEvent> = spec.schedule.steps.iter().map(|step| step.what.clone()).collect();
    let case = format!("case-{}", slot.as_uuid().simple());
    let mut director = Director::new(rig, case, slot, walk, &steps);
    let mut lines = Vec::new();
    for (number, scheduled) in (1..).zip(&spec.schedule.steps) {
        let stepped = match director.would_queue(&scheduled.what) {
            true => Stepped { came: Came::Skipped, differences: Vec::new() },
            false => director
                .step(&scheduled.what)
                .await
                .with_context(|| format!("step {number}: {}", scheduled.text))?,
        };
        lines.push(Line::of(Some(number), scheduled, stepped));
    }
    let ended = go_on_to_the_end(&mut director).await;
    lines.extend(ended.with_context(|| format!("after the schedule, with {}", spec.strategy))?);
    let (slot, history, clock) = director.end().await?;
    Ok((lines, slot, history, clock))
}

/// Lets every call that is still under way go on, one after the other, until all are over.
async fn go_on_to_the_end(director: &mut Director<'_>) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    // Calls at the head of the list that ask for a lock in Redis and do not get it, so that they ask
    // again, or that would wait behind another call.
    let mut asking = 0;
    for _ in 0..AFTERMATH_MAX {
        let under_way = director.under_way();
        let what = match under_way.get(asking) {
            Some(what) => what.clone(),
            None if under_way.is_empty() => return Ok(lines),
            // The holder of the lock has crashed.
            None => ModelEvent::LockExpires,
        };
        if director.would_queue(&what) {
            asking += 1;
            continue;
        }
        let stepped = director.step(&what).await?;
        if matches!(stepped.came, Came::Skipped) {
            anyhow::bail!("{what:?} is not what its model does next: {}", director.model_says());
        }
        let waits = matches!(stepped.came, Came::Waits { .. });
        let asks_again = waits && director.under_way().contains(&what);
        asking = if asks_again { asking + 1 } else { 0 };
        if !waits || !stepped.differences.is_empty() {
            lines.push(Line::of(None, &unscheduled(&what), stepped));
        }
    }
    let left: Vec<String> = director.under_way().iter().map(|it| format!("{it:?}")).collect();
    anyhow::bail!("the calls do not end: {} are still under way", left.join(", "))
}

/// A step that no schedule has.
fn unscheduled(what: &ModelEvent) -> ScheduledEvent {
    ScheduledEvent { what: what.clone(), text: String::new() }
}

/// The plan that the checker is told of: what the schedule's world is.
fn plan(spec: &ReplaySpec) -> Result<Plan> {
    let words = PlanArgs {
        scenario: Some(ScenarioKind::FlashSale),
        strategy: Some(spec.strategy),
        clients: Some(spec.schedule.clients.into()),
        capacity: Some(spec.schedule.capacity.into()),
        hold: Some(Span::of_ms(1_000)),
        ..PlanArgs::default()
    };
    Plan::try_from(words).context("a plan for the replay")
}

/// Writes the history as a load would have.
async fn record(run: &RunDirectory, history: Vec<Operation>) -> Result<LoadTotals> {
    let sent = history.iter().map(|operation| operation.sent_ns);
    let returned = history.iter().map(|operation| operation.returned_ns);
    let measured_from_ns = sent.min().unwrap_or_default();
    let measured_until_ns = returned.max().unwrap_or_default();
    let (writer, recorder) =
        Writer::create(Outputs { history: Some(run.history()), latency: None })?;
    for operation in history {
        recorder.record(operation).await;
    }
    drop(recorder);
    let operations = writer.finish().await?;
    Ok(LoadTotals { operations, measured_from_ns, measured_until_ns, arrivals: None })
}

/// The worst of what was found: a violation, or a model that says something else than the service
/// does.
pub fn worst(played: &[Played]) -> Verdict {
    let verdict = |played: &Played| match (played.verdict.verdict, played.report.agrees()) {
        (Verdict::Violated, _) => Verdict::Violated,
        (_, false) => Verdict::Unknown,
        (verdict, true) => verdict,
    };
    let all: Vec<Verdict> = played.iter().map(verdict).collect();
    [Verdict::Violated, Verdict::Unknown]
        .into_iter()
        .find(|worst| all.contains(worst))
        .unwrap_or(Verdict::Upheld)
}
