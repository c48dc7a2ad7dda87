//! The gate: everyone waits before it, and it opens for all at one instant once the last has
//! arrived.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::clock;

/// From the last arrival to the opening: long enough that everyone is awake and waiting for the
/// clock.
const COUNTDOWN: Duration = Duration::from_millis(50);
/// Hatching ten thousand users takes seconds; one that takes longer than this will never come.
const ARRIVAL_WITHIN: Duration = Duration::from_secs(120);

pub(crate) struct Gate {
    awaited: u32,
    arrived: AtomicU32,
    /// Told the instant before anybody else is.
    announce: Box<dyn Fn(u64) + Send + Sync>,
    opening_ns: watch::Sender<Option<u64>>,
}

impl Gate {
    /// A gate for so many; `announce` is told the instant at which it will open before anybody else
    /// is.
    pub(crate) fn new(awaited: u32, announce: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            awaited,
            arrived: AtomicU32::new(0),
            announce: Box::new(announce),
            opening_ns: watch::Sender::new(None),
        }
    }

    /// Waits for the others, and answers with the instant at which the gate opens; `None` when some
    /// never came.
    pub(crate) async fn arrive(&self) -> Option<u64> {
        if self.arrived.fetch_add(1, Ordering::SeqCst) + 1 == self.awaited {
            let countdown = u64::try_from(COUNTDOWN.as_nanos()).expect("it is short");
            let opening_ns = clock::now_ns() + countdown;
            (self.announce)(opening_ns);
            self.opening_ns.send_replace(Some(opening_ns));
        }
        let mut opening = self.opening_ns.subscribe();
        let opened = tokio::time::timeout(ARRIVAL_WITHIN, opening.wait_for(Option::is_some)).await;
        opened.ok()?.ok().and_then(|instant| *instant)
    }

    /// The instant at which it opens, once that is known.
    pub(crate) fn opening_ns(&self) -> Option<u64> {
        *self.opening_ns.borrow()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_gate_opens_for_all_at_one_instant_and_not_before_the_last() {
        let gate = Arc::new(Gate::new(3, |_| {}));
        let first = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.arrive().await }
        });
        let second = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.arrive().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(gate.opening_ns(), None);
        let last = gate.arrive().await.expect("all are here");
        assert_eq!(first.await.expect("it ends"), Some(last));
        assert_eq!(second.await.expect("it ends"), Some(last));
    }
}
