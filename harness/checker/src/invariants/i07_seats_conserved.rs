//! I7: seats are conserved: available + pending + confirmed = capacity, in every answer and at the
//! end.
//!
//! A strategy can lose an update without promising a seat twice: then the counter and the bookings
//! disagree, and only this invariant sees it.

use slotproof_vocabulary::{Action, Finding, Invariant, Outcome, Witness};

use std::collections::BTreeMap;

use super::{
    Count, Evidence,
    i02_no_overbooking_stored::{by_slot, rows_by_slot},
    witness,
};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::SeatsConserved);
    check_answers(evidence, &mut count);
    check_log(evidence, &mut count);
    check_rows(evidence, &mut count);
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
                "seats do not add up in {violations} of {examined} answers, records and final rows"
            )
        },
    ))
}

/// Every number in every answer must be one that the slot can have, and where all are there they
/// must add up.
fn check_answers(evidence: &Evidence<'_>, count: &mut Count) {
    for (slot, (index, operation)) in
        evidence.slots.iter().flat_map(|slot| slot.operations.iter().map(move |told| (slot, told)))
    {
        let seen = &operation.seen;
        let parts = [seen.available, seen.pending, seen.confirmed];
        if operation.outcome == Outcome::Unknown || (parts == [None; 3] && seen.capacity.is_none())
        {
            continue;
        }
        count.examine();
        // A receipt is as old as the first call by its key.
        let receipt =
            matches!(operation.action, Action::Reserve { .. }) && operation.outcome == Outcome::Ok;
        let from_ns = if receipt { 0 } else { operation.sent_ns };
        let (fewest, most) = slot.capacity.within(from_ns, operation.returned_ns);
        let possible = parts.iter().flatten().all(|seats| (0..=most).contains(seats))
            && seen.capacity.is_none_or(|said| (fewest..=most).contains(&said));
        let adds_up = match parts {
            [Some(available), Some(pending), Some(confirmed)] => {
                let sum = available + pending + confirmed;
                seen.capacity.map_or((fewest..=most).contains(&sum), |said| said == sum)
            }
            _ => true,
        };
        if !possible || !adds_up {
            let said = |seats: Option<i64>| seats.map_or("?".to_owned(), |seats| seats.to_string());
            let has = if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
            count.violation(|| Witness {
                operations: evidence.case.history.show([index]),
                ..witness(
                    slot.name,
                    format!(
                        "one answer saw {} available + {} pending + {} confirmed seats, and a capacity of {}; the slot has {has}",
                        said(seen.available),
                        said(seen.pending),
                        said(seen.confirmed),
                        said(seen.capacity)
                    ),
                )
            });
        }
    }
}

/// The counter in each record against the bookings that by then took seats.
fn check_log(evidence: &Evidence<'_>, count: &mut Count) {
    for (slot, records) in by_slot(evidence) {
        let capacity = evidence.case.capacity_of(slot);
        let mut live: BTreeMap<&str, i64> = BTreeMap::new();
        let mut taken = 0;
        for record in records {
            count.examine();
            taken -= live.remove(record.booking.as_str()).unwrap_or(0);
            if record.to.takes_seats() {
                live.insert(&record.booking, record.seats);
                taken += record.seats;
            }
            if record.available + taken != capacity {
                count.violation(|| Witness {
                    records: vec![record.clone()],
                    ..witness(
                        slot,
                        format!(
                            "at version {} the log says that {} seats are available, and its bookings take {taken} of {}",
                            record.version, record.available, capacity
                        ),
                    )
                });
            }
        }
    }
}

fn check_rows(evidence: &Evidence<'_>, count: &mut Count) {
    let taken = rows_by_slot(evidence);
    for row in evidence.case.end.iter().flat_map(|end| &end.slots) {
        count.examine();
        let seats: i64 = taken[row.slot.as_str()].iter().map(|booking| booking.seats).sum();
        let capacity = evidence.case.capacity_of(&row.slot);
        if row.available + seats != capacity || row.available < 0 || row.capacity != capacity {
            count.violation(|| {
                witness(
                    &row.slot,
                    format!(
                        "in the final rows {} seats are available, bookings take {seats}, and the capacity is {}; the slot \
                         has {capacity}",
                        row.available, row.capacity
                    ),
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, read, row},
        invariants::only,
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
}
