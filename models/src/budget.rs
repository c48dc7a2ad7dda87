//! The limits of an exploration.
//!
//! stateright's own limits are not used: with one thread, which shortest counterexamples need, its
//! timeout is ignored, and its target counts repeats. It also does not distinguish a search that
//! was cut off from one that has seen everything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

/// Where an exploration stops. A property that is undecided by then is `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Different states whose successors are looked at.
    pub states: usize,
    /// Time for everything together.
    pub time: Duration,
}

impl Default for Limits {
    /// At most about 2 GiB of memory, and two minutes.
    fn default() -> Self {
        Self { states: 5_000_000, time: Duration::from_secs(120) }
    }
}

impl Limits {
    /// As many states as by default, however long they take: for tests, whose result must not
    /// depend on how much a machine does in two minutes.
    pub fn untimed() -> Self {
        Self { time: Duration::from_secs(24 * 3_600), ..Self::default() }
    }
}

/// States that one search may expand, and a switch that stops all of them.
#[derive(Debug)]
pub(crate) struct Budget {
    states: usize,
    expanded: AtomicUsize,
    timer: Arc<Timer>,
    lifted: AtomicBool,
}

impl Budget {
    pub fn new(states: usize, timer: &Arc<Timer>) -> Self {
        Self {
            states,
            expanded: AtomicUsize::new(0),
            timer: Arc::clone(timer),
            lifted: AtomicBool::new(false),
        }
    }

    /// Whether one more state may be expanded. Counts it if so.
    pub fn spend(&self) -> bool {
        if self.lifted.load(Relaxed) {
            return true;
        }
        let allowed = !self.timer.rang.load(Relaxed) && self.expanded.load(Relaxed) < self.states;
        if allowed {
            self.expanded.fetch_add(1, Relaxed);
        }
        allowed
    }

    /// States expanded so far. All states were seen exactly when each of them was expanded.
    pub fn expanded(&self) -> usize {
        self.expanded.load(Relaxed)
    }

    /// Ends counting and limiting: stateright walks a path by asking for its steps again.
    pub fn lift(&self) {
        self.lifted.store(true, Relaxed);
    }
}

/// Rings once after a while. Dropping the guard that comes with it ends the wait at once.
#[derive(Debug)]
pub(crate) struct Timer {
    rang: AtomicBool,
}

impl Timer {
    pub fn start(time: Duration) -> (Arc<Self>, Sender<()>) {
        let timer = Arc::new(Self { rang: AtomicBool::new(false) });
        let (guard, dropped) = mpsc::channel::<()>();
        let to_ring = Arc::clone(&timer);
        thread::spawn(move || {
            if dropped.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                to_ring.rang.store(true, Relaxed);
            }
        });
        (timer, guard)
    }
}
