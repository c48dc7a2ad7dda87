//! The director of one slot: lets the calls of a schedule take their steps on the running service
//! in the schedule's order, and after each step compares what everybody can see with what the model
//! says.

mod acting;
mod comparison;
mod hearing;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use anyhow::Result;
use slotproof_evidence::reference::observation;
use slotproof_models::{CallId, EventEffect, LastAnswer, ModelEvent, ScheduledEvent, Walk};
use slotproof_scenarios::{Answer, Clock};
use slotproof_target_service::pausing::{Order, Report};
use slotproof_vocabulary::{Operation, ReasonCode, SlotId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

use self::hearing::Heard;
use super::{
    rig::ReplayRig,
    work::{At, Work, is_same, process_of, work_of},
};

/// What a step of the schedule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    /// It happened, and then what had waited for it went on.
    Done { steps: Vec<ScheduledEvent>, in_vain: bool },
    /// It waits for somebody else.
    Waits { text: String, blocked_by: Option<String> },
    /// It cannot happen here.
    Skipped,
}

/// A step, and where model and service differ after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stepped {
    pub(super) came: Came,
    /// Empty: they agree.
    pub(super) differences: Vec<String>,
}

/// One client, as the history knows it.
#[derive(Debug, Clone, Default)]
struct Client {
    /// The latest call that it sent, and when it sent the first one.
    latest: Option<(u8, u64)>,
    /// By which path its request goes.
    path: u8,
    /// Its reserve has been written into the history.
    answered: bool,
    booking: Option<String>,
    told: Option<LastAnswer>,
    /// When it sent the confirm or cancel that is under way.
    asked_ns: u64,
}

pub(super) struct Director<'a> {
    rig: &'a ReplayRig,
    case: String,
    slot: SlotId,
    walk: Walk,
    reports: UnboundedReceiver<Report>,
    answers: (UnboundedSender<Heard>, UnboundedReceiver<Heard>),
    work: BTreeMap<Work, At>,
    /// How many steps each call has come to, and the last one.
    steps: HashMap<CallId, (usize, String)>,
    clients: Vec<Client>,
    /// Which call a booking is, or would be, of.
    bookings: HashMap<Uuid, CallId>,
    /// The holds whose time runs out, in order.
    run_outs: Vec<CallId>,
    history: Vec<Operation>,
    /// Moves ahead instead of waiting for holds to expire.
    clock: Clock,
}

impl<'a> Director<'a> {
    pub(super) fn new(
        rig: &'a ReplayRig,
        case: String,
        slot: SlotId,
        walk: Walk,
        steps: &[ModelEvent],
    ) -> Self {
        let reports = rig.routes.open(&case);
        let clients = vec![Client::default(); walk.view().answers.len()];
        let run_out = |what: &ModelEvent| match what {
            ModelEvent::RunOut { booking } => Some(*booking),
            _ => None,
        };
        Self {
            rig,
            case,
            slot,
            walk,
            reports,
            answers: unbounded_channel(),
            work: BTreeMap::new(),
            steps: HashMap::new(),
            clients,
            bookings: HashMap::new(),
            run_outs: steps.iter().filter_map(run_out).collect(),
            history: Vec::new(),
            clock: Clock::new(),
        }
    }

    /// Lets one thing happen.
    ///
    /// # Errors
    /// The service or a server failed, or a call is stuck.
    pub(super) async fn step(&mut self, what: &ModelEvent) -> Result<Stepped> {
        let stood = self.points();
        let before = self.walk.waiting();
        let taken = self.walk.take(what);
        if taken == EventEffect::Impossible {
            return Ok(Stepped { came: Came::Skipped, differences: Vec::new() });
        }
        let mut differences = Vec::new();
        if !before.iter().any(|waiting| is_same(waiting, what)) {
            self.perform(what, &stood, &mut differences).await?;
        }
        let mut blocked = self.settle().await?;
        if self.send_what_is_due()? {
            blocked = self.settle().await?;
        }
        let seen = observation::observe(&self.rig.database, &self.case, self.slot).await?;
        self.compare(&seen, &blocked, &mut differences).await?;
        let came = match taken {
            EventEffect::Done { steps, in_vain } => Came::Done { steps, in_vain },
            EventEffect::Waits { text } => {
                let name = work_of(what).map(|work| self.full_name(work));
                let blocker = name.and_then(|name| blocked.get(&name).cloned());
                Came::Waits { text, blocked_by: blocker.map(|names| self.spoken(&names)) }
            }
            EventEffect::Impossible => Came::Skipped,
        };
        Ok(Stepped { came, differences })
    }

    /// The calls of ours that are still under way, the furthest first: it holds what the others
    /// want.
    pub(super) fn under_way(&self) -> Vec<ModelEvent> {
        let parked = |(work, at): (&Work, &At)| match (work, at) {
            (Work::Call(call), At::Parked(point)) => Some((*call, point.clone())),
            _ => None,
        };
        let mut parked: Vec<(CallId, String)> = self.work.iter().filter_map(parked).collect();
        let steps = |call: &CallId| self.steps.get(call).map_or(0, |(steps, _)| *steps);
        parked.sort_by_key(|(call, _)| (Reverse(steps(call)), *call));
        parked.into_iter().map(|(call, point)| ModelEvent::Call { call, point }).collect()
    }

    /// Whether an event would wait behind another one that waits. Who of the two gets the row when
    /// its holder has committed is not promised: both look for its new version.
    pub(super) fn would_queue(&self, what: &ModelEvent) -> bool {
        let waiting = self.walk.waiting();
        let waits_already = waiting.iter().any(|waiting| is_same(waiting, what));
        !waiting.is_empty()
            && !waits_already
            && matches!(self.walk.clone().take(what), EventEffect::Waits { .. })
    }

    /// Where each call stands in the model, and in the service.
    pub(super) fn model_says(&self) -> String {
        let says = |(work, at): (&Work, &At)| {
            let Work::Call(call) = work else { return format!("{}: {at:?}", work.name()) };
            format!("{call}: {at:?}, in the model before {:?}", self.walk.point(*call))
        };
        let all: Vec<String> = self.work.iter().map(says).collect();
        all.join("; ")
    }

    /// Lets the holds that are left run out, so that what is judged is settled.
    ///
    /// # Errors
    /// A server failed.
    pub(super) async fn end(mut self) -> Result<(SlotId, Vec<Operation>, Clock)> {
        self.move_time(None).await?;
        let seen = observation::observe(&self.rig.database, &self.case, self.slot).await?;
        for (id, (_, overdue)) in &seen.bookings {
            if let (true, Some(booking)) = (*overdue, self.bookings.get(id).copied()) {
                self.sweep(booking, *id);
            }
        }
        self.settle().await?;
        let now = self.clock.now_ns();
        for client in 0..self.clients.len() {
            if let (false, Some((_, sent_ns))) =
                (self.clients[client].answered, self.clients[client].latest)
            {
                self.note_reserve(client, sent_ns, now, Answer::unknown(ReasonCode::NeverTold));
            }
        }
        self.rig.routes.close(&self.case);
        Ok((self.slot, self.history, self.clock))
    }

    /// Lets everything that is left go its own way to its end.
    ///
    /// # Errors
    /// A server failed, or a call is stuck.
    pub(super) async fn abandon(mut self) -> Result<()> {
        self.drop_redis_lock().await?;
        let left: Vec<CallId> = self
            .work
            .iter()
            .filter_map(|(work, at)| match work {
                Work::Call(call) if *at != At::Over => Some(*call),
                _ => None,
            })
            .collect();
        for call in left {
            self.work.insert(Work::Call(call), At::Going);
            self.rig.order(process_of(call), Order::Free(self.full_name(Work::Call(call))));
        }
        self.settle().await?;
        self.rig.routes.close(&self.case);
        Ok(())
    }

    /// Where each call in flight stands in the model.
    fn points(&self) -> HashMap<CallId, &'static str> {
        let calls = self.work.keys().filter_map(|work| match work {
            Work::Call(call) => Some(*call),
            _ => None,
        });
        calls.filter_map(|call| Some((call, self.walk.point(call)?))).collect()
    }

    fn full_name(&self, work: Work) -> String {
        format!("{}/{}", self.case, work.name())
    }

    /// Names of connections as a person says them.
    fn spoken(&self, names: &str) -> String {
        let prefix = format!("{}/", self.case);
        let one = |name: &str| {
            let name = name.trim().trim_start_matches(&prefix);
            CallId::try_from(name.to_owned())
                .map_or_else(|_| name.to_owned(), |call| call.to_string())
        };
        names.split(',').map(one).collect::<Vec<_>>().join(", ")
    }
}
