//! What an answer means: from the rule that it matches to an outcome and what it said.

use std::borrow::Cow;

use serde_json::{Map, Value};
use slotproof_vocabulary::{Outcome, ReasonCode, Seen};
use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

use super::{
    capture::{Received, integer},
    compile::FileTarget,
    format::Meaning,
    interpreter::OperationKind,
    rule::Rule,
};
use crate::target::answer::Answer;

/// What the `Date` header leaves out: it has whole seconds.
const DATE_HEADER_MS: i128 = 1_000;

impl FileTarget {
    /// What an answer means by the rule that it matches. `earlier` is what the steps before it have
    /// taken.
    pub(super) fn answer(
        &self,
        operation: OperationKind,
        rule: &Rule,
        received: &Received,
        earlier: &Map<String, Value>,
    ) -> Answer {
        let taken = |name: &str| {
            let mut captures = rule.captures.iter();
            captures.find(|(of, _)| of == name).and_then(|(_, capture)| capture.of(received))
        };
        let named = |name: &str| taken(name).or_else(|| earlier.get(name).map(Cow::Borrowed));
        let number = |name: &str| taken(name).and_then(|it| integer(&it));
        let reserves = operation == OperationKind::Reserve;
        let hold_ms = self.hold_ms(named, received);
        let seen = Seen {
            booking: named("booking").and_then(|it| text(&it)).map(Into::into),
            version: number("version"),
            available: number("available"),
            pending: number("pending"),
            confirmed: number("confirmed"),
            capacity: number("capacity"),
            hold_ms: hold_ms.flatten().filter(|_| reserves),
            status: taken("status")
                .filter(|_| operation == OperationKind::Booking)
                .and_then(|it| text(&it))
                .and_then(|it| self.status(&it)),
        };
        let reason = || {
            let reason = rule.reason.as_ref().and_then(|reason| reason.of(received));
            let text = match reason.as_deref() {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                // Not `http_...`: that is an answer without a rule.
                None => format!("status_{}", received.status),
            };
            Some(ReasonCode::of_service(&self.redacted(&text)))
        };
        let unreadable = || Answer::unknown(ReasonCode::Unreadable(received.status));
        let of = |outcome, reason| Answer { outcome, reason, seen: seen.clone() };
        match rule.means {
            // A hold whose end is not understood would look like one that lasts for ever.
            Meaning::Ok if reserves && hold_ms.is_none() => unreadable(),
            // A booking without an id cannot be confirmed, cancelled or looked for.
            Meaning::Ok if reserves && seen.booking.is_none() => unreadable(),
            // A word that the map leaves out says nothing of a number of seats; any other read
            // without a number is no read.
            Meaning::Ok if operation == OperationKind::Read && seen.available.is_none() => {
                match rule.maps("available") {
                    true => of(Outcome::Rejected, Some(ReasonCode::of_service("no_number"))),
                    false => unreadable(),
                }
            }
            // A word for a status that the file does not translate.
            Meaning::Ok if operation == OperationKind::Booking && seen.status.is_none() => {
                unreadable()
            }
            Meaning::Ok => of(Outcome::Ok, None),
            Meaning::SoldOut => of(Outcome::SoldOut, None),
            Meaning::Rejected => of(Outcome::Rejected, reason()),
            Meaning::Throttled => of(Outcome::Throttled, reason()),
            Meaning::Unknown | Meaning::Next | Meaning::Again | Meaning::Poll => {
                Answer { outcome: Outcome::Unknown, reason: reason(), seen: Seen::default() }
            }
        }
    }

    /// How long the seats are held, as the answer or the file says: `Some(None)` for ever, `None` if
    /// it is said and not understood.
    fn hold_ms<'v>(
        &self,
        named: impl Fn(&str) -> Option<Cow<'v, Value>>,
        received: &Received,
    ) -> Option<Option<u64>> {
        if let Some(said) = named("hold_ms") {
            return u64::try_from(integer(&said)?).ok().map(Some);
        }
        if let Some(until) = named("hold_until") {
            return held_for_ms(until.as_str()?, received).map(Some);
        }
        let declared = self.claims.hold_ms?;
        Some((declared > 0).then_some(declared))
    }
}

/// How long it is until an instant, by the API's own clock. Not longer than it is: a hold that is
/// counted too long would look like a seat that was sold twice. An API that does not say what time
/// it has might run out at once.
fn held_for_ms(until: &str, received: &Received) -> Option<u64> {
    let until = OffsetDateTime::parse(until, &Rfc3339).ok()?;
    let date = received.headers.get(reqwest::header::DATE).and_then(|it| it.to_str().ok());
    let date =
        date.and_then(|it| OffsetDateTime::parse(&it.replace("GMT", "+0000"), &Rfc2822).ok());
    let left = date.map_or(0, |date| (until - date).whole_milliseconds() - DATE_HEADER_MS);
    // 0 would be for ever.
    u64::try_from(left.max(1)).ok()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_not_counted_longer_than_it_is() {
        let received = |date: Option<&str>| {
            let mut headers = reqwest::header::HeaderMap::new();
            if let Some(date) = date {
                headers.insert(reqwest::header::DATE, date.parse().expect("a header"));
            }
            Received { status: 200, headers, bytes: Vec::new(), json: None }
        };
        let now = received(Some("Fri, 27 Nov 2026 10:00:00 GMT"));
        let held = |until| held_for_ms(until, &now);
        assert_eq!(held("2026-11-27T10:00:05.500Z"), Some(4_500), "the header has whole seconds");
        assert_eq!(held("2026-11-27T11:00:05+01:00"), Some(4_000));
        assert_eq!(held("2026-11-27T09:00:00Z"), Some(1), "0 would be for ever");
        assert_eq!(held_for_ms("2026-11-27T10:00:05Z", &received(None)), Some(1));
        for unreadable in ["1795773600", "2026-11-27 10:00:05", "soon"] {
            assert_eq!(held(unreadable), None, "{unreadable}");
        }
    }
}
