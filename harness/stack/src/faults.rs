//! Faults: what is done to the stack while it is under load, and when.

use std::{fmt, str::FromStr, time::Duration};

use async_recursion::async_recursion as boxed_future;
use rustix::process::Signal;
use serde::Serialize;
use slotproof_vocabulary::Span;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{Environment, EnvironmentError, Replicas, guard};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
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
pub struct Fault {
    /// What is done.
    pub kind: FaultKind,
    /// How long after the beginning of the load.
    pub at: Duration,
}

/// A fault that was injected. Times are milliseconds since the load began.
#[derive(Debug, Clone, Serialize)]
pub struct Injected {
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

/// Why a fault was not injected.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// There is no process of the kind that the fault acts on.
    #[error("failed to inject {fault}: {reason}")]
    NoProcess {
        /// The fault.
        fault: Fault,
        /// What is missing.
        reason: &'static str,
    },
    /// The server does not come back.
    #[error("failed to inject {fault}: {source}")]
    Server {
        /// The fault.
        fault: Fault,
        /// What happened.
        source: EnvironmentError,
    },
}

/// Injects every fault at its time, counted from the beginning of the load; one that takes long
/// does not delay the next. `announce` is called when a fault begins.
///
/// # Errors
/// A server that does not come back, or a process that is not there to be killed.
#[boxed_future]
pub async fn inject(
    faults: &[Fault],
    environment: &Environment,
    replicas: &Replicas,
    mut begun: watch::Receiver<bool>,
    announce: &(dyn Fn(&Fault) + Sync),
) -> Result<Vec<Injected>, FaultError> {
    if faults.is_empty() || begun.wait_for(|begun| *begun).await.is_err() {
        return Ok(Vec::new());
    }
    let mut workers = replicas.worker_pids();
    each_at_its_time(faults, announce, |fault| {
        // Each kill takes a worker that no earlier one has taken.
        let worker = if fault.kind == FaultKind::KillWorker { workers.next() } else { None };
        commit(fault, environment, replicas, worker)
    })
    .await
}

/// Acts on each fault at its time from now, whatever the others are doing.
async fn each_at_its_time<F>(
    faults: &[Fault],
    announce: &(dyn Fn(&Fault) + Sync),
    mut act: impl FnMut(Fault) -> F,
) -> Result<Vec<Injected>, FaultError>
where
    F: Future<Output = Result<(), FaultError>>,
{
    let begin = Instant::now();
    let mut ordered = faults.to_vec();
    ordered.sort_by_key(|fault| fault.at);
    let injections = ordered.into_iter().map(|fault| {
        let acting = act(fault);
        async move {
            sleep_until(begin + fault.at).await;
            let began_ms = elapsed_ms(begin);
            announce(&fault);
            acting.await?;
            Ok(Injected { fault: fault.to_string(), began_ms, ended_ms: elapsed_ms(begin) })
        }
    });
    let injections: Vec<_> = injections.collect();
    futures::future::try_join_all(injections).await
}

fn elapsed_ms(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn commit(
    fault: Fault,
    environment: &Environment,
    replicas: &Replicas,
    worker: Option<i32>,
) -> Result<(), FaultError> {
    let component = match fault.kind {
        FaultKind::KillWorker => {
            let reason = "every worker process has been killed";
            let worker = worker.ok_or(FaultError::NoProcess { fault, reason })?;
            guard::signal(worker, Signal::KILL);
            return Ok(());
        }
        FaultKind::PauseService(pause) => {
            let reason = "there is no service process";
            let service = replicas.pids().next().ok_or(FaultError::NoProcess { fault, reason })?;
            guard::signal(service, Signal::STOP);
            tokio::time::sleep(pause).await;
            guard::signal(service, Signal::CONT);
            return Ok(());
        }
        FaultKind::RestartRabbitmq => "rabbitmq",
        FaultKind::RestartRedis => "redis",
        FaultKind::CrashPostgres => "postgresql",
    };
    let restarted = environment.restart(component).await;
    restarted.map_err(|source| FaultError::Server { fault, source })
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// The first fault ends only when the second has happened: one after the other they would wait
    /// for ever.
    #[tokio::test]
    async fn a_fault_that_takes_long_does_not_delay_the_next() {
        let fault = |text: &str| text.parse::<Fault>().expect("a fault");
        let faults = [fault("kill-worker@2ms"), fault("pause-service:6s@1ms")];
        let (killed, announced) = (Semaphore::new(0), std::sync::Mutex::new(Vec::new()));
        let announce =
            |fault: &Fault| announced.lock().expect("nobody panics with it").push(*fault);
        let injecting = each_at_its_time(&faults, &announce, async |fault| {
            match fault.kind {
                FaultKind::KillWorker => killed.add_permits(1),
                _ => drop(killed.acquire().await.expect("it is never closed")),
            }
            Ok(())
        });
        let limit = Duration::from_secs(20);
        let injected = tokio::time::timeout(limit, injecting).await.expect("both happen at once");
        let injected = injected.expect("nothing fails");
        let names: Vec<&str> = injected.iter().map(|injected| &*injected.fault).collect();
        assert_eq!(names, ["pause-service:6s@1ms", "kill-worker@2ms"], "in the order of time");
        assert_eq!(*announced.lock().expect("nobody panics with it"), [faults[1], faults[0]]);
    }

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
