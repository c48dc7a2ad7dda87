//! Virtual users: what each user of goose does from its hatching to the end of the load.
//!
//! A virtual user is one transaction of goose, so goose ends when the last user has ended, no
//! operation is cut off, and no transaction can return without having waited.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use slotproof_vocabulary::{Plan, Workload};

use crate::{
    client::{Client, Site},
    connections::Connections,
    flows::{FlowContext, FlowScenario, flash_sale},
    pacer::Queue,
    random,
    recorder::Recorder,
    start_barrier::StartBarrier,
    target::file::TargetError,
};

/// How much longer than the timeout of an operation late arrivals are still taken. A service that
/// never answers must not keep the load from ending.
const LAST_CALL: Duration = Duration::from_secs(5);

/// What the virtual users of one load share.
pub(crate) struct LoadContext {
    pub(crate) plan: Plan,
    pub(crate) site: Arc<Site>,
    /// The connections of all clients, where they share them.
    pub(crate) http: Connections,
    pub(crate) recorder: Recorder,
    pub(crate) start_barrier: StartBarrier,
    pub(crate) flow_context: FlowContext,
    /// Arrivals, of an open workload.
    pub(crate) queue: Option<Queue>,
    pub(crate) arrivals: ArrivalCounts,
    /// Virtual users that have begun.
    pub(crate) hatched: AtomicU64,
}

/// Arrivals that clients have taken.
#[derive(Debug, Default)]
pub(crate) struct ArrivalCounts {
    /// Flows that were begun.
    pub(crate) begun: AtomicU64,
    /// Arrivals due in the measured window.
    pub(crate) measured_due: AtomicU64,
    /// Those of them that were begun in it.
    pub(crate) measured_begun: AtomicU64,
}

impl LoadContext {
    /// One virtual user, from its hatching to the end of the load.
    pub(crate) async fn run_user(&self) -> Result<(), TargetError> {
        let number = self.hatched.fetch_add(1, Ordering::SeqCst);
        let http = self.site.connections_of_client(&self.http)?;
        let clients = self.plan.clients().into();
        let client =
            Client::new(Arc::clone(&self.site), http, self.recorder.clone(), number, clients);
        let Some(start_ns) = self.start_barrier.arrive().await else { return Ok(()) };
        match (FlowScenario::of(self.plan.scenario), &self.plan.workload, &self.queue) {
            (Some(flows), Workload::Open { .. }, Some(queue)) => {
                self.serve_arrivals(client, flows, queue, start_ns).await;
            }
            (Some(flows), Workload::Closed { think, .. }, _) => {
                self.repeat_flows(client, flows, number, think.ns(), start_ns).await;
            }
            _ => self.compete_for_one_slot(client, number, start_ns).await,
        }
        Ok(())
    }

    /// When the measured window begins.
    pub(crate) fn measured_from_ns(&self, start_ns: u64) -> u64 {
        start_ns + self.plan.warm_up.ns()
    }

    /// When clients stop starting operations.
    pub(crate) fn end_ns(&self, start_ns: u64) -> u64 {
        self.measured_from_ns(start_ns) + self.plan.duration().ns()
    }

    /// Open: runs one flow after the other as arrivals fall due. What a flow is depends on the
    /// arrival, and not on the client that runs it.
    async fn serve_arrivals(
        &self,
        mut client: Client,
        flows: FlowScenario,
        queue: &Queue,
        start_ns: u64,
    ) {
        let (measured_from_ns, end_ns) = (self.measured_from_ns(start_ns), self.end_ns(start_ns));
        let last_call = self.site.retry_policy.timeout + LAST_CALL;
        let last_call_ns = end_ns + u64::try_from(last_call.as_nanos()).unwrap_or(u64::MAX);
        while let Some(arrival) = queue.take().await {
            let measured = arrival.scheduled_ns >= measured_from_ns;
            self.arrivals.measured_due.fetch_add(measured.into(), Ordering::Relaxed);
            let now_ns = self.site.clock.now_ns();
            if now_ns > last_call_ns {
                continue;
            }
            self.arrivals.begun.fetch_add(1, Ordering::Relaxed);
            self.arrivals
                .measured_begun
                .fetch_add((measured && now_ns <= end_ns).into(), Ordering::Relaxed);
            let mut rng = random::stream(self.plan.seed, arrival.number);
            let intent = flows.intent(&self.flow_context, &mut rng);
            flows.run(&mut client, intent, &mut rng, arrival.scheduled_ns).await;
        }
    }

    /// Closed: a flow, a pause, and so on. First flows are spread over one think time.
    async fn repeat_flows(
        &self,
        mut client: Client,
        flows: FlowScenario,
        number: u64,
        think_ns: u64,
        start_ns: u64,
    ) {
        let end_ns = self.end_ns(start_ns);
        let mut rng = random::stream(self.plan.seed, number);
        let mut scheduled_ns = start_ns + random::up_to_ns(&mut rng, think_ns);
        while scheduled_ns < end_ns {
            client.sleep_until(scheduled_ns).await;
            let intent = flows.intent(&self.flow_context, &mut rng);
            let done_ns = flows.run(&mut client, intent, &mut rng, scheduled_ns).await;
            scheduled_ns = done_ns + random::think_ns(&mut rng, think_ns);
        }
    }

    async fn compete_for_one_slot(&self, mut client: Client, number: u64, start_ns: u64) {
        let mut rng = random::stream(self.plan.seed, number);
        let slot = usize::try_from(number).unwrap_or(0) % self.flow_context.slots;
        flash_sale::run(&mut client, slot, &mut rng, start_ns, self.end_ns(start_ns)).await;
    }
}
