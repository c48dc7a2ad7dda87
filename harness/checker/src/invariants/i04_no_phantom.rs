//! I4: every row traces to an operation that some client sent.
//!
//! A row's key must be the key of a reserve of as many seats in the same slot, which was
//! acknowledged with that booking or whose outcome is unknown. A client that was refused must not
//! have a booking.

use std::collections::BTreeMap;

use slotproof_vocabulary::{Action, BookingRow, Finding, Invariant, Operation, Outcome, Witness};

use super::{Count, Evidence, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let end = evidence.case.end.as_ref()?;
    let mut reserves: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, operation) in evidence.case.history.indexed() {
        if let Action::Reserve { key, .. } = &operation.action {
            reserves.entry(key).or_default().push(index);
        }
    }
    let mut count = Count::new(Invariant::NoPhantom);
    for row in &end.bookings {
        count.examine();
        let sent = reserves.get(row.key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let operations = || sent.iter().map(|index| &evidence.case.history.operations[*index]);
        let Some(reason) = phantom(row, operations) else { continue };
        count.violation(|| Witness {
            operations: evidence.case.history.show(sent.iter().copied()),
            rows: vec![row.clone()],
            ..witness(&row.slot, format!("booking {}: {reason}", row.booking))
        });
    }
    // An empty table has no phantom, if the end state was read at all.
    if count.examined == 0 && !end.slots.is_empty() {
        count.examined = end.slots.len() as u64;
    }
    Some(count.finding(
        |examined| format!("each of {examined} final rows traces to a reserve that was sent"),
        |violations, examined| {
            format!(
                "{violations} of {examined} final rows trace to no reserve that can have made \
                 them"
            )
        },
    ))
}

fn phantom<'a, I: Iterator<Item = &'a Operation>>(
    row: &BookingRow,
    sent: impl Fn() -> I,
) -> Option<String> {
    if sent().next().is_none() {
        return Some(format!("no reserve with its key {} was sent", row.key));
    }
    let fits = |operation: &Operation| match operation.action {
        Action::Reserve { seats, .. } => {
            *operation.slot == *row.slot && i64::from(seats) == row.seats
        }
        Action::Confirm { .. } | Action::Cancel { .. } | Action::Read | Action::Resize { .. } => {
            false
        }
    };
    let may_have_made_it = |operation: &Operation| match operation.outcome {
        Outcome::Ok => operation.seen.booking.as_deref() == Some(row.booking.as_str()),
        Outcome::Unknown => true,
        Outcome::SoldOut | Outcome::Rejected | Outcome::Throttled => false,
    };
    if !sent().any(fits) {
        Some(
            "the reserve with its key asked for another slot, or for another number of seats"
                .to_owned(),
        )
    } else if !sent().any(|operation| fits(operation) && may_have_made_it(operation)) {
        Some(
            "the reserve with its key was refused, or acknowledged with another booking".to_owned(),
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, only, reserve, row, sold_out, unknown},
    };

    fn verdict(operations: Vec<Operation>, rows: Vec<BookingRow>) -> Verdict {
        only(&Case { end: Some(end(9, 9, rows)), ..case(9, operations) }, Invariant::NoPhantom)
            .verdict
    }

    #[test]
    fn a_row_may_come_from_an_acknowledged_or_an_unknown_reserve() {
        let rows = || vec![row("a", BookingStatus::Pending, 1)];
        assert_eq!(verdict(vec![reserve("a", 1, 0, 10)], rows()), Verdict::Upheld);
        assert_eq!(verdict(vec![unknown(reserve("a", 1, 0, 10))], rows()), Verdict::Upheld);
        assert_eq!(verdict(vec![], vec![]), Verdict::Upheld, "an empty table has no phantom");
    }

    #[test]
    fn a_row_that_no_client_asked_for_is_a_phantom() {
        let rows = || vec![row("a", BookingStatus::Pending, 1)];
        assert_eq!(verdict(vec![], rows()), Verdict::Violated);
        assert_eq!(
            verdict(vec![reserve("a", 2, 0, 10)], rows()),
            Verdict::Violated,
            "another number of seats"
        );
        let mut refused = sold_out(1, 0, 10);
        refused.action = reserve("a", 1, 0, 10).action;
        assert_eq!(verdict(vec![refused], rows()), Verdict::Violated, "a refusal with a booking");
        let mut elsewhere = reserve("a", 1, 0, 10);
        elsewhere.slot = "t".into();
        assert_eq!(verdict(vec![elsewhere], rows()), Verdict::Violated);
    }

    #[test]
    fn two_rows_cannot_both_come_from_one_acknowledgement() {
        let mut twin = row("b", BookingStatus::Pending, 1);
        twin.key = "key-a".to_owned();
        assert_eq!(
            verdict(vec![reserve("a", 1, 0, 10)], vec![row("a", BookingStatus::Pending, 1), twin]),
            Verdict::Violated
        );
    }
}
