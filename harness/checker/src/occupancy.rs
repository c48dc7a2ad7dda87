//! Occupancy: how many seats of a slot were taken, at least (`L`) and at most (`U`), at each instant of a run.
//!
//! `L` counts what was surely taken and `U` what was possibly taken (see `tenure.rs`); an unknown reserve counts towards `U`
//! from its sending, for ever. Whatever really happened, the truth lies between the two: placing every reserve at its return
//! and every cancel at its sending respects real time and is the lowest of all possible orders at every instant at once, and
//! the other way round for the highest. So `L > capacity` at one instant is an overbooking in every possible order.

use std::collections::BTreeMap;

use slotproof_vocabulary::{Action, Outcome};

use crate::{
    History,
    tenure::{Interval, Tenure},
};

/// Seats over time, as steps: `seats[i]` holds from `at_ns[i]` until `at_ns[i + 1]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Instants at which the number changes, rising.
    pub at_ns: Vec<u64>,
    /// The number from then on.
    pub seats: Vec<i64>,
}

impl Steps {
    pub(crate) fn of(intervals: impl Iterator<Item = (Interval, i64)>) -> Self {
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for (interval, seats) in intervals {
            changes.push((interval.from_ns, seats));
            if interval.to_ns < u64::MAX {
                changes.push((interval.to_ns, -seats));
            }
        }
        // What ends and what begins at one instant is counted together, so that nothing shows that lasted no time.
        changes.sort_unstable_by_key(|(at_ns, _)| *at_ns);
        let mut steps = Self::default();
        let mut now = 0;
        for same in changes.chunk_by(|left, right| left.0 == right.0) {
            now += same.iter().map(|(_, change)| change).sum::<i64>();
            steps.at_ns.push(same[0].0);
            steps.seats.push(now);
        }
        steps
    }

    /// The steps that are in force at some instant of [from, to], as a range of indexes; before the first step it is zero.
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

/// The bounds of every slot that somebody reserved in.
pub(crate) fn of<'a>(history: &'a History, tenures: &[Tenure<'a>]) -> BTreeMap<&'a str, Occupancy> {
    let mut surely: BTreeMap<&str, Vec<(Interval, i64)>> = BTreeMap::new();
    let mut possibly: BTreeMap<&str, Vec<(Interval, i64)>> = BTreeMap::new();
    for tenure in tenures {
        surely
            .entry(tenure.slot)
            .or_default()
            .extend(tenure.surely().map(|interval| (interval, tenure.seats)));
        possibly.entry(tenure.slot).or_default().push((tenure.possibly(), tenure.seats));
    }
    for operation in &history.operations {
        if let (Action::Reserve { seats, .. }, Outcome::Unknown) = (&operation.action, operation.outcome) {
            let forever = Interval { from_ns: operation.sent_ns, to_ns: u64::MAX };
            possibly.entry(&operation.slot).or_default().push((forever, i64::from(*seats)));
        }
    }
    let mut occupancies: BTreeMap<&str, Occupancy> = BTreeMap::new();
    for (slot, intervals) in surely {
        occupancies.entry(slot).or_default().least = Steps::of(intervals.into_iter());
    }
    for (slot, intervals) in possibly {
        occupancies.entry(slot).or_default().most = Steps::of(intervals.into_iter());
    }
    occupancies
}

/// The bounds of every slot, for those who draw them.
pub fn occupancies(history: &History) -> BTreeMap<&str, Occupancy> {
    of(history, &crate::tenure::tenures(history))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cancel, history, reserve, unknown};

    #[test]
    fn the_truth_lies_between_least_and_most() {
        let history =
            history(vec![reserve("a", 2, 10, 20), cancel("a", 30, 40), unknown(reserve("b", 1, 35, 50))]);
        let occupancy = &occupancies(&history)["s"];
        assert_eq!(occupancy.least, Steps { at_ns: vec![20, 30], seats: vec![2, 0] });
        assert_eq!(occupancy.most, Steps { at_ns: vec![10, 35, 41], seats: vec![2, 3, 1] });
    }

    #[test]
    fn a_seat_that_changes_hands_at_one_instant_is_counted_once() {
        let history = history(vec![reserve("a", 1, 10, 20), cancel("a", 30, 40), reserve("b", 1, 25, 30)]);
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
