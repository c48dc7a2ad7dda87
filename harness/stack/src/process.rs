//! A server as a child process: its own process group, its own log file, an explicit end.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::{
    guard::{self, Guard, Supervised},
    proc,
};

/// How much of a log is shown when its server fails.
const TAIL_BYTES: u64 = 2_000;
/// How long an abandoned process may take to end by itself before it is killed.
const DROPPED_WITHIN: Duration = Duration::from_secs(3);

/// How to start a child.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What it is to us.
    pub name: &'a str,
    /// The program and its arguments.
    pub command: Command,
    /// Its output is appended here.
    pub log: PathBuf,
    /// Where its standard output goes.
    pub stdout: Stdout,
    /// The signal by which it stops in order.
    pub stop: Signal,
    /// The signal by which it ends at once, if it needs one that it can act on; SIGKILL follows.
    pub abandon: Signal,
}

/// Where a child's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// To its log.
    ToLog,
    /// To us: the child speaks in lines of JSON.
    Piped,
}

/// The leader of a process group, also after the process was restarted by a fault: who accounts for
/// it must not go on looking at a pid that is gone.
#[derive(Debug, Clone)]
pub struct Leader(Arc<AtomicI32>);

impl Leader {
    /// A place that no process has yet.
    pub(crate) fn vacant() -> Self {
        Self::new(0)
    }

    pub(crate) fn new(pid: i32) -> Self {
        Self(Arc::new(AtomicI32::new(pid)))
    }

    pub(crate) fn replace(&self, pid: i32) {
        self.0.store(pid, Ordering::Relaxed);
    }

    /// Its pid at this moment.
    pub fn pid(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A running child and what belongs to it.
#[derive(Debug)]
pub struct Process {
    name: String,
    command: Command,
    child: Child,
    leader: Leader,
    log: PathBuf,
    stop: Signal,
    abandon: Signal,
    guard: Guard,
}

/// A process that did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started at all.
    #[error("failed to start {name} ({program}): {source}")]
    Spawn {
        /// What it is to us.
        name: String,
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended at its start ({status}); its log is {log}, and ends with:\n{tail}", log = log.display())]
    Died {
        /// What it is to us.
        name: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// It runs, and is not ready.
    #[error("{name} was not ready within {} s ({last}); its log is {log}, and ends with:\n{tail}", waited.as_secs(), log = log.display())]
    NotReady {
        /// What it is to us.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What the last probe said.
        last: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
}

impl Process {
    /// Starts a child in a process group of its own and puts it under guard.
    pub fn start(launch: Launch<'_>, guard: &Guard) -> Result<Self, ProcessError> {
        let Launch { name, mut command, log, stdout, stop, abandon } = launch;
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let failed = |source| ProcessError::Spawn {
            name: name.to_owned(),
            program: program.clone(),
            source,
        };
        let output = File::options().create(true).append(true).open(&log).map_err(failed)?;
        command.stdin(Stdio::null()).stderr(output.try_clone().map_err(failed)?).process_group(0);
        command.stdout(match stdout {
            Stdout::ToLog => Stdio::from(output),
            Stdout::Piped => Stdio::piped(),
        });
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let leader = pid.expect("a child that was just started has a pid");
        guard.watch(&Supervised::Group(leader));
        let leader = Leader::new(leader);
        Ok(Self {
            name: name.to_owned(),
            command,
            child,
            leader,
            log,
            stop,
            abandon,
            guard: guard.clone(),
        })
    }

    /// What it is to us.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid of the leader of its process group.
    pub fn pid(&self) -> i32 {
        self.leader.pid()
    }

    /// The leader of its process group, now and after a restart.
    pub fn leader(&self) -> Leader {
        self.leader.clone()
    }

    /// Its standard output, once, if it was kept for us.
    pub fn take_stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Probes until `ready` answers `Ok`, the process ends, or the time is over.
    pub async fn wait_ready<T, F>(
        &mut self,
        within: Duration,
        mut ready: impl FnMut() -> F,
    ) -> Result<T, ProcessError>
    where
        F: Future<Output = Result<T, String>>,
    {
        let begun = Instant::now();
        loop {
            let last = match ready().await {
                Ok(found) => return Ok(found),
                Err(last) => last,
            };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProcessError::Died {
                    name: self.name.clone(),
                    status: status.to_string(),
                    log: self.log.clone(),
                    tail: tail(&self.log),
                });
            }
            if begun.elapsed() >= within {
                return Err(ProcessError::NotReady {
                    name: self.name.clone(),
                    waited: within,
                    last,
                    log: self.log.clone(),
                    tail: tail(&self.log),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> std::io::Result<Option<std::process::ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it ends by itself.
    pub async fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// Kills it and everything that descends from it, leaves it `down` for this time, and starts it
    /// with the same command until `ready` says so, `within` a time after that.
    ///
    /// # Errors
    /// It is not ready in time.
    pub async fn restart<F: Future<Output = Result<(), String>>>(
        &mut self,
        down: Duration,
        within: Duration,
        mut ready: impl FnMut() -> F,
    ) -> Result<(), ProcessError> {
        for pid in proc::descendants(self.pid()) {
            // PostgreSQL's children lead groups of their own.
            guard::signal(pid, Signal::KILL);
        }
        guard::signal(self.pid(), Signal::KILL);
        let _ = self.child.wait().await;
        tokio::time::sleep(down).await;
        let begun = Instant::now();
        self.start_again()?;
        loop {
            let left = within.saturating_sub(begun.elapsed());
            match self.wait_ready(left, &mut ready).await {
                // What it left behind when it was killed may not be free at once.
                Err(ProcessError::Died { .. }) if begun.elapsed() < within => self.start_again()?,
                ended => return ended,
            }
        }
    }

    fn start_again(&mut self) -> Result<(), ProcessError> {
        let program = self.command.as_std().get_program().to_string_lossy().into_owned();
        let name = self.name.clone();
        self.child =
            self.command.spawn().map_err(|source| ProcessError::Spawn { name, program, source })?;
        self.guard.release(&Supervised::Group(self.pid()));
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        self.leader.replace(pid.expect("a child that was just started has a pid"));
        self.guard.watch(&Supervised::Group(self.pid()));
        Ok(())
    }

    /// Lets another process take its place: who accounts for it looks at that one from now on.
    pub(crate) fn hand_over(&mut self, to: &mut Self) {
        let own = Leader::new(self.pid());
        let place = std::mem::replace(&mut self.leader, own);
        to.occupy(place);
    }

    /// Is what is accounted at this place from now on.
    pub(crate) fn occupy(&mut self, place: Leader) {
        place.replace(self.pid());
        self.leader = place;
    }

    /// Stops it in order, and kills it when that takes longer than `within`.
    pub async fn stop(mut self, within: Duration) {
        guard::signal(self.pid(), self.stop);
        if tokio::time::timeout(within, self.child.wait()).await.is_err() {
            tracing::warn!(process = %self.name, "did not stop within {} s and is killed", within.as_secs());
        }
    }
}

impl Drop for Process {
    /// Only a net: whatever way we leave, the group is gone afterwards, and the log stays.
    fn drop(&mut self) {
        let deadline = Instant::now() + DROPPED_WITHIN;
        let mut signalled = false;
        while let Ok(None) = self.child.try_wait() {
            if !signalled {
                guard::signal(self.pid(), self.abandon);
                signalled = true;
            }
            if Instant::now() >= deadline {
                guard::signal(self.pid(), Signal::KILL);
                let _ = self.child.start_kill();
            }
            std::thread::sleep(Duration::from_millis(10));
            if Instant::now() >= deadline + DROPPED_WITHIN {
                break;
            }
        }
        // The leader has ended; members of its group that outlive it have no business left.
        guard::signal(self.pid(), Signal::KILL);
        self.guard.release(&Supervised::Group(self.pid()));
    }
}

/// The end of a log, or why there is none.
pub fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let size = file.metadata()?.size();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text)
            .trim_end()
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect())
    };
    read().unwrap_or_else(|error| format!("    (no log: {error})"))
}
