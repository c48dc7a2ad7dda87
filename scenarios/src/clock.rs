//! The clock of a history: nanoseconds of CLOCK_MONOTONIC, the same for every process of the
//! machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The machine's monotonic clock, which a replay can move ahead. Clones share its time; two clocks
/// do not.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ns: Arc<AtomicU64>,
}

impl Clock {
    /// The machine's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves this clock ahead: a replay does not wait for holds to expire.
    pub fn advance(&self, by: Duration) {
        self.ahead_ns.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Now, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        now_ns() + self.ahead_ns.load(Relaxed)
    }

    /// Sleeps until an instant of this clock; returns at once when it has passed.
    pub async fn sleep_until(&self, instant_ns: u64) {
        let wait = instant_ns.saturating_sub(self.now_ns());
        if wait > 0 {
            tokio::time::sleep(Duration::from_nanos(wait)).await;
        }
    }
}

/// Now by the machine's monotonic clock, in nanoseconds since an instant before its first process.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the monotonic clock does not run before zero");
    let nanoseconds = u64::try_from(now.tv_nsec).expect("a fraction of a second is not negative");
    seconds * 1_000_000_000 + nanoseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_moved_ahead_moves_its_clones_and_no_other_clock() {
        let (moved, other) = (Clock::new(), Clock::new());
        let before_ns = other.now_ns();
        moved.advance(Duration::from_secs(3_600));
        assert!(moved.clone().now_ns() >= before_ns + 3_600_000_000_000);
        assert!(other.now_ns() < before_ns + 3_600_000_000_000);
        assert!(now_ns() < before_ns + 3_600_000_000_000);
    }
}
