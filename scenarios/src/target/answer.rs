//! What a client knows after an operation. When in doubt, `unknown`.

use slotproof_vocabulary::{Outcome, ReasonCode, Seen};

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

impl Answer {
    /// No connection was made: a definite no.
    pub(crate) fn not_connected() -> Self {
        Self::because(Outcome::Rejected, ReasonCode::NotConnected)
    }

    /// The operation may have happened or not, for this reason.
    pub fn unknown(reason: ReasonCode) -> Self {
        Self::because(Outcome::Unknown, reason)
    }

    pub(crate) fn because(outcome: Outcome, reason: ReasonCode) -> Self {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_after_an_unanswered_attempt_is_unknown_and_an_acknowledgement_is_not() {
        let of = |outcome| Answer { outcome, reason: None, seen: Seen::default() };
        assert_eq!(of(Outcome::Ok).doubted(true), of(Outcome::Ok));
        let seen = Seen { version: Some(7), ..Seen::default() };
        let sold_out = Answer { seen, ..of(Outcome::SoldOut) };
        assert_eq!(sold_out.clone().doubted(false), sold_out);
        let doubted = sold_out.doubted(true);
        assert_eq!(
            (doubted.outcome, doubted.reason.map(|reason| reason.to_string())),
            (Outcome::Unknown, Some("unanswered_then_sold_out".to_owned()))
        );
        assert_eq!(doubted.seen, Seen::default(), "what it said was not about this operation");
    }
}
