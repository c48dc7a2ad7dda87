//! I8: `sold_out` was true at some instant of the call that was told so.
//!
//! A client that asked for k seats and was told `sold_out` was wronged for certain if at every
//! instant of its call at least k seats must have been free: if the most that can have been taken
//! never exceeded capacity - k. Sound: no false alarms. An answer that itself says that enough
//! seats were left is wrong by its own word. It is not complete where cancels overlap
//! (`occupancy.rs` says why the bounds are what they are).

use slotproof_vocabulary::{Action, Finding, Invariant, Operation, Outcome, Witness};

use super::{Count, Evidence, witness};
use crate::{availability::WindowExtremes, slot_evidence::SlotEvidence};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::HonestSoldOut);
    for slot in &evidence.slots {
        for refusal in refusals(slot) {
            count.examine();
            if refusal.wrong() {
                count.violation(|| show(evidence, refusal.index, refusal.operation, refusal.left));
            }
        }
    }
    // Where nobody was refused there is nothing to judge; whether the run was worth judging is
    // I15's business.
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| format!("none of {examined} sold_out answers is refuted by what clients were told"),
        |violations, examined| {
            format!("{violations} of {examined} sold_out answers were given while enough seats were free")
        },
    ))
}

/// A `sold_out`.
pub(crate) struct Refusal<'a> {
    index: usize,
    pub(crate) operation: &'a Operation,
    /// Seats that were wanted.
    pub(crate) seats: i64,
    /// Seats that must have been free at every instant of the call.
    left: i64,
}

impl Refusal<'_> {
    pub(crate) fn wrong(&self) -> bool {
        let contradicts_itself =
            self.operation.seen.available.is_some_and(|available| available >= self.seats);
        contradicts_itself || self.left >= self.seats
    }
}

/// Everybody in a slot who was told `sold_out`.
pub(crate) fn refusals<'a>(slot: &SlotEvidence<'a>) -> Vec<Refusal<'a>> {
    let refused =
        |(index, operation): (usize, &'a Operation)| match (&operation.action, operation.outcome) {
            (Action::Reserve { seats, .. }, Outcome::SoldOut) => {
                Some((index, operation, i64::from(*seats)))
            }
            _ => None,
        };
    let mut refused = slot.operations.iter().filter_map(refused).peekable();
    if refused.peek().is_none() {
        return Vec::new();
    }
    let free = WindowExtremes::smallest(&slot.available.at_least);
    let refusal = |(index, operation, seats): (usize, &'a Operation, i64)| {
        let left = free.within(operation.sent_ns, operation.returned_ns);
        Refusal { index, operation, seats, left }
    };
    refused.map(refusal).collect()
}

fn show(evidence: &Evidence<'_>, index: usize, operation: &Operation, free: i64) -> Witness {
    Witness {
        instant_ns: Some(operation.returned_ns),
        operations: evidence.case.history.show([index]),
        ..witness(
            &operation.slot,
            format!("at every instant of this call at least {free} seats must have been free"),
        )
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Verdict;

    use super::*;
    use crate::{
        fixture::{cancel, case, reserve, sold_out, unknown},
        invariants::only,
    };

    fn verdict(capacity: i64, operations: Vec<Operation>) -> Verdict {
        only(&case(capacity, operations), Invariant::HonestSoldOut).verdict
    }

    #[test]
    fn sold_out_is_honest_when_the_seats_may_have_been_taken() {
        assert_eq!(verdict(1, vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30)]), Verdict::Upheld);
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 25, 40), sold_out(1, 20, 30)]),
            Verdict::Upheld,
            "the reserve was in flight"
        );
        assert_eq!(
            verdict(1, vec![unknown(reserve("a", 1, 0, 10)), sold_out(1, 20, 30)]),
            Verdict::Upheld
        );
        let cancelled = cancel("a", 15, 25);
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), cancelled, sold_out(1, 20, 30)]),
            Verdict::Upheld,
            "not yet given back"
        );
    }

    #[test]
    fn sold_out_is_dishonest_when_seats_must_have_been_free() {
        assert_eq!(verdict(1, vec![sold_out(1, 20, 30)]), Verdict::Violated);
        assert_eq!(
            verdict(2, vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30)]),
            Verdict::Violated
        );
        let cancelled = cancel("a", 12, 15);
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), cancelled, sold_out(1, 20, 30)]),
            Verdict::Violated
        );
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 40, 50), sold_out(1, 20, 30)]),
            Verdict::Violated,
            "sent after the answer"
        );
    }

    #[test]
    fn sold_out_with_enough_seats_left_is_wrong_by_its_own_word() {
        let mut told = sold_out(1, 20, 30);
        told.seen.available = Some(1);
        assert_eq!(verdict(1, vec![reserve("a", 1, 0, 10), told]), Verdict::Violated);
    }

    #[test]
    fn a_wish_for_more_seats_than_are_left_is_refused_honestly() {
        assert_eq!(verdict(3, vec![reserve("a", 2, 0, 10), sold_out(2, 20, 30)]), Verdict::Upheld);
        assert_eq!(
            verdict(4, vec![reserve("a", 2, 0, 10), sold_out(2, 20, 30)]),
            Verdict::Violated
        );
    }
}
