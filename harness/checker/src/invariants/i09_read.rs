//! I9: a read is possible at some instant of its call. So is any other answer that says how many seats are left, unless it may be a receipt,
//! which is as old as the first call by its key.
//!
//! A read of `available` seats is impossible for certain if capacity - available lies outside [least, most] at every instant of
//! the call. Neighbouring steps overlap or touch, so the union over the call is one interval, and its ends decide. Sound.

use slotproof_vocabulary::{Action, Finding, Invariant, Outcome, Witness};

use super::{Count, Evidence, i10_session::repeated_keys, witness};
use crate::{extrema::Maxima, occupancy::Steps, tenure::Interval};

use std::collections::BTreeMap;

/// Bounds of one slot, ready to be asked for a window.
struct Bounds<'a> {
    most: &'a Steps,
    most_maxima: Maxima,
    /// See [`least_between`].
    least: Steps,
    /// Maxima of the negated least: its minima.
    least_minima: Maxima,
}

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::I9);
    let mut slots = BTreeMap::new();
    let repeated = repeated_keys(evidence);
    let mut surely: BTreeMap<&str, Vec<(Interval, i64)>> = BTreeMap::new();
    for tenure in &evidence.tenures {
        surely
            .entry(tenure.slot)
            .or_default()
            .extend(tenure.surely().map(|interval| (interval, tenure.seats)));
    }
    for (index, operation) in evidence.case.history.indexed() {
        let Some(available) = operation.seen.available.filter(|_| operation.outcome != Outcome::Unknown)
        else {
            continue;
        };
        if matches!(&operation.action, Action::Reserve { key, .. } if repeated.contains(key.as_str())) {
            continue;
        }
        count.examine();
        let slot = operation.slot.as_str();
        let capacity = evidence.case.capacity_of(slot);
        let taken = capacity - available;
        let (fewest, most) = match evidence.occupancies.get(slot) {
            None => (0, 0),
            Some(occupancy) => {
                let bounds = slots.entry(slot).or_insert_with(|| {
                    let least = surely.remove(slot).map(least_between).unwrap_or_default();
                    Bounds {
                        most: &occupancy.most,
                        most_maxima: Maxima::of(occupancy.most.seats.clone()),
                        least_minima: Maxima::of(least.seats.iter().map(|seats| -seats).collect()),
                        least,
                    }
                });
                bounds.within(operation.sent_ns, operation.returned_ns)
            }
        };
        if !(fewest..=most).contains(&taken) {
            count.violation(|| Witness {
                operations: evidence.case.history.show([index]),
                ..witness(slot, format!("this answer says that {taken} seats are taken; during its call it was {fewest} to {most}"))
            });
        }
    }
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| format!("all {examined} answers about seats were possible at some instant of their call"),
        |violations, examined| {
            format!(
                "{violations} of {examined} answers about seats were possible at no instant of their call"
            )
        },
    ))
}

/// The least that was taken, where what returns and what is sent at one instant may have happened in either order: a booking counts only
/// from the instant after its return. (For I1 that would be too little: there the two are counted together.)
fn least_between(surely: Vec<(Interval, i64)>) -> Steps {
    let later = |(interval, seats): (Interval, i64)| {
        let from_ns = interval.from_ns.saturating_add(1);
        (from_ns < interval.to_ns).then_some((Interval { from_ns, ..interval }, seats))
    };
    Steps::of(surely.into_iter().filter_map(later))
}

impl Bounds<'_> {
    /// The least and the most seats that can have been taken at some instant of [from, to].
    fn within(&self, from_ns: u64, to_ns: u64) -> (i64, i64) {
        let most = self.most.within(from_ns, to_ns);
        let most = self.most_maxima.max(most.start, most.end).unwrap_or(0);
        let steps = self.least.within(from_ns, to_ns);
        // Before the first step nothing is surely taken.
        let before_first = self.least.at_ns.first().is_none_or(|first| from_ns < *first);
        let least =
            if before_first { 0 } else { -self.least_minima.max(steps.start, steps.end).unwrap_or(0) };
        (least, most)
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::{
        fixture::{cancel, case, read, reserve, unknown},
        invariants::only,
    };

    fn verdict(capacity: i64, operations: Vec<Operation>) -> Verdict {
        only(&case(capacity, operations), Invariant::I9).verdict
    }

    #[test]
    fn a_read_may_see_any_state_of_its_call() {
        let held = || reserve("a", 1, 0, 10);
        assert_eq!(verdict(3, vec![read(3, 0, 5)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), read(2, 20, 30)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), read(3, 5, 8)]), Verdict::Upheld, "the reserve was in flight");
        assert_eq!(verdict(3, vec![held(), cancel("a", 20, 40), read(3, 25, 30)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), cancel("a", 20, 40), read(2, 25, 30)]), Verdict::Upheld);
        assert_eq!(verdict(3, vec![held(), read(3, 10, 30)]), Verdict::Upheld, "at one instant");
        assert_eq!(
            verdict(3, vec![reserve("z", 1, 0, 5), held(), read(2, 10, 30)]),
            Verdict::Upheld,
            "at one instant"
        );
        let changed_hands = vec![held(), cancel("a", 30, 40), reserve("b", 1, 20, 30), read(3, 25, 35)];
        assert_eq!(verdict(3, changed_hands), Verdict::Upheld, "between the two, at one instant");
        assert_eq!(verdict(3, vec![unknown(held()), read(2, 90, 99)]), Verdict::Upheld);
    }

    #[test]
    fn a_read_of_the_past_or_of_nothing_that_was_is_impossible() {
        let held = || reserve("a", 1, 0, 10);
        assert_eq!(verdict(3, vec![held(), read(3, 20, 30)]), Verdict::Violated, "stale");
        assert_eq!(verdict(3, vec![held(), read(1, 20, 30)]), Verdict::Violated, "too few");
        assert_eq!(
            verdict(3, vec![held(), cancel("a", 20, 40), read(2, 50, 60)]),
            Verdict::Violated,
            "after the cancel"
        );
        assert_eq!(verdict(3, vec![read(2, 0, 5)]), Verdict::Violated);
    }
}
