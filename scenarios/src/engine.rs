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
    board::Board,
    call::Patience,
    client::Site,
    clock,
    gate::Gate,
    life::{Cast, Made},
    pacer::{self, Pacer},
    recorder::{Outputs, Writer},
    schedule::Schedule,
    visits::World,
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
    /// Told apart from every other load on the same service.
    pub run: String,
    /// Base URLs of the service's replicas.
    pub targets: Vec<String>,
    /// The slots that the load is spread over.
    pub slots: Vec<String>,
    /// The history file, which must not exist; `None` records nothing, to see what recording costs.
    pub history: Option<PathBuf>,
    /// The latency log, which must not exist.
    pub latency: Option<PathBuf>,
}

/// What a load says while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// It ended in order.
    Ended(LoadTotals),
}

/// How far a load is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Since the gate opened; 0 before.
    pub elapsed_ms: u64,
    /// Operations that returned, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Open workloads: visitors that were due so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_due: Option<u64>,
    /// Open workloads: visitors that came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_made: Option<u64>,
    /// Response latency of the last complete second, in microseconds; 0 before there is one.
    pub response_us_p50: u64,
    /// The same, 99th percentile.
    pub response_us_p99: u64,
    /// Seats left over all slots, by the newest answers; slots that nobody has asked about count
    /// whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats_left: Option<i64>,
    /// Slots of which more seats were seen confirmed at once than they have.
    pub overbooked_slots: u64,
}

/// What a load is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Clients are being made; nothing is sent.
    #[default]
    Hatching,
    /// Load that is left out of the figures.
    WarmUp,
    /// The measured time.
    Load,
    /// No new operations; those under way come to their end.
    Drain,
}

/// Why there is no history, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The order names no slot or no target.
    #[error("the order names no {0}")]
    Nothing(&'static str),
    /// The machine allows too few open files.
    #[error(
        "{clients} clients need {needed} open files and the hard limit is {hard}; raise it (`ulimit -Hn`) or use fewer clients"
    )]
    OpenFiles {
        /// Clients of the plan.
        clients: u32,
        /// Files that they need.
        needed: u64,
        /// What the machine allows.
        hard: u64,
    },
    /// The HTTP client cannot be made.
    #[error("failed to make the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The history cannot be written.
    #[error("failed to write the history: {0}")]
    History(io::Error),
    /// The history lacks operations that were made: a verdict about it would be worth nothing.
    #[error("the history has {written} operations, and {recorded} were made")]
    Lost {
        /// Operations in the file.
        written: u64,
        /// Operations that clients handed in.
        recorded: u64,
    },
    /// A thread cannot be made.
    #[error("failed to start the pacer: {0}")]
    Pacer(io::Error),
    /// Goose refused.
    #[error("failed to run goose: {0}")]
    Goose(#[from] Box<GooseError>),
    /// Some clients never came to the gate.
    #[error("only some of the {0} clients were hatched in time")]
    Hatching(u32),
}

/// Runs the load to its end, and answers with its totals. `report` is called twice a second while
/// it runs.
///
/// # Errors
/// See [`LoadError`]. A history that was begun is kept.
#[boxed_future]
pub async fn run(
    order: LoadOrder,
    report: Box<dyn Fn(Progress) + Send>,
) -> Result<LoadTotals, LoadError> {
    if order.slots.is_empty() {
        return Err(LoadError::Nothing("slot"));
    }
    if order.targets.is_empty() {
        return Err(LoadError::Nothing("target"));
    }
    let clients = order.plan.clients();
    allow_open_files(clients)?;
    let outputs = Outputs { history: order.history.clone(), latency: order.latency.clone() };
    let site = Arc::new(site(&order));
    let http = site.connect()?;
    let (writer, recorder) = Writer::create(outputs).map_err(LoadError::History)?;
    let (queue, pacer) = Schedule::of(&order.plan).map(pacer::pacer).unzip();
    let begin = pacer.map(Pacer::start).transpose().map_err(LoadError::Pacer)?;
    let gate = Gate::new(clients, {
        let recorder = recorder.clone();
        move |opening_ns| {
            recorder.open(opening_ns);
            if let Some(begin) = &begin {
                // It waits for nothing else.
                let _ = begin.send(opening_ns);
            }
        }
    });
    let world = World { plan: order.plan.clone(), slots: order.slots.len() };
    let cast = Arc::new(Cast {
        plan: order.plan.clone(),
        site,
        http,
        recorder,
        gate,
        world,
        queue,
        made: Made::default(),
        hatched: 0.into(),
    });

    let reporter = tokio::spawn(report_regularly(Arc::clone(&cast), report));
    let attacked = attack(&order, Arc::clone(&cast)).await;
    reporter.abort();
    let written = writer.finish().await.map_err(LoadError::History)?;
    attacked?;
    let recorded = recorded(&cast);
    if order.history.is_some() && written != recorded {
        return Err(LoadError::Lost { written, recorded });
    }
    let opening_ns = cast.gate.opening_ns().ok_or(LoadError::Hatching(clients))?;
    Ok(totals(&cast, opening_ns, recorded))
}

fn site(order: &LoadOrder) -> Site {
    let plan = &order.plan;
    Site {
        targets: order.targets.clone(),
        slots: order.slots.iter().map(|slot| slot.as_str().into()).collect(),
        run: order.run.clone(),
        patience: Patience {
            timeout: plan.timeout.0,
            attempts: plan.attempts,
            resend: plan.resend.0,
        },
        board: Board::new(order.slots.len(), plan.capacity),
        sockets: plan.sockets,
    }
}

/// One goose user is one client, and its one transaction is its life.
async fn attack(order: &LoadOrder, cast: Arc<Cast>) -> Result<(), LoadError> {
    let target = order.targets[0].clone();
    let clients = order.plan.clients() as usize;
    let life: TransactionFunction = Arc::new(move |_| {
        let cast = Arc::clone(&cast);
        Box::pin(async move {
            if let Err(error) = cast.live().await {
                tracing::error!("failed to make a client: {error}");
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
                    .register_transaction(Transaction::new(life)),
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

async fn report_regularly(cast: Arc<Cast>, report: impl Fn(Progress)) {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    loop {
        ticks.tick().await;
        report(progress(&cast));
    }
}

fn progress(cast: &Cast) -> Progress {
    let opening_ns = cast.gate.opening_ns();
    let elapsed_ns = opening_ns.map_or(0, |opening_ns| clock::now_ns().saturating_sub(opening_ns));
    let figures = cast.recorder.figures();
    let seats_left = figures.seats_left.map(|(left, asked_about)| {
        let untouched = cast.world.slots.saturating_sub(asked_about) as i64;
        left + untouched * i64::from(cast.plan.capacity)
    });
    let due = cast.queue.as_ref().map(|queue| queue.counts().due());
    Progress {
        phase: phase(&cast.plan, opening_ns.is_some(), elapsed_ns),
        elapsed_ms: elapsed_ns / 1_000_000,
        outcomes: cast.recorder.counts().into_iter().collect(),
        arrivals_due: due,
        arrivals_made: due.map(|_| cast.made.begun.load(Ordering::Relaxed)),
        response_us_p50: figures.response_us_p50,
        response_us_p99: figures.response_us_p99,
        seats_left,
        overbooked_slots: cast.site.board.overbooked_slots(),
    }
}

fn phase(plan: &Plan, open: bool, elapsed_ns: u64) -> Phase {
    if !open {
        Phase::Hatching
    } else if elapsed_ns < plan.warm_up.ns() {
        Phase::WarmUp
    } else if elapsed_ns < plan.warm_up.ns() + plan.duration().ns() {
        Phase::Load
    } else {
        Phase::Drain
    }
}

fn recorded(cast: &Cast) -> u64 {
    cast.recorder.counts().iter().map(|(_, count)| count).sum()
}

fn totals(cast: &Cast, opening_ns: u64, operations: u64) -> LoadTotals {
    let measured_s = cast.plan.duration().0.as_secs_f64();
    let arrivals = Schedule::of(&cast.plan).zip(cast.queue.as_ref()).map(|(schedule, queue)| {
        let per_s = |count: u64| count as f64 / measured_s;
        ArrivalTotals {
            asked: schedule.total(),
            made: cast.made.begun.load(Ordering::SeqCst),
            waiting_max: queue.counts().waiting_max(),
            asked_per_s: per_s(cast.made.measured_due.load(Ordering::SeqCst)),
            made_per_s: per_s(cast.made.measured_begun.load(Ordering::SeqCst)),
        }
    });
    LoadTotals { operations, measured_from_ns: cast.measured_from_ns(opening_ns), arrivals }
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
