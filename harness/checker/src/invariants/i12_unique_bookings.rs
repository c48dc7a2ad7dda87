//! I12: no booking id is given to two keys.

use slotproof_history::ActionRef;
use slotproof_vocabulary::{Finding, Invariant, Outcome, Witness};

use super::{Count, Evidence, counted, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::UniqueBookings);
    let operations = &evidence.case.history.operations;
    // The first reserve that was acknowledged with each booking, by the id of the booking's name.
    const NOBODY: u32 = u32::MAX;
    let mut owners = vec![NOBODY; operations.names().len()];
    for (index, operation) in evidence.case.history.indexed() {
        let (ActionRef::Reserve { key, .. }, Outcome::Ok, Some(booking)) =
            (operation.action, operation.outcome, operation.seen.booking)
        else {
            continue;
        };
        let first = &mut owners[booking.id() as usize];
        if *first == NOBODY {
            count.examine();
            *first = index as u32;
            continue;
        }
        let first = *first as usize;
        let ActionRef::Reserve { key: owner, .. } = operations.at(first).action else { continue };
        if owner != key {
            count.violation(|| Witness {
                operations: evidence.show([first, index]),
                ..witness(
                    &operation.slot,
                    format!("booking {booking} was given to two keys, {owner} and {key}"),
                )
            });
        }
    }
    Some(count.finding(
        |examined| format!("each of {examined} booking ids belongs to one key"),
        |violations, examined| {
            format!(
                "{} got the booking id of another key, in {examined} booking ids",
                counted(violations, "reserve")
            )
        },
    ))
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Verdict;

    use super::*;
    use crate::fixture::{case, only, reserve};

    #[test]
    fn a_booking_id_belongs_to_one_key() {
        let mut stolen = reserve("a", 1, 5, 15);
        stolen.action = reserve("b", 1, 0, 0).action;
        let verdict = |operations| only(&case(9, operations), Invariant::UniqueBookings).verdict;
        assert_eq!(
            verdict(vec![reserve("a", 1, 0, 10), reserve("b", 1, 0, 10), reserve("a", 1, 20, 30)]),
            Verdict::Upheld
        );
        assert_eq!(verdict(vec![reserve("a", 1, 0, 10), stolen]), Verdict::Violated);
    }
}
