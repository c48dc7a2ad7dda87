//! Bookings that were changed: moved to another slot, given more or fewer seats, or extended.
//!
//! A change happens in one instant of its call. Until it is sent the booking is as it was, after it
//! has returned it is as the change left it, and in between it may be either: the fewer seats of
//! the two are certain, and the more are possible. A change with an unknown outcome may happen at
//! any later time. Where changes of one booking overlap, any of them may have been the last.
//!
//! A move takes seats in one slot and gives them back in the other. Each slot is judged at some
//! instant of the call; that it is the same instant in both is not judged.

use foldhash::HashMap;
use slotproof_history::{ActionRef, ChangeRef, Name, OperationRef};
use slotproof_vocabulary::Outcome;

use crate::{
    History,
    held_interval::{HeldInterval, SlotBookings},
    step_function::Interval,
};

/// What a changed booking held in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// When how many seats were surely taken, one after the other.
    pub(crate) certain: Vec<(Interval, i64)>,
    /// When how many may have been.
    pub(crate) possible: Vec<(Interval, i64)>,
    /// Whether the booking was moved here.
    pub(crate) entered: bool,
    /// The seats that it may have here at the end; 0: it may be elsewhere.
    pub(crate) at_the_end: Vec<i64>,
}

/// A place that a booking can have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    slot: &'a str,
    seats: i64,
    /// The sending of the call that led to it.
    from_ns: u64,
    /// The return of that call; `u64::MAX` if it was not answered.
    returned_ns: u64,
    /// By when a later change had replaced it; `u64::MAX` if none did for certain.
    until_ns: u64,
}

/// The fewest and the most seats in a slot from an instant on.
#[derive(Debug, Clone, Copy)]
struct Stage {
    from_ns: u64,
    fewest: i64,
    most: i64,
}

/// The changes of a history that happened or may have, by booking, in the order of their sending.
pub(crate) fn changes(history: &History) -> HashMap<Name<'_>, Vec<(usize, OperationRef<'_>)>> {
    let mut changes: HashMap<Name<'_>, Vec<(usize, OperationRef<'_>)>> = HashMap::default();
    for (index, operation) in history.indexed() {
        if let (ActionRef::Change { booking, .. }, Outcome::Ok | Outcome::Unknown) =
            (operation.action, operation.outcome)
        {
            changes.entry(booking).or_default().push((index, operation));
        }
    }
    for of_booking in changes.values_mut() {
        of_booking.sort_by_key(|(index, operation)| (operation.sent_ns, *index));
    }
    changes
}

/// Replaces the intervals of bookings that were changed.
pub(crate) fn apply<'a>(slots: &mut [SlotBookings<'a>], history: &'a History) {
    let changes = changes(history);
    if changes.is_empty() {
        return;
    }
    let mut changed: Vec<HeldInterval<'a>> = Vec::new();
    for slot in slots.iter() {
        let held = slot.held_intervals.iter();
        changed.extend(held.filter(|held| changes.contains_key(&held.booking)).cloned());
    }
    for held in changed {
        let changes = &changes[&held.booking];
        for slot in slots.iter_mut() {
            let here = *slot.name == *held.slot;
            let moved_here =
                changes.iter().any(|(_, it)| it.moves_to().is_some_and(|to| *to == *slot.name));
            if !here && !moved_here {
                continue;
            }
            let pieces =
                Some(Box::new(Pieces { entered: !here, ..pieces(&held, changes, slot.name) }));
            let own = |it: &&mut HeldInterval<'a>| here && it.booking == held.booking;
            match slot.held_intervals.iter_mut().find(own) {
                Some(own) => own.pieces = pieces,
                None => slot.held_intervals.push(HeldInterval {
                    slot: slot.name,
                    pieces,
                    ..held.clone()
                }),
            }
        }
    }
}

fn pieces(held: &HeldInterval<'_>, changes: &[(usize, OperationRef<'_>)], slot: &str) -> Pieces {
    let (fewest, most, at_the_end) = stages(held, changes, slot);
    let to_ns = held.cancel_returned_ns.saturating_add(1);
    let from_ns = if held.awaits_approval { held.confirm_sent_ns } else { held.reserve_sent_ns };
    let mut pieces = Pieces { at_the_end, ..Pieces::default() };
    for life in lives(held, changes) {
        clipped(&fewest, life, |stage| stage.fewest, &mut pieces.certain);
    }
    if from_ns < to_ns {
        clipped(&most, Interval { from_ns, to_ns }, |stage| stage.most, &mut pieces.possible);
    }
    pieces
}

/// When the booking surely took seats somewhere.
fn lives(held: &HeldInterval<'_>, changes: &[(usize, OperationRef<'_>)]) -> Vec<Interval> {
    let end_ns = held.cancel_sent_ns.min(held.silent_from_ns);
    // Answers that let the booking live until a later instant, by their return.
    let mut renewals = vec![(held.confirm_returned_ns, u64::MAX)];
    for (_, change) in changes.iter().filter(|(_, it)| it.outcome == Outcome::Ok) {
        if let Some(hold_ms) = change.seen.hold_ms {
            let over_ns = change.sent_ns.saturating_add(hold_ms.saturating_mul(1_000_000));
            renewals.push((change.returned_ns, over_ns));
        }
    }
    renewals.sort_unstable();
    let (mut from_ns, mut to_ns) = if held.awaits_approval {
        (held.confirm_returned_ns, u64::MAX)
    } else {
        (held.reserve_returned_ns, held.hold_over_ns)
    };
    let mut lives = Vec::new();
    for (returned_ns, over_ns) in renewals.into_iter().filter(|(at_ns, _)| *at_ns < u64::MAX) {
        if returned_ns < to_ns {
            // A confirmed booking is not a hold again.
            to_ns = if to_ns == u64::MAX { to_ns } else { over_ns };
        } else {
            lives.push(Interval { from_ns, to_ns });
            (from_ns, to_ns) = (returned_ns, over_ns);
        }
    }
    lives.push(Interval { from_ns, to_ns });
    lives.iter_mut().for_each(|life| life.to_ns = life.to_ns.min(end_ns));
    lives.retain(|life| life.from_ns < life.to_ns);
    lives
}

/// The seats of a booking in one slot over time: where the fewest count, where the most count, and
/// what they can be at the end.
fn stages(
    held: &HeldInterval<'_>,
    changes: &[(usize, OperationRef<'_>)],
    slot: &str,
) -> (Vec<Stage>, Vec<Stage>, Vec<i64>) {
    let places = places(held, changes);
    let here = |place: &Place<'_>| if *place.slot == *slot { place.seats } else { 0 };
    let stage = |from_ns: u64, last: fn(&Place<'_>) -> u64| {
        let seats: Vec<i64> = places
            .iter()
            .filter(|place| place.from_ns <= from_ns && from_ns < last(place))
            .map(here)
            .collect();
        let fewest = seats.iter().min().copied().unwrap_or_default();
        Stage { from_ns, fewest, most: seats.iter().max().copied().unwrap_or_default() }
    };
    let stages = |last: fn(&Place<'_>) -> u64| -> Vec<Stage> {
        let begin = places.iter().map(|place| place.from_ns);
        let mut instants: Vec<u64> = begin.chain(places.iter().map(last)).collect();
        instants.retain(|at_ns| *at_ns < u64::MAX);
        instants.sort_unstable();
        instants.dedup();
        instants.into_iter().map(|at_ns| stage(at_ns, last)).collect()
    };
    let mut at_the_end: Vec<i64> =
        places.iter().filter(|place| place.until_ns == u64::MAX).map(here).collect();
    at_the_end.sort_unstable();
    at_the_end.dedup();
    // At the very instant of a return the seats before may still have been taken.
    let most = stages(|place| place.until_ns.saturating_add(1));
    (stages(|place| place.until_ns), most, at_the_end)
}

/// The places that a booking can have had, in the order of the calls that led to them.
fn places<'a>(held: &HeldInterval<'a>, changes: &[(usize, OperationRef<'a>)]) -> Vec<Place<'a>> {
    let mut places = vec![Place {
        slot: held.slot,
        seats: held.seats,
        from_ns: 0,
        returned_ns: held.reserve_returned_ns,
        until_ns: u64::MAX,
    }];
    for (_, change) in changes {
        let ActionRef::Change { to, .. } = change.action else { continue };
        let answered = change.outcome == Outcome::Ok;
        let ChangeRef { slot, seats } = to;
        let before = places.iter().filter(|place| place.until_ns >= change.sent_ns);
        let mut after: Vec<Place<'a>> = Vec::new();
        for before in before {
            let place = Place {
                slot: slot.map_or(before.slot, Name::text),
                seats: seats.map_or(before.seats, i64::from),
                from_ns: change.sent_ns,
                returned_ns: if answered { change.returned_ns } else { u64::MAX },
                until_ns: u64::MAX,
            };
            if !after.contains(&place) {
                after.push(place);
            }
        }
        if answered {
            let replaced = |place: &&mut Place<'a>| place.returned_ns < change.sent_ns;
            for place in places.iter_mut().filter(replaced) {
                place.until_ns = place.until_ns.min(change.returned_ns);
            }
        }
        places.extend(after);
    }
    places
}

/// The stages within an interval that take seats.
fn clipped(
    stages: &[Stage],
    within: Interval,
    seats: impl Fn(&Stage) -> i64,
    pieces: &mut Vec<(Interval, i64)>,
) {
    for (place, stage) in stages.iter().enumerate() {
        let next_ns = stages.get(place + 1).map_or(u64::MAX, |next| next.from_ns);
        let from_ns = stage.from_ns.max(within.from_ns);
        let to_ns = next_ns.min(within.to_ns);
        if from_ns < to_ns && seats(stage) > 0 {
            pieces.push((Interval { from_ns, to_ns }, seats(stage)));
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::operation_builder::change;

    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        fixture::{history, ms, reserve, unknown},
        held_interval::by_slot,
    };

    type Piece = (u64, u64, i64);

    /// The certain and the possible pieces of the one booking in a slot.
    fn held(slot: &str, operations: Vec<Operation>) -> (Vec<Piece>, Vec<Piece>) {
        let history = history(operations);
        let slots = by_slot(&history);
        let slot = slots.iter().find(|it| it.name == slot).expect("the history names it");
        let (mut certain, mut possible) = (Vec::new(), Vec::new());
        let flat = |it: Interval, seats| (it.from_ns, it.to_ns, seats);
        slot.held_intervals[0].each_certain(|it, seats| certain.push(flat(it, seats)));
        slot.held_intervals[0].each_possible(|it, seats| possible.push(flat(it, seats)));
        (certain, possible)
    }

    const FOREVER: u64 = u64::MAX;

    #[test]
    fn a_party_that_grows_smaller_gives_seats_back_during_the_call() {
        let smaller = change("s", "a").seats(2).at(20, 30).ok();
        let (certain, possible) = held("s", vec![reserve("a", 3, 0, 10), smaller.clone()]);
        assert_eq!(certain, [(10, 20, 3), (20, 30, 2), (30, FOREVER, 2)]);
        assert_eq!(possible, [(0, 20, 3), (20, 31, 3), (31, FOREVER, 2)]);
        let (certain, possible) = held("s", vec![reserve("a", 3, 0, 10), unknown(smaller)]);
        assert_eq!(certain.last(), Some(&(20, FOREVER, 2)));
        assert_eq!(possible.last(), Some(&(20, FOREVER, 3)));
    }

    #[test]
    fn a_move_takes_seats_there_and_gives_them_back_here() {
        let operations =
            || vec![reserve("a", 1, 0, 10), change("s", "a").to_slot("t").at(20, 30).ok()];
        assert_eq!(held("s", operations()).0, [(10, 20, 1)]);
        assert_eq!(held("t", operations()).0, [(30, FOREVER, 1)]);
        assert_eq!(held("t", operations()).1.first(), Some(&(20, 31, 1)));
    }

    #[test]
    fn an_extension_lets_a_hold_live_from_its_sending() {
        let mut hold = reserve("a", 1, 0, 10);
        hold.seen.hold_ms = Some(5);
        let extended = change("s", "a").hold_ms(9).at(20, 30).ok();
        let last = |operations| held("s", operations).0.last().copied();
        assert_eq!(last(vec![hold.clone(), extended]), Some((30, 20 + ms(9), 1)));
        let late = change("s", "a").hold_ms(9).at(ms(6), ms(7)).ok();
        assert_eq!(held("s", vec![hold, late]).0.len(), 2, "it may have run out in between");
    }

    #[test]
    fn of_two_changes_at_once_either_may_have_been_the_last() {
        let change = |seats, sent_ns, returned_ns| {
            change("s", "a").seats(seats).at(sent_ns, returned_ns).ok()
        };
        let operations = vec![reserve("a", 4, 0, 10), change(3, 20, 40), change(2, 30, 50)];
        let (certain, possible) = held("s", operations);
        assert_eq!(certain.last(), Some(&(40, FOREVER, 2)));
        assert_eq!(possible.last(), Some(&(41, FOREVER, 3)));
    }
}
