//! Held intervals: for how long a booking held its seats, as far as its client can know.
//!
//! Two intervals bound it. *Certain*: from the return of the reserve that acknowledged it, to the
//! first instant at which its seats may have been given back, which is the sending of a cancel, or
//! for a hold that was not confirmed, the earliest instant at which it can have run out.
//! *Possible*: from the sending of its first reserve, to the return of a cancel that was
//! acknowledged. No client sees the instant at which a sweeper gives the seats of an expired hold
//! back, so such a hold may be held to the end.
//!
//! An operation with an unknown outcome makes the certain interval shorter and the possible one
//! longer.

use foldhash::HashMap;
use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::{
    History,
    slot_operations::{self, SlotOperations},
    step_function::Interval,
};

/// What clients know about one booking.
#[derive(Debug, Clone)]
pub(crate) struct HeldInterval<'a> {
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
    /// The earliest instant at which the hold can have run out; like the next three, `u64::MAX` if
    /// there is none.
    hold_over_ns: u64,
    cancel_sent_ns: u64,
    cancel_returned_ns: u64,
    /// From here on the history says nothing about its client, whose cancel may be missing;
    /// `u64::MAX` if the history is complete.
    silent_from_ns: u64,
}

impl HeldInterval<'_> {
    /// When the seats were surely taken; `None` if there is no such instant.
    pub(crate) fn certain(&self) -> Option<Interval> {
        let over_ns = if self.confirmed.is_some() { u64::MAX } else { self.hold_over_ns };
        let to_ns = self.cancel_sent_ns.min(over_ns).min(self.silent_from_ns);
        let from_ns = self.reserve_returned_ns;
        (from_ns < to_ns).then_some(Interval { from_ns, to_ns })
    }

    /// The booking was made at some instant of [from, to].
    pub(crate) fn reserved_within(&self) -> (u64, u64) {
        (self.reserve_sent_ns, self.reserve_returned_ns)
    }

    /// Whether the hold can have run out before its first acknowledged cancel returned. A hold of
    /// unknown length can.
    pub(crate) fn may_have_expired_before_its_cancel(&self) -> bool {
        let unknown_length = self.hold_over_ns == u64::MAX;
        self.confirmed.is_none() && (unknown_length || self.hold_over_ns <= self.cancel_returned_ns)
    }

    /// When the seats may have been taken.
    pub(crate) fn possible(&self) -> Interval {
        // At the very instant of the cancel's return the seats may still have been taken.
        let to_ns = self.cancel_returned_ns.saturating_add(1);
        Interval { from_ns: self.reserve_sent_ns, to_ns }
    }
}

/// The bookings of one slot.
pub(crate) struct SlotBookings<'a> {
    pub(crate) name: &'a str,
    pub(crate) operations: SlotOperations<'a>,
    pub(crate) held_intervals: Vec<HeldInterval<'a>>,
}

/// The bookings of every slot that the history names, in the order of the slots' names.
pub(crate) fn by_slot(history: &History) -> Vec<SlotBookings<'_>> {
    let last_returned = last_returned(history);
    let mut strays = Vec::new();
    let slots = slot_operations::by_slot(history).into_iter().map(|(name, operations)| {
        let (held_intervals, elsewhere) = of_slot(&operations, &last_returned);
        strays.extend(elsewhere);
        SlotBookings { name, operations, held_intervals }
    });
    let mut slots: Vec<SlotBookings<'_>> = slots.collect();
    apply_strays(&mut slots, &strays, history);
    slots
}

/// A cancel that names another slot than its booking's is a cancel all the same.
fn apply_strays(slots: &mut [SlotBookings<'_>], strays: &[usize], history: &History) {
    if strays.is_empty() {
        return;
    }
    let mut by_booking: HashMap<&str, Vec<&mut HeldInterval<'_>>> = HashMap::default();
    for held in slots.iter_mut().flat_map(|slot| &mut slot.held_intervals) {
        by_booking.entry(held.booking).or_default().push(held);
    }
    for index in strays {
        let operation = &history.operations[*index];
        let (Action::Confirm { booking } | Action::Cancel { booking }) = &operation.action else {
            continue;
        };
        for held in by_booking.get_mut(&**booking).into_iter().flatten() {
            held.change(*index, operation);
        }
    }
}

/// Every booking that was acknowledged in one slot, in the order in which the history first names
/// them; and the indexes of the operations that change a booking which was never acknowledged
/// there.
fn of_slot<'a>(
    operations: &SlotOperations<'a>,
    last_returned: &HashMap<u64, u64>,
) -> (Vec<HeldInterval<'a>>, Vec<usize>) {
    let mut held_intervals: Vec<HeldInterval<'a>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::default();
    let first_sent = first_sent(operations);
    for (index, operation) in operations.iter() {
        if let (Action::Reserve { seats, key }, Outcome::Ok, Some(booking)) =
            (&operation.action, operation.outcome, &operation.seen.booking)
        {
            let place = *places.entry(booking).or_insert_with(|| {
                held_intervals.push(HeldInterval::new(
                    index,
                    operation,
                    booking,
                    i64::from(*seats),
                ));
                held_intervals.len() - 1
            });
            let held = &mut held_intervals[place];
            if let Some(last) = last_returned.get(&operation.client) {
                held.silent_from_ns = *last;
            }
            if operation.returned_ns < held.reserve_returned_ns {
                (held.reserve, held.reserve_returned_ns) = (index, operation.returned_ns);
            }
            let sent_ns = first_sent[&**key];
            held.reserve_sent_ns = held.reserve_sent_ns.min(sent_ns);
            held.hold_over_ns = held.hold_over_ns.min(hold_over_ns(operation, sent_ns));
        }
    }
    let mut strays = Vec::new();
    for (index, operation) in operations.iter() {
        if let Action::Confirm { booking } | Action::Cancel { booking } = &operation.action {
            match places.get(&**booking) {
                Some(place) => held_intervals[*place].change(index, operation),
                None => strays.push(index),
            }
        }
    }
    (held_intervals, strays)
}

/// If the end of a history is missing: when each client's last operation returned. A client has at
/// most one operation in flight, and a history that breaks off holds a prefix of what each client
/// did, so until then none of its operations is missing. Empty for a complete history.
fn last_returned(history: &History) -> HashMap<u64, u64> {
    let mut last = HashMap::default();
    if history.cut_off.is_some() {
        for operation in &history.operations {
            let returned_ns = last.entry(operation.client).or_insert(0);
            *returned_ns = operation.returned_ns.max(*returned_ns);
        }
    }
    last
}

/// When each key was sent for the first time: a call whose outcome is unknown may have made the
/// booking that a later one was told of.
fn first_sent<'a>(operations: &SlotOperations<'a>) -> HashMap<&'a str, u64> {
    let mut first: HashMap<&str, u64> = HashMap::default();
    for (_, operation) in operations.iter() {
        if let Action::Reserve { key, .. } = &operation.action {
            let sent_ns = first.entry(key).or_insert(u64::MAX);
            *sent_ns = operation.sent_ns.min(*sent_ns);
        }
    }
    first
}

impl<'a> HeldInterval<'a> {
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

    /// Applies a confirm or a cancel of this booking.
    fn change(&mut self, index: usize, operation: &Operation) {
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

/// A hold cannot have begun before its reserve was sent, so it cannot run out before this. A
/// booking that is no hold never does.
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
        let slots = by_slot(&history);
        let held = &slots[0].held_intervals[0];
        let pair = |interval: Interval| (interval.from_ns, interval.to_ns);
        (held.certain().map(pair), pair(held.possible()))
    }

    #[test]
    fn a_booking_is_surely_held_from_its_acknowledgement_until_a_cancel_is_sent() {
        assert_eq!(one(vec![reserve("b", 1, 10, 20)]), (Some((20, u64::MAX)), (10, u64::MAX)));
        assert_eq!(
            one(vec![reserve("b", 1, 10, 20), cancel("b", 30, 40)]),
            (Some((20, 30)), (10, 41))
        );
    }

    #[test]
    fn an_unknown_cancel_ends_the_certain_interval_and_not_the_possible_one() {
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
