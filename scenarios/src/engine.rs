//! The engine: an order goes in, a history file comes out.
//!
//! It must be the only load in its process: goose's kill switch is one for all.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use goose::{
    GooseAttack, GooseError,
    config::{GooseConfiguration, GooseDefault, GooseDefaultType},
    goose::{Scenario, Transaction, TransactionFunction},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Outcome, Plan, PlanError, ScenarioKind};

use crate::{
    client::{Client, Site},
    clock, flash_sale,
    gate::Gate,
    recorder::{HistoryWriter, Recorder, Tally},
};

/// File descriptors beyond one for each client: the pool opens a few more connections than it needs.
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
    /// The history file; it must not exist.
    pub history: PathBuf,
}

/// How far a load is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Since the gate opened; 0 before.
    pub elapsed_ms: u64,
    /// Operations that returned, by outcome.
    pub outcomes: std::collections::BTreeMap<Outcome, u64>,
}

/// Why there is no history, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
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
    #[error("failed to write the history {path}: {source}", path = path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Goose refused.
    #[error("failed to run goose: {0}")]
    Goose(#[from] Box<GooseError>),
    /// Some clients never came to the gate.
    #[error("only some of the {0} clients were hatched in time")]
    Hatching(u32),
}

/// Runs the load to its end, and answers with how far it came. `report` is called twice a second while it runs.
///
/// # Errors
/// See [`LoadError`]. A history that was begun is kept.
pub async fn run(
    order: LoadOrder,
    report: impl Fn(Progress) + Send + 'static,
) -> Result<Progress, LoadError> {
    order.plan.validate()?;
    if order.slots.is_empty() {
        return Err(LoadError::Nothing("slot"));
    }
    if order.targets.is_empty() {
        return Err(LoadError::Nothing("target"));
    }
    let plan = &order.plan;
    allow_open_files(plan.clients)?;
    let unwritten = |path: &Path, source| LoadError::History { path: path.to_owned(), source };
    let timeout = Duration::from_millis(plan.timeout_ms);
    let site = Arc::new(Site::new(order.targets.clone(), order.run.clone(), timeout)?);
    let (writer, recorder) =
        HistoryWriter::create(&order.history).map_err(|source| unwritten(&order.history, source))?;
    let gate = Arc::new(Gate::new(plan.clients));

    let tally = writer.tally();
    let reporter = tokio::spawn(report_regularly(Arc::clone(&tally), Arc::clone(&gate), report));
    let attacked = attack(&order, site, recorder, Arc::clone(&gate)).await;
    reporter.abort();
    writer.finish().map_err(|source| unwritten(&order.history, source))?;
    attacked?;
    if gate.opening_ns().is_none() {
        Err(LoadError::Hatching(plan.clients))
    } else {
        Ok(progress(&tally, &gate))
    }
}

/// Each client is one goose user that runs one transaction: its whole life. So goose ends when the last life has ended,
/// no operation is cut off, and no transaction can return without having waited.
async fn attack(
    order: &LoadOrder,
    site: Arc<Site>,
    recorder: Recorder,
    gate: Arc<Gate>,
) -> Result<(), LoadError> {
    let target = order.targets[0].clone();
    let clients = order.plan.clients;
    let life = life(order, site, recorder, gate);
    let attack = || -> Result<GooseAttack, GooseError> {
        let shared_client = goose::client::GooseClientBuilder::new().without_cookies();
        let attack = GooseAttack::initialize_with_config(GooseConfiguration::default())?
            .set_client_builder_without_cookies(shared_client)?
            .register_scenario(
                Scenario::new(order.plan.scenario.name()).register_transaction(Transaction::new(life)),
            );
        let attack = *attack.set_default(GooseDefault::Host, target.as_str())?;
        let attack = *attack.set_default(GooseDefault::Users, clients as usize)?;
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

/// What every goose user does.
fn life(order: &LoadOrder, site: Arc<Site>, recorder: Recorder, gate: Arc<Gate>) -> TransactionFunction {
    let plan = order.plan.clone();
    let slots: Arc<[String]> = order.slots.clone().into();
    // The transaction function lives as long as goose does, longer than the load: the last recorder must not hang on it.
    let recorders = Arc::new(std::sync::Mutex::new(Some((recorder, plan.clients))));
    Arc::new(move |_| {
        let (plan, site, gate, slots) =
            (plan.clone(), Arc::clone(&site), Arc::clone(&gate), Arc::clone(&slots));
        let taken = take_recorder(&recorders);
        Box::pin(async move {
            let Some((number, recorder)) = taken else { return Ok(()) };
            let mut client = Client::new(site, recorder, number, plan.clients.into());
            let Some(opening_ns) = gate.arrive().await else { return Ok(()) };
            let end_ns = opening_ns + plan.duration_ms * 1_000_000;
            let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
            rng.set_stream(number);
            match plan.scenario {
                ScenarioKind::FlashSale => {
                    let slot = &slots[usize::try_from(number).unwrap_or(0) % slots.len()];
                    flash_sale::live(&mut client, slot, &mut rng, opening_ns, end_ns).await;
                }
            }
            client.finish().await;
            Ok(())
        })
    })
}

/// A number and a recorder for one more client; the last client gets the original.
fn take_recorder(recorders: &std::sync::Mutex<Option<(Recorder, u32)>>) -> Option<(u64, Recorder)> {
    let mut held = recorders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (recorder, left) = held.take()?;
    if left > 1 {
        *held = Some((recorder.clone(), left - 1));
    }
    Some((u64::from(left - 1), recorder))
}

async fn report_regularly(tally: Arc<Tally>, gate: Arc<Gate>, report: impl Fn(Progress)) {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    loop {
        ticks.tick().await;
        report(progress(&tally, &gate));
    }
}

fn progress(tally: &Tally, gate: &Gate) -> Progress {
    let elapsed_ns = gate.opening_ns().map_or(0, |opening_ns| clock::now_ns().saturating_sub(opening_ns));
    Progress { elapsed_ms: elapsed_ns / 1_000_000, outcomes: tally.counts().into_iter().collect() }
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
        // The pool opens more connections than there are clients when many begin at once, up to twice as many.
        let raised = Rlimit { current: Some(needed.min(hard)), maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_err() {
            return Err(LoadError::OpenFiles { clients, needed: least, hard });
        }
    }
    Ok(())
}
