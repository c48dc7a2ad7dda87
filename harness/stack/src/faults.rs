//! Faults: what is done to the stack while it is under load, and when.

use std::{fmt, str::FromStr, time::Duration};

use async_recursion::async_recursion as boxed_future;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use slotproof_scenarios::clock::now_ns;
use slotproof_vocabulary::Span;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    ComponentKind, Environment, EnvironmentError, Replicas, Topology,
    components::postgresql_standby, guard, migration,
};

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// A standby goes on answering, and replays nothing for this time.
    PauseReplay {
        /// The standby.
        standby: String,
        /// For how long.
        pause: Duration,
    },
    /// SIGKILL to a component, and a start on the same data after this time.
    Kill {
        /// The component.
        component: String,
        /// How long it is away.
        down: Duration,
    },
    /// `slotproof rebalance --drain` of a shard: its buckets move to the others. No server breaks.
    Rebalance {
        /// The shard.
        shard: String,
    },
    /// The service moves to another topology, whose servers are there: see [`crate::migration`].
    /// `slotproof migrate` does it. No server breaks.
    Migrate {
        /// The name of the topology.
        to: String,
    },
    /// What a target file declares: its command begins it, and another ends it after this time.
    Declared {
        /// Its name in the file.
        name: String,
        /// How long it lasts; without, nothing ends it.
        lasts: Option<Duration>,
    },
}

/// A fault, and how long after the beginning of the load it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is done.
    pub kind: FaultKind,
    /// How long after the beginning of the load.
    pub at: Duration,
}

/// A fault that was injected. Times are milliseconds since the load began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injected {
    /// As the command line says it.
    pub fault: String,
    /// When it began.
    pub began_ms: u64,
    /// When the stack was whole again, as far as it is made whole.
    pub ended_ms: u64,
    /// When it began, in nanoseconds of the history's clock. The times above count from when the load
    /// was first heard of; 0 in files of before.
    #[serde(default)]
    pub began_ns: u64,
    /// When it ended, likewise.
    #[serde(default)]
    pub ended_ns: u64,
    /// Why it did not take: then the run decides nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it said of itself, if it says anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a fault; write kill-worker@3s, pause-service:6s@2s, restart-rabbitmq@5s, \
                 restart-redis@5s, crash-postgres@5s, \"pause-replay:STANDBY@2s for 1s\", \
                 \"kill:COMPONENT@2s for 1s\", rebalance:SHARD@2s or, of a target, \"target:NAME@2s for 1s\""
            )
        };
        let (what, when) = text.split_once('@').ok_or_else(wrong)?;
        let (at, lasts) = match when.split_once(" for ") {
            Some((at, lasts)) => (at, Some(lasts.parse::<Span>()?.0)),
            None => (when, None),
        };
        let at: Span = at.parse()?;
        let kind = match (what.split_once(':'), lasts) {
            (Some(("pause-replay", standby)), Some(pause)) => {
                FaultKind::PauseReplay { standby: standby.to_owned(), pause }
            }
            (Some(("kill", component)), Some(down)) => {
                FaultKind::Kill { component: component.to_owned(), down }
            }
            (Some(("target", name)), lasts) if !name.is_empty() => {
                FaultKind::Declared { name: name.to_owned(), lasts }
            }
            (_, Some(_)) => return Err(wrong()),
            (what_of, None) => match what_of {
                None => match what {
                    "kill-worker" => FaultKind::KillWorker,
                    "restart-rabbitmq" => FaultKind::RestartRabbitmq,
                    "restart-redis" => FaultKind::RestartRedis,
                    "crash-postgres" => FaultKind::CrashPostgres,
                    _ => return Err(wrong()),
                },
                Some(("pause-service", pause)) => FaultKind::PauseService(pause.parse::<Span>()?.0),
                Some(("rebalance", shard)) if !shard.is_empty() => {
                    FaultKind::Rebalance { shard: shard.to_owned() }
                }
                Some(_) => return Err(wrong()),
            },
        };
        Ok(Self { kind, at: at.0 })
    }
}

impl Fault {
    /// How long it lasts, if it says so.
    pub fn lasts(&self) -> Option<Duration> {
        match &self.kind {
            FaultKind::PauseService(pause) | FaultKind::PauseReplay { pause, .. } => Some(*pause),
            FaultKind::Kill { down, .. } => Some(*down),
            FaultKind::Declared { lasts, .. } => *lasts,
            FaultKind::KillWorker
            | FaultKind::RestartRabbitmq
            | FaultKind::RestartRedis
            | FaultKind::CrashPostgres
            | FaultKind::Rebalance { .. }
            | FaultKind::Migrate { .. } => None,
        }
    }

    /// Whether the topology has what it acts on.
    ///
    /// # Errors
    /// Says what it acts on, and what there is.
    pub fn fits(&self, topology: &Topology) -> Result<(), String> {
        let acts_on = |of_kind: &dyn Fn(ComponentKind) -> bool, name: &str| {
            let fitting = topology.components.iter().filter(|component| of_kind(component.kind));
            let names: Vec<&str> = fitting.map(|component| component.name.as_str()).collect();
            match (names.contains(&name), names.is_empty()) {
                (true, _) => Ok(()),
                (false, true) => Err(format!(
                    "the topology `{}` has no component that it can act on",
                    topology.name
                )),
                (false, false) => Err(format!(
                    "the topology `{}` has no such component; it can act on {}",
                    topology.name,
                    names.join(", ")
                )),
            }
        };
        match &self.kind {
            FaultKind::PauseReplay { standby, .. } => {
                acts_on(&|kind| kind == ComponentKind::PostgresqlStandby, standby)
            }
            FaultKind::Rebalance { shard } => match topology.service.shards.contains(shard) {
                true => Ok(()),
                false if topology.service.shards.is_empty() => {
                    Err(format!("the topology `{}` has no shards", topology.name))
                }
                false => Err(format!(
                    "the topology `{}` has no such shard; it has {}",
                    topology.name,
                    topology.service.shards.join(", ")
                )),
            },
            FaultKind::Kill { component, .. } => acts_on(&|_| true, component),
            FaultKind::RestartRabbitmq => acts_on(&|_| true, "rabbitmq"),
            FaultKind::RestartRedis => acts_on(&|_| true, "redis"),
            FaultKind::CrashPostgres => acts_on(&|_| true, "postgresql"),
            FaultKind::Declared { .. } => {
                Err("only a target file declares such a fault; give --target".to_owned())
            }
            FaultKind::KillWorker | FaultKind::PauseService(_) | FaultKind::Migrate { .. } => {
                Ok(())
            }
        }
    }

    /// The option of the command line that says this fault, as a shell takes it: `--fault
    /// crash-postgres@5s`, with quotes where it has spaces.
    pub fn argument(&self) -> String {
        let text = self.to_string();
        match text.contains(' ') {
            true => format!("--fault \"{text}\""),
            false => format!("--fault {text}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::KillWorker => write!(f, "kill-worker")?,
            FaultKind::PauseService(pause) => write!(f, "pause-service:{}", Span(*pause))?,
            FaultKind::RestartRabbitmq => write!(f, "restart-rabbitmq")?,
            FaultKind::RestartRedis => write!(f, "restart-redis")?,
            FaultKind::CrashPostgres => write!(f, "crash-postgres")?,
            FaultKind::Rebalance { shard } => write!(f, "rebalance:{shard}")?,
            FaultKind::Migrate { to } => write!(f, "migrate:{to}")?,
            FaultKind::PauseReplay { standby, pause } => {
                return write!(f, "pause-replay:{standby}@{} for {}", Span(self.at), Span(*pause));
            }
            FaultKind::Kill { component, down } => {
                return write!(f, "kill:{component}@{} for {}", Span(self.at), Span(*down));
            }
            FaultKind::Declared { name, lasts: Some(lasts) } => {
                return write!(f, "target:{name}@{} for {}", Span(self.at), Span(*lasts));
            }
            FaultKind::Declared { name, lasts: None } => write!(f, "target:{name}")?,
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
    /// It was asked for, and did not happen.
    #[error("failed to inject {fault}: {reason}")]
    NotTaken {
        /// The fault.
        fault: Fault,
        /// What happened instead.
        reason: String,
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
/// A server that does not come back.
#[boxed_future]
pub async fn inject(
    faults: &[Fault],
    environment: &Environment,
    replicas: &Replicas,
    begun: watch::Receiver<bool>,
    announce: &(dyn Fn(&Fault) + Sync),
) -> Result<Vec<Injected>, FaultError> {
    let mut workers = replicas.worker_pids();
    inject_by(faults, begun, announce, |fault| {
        // Each kill takes a worker that no earlier one has taken.
        let worker = if fault.kind == FaultKind::KillWorker { workers.next() } else { None };
        commit(fault, environment, replicas, worker)
    })
    .await
}

/// As [`inject`], where `act` injects a fault and answers with what it said of itself.
///
/// # Errors
/// A server that does not come back.
pub async fn inject_by<F>(
    faults: &[Fault],
    mut begun: watch::Receiver<bool>,
    announce: &(dyn Fn(&Fault) + Sync),
    mut act: impl FnMut(Fault) -> F,
) -> Result<Vec<Injected>, FaultError>
where
    F: Future<Output = Result<Option<String>, FaultError>>,
{
    if faults.is_empty() || begun.wait_for(|begun| *begun).await.is_err() {
        return Ok(Vec::new());
    }
    let begin = Instant::now();
    let mut ordered = faults.to_vec();
    ordered.sort_by_key(|fault| fault.at);
    let injections = ordered.into_iter().map(|fault| {
        let acting = act(fault.clone());
        async move {
            sleep_until(begin + fault.at).await;
            let (began_ms, began_ns) = (elapsed_ms(begin), now_ns());
            announce(&fault);
            let (said, problem) = match acting.await {
                Ok(said) => (said, None),
                Err(FaultError::NoProcess { reason, .. }) => (None, Some(reason.to_owned())),
                Err(FaultError::NotTaken { reason, .. }) => (None, Some(reason)),
                Err(error @ FaultError::Server { .. }) => return Err(error),
            };
            let (ended_ms, ended_ns) = (elapsed_ms(begin), now_ns());
            let fault = fault.to_string();
            Ok(Injected { fault, began_ms, ended_ms, began_ns, ended_ns, problem, said })
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
) -> Result<Option<String>, FaultError> {
    let (component, down) = match &fault.kind {
        FaultKind::KillWorker => {
            let reason = "every worker process has been killed";
            let worker = worker.ok_or(FaultError::NoProcess { fault, reason })?;
            guard::signal(worker, Signal::KILL);
            return Ok(None);
        }
        FaultKind::PauseService(pause) => {
            let reason = "there is no service process";
            let pause = *pause;
            let service = replicas.pids().next().ok_or(FaultError::NoProcess { fault, reason })?;
            guard::signal(service, Signal::STOP);
            tokio::time::sleep(pause).await;
            guard::signal(service, Signal::CONT);
            return Ok(None);
        }
        FaultKind::PauseReplay { standby, pause } => {
            let Some(url) = environment.endpoints.get(standby) else {
                let reason = "the standby was not started";
                return Err(FaultError::NoProcess { fault, reason });
            };
            let paused = postgresql_standby::pause_replay(url, *pause).await;
            let paused = paused.map(|()| None);
            return paused.map_err(|reason| FaultError::NotTaken { fault, reason });
        }
        FaultKind::Rebalance { shard } => {
            let moved = migration::drain(&environment.endpoints, shard).await.map(Some);
            return moved.map_err(|reason| FaultError::NotTaken { fault, reason });
        }
        FaultKind::Migrate { .. } => {
            let migrated = migration::migrate(&environment.endpoints, replicas).await.map(Some);
            return migrated.map_err(|reason| FaultError::NotTaken { fault, reason });
        }
        FaultKind::Declared { .. } => {
            let reason = "no target file declares it".to_owned();
            return Err(FaultError::NotTaken { fault, reason });
        }
        FaultKind::Kill { component, down } => (component.as_str(), *down),
        FaultKind::RestartRabbitmq => ("rabbitmq", Duration::ZERO),
        FaultKind::RestartRedis => ("redis", Duration::ZERO),
        FaultKind::CrashPostgres => ("postgresql", Duration::ZERO),
    };
    let restarted = environment.restart(component, down).await;
    restarted.map(|()| None).map_err(|source| FaultError::Server { fault, source })
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
            |fault: &Fault| announced.lock().expect("nobody panics with it").push(fault.clone());
        let (_begin, begun) = watch::channel(true);
        let injecting = inject_by(&faults, begun, &announce, async |fault| match fault.kind {
            FaultKind::KillWorker => {
                killed.add_permits(1);
                let reason = "it was gone".to_owned();
                Err(FaultError::NotTaken { fault, reason })
            }
            _ => {
                drop(killed.acquire().await.expect("it is never closed"));
                Ok(None)
            }
        });
        let limit = Duration::from_secs(20);
        let injected = tokio::time::timeout(limit, injecting).await.expect("both happen at once");
        let injected = injected.expect("nothing fails");
        let names: Vec<&str> = injected.iter().map(|injected| &*injected.fault).collect();
        assert_eq!(names, ["pause-service:6s@1ms", "kill-worker@2ms"], "in the order of time");
        let problems: Vec<_> = injected.iter().map(|it| it.problem.as_deref()).collect();
        assert_eq!(problems, [None, Some("it was gone")]);
        assert_eq!(
            *announced.lock().expect("nobody panics with it"),
            [faults[1].clone(), faults[0].clone()]
        );
    }

    #[test]
    fn a_fault_reads_as_it_is_written_and_nonsense_is_refused() {
        for text in [
            "kill-worker@3s",
            "pause-service:6s@2s",
            "restart-rabbitmq@500ms",
            "crash-postgres@5s",
            "pause-replay:standby-1@2s for 1s",
            "kill:standby-1@2s for 500ms",
            "rebalance:shard-2@2s",
            "target:api@2s for 500ms",
            "target:api@2s",
        ] {
            assert_eq!(text.parse::<Fault>().expect("a fault").to_string(), text);
        }
        for text in [
            "kill-worker",
            "kill-everything@1s",
            "pause-service@1s",
            "restart-redis@soon",
            "kill-worker:2s@1s",
            "pause-replay:standby-1@1s",
            "pause-replay@1s for 1s",
            "kill-worker@1s for 1s",
            "kill:standby-1@1s for ever",
            "rebalance:@1s",
            "rebalance:shard-2@1s for 1s",
            "target:@1s",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_fault_on_a_component_that_is_not_there_is_refused_with_those_that_are() {
        let replicas = Topology::find("replicas").expect("built in");
        let fits = |text: &str, topology: &Topology| {
            text.parse::<Fault>().expect("a fault").fits(topology)
        };
        for text in
            ["pause-replay:standby-2@1s for 1s", "kill:redis@1s for 1s", "crash-postgres@1s"]
        {
            assert_eq!(fits(text, &replicas), Ok(()), "{text}");
        }
        let sharded = Topology::find("sharded").expect("built in");
        assert_eq!(fits("rebalance:shard-2@1s", &sharded), Ok(()));
        let refused = fits("rebalance:redis@1s", &sharded).expect_err("no shard");
        assert!(refused.ends_with("it has shard-1, shard-2, shard-3"), "{refused}");
        let refused = fits("rebalance:shard-2@1s", &replicas).expect_err("no shards");
        assert_eq!(refused, "the topology `replicas` has no shards");
        let refused = fits("pause-replay:redis@1s for 1s", &replicas).expect_err("not a standby");
        assert!(refused.ends_with("it can act on standby-1, standby-2"), "{refused}");
        assert!(fits("restart-rabbitmq@1s", &replicas).is_err());
        let refused = fits("pause-replay:standby-1@1s for 1s", &Topology::single());
        assert!(refused.expect_err("no standby").contains("`single` has no component"));
    }
}
