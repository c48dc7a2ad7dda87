//! The recording client: makes one call at a time, and records what it asked for, when, and what it
//! was answered.

use std::sync::Arc;

use slotproof_vocabulary::{Action, Operation, Outcome, ProblemCode, ReasonCode, Sockets};

use crate::{
    call::{Call, RetryPolicy, TimedAnswer},
    clock::Clock,
    live_overbooking::LiveOverbooking,
    recorder::Recorder,
    target::{Exchange, ReferenceTarget},
};

/// What all clients of a load share.
#[derive(Debug)]
pub struct Site {
    /// How operations become HTTP.
    pub target: ReferenceTarget,
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
    /// A pool of connections: one for all clients, because a pool of its own costs each client
    /// 138 KB (measured), or one for each.
    ///
    /// Every request that is sent is recorded: reqwest's retries are off, and what is left is
    /// hyper's choice of another connection before a byte of the request was written.
    ///
    /// # Errors
    /// The TLS roots of the machine cannot be read.
    pub fn connect(&self) -> reqwest::Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .timeout(self.retry_policy.timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_max_idle_per_host(match self.sockets {
                Sockets::Shared => usize::MAX,
                Sockets::Own => 1,
            });
        // Reading the machine's TLS roots takes 3 ms; ten thousand clients that never use TLS need
        // not do it.
        let plain = self.base_urls.iter().all(|base_url| base_url.starts_with("http://"));
        builder.tls_danger_accept_invalid_certs(plain).build()
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    site: Arc<Site>,
    http: reqwest::Client,
    recorder: Recorder,
    base_url: String,
    number: u64,
    /// After `unknown` the old process may stay in flight for ever, so a new number continues.
    process: u64,
    /// Distance between the process numbers of one client.
    clients: u64,
    reserves: u64,
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

impl Client {
    /// Client `number` of `clients`, on the connections of `http`.
    pub fn new(
        site: Arc<Site>,
        http: reqwest::Client,
        recorder: Recorder,
        number: u64,
        clients: u64,
    ) -> Self {
        let replicas = site.base_urls.len() as u64;
        let replica = usize::try_from(number % replicas).expect("an index of a vector");
        let base_url = site.base_urls[replica].clone();
        Self { site, http, recorder, base_url, number, process: number, clients, reserves: 0 }
    }

    /// Sleeps until an instant of the history's clock; returns at once when it has passed.
    pub async fn sleep_until(&self, instant_ns: u64) {
        self.site.clock.sleep_until(instant_ns).await;
    }

    /// Reserves seats.
    pub async fn reserve(&mut self, slot: usize, seats: u32, scheduled_ns: u64) -> Response {
        let key = self.next_key();
        let exchange = self.site.target.reserve(&self.site.slots[slot], seats, &key);
        let answer = self.make(exchange).await;
        let action = Action::Reserve { seats, key: key.into() };
        self.record(self.process, slot, action, scheduled_ns, answer).await
    }

    /// Reserves seats twice at once with one key, as an impatient double click does. The response
    /// is that of the first call, or of the second if the first has no seats.
    pub async fn reserve_twice(&mut self, slot: usize, seats: u32, scheduled_ns: u64) -> Response {
        let key = self.next_key();
        let exchange = self.site.target.reserve(&self.site.slots[slot], seats, &key);
        // On the heap: ten thousand clients need not make room for what few of them do.
        let both = async { tokio::join!(self.make(exchange.clone()), self.make(exchange)) };
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
        format!("{}-{:x}-{:x}", self.site.run, self.number, self.reserves)
    }

    /// Confirms a booking.
    pub async fn confirm(&mut self, held: &mut Held, scheduled_ns: u64) -> Response {
        let answer = self.make(self.site.target.confirm(&held.booking)).await;
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
        if std::mem::take(&mut held.confirmed) {
            self.site.live_overbooking.cancelling(held.slot, held.seats);
        }
        let answer = self.make(self.site.target.cancel(&held.booking)).await;
        let action = Action::Cancel { booking: held.booking.as_str().into() };
        self.record(self.process, held.slot, action, scheduled_ns, answer).await
    }

    /// Reads the slot.
    pub async fn read(&mut self, slot: usize, scheduled_ns: u64) -> Response {
        let answer = self.make(self.site.target.read(&self.site.slots[slot])).await;
        self.record(self.process, slot, Action::Read, scheduled_ns, answer).await
    }

    async fn make(&self, exchange: Exchange) -> TimedAnswer {
        let Site { clock, retry_policy, .. } = &*self.site;
        let call = Call { http: &self.http, base_url: &self.base_url, clock, exchange };
        call.make(retry_policy).await
    }

    /// Records what a process was answered.
    async fn record(
        &mut self,
        process: u64,
        slot: usize,
        action: Action,
        scheduled_ns: u64,
        TimedAnswer { sent_ns, returned_ns, attempts, mut answer }: TimedAnswer,
    ) -> Response {
        let reserved = match action {
            Action::Reserve { seats, .. } => Some(seats),
            _ => None,
        };
        if answer.outcome == Outcome::SoldOut && reserved.is_none() {
            // The operation takes no seats: whatever the service means, it is no claim about them.
            let reason = ReasonCode::Problem(ProblemCode::SoldOut);
            (answer.outcome, answer.reason) = (Outcome::Rejected, Some(reason));
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
        let operation = Operation {
            client: self.number,
            process,
            slot: Arc::clone(&self.site.slots[slot]),
            action,
            terms: None,
            scheduled_ns,
            sent_ns,
            returned_ns,
            attempts,
            outcome,
            reason: answer.reason.map(|reason| reason.to_string().into()),
            seen: answer.seen,
        };
        self.recorder.record(operation).await;
        if outcome == Outcome::Unknown && process == self.process {
            self.process += self.clients;
        }
        Response { outcome, returned_ns, held }
    }
}
