//! What an answer means: from a status and a body to an outcome. When in doubt, `unknown`.

use serde::Deserialize;
use slotproof_vocabulary::{Outcome, Seen};

/// There was no connection, so no byte of the request was sent.
const NOT_CONNECTED: &str = "not_connected";
/// What was asked for does not exist: the service's own code.
const NOT_FOUND: &str = "not_found";

/// What the client knows after one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What happened, as far as the client can tell.
    pub outcome: Outcome,
    /// Why, for `rejected` and `unknown`.
    pub reason: Option<String>,
    /// What the answer said.
    pub seen: Seen,
}

/// What kind of body a success has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A booking.
    Booking,
    /// A slot.
    Slot,
}

/// The parts of the service's bodies that a client looks at. Ids are opaque here.
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
    /// An answer arrived whole.
    pub fn of(status: u16, body: &[u8], expected: Expected) -> Self {
        match status {
            200..=299 => Self::success(status, body, expected),
            400..=499 => Self::refusal(status, body),
            // The one 5xx that says for sure that nothing was written.
            503 if Self::is_retry_later(body) => Self {
                outcome: Outcome::Throttled,
                reason: Some("retry_later".to_owned()),
                seen: Seen::default(),
            },
            // A server that fails may have failed after the commit.
            _ => Self::unknown(format!("http_{status}")),
        }
    }

    fn is_retry_later(body: &[u8]) -> bool {
        serde_json::from_slice::<Problem>(body).is_ok_and(|problem| problem.code == "retry_later")
    }

    /// No answer arrived, or not all of one.
    pub(crate) fn failed(error: &reqwest::Error) -> Self {
        if error.is_connect() {
            // A definite no.
            return Self {
                outcome: Outcome::Rejected,
                reason: Some(NOT_CONNECTED.to_owned()),
                seen: Seen::default(),
            };
        }
        Self::unknown(if error.is_timeout() { "timeout" } else { "connection_lost" })
    }

    /// Nobody knows, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unknown, reason: Some(reason.into()), seen: Seen::default() }
    }

    /// Whether sending once more may help: nobody answered, nobody was there, or the service asked
    /// for patience.
    pub(crate) fn may_be_sent_again(&self) -> bool {
        match self.outcome {
            Outcome::Unknown | Outcome::Throttled => true,
            Outcome::Rejected => self.reason.as_deref() == Some(NOT_CONNECTED),
            Outcome::Ok | Outcome::SoldOut => false,
        }
    }

    /// Whether this answer to a poll says what became of the request that was accepted: 201, 409 or
    /// 404. A poll that fails otherwise says nothing of the request.
    pub(crate) fn decides_a_poll(&self) -> bool {
        match self.outcome {
            Outcome::Ok | Outcome::SoldOut => true,
            Outcome::Rejected => self.reason.as_deref() == Some(NOT_FOUND),
            Outcome::Throttled | Outcome::Unknown => false,
        }
    }

    /// The answer to an operation of which an earlier attempt may have happened.
    pub fn doubted(self, doubtful: bool) -> Self {
        if !doubtful || matches!(self.outcome, Outcome::Ok | Outcome::Unknown) {
            return self;
        }
        let said = self.reason.as_deref().unwrap_or(self.outcome.name());
        Self::unknown(format!("unanswered_then_{said}"))
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
            Err(_) => Self::unknown(format!("unreadable_{status}")),
        }
    }

    fn refusal(status: u16, body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            return Self::unknown(format!("unreadable_{status}"));
        };
        let outcome = match (status, problem.code.as_str()) {
            (_, "sold_out") => Outcome::SoldOut,
            (429, _) => Outcome::Throttled,
            _ => Outcome::Rejected,
        };
        let reason = (outcome != Outcome::SoldOut).then_some(problem.code);
        let seen = Seen {
            version: problem.slot_version,
            available: problem.available_seats,
            ..Seen::default()
        };
        Self { outcome, reason, seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str, expected: Expected) -> (Outcome, Option<String>) {
        let answer = Answer::of(status, body.as_bytes(), expected);
        (answer.outcome, answer.reason)
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
    fn a_refusal_after_an_attempt_that_nobody_answered_is_unknown_and_an_acknowledgement_is_not() {
        let ok = Answer::of(201, br#"{"id":"b"}"#, Expected::Booking);
        assert_eq!(ok.clone().doubted(true), ok);
        let sold_out = Answer::of(409, br#"{"code":"sold_out"}"#, Expected::Booking);
        assert_eq!(sold_out.clone().doubted(false), sold_out);
        let doubted = sold_out.doubted(true);
        assert_eq!(
            (doubted.outcome, doubted.reason.as_deref()),
            (Outcome::Unknown, Some("unanswered_then_sold_out"))
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
}
