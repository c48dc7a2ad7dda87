//! A number of seats over time, as a step function.

use std::{cell::Cell, ops::Range};

/// A half-open interval [from, to) of the history's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

/// `seats[i]` holds from `at_ns[i]` until `at_ns[i + 1]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StepFunction {
    /// Instants at which the number changes, rising.
    pub at_ns: Vec<u64>,
    /// The number from then on.
    pub seats: Vec<i64>,
}

impl StepFunction {
    /// The sum of seats that are each taken during an interval.
    pub(crate) fn of(intervals: impl Iterator<Item = (Interval, i64)>) -> Self {
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for (interval, seats) in intervals {
            changes.push((interval.from_ns, seats));
            if interval.to_ns < u64::MAX {
                changes.push((interval.to_ns, -seats));
            }
        }
        // What ends and what begins at one instant is counted together, so that a state that lasts
        // no time does not show.
        changes.sort_unstable_by_key(|(at_ns, _)| *at_ns);
        let mut steps = Self::default();
        let mut now = 0;
        for same in changes.chunk_by(|left, right| left.0 == right.0) {
            now += same.iter().map(|(_, change)| change).sum::<i64>();
            steps.push(same[0].0, now);
        }
        steps
    }

    /// Appends a step.
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

    /// The first instant of [from, to] from which on the number is at least `seats`, for as long as
    /// `lasting_ns` or to the end. Only the first steps are looked at: a longer wait is left
    /// undecided, and is none.
    pub(crate) fn first_at_least(
        &self,
        seats: i64,
        lasting_ns: u64,
        from_ns: u64,
        to_ns: u64,
    ) -> Option<u64> {
        const STEPS: usize = 10_000;
        let mut first_ns: Option<u64> = None;
        for place in self.within(from_ns, to_ns).take(STEPS) {
            let at_ns = self.at_ns[place].max(from_ns);
            match first_ns {
                Some(first_ns) if at_ns >= first_ns.saturating_add(lasting_ns) => break,
                _ if self.seats[place] < seats => first_ns = None,
                Some(_) => {}
                None => first_ns = Some(at_ns),
            }
        }
        first_ns
    }

    /// The indexes of the steps that are in force at some instant of [from, to]. Before the first
    /// step the number is zero.
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> Range<usize> {
        self.within_near(self.at_ns.len() / 2, from_ns, to_ns)
    }

    /// The same, found the sooner the nearer `near` is to its beginning.
    fn within_near(&self, near: usize, from_ns: u64, to_ns: u64) -> Range<usize> {
        let first = steps_until(&self.at_ns, near, from_ns).saturating_sub(1);
        // Most windows are short: the end is near the beginning.
        first..steps_until(&self.at_ns, first, to_ns).max(first)
    }
}

/// How many of the instants, which rise, are not after this one. Looks in steps that double from
/// `near` on: neighbours of what was found before are in the cache.
fn steps_until(at_ns: &[u64], near: usize, until_ns: u64) -> usize {
    let is_before = |place: usize| at_ns[place] <= until_ns;
    let mut stride = 1;
    let (from, to) = if near < at_ns.len() && is_before(near) {
        let mut from = near;
        while from + stride < at_ns.len() && is_before(from + stride) {
            from += stride;
            stride *= 2;
        }
        (from, (from + stride).min(at_ns.len()))
    } else {
        let mut to = near.min(at_ns.len());
        while to > 0 && !is_before(to.saturating_sub(stride)) {
            to = to.saturating_sub(stride);
            stride *= 2;
        }
        (to.saturating_sub(stride), to)
    };
    from + at_ns[from..to].partition_point(|at_ns| *at_ns <= until_ns)
}

/// A step function of which one window after the other is asked for, each near the one before.
#[derive(Debug)]
pub(crate) struct Windows<'a> {
    steps: &'a StepFunction,
    /// Where the last one began.
    near: Cell<usize>,
}

impl<'a> Windows<'a> {
    pub(crate) fn of(steps: &'a StepFunction) -> Self {
        Self { steps, near: Cell::new(0) }
    }

    /// As [`StepFunction::within`].
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> Range<usize> {
        let found = self.steps.within_near(self.near.get(), from_ns, to_ns);
        self.near.set(found.start);
        found
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn a_difference_has_the_steps_of_both() {
        let one = StepFunction { at_ns: vec![0, 10, 20], seats: vec![5, 7, 6] };
        let other = StepFunction { at_ns: vec![5, 10], seats: vec![1, 2] };
        assert_eq!(
            one.minus(&other),
            StepFunction { at_ns: vec![0, 5, 10, 20], seats: vec![5, 4, 5, 4] }
        );
    }

    #[test]
    fn a_window_includes_the_step_that_it_begins_in() {
        let steps = StepFunction { at_ns: vec![10, 20, 30], seats: vec![1, 2, 3] };
        assert_eq!(steps.within(15, 25), 0..2);
        assert_eq!(steps.within(20, 20), 1..2);
        assert_eq!(steps.within(30, 99), 2..3);
        assert_eq!(steps.within(0, 5), 0..0, "before the first step");
        assert_eq!(steps.within(0, 10), 0..1);
    }

    #[test]
    fn a_window_is_the_same_wherever_the_last_one_was() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for length in [0, 1, 2, 3, 50] {
            let mut at_ns: Vec<u64> = (0..length).map(|_| rng.random_range(0..100)).collect();
            at_ns.sort_unstable();
            at_ns.dedup();
            let seats = vec![1; at_ns.len()];
            let steps = StepFunction { at_ns, seats };
            for _ in 0..2_000 {
                let from_ns = rng.random_range(0..110);
                let to_ns = rng.random_range(0..=110);
                let near = rng.random_range(0..=steps.at_ns.len() + 1);
                let until = |ns: u64| steps.at_ns.iter().filter(|at_ns| **at_ns <= ns).count();
                let first = until(from_ns).saturating_sub(1);
                let scanned = first..until(to_ns).max(first);
                assert_eq!(steps.within_near(near, from_ns, to_ns), scanned, "{near}");
            }
        }
    }
}
