//! I9: a read is possible at some instant of its call. So is every other answer that says how many
//! seats are left, unless it may be a receipt (`freshness.rs`), which is as old as the first
//! answer.
//!
//! A read of `available` seats is certainly impossible if capacity - available lies outside
//! [least, most] at every instant of the call. Neighbouring steps overlap or touch, so the union
//! over the call is one interval, and its ends decide. Sound.

use slotproof_history::OperationRef;
use slotproof_vocabulary::{Finding, Invariant, Witness};

use super::{Count, Evidence, witness};
use crate::{
    availability::WindowExtremes, held_interval::taken_between, slot_evidence::SlotEvidence,
    step_function::StepFunction,
};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    finding(tally(evidence))
}

/// What was found in some slots.
pub(super) fn tally(evidence: &Evidence<'_>) -> Count {
    let mut count = Count::new(Invariant::PossibleReads);
    for slot in &evidence.slots {
        let availability = |(index, operation): (usize, OperationRef<'_>)| {
            Some((index, operation.sent_ns, operation.returned_ns, operation.seen.available?))
        };
        // The numbers in the answer to a move are those of the slot that it moves to.
        let elsewhere =
            |operation: &OperationRef<'_>| operation.moves_to().is_some_and(|to| *to != *slot.name);
        let answers = slot
            .operations
            .iter()
            .filter(|(_, operation)| slot.freshness.is_fresh(operation) && !elsewhere(operation))
            .filter_map(availability);
        let mut answers = answers.peekable();
        if answers.peek().is_none() {
            continue;
        }
        let at_most = at_most_between(slot);
        let (fewest, most) =
            (WindowExtremes::smallest(&slot.available.at_least), WindowExtremes::largest(&at_most));
        for (index, sent_ns, returned_ns, available) in answers {
            count.examine();
            let (fewest, most) =
                (fewest.within(sent_ns, returned_ns), most.within(sent_ns, returned_ns));
            // Where more are taken than there are, none is free.
            let none_is_free = available == 0 && fewest < 0;
            if !(fewest..=most).contains(&available) && !none_is_free {
                count.violation(|| Witness {
                    operations: evidence.show([index]),
                    ..witness(
                        slot.name,
                        format!(
                            "the answer says {available} seats are available; during its call \
                             {} to {most} were",
                            fewest.max(0).min(most)
                        ),
                    )
                });
            }
        }
    }
    count
}

pub(super) fn finding(count: Count) -> Option<Finding> {
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| format!("all {examined} availability answers match some instant of their call"),
        |violations, examined| {
            format!(
                "{violations} of {examined} availability answers match no instant of their call"
            )
        },
    ))
}

/// The most that was free, where what returns and what is sent at one instant may have happened in
/// either order: a booking counts only from the instant after its return. (For I1 that would be too
/// little: there the two are counted together.)
fn at_most_between(slot: &SlotEvidence<'_>) -> StepFunction {
    slot.capacity.most.minus(&StepFunction::of(taken_between(&slot.held_intervals).into_iter()))
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::fixture::{cancel, case, only, read, reserve, unknown};

    fn verdict(capacity: i64, operations: Vec<Operation>) -> Verdict {
        only(&case(capacity, operations), Invariant::PossibleReads).verdict
    }

    #[test]
    fn a_read_may_see_any_state_of_its_call() {
        let held = || reserve("a", 1, 0, 10);
        assert_eq!(verdict(3, vec![read(3, 0, 5)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), read(2, 20, 30)]), Verdict::Upheld);
        assert_eq!(
            verdict(3, vec![held(), read(3, 5, 8)]),
            Verdict::Upheld,
            "the reserve was in flight"
        );
        assert_eq!(verdict(3, vec![held(), cancel("a", 20, 40), read(3, 25, 30)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), cancel("a", 20, 40), read(2, 25, 30)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), read(3, 10, 30)]), Verdict::Upheld, "at one instant");
        assert_eq!(
            verdict(3, vec![reserve("z", 1, 0, 5), held(), read(2, 10, 30)]),
            Verdict::Upheld,
            "at one instant"
        );
        let changed_hands =
            vec![held(), cancel("a", 30, 40), reserve("b", 1, 20, 30), read(3, 25, 35)];
        assert_eq!(verdict(3, changed_hands), Verdict::Upheld, "between the two, at one instant");
        assert_eq!(verdict(3, vec![unknown(held()), read(2, 90, 99)]), Verdict::Upheld);
    }

    #[test]
    fn a_read_of_the_past_or_of_nothing_that_was_is_impossible() {
        let held = || reserve("a", 1, 0, 10);
        assert_eq!(verdict(3, vec![held(), read(3, 20, 30)]), Verdict::Violated, "stale");
        assert_eq!(verdict(3, vec![held(), read(1, 20, 30)]), Verdict::Violated, "too few");
        assert_eq!(
            verdict(3, vec![held(), cancel("a", 20, 40), read(2, 50, 60)]),
            Verdict::Violated,
            "after the cancel"
        );
        assert_eq!(verdict(3, vec![read(2, 0, 5)]), Verdict::Violated);
    }
}
