//! Held intervals: for how long a booking held its seats, as far as its client can know.
//!
//! Two sets of intervals bound it. *Certain*: from the return of the reserve that acknowledged it,
//! to the first instant at which its seats may have been given back, which is the sending of a
//! cancel, or for a hold the earliest instant at which it can have run out. A confirm that may have
//! come after that is a new decision: the seats are certain again from its return. *Possible*: from
//! the sending of the first attempt that can have made it, to the return of a cancel that was
//! acknowledged. No client sees the instant at which a sweeper gives the seats of an expired hold
//! back, so such a hold may be held to the end.
//!
//! A hold cannot run out before it is made. It is made after its first attempt was sent (an attempt
//! that was refused for certain made nothing), and not while too few seats can have been free
//! (`begin_when_seats_were_free`).
//!
//! An operation with an unknown outcome makes the certain intervals shorter and the possible ones
//! longer.

use foldhash::{HashMap, HashMapExt};
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::Outcome;

use crate::{
    History,
    changed_booking::{self, Pieces},
    slot_operations::{self, SlotOperations},
    step_function::{Interval, StepFunction},
};

/// What clients know about one booking.
#[derive(Debug, Clone)]
pub(crate) struct HeldInterval<'a> {
    pub(crate) slot: &'a str,
    pub(crate) booking: Name<'a>,
    /// As reserved.
    pub(crate) seats: i64,
    /// Of the reserves that were acknowledged with this booking, the one that returned first.
    pub(crate) reserve: usize,
    /// The confirm that was acknowledged first.
    pub(crate) confirmed: Option<usize>,
    /// The cancel that was acknowledged first.
    pub(crate) cancelled: Option<usize>,
    /// Whether any cancel may have had its effect: acknowledged or unknown.
    pub(crate) maybe_cancelled: bool,
    /// Whether any confirm may have had its effect.
    pub(crate) maybe_confirmed: bool,
    /// Whether it was sold beyond the capacity on purpose.
    pub(crate) overbooks: bool,
    /// Whether it takes no seat before it is confirmed.
    pub(crate) awaits_approval: bool,
    /// Whether its answer says that it is a hold.
    pub(crate) is_hold: bool,
    /// How long it lasts, if it is one.
    pub(crate) hold_ns: u64,
    pub(crate) reserve_sent_ns: u64,
    pub(crate) reserve_returned_ns: u64,
    /// The earliest instant at which the hold can have run out; like the next ones, `u64::MAX` if
    /// there is none.
    pub(crate) hold_over_ns: u64,
    pub(crate) confirm_sent_ns: u64,
    pub(crate) confirm_returned_ns: u64,
    pub(crate) cancel_sent_ns: u64,
    pub(crate) cancel_returned_ns: u64,
    /// From here on the history says nothing about its client, whose cancel may be missing;
    /// `u64::MAX` if the history is complete.
    pub(crate) silent_from_ns: u64,
    /// What it held in this slot, if it was changed.
    pub(crate) pieces: Option<Box<Pieces>>,
}

impl HeldInterval<'_> {
    /// When seats were surely taken, and how many.
    pub(crate) fn each_certain(&self, mut take: impl FnMut(Interval, i64)) {
        if let Some(pieces) = &self.pieces {
            pieces.certain.iter().for_each(|(interval, seats)| take(*interval, *seats));
            return;
        }
        let to_ns = self.cancel_sent_ns.min(self.silent_from_ns);
        let mut piece = |from_ns: u64, to_ns: u64| {
            if from_ns < to_ns {
                take(Interval { from_ns, to_ns }, self.seats);
            }
        };
        if self.awaits_approval {
            piece(self.confirm_returned_ns, to_ns);
        } else if self.confirm_returned_ns < self.hold_over_ns {
            piece(self.reserve_returned_ns, to_ns);
        } else {
            piece(self.reserve_returned_ns, to_ns.min(self.hold_over_ns));
            piece(self.confirm_returned_ns.max(self.reserve_returned_ns), to_ns);
        }
    }

    /// When seats may have been taken, and how many.
    pub(crate) fn each_possible(&self, mut take: impl FnMut(Interval, i64)) {
        if let Some(pieces) = &self.pieces {
            pieces.possible.iter().for_each(|(interval, seats)| take(*interval, *seats));
            return;
        }
        let from_ns =
            if self.awaits_approval { self.confirm_sent_ns } else { self.reserve_sent_ns };
        // At the very instant of the cancel's return the seats may still have been taken.
        let to_ns = self.cancel_returned_ns.saturating_add(1);
        if from_ns < to_ns {
            take(Interval { from_ns, to_ns }, self.seats);
        }
    }

    /// Whether the booking surely took seats at an instant.
    pub(crate) fn surely_held_at(&self, at_ns: u64) -> bool {
        let mut held = false;
        self.each_certain(|interval, _| {
            held |= interval.from_ns <= at_ns && at_ns < interval.to_ns
        });
        held
    }

    /// The booking was made at some instant of [from, to].
    pub(crate) fn reserved_within(&self) -> (u64, u64) {
        (self.reserve_sent_ns, self.reserve_returned_ns)
    }

    /// Whether the hold can have run out before its first acknowledged cancel returned. A hold of
    /// unknown length can.
    pub(crate) fn may_have_expired_before_its_cancel(&self) -> bool {
        self.confirmed.is_none() && (!self.is_hold || self.hold_over_ns <= self.cancel_returned_ns)
    }

    /// Whether a change may have moved the booking to another slot.
    pub(crate) fn may_have_left(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.at_the_end.contains(&0))
    }

    /// Whether the booking was moved here from another slot.
    pub(crate) fn is_a_move(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.entered)
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
    let (mut slots, strays) = of_slots(slot_operations::by_slot(history), &last_returned);
    apply_strays(&mut slots, &strays, history);
    changed_booking::apply(&mut slots, history);
    slots
}

/// The bookings of some slots, as far as the operations of each slot tell; and the indexes of those
/// that may be about the bookings of another slot.
pub(crate) fn of_slots<'a>(
    slots: impl Iterator<Item = (&'a str, SlotOperations<'a>)>,
    last_returned: &HashMap<u64, u64>,
) -> (Vec<SlotBookings<'a>>, Vec<usize>) {
    let mut strays = Vec::new();
    let slots = slots.map(|(name, operations)| {
        let (held_intervals, elsewhere) = of_slot(name, &operations, last_returned);
        strays.extend(elsewhere);
        SlotBookings { name, operations, held_intervals }
    });
    (slots.collect(), strays)
}

/// A cancel that names another slot than its booking's is a cancel all the same.
fn apply_strays(slots: &mut [SlotBookings<'_>], strays: &[usize], history: &History) {
    if strays.is_empty() {
        return;
    }
    let mut by_booking: HashMap<Name<'_>, Vec<&mut HeldInterval<'_>>> = HashMap::default();
    for held in slots.iter_mut().flat_map(|slot| &mut slot.held_intervals) {
        by_booking.entry(held.booking).or_default().push(held);
    }
    for index in strays {
        let operation = history.operations.at(*index);
        let (ActionRef::Confirm { booking } | ActionRef::Cancel { booking }) = operation.action
        else {
            continue;
        };
        for held in by_booking.get_mut(&booking).into_iter().flatten() {
            held.ends(*index, operation);
        }
    }
}

/// Every booking that was acknowledged in one slot, in the order in which the history first names
/// them; and the indexes of the operations that confirm or cancel a booking which was never
/// acknowledged there.
fn of_slot<'a>(
    name: &'a str,
    operations: &SlotOperations<'a>,
    last_returned: &HashMap<u64, u64>,
) -> (Vec<HeldInterval<'a>>, Vec<usize>) {
    let mut held_intervals: Vec<HeldInterval<'a>> = Vec::new();
    let first_sent = first_sent(operations);
    let mut places: HashMap<Name<'_>, usize> = HashMap::with_capacity(first_sent.len());
    for (index, operation) in operations.iter() {
        if let (ActionRef::Reserve { seats, key }, Outcome::Ok, Some(booking)) =
            (operation.action, operation.outcome, operation.seen.booking)
        {
            let place = *places.entry(booking).or_insert_with(|| {
                held_intervals.push(HeldInterval {
                    slot: name,
                    ..HeldInterval::new(index, operation, booking, i64::from(seats))
                });
                held_intervals.len() - 1
            });
            let held = &mut held_intervals[place];
            if let Some(last) = last_returned.get(&operation.client) {
                held.silent_from_ns = *last;
            }
            if operation.returned_ns < held.reserve_returned_ns {
                (held.reserve, held.reserve_returned_ns) = (index, operation.returned_ns);
            }
            let sent_ns = first_sent[&key];
            held.reserve_sent_ns = held.reserve_sent_ns.min(sent_ns);
            held.hold_over_ns = held.hold_over_ns.min(hold_over_ns(operation, sent_ns));
            if let Some(hold_ms) = operation.seen.hold_ms {
                held.is_hold = true;
                held.hold_ns = held.hold_ns.min(hold_ms.saturating_mul(1_000_000));
            }
        }
    }
    let mut strays = Vec::new();
    for (index, operation) in operations.iter() {
        if let ActionRef::Confirm { booking } | ActionRef::Cancel { booking } = operation.action {
            match places.get(&booking) {
                Some(place) => held_intervals[*place].ends(index, operation),
                None => strays.push(index),
            }
        }
    }
    (held_intervals, strays)
}

/// If the end of a history is missing: when each client's last operation returned. A client has at
/// most one operation in flight, and a history that breaks off holds a prefix of what each client
/// did, so until then none of its operations is missing. Empty for a complete history.
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

/// When each key was sent for the first time by an attempt that can have made the booking: one that
/// was acknowledged, or whose outcome is unknown.
pub(crate) fn first_sent<'a>(operations: &SlotOperations<'a>) -> HashMap<Name<'a>, u64> {
    let attempts = || {
        operations.just().filter_map(|operation| match (operation.action, operation.outcome) {
            (ActionRef::Reserve { key, .. }, Outcome::Ok | Outcome::Unknown) => {
                Some((key, operation))
            }
            _ => None,
        })
    };
    let mut first: HashMap<Name<'_>, u64> = HashMap::with_capacity(attempts().count());
    for (key, operation) in attempts() {
        let sent_ns = first.entry(key).or_insert(u64::MAX);
        *sent_ns = operation.sent_ns.min(*sent_ns);
    }
    first
}

impl<'a> HeldInterval<'a> {
    pub(crate) fn new(
        index: usize,
        reserve: OperationRef<'a>,
        booking: Name<'a>,
        seats: i64,
    ) -> Self {
        Self {
            slot: reserve.slot.text(),
            booking,
            seats,
            reserve: index,
            confirmed: None,
            cancelled: None,
            maybe_cancelled: false,
            maybe_confirmed: false,
            overbooks: reserve.may_overbook(),
            awaits_approval: reserve.awaits_approval(),
            is_hold: false,
            hold_ns: u64::MAX,
            reserve_sent_ns: u64::MAX,
            reserve_returned_ns: u64::MAX,
            hold_over_ns: u64::MAX,
            confirm_sent_ns: u64::MAX,
            confirm_returned_ns: u64::MAX,
            cancel_sent_ns: u64::MAX,
            cancel_returned_ns: u64::MAX,
            silent_from_ns: u64::MAX,
            pieces: None,
        }
    }

    /// Applies a confirm or a cancel of this booking.
    fn ends(&mut self, index: usize, operation: OperationRef<'_>) {
        match (operation.action, operation.outcome) {
            (ActionRef::Confirm { .. }, Outcome::Ok) => {
                if operation.returned_ns < self.confirm_returned_ns {
                    (self.confirmed, self.confirm_returned_ns) =
                        (Some(index), operation.returned_ns);
                }
                self.maybe_confirmed = true;
                self.confirm_sent_ns = self.confirm_sent_ns.min(operation.sent_ns);
            }
            // It proves nothing, and may have taken the seats of a request.
            (ActionRef::Confirm { .. }, Outcome::Unknown) => {
                self.maybe_confirmed = true;
                self.confirm_sent_ns = self.confirm_sent_ns.min(operation.sent_ns);
            }
            (ActionRef::Cancel { .. }, Outcome::Ok) => {
                self.cancelled = self.cancelled.or(Some(index));
                self.maybe_cancelled = true;
                self.cancel_sent_ns = self.cancel_sent_ns.min(operation.sent_ns);
                self.cancel_returned_ns = self.cancel_returned_ns.min(operation.returned_ns);
            }
            (ActionRef::Cancel { .. }, Outcome::Unknown) => {
                self.maybe_cancelled = true;
                self.cancel_sent_ns = self.cancel_sent_ns.min(operation.sent_ns);
            }
            // A refused one changed nothing.
            _ => {}
        }
    }
}

/// A hold cannot have begun before its reserve was sent, so it cannot run out before this. A
/// booking that is no hold never does.
fn hold_over_ns(reserve: OperationRef<'_>, sent_ns: u64) -> u64 {
    let hold_ms = reserve.seen.hold_ms;
    hold_ms.map_or(u64::MAX, |hold_ms| sent_ns.saturating_add(hold_ms.saturating_mul(1_000_000)))
}

/// Calls that wait less than this part of their hold are left as they are: it would change little.
const LONG_CALL: u64 = 4;
/// A hold that begins later may let another one begin later.
const ROUNDS: usize = 3;

/// Lets each hold whose call waited for long begin no earlier than its seats can have been free.
pub(crate) fn begin_when_seats_were_free(
    held_intervals: &mut [HeldInterval<'_>],
    capacity: &StepFunction,
) {
    let waited = |held: &HeldInterval<'_>| {
        let lasts_ns = held.hold_over_ns.saturating_sub(held.reserve_sent_ns);
        let waited_ns = held.reserve_returned_ns - held.reserve_sent_ns;
        held.is_hold
            && held.pieces.is_none()
            && !held.overbooks
            && held.confirm_returned_ns >= held.hold_over_ns
            && waited_ns > lasts_ns / LONG_CALL
    };
    if !held_intervals.iter().any(waited) {
        return;
    }
    let mut began: Vec<u64> = held_intervals.iter().map(|held| held.reserve_sent_ns).collect();
    for _ in 0..ROUNDS {
        let free = capacity.minus(&StepFunction::of(taken_between(held_intervals).into_iter()));
        let mut later = false;
        for (held, began_ns) in held_intervals.iter_mut().zip(&mut began) {
            if !waited(held) && *began_ns == held.reserve_sent_ns {
                continue;
            }
            let (from_ns, to_ns) = (*began_ns, held.reserve_returned_ns);
            let first_ns = free.first_at_least(held.seats, held.hold_ns, from_ns, to_ns);
            if let Some(first_ns) = first_ns.filter(|first_ns| first_ns > began_ns) {
                held.hold_over_ns = held.hold_over_ns.saturating_add(first_ns - *began_ns);
                *began_ns = first_ns;
                later = true;
            }
        }
        if !later {
            return;
        }
    }
}

/// The seats that were surely taken, where what returns and what is sent at one instant may have
/// happened in either order: a booking counts only from the instant after its return.
pub(crate) fn taken_between(held_intervals: &[HeldInterval<'_>]) -> Vec<(Interval, i64)> {
    let mut taken = Vec::with_capacity(held_intervals.len());
    for held in held_intervals {
        held.each_certain(|Interval { from_ns, to_ns }, seats| {
            let from_ns = from_ns.saturating_add(1);
            if from_ns < to_ns {
                taken.push((Interval { from_ns, to_ns }, seats));
            }
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::fixture::{cancel, confirm, history, ms, reserve, unknown};

    type Pair = (u64, u64);

    fn one(operations: Vec<Operation>) -> (Vec<Pair>, Vec<Pair>) {
        let history = history(operations);
        let slots = by_slot(&history);
        let held = &slots[0].held_intervals[0];
        let (mut certain, mut possible) = (Vec::new(), Vec::new());
        held.each_certain(|interval, _| certain.push((interval.from_ns, interval.to_ns)));
        held.each_possible(|interval, _| possible.push((interval.from_ns, interval.to_ns)));
        (certain, possible)
    }

    fn hold(mut operation: Operation) -> Operation {
        operation.seen.hold_ms = Some(5);
        operation
    }

    #[test]
    fn a_booking_is_surely_held_from_its_acknowledgement_until_a_cancel_is_sent() {
        let forever = u64::MAX;
        assert_eq!(one(vec![reserve("b", 1, 10, 20)]), (vec![(20, forever)], vec![(10, forever)]));
        assert_eq!(
            one(vec![reserve("b", 1, 10, 20), cancel("b", 30, 40)]),
            (vec![(20, 30)], vec![(10, 41)])
        );
    }

    #[test]
    fn an_unknown_cancel_ends_the_certain_interval_and_not_the_possible_one() {
        assert_eq!(
            one(vec![reserve("b", 1, 10, 20), unknown(cancel("b", 30, 40))]),
            (vec![(20, 30)], vec![(10, u64::MAX)])
        );
    }

    #[test]
    fn a_hold_may_have_run_out_unless_it_was_confirmed() {
        assert_eq!(one(vec![hold(reserve("b", 1, 10, 20))]).0, [(20, 10 + ms(5))]);
        let confirmed = vec![hold(reserve("b", 1, 10, 20)), confirm("b", 30, 40)];
        assert_eq!(one(confirmed).0, [(20, u64::MAX)]);
        let unsure = vec![hold(reserve("b", 1, 10, 20)), unknown(confirm("b", 30, 40))];
        assert_eq!(one(unsure).0, [(20, 10 + ms(5))]);
        let late = vec![hold(reserve("b", 1, 10, 20)), confirm("b", 30, ms(9))];
        assert_eq!(one(late).0, [(20, 10 + ms(5)), (ms(9), u64::MAX)], "a decision of its own");
        let acknowledged_after_it_ran_out = vec![hold(reserve("b", 1, 10, ms(6)))];
        assert_eq!(one(acknowledged_after_it_ran_out).0, []);
    }

    #[test]
    fn a_hold_does_not_begin_with_an_attempt_that_was_refused_for_certain() {
        let refused = Operation {
            outcome: Outcome::Throttled,
            seen: Default::default(),
            ..reserve("b", 1, 0, 5)
        };
        let retried = vec![refused, hold(reserve("b", 1, 10, 20))];
        assert_eq!(one(retried).0, [(20, 10 + ms(5))]);
        let unanswered = vec![unknown(reserve("b", 1, 0, 5)), hold(reserve("b", 1, 10, 20))];
        assert_eq!(one(unanswered).0, [(20, ms(5))], "it can have made the booking");
    }

    #[test]
    fn a_hold_does_not_begin_before_its_seats_can_have_been_free() {
        let history = history(vec![
            reserve("a", 1, 0, 10),
            cancel("a", ms(4), ms(4) + 5),
            hold(reserve("b", 1, 5, ms(6))),
        ]);
        let mut slots = by_slot(&history);
        let one_seat = StepFunction { at_ns: vec![0], seats: vec![1] };
        begin_when_seats_were_free(&mut slots[0].held_intervals, &one_seat);
        assert_eq!(slots[0].held_intervals[1].hold_over_ns, ms(9));
    }
}
