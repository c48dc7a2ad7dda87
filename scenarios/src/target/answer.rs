//! What an answer means: from a status and a body to an outcome. When in doubt, `unknown`.

use serde::Deserialize;
use slotproof_vocabulary::{Outcome, ProblemCode, ReasonCode, Seen};

/// What the client knows after an operation, or after one attempt at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What happened, as far as the client can tell.
    pub outcome: Outcome,
    /// Why, for `rejected`, `throttled` and `unknown`.
    pub reason: Option<ReasonCode>,
    /// What the answer said.
    pub seen: Seen,
}

/// The kind of body of a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A booking.
    Booking,
    /// A slot.
    Slot,
}

/// What one HTTP answer means for the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The operation has ended.
    Decided(Answer),
    /// The service has accepted the operation, and will decide it later: poll.
    Undecided,
}

impl Expected {
    /// What the answer to the request of an operation means.
    pub fn reply(self, status: u16, body: &[u8]) -> Reply {
        if status == 202 {
            Reply::Undecided
        } else {
            Reply::Decided(Answer::of(status, body, self))
        }
    }

    /// What the answer to a poll means. The service promises 201, 409, 404 or 422 once the
    /// operation is decided. Every other answer is about the poll itself: too many requests, an
    /// expired token, a replica that is stopping. It says nothing about the operation.
    pub fn poll_reply(self, status: u16, body: &[u8]) -> Reply {
        let about_the_operation = matches!(status, 200..=299 | 404 | 409 | 422) && status != 202;
        if !about_the_operation {
            return Reply::Undecided;
        }
        match Answer::of(status, body, self) {
            // An unreadable body is asked for again.
            Answer { outcome: Outcome::Unknown, .. } => Reply::Undecided,
            answer => Reply::Decided(answer),
        }
    }
}

/// The parts of the service's bodies that a client reads. Ids are opaque here.
#[derive(Deserialize)]
struct Booking {
    id: String,
    slot_version: Option<i64>,
    available_seats: Option<i64>,
    hold_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Slot {
    capacity: i64,
    available_seats: i64,
    pending_seats: Option<i64>,
    confirmed_seats: Option<i64>,
    version: Option<i64>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    slot_version: Option<i64>,
    available_seats: Option<i64>,
}

impl Answer {
    /// An answer arrived whole, and is the last one.
    pub fn of(status: u16, body: &[u8], expected: Expected) -> Self {
        match status {
            200..=299 => Self::success(status, body, expected),
            400..=499 => Self::refusal(status, body),
            // The one 5xx that promises that nothing was written.
            503 if is_retry_later(body) => {
                Self::because(Outcome::Throttled, ReasonCode::Problem(ProblemCode::RetryLater))
            }
            // A server that fails may have failed after the commit.
            _ => Self::unknown(ReasonCode::Http(status)),
        }
    }

    /// No answer arrived.
    pub(crate) fn failed(error: &reqwest::Error) -> Self {
        if error.is_connect() {
            // A definite no.
            return Self::because(Outcome::Rejected, ReasonCode::NotConnected);
        }
        let timeout = error.is_timeout();
        Self::unknown(if timeout { ReasonCode::Timeout } else { ReasonCode::ConnectionLost })
    }

    /// The operation may have happened or not, for this reason.
    pub fn unknown(reason: ReasonCode) -> Self {
        Self::because(Outcome::Unknown, reason)
    }

    fn because(outcome: Outcome, reason: ReasonCode) -> Self {
        Self { outcome, reason: Some(reason), seen: Seen::default() }
    }

    /// Whether another attempt may help: there was no answer, no connection, or the service asked
    /// the client to slow down.
    pub(crate) fn may_be_resent(&self) -> bool {
        match self.outcome {
            Outcome::Unknown | Outcome::Throttled => true,
            Outcome::Rejected => self.reason == Some(ReasonCode::NotConnected),
            Outcome::Ok | Outcome::SoldOut => false,
        }
    }

    /// The answer to an operation of which an earlier attempt may have happened (`doubtful`).
    #[must_use]
    pub fn doubted(self, doubtful: bool) -> Self {
        if !doubtful || matches!(self.outcome, Outcome::Ok | Outcome::Unknown) {
            return self;
        }
        let reason = self.reason.unwrap_or_else(|| ReasonCode::of_service(self.outcome.name()));
        Self::unknown(reason.after_an_unanswered_attempt())
    }

    fn success(status: u16, body: &[u8], expected: Expected) -> Self {
        let seen = match expected {
            Expected::Booking => serde_json::from_slice::<Booking>(body).map(|booking| Seen {
                booking: Some(booking.id.into()),
                version: booking.slot_version,
                available: booking.available_seats,
                hold_ms: booking.hold_ms,
                ..Seen::default()
            }),
            Expected::Slot => serde_json::from_slice::<Slot>(body).map(|slot| Seen {
                version: slot.version,
                available: Some(slot.available_seats),
                pending: slot.pending_seats,
                confirmed: slot.confirmed_seats,
                capacity: Some(slot.capacity),
                ..Seen::default()
            }),
        };
        match seen {
            Ok(seen) => Self { outcome: Outcome::Ok, reason: None, seen },
            Err(_) => Self::unknown(ReasonCode::Unreadable(status)),
        }
    }

    fn refusal(status: u16, body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            return Self::unknown(ReasonCode::Unreadable(status));
        };
        let code = ReasonCode::of_service(&problem.code);
        let outcome = match (status, &code) {
            (_, ReasonCode::Problem(ProblemCode::SoldOut)) => Outcome::SoldOut,
            (429, _) => Outcome::Throttled,
            _ => Outcome::Rejected,
        };
        let seen = Seen {
            version: problem.slot_version,
            available: problem.available_seats,
            ..Seen::default()
        };
        Self { outcome, reason: (outcome != Outcome::SoldOut).then_some(code), seen }
    }
}

fn is_retry_later(body: &[u8]) -> bool {
    serde_json::from_slice::<Problem>(body)
        .is_ok_and(|problem| problem.code == ProblemCode::RetryLater.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str, expected: Expected) -> (Outcome, Option<String>) {
        let answer = Answer::of(status, body.as_bytes(), expected);
        (answer.outcome, answer.reason.map(|reason| reason.to_string()))
    }

    #[test]
    fn answers_are_classified_by_code_and_in_doubt_are_unknown() {
        let booking =
            r#"{"id":"b","slot_version":3,"available_seats":1,"hold_ms":5000,"more":true}"#;
        let slot = r#"{"capacity":9,"available_seats":4,"pending_seats":2,"confirmed_seats":3,"version":8}"#;
        let known = |outcome| (outcome, None);
        let because = |outcome, reason: &str| (outcome, Some(reason.to_owned()));

        assert_eq!(outcome(201, booking, Expected::Booking), known(Outcome::Ok));
        assert_eq!(outcome(200, slot, Expected::Slot), known(Outcome::Ok));
        assert_eq!(
            outcome(409, r#"{"code":"sold_out","slot_version":7}"#, Expected::Booking),
            known(Outcome::SoldOut)
        );
        assert_eq!(
            outcome(409, r#"{"code":"hold_expired"}"#, Expected::Booking),
            because(Outcome::Rejected, "hold_expired")
        );
        assert_eq!(
            outcome(429, r#"{"code":"slow_down"}"#, Expected::Booking),
            because(Outcome::Throttled, "slow_down")
        );

        assert_eq!(
            outcome(201, r#"{"id":"b""#, Expected::Booking),
            because(Outcome::Unknown, "unreadable_201"),
            "cut short"
        );
        assert_eq!(
            outcome(201, "", Expected::Booking),
            because(Outcome::Unknown, "unreadable_201")
        );
        assert_eq!(
            outcome(409, "<html>", Expected::Booking),
            because(Outcome::Unknown, "unreadable_409")
        );
        assert_eq!(
            outcome(500, r#"{"code":"internal"}"#, Expected::Booking),
            because(Outcome::Unknown, "http_500")
        );
        assert_eq!(
            outcome(503, r#"{"code":"sold_out"}"#, Expected::Booking),
            because(Outcome::Unknown, "http_503")
        );
        assert_eq!(outcome(302, "", Expected::Booking), because(Outcome::Unknown, "http_302"));
    }

    #[test]
    fn a_refusal_after_an_unanswered_attempt_is_unknown_and_an_acknowledgement_is_not() {
        let ok = Answer::of(201, br#"{"id":"b"}"#, Expected::Booking);
        assert_eq!(ok.clone().doubted(true), ok);
        let sold_out = Answer::of(409, br#"{"code":"sold_out"}"#, Expected::Booking);
        assert_eq!(sold_out.clone().doubted(false), sold_out);
        let doubted = sold_out.doubted(true);
        assert_eq!(
            (doubted.outcome, doubted.reason.map(|reason| reason.to_string())),
            (Outcome::Unknown, Some("unanswered_then_sold_out".to_owned()))
        );
        assert_eq!(doubted.seen, Seen::default(), "what it said was not about this operation");
    }

    #[test]
    fn what_the_answer_said_is_kept() {
        let answer = Answer::of(
            409,
            br#"{"code":"sold_out","slot_version":7,"available_seats":0}"#,
            Expected::Booking,
        );
        assert_eq!((answer.seen.version, answer.seen.available), (Some(7), Some(0)));
    }

    #[test]
    fn a_poll_is_decided_by_what_the_service_promises_and_by_nothing_else() {
        let polled =
            |status, body: &str| match Expected::Booking.poll_reply(status, body.as_bytes()) {
                Reply::Decided(answer) => Some(answer.outcome),
                Reply::Undecided => None,
            };
        let code = |code: &str| format!(r#"{{"code":"{code}"}}"#);
        assert_eq!(polled(201, r#"{"id":"b"}"#), Some(Outcome::Ok));
        assert_eq!(polled(409, &code("sold_out")), Some(Outcome::SoldOut));
        assert_eq!(polled(404, &code("not_found")), Some(Outcome::Rejected));
        assert_eq!(polled(422, &code("idempotency_mismatch")), Some(Outcome::Rejected));

        assert_eq!(polled(202, "{}"), None, "not decided yet");
        assert_eq!(polled(201, r#"{"id":"#), None, "cut short: it is asked for again");
        assert_eq!(polled(404, "<html>"), None, "of something between the client and the service");
        for status in [401, 429, 500, 503] {
            assert_eq!(polled(status, &code("retry_later")), None, "{status} is about the poll");
        }
    }
}
