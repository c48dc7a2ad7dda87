//! Occupancy: how many seats of a slot were taken, at least (`L`) and at most (`U`), at each
//! instant of a run.
//!
//! `L` counts the seats that were surely taken and `U` those that were possibly taken (see
//! `held_interval.rs`); an unknown reserve counts towards `U` from its sending to the end. The
//! truth lies between the two: placing every reserve at its return and every cancel at its sending
//! respects real time and is the lowest of all possible orders at every instant at once; the
//! opposite placing is the highest. So `L > capacity` at one instant is an overbooking in every
//! possible order.

use std::collections::BTreeMap;

use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::Outcome;

use crate::{
    History,
    held_interval::{self, HeldInterval, SlotBookings},
    step_function::{Interval, StepFunction},
};

/// The bounds of one slot.
#[derive(Debug, Default)]
pub struct Occupancy {
    /// Seats that were taken at least.
    pub least: StepFunction,
    /// Seats that were taken at most.
    pub most: StepFunction,
}

impl Occupancy {
    /// From the bookings of one slot, and its operations.
    pub(crate) fn of<'a>(
        held_intervals: &[HeldInterval<'_>],
        operations: impl Iterator<Item = OperationRef<'a>>,
    ) -> Self {
        let mut certain = Vec::with_capacity(held_intervals.len());
        let mut possible = Vec::with_capacity(held_intervals.len());
        for held in held_intervals {
            held.each_certain(|interval, seats| certain.push((interval, seats)));
            held.each_possible(|interval, seats| possible.push((interval, seats)));
        }
        let unanswered =
            operations.filter_map(|operation| match (operation.action, operation.outcome) {
                (ActionRef::Reserve { seats, .. }, Outcome::Unknown) => Some((
                    Interval { from_ns: operation.sent_ns, to_ns: u64::MAX },
                    i64::from(seats),
                )),
                _ => None,
            });
        Self {
            least: StepFunction::of(certain.into_iter()),
            most: StepFunction::of(possible.into_iter().chain(unanswered)),
        }
    }
}

/// How many seats were taken in each slot, at least and at most: what a plot shows.
pub fn by_slot(history: &History) -> BTreeMap<&str, Occupancy> {
    let slots = held_interval::by_slot(history).into_iter();
    let slots = slots.map(|SlotBookings { name, operations, held_intervals }| {
        (name, Occupancy::of(&held_intervals, operations.just()))
    });
    slots.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cancel, history, reserve, unknown};

    #[test]
    fn the_truth_lies_between_least_and_most() {
        let history = history(vec![
            reserve("a", 2, 10, 20),
            cancel("a", 30, 40),
            unknown(reserve("b", 1, 35, 50)),
        ]);
        let occupancy = &by_slot(&history)["s"];
        assert_eq!(occupancy.least, StepFunction { at_ns: vec![20, 30], seats: vec![2, 0] });
        assert_eq!(occupancy.most, StepFunction { at_ns: vec![10, 35, 41], seats: vec![2, 3, 1] });
    }

    #[test]
    fn a_seat_that_changes_hands_at_one_instant_is_counted_once() {
        let history =
            history(vec![reserve("a", 1, 10, 20), cancel("a", 30, 40), reserve("b", 1, 25, 30)]);
        assert_eq!(by_slot(&history)["s"].least.seats.iter().max(), Some(&1));
    }
}
