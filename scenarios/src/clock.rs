//! The one clock of a history: nanoseconds of CLOCK_MONOTONIC, the same for every process of the
//! machine.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// How far this process has moved its time ahead.
static AHEAD_NS: AtomicU64 = AtomicU64::new(0);

/// Moves the time of this process ahead: of a replay, which does not wait for holds to run out.
pub fn advance(by: Duration) {
    AHEAD_NS.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Relaxed);
}

/// Now, in nanoseconds since some instant before the machine's first process.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the monotonic clock does not run before zero");
    let nanoseconds = u64::try_from(now.tv_nsec).expect("a fraction of a second is not negative");
    seconds * 1_000_000_000 + nanoseconds + AHEAD_NS.load(Relaxed)
}

/// Sleeps until an instant of this clock; returns at once when it has passed.
pub async fn sleep_until(instant_ns: u64) {
    let wait = instant_ns.saturating_sub(now_ns());
    if wait > 0 {
        tokio::time::sleep(Duration::from_nanos(wait)).await;
    }
}
