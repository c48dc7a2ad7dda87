//! The recording client: makes one call at a time, and writes down what it asked, when, and what it was told.

use std::{sync::Arc, time::Duration};

use reqwest::RequestBuilder;
use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::{
    answer::{Answer, Expected},
    clock,
    recorder::Recorder,
};

/// What all clients of a load share.
pub struct Site {
    /// One pool of connections for everybody: a client of its own costs each user 3 ms and 138 KB (measured).
    pub http: reqwest::Client,
    /// Base URLs of the replicas; clients are spread over them by their number.
    pub targets: Vec<String>,
    /// Told apart from every other load on the same service: the first part of every idempotency key.
    pub run: String,
    /// How long a client waits before it calls the outcome unknown.
    pub timeout: Duration,
}

impl Site {
    /// # Errors
    /// The TLS roots of the machine cannot be read.
    pub fn new(targets: Vec<String>, run: String, timeout: Duration) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(usize::MAX)
            .build()?;
        Ok(Self { http, targets, run, timeout })
    }
}

/// One client.
pub struct Client {
    site: Arc<Site>,
    recorder: Recorder,
    target: String,
    number: u64,
    /// After `unknown` the old process may still be in flight for ever, so a new number continues.
    process: u64,
    /// Distance between the process numbers of one client.
    clients: u64,
    reserves: u64,
}

impl Client {
    /// Client `number` of `clients`.
    pub fn new(site: Arc<Site>, recorder: Recorder, number: u64, clients: u64) -> Self {
        let replicas = site.targets.len() as u64;
        let target = site.targets[usize::try_from(number % replicas).expect("an index of a vector")].clone();
        Self { site, recorder, target, number, process: number, clients, reserves: 0 }
    }

    /// Asks for seats.
    pub async fn reserve(&mut self, slot: &str, seats: u32, scheduled_ns: u64) -> Told {
        let key = self.next_key();
        let call = self.reserving(slot, seats, &key);
        self.call(slot, Action::Reserve { seats, key }, scheduled_ns, call).await
    }

    /// Asks for seats twice at once with one key, as an impatient click does. What the first of the two calls was told counts,
    /// or what the second one was if the first has no seats.
    pub async fn reserve_twice(&mut self, slot: &str, seats: u32, scheduled_ns: u64) -> Told {
        let key = self.next_key();
        let (first, second) = (self.reserving(slot, seats, &key), self.reserving(slot, seats, &key));
        let (first, second) = tokio::join!(first.make(), second.make());
        // Two calls overlap, so they are of two processes.
        let (process, other) = (self.process, self.process + self.clients);
        self.process = other + self.clients;
        let action = Action::Reserve { seats, key };
        let told = self.note(process, slot, action.clone(), scheduled_ns, first).await;
        let second = self.note(other, slot, action, scheduled_ns, second).await;
        let returned_ns = told.returned_ns.max(second.returned_ns);
        Told { returned_ns, ..if told.outcome == Outcome::Ok { told } else { second } }
    }

    fn next_key(&mut self) -> String {
        self.reserves += 1;
        format!("{}-{:x}-{:x}", self.site.run, self.number, self.reserves)
    }

    fn reserving(&self, slot: &str, seats: u32, key: &str) -> Call {
        let request = self
            .site
            .http
            .post(format!("{}/v1/slots/{slot}/bookings", self.target))
            .header("idempotency-key", key)
            .json(&serde_json::json!({"seats": seats}));
        let poll = Poll {
            request: self
                .site
                .http
                .get(format!("{}/v1/slots/{slot}/bookings?seats={seats}", self.target))
                .header("idempotency-key", key),
            patience: self.site.timeout,
        };
        Call { request, poll: Some(poll), expected: Expected::Booking }
    }

    /// Confirms a booking.
    pub async fn confirm(&mut self, slot: &str, booking: &str, scheduled_ns: u64) -> Told {
        let request = self.site.http.post(format!("{}/v1/bookings/{booking}/confirm", self.target));
        let action = Action::Confirm { booking: booking.to_owned() };
        self.call(slot, action, scheduled_ns, Call { request, poll: None, expected: Expected::Booking }).await
    }

    /// Cancels a booking.
    pub async fn cancel(&mut self, slot: &str, booking: &str, scheduled_ns: u64) -> Told {
        let request = self.site.http.delete(format!("{}/v1/bookings/{booking}", self.target));
        let action = Action::Cancel { booking: booking.to_owned() };
        self.call(slot, action, scheduled_ns, Call { request, poll: None, expected: Expected::Booking }).await
    }

    /// Reads the slot.
    pub async fn read(&mut self, slot: &str, scheduled_ns: u64) -> Told {
        let request = self.site.http.get(format!("{}/v1/slots/{slot}", self.target));
        self.call(slot, Action::Read, scheduled_ns, Call { request, poll: None, expected: Expected::Slot })
            .await
    }

    /// Hands what is still buffered to the recorder.
    pub async fn finish(mut self) {
        self.recorder.flush().await;
    }

    async fn call(&mut self, slot: &str, action: Action, scheduled_ns: u64, call: Call) -> Told {
        let heard = call.make().await;
        self.note(self.process, slot, action, scheduled_ns, heard).await
    }

    /// Writes down what a process was told.
    async fn note(
        &mut self,
        process: u64,
        slot: &str,
        action: Action,
        scheduled_ns: u64,
        Heard { sent_ns, returned_ns, mut answer }: Heard,
    ) -> Told {
        if answer.outcome == Outcome::SoldOut && !matches!(action, Action::Reserve { .. }) {
            // Nobody asked for seats: whatever the service means, it is no claim about them.
            (answer.outcome, answer.reason) = (Outcome::Rejected, Some("sold_out".to_owned()));
        }
        let told = Told {
            outcome: answer.outcome,
            returned_ns,
            booking: answer.seen.booking.clone(),
            available: answer.seen.available,
            hold_ms: answer.seen.hold_ms,
        };
        let mut seen = answer.seen;
        if !matches!(action, Action::Reserve { .. }) {
            // The booking that it was about stands in the action.
            seen.booking = None;
        }
        let operation = Operation {
            client: self.number,
            process,
            slot: slot.to_owned(),
            action,
            scheduled_ns,
            sent_ns,
            returned_ns,
            attempts: 1,
            outcome: answer.outcome,
            reason: answer.reason,
            seen,
        };
        self.recorder.record(operation).await;
        if told.outcome == Outcome::Unknown && process == self.process {
            self.process += self.clients;
        }
        told
    }
}

/// A request, and how to ask what became of it.
struct Call {
    request: RequestBuilder,
    poll: Option<Poll>,
    expected: Expected,
}

/// What came back, and when.
struct Heard {
    sent_ns: u64,
    returned_ns: u64,
    answer: Answer,
}

impl Call {
    async fn make(self) -> Heard {
        let sent_ns = clock::now_ns();
        let answer = match (attempt(self.request, self.expected).await, self.poll) {
            (Attempt::Answered(answer), _) => answer,
            (Attempt::Accepted, Some(poll)) => poll.until_decided(self.expected).await,
            (Attempt::Accepted, None) => Answer::unknown("http_202"),
        };
        Heard { sent_ns, returned_ns: clock::now_ns(), answer }
    }
}

/// What a scenario may react to.
#[derive(Debug, Clone)]
pub struct Told {
    /// What the client knows.
    pub outcome: Outcome,
    /// When it knew.
    pub returned_ns: u64,
    /// The booking, when one was made or changed.
    pub booking: Option<String>,
    /// Seats left, when the answer said so.
    pub available: Option<i64>,
    /// How long the seats are held, counted from the decision, when the answer said so.
    pub hold_ms: Option<u64>,
}

/// Pauses between two questions after a request that was accepted.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(640);

/// How to ask what became of a request that was accepted.
struct Poll {
    request: RequestBuilder,
    patience: Duration,
}

impl Poll {
    /// Asks until there is a decision. A question that fails decides nothing and is asked again; when patience ends, the outcome
    /// is unknown, because the request is still on its way.
    async fn until_decided(self, expected: Expected) -> Answer {
        let deadline = tokio::time::Instant::now() + self.patience;
        let mut pause = POLL_FIRST;
        while tokio::time::Instant::now() + pause < deadline {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
            let question = self.request.try_clone().expect("it has no body");
            if let Attempt::Answered(answer) = attempt(question, expected).await
                && matches!(answer.outcome, Outcome::Ok | Outcome::SoldOut)
            {
                return answer;
            }
        }
        Answer::unknown("undecided")
    }
}

enum Attempt {
    Answered(Answer),
    /// 202: it will be decided later.
    Accepted,
}

async fn attempt(request: RequestBuilder, expected: Expected) -> Attempt {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Attempt::Answered(Answer::failed(&error)),
    };
    let status = response.status().as_u16();
    Attempt::Answered(match response.bytes().await {
        Ok(_) if status == 202 => return Attempt::Accepted,
        Ok(body) => Answer::of(status, &body, expected),
        // The status had come and the rest did not: whatever it was about to say, it was not said.
        Err(error) if error.is_timeout() => Answer::unknown("timeout"),
        Err(_) => Answer::unknown("connection_lost"),
    })
}
