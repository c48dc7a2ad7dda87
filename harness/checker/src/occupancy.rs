//! Occupancy: how many seats of a slot were taken, at least (`L`) and at most (`U`), at each
//! instant of a run.
//!
//! `L` counts what was surely taken and `U` what was possibly taken (see `tenure.rs`); an unknown
//! reserve counts towards `U` from its sending, for ever. Whatever really happened, the truth lies
//! between the two: placing every reserve at its return and every cancel at its sending respects
//! real time and is the lowest of all possible orders at every instant at once, and the other way
//! round for the highest. So `L > capacity` at one instant is an overbooking in every possible
//! order.

use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::tenure::{Interval, Tenure};

/// Seats over time, as steps: `seats[i]` holds from `at_ns[i]` until `at_ns[i + 1]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Instants at which the number changes, rising.
    pub at_ns: Vec<u64>,
    /// The number from then on.
    pub seats: Vec<i64>,
}

impl Steps {
    /// The sum of seats that are taken for a while each.
    pub(crate) fn of(intervals: impl Iterator<Item = (Interval, i64)>) -> Self {
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for (interval, seats) in intervals {
            changes.push((interval.from_ns, seats));
            if interval.to_ns < u64::MAX {
                changes.push((interval.to_ns, -seats));
            }
        }
        // What ends and what begins at one instant is counted together, so that nothing shows that
        // lasted no time.
        changes.sort_unstable_by_key(|(at_ns, _)| *at_ns);
        let mut steps = Self::default();
        let mut now = 0;
        for same in changes.chunk_by(|left, right| left.0 == right.0) {
            now += same.iter().map(|(_, change)| change).sum::<i64>();
            steps.push(same[0].0, now);
        }
        steps
    }

    /// Adds a step behind the others.
    pub(crate) fn push(&mut self, at_ns: u64, seats: i64) {
        self.at_ns.push(at_ns);
        self.seats.push(seats);
    }

    /// The difference at every instant. Before its first step a number is zero.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut difference = Self {
            at_ns: Vec::with_capacity(self.at_ns.len() + other.at_ns.len()),
            seats: Vec::with_capacity(self.at_ns.len() + other.at_ns.len()),
        };
        let (mut own, mut others) = (0, 0);
        loop {
            let next = [self.at_ns.get(own), other.at_ns.get(others)].into_iter().flatten().min();
            let Some(at_ns) = next.copied() else { return difference };
            own += usize::from(self.at_ns.get(own) == Some(&at_ns));
            others += usize::from(other.at_ns.get(others) == Some(&at_ns));
            let before = |steps: &Self, place: usize| {
                place.checked_sub(1).map_or(0, |place| steps.seats[place])
            };
            difference.push(at_ns, before(self, own) - before(other, others));
        }
    }

    /// The steps that are in force at some instant of [from, to], as a range of indexes; before the
    /// first step it is zero.
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> std::ops::Range<usize> {
        let first = self.at_ns.partition_point(|at_ns| *at_ns <= from_ns).saturating_sub(1);
        first..self.at_ns.partition_point(|at_ns| *at_ns <= to_ns)
    }
}

/// The bounds of one slot.
#[derive(Debug, Default)]
pub struct Occupancy {
    /// Seats that were taken at least.
    pub least: Steps,
    /// Seats that were taken at most.
    pub most: Steps,
}

impl Occupancy {
    /// From the bookings of one slot, and its operations.
    pub(crate) fn of<'a>(
        tenures: &[Tenure<'_>],
        operations: impl Iterator<Item = &'a Operation>,
    ) -> Self {
        let surely = tenures.iter().filter_map(|tenure| Some((tenure.surely()?, tenure.seats)));
        let possibly = tenures.iter().map(|tenure| (tenure.possibly(), tenure.seats));
        let perhaps =
            operations.filter_map(|operation| match (&operation.action, operation.outcome) {
                (Action::Reserve { seats, .. }, Outcome::Unknown) => Some((
                    Interval { from_ns: operation.sent_ns, to_ns: u64::MAX },
                    i64::from(*seats),
                )),
                _ => None,
            });
        Self { least: Steps::of(surely), most: Steps::of(possibly.chain(perhaps)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{cancel, history, reserve, unknown},
        slots::occupancies,
    };

    #[test]
    fn the_truth_lies_between_least_and_most() {
        let history = history(vec![
            reserve("a", 2, 10, 20),
            cancel("a", 30, 40),
            unknown(reserve("b", 1, 35, 50)),
        ]);
        let occupancy = &occupancies(&history)["s"];
        assert_eq!(occupancy.least, Steps { at_ns: vec![20, 30], seats: vec![2, 0] });
        assert_eq!(occupancy.most, Steps { at_ns: vec![10, 35, 41], seats: vec![2, 3, 1] });
    }

    #[test]
    fn a_difference_has_the_steps_of_both() {
        let one = Steps { at_ns: vec![0, 10, 20], seats: vec![5, 7, 6] };
        let other = Steps { at_ns: vec![5, 10], seats: vec![1, 2] };
        assert_eq!(one.minus(&other), Steps { at_ns: vec![0, 5, 10, 20], seats: vec![5, 4, 5, 4] });
    }

    #[test]
    fn a_seat_that_changes_hands_at_one_instant_is_counted_once() {
        let history =
            history(vec![reserve("a", 1, 10, 20), cancel("a", 30, 40), reserve("b", 1, 25, 30)]);
        assert_eq!(occupancies(&history)["s"].least.seats.iter().max(), Some(&1));
    }

    #[test]
    fn a_window_includes_the_step_that_it_begins_in() {
        let steps = Steps { at_ns: vec![10, 20, 30], seats: vec![1, 2, 3] };
        assert_eq!(steps.within(15, 25), 0..2);
        assert_eq!(steps.within(20, 20), 1..2);
        assert_eq!(steps.within(30, 99), 2..3);
        assert_eq!(steps.within(0, 5), 0..0, "before the first step");
        assert_eq!(steps.within(0, 10), 0..1);
    }
}
