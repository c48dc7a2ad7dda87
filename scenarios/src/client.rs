//! The recording client: makes one call at a time, and records what it asked for, when, and what it
//! was answered.

use std::{collections::HashMap, sync::Arc};

use slotproof_vocabulary::{
    Action, Operation, Outcome, ProblemCode, ReasonCode, Seen, Sockets, Terms,
};

use crate::{
    call::{Released, RetryPolicy, TimedAnswer},
    clock::Clock,
    connections::Connections,
    live_overbooking::LiveOverbooking,
    recorder::Recorder,
    target::{
        OperationKind, Scope, Session, Target,
        file::{self, TargetError},
    },
};

/// What all clients of a load share.
#[derive(Debug)]
pub struct Site {
    /// How operations become HTTP, and the slots.
    pub target: Target,
    /// Base URLs of the replicas; clients are spread over them by their number.
    pub base_urls: Vec<String>,
    /// The slots under load.
    pub slots: Vec<Arc<str>>,
    /// Different from every other load on the same service: the first part of every idempotency
    /// key.
    pub run: String,
    /// How long clients wait, and how often they resend.
    pub retry_policy: RetryPolicy,
    /// What is certainly taken.
    pub live_overbooking: LiveOverbooking,
    /// How clients connect.
    pub sockets: Sockets,
    /// The clock of the history.
    pub clock: Clock,
}

impl Site {
    /// Connections for all clients.
    ///
    /// # Errors
    /// The TLS roots of the machine cannot be read, or a certificate of the target file.
    pub fn connect(&self) -> Result<Connections, TargetError> {
        self.target.file.connections(self.retry_policy.timeout)
    }

    /// The connections of one client: those of all, or its own.
    ///
    /// # Errors
    /// As [`Site::connect`].
    pub(crate) fn connections_of_client(
        &self,
        of_all: &Connections,
    ) -> Result<Connections, TargetError> {
        match self.sockets {
            Sockets::Shared => Ok(of_all.clone()),
            // Reading the machine's TLS roots takes 3 ms; ten thousand clients that never use TLS
            // need not do it.
            Sockets::Own if self.target.file.is_plain() => Ok(of_all.of_one_client()),
            Sockets::Own => self.connect(),
        }
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    site: Arc<Site>,
    http: Connections,
    recorder: Recorder,
    base_url: String,
    number: u64,
    /// After `unknown` the old process may stay in flight for ever, so a new number continues.
    process: u64,
    /// Distance between the process numbers of one client.
    clients: u64,
    reserves: u64,
    /// What it knows of its bookings.
    session: Session,
    /// The highest version that it was told of each slot, by the slot's index.
    versions: HashMap<usize, i64>,
}

/// What a scenario reacts to.
#[derive(Debug)]
pub struct Response {
    /// What the client knows.
    pub outcome: Outcome,
    /// When it knew.
    pub returned_ns: u64,
    /// The seats, after a reserve that got some.
    pub held: Option<Held>,
}

/// Seats that a client holds.
#[derive(Debug)]
pub struct Held {
    /// The index of the slot among the site's.
    pub slot: usize,
    /// The booking.
    pub booking: String,
    /// How many.
    pub seats: u32,
    /// When the client knew that it had them.
    pub since_ns: u64,
    /// How long they are held unless confirmed, counted from the decision.
    pub hold_ms: u64,
    confirmed: bool,
}

/// What a client asks of the target.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    operation: OperationKind,
    slot: usize,
    seats: u32,
    key: &'a str,
    /// Empty of a reserve or a read.
    booking: &'a str,
}

impl<'a> Asked<'a> {
    fn reserve(slot: usize, seats: u32, key: &'a str) -> Self {
        Self { operation: OperationKind::Reserve, slot, seats, key, booking: "" }
    }

    fn of(operation: OperationKind, held: &'a Held) -> Self {
        let Held { slot, seats, booking, .. } = held;
        Self { operation, slot: *slot, seats: *seats, key: "", booking }
    }

    fn read(slot: usize) -> Self {
        Self { operation: OperationKind::Read, slot, seats: 1, key: "", booking: "" }
    }
}

impl Client {
    /// Client `number` of `clients`, on the connections of `http`.
    pub fn new(
        site: Arc<Site>,
        http: Connections,
        recorder: Recorder,
        number: u64,
        clients: u64,
    ) -> Self {
        let replicas = site.base_urls.len() as u64;
        let replica = usize::try_from(number % replicas).expect("an index of a vector");
        let base_url = site.base_urls[replica].clone();
        Self {
            site,
            http,
            recorder,
            base_url,
            number,
            process: number,
            clients,
            reserves: 0,
            session: Session::default(),
            versions: HashMap::new(),
        }
    }

    /// Sleeps until an instant of the history's clock; returns at once when it has passed.
    pub async fn sleep_until(&self, instant_ns: u64) {
        self.site.clock.sleep_until(instant_ns).await;
    }

    /// Reserves seats.
    pub async fn reserve(&mut self, slot: usize, seats: u32, scheduled_ns: u64) -> Response {
        let key = self.next_key();
        let seats = if self.site.target.file.takes_seats() { seats } else { 1 };
        let answer = self.make(Asked::reserve(slot, seats, &key)).await;
        let action = Action::Reserve { seats, key: key.into() };
        self.record(self.process, slot, action, scheduled_ns, answer).await
    }

    /// Reserves seats twice at once with one key, as an impatient double click does. The response
    /// is that of the first call, or of the second if the first has no seats.
    /// A target that keeps no keys would rightly book twice: it is asked once.
    pub async fn reserve_twice(&mut self, slot: usize, seats: u32, scheduled_ns: u64) -> Response {
        if !self.site.target.file.keeps_keys() {
            return self.reserve(slot, seats, scheduled_ns).await;
        }
        let key = self.next_key();
        let seats = if self.site.target.file.takes_seats() { seats } else { 1 };
        let asked = Asked::reserve(slot, seats, &key);
        // On the heap: ten thousand clients need not make room for what few of them do.
        let both = async { tokio::join!(self.make(asked), self.make(asked)) };
        let (first, second) = Box::pin(both).await;
        // Two calls overlap, so they are of two processes.
        let (process, other) = (self.process, self.process + self.clients);
        self.process = other + self.clients;
        let action = Action::Reserve { seats, key: key.into() };
        let first = self.record(process, slot, action.clone(), scheduled_ns, first).await;
        let second = self.record(other, slot, action, scheduled_ns, second).await;
        let returned_ns = first.returned_ns.max(second.returned_ns);
        Response { returned_ns, ..if first.outcome == Outcome::Ok { first } else { second } }
    }

    fn next_key(&mut self) -> String {
        self.reserves += 1;
        file::key(&self.site.run, self.number, self.reserves)
    }

    /// Confirms a booking.
    pub async fn confirm(&mut self, held: &mut Held, scheduled_ns: u64) -> Response {
        if let Some(nothing) = self.not_made(OperationKind::Confirm) {
            return nothing;
        }
        let answer = self.make(Asked::of(OperationKind::Confirm, held)).await;
        let action = Action::Confirm { booking: held.booking.as_str().into() };
        let response = self.record(self.process, held.slot, action, scheduled_ns, answer).await;
        if response.outcome == Outcome::Ok && !held.confirmed {
            held.confirmed = true;
            self.site.live_overbooking.confirmed(held.slot, held.seats);
        }
        response
    }

    /// Cancels a booking.
    pub async fn cancel(&mut self, held: &mut Held, scheduled_ns: u64) -> Response {
        if let Some(nothing) = self.not_made(OperationKind::Cancel) {
            return nothing;
        }
        if std::mem::take(&mut held.confirmed) {
            self.site.live_overbooking.cancelling(held.slot, held.seats);
        }
        let answer = self.make(Asked::of(OperationKind::Cancel, held)).await;
        let action = Action::Cancel { booking: held.booking.as_str().into() };
        self.record(self.process, held.slot, action, scheduled_ns, answer).await
    }

    /// Reads a booking.
    pub async fn look(&mut self, held: &Held, scheduled_ns: u64) -> Response {
        if let Some(nothing) = self.not_made(OperationKind::Booking) {
            return nothing;
        }
        let answer = self.make(Asked::of(OperationKind::Booking, held)).await;
        let action = Action::Booking { booking: held.booking.as_str().into() };
        self.record(self.process, held.slot, action, scheduled_ns, answer).await
    }

    /// Reads the slot.
    pub async fn read(&mut self, slot: usize, scheduled_ns: u64) -> Response {
        if let Some(nothing) = self.not_made(OperationKind::Read) {
            return nothing;
        }
        let answer = self.make(Asked::read(slot)).await;
        self.record(self.process, slot, Action::Read, scheduled_ns, answer).await
    }

    /// The response to an operation that the target does not have: nothing is sent, and nothing is
    /// recorded.
    fn not_made(&self, operation: OperationKind) -> Option<Response> {
        let returned_ns = self.site.clock.now_ns();
        let nothing = Response { outcome: Outcome::Ok, returned_ns, held: None };
        (!self.site.target.file.has(operation)).then_some(nothing)
    }

    /// From the first byte of the first step to the last byte of the last.
    async fn make(&self, asked: Asked<'_>) -> TimedAnswer {
        let Site { clock, retry_policy, target, .. } = &*self.site;
        let scope = Scope {
            base_url: &self.base_url,
            place: &target.places[asked.slot],
            session: &self.session,
            client: self.number,
            seats: asked.seats,
            key: asked.key,
            booking: (!asked.booking.is_empty()).then_some(asked.booking),
            seen_version: self.versions.get(&asked.slot).copied().unwrap_or_default(),
        };
        let file = &target.file;
        let ready = file.begin(&self.http, asked.operation, scope).await;
        let sent_ns = clock.now_ns();
        let (answer, attempts, release) = match ready {
            Ok(ready) => {
                let made =
                    file.make(&self.http, asked.operation, scope, ready, retry_policy, false).await;
                (made.answer, made.attempts, made.release)
            }
            Err(answer) => (answer, 1, None),
        };
        let returned_ns = clock.now_ns();
        let release = match release {
            None => None,
            Some(release) => {
                let sent_ns = clock.now_ns();
                let (certain, _) = file.release(&self.http, &release, false).await;
                let seats_taken = release.seats_taken;
                Some(Released { sent_ns, returned_ns: clock.now_ns(), certain, seats_taken })
            }
        };
        TimedAnswer { sent_ns, returned_ns, attempts, answer, release }
    }

    /// Records a reserve whose first steps took seats and whose later ones failed: it held them
    /// until they were given back. To the scenario it is what its answer says.
    async fn record_failed_on_its_way(
        &mut self,
        process: u64,
        slot: usize,
        action: Action,
        scheduled_ns: u64,
        timed: TimedAnswer,
        release: Released,
    ) -> Response {
        let TimedAnswer { sent_ns, returned_ns, attempts, answer, .. } = timed;
        let Action::Reserve { key, .. } = &action else {
            return Response { outcome: answer.outcome, returned_ns, held: None };
        };
        let booking: Box<str> = format!("provisional {key} {process}").into();
        let unknown = answer.outcome == Outcome::Unknown;
        let terms = Terms { provisional: true, ..Terms::default() };
        let seen = match unknown {
            // It may have become a booking after all.
            true => Seen::default(),
            false => Seen { booking: Some(booking.clone()), ..Seen::default() },
        };
        let reserve = Operation {
            process,
            terms: Some(Box::new(terms)),
            scheduled_ns,
            attempts,
            outcome: if unknown { Outcome::Unknown } else { Outcome::Ok },
            reason: answer.reason.filter(|_| unknown).map(|reason| reason.to_string().into()),
            seen,
            ..Operation::new(
                self.number,
                Arc::clone(&self.site.slots[slot]),
                action,
                sent_ns,
                returned_ns,
            )
        };
        let cancel = Operation {
            action: Action::Cancel { booking },
            terms: None,
            scheduled_ns: release.sent_ns,
            sent_ns: release.sent_ns,
            returned_ns: release.returned_ns,
            attempts: 1,
            outcome: if release.certain { Outcome::Ok } else { Outcome::Unknown },
            reason: None,
            seen: Seen::default(),
            ..reserve.clone()
        };
        self.recorder.record(reserve).await;
        if !unknown {
            self.recorder.record(cancel).await;
        }
        if (unknown || !release.certain) && process == self.process {
            self.process += self.clients;
        }
        Response { outcome: answer.outcome, returned_ns: release.returned_ns, held: None }
    }

    /// Records what a process was answered.
    async fn record(
        &mut self,
        process: u64,
        slot: usize,
        action: Action,
        scheduled_ns: u64,
        timed: TimedAnswer,
    ) -> Response {
        let timed = match timed.release {
            // A refusal for want of seats is one, whatever was put into a cart before.
            Some(release) if release.seats_taken && timed.answer.outcome != Outcome::SoldOut => {
                return self
                    .record_failed_on_its_way(process, slot, action, scheduled_ns, timed, release)
                    .await;
            }
            Some(_) | None => timed,
        };
        let TimedAnswer { sent_ns, returned_ns, attempts, mut answer, release: _ } = timed;
        let reserved = match action {
            Action::Reserve { seats, .. } => Some(seats),
            _ => None,
        };
        if answer.outcome == Outcome::SoldOut && reserved.is_none() {
            // The operation takes no seats: whatever the service means, it is no claim about them.
            let reason = ReasonCode::Problem(ProblemCode::SoldOut);
            (answer.outcome, answer.reason) = (Outcome::Rejected, Some(reason));
        }
        if let Some(version) = answer.seen.version
            && self.site.target.file.asks_for_versions()
        {
            let seen = self.versions.entry(slot).or_default();
            *seen = version.max(*seen);
        }
        let outcome = answer.outcome;
        let held = |seats: u32| {
            answer.seen.booking.clone().map(|booking| Held {
                slot,
                booking: booking.into(),
                seats,
                since_ns: returned_ns,
                hold_ms: answer.seen.hold_ms.unwrap_or_default(),
                confirmed: false,
            })
        };
        let held = reserved.filter(|_| outcome == Outcome::Ok).and_then(held);
        if reserved.is_none() {
            // The action names the booking already.
            answer.seen.booking = None;
        }
        // Whether its first step has set seats aside is not known either.
        let early = self.site.target.file.takes_seats_early();
        let provisional = early && reserved.is_some() && outcome == Outcome::Unknown;
        let terms = provisional.then(|| Box::new(Terms { provisional, ..Terms::default() }));
        let slot = Arc::clone(&self.site.slots[slot]);
        let operation = Operation {
            process,
            terms,
            scheduled_ns,
            attempts,
            outcome,
            reason: answer.reason.map(|reason| reason.to_string().into()),
            seen: answer.seen,
            ..Operation::new(self.number, slot, action, sent_ns, returned_ns)
        };
        self.recorder.record(operation).await;
        if outcome == Outcome::Unknown && process == self.process {
            self.process += self.clients;
        }
        Response { outcome, returned_ns, held }
    }
}
