//! Availability: how many seats of a slot were free, at least and at most, at each instant of a
//! run.
//!
//! The seats taken lie between two bounds (`occupancy.rs`), and so does the capacity
//! (`capacity.rs`). The most that can have been free is the largest capacity less the fewest seats
//! taken; the least is the smallest capacity less the most taken.

use crate::{
    capacity::CapacityBounds,
    extrema::Maxima,
    occupancy::Occupancy,
    step_function::{StepFunction, Windows},
};

/// Bounds of the free seats of one slot. Both begin at instant 0.
#[derive(Debug)]
pub(crate) struct AvailabilityBounds {
    pub(crate) at_least: StepFunction,
    pub(crate) at_most: StepFunction,
}

impl AvailabilityBounds {
    pub(crate) fn of(capacity: &CapacityBounds, taken: &Occupancy) -> Self {
        Self {
            at_least: capacity.least.minus(&taken.most),
            at_most: capacity.most.minus(&taken.least),
        }
    }

    /// Whether surely fewer seats than these were free at some instant of [from, to].
    pub(crate) fn fewer_than(&self, seats: i64, from_ns: u64, to_ns: u64) -> bool {
        let places = self.at_most.within(from_ns, to_ns);
        self.at_most.seats[places].iter().any(|free| *free < seats)
    }

    /// Whether all seats were surely taken at some instant.
    pub(crate) fn none_at_some_instant(&self) -> bool {
        self.at_most.seats.iter().any(|seats| *seats <= 0)
    }
}

/// A bound, indexed so that its extreme within any window is found quickly. It begins at instant 0.
pub(crate) struct WindowExtremes<'a> {
    windows: Windows<'a>,
    maxima: Maxima,
    sign: i64,
}

impl<'a> WindowExtremes<'a> {
    /// The largest value of each window.
    pub(crate) fn largest(bound: &'a StepFunction) -> Self {
        let maxima = Maxima::of(bound.seats.clone());
        Self { windows: Windows::of(bound), maxima, sign: 1 }
    }

    /// The smallest value of each window.
    pub(crate) fn smallest(bound: &'a StepFunction) -> Self {
        let maxima = Maxima::of(bound.seats.iter().map(|seats| -seats).collect());
        Self { windows: Windows::of(bound), maxima, sign: -1 }
    }

    /// The extreme within [from, to].
    pub(crate) fn within(&self, from_ns: u64, to_ns: u64) -> i64 {
        let places = self.windows.within(from_ns, to_ns);
        self.sign * self.maxima.max(places.start, places.end).expect("a bound begins at instant 0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_of_a_window_are_those_of_the_steps_in_force() {
        let bound = StepFunction { at_ns: vec![0, 10, 20], seats: vec![5, 1, 3] };
        let (smallest, largest) =
            (WindowExtremes::smallest(&bound), WindowExtremes::largest(&bound));
        assert_eq!((smallest.within(0, 9), largest.within(0, 9)), (5, 5));
        assert_eq!((smallest.within(5, 25), largest.within(5, 25)), (1, 5));
        assert_eq!((smallest.within(15, 99), largest.within(15, 99)), (1, 3));
    }
}
