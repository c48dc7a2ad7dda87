//! Resolution: what the final rows say of unknown outcomes.
//!
//! The rows are read after the last operation of the history has returned. An unanswered reserve
//! that has no row had not happened by then; an unanswered cancel of a booking that is not
//! cancelled had not; an unanswered confirm had, if the log or the row says so. That narrows the
//! bounds of `occupancy.rs`, and shows violations that clients alone could not know. *When*
//! something happened stays open where no client knows it.
//!
//! An operation may still take effect after the rows were read: a replica that was paused with a
//! request in hand goes on. That changes nothing here. Every answer that is judged again (by I1, I8
//! and I9) had returned before the rows were read, so a later effect explains none of them: for
//! them the operation has not happened. What it does afterwards is no part of the run.
//!
//! A slot without a row was not read, so that a booking in it has no row proves nothing. Of another
//! API its target file says whether every booking has a row with its key.
//!
//! The history itself is not changed, and a finding that rests on the rows too says so.

use std::collections::{BTreeMap, BTreeSet};

use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::{BookingStatus, Outcome};

use crate::{Case, History};

/// The history with what the rows decide; `None` where they decide nothing.
pub(crate) fn resolved(case: &Case) -> Option<History> {
    let end = case.end.as_ref().filter(|_| case.history.cut_off.is_none())?;
    let slots: BTreeSet<&str> = end.slots.iter().map(|row| row.slot.as_str()).collect();
    let by_key = end.foreign.as_ref().is_some_and(|foreign| foreign.by_key);
    let keys: BTreeSet<&str> = end.bookings.iter().filter_map(|row| row.key.as_deref()).collect();
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
    // What was set aside on the way to a booking has no row, and may have taken seats.
    let open = |it: &OperationRef<'_>| it.outcome == Outcome::Unknown && !it.is_provisional();
    for (index, operation) in case.history.indexed().filter(|(_, operation)| open(operation)) {
        let outcome = match operation.action {
            ActionRef::Reserve { key, .. }
                if (by_key || slots.contains(&*operation.slot)) && !keys.contains(&*key) =>
            {
                Outcome::Rejected
            }
            ActionRef::Confirm { booking } if confirmed.contains(&*booking) => Outcome::Ok,
            ActionRef::Confirm { booking } | ActionRef::Cancel { booking } => {
                match rows.get(&*booking) {
                    Some(BookingStatus::Confirmed)
                        if matches!(operation.action, ActionRef::Confirm { .. }) =>
                    {
                        Outcome::Ok
                    }
                    Some(BookingStatus::Cancelled) | None => continue,
                    Some(_) => Outcome::Rejected,
                }
            }
            _ => continue,
        };
        history.operations.set_outcome(index, outcome);
        decided = true;
    }
    decided.then_some(history)
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Finding, Invariant, Operation, Verdict};

    use super::*;
    use crate::fixture::{
        cancel, case, confirm, end, foreign_end, only, reserve, row, sold_out, unknown,
    };

    fn found(
        invariant: Invariant,
        capacity: i64,
        operations: Vec<Operation>,
        rows: Vec<slotproof_vocabulary::BookingRow>,
    ) -> Finding {
        only(&Case { end: Some(end(capacity, 0, rows)), ..case(capacity, operations) }, invariant)
    }

    #[test]
    fn seats_that_may_have_been_set_aside_on_the_way_stay_open() {
        let judged = |provisional| {
            let mut cart = unknown(reserve("x", 1, 0, 10));
            let terms = slotproof_vocabulary::Terms { provisional, ..Default::default() };
            cart.terms = Some(Box::new(terms));
            let mut refused = sold_out(1, 20, 30);
            refused.client = 7;
            let end = Some(foreign_end(vec![]));
            let case = Case { end, ..case(1, vec![cart, refused]) };
            only(&case, Invariant::HonestSoldOut).verdict
        };
        assert_eq!(judged(false), Verdict::Violated, "no row has its key: it took nothing");
        assert_eq!(judged(true), Verdict::Upheld, "a cart has no row");
    }

    #[test]
    fn a_cancel_that_never_happened_excuses_no_overbooking() {
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
        assert!(finding.summary.contains("after the final rows"), "{}", finding.summary);
        let finding =
            found(Invariant::NoOverbookingObserved, 1, sold_twice, rows(BookingStatus::Cancelled));
        assert_eq!(finding.verdict, Verdict::Upheld, "it did happen, at an unknown instant");
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

    #[test]
    fn a_slot_that_was_not_read_decides_nothing() {
        let elsewhere = |mut operation: Operation| {
            operation.slot = "t".into();
            operation
        };
        let operations = vec![unknown(reserve("a", 1, 0, 10)), sold_out(1, 20, 30)];
        let operations = operations.into_iter().map(elsewhere).collect();
        let finding = found(Invariant::HonestSoldOut, 1, operations, vec![]);
        assert_eq!(finding.verdict, Verdict::Upheld, "{}", finding.summary);
    }
}
