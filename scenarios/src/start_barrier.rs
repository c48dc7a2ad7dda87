//! The start barrier: clients wait for it, and it releases them all at one instant once the last
//! has arrived.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::clock::Clock;

/// From the last arrival to the start: long enough that every client is awake and waits for the
/// clock.
const COUNTDOWN: Duration = Duration::from_millis(50);
/// Hatching ten thousand users takes seconds; one that takes longer than this will not come.
pub(crate) const ARRIVAL_WITHIN: Duration = Duration::from_secs(120);

pub(crate) struct StartBarrier {
    awaited: u32,
    arrived: AtomicU32,
    clock: Clock,
    /// Told the start before any client is.
    announce: Box<dyn Fn(u64) + Send + Sync>,
    start_ns: watch::Sender<Option<u64>>,
}

impl StartBarrier {
    /// A barrier for a number of clients; `announce` is told the start before any of them is.
    pub(crate) fn new(
        awaited: u32,
        clock: Clock,
        announce: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            awaited,
            arrived: AtomicU32::new(0),
            clock,
            announce: Box::new(announce),
            start_ns: watch::Sender::new(None),
        }
    }

    /// Waits for the others, and returns the instant of the start; `None` when some never came.
    pub(crate) async fn arrive(&self) -> Option<u64> {
        if self.arrived.fetch_add(1, Ordering::SeqCst) + 1 == self.awaited {
            let countdown = u64::try_from(COUNTDOWN.as_nanos()).expect("it is short");
            let start_ns = self.clock.now_ns() + countdown;
            (self.announce)(start_ns);
            self.start_ns.send_replace(Some(start_ns));
        }
        let mut start = self.start_ns.subscribe();
        let started = tokio::time::timeout(ARRIVAL_WITHIN, start.wait_for(Option::is_some)).await;
        started.ok()?.ok().and_then(|instant| *instant)
    }

    /// The instant of the start, once it is known.
    pub(crate) fn start_ns(&self) -> Option<u64> {
        *self.start_ns.borrow()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_barrier_releases_all_at_one_instant_and_not_before_the_last() {
        let barrier = Arc::new(StartBarrier::new(3, Clock::new(), |_| {}));
        let [first, second] = [(); 2].map(|()| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move { barrier.arrive().await })
        });
        tokio::task::yield_now().await;
        assert_eq!(barrier.start_ns(), None);
        let last = barrier.arrive().await.expect("all are here");
        assert_eq!(first.await.expect("it ends"), Some(last));
        assert_eq!(second.await.expect("it ends"), Some(last));
    }
}
