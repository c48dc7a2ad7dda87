//! I8: `sold_out` was true at some instant of the call that was told so.
//!
//! A `sold_out` for k seats is certainly false if at every instant of its call at least k seats
//! must have been free: if the most that can have been taken never exceeded capacity - k. Sound: no
//! false alarms. An answer that itself says that enough seats are left contradicts itself. Not
//! complete where cancels overlap (`occupancy.rs` says why the bounds are what they are).

use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::{Finding, Invariant, Outcome, Witness};

use super::{Count, Evidence, counted, witness};
use crate::{availability::WindowExtremes, slot_evidence::SlotEvidence};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    finding(tally(evidence))
}

/// What was found in some slots.
pub(super) fn tally(evidence: &Evidence<'_>) -> Count {
    let mut count = Count::new(Invariant::HonestSoldOut);
    for slot in &evidence.slots {
        for refusal in refusals(evidence, slot) {
            count.examine();
            if refusal.wrong() {
                count.violation(|| show(evidence, slot, &refusal));
            }
        }
    }
    count
}

pub(super) fn finding(count: Count) -> Option<Finding> {
    // Without a refusal there is nothing to judge; I15 says whether there should have been one.
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| {
            format!(
                "each of {examined} sold_out answers can have been true at some instant of its call"
            )
        },
        |violations, examined| {
            format!(
                "{violations} of {examined} sold_out answers were given while enough seats were \
                 free"
            )
        },
    ))
}

/// A `sold_out`: what is judged of it, because a slot may have millions.
pub(crate) struct Refusal {
    index: usize,
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    /// What was refused.
    what: &'static str,
    /// The seats that the answer itself says are left.
    available: Option<i64>,
    /// Seats that were wanted, beyond those that the booking had.
    pub(crate) seats: i64,
    /// Seats that must have been free at every instant of the call.
    left: i64,
}

impl Refusal {
    pub(crate) fn wrong(&self) -> bool {
        self.free_at_every_instant() || self.contradicts_itself().is_some()
    }

    fn free_at_every_instant(&self) -> bool {
        self.left >= self.seats
    }

    /// The seats that the answer itself says are left, if they are enough.
    fn contradicts_itself(&self) -> Option<i64> {
        self.available.filter(|available| *available >= self.seats)
    }

    fn explanation(&self) -> String {
        let (wanted, left, what) = (counted(self.seats.max(0), "seat"), self.left, self.what);
        match self.contradicts_itself() {
            _ if self.free_at_every_instant() => format!(
                "a {what} of {wanted} was told sold_out; at every instant of its call at least \
                 {left} were free"
            ),
            Some(available) => format!(
                "a {what} of {wanted} was told sold_out; the same answer says {available} are \
                 available"
            ),
            None => format!("a {what} of {wanted} was told sold_out"),
        }
    }
}

/// The `sold_out` answers of a slot.
pub(crate) fn refusals(evidence: &Evidence<'_>, slot: &SlotEvidence<'_>) -> Vec<Refusal> {
    let seats_of = |index: usize, operation: &OperationRef<'_>| match operation.action {
        ActionRef::Reserve { seats, .. } => {
            let wanted = evidence.elsewhere.wanted.get(&index).copied();
            Some(wanted.map_or(i64::from(seats), i64::from))
        }
        ActionRef::Change { .. } | ActionRef::Confirm { .. } => {
            more_than_it_has(evidence, slot, index, operation)
        }
        _ => None,
    };
    let refused = slot.operations.iter().filter(|(index, operation)| {
        operation.outcome == Outcome::SoldOut && !evidence.elsewhere.excused.contains(index)
    });
    let mut free = None;
    let refusal = |(index, operation): (usize, OperationRef<'_>)| {
        let seats = seats_of(index, &operation)?;
        let free = free.get_or_insert_with(|| WindowExtremes::smallest(&slot.available.at_least));
        let OperationRef { sent_ns, returned_ns, seen, .. } = operation;
        let reserve = matches!(operation.action, ActionRef::Reserve { .. });
        Some(Refusal {
            index,
            sent_ns,
            returned_ns,
            what: if reserve { "reserve" } else { "change" },
            // The parts of a basket share one answer.
            available: seen.available.filter(|_| operation.basket().is_none()),
            seats,
            left: free.within(sent_ns, returned_ns).max(0),
        })
    };
    refused.filter_map(refusal).collect()
}

/// The seats that a booking was to get beyond those that it surely had during the call; `None` if
/// the refusal is not about this slot, or the seats are not known.
fn more_than_it_has(
    evidence: &Evidence<'_>,
    slot: &SlotEvidence<'_>,
    index: usize,
    operation: &OperationRef<'_>,
) -> Option<i64> {
    if operation.moves_to().is_some_and(|to| *to != *slot.name) {
        return None;
    }
    let booking = operation.names_booking()?;
    let held = slot.held_intervals.iter().find(|held| held.booking == booking);
    let wanted = match operation.action {
        ActionRef::Change { .. } => evidence.elsewhere.moved.get(&index)?.seats.into(),
        _ => held?.seats,
    };
    let mut has = 0;
    if let Some(held) = held {
        held.each_certain(|interval, seats| {
            if interval.from_ns <= operation.sent_ns && operation.returned_ns < interval.to_ns {
                has = has.max(seats);
            }
        });
    }
    Some(wanted - has)
}

fn show(evidence: &Evidence<'_>, slot: &SlotEvidence<'_>, refusal: &Refusal) -> Witness {
    Witness {
        instant_ns: Some(refusal.returned_ns),
        operations: evidence.show([refusal.index]),
        ..witness(slot.name, refusal.explanation())
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Verdict;

    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::fixture::{cancel, case, only, reserve, sold_out, unknown};

    fn verdict(capacity: i64, operations: Vec<Operation>) -> Verdict {
        only(&case(capacity, operations), Invariant::HonestSoldOut).verdict
    }

    #[test]
    fn sold_out_is_honest_if_the_seats_may_have_been_taken() {
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
    fn an_answer_that_contradicts_itself_is_explained_by_its_own_number() {
        let mut refused = sold_out(1, 20, 30);
        refused.seen.available = Some(1);
        let judged = |operations| only(&case(1, operations), Invariant::HonestSoldOut);
        let finding = judged(vec![reserve("a", 1, 0, 10), refused.clone()]);
        assert_eq!(finding.verdict, Verdict::Violated);
        // All seats were taken: that any was free at every instant would be wrong.
        let explanation = finding.witness.expect("it is shown").explanation;
        assert!(explanation.contains("the same answer says 1 are available"), "{explanation}");
        assert!(!explanation.contains("at every instant"), "{explanation}");
        let explanation = judged(vec![refused]).witness.expect("it is shown").explanation;
        assert!(explanation.contains("at every instant of its call at least 1"), "{explanation}");
    }

    #[test]
    fn a_reserve_of_more_seats_than_are_left_is_refused_honestly() {
        assert_eq!(verdict(3, vec![reserve("a", 2, 0, 10), sold_out(2, 20, 30)]), Verdict::Upheld);
        assert_eq!(
            verdict(4, vec![reserve("a", 2, 0, 10), sold_out(2, 20, 30)]),
            Verdict::Violated
        );
    }
}
