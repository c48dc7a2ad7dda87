//! I3: no acknowledged booking is lost.
//!
//! What a client was told must still be true in the final rows, unless something that the client
//! knows of can have undone it: a booking is there; it is cancelled only if some cancel was sent;
//! it is confirmed if its confirm was acknowledged; and it no longer takes seats if its cancel was.

use std::collections::{BTreeMap, BTreeSet};

use slotproof_vocabulary::{BookingRow, BookingStatus, Finding, Invariant, Witness};

use super::{Count, Evidence, witness};
use crate::held_interval::HeldInterval;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let end = evidence.case.end.as_ref()?;
    let rows: BTreeMap<&str, &BookingRow> =
        end.bookings.iter().map(|row| (row.booking.as_str(), row)).collect();
    let logged: Option<BTreeSet<(&str, BookingStatus)>> = evidence
        .case
        .audit
        .as_ref()
        .map(|log| log.iter().map(|record| (record.booking.as_str(), record.to)).collect());
    let unlogged = |held: &HeldInterval<'_>| {
        let missing = |told: bool, status| {
            told && logged.as_ref().is_some_and(|logged| !logged.contains(&(held.booking, status)))
        };
        let never = if missing(held.confirmed.is_some(), BookingStatus::Confirmed) {
            "confirm"
        } else if missing(held.cancelled.is_some(), BookingStatus::Cancelled) {
            "cancel"
        } else {
            return None;
        };
        Some(format!("its {never} was acknowledged, and the log has none"))
    };
    let mut count = Count::new(Invariant::NoLostBooking);
    for held in evidence.held_intervals() {
        count.examine();
        let row = rows.get(held.booking).copied();
        let Some(loss) = loss(held, row).or_else(|| unlogged(held)) else { continue };
        count.violation(|| {
            let operations = [Some(held.reserve), held.confirmed, held.cancelled];
            Witness {
                operations: evidence.case.history.show(operations.into_iter().flatten()),
                rows: row.cloned().into_iter().collect(),
                ..witness(held.slot, format!("booking {}: {loss}", held.booking))
            }
        });
    }
    Some(count.finding(
        |examined| {
            format!("all {examined} acknowledged bookings are in the final rows as their clients were told")
        },
        |violations, examined| {
            format!("{violations} of {examined} acknowledged bookings are not as their clients were told")
        },
    ))
}

fn loss(held: &HeldInterval<'_>, row: Option<&BookingRow>) -> Option<String> {
    let Some(row) = row else {
        return Some("was acknowledged, and there is no such row".to_owned());
    };
    if row.seats != held.seats {
        return Some(format!(
            "was acknowledged with {} seats, and its row has {}",
            held.seats, row.seats
        ));
    }
    if row.slot != held.slot {
        return Some(format!(
            "was acknowledged in slot {}, and its row is in slot {}",
            held.slot, row.slot
        ));
    }
    if held.cancelled.is_some() {
        let undone = row.status != BookingStatus::Cancelled;
        return undone
            .then(|| format!("its cancel was acknowledged, and its row is {}", row.status.name()));
    }
    match row.status {
        BookingStatus::Confirmed => None,
        BookingStatus::Cancelled if held.maybe_cancelled => None,
        BookingStatus::Cancelled => Some("is cancelled, and nobody sent a cancel".to_owned()),
        BookingStatus::Pending | BookingStatus::Expired if held.confirmed.is_none() => None,
        BookingStatus::Pending | BookingStatus::Expired | BookingStatus::Failed => {
            let told = if held.confirmed.is_some() { "its confirm" } else { "it" };
            Some(format!("{told} was acknowledged, and its row is {}", row.status.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{cancel, case, confirm, end, reserve, row, unknown},
        invariants::only,
    };

    fn verdict(operations: Vec<Operation>, rows: Vec<BookingRow>) -> Verdict {
        only(&Case { end: Some(end(9, 9, rows)), ..case(9, operations) }, Invariant::NoLostBooking)
            .verdict
    }

    type Observation = fn() -> Vec<Operation>;

    #[test]
    fn a_booking_is_as_its_client_was_told() {
        use BookingStatus::{Cancelled, Confirmed, Expired, Failed, Pending};
        let held = || vec![reserve("a", 1, 0, 10)];
        let confirmed = || vec![reserve("a", 1, 0, 10), confirm("a", 20, 30)];
        let maybe_confirmed = || vec![reserve("a", 1, 0, 10), unknown(confirm("a", 20, 30))];
        let cancelled = || vec![reserve("a", 1, 0, 10), cancel("a", 20, 30)];
        let maybe_cancelled = || vec![reserve("a", 1, 0, 10), unknown(cancel("a", 20, 30))];
        let cases: [(Observation, BookingStatus, Verdict); 15] = [
            (held, Pending, Verdict::Upheld),
            (held, Expired, Verdict::Upheld),
            (held, Cancelled, Verdict::Violated),
            (held, Failed, Verdict::Violated),
            (confirmed, Confirmed, Verdict::Upheld),
            (confirmed, Pending, Verdict::Violated),
            (confirmed, Expired, Verdict::Violated),
            (confirmed, Cancelled, Verdict::Violated),
            (maybe_confirmed, Confirmed, Verdict::Upheld),
            (maybe_confirmed, Expired, Verdict::Upheld),
            (cancelled, Cancelled, Verdict::Upheld),
            (cancelled, Confirmed, Verdict::Violated),
            (cancelled, Pending, Verdict::Violated),
            (maybe_cancelled, Cancelled, Verdict::Upheld),
            (maybe_cancelled, Pending, Verdict::Upheld),
        ];
        for (operations, status, expected) in cases {
            let operations = operations();
            assert_eq!(
                verdict(operations.clone(), vec![row("a", status, 1)]),
                expected,
                "{operations:?} and {status:?}"
            );
        }
    }

    #[test]
    fn a_booking_without_a_row_is_lost() {
        assert_eq!(verdict(vec![reserve("a", 1, 0, 10)], vec![]), Verdict::Violated);
        assert_eq!(
            verdict(vec![reserve("a", 2, 0, 10)], vec![row("a", BookingStatus::Pending, 1)]),
            Verdict::Violated
        );
    }
}
