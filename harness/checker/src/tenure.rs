//! Tenure: for how long a booking took its seats, as far as its client can know.
//!
//! Two intervals bound it. *Surely* taken: from the return of the reserve that acknowledged it, to
//! the first instant at which it may have been given back, which is the sending of a cancel, or for
//! a hold that was not confirmed, the earliest instant at which it can have run out. *Possibly*
//! taken: from the sending of its first reserve, to the return of a cancel that was acknowledged; a
//! hold that ran out is given back by a sweeper whose instant no client sees, so it may be taken
//! for ever.
//!
//! An operation with an unknown outcome counts towards whatever makes the sure interval shorter and
//! the possible one longer.

use foldhash::HashMap;
use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::{History, slots::Operations};

/// A half-open interval [from, to) of the history's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

/// What clients know about one booking.
#[derive(Debug, Clone)]
pub(crate) struct Tenure<'a> {
    pub(crate) slot: &'a str,
    pub(crate) booking: &'a str,
    pub(crate) seats: i64,
    /// Of the reserves that were acknowledged with this booking, the one that returned first.
    pub(crate) reserve: usize,
    /// The confirm that was acknowledged first.
    pub(crate) confirmed: Option<usize>,
    /// The cancel that was acknowledged first.
    pub(crate) cancelled: Option<usize>,
    /// Whether any cancel may have had its effect: acknowledged or unknown.
    pub(crate) maybe_cancelled: bool,
    reserve_sent_ns: u64,
    reserve_returned_ns: u64,
    /// The earliest instant at which the hold can have run out; like the next three, at the end of
    /// time if never.
    hold_over_ns: u64,
    cancel_sent_ns: u64,
    cancel_returned_ns: u64,
    /// From here on the history is silent about its client, who may have sent a cancel that is
    /// missing; for ever if it is whole.
    silent_from_ns: u64,
}

impl Tenure<'_> {
    /// While the seats were surely taken; `None` when there is no such instant.
    pub(crate) fn surely(&self) -> Option<Interval> {
        let over_ns = if self.confirmed.is_some() { u64::MAX } else { self.hold_over_ns };
        let to_ns = self.cancel_sent_ns.min(over_ns).min(self.silent_from_ns);
        let from_ns = self.reserve_returned_ns;
        (from_ns < to_ns).then_some(Interval { from_ns, to_ns })
    }

    /// While the seats may have been taken.
    pub(crate) fn possibly(&self) -> Interval {
        // At the very instant of the cancel's return the seats may still have been taken.
        let to_ns = self.cancel_returned_ns.saturating_add(1);
        Interval { from_ns: self.reserve_sent_ns, to_ns }
    }
}

/// Every booking that was acknowledged in one slot, in the order in which the file first names
/// them; and the places of the operations that change a booking which was never acknowledged there.
pub(crate) fn tenures<'a>(
    operations: &Operations<'a>,
    last_returned: &HashMap<u64, u64>,
) -> (Vec<Tenure<'a>>, Vec<usize>) {
    let mut tenures: Vec<Tenure<'a>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::default();
    let first_sent = first_sent(operations);
    for (index, operation) in operations.iter() {
        if let (Action::Reserve { seats, key }, Outcome::Ok, Some(booking)) =
            (&operation.action, operation.outcome, &operation.seen.booking)
        {
            let place = *places.entry(booking).or_insert_with(|| {
                tenures.push(Tenure::new(index, operation, booking, i64::from(*seats)));
                tenures.len() - 1
            });
            let tenure = &mut tenures[place];
            if let Some(last) = last_returned.get(&operation.client) {
                tenure.silent_from_ns = *last;
            }
            if operation.returned_ns < tenure.reserve_returned_ns {
                (tenure.reserve, tenure.reserve_returned_ns) = (index, operation.returned_ns);
            }
            let sent_ns = first_sent[&**key];
            tenure.reserve_sent_ns = tenure.reserve_sent_ns.min(sent_ns);
            tenure.hold_over_ns = tenure.hold_over_ns.min(hold_over_ns(operation, sent_ns));
        }
    }
    let mut strays = Vec::new();
    for (index, operation) in operations.iter() {
        if let Action::Confirm { booking } | Action::Cancel { booking } = &operation.action {
            match places.get(&**booking) {
                Some(place) => tenures[*place].change(index, operation),
                None => strays.push(index),
            }
        }
    }
    (tenures, strays)
}

/// Where the end of a history is missing: when each client was heard of last. A client has one
/// operation in flight at most, and a history holds a beginning of what each client did, so until
/// then nothing of it is missing. Empty for a whole history.
pub(crate) fn last_returned(history: &History) -> HashMap<u64, u64> {
    let mut last = HashMap::default();
    if history.cut_off.is_some() {
        for operation in &history.operations {
            let returned_ns = last.entry(operation.client).or_insert(0);
            *returned_ns = operation.returned_ns.max(*returned_ns);
        }
    }
    last
}

/// When each key was sent for the first time: a call whose outcome nobody knows may have made the
/// booking that a later one was told of.
fn first_sent<'a>(operations: &Operations<'a>) -> HashMap<&'a str, u64> {
    let mut first: HashMap<&str, u64> = HashMap::default();
    for (_, operation) in operations.iter() {
        if let Action::Reserve { key, .. } = &operation.action {
            let sent_ns = first.entry(key).or_insert(u64::MAX);
            *sent_ns = operation.sent_ns.min(*sent_ns);
        }
    }
    first
}

impl<'a> Tenure<'a> {
    fn new(index: usize, reserve: &'a Operation, booking: &'a str, seats: i64) -> Self {
        Self {
            slot: &reserve.slot,
            booking,
            seats,
            reserve: index,
            confirmed: None,
            cancelled: None,
            maybe_cancelled: false,
            reserve_sent_ns: u64::MAX,
            reserve_returned_ns: u64::MAX,
            hold_over_ns: u64::MAX,
            cancel_sent_ns: u64::MAX,
            cancel_returned_ns: u64::MAX,
            silent_from_ns: u64::MAX,
        }
    }

    /// Takes note of a confirm or a cancel of this booking.
    pub(crate) fn change(&mut self, index: usize, operation: &Operation) {
        match (&operation.action, operation.outcome) {
            (Action::Confirm { .. }, Outcome::Ok) => {
                self.confirmed = self.confirmed.or(Some(index))
            }
            (Action::Cancel { .. }, Outcome::Ok) => {
                self.cancelled = self.cancelled.or(Some(index));
                self.maybe_cancelled = true;
                self.cancel_sent_ns = self.cancel_sent_ns.min(operation.sent_ns);
                self.cancel_returned_ns = self.cancel_returned_ns.min(operation.returned_ns);
            }
            (Action::Cancel { .. }, Outcome::Unknown) => {
                self.maybe_cancelled = true;
                self.cancel_sent_ns = self.cancel_sent_ns.min(operation.sent_ns);
            }
            // A confirm that is unknown proves nothing; a refused one changed nothing.
            _ => {}
        }
    }
}

/// A hold cannot have begun before its reserve was sent, so it cannot run out sooner than this.
/// What is no hold never does.
fn hold_over_ns(reserve: &Operation, sent_ns: u64) -> u64 {
    let hold_ms = reserve.seen.hold_ms;
    hold_ms.map_or(u64::MAX, |hold_ms| sent_ns.saturating_add(hold_ms.saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cancel, confirm, history, ms, reserve, unknown};

    fn one(operations: Vec<Operation>) -> (Option<(u64, u64)>, (u64, u64)) {
        let history = history(operations);
        let slots = crate::slots::operations_by_slot(&history);
        let (tenures, _) = tenures(&slots[0].1, &HashMap::default());
        let tenure = &tenures[0];
        let pair = |interval: Interval| (interval.from_ns, interval.to_ns);
        (tenure.surely().map(pair), pair(tenure.possibly()))
    }

    #[test]
    fn a_booking_is_surely_taken_from_its_acknowledgement_until_a_cancel_is_sent() {
        assert_eq!(one(vec![reserve("b", 1, 10, 20)]), (Some((20, u64::MAX)), (10, u64::MAX)));
        assert_eq!(
            one(vec![reserve("b", 1, 10, 20), cancel("b", 30, 40)]),
            (Some((20, 30)), (10, 41))
        );
    }

    #[test]
    fn an_unknown_cancel_ends_the_sure_interval_and_not_the_possible_one() {
        assert_eq!(
            one(vec![reserve("b", 1, 10, 20), unknown(cancel("b", 30, 40))]),
            (Some((20, 30)), (10, u64::MAX))
        );
    }

    #[test]
    fn a_hold_may_have_run_out_unless_it_was_confirmed() {
        let hold = |mut operation: Operation| {
            operation.seen.hold_ms = Some(5);
            operation
        };
        assert_eq!(one(vec![hold(reserve("b", 1, 10, 20))]).0, Some((20, 10 + ms(5))));
        assert_eq!(
            one(vec![hold(reserve("b", 1, 10, 20)), confirm("b", 30, 40)]).0,
            Some((20, u64::MAX))
        );
        assert_eq!(
            one(vec![hold(reserve("b", 1, 10, 20)), unknown(confirm("b", 30, 40))]).0,
            Some((20, 10 + ms(5)))
        );
        assert_eq!(
            one(vec![hold(reserve("b", 1, 10, ms(6)))]).0,
            None,
            "acknowledged after it ran out"
        );
    }
}
