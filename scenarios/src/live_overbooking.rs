//! Live overbooking: seats that are certainly taken right now, so that an overbooking is seen while
//! the load runs.
//!
//! A seat counts from the return of its confirm until its client sends a cancel: confirmed bookings
//! do not expire, so more of them than the slot has seats is certainly an overbooking. It is a
//! lower bound. The verdict is the checker's, which sees holds too and has the whole history.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Confirmed seats of every slot.
#[derive(Debug)]
pub struct LiveOverbooking {
    slots: Box<[ConfirmedSeats]>,
    overbooked: AtomicU64,
}

#[derive(Debug, Default)]
struct ConfirmedSeats {
    capacity: i64,
    now: AtomicI64,
    seen_overbooked: AtomicBool,
}

impl LiveOverbooking {
    /// A number of slots of equal capacity, all free.
    pub fn new(slots: usize, capacity: u32) -> Self {
        Self::of(std::iter::repeat_n(capacity, slots))
    }

    /// Slots of these capacities, all free.
    pub fn of(capacities: impl Iterator<Item = u32>) -> Self {
        let slot = |capacity: u32| ConfirmedSeats {
            capacity: capacity.into(),
            ..ConfirmedSeats::default()
        };
        Self { slots: capacities.map(slot).collect(), overbooked: AtomicU64::new(0) }
    }

    /// A confirm has been acknowledged.
    pub fn confirmed(&self, slot: usize, seats: u32) {
        let confirmed = &self.slots[slot];
        let now = confirmed.now.fetch_add(seats.into(), Ordering::SeqCst) + i64::from(seats);
        if now > confirmed.capacity && !confirmed.seen_overbooked.swap(true, Ordering::SeqCst) {
            self.overbooked.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A confirmed booking is about to be cancelled.
    pub fn cancelling(&self, slot: usize, seats: u32) {
        self.slots[slot].now.fetch_sub(seats.into(), Ordering::SeqCst);
    }

    /// Slots that had more confirmed seats than their capacity at some instant.
    pub fn overbooked_slots(&self) -> u64 {
        self.overbooked.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_overbooked_once_and_only_when_more_is_confirmed_than_it_has() {
        let live = LiveOverbooking::new(2, 3);
        live.confirmed(0, 2);
        live.confirmed(1, 3);
        assert_eq!(live.overbooked_slots(), 0);
        live.cancelling(0, 2);
        live.confirmed(0, 3);
        assert_eq!(live.overbooked_slots(), 0, "sold again after a cancel");
        live.confirmed(0, 1);
        live.confirmed(0, 1);
        assert_eq!(live.overbooked_slots(), 1);
    }
}
