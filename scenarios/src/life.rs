//! Lives: what each user of goose does from its hatching to the end of the load.
//!
//! A life is one transaction, so goose ends when the last life has ended, no operation is cut off,
//! and no transaction can return without having waited.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use slotproof_vocabulary::{Plan, Sockets, Workload};

use crate::{
    chance,
    client::{Client, Site},
    clock, flash_sale,
    gate::Gate,
    pacer::Queue,
    recorder::Recorder,
    visits::{Visits, World},
};

/// How much longer than a client's patience arrivals that were not taken in time are still taken. A
/// service that answers nobody must not keep the load from ending.
const LAST_CALL: Duration = Duration::from_secs(5);

/// What the users of one load share.
pub(crate) struct Cast {
    pub(crate) plan: Plan,
    pub(crate) site: Arc<Site>,
    /// Everybody's pool of connections, where it is everybody's.
    pub(crate) http: reqwest::Client,
    pub(crate) recorder: Recorder,
    pub(crate) gate: Gate,
    pub(crate) world: World,
    /// Arrivals, of an open workload.
    pub(crate) queue: Option<Queue>,
    pub(crate) made: Made,
    /// Users that have begun.
    pub(crate) hatched: AtomicU64,
}

/// Arrivals by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Visits that were begun.
    pub(crate) begun: AtomicU64,
    /// Those due in the measured time.
    pub(crate) measured_due: AtomicU64,
    /// Those begun in the measured time.
    pub(crate) measured_begun: AtomicU64,
}

impl Cast {
    /// One user's life.
    pub(crate) async fn live(&self) -> reqwest::Result<()> {
        let number = self.hatched.fetch_add(1, Ordering::SeqCst);
        let http = match self.site.sockets {
            Sockets::Shared => self.http.clone(),
            Sockets::Own => self.site.connect()?,
        };
        let clients = self.plan.clients().into();
        let client =
            Client::new(Arc::clone(&self.site), http, self.recorder.clone(), number, clients);
        let Some(opening_ns) = self.gate.arrive().await else { return Ok(()) };
        match (Visits::of(self.plan.scenario), &self.plan.workload, &self.queue) {
            (Some(visits), Workload::Open { .. }, Some(queue)) => {
                self.serve_arrivals(client, visits, queue, opening_ns).await;
            }
            (Some(visits), Workload::Closed { think, .. }, _) => {
                self.come_again(client, visits, number, think.ns(), opening_ns).await;
            }
            _ => self.want_the_one_slot(client, number, opening_ns).await,
        }
        Ok(())
    }

    /// When the measured time begins.
    pub(crate) fn measured_from_ns(&self, opening_ns: u64) -> u64 {
        opening_ns + self.plan.warm_up.ns()
    }

    /// When no new operations are begun any more.
    pub(crate) fn end_ns(&self, opening_ns: u64) -> u64 {
        self.measured_from_ns(opening_ns) + self.plan.duration().ns()
    }

    /// Open: makes one visit after the other as they fall due. What a visit is depends on which
    /// arrival it is and not on who makes it.
    async fn serve_arrivals(
        &self,
        mut client: Client,
        visits: Visits,
        queue: &Queue,
        opening_ns: u64,
    ) {
        let (measured_from_ns, end_ns) =
            (self.measured_from_ns(opening_ns), self.end_ns(opening_ns));
        let last_call = self.site.patience.timeout + LAST_CALL;
        let last_call_ns = end_ns + u64::try_from(last_call.as_nanos()).unwrap_or(u64::MAX);
        while let Some(arrival) = queue.take().await {
            let measured = arrival.scheduled_ns >= measured_from_ns;
            self.made.measured_due.fetch_add(measured.into(), Ordering::Relaxed);
            let now_ns = clock::now_ns();
            if now_ns > last_call_ns {
                continue;
            }
            self.made.begun.fetch_add(1, Ordering::Relaxed);
            self.made
                .measured_begun
                .fetch_add((measured && now_ns <= end_ns).into(), Ordering::Relaxed);
            let mut rng = chance::stream(self.plan.seed, arrival.number);
            let intent = visits.intent(&self.world, &mut rng);
            visits.make(&mut client, intent, &mut rng, arrival.scheduled_ns).await;
        }
    }

    /// Closed: visits, thinks, and visits again. First visits are spread over one thinking time.
    async fn come_again(
        &self,
        mut client: Client,
        visits: Visits,
        number: u64,
        think_ns: u64,
        opening_ns: u64,
    ) {
        let end_ns = self.end_ns(opening_ns);
        let mut rng = chance::stream(self.plan.seed, number);
        let mut scheduled_ns = opening_ns + chance::up_to_ns(&mut rng, think_ns);
        while scheduled_ns < end_ns {
            clock::sleep_until(scheduled_ns).await;
            let intent = visits.intent(&self.world, &mut rng);
            let done_ns = visits.make(&mut client, intent, &mut rng, scheduled_ns).await;
            scheduled_ns = done_ns + chance::think_ns(&mut rng, think_ns);
        }
    }

    async fn want_the_one_slot(&self, mut client: Client, number: u64, opening_ns: u64) {
        let mut rng = chance::stream(self.plan.seed, number);
        let slot = usize::try_from(number).unwrap_or(0) % self.world.slots;
        flash_sale::live(&mut client, slot, &mut rng, opening_ns, self.end_ns(opening_ns)).await;
    }
}
