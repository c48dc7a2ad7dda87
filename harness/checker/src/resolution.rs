//! Resolution: what the final rows say of outcomes that no client knows.
//!
//! Once a run has settled nothing is on its way any more. A reserve that nobody answered and that
//! has no row never happened; a cancel that nobody answered, of a booking that is not cancelled,
//! never happened; a confirm did if the log or the row says so. That makes the bounds of
//! `occupancy.rs` narrower, and shows violations that clients alone could not know. Where a client
//! does not know *when* something happened, that stays open.
//!
//! The history itself is never changed: what is found only after resolution is labelled so, because
//! it rests on the rows too.

use std::collections::{BTreeMap, BTreeSet};

use slotproof_vocabulary::{Action, BookingStatus, Outcome};

use crate::{Case, History};

/// The history with what the rows decide; `None` where they decide nothing.
pub(crate) fn resolved(case: &Case) -> Option<History> {
    let end = case.end.as_ref().filter(|_| case.history.cut_off.is_none())?;
    let keys: BTreeSet<&str> = end.bookings.iter().map(|row| row.key.as_str()).collect();
    let rows: BTreeMap<&str, BookingStatus> =
        end.bookings.iter().map(|row| (row.booking.as_str(), row.status)).collect();
    let confirmed: BTreeSet<&str> = case
        .audit
        .iter()
        .flatten()
        .filter(|record| record.to == BookingStatus::Confirmed)
        .map(|record| record.booking.as_str())
        .collect();
    let mut history = case.history.clone();
    let mut decided = false;
    for operation in history.operations.iter_mut().filter(|it| it.outcome == Outcome::Unknown) {
        let outcome = match &operation.action {
            Action::Reserve { key, .. } if !keys.contains(&**key) => Outcome::Rejected,
            Action::Confirm { booking } if confirmed.contains(&**booking) => Outcome::Ok,
            Action::Confirm { booking } | Action::Cancel { booking } => {
                match rows.get(&**booking) {
                    Some(BookingStatus::Confirmed)
                        if matches!(operation.action, Action::Confirm { .. }) =>
                    {
                        Outcome::Ok
                    }
                    Some(BookingStatus::Cancelled) | None => continue,
                    Some(_) => Outcome::Rejected,
                }
            }
            Action::Reserve { .. } | Action::Read | Action::Resize { .. } => continue,
        };
        operation.outcome = outcome;
        decided = true;
    }
    decided.then_some(history)
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Finding, Invariant, Verdict};

    use super::*;
    use crate::{
        fixture::{cancel, case, confirm, end, reserve, row, sold_out, unknown},
        invariants::only,
    };

    fn found(
        invariant: Invariant,
        capacity: i64,
        operations: Vec<slotproof_vocabulary::Operation>,
        rows: Vec<slotproof_vocabulary::BookingRow>,
    ) -> Finding {
        only(&Case { end: Some(end(capacity, 0, rows)), ..case(capacity, operations) }, invariant)
    }

    #[test]
    fn a_cancel_that_never_happened_excuses_nobody() {
        let sold_twice =
            vec![reserve("a", 1, 0, 10), unknown(cancel("a", 12, 30)), reserve("b", 1, 15, 20)];
        let rows = |status| vec![row("a", status, 1), row("b", BookingStatus::Confirmed, 1)];
        let finding = found(
            Invariant::NoOverbookingObserved,
            1,
            sold_twice.clone(),
            rows(BookingStatus::Confirmed),
        );
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.summary.contains("only once"), "{}", finding.summary);
        let finding =
            found(Invariant::NoOverbookingObserved, 1, sold_twice, rows(BookingStatus::Cancelled));
        assert_eq!(finding.verdict, Verdict::Upheld, "it did happen, nobody knows when");
    }

    #[test]
    fn a_confirm_that_happened_keeps_the_hold() {
        let mut hold = reserve("a", 1, 0, 10);
        hold.seen.hold_ms = Some(1);
        let later = crate::fixture::ms(5);
        let operations =
            vec![hold, unknown(confirm("a", 20, 30)), reserve("b", 1, later, later + 10)];
        let rows = |status| vec![row("a", status, 1), row("b", BookingStatus::Confirmed, 1)];
        assert_eq!(
            found(
                Invariant::NoOverbookingObserved,
                1,
                operations.clone(),
                rows(BookingStatus::Confirmed)
            )
            .verdict,
            Verdict::Violated
        );
        assert_eq!(
            found(Invariant::NoOverbookingObserved, 1, operations, rows(BookingStatus::Expired))
                .verdict,
            Verdict::Upheld
        );
    }

    #[test]
    fn a_reserve_that_left_no_row_is_no_reason_to_be_sold_out() {
        let operations = vec![unknown(reserve("a", 1, 0, 10)), sold_out(1, 20, 30)];
        assert_eq!(
            found(Invariant::HonestSoldOut, 1, operations.clone(), vec![]).verdict,
            Verdict::Violated
        );
        let expired = vec![row("a", BookingStatus::Expired, 1)];
        assert_eq!(
            found(Invariant::HonestSoldOut, 1, operations, expired).verdict,
            Verdict::Upheld
        );
    }
}
