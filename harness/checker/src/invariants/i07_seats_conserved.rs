//! I7: seats are conserved: available + pending + confirmed = capacity, in every answer, in every
//! record of the audit log and at the end.
//!
//! A strategy can lose an update without promising a seat twice: then the counter and the bookings
//! disagree, and only this invariant shows it.

use slotproof_history::{ActionRef, SeenRef};
use slotproof_vocabulary::{Finding, Invariant, Outcome, SlotRow, Witness};

use super::{Count, Evidence, seats_between, witness};
use crate::{
    audit::{Entry, SlotLedger},
    slot_evidence::SlotEvidence,
};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::SeatsConserved);
    check_answers(evidence, &mut count);
    check_log(evidence, &mut count);
    check_rows(evidence, &mut count);
    finding(count)
}

/// What the answers of some slots say.
pub(super) fn tally(evidence: &Evidence<'_>) -> Count {
    let mut count = Count::new(Invariant::SeatsConserved);
    check_answers(evidence, &mut count);
    count
}

pub(super) fn finding(count: Count) -> Option<Finding> {
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| {
            format!(
                "seats add up to the capacity in all {examined} answers, records and final rows"
            )
        },
        |violations, examined| {
            format!(
                "seats do not add up to the capacity in {violations} of {examined} answers, \
                 records and final rows"
            )
        },
    ))
}

/// Every number in every answer must be one that the slot can have, and where all are there they
/// must add up.
fn check_answers(evidence: &Evidence<'_>, count: &mut Count) {
    let slots = evidence.slots.iter().map(|slot| (slot, beyond_the_capacity(slot)));
    for (slot, beyond, (index, operation)) in slots
        .flat_map(|(slot, beyond)| slot.operations.iter().map(move |told| (slot, beyond, told)))
    {
        let seen = &operation.seen;
        let parts = [seen.available, seen.pending, seen.confirmed];
        if operation.outcome == Outcome::Unknown || (parts == [None; 3] && seen.capacity.is_none())
        {
            continue;
        }
        // The numbers in the answer to a move are those of the slot that it moves to.
        if operation.moves_to().is_some_and(|to| *to != *slot.name) {
            continue;
        }
        count.examine();
        // A receipt is as old as the first call by its key.
        let receipt = matches!(operation.action, ActionRef::Reserve { .. })
            && operation.outcome == Outcome::Ok;
        let from_ns = if receipt { 0 } else { operation.sent_ns };
        let (fewest, most) = slot.capacity.within(from_ns, operation.returned_ns);
        let possible =
            parts.iter().flatten().all(|seats| (-beyond..=most + beyond).contains(seats))
                && seen.capacity.is_none_or(|said| (fewest..=most).contains(&said));
        let adds_up = match parts {
            [Some(available), Some(pending), Some(confirmed)] => {
                let taken = pending + confirmed;
                // Where more are taken than there are, the answer may say that none is free.
                let fits = |capacity: i64| {
                    available + taken == capacity
                        || (available == 0 && taken > capacity && taken <= capacity + beyond)
                };
                match seen.capacity {
                    Some(said) => fits(said),
                    None => (fewest..=most).contains(&(available + taken)) || fits(fewest),
                }
            }
            _ => true,
        };
        if !possible || !adds_up {
            count.violation(|| {
                let explanation = format!(
                    "the answer says {}; the slot has {} seats",
                    said(seen),
                    seats_between(&(fewest..=most))
                );
                Witness { operations: evidence.show([index]), ..witness(slot.name, explanation) }
            });
        }
    }
}

/// How many seats more than the slot has can be taken lawfully: sold so on purpose, or taken before
/// the capacity fell.
fn beyond_the_capacity(slot: &SlotEvidence<'_>) -> i64 {
    let sold = slot.operations.just().filter(|it| it.may_overbook()).map(|it| match it.action {
        ActionRef::Reserve { seats, .. } => i64::from(seats),
        _ => 0,
    });
    let (fewest, most) = slot.capacity.within(0, u64::MAX);
    sold.sum::<i64>() + most - fewest
}

/// The numbers of an answer as a text, as far as it has any.
fn said(seen: &SeenRef<'_>) -> String {
    let parts =
        [(seen.available, "available"), (seen.pending, "pending"), (seen.confirmed, "confirmed")];
    let parts = parts.iter().filter_map(|(seats, name)| Some(format!("{} {name}", (*seats)?)));
    let sum = parts.collect::<Vec<_>>().join(" + ");
    let capacity = seen.capacity.map(|capacity| format!("capacity {capacity}"));
    let said = [Some(sum).filter(|sum| !sum.is_empty()), capacity];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The counter in each record against the bookings that take seats after it.
fn check_log(evidence: &Evidence<'_>, count: &mut Count) {
    for slot in evidence.ledger.iter().flat_map(|ledger| ledger.slots()) {
        for entry in slot.entries() {
            count.examine();
            if !entry.adds_up {
                count.violation(|| does_not_add_up(slot, &entry));
            }
        }
    }
}

fn does_not_add_up(slot: &SlotLedger<'_>, entry: &Entry<'_>) -> Witness {
    let record = entry.record;
    let sum = format!(
        "version {} of the audit log: {} available + {} taken = {}",
        record.version,
        record.available,
        entry.taken,
        entry.claimed_capacity()
    );
    let explanation = if entry.capacity.contains(&entry.claimed_capacity()) {
        format!("{sum}, and no resize to that capacity explains it")
    } else {
        format!("{sum}; the slot has {} seats", seats_between(&entry.capacity))
    };
    Witness { records: vec![record.clone()], ..witness(slot.name(), explanation) }
}

fn check_rows(evidence: &Evidence<'_>, count: &mut Count) {
    let taken = evidence.rows_that_take_seats();
    for row in evidence.case.end.iter().flat_map(|end| &end.slots) {
        count.examine();
        let SlotRow { slot, capacity, available, .. } = row;
        let seats: i64 = taken[slot.as_str()].iter().map(|booking| booking.seats).sum();
        let beyond = evidence.slot(slot).map_or(0, beyond_the_capacity);
        let adds_up = (available + seats == *capacity && *available >= -beyond)
            || (*available == 0 && seats > *capacity && seats <= capacity + beyond);
        if adds_up && evidence.may_end_with(slot, *capacity) {
            continue;
        }
        count.violation(|| {
            let (least, most) = evidence.capacity_at_the_end(slot);
            witness(
                slot,
                format!(
                    "final rows: {available} available + {seats} taken, capacity {capacity}; the \
                     slot has {} seats",
                    seats_between(&(least..=most))
                ),
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, Operation, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, left, only, read, record, reserve, resize, row},
    };

    #[test]
    fn a_read_must_add_up() {
        let judged = |available, pending, confirmed| {
            let mut read = read(available, 0, 10);
            (read.seen.pending, read.seen.confirmed, read.seen.capacity) =
                (Some(pending), Some(confirmed), Some(9));
            only(&case(9, vec![read]), Invariant::SeatsConserved).verdict
        };
        assert_eq!(judged(4, 3, 2), Verdict::Upheld);
        assert_eq!(judged(5, 3, 2), Verdict::Violated);
        assert_eq!(judged(-1, 5, 5), Verdict::Violated, "it adds up, and is overbooked");
    }

    #[test]
    fn the_final_rows_must_add_up() {
        let judged = |available| {
            let rows =
                vec![row("a", BookingStatus::Confirmed, 2), row("b", BookingStatus::Expired, 3)];
            only(
                &Case { end: Some(end(9, available, rows)), ..case(9, vec![]) },
                Invariant::SeatsConserved,
            )
            .verdict
        };
        assert_eq!(judged(7), Verdict::Upheld);
        assert_eq!(judged(8), Verdict::Violated);
    }

    #[test]
    fn a_capacity_that_grew_is_not_believed() {
        let grown = Case { end: Some(end(10, 10, vec![])), ..case(9, vec![]) };
        assert_eq!(only(&grown, Invariant::SeatsConserved).verdict, Verdict::Violated);
    }

    /// The log of one booking that was made while a resize was in flight.
    fn logged(at_first: i64, resizes: Vec<Operation>, available: i64) -> Verdict {
        let log = vec![left(record(1, "a", None, BookingStatus::Pending, 1), available)];
        let operations = [vec![reserve("a", 1, 10, 40)], resizes].concat();
        only(&Case { audit: Some(log), ..case(at_first, operations) }, Invariant::SeatsConserved)
            .verdict
    }

    #[test]
    fn a_record_must_add_up_to_a_capacity_that_the_slot_can_have_had() {
        assert_eq!(logged(5, vec![], 4), Verdict::Upheld);
        assert_eq!(logged(5, vec![], 3), Verdict::Violated);
        for wanted in [3, 7] {
            let resizes = || vec![resize(wanted, 20, 30)];
            assert_eq!(logged(5, resizes(), 4), Verdict::Upheld, "before the resize");
            assert_eq!(logged(5, resizes(), i64::from(wanted) - 1), Verdict::Upheld, "after it");
            assert_eq!(logged(5, resizes(), 5), Verdict::Violated, "neither");
            let refused = vec![Operation { outcome: Outcome::Rejected, ..resize(wanted, 20, 30) }];
            assert_eq!(logged(5, refused, i64::from(wanted) - 1), Verdict::Violated);
        }
    }

    #[test]
    fn the_final_rows_must_have_a_capacity_that_a_resize_left() {
        let judged = |capacity, available| {
            let rows = vec![row("a", BookingStatus::Confirmed, 2)];
            let end = end(capacity, available, rows);
            let case = Case { end: Some(end), ..case(9, vec![resize(5, 20, 30)]) };
            only(&case, Invariant::SeatsConserved).verdict
        };
        assert_eq!(judged(5, 3), Verdict::Upheld);
        assert_eq!(judged(9, 7), Verdict::Violated, "the resize was acknowledged");
        assert_eq!(judged(5, 4), Verdict::Violated);
    }
}
