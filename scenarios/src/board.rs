//! The board: seats that are surely taken right now, so that an overbooking is seen while the load
//! runs.
//!
//! A seat counts from the return of its confirm until its client sends a cancel: confirmed bookings
//! do not run out, so more of them than the slot has seats is an overbooking beyond doubt. It is a
//! lower bound. The verdict is the checker's, which sees holds too and has the whole history; the
//! board only makes a person look up.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Confirmed seats of every slot.
#[derive(Debug)]
pub struct Board {
    capacity: i64,
    slots: Box<[Place]>,
    overbooked: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    confirmed: AtomicI64,
    seen_overbooked: AtomicBool,
}

impl Board {
    /// Nothing is taken of so many slots with so many seats each.
    pub fn new(slots: usize, capacity: u32) -> Self {
        let slots = std::iter::repeat_with(Place::default).take(slots).collect();
        Self { capacity: capacity.into(), slots, overbooked: AtomicU64::new(0) }
    }

    /// A confirm has been acknowledged.
    pub fn confirmed(&self, slot: usize, seats: u32) {
        let place = &self.slots[slot];
        let now = place.confirmed.fetch_add(seats.into(), Ordering::SeqCst) + i64::from(seats);
        if now > self.capacity && !place.seen_overbooked.swap(true, Ordering::SeqCst) {
            self.overbooked.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A confirmed booking is about to be cancelled.
    pub fn cancelling(&self, slot: usize, seats: u32) {
        self.slots[slot].confirmed.fetch_sub(seats.into(), Ordering::SeqCst);
    }

    /// Slots that were seen to have more confirmed seats than they have.
    pub fn overbooked_slots(&self) -> u64 {
        self.overbooked.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_overbooked_once_and_only_when_more_is_confirmed_than_it_has() {
        let board = Board::new(2, 3);
        board.confirmed(0, 2);
        board.confirmed(1, 3);
        assert_eq!(board.overbooked_slots(), 0);
        board.cancelling(0, 2);
        board.confirmed(0, 3);
        assert_eq!(board.overbooked_slots(), 0, "sold again after a cancel");
        board.confirmed(0, 1);
        board.confirmed(0, 1);
        assert_eq!(board.overbooked_slots(), 1);
    }
}
