//! The pacer: hands arrivals to the clients of a pool when they are due, and never waits for a
//! client.
//!
//! It has its own thread: timers of the runtime are a millisecond coarse, and late when the runtime
//! is busy, which is when lateness matters. An arrival that no client is free to take waits in the
//! queue, and keeps the instant at which it was due.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, mpsc};

use crate::{clock::Clock, schedule::Schedule};

/// A user who is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Its number: 0 is the first.
    pub(crate) number: u64,
    /// When it was due, on the history's clock.
    pub(crate) scheduled_ns: u64,
}

/// Arrivals that are due and have not been taken.
#[derive(Debug)]
pub(crate) struct Queue {
    due: Mutex<mpsc::UnboundedReceiver<Arrival>>,
    counts: Arc<Counts>,
}

/// How many arrivals there have been.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    due: AtomicU64,
    taken: AtomicU64,
    waiting_max: AtomicU64,
}

impl Counts {
    pub(crate) fn due(&self) -> u64 {
        self.due.load(Ordering::Relaxed)
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn waiting_max(&self) -> u64 {
        self.waiting_max.load(Ordering::Relaxed)
    }
}

impl Queue {
    /// The next arrival; `None` after the last. Clients are served in the order in which they
    /// asked.
    pub(crate) async fn take(&self) -> Option<Arrival> {
        let arrival = self.due.lock().await.recv().await?;
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        Some(arrival)
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

/// Makes the queue of a schedule, and the pacer that fills it once it is told when the load starts.
pub(crate) fn pacer(schedule: Schedule, clock: Clock) -> (Queue, Pacer) {
    let (send, due) = mpsc::unbounded_channel();
    let counts = Arc::new(Counts::default());
    let pacer = Pacer { schedule, clock, due: send, counts: Arc::clone(&counts) };
    (Queue { due: Mutex::new(due), counts }, pacer)
}

/// The filling end of a queue.
#[derive(Debug)]
pub(crate) struct Pacer {
    schedule: Schedule,
    clock: Clock,
    due: mpsc::UnboundedSender<Arrival>,
    counts: Arc<Counts>,
}

impl Pacer {
    /// Paces on its own thread, from the instant that is sent to it. The thread ends with the
    /// schedule, or when the sender or every client is gone.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub(crate) fn start(self) -> io::Result<std::sync::mpsc::Sender<u64>> {
        let (send, start) = std::sync::mpsc::channel();
        let pace = move || {
            if let Ok(start_ns) = start.recv() {
                self.run(start_ns);
            }
        };
        std::thread::Builder::new().name("pacer".to_owned()).spawn(pace)?;
        Ok(send)
    }

    fn run(self, start_ns: u64) {
        for (number, offset_ns) in (0..).zip(self.schedule) {
            let scheduled_ns = start_ns + offset_ns;
            let wait_ns = scheduled_ns.saturating_sub(self.clock.now_ns());
            if wait_ns > 0 {
                std::thread::sleep(Duration::from_nanos(wait_ns));
            }
            let due = self.counts.due.fetch_add(1, Ordering::Relaxed) + 1;
            let waiting = due.saturating_sub(self.counts.taken());
            self.counts.waiting_max.fetch_max(waiting, Ordering::Relaxed);
            if self.due.send(Arrival { number, scheduled_ns }).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Plan;

    use super::*;

    #[tokio::test]
    async fn every_arrival_is_handed_out_at_or_after_its_instant_however_late_it_is_asked_for() {
        let plan: Plan = serde_json::from_str(
            r#"{"scenario": "steady", "rate": "1000/s", "duration": "100ms"}"#,
        )
        .expect("a plan");
        let schedule = Schedule::of(&plan).expect("it is open");
        let expected: Vec<u64> = schedule.clone().collect();
        let clock = Clock::new();
        let (queue, pacer) = pacer(schedule, clock.clone());
        let start_ns = clock.now_ns();
        pacer.start().expect("a thread").send(start_ns).expect("it waits");
        let mut taken = Vec::new();
        while let Some(arrival) = queue.take().await {
            assert!(clock.now_ns() >= arrival.scheduled_ns, "not before it is due");
            assert_eq!(arrival.number, taken.len() as u64);
            taken.push(arrival.scheduled_ns - start_ns);
        }
        assert_eq!(taken, expected, "the plan's instants, not those of the sending");
        let counts = queue.counts();
        assert_eq!((counts.due(), counts.taken()), (100, 100));
        assert!(counts.waiting_max() >= 1);
    }
}
