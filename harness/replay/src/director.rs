//! The director of one slot: lets the calls of a schedule take their steps on the running service
//! in the schedule's order, and after each step compares what everybody can see with what the model
//! says.

mod comparison;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::Result;
use slotproof_evidence::reference::observation;
use slotproof_models::{CallId, EventEffect, LastAnswer, ModelEvent, ScheduledEvent, Walk};
use slotproof_scenarios::{Answer, Clock, Exchange, ReferenceTarget};
use slotproof_target_service::pausing::{CALL_HEADER, HOLD_HEADER, Order, Report};
use slotproof_vocabulary::{Action, Operation, Outcome, ProblemCode, ReasonCode, SlotId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

use super::{
    rig::ReplayRig,
    work::{At, Work, is_same, process_of, work_of},
};

/// A call that neither stops at a point nor waits for a lock for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// How long a report is awaited before PostgreSQL is asked whether its call waits.
const PATIENCE: Duration = Duration::from_millis(2);
/// The hold whose time runs out first lasts so long, the next one four times that, and so on: they
/// run out in the order of the schedule, whenever they were written.
const HOLD_FIRST_MS: u64 = 60_000;
/// Holds that do not run out last longer than all that do.
const HOLDS_MAX: u32 = 6;

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

/// An answer that came back.
#[derive(Debug)]
struct Heard {
    work: Work,
    answer: Answer,
    returned_ns: u64,
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
        if self.send_what_is_due() {
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

    /// Whether a call of ours is still under way.
    pub(super) fn under_way(&self) -> Vec<ModelEvent> {
        let call = |(work, at): (&Work, &At)| match (work, at) {
            (Work::Call(call), At::Parked(point)) => {
                Some(ModelEvent::Call { call: *call, point: point.clone() })
            }
            _ => None,
        };
        self.work.iter().filter_map(call).collect()
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

    async fn perform(
        &mut self,
        what: &ModelEvent,
        stood: &HashMap<CallId, &'static str>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        match what {
            // The model has begun the call, so it is due to be sent.
            ModelEvent::Send { client, path } => {
                self.send(CallId { client: client - 1, call: 0 }, *path)
            }
            ModelEvent::Call { call, .. } => {
                let Some(At::Parked(step)) = self.work.get(&Work::Call(*call)) else {
                    differences.push(format!("{call} is not under way, and in its model it is"));
                    return Ok(());
                };
                if let Some(point) = stood.get(call).filter(|point| *point != step) {
                    differences.push(format!(
                        "{call} stands before `{step}`, in the model before `{point}`"
                    ));
                }
                self.work.insert(Work::Call(*call), At::Going);
                self.rig.order(process_of(*call), Order::Go(self.full_name(Work::Call(*call))));
            }
            ModelEvent::Crash { call } => {
                let name = self.full_name(Work::Call(*call));
                self.rig.order(process_of(*call), Order::Crash(name.clone()));
                self.work.insert(Work::Call(*call), At::Over);
                observation::cut(&self.rig.database, &name).await?;
            }
            ModelEvent::Confirm { client } => self.ask(Work::Confirm(client - 1)),
            ModelEvent::Cancel { client } => self.ask(Work::Cancel(client - 1)),
            ModelEvent::RunOut { booking } => {
                if let Some(id) = self.id_of(*booking) {
                    self.move_time(Some(id)).await?;
                }
            }
            ModelEvent::Expire { booking } => {
                if let Some(id) = self.id_of(*booking) {
                    self.sweep(*booking, id);
                }
            }
            ModelEvent::LockExpires => self.drop_redis_lock().await?,
            // Its call goes on without it; the retry is due.
            ModelEvent::TimeOut { .. } => {}
            ModelEvent::Poll { .. }
            | ModelEvent::ReadSlot
            | ModelEvent::Flush
            | ModelEvent::CrashDatabase => {
                differences.push(format!("this step cannot be replayed: {what:?}"));
            }
        }
        Ok(())
    }

    /// Sends the calls that the model has begun: the retries of clients that heard nothing.
    fn send_what_is_due(&mut self) -> bool {
        let mut sent = false;
        for client in 0..u8::try_from(self.clients.len()).expect("few clients") {
            let retry = CallId { client, call: 1 };
            if self.walk.point(retry).is_some() && !self.work.contains_key(&Work::Call(retry)) {
                self.send(retry, self.clients[usize::from(client)].path);
                sent = true;
            }
        }
        sent
    }

    fn send(&mut self, call: CallId, path: u8) {
        let now = self.clock.now_ns();
        let client = &mut self.clients[usize::from(call.client)];
        client.latest = Some((call.call, client.latest.map_or(now, |(_, first)| first)));
        client.path = path;
        let (slot, key) = (self.slot.to_string(), self.key(call.client));
        let seats = u32::try_from(self.walk.seats()).expect("a few seats");
        let exchange = match path {
            0 | 1 => ReferenceTarget.reserve(&slot, seats, &key),
            _ => ReferenceTarget.reserve_urgently(&slot, seats, &key),
        };
        let exchange = exchange.with_header(HOLD_HEADER, self.hold_ms(call).to_string());
        self.request(Work::Call(call), process_of(call), exchange);
    }

    /// A client confirms or cancels the booking that it was told of.
    fn ask(&mut self, work: Work) {
        let (Work::Confirm(client) | Work::Cancel(client)) = work else { return };
        let number = usize::from(client);
        let Some(booking) = self.clients[number].booking.clone() else { return };
        self.clients[number].asked_ns = self.clock.now_ns();
        let exchange = match work {
            Work::Confirm(_) => ReferenceTarget.confirm(&booking),
            _ => ReferenceTarget.cancel(&booking),
        };
        self.request(work, 0, exchange);
    }

    /// Sends a request under its name. Its answer is heard whenever it comes.
    fn request(&mut self, work: Work, process: usize, exchange: Exchange) {
        self.work.insert(work, At::Going);
        let exchange = exchange.with_header(CALL_HEADER, self.full_name(work));
        let answers = self.answers.0.clone();
        let (http, base) = (self.rig.http.clone(), self.rig.target(process).to_owned());
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let answer = exchange.send_once(&http, &base).await;
            let _ = answers.send(Heard { work, answer, returned_ns: clock.now_ns() });
        });
    }

    fn sweep(&mut self, booking: CallId, id: Uuid) {
        let work = Work::Sweep(booking);
        self.work.insert(work, At::Going);
        if let Ok(booking) = id.try_into() {
            self.rig.order(0, Order::Sweep { call: self.full_name(work), booking });
        }
    }

    fn id_of(&self, booking: CallId) -> Option<Uuid> {
        self.bookings.iter().find(|(_, call)| **call == booking).map(|(id, _)| *id)
    }

    fn key(&self, client: u8) -> String {
        format!("{}-{}-{}", self.case, self.slot, client + 1)
    }

    fn hold_ms(&self, call: CallId) -> u64 {
        let place = self.run_outs.iter().position(|booking| *booking == call);
        let place = place.and_then(|place| u32::try_from(place).ok()).unwrap_or(HOLDS_MAX);
        HOLD_FIRST_MS * 4_u64.pow(place.min(HOLDS_MAX))
    }

    /// Moves the time ahead, the service's and the history's, until this hold has just run out, or
    /// every hold. The ends of the holds are moved instead of the clock, all by the same time.
    async fn move_time(&mut self, until: Option<Uuid>) -> Result<()> {
        let by = observation::advance(&self.rig.database, self.slot, until).await?;
        self.clock.advance(by);
        Ok(())
    }

    async fn drop_redis_lock(&mut self) -> Result<()> {
        if let Some(mut redis) = self.rig.redis.clone() {
            let _: i64 =
                redis::cmd("DEL").arg(&self.lock_keys()[..]).query_async(&mut redis).await?;
        }
        Ok(())
    }

    /// The lock of `redis_lock`, and that of its negative controls.
    fn lock_keys(&self) -> [String; 2] {
        [format!("lock:{{{}}}", self.slot), format!("lock:slot:{}", self.slot)]
    }

    /// Waits until everything that is on its way stands before a step, waits for a lock, or is
    /// over. Answers who waits for whom.
    async fn settle(&mut self) -> Result<BTreeMap<String, String>> {
        let begun = Instant::now();
        loop {
            self.hear();
            let going = self.going();
            if going.is_empty() {
                return Ok(BTreeMap::new());
            }
            anyhow::ensure!(
                begun.elapsed() < STUCK_AFTER,
                "{:?} neither stop at a step nor wait for a lock; they were let go {} s ago",
                going.iter().map(|work| self.full_name(*work)).collect::<Vec<_>>(),
                begun.elapsed().as_secs()
            );
            tokio::select! {
                Some(report) = self.reports.recv() => { self.note(report); continue }
                Some(heard) = self.answers.1.recv() => { self.listen(heard); continue }
                () = tokio::time::sleep(PATIENCE) => {}
            }
            let blocked = observation::blocked(&self.rig.database, &self.case).await?;
            let Some(blocked) = blocked else { continue };
            if self.hear() {
                // Somebody has gone on since PostgreSQL was asked: its answer may be out of date.
                continue;
            }
            // What waits does so until somebody else of ours goes on, and nobody does.
            let going = self.going();
            if going.iter().all(|work| blocked.contains_key(&self.full_name(*work))) {
                return Ok(blocked);
            }
        }
    }

    fn going(&self) -> Vec<Work> {
        self.work.iter().filter(|(_, at)| **at == At::Going).map(|(work, _)| *work).collect()
    }

    /// Whether there was anything to hear.
    fn hear(&mut self) -> bool {
        let mut anything = false;
        while let Ok(report) = self.reports.try_recv() {
            self.note(report);
            anything = true;
        }
        while let Ok(heard) = self.answers.1.try_recv() {
            self.listen(heard);
            anything = true;
        }
        anything
    }

    fn note(&mut self, report: Report) {
        let of =
            |name: &str| name.split_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
        match report {
            Report::Parked { call, step } => {
                if let Ok(call) = CallId::try_from(of(&call)) {
                    self.work.insert(Work::Call(call), At::Parked(step));
                }
            }
            Report::Wants { call, booking } => {
                if let Ok(call) = CallId::try_from(of(&call)) {
                    self.bookings.insert(booking.as_uuid(), call);
                }
            }
            Report::Swept { call, .. } => {
                let work = self.work.keys().find(|work| work.name() == of(&call)).copied();
                if let Some(work) = work {
                    self.work.insert(work, At::Over);
                }
            }
        }
    }

    fn listen(&mut self, Heard { work, answer, returned_ns }: Heard) {
        // What is lost is not heard of again.
        if self.work.insert(work, At::Over) == Some(At::Over) {
            return;
        }
        match work {
            Work::Call(call) => {
                let client = usize::from(call.client);
                let Some((latest, sent_ns)) = self.clients[client].latest else { return };
                if latest != call.call || self.clients[client].answered {
                    return;
                }
                self.clients[client].booking = answer.seen.booking.as_deref().map(str::to_owned);
                self.clients[client].told = self.told_of_reserve(&answer);
                self.note_reserve(client, sent_ns, returned_ns, answer);
            }
            Work::Confirm(client) | Work::Cancel(client) => {
                let client = usize::from(client);
                let confirms = matches!(work, Work::Confirm(_));
                self.clients[client].told = match (answer.outcome, &answer.reason) {
                    (Outcome::Ok, _) if confirms => Some(LastAnswer::Confirmed),
                    (Outcome::Ok, _) => Some(LastAnswer::Cancelled),
                    (Outcome::Rejected, Some(ReasonCode::Problem(ProblemCode::HoldExpired))) => {
                        Some(LastAnswer::HoldExpired)
                    }
                    _ => None,
                };
                let Some(booking) = self.clients[client].booking.clone() else { return };
                let booking = booking.into();
                let action =
                    if confirms { Action::Confirm { booking } } else { Action::Cancel { booking } };
                let sent_ns = self.clients[client].asked_ns;
                self.note_operation(client, action, (sent_ns, returned_ns), 1, answer);
            }
            Work::Sweep(_) => {}
        }
    }

    fn told_of_reserve(&self, answer: &Answer) -> Option<LastAnswer> {
        match (answer.outcome, answer.seen.booking.as_deref()) {
            (Outcome::Ok, Some(id)) => {
                let id = Uuid::try_parse(id).ok()?;
                self.bookings.get(&id).copied().map(LastAnswer::Booked)
            }
            (Outcome::SoldOut, _) => Some(LastAnswer::SoldOut),
            (Outcome::Throttled, _) => Some(LastAnswer::RetryLater),
            _ => None,
        }
    }

    fn note_reserve(&mut self, client: usize, sent_ns: u64, returned_ns: u64, answer: Answer) {
        self.clients[client].answered = true;
        let number = u8::try_from(client).expect("few clients");
        let seats = u32::try_from(self.walk.seats()).expect("a few seats");
        let action = Action::Reserve { seats, key: self.key(number).into() };
        let attempts = self.clients[client].latest.map_or(1, |(call, _)| u32::from(call) + 1);
        let answer = answer.doubted(attempts > 1);
        self.note_operation(client, action, (sent_ns, returned_ns), attempts, answer);
    }

    fn note_operation(
        &mut self,
        client: usize,
        action: Action,
        (sent_ns, returned_ns): (u64, u64),
        attempts: u32,
        mut answer: Answer,
    ) {
        if !matches!(action, Action::Reserve { .. }) {
            answer.seen.booking = None;
        }
        self.history.push(Operation {
            attempts,
            outcome: answer.outcome,
            reason: answer.reason.map(|reason| reason.to_string().into()),
            seen: answer.seen,
            ..Operation::new(client as u64, self.slot.to_string(), action, sent_ns, returned_ns)
        });
    }
}
