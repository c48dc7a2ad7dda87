//! Faults: what is done to the stack while it is under load, and when.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde::Serialize;
use slotproof_vocabulary::Span;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    environment::{Environment, guard},
    replicas::Replicas,
};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// SIGKILL to a process that decides what the queue holds; the others go on.
    KillWorker,
    /// SIGSTOP to the first service process, and SIGCONT after this time.
    PauseService(Duration),
    /// SIGKILL to RabbitMQ, and a start on the same data.
    RestartRabbitmq,
    /// SIGKILL to Redis, and a start on the same data.
    RestartRedis,
    /// SIGKILL to all of PostgreSQL, and a start on the same data.
    CrashPostgres,
}

/// A fault, and how long after the beginning of the load it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) at: Duration,
}

/// A fault that was injected. Times are milliseconds since the load began.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Injected {
    fault: String,
    began_ms: u64,
    /// When the stack was whole again, as far as it is made whole.
    ended_ms: u64,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a fault; write kill-worker@3s, pause-service:6s@2s, restart-rabbitmq@5s, \
                 restart-redis@5s or crash-postgres@5s"
            )
        };
        let (what, at) = text.split_once('@').ok_or_else(wrong)?;
        let at: Span = at.parse()?;
        let kind = match what.split_once(':') {
            None => match what {
                "kill-worker" => FaultKind::KillWorker,
                "restart-rabbitmq" => FaultKind::RestartRabbitmq,
                "restart-redis" => FaultKind::RestartRedis,
                "crash-postgres" => FaultKind::CrashPostgres,
                _ => return Err(wrong()),
            },
            Some(("pause-service", pause)) => FaultKind::PauseService(pause.parse::<Span>()?.0),
            Some(_) => return Err(wrong()),
        };
        Ok(Self { kind, at: at.0 })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::KillWorker => write!(f, "kill-worker")?,
            FaultKind::PauseService(pause) => write!(f, "pause-service:{}", Span(pause))?,
            FaultKind::RestartRabbitmq => write!(f, "restart-rabbitmq")?,
            FaultKind::RestartRedis => write!(f, "restart-redis")?,
            FaultKind::CrashPostgres => write!(f, "crash-postgres")?,
        }
        write!(f, "@{}", Span(self.at))
    }
}

/// Injects faults in their order, once the load has begun.
///
/// # Errors
/// A server that does not come back, or a process that is not there to be killed.
pub(crate) async fn inject(
    faults: &[Fault],
    environment: &mut Environment,
    replicas: &Replicas,
    mut begun: watch::Receiver<bool>,
) -> Result<Vec<Injected>> {
    if faults.is_empty() || begun.wait_for(|begun| *begun).await.is_err() {
        return Ok(Vec::new());
    }
    let begin = Instant::now();
    let mut ordered = faults.to_vec();
    ordered.sort_by_key(|fault| fault.at);
    let mut injected = Vec::new();
    let mut killed = 0;
    for fault in ordered {
        sleep_until(begin + fault.at).await;
        let began_ms = begin.elapsed().as_millis() as u64;
        note!("  fault: {fault}");
        commit(fault.kind, environment, replicas, &mut killed)
            .await
            .with_context(|| format!("inject {fault}"))?;
        injected.push(Injected {
            fault: fault.to_string(),
            began_ms,
            ended_ms: begin.elapsed().as_millis() as u64,
        });
    }
    Ok(injected)
}

/// `killed`: workers that were killed before.
async fn commit(
    kind: FaultKind,
    environment: &mut Environment,
    replicas: &Replicas,
    killed: &mut usize,
) -> Result<()> {
    match kind {
        FaultKind::KillWorker => {
            let worker =
                replicas.worker_pids().nth(*killed).context("no worker process is left")?;
            *killed += 1;
            guard::signal(worker, Signal::KILL);
        }
        FaultKind::PauseService(pause) => {
            let service = replicas.pids().next().context("there is no service process")?;
            guard::signal(service, Signal::STOP);
            tokio::time::sleep(pause).await;
            guard::signal(service, Signal::CONT);
        }
        FaultKind::RestartRabbitmq => environment.restart("rabbitmq").await?,
        FaultKind::RestartRedis => environment.restart("redis").await?,
        FaultKind::CrashPostgres => environment.restart("postgresql").await?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_it_is_written_and_nonsense_is_refused() {
        for text in
            ["kill-worker@3s", "pause-service:6s@2s", "restart-rabbitmq@500ms", "crash-postgres@5s"]
        {
            assert_eq!(text.parse::<Fault>().expect("a fault").to_string(), text);
        }
        for text in [
            "kill-worker",
            "kill-everything@1s",
            "pause-service@1s",
            "restart-redis@soon",
            "kill-worker:2s@1s",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
