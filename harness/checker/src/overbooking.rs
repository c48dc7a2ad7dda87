//! Overbooking: instants at which more seats were surely promised than the slot had.
//!
//! Bookings that are surely held at one instant were made one after the other. When the last of
//! them was made, the others already had their seats; so together they had to fit the capacity of
//! that moment. It lies between the latest sending among them and the instant. Where the capacity
//! does not change this is the sum of seats against the capacity; where it was lowered, the
//! bookings that were made before keep their seats and convict nobody. A booking that the seller
//! sold beyond the capacity on purpose may have been the last, so it is not counted.

use std::collections::BTreeMap;

use crate::{
    availability::AvailabilityBounds, capacity::CapacityBounds, held_interval::HeldInterval,
};

/// More seats than there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promised {
    pub(crate) at_ns: u64,
    pub(crate) seats: i64,
    pub(crate) capacity: i64,
}

/// The first overbooking of a slot, and the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overbooking {
    pub(crate) first: Promised,
    pub(crate) worst: Promised,
}

impl Overbooking {
    fn of(promised: impl Iterator<Item = Promised>) -> Option<Self> {
        let mut too_many = promised.filter(|promised| promised.seats > promised.capacity);
        let first = too_many.next()?;
        let beyond = |promised: &Promised| promised.seats - promised.capacity;
        let worst =
            too_many.fold(
                first,
                |worst, promised| {
                    if beyond(&promised) > beyond(&worst) { promised } else { worst }
                },
            );
        Some(Self { first, worst })
    }
}

/// The overbooking of one slot, if there is one.
pub(crate) fn overbooking(
    held_intervals: &[HeldInterval<'_>],
    capacity: &CapacityBounds,
    available: &AvailabilityBounds,
) -> Option<Overbooking> {
    if !capacity.may_change() && !held_intervals.iter().any(|held| held.overbooks) {
        let seats = capacity.at_first();
        let free = &available.at_most;
        let promised = free.at_ns.iter().zip(&free.seats).map(|(at_ns, free)| Promised {
            at_ns: *at_ns,
            seats: seats - free,
            capacity: seats,
        });
        return Overbooking::of(promised);
    }
    let mut changes: Vec<(u64, i64, u64)> = Vec::new();
    for held in held_intervals.iter().filter(|held| !held.overbooks) {
        held.each_certain(|interval, seats| {
            changes.push((interval.from_ns, seats, held.reserve_sent_ns));
            changes.push((interval.to_ns, -seats, held.reserve_sent_ns));
        });
    }
    changes.sort_unstable_by_key(|(at_ns, ..)| *at_ns);
    let mut taken = 0;
    let mut sent: BTreeMap<u64, i64> = BTreeMap::new();
    let promised = changes.chunk_by(|left, right| left.0 == right.0).map(|same| {
        for (_, seats, sent_ns) in same {
            taken += seats;
            let bookings = sent.entry(*sent_ns).or_default();
            *bookings += seats.signum();
            if *bookings == 0 {
                sent.remove(sent_ns);
            }
        }
        let at_ns = same[0].0;
        let last_ns = sent.keys().next_back().copied().unwrap_or(at_ns);
        let (_, capacity) = capacity.within(last_ns.min(at_ns), at_ns);
        Promised { at_ns, seats: taken, capacity }
    });
    Overbooking::of(promised)
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Terms};

    use crate::{
        fixture::{case, ms, reserve, resize},
        slot_evidence,
    };

    /// When more seats than there are were first promised, and the seats of how many.
    fn first(capacity: i64, operations: Vec<Operation>) -> Option<(u64, i64, i64)> {
        let case = case(capacity, operations);
        let first = slot_evidence::of(&case)[0].overbooking?.first;
        Some((first.at_ns, first.seats, first.capacity))
    }

    #[test]
    fn one_seat_too_many_is_found_where_it_was_promised() {
        assert_eq!(
            first(1, vec![reserve("a", 1, 0, 10), reserve("b", 1, 5, 20)]),
            Some((20, 2, 1))
        );
        assert_eq!(first(2, vec![reserve("a", 1, 0, 10), reserve("b", 1, 5, 20)]), None);
    }

    #[test]
    fn a_capacity_that_fell_convicts_only_what_was_sold_after_it() {
        let lowered = || vec![reserve("a", 2, 0, 10), resize(1, 20, 30)];
        assert_eq!(first(2, lowered()), None, "nobody loses a seat");
        let meanwhile = [lowered(), vec![reserve("b", 1, 15, ms(1))]].concat();
        assert_eq!(first(3, meanwhile), None, "it may have come before the resize");
        let after = [lowered(), vec![reserve("b", 1, 40, 50)]].concat();
        assert_eq!(first(3, after), Some((50, 3, 1)));
    }

    #[test]
    fn a_booking_that_was_sold_beyond_the_capacity_on_purpose_convicts_nobody() {
        let mut voucher = reserve("b", 1, 40, 50);
        voucher.terms = Some(Box::new(Terms { overbook: true, ..Terms::default() }));
        assert_eq!(first(1, vec![reserve("a", 1, 0, 10), voucher.clone()]), None);
        let another = vec![reserve("a", 1, 0, 10), voucher, reserve("c", 1, 60, 70)];
        assert_eq!(first(1, another), Some((70, 2, 1)), "of those that were not");
    }
}
