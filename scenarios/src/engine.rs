//! The engine: an order goes in, a history and a latency log come out.
//!
//! It must be the only load in its process: goose's kill switch is one for all.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_recursion::async_recursion as boxed_future;
use goose::{
    GooseAttack, GooseError,
    config::{GooseConfiguration, GooseDefault, GooseDefaultType},
    goose::{Scenario, Transaction, TransactionFunction},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{ArrivalTotals, LoadTotals, Outcome, Plan};

use crate::{
    call::RetryPolicy,
    client::Site,
    clock::Clock,
    flows::FlowContext,
    live_overbooking::LiveOverbooking,
    pacer::{self, Pacer},
    recorder::{Outputs, Writer},
    schedule::Schedule,
    start_barrier::{ARRIVAL_WITHIN, StartBarrier},
    target::{FileTarget, Place, Target, file::TargetError},
    virtual_user::{ArrivalCounts, LoadContext},
};

/// File descriptors beyond one for each client: the pool opens a few more connections than it
/// needs.
const SPARE_FILES: u64 = 200;
/// Users hatched per second: as fast as goose can.
const HATCH_RATE: &str = "10000";
/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// What to load, and where the history goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadOrder {
    /// The workload.
    pub plan: Plan,
    /// Different from every other load on the same service.
    pub run: String,
    /// Base URLs of the service's replicas.
    pub targets: Vec<String>,
    /// The slots under load.
    pub slots: Vec<String>,
    /// The history file, which must not exist; `None` records nothing, to see what recording costs.
    pub history: Option<PathBuf>,
    /// The latency log, which must not exist.
    pub latency: Option<PathBuf>,
    /// The file of the booking API, unless it is the reference service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<DescribedOrder>,
}

/// A booking API that a file describes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DescribedOrder {
    /// The target file.
    pub file: PathBuf,
    /// Hosts that the command line allowed.
    pub allow: Vec<String>,
    /// What was captured of each slot.
    pub places: Vec<Place>,
}

/// An event of a load: one line of JSON on standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Its progress.
    Progress(Progress),
    /// It has ended in order.
    Ended(LoadTotals),
}

/// The progress of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Since the start; 0 before.
    pub elapsed_ms: u64,
    /// Operations that returned, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Those of them without a decision: refused connections, throttled, unknown.
    #[serde(default)]
    pub errors: u64,
    /// Open workloads: arrivals due so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_due: Option<u64>,
    /// Open workloads: arrivals made so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_made: Option<u64>,
    /// Response latency of the last complete second, in microseconds; 0 before there is one.
    pub response_us_p50: u64,
    /// The same, 99th percentile.
    pub response_us_p99: u64,
    /// Seats left over all slots, by the newest answers; slots without an answer count as free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats_left: Option<i64>,
    /// Slots that had more confirmed seats than their capacity at some instant.
    pub overbooked_slots: u64,
}

/// A phase of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Clients are created; nothing is sent.
    #[default]
    Hatching,
    /// Load that is excluded from the figures.
    WarmUp,
    /// The measured window.
    Load,
    /// No new operations; those in flight end.
    Drain,
}

/// Why there is no history, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target file cannot be used.
    #[error("read the target file: {0}")]
    Target(#[from] TargetError),
    /// The order lists no slots or no targets.
    #[error("the load order lists no {0}: it needs at least one")]
    Nothing(&'static str),
    /// The machine allows too few open files.
    #[error(
        "{clients} clients need {needed} open files, and the hard limit is {hard}: raise it with `ulimit -Hn {needed}`, or use fewer `--clients`"
    )]
    OpenFiles {
        /// Clients of the plan.
        clients: u32,
        /// Files that they need.
        needed: u64,
        /// What the machine allows.
        hard: u64,
    },
    /// The history cannot be written.
    #[error("failed to write the history: {0}")]
    History(io::Error),
    /// The history lacks operations, so it supports no verdict.
    #[error("the history is incomplete: it has {written} of {recorded} operations; repeat the run")]
    Lost {
        /// Operations in the file.
        written: u64,
        /// Operations that clients recorded.
        recorded: u64,
    },
    /// A thread cannot be started.
    #[error("failed to start the pacer thread: {0}")]
    Pacer(io::Error),
    /// Goose refused.
    #[error("failed to run goose: {0}")]
    Goose(#[from] Box<GooseError>),
    /// Some clients did not start in time.
    #[error(
        "some of the {0} clients did not start within {within} s: use fewer `--clients`, or a less busy machine",
        within = ARRIVAL_WITHIN.as_secs()
    )]
    Hatching(u32),
}

/// Runs the load to its end, and returns its totals. `on_progress` is called twice a second while
/// it runs.
///
/// # Errors
/// See [`LoadError`]. A history that was begun is kept.
#[boxed_future]
pub async fn run(
    order: LoadOrder,
    on_progress: Box<dyn Fn(Progress) + Send>,
) -> Result<LoadTotals, LoadError> {
    if order.slots.is_empty() {
        return Err(LoadError::Nothing("slots"));
    }
    if order.targets.is_empty() {
        return Err(LoadError::Nothing("targets"));
    }
    let clients = order.plan.clients();
    allow_open_files(clients)?;
    let outputs = Outputs { history: order.history.clone(), latency: order.latency.clone() };
    let site = Arc::new(site(&order)?);
    let http = site.connect()?;
    let (writer, recorder) = Writer::create(outputs).map_err(LoadError::History)?;
    let clock = &site.clock;
    let pacer = |schedule| pacer::pacer(schedule, clock.clone());
    let (queue, pacer) = Schedule::of(&order.plan).map(pacer).unzip();
    let start_pacer = pacer.map(Pacer::start).transpose().map_err(LoadError::Pacer)?;
    let start_barrier = StartBarrier::new(clients, clock.clone(), {
        let (recorder, clock) = (recorder.clone(), clock.clone());
        move |start_ns| {
            recorder.start(start_ns, clock.clone());
            if let Some(start_pacer) = &start_pacer {
                // It waits for nothing else.
                let _ = start_pacer.send(start_ns);
            }
        }
    });
    let context = Arc::new(LoadContext {
        plan: order.plan.clone(),
        flow_context: FlowContext { plan: order.plan.clone(), slots: order.slots.len() },
        site,
        http,
        recorder,
        start_barrier,
        queue,
        arrivals: ArrivalCounts::default(),
        hatched: 0.into(),
    });

    let reporter = tokio::spawn(report_regularly(Arc::clone(&context), on_progress));
    let attacked = attack(&order, Arc::clone(&context)).await;
    reporter.abort();
    let written = writer.finish().await.map_err(LoadError::History)?;
    attacked?;
    let recorded = recorded(&context);
    if order.history.is_some() && written != recorded {
        return Err(LoadError::Lost { written, recorded });
    }
    let start_ns = context.start_barrier.start_ns().ok_or(LoadError::Hatching(clients))?;
    Ok(totals(&context, start_ns, recorded))
}

fn site(order: &LoadOrder) -> Result<Site, LoadError> {
    let plan = &order.plan;
    let target = match &order.described {
        None => Target::reference(&order.targets[0], &order.slots),
        Some(DescribedOrder { file, allow, places }) => {
            Target::new(FileTarget::read(file, allow)?, places)
        }
    };
    Ok(Site {
        target,
        base_urls: order.targets.clone(),
        slots: order.slots.iter().map(|slot| slot.as_str().into()).collect(),
        run: order.run.clone(),
        retry_policy: RetryPolicy {
            timeout: plan.timeout.0,
            attempts: plan.attempts,
            resend: plan.resend.0,
        },
        live_overbooking: match &order.described {
            None => LiveOverbooking::new(order.slots.len(), plan.capacity),
            Some(described) => LiveOverbooking::of(described.places.iter().map(Place::capacity)),
        },
        sockets: plan.sockets,
        clock: Clock::new(),
    })
}

/// One user of goose is one client, and its one transaction is the virtual user.
async fn attack(order: &LoadOrder, context: Arc<LoadContext>) -> Result<(), LoadError> {
    let target = order.targets[0].clone();
    let clients = order.plan.clients() as usize;
    let virtual_user: TransactionFunction = Arc::new(move |_| {
        let context = Arc::clone(&context);
        Box::pin(async move {
            if let Err(error) = context.run_user().await {
                tracing::error!("failed to create a client: {error}");
            }
            Ok(())
        })
    });
    let attack = || -> Result<GooseAttack, GooseError> {
        let shared_client = goose::client::GooseClientBuilder::new().without_cookies();
        let attack = GooseAttack::initialize_with_config(GooseConfiguration::default())?
            .set_client_builder_without_cookies(shared_client)?
            .register_scenario(
                Scenario::new(order.plan.scenario.name())
                    .register_transaction(Transaction::new(virtual_user)),
            );
        let attack = *attack.set_default(GooseDefault::Host, target.as_str())?;
        let attack = *attack.set_default(GooseDefault::Users, clients)?;
        let attack = *attack.set_default(GooseDefault::IncreaseRate, HATCH_RATE)?;
        let attack = *attack.set_default(GooseDefault::Iterations, 1_usize)?;
        let attack = *attack.set_default(GooseDefault::NoMetrics, true)?;
        let attack = *attack.set_default(GooseDefault::NoPrintMetrics, true)?;
        let attack = *attack.set_default(GooseDefault::NoTelnet, true)?;
        let attack = *attack.set_default(GooseDefault::NoWebSocket, true)?;
        Ok(*attack.set_default(GooseDefault::Quiet, 1_usize)?)
    };
    attack().map_err(Box::new)?.execute().await.map_err(Box::new)?;
    Ok(())
}

async fn report_regularly(context: Arc<LoadContext>, on_progress: impl Fn(Progress)) {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    loop {
        ticks.tick().await;
        on_progress(progress(&context));
    }
}

fn progress(context: &LoadContext) -> Progress {
    let start_ns = context.start_barrier.start_ns();
    let now_ns = context.site.clock.now_ns();
    let elapsed_ns = start_ns.map_or(0, |start_ns| now_ns.saturating_sub(start_ns));
    let figures = context.recorder.figures();
    let seats_left = figures.seats_left.map(|(left, answered)| {
        let untouched = context.flow_context.slots.saturating_sub(answered) as i64;
        left + untouched * i64::from(context.plan.capacity)
    });
    let due = context.queue.as_ref().map(|queue| queue.counts().due());
    Progress {
        phase: phase(&context.plan, start_ns.is_some(), elapsed_ns),
        elapsed_ms: elapsed_ns / 1_000_000,
        outcomes: context.recorder.counts().into_iter().collect(),
        errors: context.recorder.errors(),
        arrivals_due: due,
        arrivals_made: due.map(|_| context.arrivals.begun.load(Ordering::Relaxed)),
        response_us_p50: figures.response_us_p50,
        response_us_p99: figures.response_us_p99,
        seats_left,
        overbooked_slots: context.site.live_overbooking.overbooked_slots(),
    }
}

fn phase(plan: &Plan, started: bool, elapsed_ns: u64) -> Phase {
    if !started {
        Phase::Hatching
    } else if elapsed_ns < plan.warm_up.ns() {
        Phase::WarmUp
    } else if elapsed_ns < plan.warm_up.ns() + plan.duration().ns() {
        Phase::Load
    } else {
        Phase::Drain
    }
}

fn recorded(context: &LoadContext) -> u64 {
    context.recorder.counts().iter().map(|(_, count)| count).sum()
}

fn totals(context: &LoadContext, start_ns: u64, operations: u64) -> LoadTotals {
    let measured_s = context.plan.duration().0.as_secs_f64();
    let arrivals =
        Schedule::of(&context.plan).zip(context.queue.as_ref()).map(|(schedule, queue)| {
            let per_s = |count: u64| count as f64 / measured_s;
            ArrivalTotals {
                asked: schedule.total(),
                made: context.arrivals.begun.load(Ordering::SeqCst),
                waiting_max: queue.counts().waiting_max(),
                asked_per_s: per_s(context.arrivals.measured_due.load(Ordering::SeqCst)),
                made_per_s: per_s(context.arrivals.measured_begun.load(Ordering::SeqCst)),
            }
        });
    LoadTotals {
        operations,
        measured_from_ns: context.measured_from_ns(start_ns),
        measured_until_ns: context.end_ns(start_ns),
        arrivals,
    }
}

/// Raises the soft limit of open files as far as the clients need.
fn allow_open_files(clients: u32) -> Result<(), LoadError> {
    let needed = u64::from(clients) * 2 + SPARE_FILES;
    let least = u64::from(clients) + SPARE_FILES;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if hard < least {
        return Err(LoadError::OpenFiles { clients, needed: least, hard });
    }
    if limit.current.is_some_and(|soft| soft < needed) {
        // The pool opens more connections than there are clients when many begin at once, up to
        // twice as many.
        let raised = Rlimit { current: Some(needed.min(hard)), maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_err() {
            return Err(LoadError::OpenFiles { clients, needed: least, hard });
        }
    }
    Ok(())
}
