//! The recording client: makes one call at a time, and writes down what it asked, when, and what it
//! was told.

use std::sync::Arc;

use slotproof_vocabulary::{Action, Operation, Outcome, Sockets};

use crate::{
    answer::Expected,
    board::Board,
    call::{Call, Heard, Patience},
    recorder::Recorder,
};

/// What all clients of a load share.
#[derive(Debug)]
pub struct Site {
    /// Base URLs of the replicas; clients are spread over them by their number.
    pub targets: Vec<String>,
    /// The slots that can be booked.
    pub slots: Vec<Arc<str>>,
    /// Told apart from every other load on the same service: the first part of every idempotency
    /// key.
    pub run: String,
    /// How long clients wait, and how often they send.
    pub patience: Patience,
    /// What is surely taken.
    pub board: Board,
    /// How clients connect.
    pub sockets: Sockets,
}

impl Site {
    /// A pool of connections: one for everybody, for a pool of its own costs each client 138 KB
    /// (measured), or one for each.
    ///
    /// Nothing is sent twice behind the recorder's back: reqwest's retries are off, and what is
    /// left is hyper's choice of another connection before a byte of the request was written.
    ///
    /// # Errors
    /// The TLS roots of the machine cannot be read.
    pub fn connect(&self) -> reqwest::Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .timeout(self.patience.timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_max_idle_per_host(match self.sockets {
                Sockets::Shared => usize::MAX,
                Sockets::Own => 1,
            });
        // Reading the machine's TLS roots takes 3 ms; ten thousand clients of their own that never
        // use TLS need not.
        let plain = self.targets.iter().all(|target| target.starts_with("http://"));
        builder.tls_danger_accept_invalid_certs(plain).build()
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    site: Arc<Site>,
    http: reqwest::Client,
    recorder: Recorder,
    target: String,
    number: u64,
    /// After `unknown` the old process may still be in flight for ever, so a new number continues.
    process: u64,
    /// Distance between the process numbers of one client.
    clients: u64,
    reserves: u64,
}

/// What a scenario may react to.
#[derive(Debug)]
pub struct Told {
    /// What the client knows.
    pub outcome: Outcome,
    /// When it knew.
    pub returned_ns: u64,
    /// The seats, when a reserve got some.
    pub held: Option<Held>,
}

/// Seats in hand.
#[derive(Debug)]
pub struct Held {
    /// The slot's place among the site's.
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
        let replicas = site.targets.len() as u64;
        let target =
            site.targets[usize::try_from(number % replicas).expect("an index of a vector")].clone();
        Self { site, http, recorder, target, number, process: number, clients, reserves: 0 }
    }

    /// Asks for seats.
    pub async fn reserve(&mut self, slot: usize, seats: u32, scheduled_ns: u64) -> Told {
        let key = self.next_key();
        let heard = self.reserving(slot, seats, &key).make(&self.site.patience).await;
        self.note(
            self.process,
            slot,
            Action::Reserve { seats, key: key.into() },
            scheduled_ns,
            heard,
        )
        .await
    }

    /// Asks for seats twice at once with one key, as an impatient click does. What the first of the
    /// two calls was told counts, or what the second one was if the first has no seats.
    pub async fn reserve_twice(&mut self, slot: usize, seats: u32, scheduled_ns: u64) -> Told {
        let key = self.next_key();
        let (first, second) =
            (self.reserving(slot, seats, &key), self.reserving(slot, seats, &key));
        let patience = self.site.patience;
        // On the heap: ten thousand clients need not make room for what few of them do.
        let (first, second) =
            Box::pin(async { tokio::join!(first.make(&patience), second.make(&patience)) }).await;
        // Two calls overlap, so they are of two processes.
        let (process, other) = (self.process, self.process + self.clients);
        self.process = other + self.clients;
        let action = Action::Reserve { seats, key: key.into() };
        let told = self.note(process, slot, action.clone(), scheduled_ns, first).await;
        let second = self.note(other, slot, action, scheduled_ns, second).await;
        let returned_ns = told.returned_ns.max(second.returned_ns);
        Told { returned_ns, ..if told.outcome == Outcome::Ok { told } else { second } }
    }

    fn next_key(&mut self) -> String {
        self.reserves += 1;
        format!("{}-{:x}-{:x}", self.site.run, self.number, self.reserves)
    }

    fn reserving(&self, slot: usize, seats: u32, key: &str) -> Call {
        let url = format!("{}/v1/slots/{}/bookings", self.target, self.site.slots[slot]);
        let question = self.http.get(format!("{url}?seats={seats}")).header("idempotency-key", key);
        let request = self.http.post(url).header("idempotency-key", key);
        Call {
            request: request.json(&serde_json::json!({"seats": seats})),
            question: Some(question),
            expected: Expected::Booking,
        }
    }

    /// Confirms a booking.
    pub async fn confirm(&mut self, held: &mut Held, scheduled_ns: u64) -> Told {
        let request =
            self.http.post(format!("{}/v1/bookings/{}/confirm", self.target, held.booking));
        let call = Call { request, question: None, expected: Expected::Booking };
        let action = Action::Confirm { booking: held.booking.as_str().into() };
        let heard = call.make(&self.site.patience).await;
        let told = self.note(self.process, held.slot, action, scheduled_ns, heard).await;
        if told.outcome == Outcome::Ok && !held.confirmed {
            held.confirmed = true;
            self.site.board.confirmed(held.slot, held.seats);
        }
        told
    }

    /// Cancels a booking.
    pub async fn cancel(&mut self, held: &mut Held, scheduled_ns: u64) -> Told {
        if std::mem::take(&mut held.confirmed) {
            self.site.board.cancelling(held.slot, held.seats);
        }
        let request = self.http.delete(format!("{}/v1/bookings/{}", self.target, held.booking));
        let call = Call { request, question: None, expected: Expected::Booking };
        let action = Action::Cancel { booking: held.booking.as_str().into() };
        let heard = call.make(&self.site.patience).await;
        self.note(self.process, held.slot, action, scheduled_ns, heard).await
    }

    /// Reads the slot.
    pub async fn read(&mut self, slot: usize, scheduled_ns: u64) -> Told {
        let request = self.http.get(format!("{}/v1/slots/{}", self.target, self.site.slots[slot]));
        let call = Call { request, question: None, expected: Expected::Slot };
        let heard = call.make(&self.site.patience).await;
        self.note(self.process, slot, Action::Read, scheduled_ns, heard).await
    }

    /// Writes down what a process was told.
    async fn note(
        &mut self,
        process: u64,
        slot: usize,
        action: Action,
        scheduled_ns: u64,
        Heard { sent_ns, returned_ns, attempts, mut answer }: Heard,
    ) -> Told {
        let reserved = match action {
            Action::Reserve { seats, .. } => Some(seats),
            Action::Confirm { .. }
            | Action::Cancel { .. }
            | Action::Read
            | Action::Resize { .. } => None,
        };
        if answer.outcome == Outcome::SoldOut && reserved.is_none() {
            // Nobody asked for seats: whatever the service means, it is no claim about them.
            (answer.outcome, answer.reason) = (Outcome::Rejected, Some("sold_out".to_owned()));
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
            // The booking that it was about stands in the action.
            answer.seen.booking = None;
        }
        let operation = Operation {
            client: self.number,
            process,
            slot: Arc::clone(&self.site.slots[slot]),
            action,
            scheduled_ns,
            sent_ns,
            returned_ns,
            attempts,
            outcome,
            reason: answer.reason.map(Into::into),
            seen: answer.seen,
        };
        self.recorder.record(operation).await;
        if outcome == Outcome::Unknown && process == self.process {
            self.process += self.clients;
        }
        Told { outcome, returned_ns, held }
    }
}
