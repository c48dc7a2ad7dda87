//! I3: no acknowledged booking is lost.
//!
//! What a client was told must still be true in the final rows, unless an operation that was sent,
//! or the end of a hold, can have undone it: a booking has a row; it is cancelled only if a cancel
//! was sent; it is confirmed if its confirm was acknowledged; and it no longer takes seats if its
//! cancel was.
//!
//! An acknowledged cancel says that the booking is over. A service may say so of a hold that had
//! already expired (`spec.rs`), so the row of such a booking may be `expired`, if its hold can have
//! run out before the cancel returned and no confirm was acknowledged.
//!
//! What clients are told later counts too, without any rows: a booking that was surely live during
//! a whole call, and is answered as gone, cancelled or expired, is lost.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashSet};
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::{
    BookingIds, BookingRow, BookingStatus, EndState, Finding, Invariant, Outcome, Witness,
};

use super::{Count, Evidence, counted, witness};
use crate::held_interval::HeldInterval;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::NoLostBooking);
    if let Some(end) = &evidence.case.end {
        check_rows(evidence, end, &mut count);
        check_the_unknown(evidence, end, &mut count);
    }
    check_answers(evidence, &mut count);
    finding(count, evidence)
}

/// What the answers of some slots say, where there are no rows.
pub(super) fn tally(evidence: &Evidence<'_>) -> Count {
    let mut count = Count::new(Invariant::NoLostBooking);
    check_answers(evidence, &mut count);
    count
}

pub(super) fn finding(count: Count, evidence: &Evidence<'_>) -> Option<Finding> {
    let none_to_look_at = evidence.case.end.is_none() || evidence.foreign_rows().is_some();
    if count.examined == 0 && none_to_look_at {
        return None;
    }
    Some(count.finding(
        |examined| match evidence.case.end {
            Some(_) => format!("all {examined} acknowledged bookings are kept as acknowledged"),
            None => format!("all {examined} bookings that clients came back to are kept"),
        },
        |violations, examined| {
            format!(
                "{violations} of {examined} acknowledged bookings are lost, or differ from what \
                 was acknowledged"
            )
        },
    ))
}

fn check_rows(evidence: &Evidence<'_>, end: &EndState, count: &mut Count) {
    let rows: BTreeMap<&str, &BookingRow> =
        end.bookings.iter().map(|row| (row.booking.as_str(), row)).collect();
    let log = evidence.case.audit.as_ref();
    let logged: Option<BTreeSet<(&str, BookingStatus)>> =
        log.map(|log| log.iter().map(|record| (record.booking.as_str(), record.to)).collect());
    for held in evidence.held_intervals() {
        let row = rows.get(held.booking.text()).copied();
        // Of the slots that a booking may have been moved between, its row says where it ended.
        let elsewhere = held.pieces.is_some() && row.is_some_and(|row| row.slot != held.slot);
        if elsewhere && held.may_have_left() {
            continue;
        }
        let provisional = evidence.case.history.operations.at(held.reserve).is_provisional();
        if row.is_none() && (provisional || may_be_gone(held, end)) {
            continue;
        }
        count.examine();
        let unlogged = || unlogged(held, logged.as_ref()?);
        let Some(loss) = loss(held, row).or_else(unlogged) else { continue };
        count.violation(|| {
            let operations = [Some(held.reserve), held.confirmed, held.cancelled];
            Witness {
                operations: evidence.show(operations.into_iter().flatten()),
                rows: row.cloned().into_iter().collect(),
                ..witness(held.slot, format!("booking {}: {loss}", held.booking))
            }
        });
    }
}

/// Whether a booking may have ended where rows of ended bookings are not kept.
fn may_be_gone(held: &HeldInterval<'_>, end: &EndState) -> bool {
    let forgotten = end.foreign.as_ref().is_some_and(|foreign| !foreign.ended_are_kept);
    let read_ns = end.read_ns.unwrap_or(u64::MAX);
    let may_have_expired = held.is_hold && held.confirmed.is_none() && held.hold_over_ns <= read_ns;
    forgotten && (held.cancelled.is_some() || held.maybe_cancelled || may_have_expired)
}

/// Confirms and cancels that were acknowledged, of bookings that no client was told of and no row
/// or record knows.
fn check_the_unknown(evidence: &Evidence<'_>, end: &EndState, count: &mut Count) {
    let case = evidence.case;
    let held = evidence.held_intervals().map(|held| held.booking.text());
    let rows = end.bookings.iter().map(|row| row.booking.as_str());
    let records = case.audit.iter().flatten().map(|record| record.booking.as_str());
    let known: HashSet<&str> = held.chain(rows).chain(records).collect();
    let chosen = case.history.declarations.booking_ids == BookingIds::ChosenByClients;
    for (index, operation) in case.history.indexed() {
        let booking = match operation.action {
            ActionRef::Confirm { booking } | ActionRef::Cancel { booking } => booking,
            _ => continue,
        };
        if operation.outcome != Outcome::Ok || known.contains(booking.text()) {
            continue;
        }
        let line = case.history.line_of(index);
        match operation.action {
            ActionRef::Confirm { .. } => {
                count.examine();
                count.violation(|| Witness {
                    operations: evidence.show([index]),
                    ..witness(
                        &operation.slot,
                        format!("booking {booking}: its confirm was acknowledged; it has no row"),
                    )
                });
            }
            // Where clients choose ids, nothing is there to cancel before its reserve.
            _ if chosen => {}
            _ => count.undecided(|| {
                format!(
                    "line {line}: a cancel of booking {booking} was acknowledged, and neither an \
                     answer nor a row knows that booking"
                )
            }),
        }
    }
}

/// Answers that say what became of a booking.
fn check_answers(evidence: &Evidence<'_>, count: &mut Count) {
    for slot in &evidence.slots {
        let mut told = slot.operations.iter().filter_map(|(index, operation)| {
            Some((index, operation, operation.names_booking()?, fate(operation)?))
        });
        let Some(first) = told.next() else { continue };
        let held: HashMap<Name<'_>, &HeldInterval<'_>> =
            slot.held_intervals.iter().map(|held| (held.booking, held)).collect();
        for (index, operation, booking, fate) in std::iter::once(first).chain(told) {
            let Some(held) = held.get(&booking) else { continue };
            count.examine();
            let Some(loss) = lost_by(held, operation, fate) else { continue };
            count.violation(|| Witness {
                operations: evidence
                    .show([Some(held.reserve), held.confirmed, Some(index)].into_iter().flatten()),
                ..witness(slot.name, format!("booking {booking}: {loss}"))
            });
        }
    }
}

/// What an answer says that became of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Gone,
    Is(BookingStatus),
}

fn fate(operation: OperationRef<'_>) -> Option<Fate> {
    match (operation.action, operation.outcome) {
        (_, Outcome::Rejected) => operation.reason_code()?.means_gone().then_some(Fate::Gone),
        (ActionRef::Booking { .. }, Outcome::Ok) => operation.seen.status.map(Fate::Is),
        _ => None,
    }
}

fn lost_by(held: &HeldInterval<'_>, operation: OperationRef<'_>, fate: Fate) -> Option<String> {
    let mut live = false;
    held.each_certain(|interval, _| {
        live |= interval.from_ns < operation.sent_ns && operation.returned_ns < interval.to_ns;
    });
    let what = match fate {
        Fate::Gone if live => "that it is gone",
        Fate::Is(BookingStatus::Cancelled | BookingStatus::Expired | BookingStatus::Failed)
            if live =>
        {
            "that it has ended"
        }
        Fate::Is(BookingStatus::Pending)
            if held.confirm_returned_ns < operation.sent_ns && live =>
        {
            "that it is pending, after its confirm was acknowledged"
        }
        _ => return None,
    };
    Some(format!("it was acknowledged and nothing can have ended it, and an answer says {what}"))
}

/// An acknowledged change that the log lacks.
fn unlogged(held: &HeldInterval<'_>, logged: &BTreeSet<(&str, BookingStatus)>) -> Option<String> {
    let missing = |status| !logged.contains(&(held.booking.text(), status));
    let change = if held.confirmed.is_some() && missing(BookingStatus::Confirmed) {
        "confirm"
    } else if held.cancelled.is_some()
        && missing(BookingStatus::Cancelled)
        && (missing(BookingStatus::Expired) || !held.may_have_expired_before_its_cancel())
    {
        "cancel"
    } else {
        return None;
    };
    Some(format!("its {change} was acknowledged, and the audit log has no record of it"))
}

/// What differs between an acknowledged booking and its row.
fn loss(held: &HeldInterval<'_>, row: Option<&BookingRow>) -> Option<String> {
    let Some(row) = row else {
        return Some("it was acknowledged, and it has no final row".to_owned());
    };
    let lawful = match &held.pieces {
        // A booking that has ended takes no seats, and its row may say so.
        None => row.seats == held.seats || row.seats == 0 && !row.status.takes_seats(),
        Some(pieces) => row.slot != held.slot || pieces.at_the_end.contains(&row.seats),
    };
    if !lawful {
        return Some(format!(
            "it was acknowledged with {}, and its row has {}",
            counted(held.seats, "seat"),
            row.seats
        ));
    }
    if row.slot != held.slot {
        return Some(format!(
            "it was acknowledged in slot {}, and its row is in slot {}",
            held.slot, row.slot
        ));
    }
    let acknowledged = |what: &str| {
        Some(format!("its {what} was acknowledged, and its row is {}", row.status.name()))
    };
    if held.cancelled.is_some() {
        return match row.status {
            BookingStatus::Cancelled => None,
            BookingStatus::Expired if held.may_have_expired_before_its_cancel() => None,
            BookingStatus::Pending
            | BookingStatus::Confirmed
            | BookingStatus::Expired
            | BookingStatus::Failed => acknowledged("cancel"),
        };
    }
    match row.status {
        BookingStatus::Confirmed => None,
        BookingStatus::Cancelled if held.maybe_cancelled => None,
        BookingStatus::Cancelled => Some("its row is cancelled, and no cancel was sent".to_owned()),
        BookingStatus::Pending | BookingStatus::Expired if held.confirmed.is_none() => None,
        BookingStatus::Pending | BookingStatus::Expired | BookingStatus::Failed => {
            acknowledged(if held.confirmed.is_some() { "confirm" } else { "reserve" })
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{cancel, case, confirm, end, ms, only, record, reserve, row, unknown},
    };

    fn verdict(operations: Vec<Operation>, rows: Vec<BookingRow>) -> Verdict {
        only(&Case { end: Some(end(9, 9, rows)), ..case(9, operations) }, Invariant::NoLostBooking)
            .verdict
    }

    type Told = fn() -> Vec<Operation>;

    #[test]
    fn seats_that_were_set_aside_and_given_back_need_no_row() {
        let mut position = reserve("a", 1, 0, 10);
        let judged = |operations: Vec<Operation>| {
            let end = Some(end(9, 8, vec![row("kept", BookingStatus::Pending, 1)]));
            let operations = [operations, vec![reserve("kept", 1, 0, 10)]].concat();
            only(&Case { end, ..case(9, operations) }, Invariant::NoLostBooking).verdict
        };
        let given_back = || cancel("a", 20, 30);
        assert_eq!(judged(vec![position.clone(), given_back()]), Verdict::Violated);
        let terms = slotproof_vocabulary::Terms { provisional: true, ..Default::default() };
        position.terms = Some(Box::new(terms));
        assert_eq!(judged(vec![position, given_back()]), Verdict::Upheld);
    }

    #[test]
    fn rows_of_ended_bookings_may_be_missing_where_they_are_not_kept() {
        let judged = |operations: Vec<Operation>, ended_are_kept| {
            let foreign = Some(slotproof_vocabulary::ForeignRows {
                ended_are_kept,
                by_key: false,
                own_slots: true,
            });
            let read_ns = Some(5_000_000_000);
            let bookings = vec![row("kept", BookingStatus::Pending, 1)];
            let end = Some(EndState { bookings, foreign, read_ns, ..EndState::default() });
            let operations = [operations, vec![reserve("kept", 1, 0, 10)]].concat();
            only(&Case { end, ..case(9, operations) }, Invariant::NoLostBooking).verdict
        };
        let cancelled = || vec![reserve("a", 1, 0, 10), cancel("a", 20, 30)];
        assert_eq!(judged(cancelled(), false), Verdict::Upheld);
        assert_eq!(judged(cancelled(), true), Verdict::Violated);
        assert_eq!(judged(vec![reserve("a", 1, 0, 10)], false), Verdict::Violated);
        let held_for = |hold_ms| {
            let mut hold = reserve("a", 1, 0, 10);
            hold.seen.hold_ms = Some(hold_ms);
            vec![hold]
        };
        assert_eq!(judged(held_for(1), false), Verdict::Upheld);
        assert_eq!(judged(held_for(600_000), false), Verdict::Violated, "it has not run out");
    }

    #[test]
    fn a_booking_is_as_its_client_was_told() {
        use BookingStatus::{Cancelled, Confirmed, Expired, Failed, Pending};
        let held = || vec![reserve("a", 1, 0, 10)];
        let confirmed = || vec![reserve("a", 1, 0, 10), confirm("a", 20, 30)];
        let maybe_confirmed = || vec![reserve("a", 1, 0, 10), unknown(confirm("a", 20, 30))];
        let cancelled = || vec![reserve("a", 1, 0, 10), cancel("a", 20, 30)];
        let maybe_cancelled = || vec![reserve("a", 1, 0, 10), unknown(cancel("a", 20, 30))];
        let cases: [(Told, BookingStatus, Verdict); 15] = [
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

    #[test]
    fn a_cancel_of_a_hold_that_had_expired_may_be_acknowledged() {
        let hold = |hold_ms| {
            let mut hold = reserve("a", 1, 0, 10);
            hold.seen.hold_ms = Some(hold_ms);
            hold
        };
        let expired = || vec![row("a", BookingStatus::Expired, 1)];
        let late = || cancel("a", ms(6), ms(7));
        assert_eq!(verdict(vec![hold(5), late()], expired()), Verdict::Upheld);
        assert_eq!(
            verdict(vec![reserve("a", 1, 0, 10), late()], expired()),
            Verdict::Upheld,
            "no answer says how long it is held"
        );
        assert_eq!(
            verdict(vec![hold(8), late()], expired()),
            Verdict::Violated,
            "it cannot have run out before the cancel had returned"
        );
        assert_eq!(
            verdict(vec![hold(5), confirm("a", 20, 30), late()], expired()),
            Verdict::Violated,
            "what is confirmed does not expire"
        );
    }

    #[test]
    fn an_acknowledged_change_must_be_in_the_log() {
        let mut hold = reserve("a", 1, 0, 10);
        hold.seen.hold_ms = Some(5);
        let logged = |ends: BookingStatus, cancel| {
            let log = vec![
                record(1, "a", None, BookingStatus::Pending, 1),
                record(2, "a", Some(BookingStatus::Pending), ends, 1),
            ];
            let end = Some(end(9, 9, vec![row("a", ends, 1)]));
            let case = case(9, vec![hold.clone(), cancel]);
            only(&Case { audit: Some(log), end, ..case }, Invariant::NoLostBooking).verdict
        };
        let (early, late) = (cancel("a", 20, 30), cancel("a", ms(6), ms(7)));
        assert_eq!(logged(BookingStatus::Cancelled, early.clone()), Verdict::Upheld);
        assert_eq!(logged(BookingStatus::Expired, late), Verdict::Upheld);
        assert_eq!(logged(BookingStatus::Expired, early), Verdict::Violated);
    }
}
