//! Free seats: how many seats of a slot were left, at least and at most, at each instant of a run.
//!
//! What was taken lies between two bounds (`occupancy.rs`), and so does the number of seats, where
//! somebody changes it: a number is possible from when the call that asked for it was sent, until a
//! later call for another one has returned. The most that can have been free is the most seats less
//! the fewest taken; the least is the other way round.

use std::collections::BTreeMap;

use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::{
    extrema::Maxima,
    occupancy::{Occupancy, Steps},
};

/// Bounds of the number of seats of one slot. Both begin at instant 0.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(crate) least: Steps,
    pub(crate) most: Steps,
}

impl Capacity {
    /// From the number at the beginning, and the calls that changed it or may have.
    pub(crate) fn of<'a>(at_first: i64, operations: impl Iterator<Item = &'a Operation>) -> Self {
        let resizes: Vec<(i64, &Operation)> = operations
            .filter_map(|operation| match (&operation.action, operation.outcome) {
                (Action::Resize { capacity }, Outcome::Ok | Outcome::Unknown) => {
                    Some((i64::from(*capacity), operation))
                }
                _ => None,
            })
            .collect();
        let replaced = Replaced::by(&resizes);
        let mut changes: Vec<(u64, Change)> = vec![(0, Change::Begins(at_first))];
        changes.extend(replaced.after(0).map(|at_ns| (at_ns, Change::Ends(at_first))));
        for (capacity, operation) in &resizes {
            changes.push((operation.sent_ns, Change::Begins(*capacity)));
            // What nobody answered may come into force at any time.
            if operation.outcome == Outcome::Ok {
                changes.extend(
                    replaced
                        .after(operation.returned_ns)
                        .map(|at_ns| (at_ns, Change::Ends(*capacity))),
                );
            }
        }
        changes.sort_unstable_by_key(|(at_ns, _)| *at_ns);
        let (mut least, mut most) = (Steps::default(), Steps::default());
        let mut possible: BTreeMap<i64, usize> = BTreeMap::new();
        for same in changes.chunk_by(|left, right| left.0 == right.0) {
            // Begins first, or a number that replaces itself would be in force at no instant.
            for (_, change) in same.iter().filter(|(_, change)| matches!(change, Change::Begins(_)))
            {
                *possible.entry(change.capacity()).or_default() += 1;
            }
            for (_, change) in same.iter().filter(|(_, change)| matches!(change, Change::Ends(_))) {
                let times = possible.get_mut(&change.capacity()).expect("what ends has begun");
                *times -= 1;
                if *times == 0 {
                    possible.remove(&change.capacity());
                }
            }
            let (Some(fewest), Some(largest)) =
                (possible.keys().next(), possible.keys().next_back())
            else {
                continue;
            };
            least.push(same[0].0, *fewest);
            most.push(same[0].0, *largest);
        }
        Self { least, most }
    }

    /// The fewest and the most seats that the slot can have had at some instant of [from, to].
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> (i64, i64) {
        let least = self.least.seats[self.least.within(from_ns, to_ns)].iter().min();
        let most = self.most.seats[self.most.within(from_ns, to_ns)].iter().max();
        (least.copied().unwrap_or_default(), most.copied().unwrap_or_default())
    }

    /// The fewest that the slot can have had when all was over.
    pub(crate) fn least_at_the_end(&self) -> i64 {
        self.least.seats.last().copied().unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Begins(i64),
    Ends(i64),
}

impl Change {
    fn capacity(self) -> i64 {
        match self {
            Self::Begins(capacity) | Self::Ends(capacity) => capacity,
        }
    }
}

/// When, at the latest, an acknowledged resize that was sent at an instant or later had replaced
/// what was there.
struct Replaced {
    sent_ns: Vec<u64>,
    /// The first return among this one and all that were sent later.
    first_returned_ns: Vec<u64>,
}

impl Replaced {
    fn by(resizes: &[(i64, &Operation)]) -> Self {
        let mut calls: Vec<(u64, u64)> = resizes
            .iter()
            .filter(|(_, operation)| operation.outcome == Outcome::Ok)
            .map(|(_, operation)| (operation.sent_ns, operation.returned_ns))
            .collect();
        calls.sort_unstable();
        let sent_ns = calls.iter().map(|(sent_ns, _)| *sent_ns).collect();
        let mut first_returned_ns: Vec<u64> = calls
            .iter()
            .rev()
            .scan(u64::MAX, |first, (_, returned_ns)| {
                *first = (*first).min(*returned_ns);
                Some(*first)
            })
            .collect();
        first_returned_ns.reverse();
        Self { sent_ns, first_returned_ns }
    }

    /// The instant from which on the old number is impossible: at the very instant of the return it
    /// may still have been there.
    fn after(&self, at_ns: u64) -> Option<u64> {
        let first = self.sent_ns.partition_point(|sent_ns| *sent_ns <= at_ns);
        // What was there at the beginning is replaced by any of them.
        let first = if at_ns == 0 { 0 } else { first };
        self.first_returned_ns.get(first).map(|returned_ns| returned_ns.saturating_add(1))
    }
}

/// Bounds of the free seats of one slot. Both begin at instant 0.
#[derive(Debug)]
pub(crate) struct Free {
    pub(crate) at_least: Steps,
    pub(crate) at_most: Steps,
}

impl Free {
    pub(crate) fn of(capacity: &Capacity, taken: &Occupancy) -> Self {
        Self {
            at_least: capacity.least.minus(&taken.most),
            at_most: capacity.most.minus(&taken.least),
        }
    }

    /// Whether all seats were surely taken at some instant.
    pub(crate) fn none_at_some_instant(&self) -> bool {
        self.at_most.seats.iter().any(|seats| *seats <= 0)
    }
}

/// A bound, ready to be asked for its extreme in a window. It begins at instant 0.
pub(crate) struct Windows<'a> {
    steps: &'a Steps,
    maxima: Maxima,
    sign: i64,
}

impl<'a> Windows<'a> {
    /// To be asked for the largest value of a window.
    pub(crate) fn largest(steps: &'a Steps) -> Self {
        Self { steps, maxima: Maxima::of(steps.seats.clone()), sign: 1 }
    }

    /// To be asked for the smallest.
    pub(crate) fn smallest(steps: &'a Steps) -> Self {
        Self {
            steps,
            maxima: Maxima::of(steps.seats.iter().map(|seats| -seats).collect()),
            sign: -1,
        }
    }

    /// The extreme within [from, to].
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> i64 {
        let places = self.steps.within(from_ns, to_ns);
        self.sign * self.maxima.max(places.start, places.end).expect("a bound begins at instant 0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{resize, unknown};

    fn bounds(operations: &[Operation]) -> Vec<(u64, i64, i64)> {
        let Capacity { least, most } = Capacity::of(2, operations.iter());
        assert_eq!(least.at_ns, most.at_ns);
        least
            .at_ns
            .iter()
            .zip(least.seats.iter().zip(&most.seats))
            .map(|(at_ns, (least, most))| (*at_ns, *least, *most))
            .collect()
    }

    #[test]
    fn without_a_resize_the_number_is_what_it_was() {
        assert_eq!(bounds(&[]), [(0, 2, 2)]);
    }

    #[test]
    fn a_number_is_possible_from_its_sending_until_the_next_one_has_returned() {
        let operations = [resize(5, 10, 20), resize(3, 30, 40)];
        assert_eq!(
            bounds(&operations),
            [(0, 2, 2), (10, 2, 5), (21, 5, 5), (30, 3, 5), (41, 3, 3)]
        );
    }

    #[test]
    fn of_two_at_once_either_may_have_been_the_last() {
        let operations = [resize(5, 10, 30), resize(3, 20, 40)];
        assert_eq!(bounds(&operations), [(0, 2, 2), (10, 2, 5), (20, 2, 5), (31, 3, 5)]);
    }

    #[test]
    fn one_that_nobody_answered_may_come_into_force_at_any_time() {
        let operations = [unknown(resize(5, 10, 20)), resize(3, 30, 40)];
        assert_eq!(bounds(&operations), [(0, 2, 2), (10, 2, 5), (30, 2, 5), (41, 3, 5)]);
    }
}
