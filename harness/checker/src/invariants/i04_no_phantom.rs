//! I4: every row, and every change of it, traces to an operation that some client sent.
//!
//! A row's key must be the key of a reserve of as many seats in the same slot, which was
//! acknowledged with that booking or whose outcome is unknown. A client that was refused must not
//! have a booking. A hold that is confirmed was confirmed by a client, and one that is cancelled
//! was cancelled by one.

use std::collections::BTreeMap;

use foldhash::HashSet;
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::{
    AuditRecord, BookingRow, BookingStatus, Finding, Invariant, Outcome, Witness,
};

use super::{Count, Evidence, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    if evidence.case.end.is_none() && evidence.case.audit.is_none() {
        return None;
    }
    let mut count = Count::new(Invariant::NoPhantom);
    check_rows(evidence, &mut count);
    check_log(evidence, &mut count);
    // An empty table has no phantom, if the end state was read at all.
    if let (0, Some(end)) = (count.examined, &evidence.case.end) {
        count.examined = end.slots.len() as u64;
    }
    Some(count.finding(
        |examined| {
            format!(
                "each of {examined} final rows and changes traces to an operation that was sent"
            )
        },
        |violations, examined| {
            format!(
                "{violations} of {examined} final rows and changes trace to no operation that can \
                 have made them"
            )
        },
    ))
}

fn check_rows(evidence: &Evidence<'_>, count: &mut Count) {
    let Some(end) = &evidence.case.end else { return };
    let operations = &evidence.case.history.operations;
    let mut reserves: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, operation) in evidence.case.history.indexed() {
        if let ActionRef::Reserve { key, .. } = operation.action {
            reserves.entry(key.text()).or_default().push(index);
        }
    }
    let changed: HashSet<&str> =
        sent(evidence, |action| matches!(action, ActionRef::Change { .. }));
    let confirmed = sent(evidence, |action| matches!(action, ActionRef::Confirm { .. }));
    let holds: HashSet<&str> =
        evidence.bookings().filter(|held| held.is_hold).map(|held| held.booking.text()).collect();
    let told = operations.iter().flat_map(|it| [it.names_booking(), it.seen.booking]).flatten();
    let told: HashSet<&str> = told.map(Name::text).collect();
    let unanswered = operations.iter().filter(|it| {
        matches!(it.action, ActionRef::Reserve { .. }) && it.outcome == Outcome::Unknown
    });
    let unanswered: HashSet<&str> = unanswered.map(|it| it.slot.text()).collect();
    for row in &end.bookings {
        let Some(key) = row.key.as_deref() else {
            check_row_without_key(evidence, row, &told, &unanswered, count);
            continue;
        };
        count.examine();
        let sent = reserves.get(key).map(Vec::as_slice).unwrap_or_default();
        let made_by = || sent.iter().map(|index| operations.at(*index));
        let booking = row.booking.as_str();
        let never_confirmed = || {
            let phantom = row.status == BookingStatus::Confirmed
                && holds.contains(booking)
                && !confirmed.contains(booking);
            phantom.then(|| "its row is confirmed, and no client sent a confirm".to_owned())
        };
        let reason = phantom(row, key, changed.contains(booking), made_by).or_else(never_confirmed);
        let Some(reason) = reason else { continue };
        count.violation(|| Witness {
            operations: evidence.show(sent.iter().copied()),
            rows: vec![row.clone()],
            ..witness(&row.slot, format!("booking {}: {reason}", row.booking))
        });
    }
}

/// Without a key or a mark nothing says which reserve made a row. In a slot of the run's own whose
/// reserves were all answered, it is that of a booking that some client was told of.
fn check_row_without_key(
    evidence: &Evidence<'_>,
    row: &BookingRow,
    told: &HashSet<&str>,
    unanswered: &HashSet<&str>,
    count: &mut Count,
) {
    let own = evidence.foreign_rows().is_some_and(|foreign| foreign.own_slots);
    if !own || unanswered.contains(row.slot.as_str()) {
        return;
    }
    count.examine();
    if !told.contains(row.booking.as_str()) {
        count.violation(|| Witness {
            rows: vec![row.clone()],
            ..witness(
                &row.slot,
                format!(
                    "booking {}: no client was told of it, and every reserve of its slot was \
                     answered",
                    row.booking
                ),
            )
        });
    }
}

/// Records of changes that clients make.
fn check_log(evidence: &Evidence<'_>, count: &mut Count) {
    let Some(log) = &evidence.case.audit else { return };
    let confirmed = sent(evidence, |action| matches!(action, ActionRef::Confirm { .. }));
    let cancelled = sent(evidence, |action| matches!(action, ActionRef::Cancel { .. }));
    let needs = |record: &AuditRecord| match (record.from, record.to) {
        (Some(BookingStatus::Pending), BookingStatus::Confirmed) => Some((&confirmed, "confirm")),
        (Some(_), BookingStatus::Cancelled) => Some((&cancelled, "cancel")),
        _ => None,
    };
    for record in log {
        let Some((sent, what)) = needs(record) else { continue };
        count.examine();
        if !sent.contains(record.booking.as_str()) {
            count.violation(|| Witness {
                records: vec![record.clone()],
                ..witness(
                    &record.slot,
                    format!(
                        "booking {}: the audit log has a record of its {what}, and no client sent \
                         one",
                        record.booking
                    ),
                )
            });
        }
    }
}

/// The bookings that clients named in operations which happened or may have.
fn sent<'a>(evidence: &Evidence<'a>, wanted: impl Fn(ActionRef<'_>) -> bool) -> HashSet<&'a str> {
    let operations = evidence.case.history.operations.iter();
    let sent = operations.filter(|operation| {
        wanted(operation.action) && matches!(operation.outcome, Outcome::Ok | Outcome::Unknown)
    });
    sent.filter_map(|it| it.names_booking()).map(Name::text).collect()
}

fn phantom<'a, I: Iterator<Item = OperationRef<'a>>>(
    row: &BookingRow,
    key: &str,
    changed: bool,
    sent: impl Fn() -> I,
) -> Option<String> {
    if sent().next().is_none() {
        return Some(format!("no reserve with its key {key} was sent"));
    }
    let fits = |operation: OperationRef<'_>| match operation.action {
        ActionRef::Reserve { seats, .. } => {
            let ended = row.seats == 0 && !row.status.takes_seats();
            changed || *operation.slot == *row.slot && (ended || i64::from(seats) == row.seats)
        }
        _ => false,
    };
    let may_have_made_it = |operation: OperationRef<'_>| match operation.outcome {
        Outcome::Ok => operation.seen.booking.map(Name::text) == Some(row.booking.as_str()),
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

    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, foreign_end, only, reserve, row, sold_out, unknown},
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
    fn a_row_without_a_key_is_a_phantom_if_every_reserve_was_answered_with_another_booking() {
        let judged = |operations: Vec<Operation>, own_slots| {
            let mut phantom = row("p", BookingStatus::Confirmed, 1);
            phantom.key = None;
            let mut end = foreign_end(vec![row("a", BookingStatus::Pending, 1), phantom]);
            end.foreign.as_mut().expect("foreign rows").own_slots = own_slots;
            let case = Case { end: Some(end), ..case(9, operations) };
            only(&case, Invariant::NoPhantom).verdict
        };
        let told = || vec![reserve("a", 1, 0, 10)];
        assert_eq!(judged(told(), true), Verdict::Violated);
        assert_eq!(judged(told(), false), Verdict::Upheld, "others may book in that slot");
        let unanswered = [told(), vec![unknown(reserve("x", 1, 20, 30))]].concat();
        assert_eq!(judged(unanswered, true), Verdict::Upheld, "it may be that of the other one");
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
        twin.key = Some("key-a".to_owned());
        assert_eq!(
            verdict(vec![reserve("a", 1, 0, 10)], vec![row("a", BookingStatus::Pending, 1), twin]),
            Verdict::Violated
        );
    }
}
