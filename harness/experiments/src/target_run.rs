//! A run on a booking API that a target file describes: slots are prepared by its setup, the load
//! and the probe go through its steps, and answers and rows are judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use slotproof_evidence::{
    LoadEnd, ReadLog, RunDirectory, TargetEvidence, TargetRows, probe_target,
};
use slotproof_reports::{
    RunReport,
    run_report::{EnvironmentBlock, ServerBlock, ShorterLoad},
};
use slotproof_scenarios::{
    Clock, Connections, RetryPolicy, Target,
    engine::{DescribedOrder, LoadOrder},
    target::file::{
        FileTarget, OperationKind, Place, Prepared, Scope, Session, SetUp, TargetError,
    },
};
use slotproof_stack::{
    faults::{self, Fault},
    guard::Guard,
};
use slotproof_vocabulary::{Outcome, Plan, RunContext, UsageError};

use crate::{
    check_run::{self, Told},
    machine::Machine,
    progress::Progress,
    target_series::TargetSpec,
    target_stack::{self, TargetStack},
    trial::{judge_and_report, load_process},
};

/// Holds are waited for no longer than this. Of an API that holds longer, whether free seats can be
/// bought is not judged.
const HOLDS_MAX: Duration = Duration::from_secs(120);
/// How much later than its end a hold is swept at first sight, ...
const SWEPT_AFTER: Duration = Duration::from_secs(2);
/// ... and how long rows that still show it are waited for.
const SWEPT_WITHIN: Duration = Duration::from_secs(20);

/// A run on a target.
#[derive(Debug, Clone)]
pub struct TargetRunSpec {
    /// What is loaded.
    pub target: TargetSpec,
    /// The load. It has no strategy: that is the API's own affair.
    pub plan: Plan,
    /// What is done to the service under load, of what the file declares.
    pub faults: Vec<Fault>,
    /// The loads before it that did not decide.
    pub shorter: Vec<ShorterLoad>,
    /// Where the run directory is made.
    pub runs: PathBuf,
    /// The command that repeats it.
    pub repeat_command: String,
}

/// What runs have made and not taken away yet, whether they ended or were interrupted.
#[derive(Debug, Clone, Default)]
pub struct Left {
    behind: Arc<Mutex<Vec<LeftBehind>>>,
    /// The commands that stop the services.
    stop: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
struct LeftBehind {
    spec: TargetRunSpec,
    run: RunDirectory,
    set_up: SetUp,
}

impl Left {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<LeftBehind>> {
        self.behind.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A service is stopped, or healed, by this command, after all else.
    pub(crate) fn stop_by(&self, command: &str) {
        self.stopping().push(command.to_owned());
    }

    /// What [`Left::stop_by`] was told last of this command is done.
    pub(crate) fn is_done(&self, command: &str) {
        let mut commands = self.stopping();
        if let Some(place) = commands.iter().rposition(|it| it == command) {
            commands.remove(place);
        }
    }

    fn stopping(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes away what is left, and stops the services that were started, the last one first.
    pub async fn end(&self, progress: &dyn Progress) {
        self.take_away(progress).await;
        let mut commands = std::mem::take(&mut *self.stopping());
        commands.dedup();
        for command in commands.iter().rev() {
            if let Err(error) = target_stack::carry_out(command).await {
                progress.line(&format!("  failed to stop the service of the target: {error:#}"));
            }
        }
    }

    /// Carries out the teardown of every run that has not been taken away yet.
    pub async fn take_away(&self, progress: &dyn Progress) {
        let all = std::mem::take(&mut *self.lock());
        for left in all {
            if let Err(error) = left.take_away(progress).await {
                progress.line(&format!("  teardown: {error:#}"));
            }
        }
    }
}

impl LeftBehind {
    async fn take_away(&self, progress: &dyn Progress) -> Result<()> {
        let target = self.spec.target()?;
        if !target.has_teardown() {
            return Ok(());
        }
        let step = progress.step("take away what the run has made");
        let http = target.connections(self.spec.plan.timeout.0)?;
        // A history that was cut off has the bookings up to there.
        let told = check_run::told(&self.run).unwrap_or_default();
        let bookings = in_places(&told.bookings, &self.set_up.places());
        let (sent, failed) = target.tear_down(&http, &self.set_up, &bookings).await;
        step.done(&format!("{sent} requests"));
        if let Some(failed) = failed {
            progress.line(&format!("  teardown failed: {failed}"));
        }
        Ok(())
    }
}

impl TargetRunSpec {
    /// Reads the file, and refuses a load that it cannot carry.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn target(&self) -> Result<FileTarget> {
        let target = self.target.read()?;
        if self.plan.attempts > 1 && !target.may_be_resent(OperationKind::Reserve) {
            return Err(UsageError(format!(
                "{} resends unanswered operations (--attempts {}), and the API would not know them: the \
                 target file has no [idempotency], or claims replays = \"none\"; use --attempts 1 or \
                 another scenario",
                self.plan.scenario, self.plan.attempts
            ))
            .into());
        }
        for fault in &self.faults {
            target_stack::declared(&target, fault)?;
        }
        Ok(target)
    }
}

/// Starts the service if the file says how, prepares, loads, probes, reads the rows and judges. What
/// it leaves is taken away by [`Left::end`].
///
/// # Errors
/// What kept the run from being made. A run that was made is never an error, whatever its verdict.
#[boxed_future]
pub async fn conduct(
    spec: &TargetRunSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, RunReport)> {
    let target = spec.target()?;
    if let Some(stop) = &target.stack.stop {
        spec.target.left.stop_by(stop);
    }
    let run = begin(spec, progress)?;
    let stack = TargetStack::begin(&target, &run.logs(), guard, progress).await?;
    load(spec, &run, guard, progress).await?;
    spec.target.left.take_away(progress).await;
    stack.end().await;
    judge(run, progress)
}

/// As [`conduct`], on a service that runs.
#[boxed_future]
pub(crate) async fn load_and_judge(
    spec: &TargetRunSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, RunReport)> {
    let run = begin(spec, progress)?;
    load(spec, &run, guard, progress).await?;
    judge(run, progress)
}

/// Makes the directory of the run, with the target file as it is.
fn begin(spec: &TargetRunSpec, progress: &dyn Progress) -> Result<RunDirectory> {
    let target = spec.target()?;
    let now = time::OffsetDateTime::now_utc();
    let name = format!("{}-{}", spec.plan.scenario, in_a_file_name(&target.name));
    let run = RunDirectory::create_named(&spec.runs, &name, now)?;
    run.write_json("plan.json", &spec.plan)?;
    run.write("target.toml", FileTarget::self_contained(&spec.target.file)?.as_bytes())?;
    run.write_json("environment.json", &context(&target, &spec.repeat_command, now)?)?;
    if !spec.shorter.is_empty() {
        run.write_json("shorter.json", &spec.shorter)?;
    }
    progress.line(&format!("run {}", run.path().display()));
    Ok(run)
}

fn judge(run: RunDirectory, progress: &dyn Progress) -> Result<(RunDirectory, RunReport)> {
    let step = progress.step("judge and report");
    let report = judge_and_report(&run)?;
    step.done(report.verdict.verdict.name());
    Ok((run, report))
}

/// Prepares, loads, probes and reads the rows: all that the service runs for.
async fn load(
    spec: &TargetRunSpec,
    run: &RunDirectory,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<()> {
    let target = spec.target()?;
    let step = progress.step("prepare the slots");
    let id = uuid::Uuid::new_v4().simple().to_string();
    let capacities = vec![spec.plan.capacity; spec.plan.slots as usize];
    let http = target.connections(spec.plan.timeout.0)?;
    let set_up = SetUp::default();
    let left = LeftBehind { spec: spec.clone(), run: run.clone(), set_up: set_up.clone() };
    spec.target.left.lock().push(left);
    let Prepared { places, .. } = target.prepare(&http, &id, &capacities, &set_up).await?;
    let slots = slot_names(&places)?;
    let rows = TargetRows { target: &target, http: &http, places: &places };
    let before = rows.before().await.map_err(TargetError::Setup)?;
    all_free(&target, &http, &places, spec.plan.timeout.0).await?;
    step.done(&target.name);

    let targets = vec![target.base_url.clone()];
    let order = LoadOrder {
        plan: spec.plan.clone(),
        run: id,
        targets: targets.clone(),
        slots: slots.clone(),
        history: Some(run.history()),
        latency: Some(run.file("latency.hlog")),
        described: Some(DescribedOrder {
            file: run.file("target.toml"),
            allow: spec.target.allow.clone(),
            places: places.clone(),
        }),
    };
    let announce = |fault: &Fault| progress.line(&format!("  fault: {fault}"));
    let (declared, left) = (&target, &spec.target.left);
    let act =
        |fault| async move { target_stack::inject(declared, left, fault).await.map(|()| None) };
    let inject = |begun| faults::inject_by(&spec.faults, begun, &announce, act);
    let (load, injected) = load_process(&order, run, Vec::new(), guard, progress, inject).await?;
    let injected = injected?;
    if !injected.is_empty() {
        run.write_json("faults.json", &injected)?;
    }
    // What setup has captured may be a secret, and is not needed any more.
    let described = None;
    run.write_json("order.json", &LoadOrder { described, ..order })?;
    let mut load = load?;

    let step = progress.step("let holds run out, probe it, read its rows");
    let clock = Clock::new();
    let told = check_run::told(run)?;
    let holds_left = wait_for_holds(&rows, &clock, &told).await;
    let prober = u64::from(spec.plan.clients());
    let probed = Target::new(spec.target()?, &places);
    load.operations +=
        probe_target(probed, &targets, &slots, &clock, &spec.plan, prober, run).await?;
    run.write_json("load.json", &LoadEnd { load, prober, announces: false })?;

    let evidence = collect(&rows, &before, run, &clock, holds_left).await?;
    run.write_json("evidence.json", &evidence)?;
    run.write_manifest()?;
    step.done("");
    Ok(())
}

/// Reads the rows and the log. That they cannot be read leaves the run undecided.
async fn collect(
    rows: &TargetRows<'_>,
    before: &BTreeSet<String>,
    run: &RunDirectory,
    clock: &Clock,
    holds_left: bool,
) -> Result<TargetEvidence> {
    let target = rows.target;
    let capacity = |place: &Place| (place.slot_name(), i64::from(place.capacity()));
    let mut evidence = TargetEvidence {
        keeps_keys: target.keeps_keys(),
        sells_at_once: !target.has(OperationKind::Confirm),
        stale_ms: target.claims.stale_ms,
        capacities: match target.finds_slots() {
            true => rows.places.iter().map(capacity).collect(),
            false => BTreeMap::new(),
        },
        holds_left,
        ..TargetEvidence::default()
    };
    // Rows may be as old as reads.
    tokio::time::sleep(Duration::from_millis(target.claims.stale_ms.unwrap_or(0))).await;
    let told = check_run::told(run)?;
    let bookings = in_places(&told.bookings, rows.places);
    match rows.end_state(before, &bookings, &told.keys, clock.now_ns()).await {
        Ok(None) => {}
        Ok(Some((end, of_rows))) => {
            run.write_json("end_state.json", &end)?;
            evidence.rows = Some(of_rows);
        }
        Err(problem) => evidence.problem = Some(problem),
    }
    match whole_log(rows, &bookings).await {
        Ok(None) => {}
        // A log that lacks what clients were told of convicts honest answers of what it lacks.
        Ok(Some(ReadLog { problem: Some(problem), .. })) => evidence.problem = Some(problem),
        Ok(Some(ReadLog { records, evidence: of_log, .. })) => {
            run.write_audit(&records)?;
            evidence.log = Some(of_log);
        }
        Err(problem) => evidence.problem = Some(problem),
    }
    Ok(evidence)
}

/// The log, once it has what clients were told of: some are written later than the answer.
async fn whole_log(
    rows: &TargetRows<'_>,
    bookings: &[(usize, String)],
) -> Result<Option<ReadLog>, String> {
    let begun = Instant::now();
    loop {
        let log = rows.log(bookings).await?;
        let whole = log.as_ref().is_none_or(|log| log.problem.is_none());
        if whole || begun.elapsed() > SWEPT_WITHIN {
            return Ok(log);
        }
        tokio::time::sleep(SWEPT_AFTER).await;
    }
}

/// Waits until every hold that clients were told of has run out and was swept, as far as rows show
/// it; `true` if that is too far away. A probe that meets a hold is rightly refused.
async fn wait_for_holds(rows: &TargetRows<'_>, clock: &Clock, told: &Told) -> bool {
    let Some(run_out_ns) = told.run_out_ns else { return false };
    let claimed = rows.target.claims.swept_within_ms.map(Duration::from_millis);
    let swept_after = claimed.unwrap_or(SWEPT_AFTER).max(SWEPT_AFTER);
    let left = Duration::from_nanos(run_out_ns.saturating_sub(clock.now_ns())) + swept_after;
    if left > HOLDS_MAX {
        return true;
    }
    tokio::time::sleep(left).await;
    let bookings = in_places(&told.bookings, rows.places);
    let begun = Instant::now();
    // What cannot be read is said when the rows are.
    while rows.pending(&bookings).await.is_ok_and(|pending| pending > 0) {
        if begun.elapsed() > SWEPT_WITHIN {
            return true;
        }
        tokio::time::sleep(SWEPT_AFTER).await;
    }
    false
}

/// Slots whose seats are counted before the load: enough to find a rule that is broken.
const COUNTED_MAX: usize = 100;

/// Whether every slot begins with all its seats free, as far as a read says a number: a setup may
/// give back a slot that was there before, or the API may not take the capacity. Either would look
/// like refusals while seats are free.
async fn all_free(
    target: &FileTarget,
    http: &Connections,
    places: &[Place],
    timeout: Duration,
) -> Result<()> {
    // What may be old says nothing of a slot that was just made.
    if !target.has(OperationKind::Read) || target.claims.stale_ms.is_some() {
        return Ok(());
    }
    let session = Session::default();
    for place in places.iter().take(COUNTED_MAX) {
        let names = place.names();
        let scope = Scope::of(&target.base_url, &names, &session);
        let Ok(ready) = target.begin(http, OperationKind::Read, scope).await else { continue };
        let policy = RetryPolicy::once(timeout);
        let made = target.make(http, OperationKind::Read, scope, ready, &policy, false).await;
        let capacity = i64::from(place.capacity());
        match made.answer.seen.available.filter(|_| made.answer.outcome == Outcome::Ok) {
            Some(free) if free != capacity => {
                return Err(TargetError::Setup(format!(
                    "slot {} has {free} of {capacity} seats free before the load; if [[setup]] gave \
                     back a slot that was there before, let it make a new one; if the API does not \
                     take the capacity, use --capacity {}",
                    place.slot_name(),
                    free.max(1)
                ))
                .into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The slots' names in the history, which are different ones.
fn slot_names(places: &[Place]) -> Result<Vec<String>> {
    let slots: Vec<String> = places.iter().map(Place::slot_name).collect();
    let mut known = BTreeSet::new();
    match slots.iter().find(|slot| !known.insert(slot.as_str())) {
        Some(slot) => Err(UsageError(format!(
            "[[setup]] gave two slots the id {slot}: their seats would be counted as one slot's; \
             capture the id that each slot has of its own"
        ))
        .into()),
        None => Ok(slots),
    }
}

/// Bookings with the index of their slot.
fn in_places(told: &[(Arc<str>, String)], places: &[Place]) -> Vec<(usize, String)> {
    let slots: BTreeMap<String, usize> =
        places.iter().enumerate().map(|(index, place)| (place.slot_name(), index)).collect();
    told.iter()
        .filter_map(|(slot, booking)| Some((*slots.get(&**slot)?, booking.clone())))
        .collect()
}

/// A name as a part of a directory's.
fn in_a_file_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    name.chars().map(plain).take(40).collect()
}

/// A command as a shell reads it, with what it needs of the environment before it.
fn with_variables(variables: &[(String, String)], command: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/@%+,".contains(letter);
    let quoted = |value: &str| match value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    };
    let variables = variables.iter().map(|(name, value)| format!("{name}={} ", quoted(value)));
    variables.chain([command.to_owned()]).collect()
}

/// What a figure rests on.
pub(crate) fn context(
    target: &FileTarget,
    repeat_command: &str,
    now: time::OffsetDateTime,
) -> Result<RunContext> {
    let Machine { cpus, memory_bytes, kernel } = Machine::here();
    let server = ServerBlock {
        name: target.name.clone(),
        version: target.base_url.clone(),
        settings: BTreeMap::new(),
    };
    Ok(RunContext {
        started_at: now
            .replace_nanosecond(0)?
            .format(&time::format_description::well_known::Rfc3339)
            .context("format the time")?,
        slotproof_version: env!("CARGO_PKG_VERSION").to_owned(),
        repeat_command: with_variables(&target.base_variables, repeat_command),
        environment: EnvironmentBlock {
            kind: "target".to_owned(),
            cpus,
            memory_bytes,
            kernel,
            replicas: 1,
            topology: None,
            fsync: None,
            durable_commit: None,
            servers: vec![server],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::with_variables;

    #[test]
    fn a_command_is_repeated_with_the_environment_that_its_target_needs() {
        let variables = |value: &str| vec![("TARGET_URL".to_owned(), value.to_owned())];
        let said = |value| with_variables(&variables(value), "slotproof run");
        assert_eq!(said("http://127.0.0.1:8080"), "TARGET_URL=http://127.0.0.1:8080 slotproof run");
        assert_eq!(said("http://[::1]:8080"), "TARGET_URL='http://[::1]:8080' slotproof run");
        assert_eq!(said("a'b"), r"TARGET_URL='a'\''b' slotproof run");
        assert_eq!(with_variables(&[], "slotproof run"), "slotproof run");
    }
}
