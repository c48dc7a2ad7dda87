//! The service's replicas: child processes of this very binary, so that load always crosses a real socket.

use std::{net::SocketAddr, time::Duration};

use rustix::process::Signal;
use slotproof_vocabulary::StrategyKind;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::watch,
};

use crate::{
    environment::{
        guard::Guard,
        process::{Launch, Process, ProcessError, Stdout},
    },
    run_directory::RunDirectory,
};

/// Connecting and migrating takes well under a second; the rest is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longer than the service takes to drain.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How the service is started.
#[derive(Debug, Clone)]
pub(crate) struct ServiceSpec {
    pub(crate) strategy: StrategyKind,
    pub(crate) database_url: String,
    pub(crate) hold: Duration,
    /// Database connections of each replica.
    pub(crate) connections: u32,
    pub(crate) replicas: u32,
    /// Where the first one listens; `None` picks free ports for all.
    pub(crate) port: Option<u16>,
}

/// Running replicas. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct Replicas {
    processes: Vec<Process>,
    addresses: Vec<SocketAddr>,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("failed to find this program's own file: {0}")]
    NoProgram(std::io::Error),
}

impl Replicas {
    /// Starts them one after the other, so that the first one migrates alone, and waits until each is ready.
    ///
    /// # Errors
    /// The first replica that does not become ready, with the end of its log.
    pub(crate) async fn start(
        spec: &ServiceSpec,
        run: &RunDirectory,
        guard: &Guard,
    ) -> Result<Self, ReplicaError> {
        let mut replicas = Self { processes: Vec::new(), addresses: Vec::new() };
        for number in 0..spec.replicas {
            let (process, address) = start_one(spec, number, run, guard).await?;
            replicas.processes.push(process);
            replicas.addresses.push(address);
        }
        Ok(replicas)
    }

    /// Base URLs.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("http://{address}")).collect()
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.processes.iter().map(Process::pid)
    }

    /// Lets them drain and end.
    pub(crate) async fn stop(self) {
        for process in self.processes {
            process.stop(STOP_WITHIN).await;
        }
    }
}

async fn start_one(
    spec: &ServiceSpec,
    number: u32,
    run: &RunDirectory,
    guard: &Guard,
) -> Result<(Process, SocketAddr), ReplicaError> {
    let mut command = Command::new(std::env::current_exe().map_err(ReplicaError::NoProgram)?);
    let port = if number == 0 { spec.port.unwrap_or(0) } else { 0 };
    command
        .arg("serve")
        .args(["--strategy", spec.strategy.name()])
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--hold", &format!("{}ms", spec.hold.as_millis())])
        .args(["--connections", &spec.connections.to_string()])
        // Not an argument: those can be read by everybody.
        .env("SLOTPROOF_DATABASE_URL", &spec.database_url);
    let launch = Launch {
        name: "service",
        command,
        log: run.log(&format!("service-{number}")),
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
            if let Some(address) = listening(&line) {
                said.send_replace(Some(address));
            }
        }
    });
    let address: SocketAddr = process
        .wait_ready(READY_WITHIN, || async {
            (*heard.borrow()).ok_or("it has not said where it listens".to_owned())
        })
        .await?;
    let ready = format!("http://{address}/readyz");
    process
        .wait_ready(READY_WITHIN, || async {
            let answer = reqwest::get(&ready).await.map_err(|error| error.to_string())?;
            if answer.status().is_success() {
                Ok(())
            } else {
                Err(format!("/readyz answers {}", answer.status()))
            }
        })
        .await?;
    Ok((process, address))
}

/// The address in the one line that `serve` prints when it listens.
fn listening(line: &str) -> Option<SocketAddr> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get("listening")?.as_str()?.parse().ok()
}
