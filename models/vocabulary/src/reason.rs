//! Reason codes: why an operation was refused, or why its outcome is unknown.
//!
//! [`Operation::reason`](crate::Operation::reason) stores the text of a code, because another
//! system may write its own. The client that writes a code and the checker that reads it share this
//! enum.

use std::{convert::Infallible, fmt, str::FromStr};

use crate::reference_api::ProblemCode;

/// Why an operation was `rejected` or `throttled`, or why its outcome is `unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// No connection was made, so no byte of the request was sent: a definite no.
    NotConnected,
    /// No complete answer within the client's timeout.
    Timeout,
    /// The connection broke after the request was sent.
    ConnectionLost,
    /// The answer's body is longer than the client reads.
    BodyTooLong,
    /// The service accepted the request (202) and did not decide it within the client's timeout.
    Undecided,
    /// The replay ended before the operation was answered.
    NeverTold,
    /// A status that does not say whether the operation happened.
    Http(u16),
    /// An answer of this status whose body could not be parsed.
    Unreadable(u16),
    /// The service's own code.
    Problem(ProblemCode),
    /// A code that this version does not know.
    Other(Box<str>),
    /// An attempt was not answered, and a later one was refused for this reason: the first may
    /// still succeed. It never holds another `UnansweredThen`.
    UnansweredThen(Box<Self>),
}

const UNANSWERED_THEN: &str = "unanswered_then_";
/// The codes without a parameter, as they are written.
const PLAIN: [(&str, ReasonCode); 6] = [
    ("not_connected", ReasonCode::NotConnected),
    ("timeout", ReasonCode::Timeout),
    ("connection_lost", ReasonCode::ConnectionLost),
    ("body_too_long", ReasonCode::BodyTooLong),
    ("undecided", ReasonCode::Undecided),
    ("never_told", ReasonCode::NeverTold),
];

impl ReasonCode {
    /// The code in an answer of the service. It is never one of the client's own codes, even if it
    /// has the same text.
    pub fn of_service(code: &str) -> Self {
        code.parse().map_or_else(|_| Self::Other(code.into()), Self::Problem)
    }

    /// The reason of an operation that was refused for `self` after an attempt that was not
    /// answered.
    #[must_use]
    pub fn after_an_unanswered_attempt(self) -> Self {
        match self {
            Self::UnansweredThen(_) => self,
            other => Self::UnansweredThen(Box::new(other)),
        }
    }

    /// Whether a refusal for this reason says that the booking does not exist, or has ended.
    pub fn means_gone(&self) -> bool {
        match self {
            Self::Problem(code) => matches!(code, ProblemCode::NotFound | ProblemCode::HoldExpired),
            Self::Http(status) => matches!(status, 404 | 410),
            // `status_404` is what a target file's rule without a reason says.
            Self::Other(text) => {
                let text = text.to_ascii_lowercase();
                let words = ["gone", "expired", "cancelled", "status_404", "status_410"];
                words.contains(&text.as_str()) || text.ends_with("not_found")
            }
            _ => false,
        }
    }

    /// A text that does not begin with [`UNANSWERED_THEN`].
    fn of_one_attempt(text: &str) -> Self {
        if let Some((_, code)) = PLAIN.into_iter().find(|(plain, _)| *plain == text) {
            return code;
        }
        match text.split_once('_') {
            Some(("http", digits)) => status(digits).map(Self::Http),
            Some(("unreadable", digits)) => status(digits).map(Self::Unreadable),
            _ => None,
        }
        .unwrap_or_else(|| Self::of_service(text))
    }
}

/// Three digits, so that a code is written as it was read.
fn status(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|status| digits.len() == 3 && (100..=999).contains(status))
}

impl From<&str> for ReasonCode {
    fn from(text: &str) -> Self {
        match text.strip_prefix(UNANSWERED_THEN) {
            // One level: a longer chain is no code of ours, and must not cost a stack of them.
            Some(then) if !then.starts_with(UNANSWERED_THEN) => {
                Self::UnansweredThen(Box::new(Self::of_one_attempt(then)))
            }
            Some(_) => Self::Other(text.into()),
            None => Self::of_one_attempt(text),
        }
    }
}

impl FromStr for ReasonCode {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => write!(f, "http_{status}"),
            Self::Unreadable(status) => write!(f, "unreadable_{status}"),
            Self::Problem(code) => f.write_str(code.name()),
            Self::Other(text) => f.write_str(text),
            Self::UnansweredThen(then) => write!(f, "{UNANSWERED_THEN}{then}"),
            plain => {
                let text = PLAIN.iter().find(|(_, code)| code == plain).map(|(text, _)| *text);
                f.write_str(text.expect("every other code is in the table"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_it_is_written() {
        let mut codes: Vec<ReasonCode> = PLAIN.into_iter().map(|(_, code)| code).collect();
        codes.extend([ReasonCode::Http(500), ReasonCode::Unreadable(201)]);
        codes.extend(ProblemCode::ALL.into_iter().map(ReasonCode::Problem));
        codes.push(ReasonCode::Other("seat_taken".into()));
        let doubted = codes.clone().into_iter().map(ReasonCode::after_an_unanswered_attempt);
        codes.extend(doubted.collect::<Vec<_>>());
        for code in codes {
            assert_eq!(ReasonCode::from(code.to_string().as_str()), code, "{code}");
        }
    }

    #[test]
    fn any_text_is_written_as_it_was_read() {
        let chain = "unanswered_then_".repeat(100_000);
        for text in [
            "http_500",
            "http_0500",
            "http_+50",
            "http_",
            "unreadable_999",
            "unreadable_1000",
            "unanswered_then_sold_out",
            "unanswered_then_",
            "unanswered_then_unanswered_then_timeout",
            "Timeout",
            "",
            chain.as_str(),
        ] {
            assert_eq!(ReasonCode::from(text).to_string(), text);
        }
    }

    #[test]
    fn a_service_cannot_claim_that_there_was_no_connection() {
        assert_ne!(ReasonCode::of_service("not_connected"), ReasonCode::NotConnected);
    }
}
