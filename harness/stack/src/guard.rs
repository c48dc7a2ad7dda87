//! The guard: a child process that outlives us and ends what we could not.
//!
//! It is told of every process group and container that is started and stopped, and reads that from
//! a pipe. When the pipe closes, however we died, SIGKILL included, it ends everything that is left
//! and then itself.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// How long a group may take to end by SIGQUIT, by which PostgreSQL stops its backends and frees
/// its shared memory.
const QUIT_WITHIN: Duration = Duration::from_secs(3);
/// How often, and how far apart, containers of a dead run are looked for.
const CONTAINER_SWEEPS: u32 = 5;
const CONTAINER_SWEEP_PAUSE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// Something that must not be left behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Supervised {
    /// A process group, by its leader.
    Group(i32),
    /// All containers with this label: one that was being made when we died has no id that we could
    /// have told.
    Label(String),
}

impl Supervised {
    fn line(&self) -> String {
        match self {
            Self::Group(leader) => format!("group {leader}"),
            Self::Label(label) => format!("label {label}"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ')? {
            ("group", leader) => leader.parse().ok().filter(|leader| *leader > 1).map(Self::Group),
            ("label", label) => Some(Self::Label(label.to_owned())),
            _ => None,
        }
    }
}

/// Our end of the pipe.
#[derive(Debug, Clone)]
pub struct Guard {
    pipe: Arc<Mutex<ChildStdin>>,
}

impl Guard {
    /// Starts the guard, in a process group of its own so that Ctrl-C does not reach it.
    ///
    /// # Errors
    /// The program cannot be started again.
    pub fn start() -> std::io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take().expect("stdin is piped");
        // It ends by itself when the pipe closes; whoever inherits it then reaps it.
        std::thread::spawn(move || child.wait());
        Ok(Self { pipe: Arc::new(Mutex::new(pipe)) })
    }

    /// One that ends nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("it is there");
        let pipe = child.stdin.take().expect("stdin is piped");
        std::thread::spawn(move || child.wait());
        Self { pipe: Arc::new(Mutex::new(pipe)) }
    }

    /// From now on the guard ends this when we die.
    pub fn watch(&self, entry: &Supervised) {
        self.tell('+', entry);
    }

    /// It has ended; a reused number must not be killed.
    pub fn release(&self, entry: &Supervised) {
        self.tell('-', entry);
    }

    fn tell(&self, sign: char, entry: &Supervised) {
        let mut pipe = self.pipe.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = writeln!(pipe, "{sign}{}", entry.line()) {
            tracing::warn!(%error, "the guard is gone; a crash from here on may leave processes behind");
        }
    }
}

/// What the guard process does: `slotproof guard`.
pub fn keep() {
    let mut supervised = BTreeSet::new();
    for line in BufReader::new(std::io::stdin()).lines().map_while(Result::ok) {
        let (sign, rest) = line.split_at(line.len().min(1));
        match (sign, Supervised::parse(rest)) {
            ("+", Some(entry)) => drop(supervised.insert(entry)),
            ("-", Some(entry)) => drop(supervised.remove(&entry)),
            _ => {}
        }
    }
    for entry in &supervised {
        match entry {
            Supervised::Group(leader) => signal(*leader, Signal::QUIT),
            Supervised::Label(label) => remove_containers(label),
        }
    }
    // One deadline for all: the last to end must not wait for the patience with every other.
    let deadline = Instant::now() + QUIT_WITHIN;
    for entry in supervised {
        if let Supervised::Group(leader) = entry {
            end_group(leader, deadline);
        }
    }
}

/// Waits for a group to end, and kills it when it does not.
fn end_group(leader: i32, deadline: Instant) {
    while alive(leader) {
        if Instant::now() >= deadline {
            signal(leader, Signal::KILL);
            return;
        }
        std::thread::sleep(POLL);
    }
}

/// Whether any process of the group exists.
fn alive(leader: i32) -> bool {
    Pid::from_raw(leader).is_some_and(|pid| test_kill_process_group(pid).is_ok())
}

/// Signals a whole group; one that has ended already is no error.
pub fn signal(leader: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(leader) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Removes what is there, and looks again: the engine may still be making a container for somebody
/// who is gone.
fn remove_containers(label: &str) {
    for _ in 0..CONTAINER_SWEEPS {
        let filter = format!("label={label}");
        let listed =
            Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]).output();
        let ids = listed
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        for id in ids.split_whitespace() {
            let mut remove = Command::new("docker");
            remove
                .args(["rm", "--force", "--volumes", id])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let _ = remove.status();
        }
        std::thread::sleep(CONTAINER_SWEEP_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wards_read_back_and_nonsense_guards_nothing() {
        for entry in [Supervised::Group(4_711), Supervised::Label("run=f00".to_owned())] {
            assert_eq!(Supervised::parse(&entry.line()), Some(entry));
        }
        for line in ["", "group", "group x", "group 1", "group 0", "group -5", "host 3"] {
            assert_eq!(Supervised::parse(line), None, "{line:?}");
        }
    }
}
