//! The interpreter: makes an operation of a target file, step by step, and says what each answer
//! meant.

use serde_json::{Map, Value};
use slotproof_vocabulary::{Outcome, ReasonCode};
use tokio::time::Instant;

use super::{
    capture::Received,
    compile::{FileTarget, OperationPlan},
    exchange::{Exchanged, To},
    format::{Repeatable, Replays},
    making::Making,
    scope::{self, Kept, Scope},
    values::{Named, Values},
};
use crate::{call::RetryPolicy, connections::Connections, target::answer::Answer};

/// How often an operation begins again at most: what is not decided then is unknown.
const AGAIN_MAX: usize = 5;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Takes seats.
    Reserve,
    /// Confirms a booking.
    Confirm,
    /// Gives the seats of a booking back.
    Cancel,
    /// Reads a slot.
    Read,
    /// Reads a booking.
    Booking,
}

impl OperationKind {
    /// Every operation.
    pub const ALL: [Self; 5] =
        [Self::Reserve, Self::Confirm, Self::Cancel, Self::Read, Self::Booking];

    /// As the file says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Read => "read",
            Self::Booking => "booking",
        }
    }
}

/// An operation that may begin: its client and its visit are set up.
#[derive(Debug)]
pub struct Ready {
    client: minijinja::Value,
    visit: minijinja::Value,
    /// What the reserve of its booking captured.
    captured: Map<String, Value>,
}

/// An operation that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// What the client knows.
    pub answer: Answer,
    /// How often the step that was sent most often was sent.
    pub attempts: u32,
    /// Every request, in order, if they were asked for.
    pub exchanges: Vec<Exchanged>,
    /// What an operation that failed on its way may have taken, and has to give back.
    pub release: Option<Release>,
}

/// The request that gives back what the steps before a failed one have taken.
#[derive(Debug, Clone)]
pub struct Release {
    pub(super) base_url: String,
    pub(super) names: Vec<(String, minijinja::Value)>,
    /// Whether seats were surely set aside.
    pub seats_taken: bool,
}

impl FileTarget {
    /// Whether the file says how an operation is made.
    pub fn has(&self, operation: OperationKind) -> bool {
        !self.plan(operation).steps.is_empty()
    }

    /// Whether the API knows a key that is sent again.
    pub fn keeps_keys(&self) -> bool {
        self.idempotency.is_some() && self.claims.replays != Some(Replays::None)
    }

    /// Whether an operation that was not answered may be sent again: the API knows it, or it changes
    /// nothing, or the file says that it has one effect.
    pub fn may_be_resent(&self, operation: OperationKind) -> bool {
        let repeatable =
            |it| self.idempotency.as_ref().is_some_and(|of| of.repeatable.contains(&it));
        match operation {
            OperationKind::Reserve => self.keeps_keys(),
            OperationKind::Confirm => repeatable(Repeatable::Confirm),
            OperationKind::Cancel => repeatable(Repeatable::Cancel),
            OperationKind::Read | OperationKind::Booking => true,
        }
    }

    /// Whether a step on the way to a booking sets seats aside.
    pub fn takes_seats_early(&self) -> bool {
        self.reserve.steps.iter().any(|step| step.takes_seats)
    }

    /// Whether an operation says which version of its slot its client has seen.
    pub fn asks_for_versions(&self) -> bool {
        self.asks_for_versions
    }

    /// Whether a reserve says how many seats it wants. Without, each takes one.
    pub fn takes_seats(&self) -> bool {
        self.asks_for_seats
    }

    pub(super) fn plan(&self, operation: OperationKind) -> &OperationPlan {
        match operation {
            OperationKind::Reserve => &self.reserve,
            OperationKind::Confirm => &self.confirm,
            OperationKind::Cancel => &self.cancel,
            OperationKind::Read => &self.read,
            OperationKind::Booking => &self.booking,
        }
    }

    /// Sets the client and the visit up, which is no part of the operation.
    ///
    /// # Errors
    /// What the client knows of an operation that could not begin: it changed nothing.
    pub async fn begin(
        &self,
        http: &Connections,
        operation: OperationKind,
        scope: Scope<'_>,
    ) -> Result<Ready, Answer> {
        let refused = |error: super::setup::TargetError| {
            Answer::because(Outcome::Throttled, ReasonCode::of_service(&error.to_string()))
        };
        let reserves = operation == OperationKind::Reserve;
        if reserves && !self.limits.take_booking() {
            let reason = ReasonCode::of_service("bookings_max_reached");
            return Err(Answer::because(Outcome::Throttled, reason));
        }
        let set_up = async {
            let client = self.client_names(http, scope).await?;
            let kept = scope.booking.and_then(|booking| scope.session.kept(booking));
            let (visit, captured) = match kept {
                Some(Kept { visit, captured }) => (visit, captured),
                None if reserves => (self.visit_names(http, scope, &client).await?, Map::new()),
                None => (scope::nothing(), Map::new()),
            };
            Ok(Ready { client, visit, captured })
        };
        let ready = set_up.await.map_err(refused);
        // The first request waits for its turn before the operation begins: that is our limit, and
        // no latency of the API.
        self.limits.turn().await;
        if ready.is_err() && reserves {
            self.limits.give_back_booking();
        }
        ready
    }

    /// Makes an operation: its steps in order, until a rule says what it came to. `shown`: with
    /// its requests and answers.
    pub async fn make(
        &self,
        http: &Connections,
        operation: OperationKind,
        scope: Scope<'_>,
        Ready { client, visit, captured }: Ready,
        policy: &RetryPolicy,
        shown: bool,
    ) -> Made {
        let deadline = Instant::now() + policy.timeout;
        let attempts_max = if self.may_be_resent(operation) { policy.attempts } else { 1 };
        let kept = captured.clone();
        let mut making = Making {
            target: self,
            http,
            scope,
            client,
            visit,
            deadline,
            attempts_max,
            resend: policy.resend,
            shown,
            values: captured,
            attempts: 1,
            doubtful: false,
            steps_done: 0,
            seats_taken: false,
            sent_any: false,
            exchanges: Vec::new(),
        };
        let mut answer = None;
        for _ in 0..AGAIN_MAX {
            answer = making.steps(operation).await;
            if answer.is_some() {
                break;
            }
            making.values.clone_from(&kept);
            making.steps_done = 0;
        }
        let answer = answer.unwrap_or(Answer::unknown(ReasonCode::Undecided));
        // Seats that were set aside, and that nothing gives back: they may be free again or not.
        let kept = making.seats_taken && self.reserve.on_abort.is_none();
        let doubtful = making.doubtful || kept && answer.outcome != Outcome::SoldOut;
        let answer = answer.doubted(doubtful);
        let release = making.end(operation, &answer);
        Made { answer, attempts: making.attempts, exchanges: making.exchanges, release }
    }

    /// Gives back what a reserve has taken on its way. Answers with whether the API said so, and
    /// with the request, if it was asked for.
    pub async fn release(
        &self,
        http: &Connections,
        release: &Release,
        shown: bool,
    ) -> (bool, Option<Exchanged>) {
        let OperationPlan { on_abort, released_when, .. } = &self.reserve;
        let Some(abort) = on_abort else { return (false, None) };
        let Release { base_url, names, .. } = release;
        let names = Values::of(names);
        let to = To { http, base_url, patience: None };
        let Ok(sent) = self.send(to, abort, &names, None, shown).await else {
            return (false, None);
        };
        let says_so = |received: &Received| {
            let all = released_when.as_ref();
            all.is_some_and(|all| all.iter().all(|condition| condition.holds(received)))
        };
        let released = sent
            .received
            .is_ok_and(|received| (200..300).contains(&received.status) && says_so(&received));
        (released, shown.then_some(sent.exchanged))
    }

    /// What templates know: the given names, and the environment.
    pub(super) fn context<const N: usize>(
        &self,
        names: [(&'static str, minijinja::Value); N],
    ) -> Values<'static> {
        let environment = [("env", self.environment.clone())];
        let all = names.into_iter().chain(environment);
        Values::pairs(all.map(|(name, of)| (name, Named::Value(of))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::{
        super::{scope::Session, setup::SetUp},
        *,
    };

    /// A shop in the manner of several real ones: a cart and then an order, refusals as 400 with
    /// prose, ids in a header, success that is none, and an answer that no rule knows.
    async fn shop() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    loop {
                        let (mut first, mut length, mut key) = (String::new(), 0, String::new());
                        if stream.read_line(&mut first).await.unwrap_or(0) == 0 {
                            return;
                        }
                        loop {
                            let mut line = String::new();
                            stream.read_line(&mut line).await.expect("a header");
                            let line = line.trim().to_lowercase();
                            if line.is_empty() {
                                break;
                            }
                            if let Some(value) = line.strip_prefix("content-length: ") {
                                length = value.parse().expect("a number");
                            }
                            if let Some(value) = line.strip_prefix("x-key: ") {
                                value.clone_into(&mut key);
                            }
                        }
                        let mut body = vec![0; length];
                        stream.read_exact(&mut body).await.expect("the body");
                        let body = String::from_utf8(body).expect("text");
                        let path = first.split(' ').nth(1).unwrap_or_default();
                        let (status, headers, answer) = answer(path, &body, &key);
                        let head = format!("HTTP/1.1 {status} x\r\n{headers}");
                        let text =
                            format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
                        stream.get_mut().write_all(text.as_bytes()).await.expect("a client");
                    }
                });
            }
        });
        format!("http://{address}")
    }

    fn answer(path: &str, body: &str, key: &str) -> (u16, &'static str, String) {
        match path {
            "/items" => (200, "", format!(r#"{{"item":{{"id":7}},"echo":{body}}}"#)),
            "/cart/7" if body == r#"{"count":2,"note":"for 7"}"# => {
                (200, "", format!(r#"{{"cart":"c-{key}"}}"#))
            }
            "/cart/7" => (400, "", r#"{"errors":["Sorry, we are SOLD OUT of this"]}"#.to_owned()),
            "/order/c-k1" => (201, "Location: /orders/o-9/history/1\r\n", "{}".to_owned()),
            "/order/c-k2" => {
                (200, "", r#"{"success":false,"why":"conflict of s3cret"}"#.to_owned())
            }
            "/order/c-k3" => (418, "", "<html>teapot</html>".to_owned()),
            "/order/c-k4" => (201, "", "{}".to_owned()),
            "/stock/7" => (200, "", r#"{"state":"busy","lines":[1,2,3]}"#.to_owned()),
            _ => (404, "", String::new()),
        }
    }

    const SHOP: &str = r#"
[target]
name = "shop"
base = "BASE"
[auth]
kind = "header"
name = "X-Token"
value = { env = "TOKEN" }
[[setup]]
each = "slot"
request = { method = "POST", path = "/items", json = { seats = "{{ slot.capacity }}", token = "{{ env.TOKEN }}" } }
capture = { id = "$.item.id" }
[idempotency]
header = "X-Key"
[[reserve.step]]
takes_seats = false
request = { method = "POST", path = "/cart/{{ slot.id }}", json = { count = "{{ seats }}", note = "for {{ slot.id }}" } }
answers = [
  { status = 200, means = "next", capture = { cart = "$.cart" } },
  { status = 400, when = [["$.errors[*]", "matches", "(?i)sold out"]], means = "sold_out" },
]
[[reserve.step]]
request = { method = "POST", path = "/order/{{ cart }}" }
answers = [
  { status = 201, means = "ok", capture = { booking = "header:Location:/orders/([^/]+)" } },
  { status = 200, when = [["$.success", "==", false]], means = "rejected", reason = "$.why" },
]
[claims]
hold_ms = 0
[[read.step]]
request = { method = "GET", path = "/stock/{{ slot.id }}" }
answers = [
  { status = 200, means = "ok", capture = { available = { path = "$.state", map = { busy = 0 } }, confirmed = { count = "$.lines[*]" } } },
]
"#;

    #[tokio::test]
    async fn steps_captures_and_rules_are_carried_out_as_the_file_says() {
        let base = shop().await;
        let target = FileTarget::parse(&SHOP.replace("BASE", &base), Path::new(""), &[], |name| {
            (name == "TOKEN").then(|| "s3cret".to_owned())
        })
        .expect("a target");
        let http = Connections::default();
        let prepared = target.prepare(&http, "run", &[5], &SetUp::default()).await.expect("a slot");
        let (place, setup) = (prepared.places[0].names(), prepared.exchanges);
        assert!(setup[0].sent.contains(r#""seats":5"#), "a number stays one: {setup:?}");
        assert!(!format!("{setup:?}").contains("s3cret"), "secrets are starred out: {setup:?}");
        let make = async |operation, seats, key: &str| {
            let session = Session::default();
            let scope = Scope { seats, key, ..Scope::of(&base, &place, &session) };
            let ready = target.begin(&http, operation, scope).await.expect("it begins");
            let policy = RetryPolicy::once(Duration::from_secs(5));
            target.make(&http, operation, scope, ready, &policy, true).await
        };
        let ok = make(OperationKind::Reserve, 2, "k1").await;
        assert_eq!(ok.answer.outcome, Outcome::Ok);
        assert_eq!(ok.answer.seen.booking.as_deref(), Some("o-9"), "from the header");
        assert_eq!(ok.exchanges.len(), 2, "two steps, one operation");
        let sold_out = make(OperationKind::Reserve, 1, "k1").await;
        assert_eq!(sold_out.answer.outcome, Outcome::SoldOut, "in prose");
        let refused = make(OperationKind::Reserve, 2, "k2").await.answer;
        assert_eq!(refused.outcome, Outcome::Rejected, "success that is none");
        assert_eq!(refused.reason.map(|it| it.to_string()).as_deref(), Some("conflict of ***"));

        let teapot = make(OperationKind::Reserve, 2, "k3").await;
        assert_eq!(teapot.answer.outcome, Outcome::Unknown, "no rule matches");
        assert_eq!(teapot.exchanges.last().and_then(|it| it.matched), None);
        let nameless = make(OperationKind::Reserve, 2, "k4").await.answer;
        assert_eq!(nameless.outcome, Outcome::Unknown, "a booking without an id is none");

        let read = make(OperationKind::Read, 1, "").await.answer;
        assert_eq!((read.seen.available, read.seen.confirmed), (Some(0), Some(3)));
        assert!(!target.has(OperationKind::Cancel));
        assert!(target.takes_seats() && target.keeps_keys());
        let one = SHOP.replace("BASE", &base).replace("count = \"{{ seats }}\", ", "");
        let one = FileTarget::parse(&one, Path::new(""), &[], |_| Some("s3cret".to_owned()))
            .expect("a target");
        assert!(!one.takes_seats(), "each reserve takes one");
    }
}
