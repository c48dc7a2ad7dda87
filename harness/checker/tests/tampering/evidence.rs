//! Finding what can be tampered with: always the one in the middle, so that the run has a before
//! and an after.

use slotproof_vocabulary::{
    Action, AuditRecord, BookingRow, BookingStatus, EndState, Operation, Outcome, Seen,
};

use crate::Case;

pub(crate) fn middle<T>(mut found: Vec<T>) -> Option<T> {
    let place = found.len() / 2;
    (place < found.len()).then(|| found.swap_remove(place))
}

pub(crate) fn op(case: &mut Case, at: usize) -> &mut Operation {
    &mut case.history.operations[at]
}

pub(crate) fn seen(case: &mut Case, at: usize) -> &mut Seen {
    &mut op(case, at).seen
}

pub(crate) fn log(case: &mut Case) -> &mut Vec<AuditRecord> {
    case.audit.as_mut().expect("the run has a log")
}

pub(crate) fn end(case: &mut Case) -> &mut EndState {
    case.end.as_mut().expect("the run has rows")
}

/// Adds to a number that an answer said.
pub(crate) fn add(number: &mut Option<i64>, more: i64) -> Option<()> {
    *number = Some((*number)? + more);
    Some(())
}

/// The operation in the middle of those that are so.
pub(crate) fn find(case: &Case, is_so: impl Fn(&Operation) -> bool) -> Option<usize> {
    let operations = case.history.operations.iter().enumerate();
    middle(operations.filter(|(_, it)| is_so(it)).map(|(at, _)| at).collect())
}

pub(crate) fn is(name: &str, outcome: Outcome) -> impl Fn(&Operation) -> bool {
    move |operation| operation.action.name() == name && operation.outcome == outcome
}

/// A read that says that some seats are left, and some are pending and some confirmed.
pub(crate) fn read(case: &Case) -> Option<usize> {
    let some = |number: Option<i64>| number.is_some_and(|number| number > 0);
    find(case, |it| {
        let Seen { available, pending, confirmed, .. } = it.seen;
        is("read", Outcome::Ok)(it) && some(available) && some(pending) && some(confirmed)
    })
}

/// A refusal of a key that was sent once, and not by the prober.
pub(crate) fn sold_out(case: &Case) -> Option<usize> {
    find(case, |it| {
        is("reserve", Outcome::SoldOut)(it)
            && sendings(case, it) == 1
            && it.seen.available == Some(0)
            && Some(it.client) != case.prober
    })
}

pub(crate) fn key(operation: &Operation) -> Option<&str> {
    match &operation.action {
        Action::Reserve { key, .. } => Some(key),
        _ => None,
    }
}

pub(crate) fn set_key(operation: &mut Operation, to: &str) {
    if let Action::Reserve { key, .. } = &mut operation.action {
        *key = to.into();
    }
}

/// How often the key of a reserve was sent.
pub(crate) fn sendings(case: &Case, reserve: &Operation) -> usize {
    let all = case.history.operations.iter();
    all.filter(|other| key(other).is_some() && key(other) == key(reserve)).count()
}

/// The booking that an operation confirms or cancels.
pub(crate) fn booking(operation: &Operation) -> Option<&str> {
    match &operation.action {
        Action::Confirm { booking } | Action::Cancel { booking } => Some(booking),
        _ => None,
    }
}

pub(crate) fn row<'a>(case: &'a Case, booking: &str) -> Option<&'a BookingRow> {
    case.end.as_ref()?.bookings.iter().find(|row| row.booking == booking)
}

/// A booking that was acknowledged to a key that was sent once.
pub(crate) struct Life {
    pub(crate) reserve: usize,
    pub(crate) booking: String,
    pub(crate) status: BookingStatus,
    pub(crate) confirms: Vec<usize>,
    pub(crate) cancels: Vec<usize>,
}

fn lives(case: &Case) -> Vec<Life> {
    let operations = &case.history.operations;
    let about = |name: &str, id: &str| -> Vec<usize> {
        let all = operations.iter().enumerate();
        all.filter(|(_, it)| it.action.name() == name && booking(it) == Some(id))
            .map(|(at, _)| at)
            .collect()
    };
    let life = |(reserve, it): (usize, &Operation)| {
        let id = it.seen.booking.as_deref().filter(|_| it.outcome == Outcome::Ok)?;
        let own = Some(it.client) != case.prober && sendings(case, it) == 1;
        own.then_some(())?;
        let status = row(case, id)?.status;
        let (confirms, cancels) = (about("confirm", id), about("cancel", id));
        Some(Life { reserve, booking: id.to_owned(), status, confirms, cancels })
    };
    operations.iter().enumerate().filter_map(life).collect()
}

/// The booking in the middle of those that are so.
pub(crate) fn life(case: &Case, is_so: impl Fn(&Life) -> bool) -> Option<Life> {
    middle(lives(case).into_iter().filter(is_so).collect())
}

fn all_ok(case: &Case, calls: &[usize]) -> bool {
    calls.iter().all(|at| case.history.operations[*at].outcome == Outcome::Ok)
}

/// It was confirmed by one call, and nobody sent a cancel.
pub(crate) fn kept(case: &Case) -> Option<Life> {
    life(case, |it| {
        it.status == BookingStatus::Confirmed
            && it.cancels.is_empty()
            && it.confirms.len() == 1
            && all_ok(case, &it.confirms)
    })
}

/// It was cancelled by one call, and nobody sent a confirm.
pub(crate) fn cancelled(case: &Case) -> Option<Life> {
    life(case, |it| {
        it.status == BookingStatus::Cancelled
            && it.confirms.is_empty()
            && it.cancels.len() == 1
            && all_ok(case, &it.cancels)
    })
}

/// Its hold ran out, and nobody sent a confirm or a cancel.
pub(crate) fn expired(case: &Case) -> Option<Life> {
    life(case, |it| {
        it.status == BookingStatus::Expired && it.confirms.is_empty() && it.cancels.is_empty()
    })
}

/// A reserve that was not answered, by a key that was sent once, with a row or without.
pub(crate) fn unanswered(case: &Case, has_row: bool) -> Option<usize> {
    let rows = &case.end.as_ref()?.bookings;
    find(case, |it| {
        is("reserve", Outcome::Unknown)(it)
            && sendings(case, it) == 1
            && rows.iter().any(|row| row.key.as_deref() == key(it)) == has_row
    })
}

/// The record in the middle of those that are so.
pub(crate) fn record(case: &Case, is_so: impl Fn(&AuditRecord) -> bool) -> Option<usize> {
    let all = case.audit.iter().flatten().enumerate();
    middle(all.filter(|(_, it)| is_so(it)).map(|(at, _)| at).collect())
}

/// The record of a version of a slot.
pub(crate) fn record_at<'a>(case: &'a Case, slot: &str, version: i64) -> Option<&'a AuditRecord> {
    case.audit.iter().flatten().find(|it| it.slot == slot && it.version == version)
}

/// Whether the record that is so many versions after an answer's own says other seats left.
pub(crate) fn other_seats_at(case: &Case, operation: &Operation, later: i64) -> bool {
    let there =
        operation.seen.version.and_then(|own| record_at(case, &operation.slot, own + later));
    there.is_some_and(|there| Some(there.available) != operation.seen.available)
}

/// The last instant of the history.
pub(crate) fn last_ns(case: &Case) -> u64 {
    case.history.operations.iter().map(|it| it.returned_ns).max().unwrap_or_default()
}

/// The first one.
pub(crate) fn first_ns(case: &Case) -> u64 {
    case.history.operations.iter().map(|it| it.sent_ns).min().unwrap_or_default()
}
