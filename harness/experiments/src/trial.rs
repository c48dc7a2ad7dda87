//! A trial: from a plan to a judged run. The order of things is the order of this file.

use std::time::Duration;

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use rustix::process::Signal;
use slotproof_reports::{
    Format, RunReport, render,
    run_report::{EnvironmentBlock, ShorterLoad},
};
use slotproof_scenarios::{Clock, Connections, Event, LoadOrder, target::reference};
use slotproof_vocabulary::{LoadTotals, Plan, RunContext, StrategyKind};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::watch,
};

use slotproof_evidence::{CostWatch, Past, Place, RunDirectory, collect};
use slotproof_stack::{
    Directed, Environment, Replicas, ServiceSpec, Wiring,
    faults::{self, Fault},
    guard::Guard,
    process::{Launch, Process, Stdout, tail},
    sampling::{Group, Sampler},
};

use crate::{
    check_run,
    machine::Machine,
    progress::{Event as Shown, Progress},
    spec::ExperimentSpec,
    summary,
};

/// How much longer than its duration and a client's patience a load may take: hatching, and a busy
/// machine.
const LOAD_GRACE: Duration = Duration::from_secs(180);

/// Everything that a trial is made of.
#[derive(Debug, Clone)]
pub struct TrialSpec {
    /// The stack, where run directories are made, and the command that repeats the trial.
    pub experiment: ExperimentSpec,
    /// The load.
    pub plan: Plan,
    /// How the service makes `reserve` safe.
    pub strategy: StrategyKind,
    /// What is done to the stack under load.
    pub faults: Vec<Fault>,
    /// How the service is wired until a fault moves it to its topology.
    pub wired_before: Option<Wiring>,
    /// Loads before this one that were too short to decide.
    pub shorter: Vec<ShorterLoad>,
}

/// Starts the stack, loads it, judges it, and reports.
///
/// # Errors
/// What kept a run from being made. A run that was made is never an error, whatever its verdict.
///
/// # Cancel safety
/// Dropping the future ends everything that was started; the run directory stays.
#[boxed_future]
pub async fn conduct(
    spec: &TrialSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, RunReport)> {
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create(&spec.experiment.runs, &spec.plan, now)?;
    run.write_json("plan.json", &spec.plan)?;
    progress.line(&format!("run {}", run.path().display()));

    let step = progress.step(format!("start {}", spec.experiment.stack.topology.servers()));
    let environment = slotproof_stack::provision(&spec.experiment.stack, run.path(), guard).await?;
    step.done(&versions(&environment));
    run.write_json("environment.json", &run_context(&environment, &spec.experiment, now)?)?;

    load_and_collect(spec, &environment, &run, guard, progress).await?;
    let step = progress.step("stop everything");
    environment.stop().await;
    step.done("");

    let step = progress.step("judge and report");
    let report = judge_and_report(&run)?;
    step.done(report.verdict.verdict.name());
    Ok((run, report))
}

/// The part of a trial for which the servers run: starts the service, loads it, collects the
/// evidence, and stops the service.
///
/// # Errors
/// What kept the run from being made.
pub(crate) async fn load_and_collect(
    spec: &TrialSpec,
    environment: &Environment,
    run: &RunDirectory,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<()> {
    if !spec.shorter.is_empty() {
        run.write_json("shorter.json", &spec.shorter)?;
    }
    let stack = &spec.experiment.stack;
    let first = spec.wired_before.as_ref().unwrap_or(&stack.topology.service);
    let endpoints = environment.endpoints.wired(first.clone());
    let mut database_urls = environment.endpoints.postgres_urls();
    // What did not get to its topology is where it was.
    let before = spec.wired_before.as_ref().and_then(|it| environment.endpoints.get(&it.database));
    database_urls.extend(before.filter(|url| !database_urls.contains(url)));
    let mut costs = CostWatch::begin(&database_urls, endpoints.pooler_url()).await;
    let step = progress.step(format!("start {} processes of the service", stack.replicas));
    let service = ServiceSpec {
        strategy: spec.strategy,
        endpoints,
        hold: spec.plan.hold.0,
        connections: stack.connections,
        replicas: stack.replicas,
        port: None,
        lock_ttl: stack.lock_ttl,
        announces: true,
        directed: Directed::No,
        replaceable: spec.wired_before.is_some(),
    };
    let replicas = Replicas::start(&service, &run.logs(), guard).await?;
    step.done(spec.strategy.name());

    let base = &replicas.targets()[0];
    let capacities = vec![spec.plan.capacity; spec.plan.slots as usize];
    let id = uuid::Uuid::new_v4().simple().to_string();
    let slots = reference::prepare(&Connections::default(), base, &id, &capacities).await;
    let slots = slots.context("make the slots")?;
    costs.load_begins().await;
    let under_load = UnderLoad { id, slots: slots.clone(), replicas: &replicas };
    let loaded = load(spec, run, environment, under_load, guard, progress).await?;
    costs.load_ended(&replicas.metrics_targets().await).await;

    let step = progress.step("let it settle, probe it, read rows and audit log");
    let targets = replicas.targets();
    let place = Place {
        database_urls: &database_urls,
        announces: replicas.announces().await,
        past: if spec.faults.is_empty() { Past::Quiet } else { Past::Faults },
        targets: &targets,
        slots: &slots,
        clock: &Clock::new(),
    };
    collect(&place, &spec.plan, loaded, run).await?;
    step.done("");
    replicas.stop().await;
    if let Some(costs) = costs.end().await {
        run.write_json("costs.json", &costs)?;
    }
    run.write_manifest()
}

/// Everything after the load, from the run directory alone: what `slotproof check` and `slotproof
/// report` repeat.
///
/// # Errors
/// The run is damaged, or the reports cannot be written.
pub fn judge_and_report(run: &RunDirectory) -> Result<RunReport> {
    let (plan, case) = check_run::case(run)?;
    let verdict = check_run::judge(run, &case)?;
    run.write("latency.hgrm", summary::percentile_file(&case, &plan).as_bytes())?;
    let report = summary::summarise(run, plan, &case, verdict)?;
    write_reports(run, &report)?;
    Ok(report)
}

/// Draws every format of a report. One that cannot be drawn never changes a verdict.
///
/// # Errors
/// A file cannot be written.
pub fn write_reports(run: &RunDirectory, report: &RunReport) -> Result<()> {
    for format in Format::ALL {
        match render(report, format) {
            Ok(bytes) => run.write(format.file_name(), &bytes)?,
            Err(error) => tracing::warn!("failed to {error}"),
        }
    }
    Ok(())
}

fn versions(environment: &Environment) -> String {
    let versions: Vec<_> = environment
        .servers
        .iter()
        .map(|server| format!("{} {}", server.name, server.version))
        .collect();
    versions.join(", ")
}

/// What a figure rests on.
///
/// # Errors
/// The time cannot be written.
pub fn run_context(
    environment: &Environment,
    experiment: &ExperimentSpec,
    now: time::OffsetDateTime,
) -> Result<RunContext> {
    let Machine { cpus, memory_bytes, kernel } = Machine::here();
    let block = EnvironmentBlock {
        kind: environment.kind.name().to_owned(),
        cpus,
        memory_bytes,
        kernel,
        replicas: experiment.stack.replicas,
        topology: Some(experiment.stack.topology.block()),
        fsync: environment.fsync,
        durable_commit: environment.durable_commit,
        servers: environment.servers.clone(),
    };
    Ok(RunContext {
        started_at: now
            .replace_nanosecond(0)?
            .format(&time::format_description::well_known::Rfc3339)?,
        slotproof_version: env!("CARGO_PKG_VERSION").to_owned(),
        repeat_command: experiment.repeat_command.clone(),
        environment: block,
    })
}

/// What a load goes to.
struct UnderLoad<'a> {
    /// Different from that of every other load.
    id: String,
    slots: Vec<String>,
    replicas: &'a Replicas,
}

/// Runs the load in its own process; answers with its totals.
async fn load(
    spec: &TrialSpec,
    run: &RunDirectory,
    environment: &Environment,
    UnderLoad { id, slots, replicas }: UnderLoad<'_>,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<LoadTotals> {
    let order = LoadOrder {
        plan: spec.plan.clone(),
        run: id,
        targets: replicas.targets(),
        slots,
        history: Some(run.history()),
        latency: Some(run.file("latency.hlog")),
        described: None,
    };
    let servers = environment.processes.iter();
    let groups = servers.map(|(name, leader)| Group::new(name, vec![leader.clone()]));
    let service = Group::new("service", replicas.leaders().collect());
    let announce = |fault: &Fault| progress.line(&format!("  fault: {fault}"));
    let inject = |begun| faults::inject(&spec.faults, environment, replicas, begun, &announce);
    let (totals, injected) =
        load_process(&order, run, groups.chain([service]).collect(), guard, progress, inject)
            .await?;
    let injected = injected?;
    if !injected.is_empty() {
        run.write_json("faults.json", &injected)?;
    }
    totals
}

/// Runs a load in a process of its own, samples it with other groups of processes, and does
/// something else `meanwhile`, which is told when the load begins. Answers with the load's totals
/// and what that came to.
pub(crate) async fn load_process<F: Future>(
    order: &LoadOrder,
    run: &RunDirectory,
    mut groups: Vec<Group>,
    guard: &Guard,
    progress: &dyn Progress,
    meanwhile: impl FnOnce(watch::Receiver<bool>) -> F,
) -> Result<(Result<LoadTotals>, F::Output)> {
    run.write_json("order.json", order)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("load").arg(run.file("order.json"));
    let log = run.log("load");
    let launch = Launch {
        name: "load",
        command,
        log: log.clone(),
        stdout: Stdout::Piped,
        stop: Signal::TERM,
        abandon: Signal::KILL,
    };
    let mut process = Process::start(launch, guard)?;

    groups.push(Group::new("load", vec![process.leader()]));
    let sampler = Sampler::start(groups);

    let plan = &order.plan;
    let patience = plan.warm_up.0 + plan.duration().0 + plan.timeout.0 * 3 + LOAD_GRACE;
    let (begin, begun) = watch::channel(false);
    let following = follow(&mut process, plan, progress, begin);
    let (followed, done) =
        tokio::join!(tokio::time::timeout(patience, following), meanwhile(begun));
    run.write_samples(&sampler.stop())?;
    let totals = match followed {
        Ok(result) => result.with_context(|| {
            format!("run the load; its log is {}:\n{}", log.display(), tail(&log))
        }),
        Err(_) => Err(anyhow::anyhow!(
            "the load did not end within {} s; its log is {}",
            patience.as_secs(),
            log.display()
        )),
    };
    if let Ok(totals) = &totals {
        progress.line(&format!("  load: {}", describe_totals(totals)));
    }
    Ok((totals, done))
}

/// Reads what the load process says until it ends.
async fn follow(
    process: &mut Process,
    plan: &Plan,
    progress: &dyn Progress,
    begin: watch::Sender<bool>,
) -> Result<LoadTotals> {
    progress.show(Shown::LoadBegun(plan));
    let stdout = process.take_stdout().expect("its output is piped");
    let mut lines = BufReader::new(stdout).lines();
    let mut totals = None;
    while let Some(line) = lines.next_line().await? {
        // Goose speaks on the same stream; what is not ours is not JSON of ours.
        match serde_json::from_str::<Event>(&line) {
            Ok(Event::Progress(now)) => {
                if now.elapsed_ms > 0 {
                    begin.send_replace(true);
                }
                progress.show(Shown::Load(&now));
            }
            Ok(Event::Ended(ended)) => totals = Some(ended),
            Err(_) => {}
        }
    }
    progress.show(Shown::LoadEnded);
    let status = process.wait().await?;
    anyhow::ensure!(status.success(), "it ended with {status}");
    totals.context("it did not say how it ended")
}

/// A load that has ended, in a line.
fn describe_totals(totals: &LoadTotals) -> String {
    let operations = format!("{} operations", totals.operations);
    match &totals.arrivals {
        None => operations,
        Some(arrivals) => format!(
            "{operations}; arrivals: {:.1}/s asked, {:.1}/s made ({} of {}), at most {} waited for \
             a client",
            arrivals.asked_per_s,
            arrivals.made_per_s,
            arrivals.made,
            arrivals.asked,
            arrivals.waiting_max
        ),
    }
}
