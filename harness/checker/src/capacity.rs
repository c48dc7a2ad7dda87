//! Capacity: how many seats a slot can have had at each instant of a run.
//!
//! A resize takes effect at an unknown instant of its call. So a capacity is possible from the
//! sending of the call that asked for it until a later call for another capacity has returned; one
//! whose resize was never answered stays possible to the end.

use std::collections::BTreeMap;

use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::Outcome;

use crate::step_function::StepFunction;

/// Bounds of the capacity of one slot. Both begin at instant 0.
#[derive(Debug)]
pub(crate) struct CapacityBounds {
    pub(crate) least: StepFunction,
    pub(crate) most: StepFunction,
    /// Every capacity that the slot can have had; the first is the one at the beginning.
    candidates: Vec<Candidate>,
}

/// A capacity, and when the slot can have had it.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    capacity: i64,
    from_ns: u64,
    /// The first instant at which it is impossible; `None` if there is none.
    until_ns: Option<u64>,
}

impl CapacityBounds {
    /// From the capacity at the beginning, and the resizes that changed it or may have.
    pub(crate) fn of<'a>(
        at_first: i64,
        operations: impl Iterator<Item = OperationRef<'a>>,
    ) -> Self {
        let candidates = candidates(at_first, operations);
        let mut changes: Vec<(u64, Change)> = Vec::new();
        for Candidate { capacity, from_ns, until_ns } in &candidates {
            changes.push((*from_ns, Change::Begins(*capacity)));
            changes.extend(until_ns.map(|until_ns| (until_ns, Change::Ends(*capacity))));
        }
        changes.sort_unstable_by_key(|(at_ns, _)| *at_ns);
        let (mut least, mut most) = (StepFunction::default(), StepFunction::default());
        let mut possible: BTreeMap<i64, usize> = BTreeMap::new();
        for same in changes.chunk_by(|left, right| left.0 == right.0) {
            // Begins first, or a capacity that replaces itself would be in force at no instant.
            for (_, change) in same {
                if let Change::Begins(capacity) = change {
                    *possible.entry(*capacity).or_default() += 1;
                }
            }
            for (_, change) in same {
                if let Change::Ends(capacity) = change {
                    let times = possible.get_mut(capacity).expect("what ends has begun");
                    *times -= 1;
                    if *times == 0 {
                        possible.remove(capacity);
                    }
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
        Self { least, most, candidates }
    }

    /// The capacity at the beginning.
    pub(crate) fn at_first(&self) -> i64 {
        self.candidates[0].capacity
    }

    /// Whether a resize changed the capacity, or may have.
    pub(crate) fn may_change(&self) -> bool {
        self.candidates.len() > 1
    }

    /// The fewest and the most seats that the slot can have had at some instant of [from, to].
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> (i64, i64) {
        let least = self.least.seats[self.least.within(from_ns, to_ns)].iter().min();
        let most = self.most.seats[self.most.within(from_ns, to_ns)].iter().max();
        (least.copied().unwrap_or_default(), most.copied().unwrap_or_default())
    }

    /// Whether the slot can have had exactly this capacity at some instant of [from, to].
    pub(crate) fn may_be(&self, capacity: i64, from_ns: u64, to_ns: u64) -> bool {
        self.candidates.iter().any(|candidate| {
            candidate.capacity == capacity
                && candidate.from_ns <= to_ns
                && candidate.until_ns.is_none_or(|until_ns| until_ns > from_ns)
        })
    }

    /// The fewest and the most seats that the slot can have had at the end.
    pub(crate) fn at_the_end(&self) -> (i64, i64) {
        self.within(u64::MAX, u64::MAX)
    }
}

fn candidates<'a>(
    at_first: i64,
    operations: impl Iterator<Item = OperationRef<'a>>,
) -> Vec<Candidate> {
    let resizes: Vec<(i64, OperationRef<'_>)> = operations
        .filter_map(|operation| match (operation.action, operation.outcome) {
            (ActionRef::Resize { capacity }, Outcome::Ok | Outcome::Unknown) => {
                Some((i64::from(capacity), operation))
            }
            _ => None,
        })
        .collect();
    let replaced = Replaced::by(&resizes);
    let first = Candidate { capacity: at_first, from_ns: 0, until_ns: replaced.by_any() };
    let asked_for = resizes.iter().map(|(capacity, operation)| Candidate {
        capacity: *capacity,
        from_ns: operation.sent_ns,
        // A resize that was never answered may take effect at any later time.
        until_ns: (operation.outcome == Outcome::Ok)
            .then(|| replaced.after(operation.returned_ns))
            .flatten(),
    });
    std::iter::once(first).chain(asked_for).collect()
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Begins(i64),
    Ends(i64),
}

/// When, at the latest, an acknowledged resize that was sent at an instant or later had replaced
/// the capacity before it.
struct Replaced {
    sent_ns: Vec<u64>,
    /// The first return among this resize and all that were sent later.
    first_returned_ns: Vec<u64>,
}

impl Replaced {
    fn by(resizes: &[(i64, OperationRef<'_>)]) -> Self {
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

    /// The instant from which on the capacity at the beginning is impossible.
    fn by_any(&self) -> Option<u64> {
        self.by_the_one_at(0)
    }

    /// The instant from which on a capacity is impossible whose resize returned at an instant.
    fn after(&self, at_ns: u64) -> Option<u64> {
        self.by_the_one_at(self.sent_ns.partition_point(|sent_ns| *sent_ns <= at_ns))
    }

    /// At the very instant of the return the old capacity may still have been in force.
    fn by_the_one_at(&self, place: usize) -> Option<u64> {
        self.first_returned_ns.get(place).map(|returned_ns| returned_ns.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::fixture::{history, resize, unknown};

    fn bounds(operations: &[Operation]) -> Vec<(u64, i64, i64)> {
        let CapacityBounds { least, most, .. } =
            CapacityBounds::of(2, history(operations.to_vec()).operations.iter());
        assert_eq!(least.at_ns, most.at_ns);
        least
            .at_ns
            .iter()
            .zip(least.seats.iter().zip(&most.seats))
            .map(|(at_ns, (least, most))| (*at_ns, *least, *most))
            .collect()
    }

    #[test]
    fn without_a_resize_the_capacity_is_what_it_was() {
        assert_eq!(bounds(&[]), [(0, 2, 2)]);
        assert!(!CapacityBounds::of(2, [].into_iter()).may_change());
    }

    #[test]
    fn a_capacity_is_possible_from_its_sending_until_the_next_one_has_returned() {
        let operations = [resize(5, 10, 20), resize(3, 30, 40)];
        assert_eq!(
            bounds(&operations),
            [(0, 2, 2), (10, 2, 5), (21, 5, 5), (30, 3, 5), (41, 3, 3)]
        );
        let capacity = CapacityBounds::of(2, history(operations.to_vec()).operations.iter());
        assert!(capacity.may_be(2, 0, 9) && capacity.may_be(2, 20, 90));
        assert!(!capacity.may_be(2, 21, 90), "replaced by 20");
        assert!(!capacity.may_be(4, 0, 90), "between two capacities, and asked for by neither");
        assert!(capacity.may_be(3, 0, 30) && !capacity.may_be(3, 0, 29), "not sent yet");
        assert_eq!(capacity.at_the_end(), (3, 3));
    }

    #[test]
    fn of_two_at_once_either_may_have_been_the_last() {
        let operations = [resize(5, 10, 30), resize(3, 20, 40)];
        assert_eq!(bounds(&operations), [(0, 2, 2), (10, 2, 5), (20, 2, 5), (31, 3, 5)]);
    }

    #[test]
    fn a_resize_that_was_never_answered_may_take_effect_at_any_time() {
        let operations = [unknown(resize(5, 10, 20)), resize(3, 30, 40)];
        assert_eq!(bounds(&operations), [(0, 2, 2), (10, 2, 5), (30, 2, 5), (41, 3, 5)]);
    }
}
