//! The service's replicas: child processes of this very binary, so that load always crosses a real
//! socket.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use async_recursion::async_recursion as boxed_future;
use rustix::process::Signal;
use serde::Deserialize;
use slotproof_scenarios::target::reference;
use slotproof_vocabulary::StrategyKind;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::{Mutex, watch},
};

use crate::{
    Endpoints, Wiring,
    guard::Guard,
    process::{Launch, Leader, Process, ProcessError, Stdout},
};

/// Connecting and migrating takes well under a second; the rest is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longer than the service takes to drain.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How the service is started.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// How `reserve` is made safe.
    pub strategy: StrategyKind,
    /// The servers that it uses.
    pub endpoints: Endpoints,
    /// How long a hold lasts.
    pub hold: Duration,
    /// Database connections of each replica.
    pub connections: u32,
    /// Processes that answer requests.
    pub replicas: u32,
    /// Where the first one listens; `None` picks free ports for all.
    pub port: Option<u16>,
    /// Lifetime of a lock in Redis unless its owner frees it.
    pub lock_ttl: Duration,
    /// Whether committed changes are announced.
    pub announces: bool,
    /// Whether requests can be held at their pause points.
    pub directed: Directed,
    /// Whether its processes may be replaced under load, by others at the same addresses.
    pub replaceable: bool,
}

/// Whether a director is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directed {
    /// Requests are never held.
    No,
    /// Requests stop at their pause points.
    Yes {
        /// Tries of a request before it answers `retry_later`.
        tries: u32,
    },
}

/// Processes that decide what the queue holds, beside those that answer requests.
pub(crate) const WORKER_PROCESSES: u32 = 2;
/// Workers in each of them.
const WORKERS_EACH: u32 = 4;

/// Running replicas. Dropping them ends them.
#[derive(Debug)]
pub struct Replicas {
    spec: ServiceSpec,
    logs: PathBuf,
    guard: Guard,
    processes: Vec<Mutex<Process>>,
    /// Of the processes, whatever process is in a place.
    leaders: Vec<Leader>,
    /// Empty for a strategy without a queue.
    workers: Mutex<Workers>,
    /// Of the workers that there are or will be.
    worker_leaders: Vec<Leader>,
    addresses: Vec<SocketAddr>,
    /// Where a director connects to each.
    directors: Vec<SocketAddr>,
}

/// Processes that decide what the queue holds.
#[derive(Debug, Default)]
struct Workers {
    processes: Vec<Process>,
    /// Where they answer operators.
    addresses: Vec<SocketAddr>,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// A process of the service did not start or did not become ready.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The service is started from this program's own file, which has no path.
    #[error("failed to find this program's own file: {0}")]
    NoProgram(std::io::Error),
}

impl Replicas {
    /// Starts them one after the other, so that the first one migrates alone, and waits until each
    /// is ready.
    ///
    /// # Errors
    /// The first replica that does not become ready, with the end of its log.
    #[boxed_future]
    pub async fn start(
        spec: &ServiceSpec,
        logs: &Path,
        guard: &Guard,
    ) -> Result<Self, ReplicaError> {
        let mut replicas = Self {
            spec: spec.clone(),
            logs: logs.to_owned(),
            guard: guard.clone(),
            leaders: Vec::new(),
            processes: Vec::new(),
            workers: Mutex::default(),
            worker_leaders: Vec::new(),
            addresses: Vec::new(),
            directors: Vec::new(),
        };
        for number in 0..spec.replicas {
            let role = Role::answering(spec, number, spec.port.filter(|_| number == 0));
            let (process, listening) = start_one(spec, role, logs, guard).await?;
            replicas.leaders.push(process.leader());
            replicas.processes.push(Mutex::new(process));
            replicas.addresses.push(listening.listening);
            replicas.directors.extend(listening.director);
        }
        if spec.strategy.needs_rabbitmq() || spec.replaceable {
            replicas.worker_leaders = (0..WORKER_PROCESSES).map(|_| Leader::vacant()).collect();
        }
        replicas.have_workers(spec).await?;
        Ok(replicas)
    }

    /// Starts the workers of a strategy with a queue, if they do not run.
    async fn have_workers(&self, spec: &ServiceSpec) -> Result<(), ReplicaError> {
        let mut workers = self.workers.lock().await;
        if !spec.strategy.needs_rabbitmq() || !workers.processes.is_empty() {
            return Ok(());
        }
        for (number, place) in self.worker_leaders.iter().enumerate() {
            let role = Role {
                log: format!("{strategy}-worker-{number}", strategy = spec.strategy),
                port: None,
                workers: WORKERS_EACH,
                keeps_shard_map: false,
            };
            let (mut process, listening) = start_one(spec, role, &self.logs, &self.guard).await?;
            process.occupy(place.clone());
            workers.processes.push(process);
            workers.addresses.push(listening.listening);
        }
        Ok(())
    }

    /// Replaces each process by one that is wired to these endpoints, one after the other. The new one
    /// listens before the old one, at the same address, answers what it was asked and ends. Workers
    /// that the new wiring needs are there before.
    ///
    /// # Errors
    /// A process that does not become ready: the one that it was to replace goes on.
    #[boxed_future]
    pub(crate) async fn rewire(&self, endpoints: &Endpoints) -> Result<(), ReplicaError> {
        let strategy = endpoints.wiring().strategy.unwrap_or(self.spec.strategy);
        let spec = ServiceSpec { strategy, endpoints: endpoints.clone(), ..self.spec.clone() };
        self.have_workers(&spec).await?;
        for (number, (process, address)) in (0..).zip(self.processes.iter().zip(&self.addresses)) {
            let role = Role::answering(&spec, number, Some(address.port()));
            let (mut new, _) = start_one(&spec, role, &self.logs, &self.guard).await?;
            let old = {
                let mut process = process.lock().await;
                process.hand_over(&mut new);
                std::mem::replace(&mut *process, new)
            };
            old.stop(STOP_WITHIN).await;
        }
        Ok(())
    }

    /// Whether a broker is told of what they commit, before or after a move.
    pub async fn announces(&self) -> bool {
        let by_queue = !self.workers.lock().await.processes.is_empty();
        self.spec.endpoints.amqp_url().is_some() || by_queue
    }

    /// How the processes were wired when they were started first.
    pub(crate) fn first_wiring(&self) -> &Wiring {
        self.spec.endpoints.wiring()
    }

    /// Base URLs.
    pub fn targets(&self) -> Vec<String> {
        self.addresses.iter().map(base_url).collect()
    }

    /// Base URLs of all processes, workers included: each has metrics of its own.
    pub async fn metrics_targets(&self) -> Vec<String> {
        let workers = self.workers.lock().await;
        self.addresses.iter().chain(&workers.addresses).map(base_url).collect()
    }

    /// Socket addresses, in the order of the base URLs.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where a director connects to each of those that answer requests.
    pub fn directors(&self) -> &[SocketAddr] {
        &self.directors
    }

    /// Process ids, workers included.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.leaders.iter().map(Leader::pid).chain(self.worker_pids())
    }

    /// The processes to account CPU and memory to, with workers, also those that a move of the service
    /// will bring.
    pub fn leaders(&self) -> impl Iterator<Item = Leader> {
        self.leaders.iter().chain(&self.worker_leaders).cloned()
    }

    /// Processes that decide what the queue holds.
    pub fn worker_pids(&self) -> impl Iterator<Item = i32> {
        self.worker_leaders.iter().map(Leader::pid).filter(|pid| *pid > 0)
    }

    /// Lets them drain and end.
    #[boxed_future]
    pub async fn stop(self) {
        let processes = self.processes.into_iter().map(Mutex::into_inner);
        for process in processes.chain(self.workers.into_inner().processes) {
            process.stop(STOP_WITHIN).await;
        }
    }
}

fn base_url(address: &SocketAddr) -> String {
    format!("http://{address}")
}

/// The variable by which the service and the mover of buckets know the shards.
pub(crate) const SHARDS: &str = "SLOTPROOF_SHARDS";

/// What one process of the service is for.
struct Role {
    log: String,
    port: Option<u16>,
    workers: u32,
    /// Whether it reads the map of the shards again only when a shard refuses.
    keeps_shard_map: bool,
}

impl Role {
    fn answering(spec: &ServiceSpec, number: u32, port: Option<u16>) -> Self {
        // Where a move is to show what an old map does, one process has one.
        let keeps_its_map = spec.endpoints.wiring().copy_delay_ms > 0;
        Self {
            log: format!("{strategy}-{number}", strategy = spec.strategy),
            port,
            workers: 0,
            keeps_shard_map: number == 0 && keeps_its_map,
        }
    }
}

async fn start_one(
    spec: &ServiceSpec,
    role: Role,
    logs: &Path,
    guard: &Guard,
) -> Result<(Process, Listening), ReplicaError> {
    let mut command = Command::new(std::env::current_exe().map_err(ReplicaError::NoProgram)?);
    command
        .arg("serve")
        .args(["--strategy", spec.strategy.name()])
        .args(["--listen", &format!("127.0.0.1:{}", role.port.unwrap_or(0))])
        .args(["--hold", &format!("{}ms", spec.hold.as_millis())])
        .args(["--connections", &spec.connections.to_string()])
        .args(["--workers", &role.workers.to_string()])
        .args(["--lock-ttl", &format!("{}ms", spec.lock_ttl.as_millis())])
        // Not arguments: those can be read by everybody.
        .env_remove("SLOTPROOF_DATABASE_URL");
    if spec.endpoints.shards().is_none() {
        command.env("SLOTPROOF_DATABASE_URL", spec.endpoints.postgres_url());
    }
    if let Directed::Yes { tries } = spec.directed {
        command.args(["--director", "127.0.0.1:0", "--tries", &tries.to_string()]);
    }
    if !spec.announces {
        command.arg("--no-announcements");
    }
    if spec.replaceable {
        command.arg("--share-port");
    }
    let wiring = spec.endpoints.wiring();
    command
        .args(["--staleness-ms", &wiring.staleness_ms.slots.to_string()])
        .args(["--booking-staleness-ms", &wiring.staleness_ms.bookings.to_string()])
        .args(["--read-mode", wiring.read_mode.name()])
        .args(["--pooling", wiring.pooling.name()])
        .args(["--cache-mode", wiring.cache_mode.name()])
        .args(["--cache-delay", &format!("{}ms", wiring.cache_delay_ms)]);
    if let Some(months) = wiring.months {
        command
            .args(["--months-ahead", &months.ahead.to_string()])
            .args(["--month-mode", months.mode.name()]);
    }
    let reads = spec.endpoints.read_urls().join(",");
    let shards = spec.endpoints.shards();
    if shards.is_some() {
        command.args(["--shard-mode", wiring.shard_mode.name()]);
    }
    if role.keeps_shard_map {
        command.arg("--keep-shard-map");
    }
    for (name, url) in [
        (SHARDS, shards.as_deref()),
        ("SLOTPROOF_READ_DATABASE_URL", Some(reads.as_str()).filter(|urls| !urls.is_empty())),
        ("SLOTPROOF_POOLER_URL", spec.endpoints.pooler_url()),
        ("SLOTPROOF_REDIS_URL", spec.endpoints.redis_url()),
        ("SLOTPROOF_CACHE_URL", spec.endpoints.cache_url()),
        ("SLOTPROOF_AMQP_URL", spec.endpoints.amqp_url()),
    ] {
        match url {
            Some(url) => command.env(name, url),
            None => command.env_remove(name),
        };
    }
    let launch = Launch {
        name: "service",
        command,
        log: logs.join(format!("{}.log", role.log)),
        stdout: Stdout::Piped,
        stop: Signal::TERM,
        abandon: Signal::KILL,
    };
    let mut process = Process::start(launch, guard)?;
    let stdout = process.take_stdout().expect("its output is piped");
    let (said, heard) = watch::channel(None);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        // Read to the end: a service must never write into a closed pipe.
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(listening) = serde_json::from_str::<Listening>(&line) {
                said.send_replace(Some(listening));
            }
        }
    });
    let listening = process
        .wait_ready(READY_WITHIN, || async {
            (*heard.borrow()).ok_or("it has not printed its address".to_owned())
        })
        .await?;
    let base = base_url(&listening.listening);
    // One that is to be replaced answers at the same address.
    let own = u32::try_from(process.pid()).ok();
    process
        .wait_ready(READY_WITHIN, || async {
            match reference::ready_process(&base).await == own {
                true => Ok(()),
                false => Err("it does not say that it is ready".to_owned()),
            }
        })
        .await?;
    Ok((process, listening))
}

/// The one line that `serve` prints when it listens.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Listening {
    listening: SocketAddr,
    director: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn workers_are_asked_for_their_metrics_and_take_no_load() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let urls = [("postgresql".to_owned(), "postgres://127.0.0.1/".to_owned())];
        let spec = ServiceSpec {
            strategy: StrategyKind::Queue,
            endpoints: Endpoints::new(urls.into(), crate::Topology::single().service),
            hold: Duration::from_secs(1),
            connections: 1,
            replicas: 1,
            port: None,
            lock_ttl: Duration::from_secs(1),
            announces: true,
            directed: Directed::No,
            replaceable: false,
        };
        let replicas = Replicas {
            spec,
            logs: PathBuf::new(),
            guard: Guard::none(),
            leaders: Vec::new(),
            processes: Vec::new(),
            workers: Mutex::new(Workers {
                addresses: vec![address(2), address(3)],
                ..Workers::default()
            }),
            worker_leaders: Vec::new(),
            addresses: vec![address(1)],
            directors: Vec::new(),
        };
        assert_eq!(replicas.targets(), ["http://127.0.0.1:1"]);
        let all = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"];
        assert_eq!(replicas.metrics_targets().await, all);
    }
}
