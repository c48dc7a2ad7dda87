//! The spec: what a slot is when one thing happens after the other. The definition of correct, and
//! the only place that states it.
//!
//! A slot has `capacity` seats. A booking takes some of them if enough are free, keeps them when it
//! is confirmed, and gives them back once: by a cancel, or because its hold ran out. A refusal and
//! a read change nothing, and must be true. The capacity may change, but never below the seats that
//! are taken.

use std::hash::Hash;

use foldhash::HashMap;

/// A slot between two steps. `B` names bookings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState<B: Eq + Hash> {
    capacity: i64,
    taken: i64,
    bookings: HashMap<B, Booking>,
}

/// A booking that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Booking {
    seats: i64,
    status: Status,
}

/// Where a booking is in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    Confirmed,
    /// It gave its seats back: cancelled or expired.
    Ended,
}

/// An operation's effect on a slot, with what its client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step<B> {
    /// A booking is made; if it exists already, its receipt is shown again.
    Reserve {
        /// The booking.
        booking: B,
        /// Its seats.
        seats: i64,
    },
    /// A booking is confirmed; if it is confirmed already, nothing changes.
    Confirm {
        /// The booking.
        booking: B,
    },
    /// A booking is cancelled, or its hold runs out; if it has ended already, nothing changes.
    Cancel {
        /// The booking.
        booking: B,
    },
    /// A client is told `sold_out`.
    SoldOut {
        /// The seats that it wanted.
        seats: i64,
    },
    /// A client is told how many seats are left.
    Read {
        /// The seats left.
        available: i64,
    },
    /// The slot gets another capacity.
    Resize {
        /// The new capacity.
        capacity: i64,
    },
}

/// How a step changed a slot, so that it can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<B> {
    /// It changed nothing.
    None,
    /// The booking was made.
    Reserved(B),
    /// The booking was confirmed.
    Confirmed(B),
    /// The booking ended, after it had been confirmed or not.
    Ended(B, WasConfirmed),
    /// The capacity changed; this is the one before.
    Resized(i64),
}

/// Whether a booking had been confirmed when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasConfirmed {
    /// It had.
    Yes,
    /// It had not.
    No,
}

impl<B: Copy + Eq + Hash> SlotState<B> {
    /// An empty slot.
    pub fn new(capacity: i64) -> Self {
        Self { capacity, taken: 0, bookings: HashMap::default() }
    }

    /// Seats, taken and free.
    pub fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Seats left.
    pub fn available(&self) -> i64 {
        self.capacity - self.taken
    }

    /// Whether a step is possible now.
    pub fn allows(&self, step: &Step<B>) -> bool {
        match step {
            Step::Reserve { booking, seats } => match self.bookings.get(booking) {
                None => *seats <= self.available(),
                Some(made) => made.seats == *seats,
            },
            Step::Confirm { booking } => {
                matches!(self.status(booking), Some(Status::Pending | Status::Confirmed))
            }
            Step::Cancel { booking } => self.bookings.contains_key(booking),
            Step::SoldOut { seats } => *seats > self.available(),
            Step::Read { available } => *available == self.available(),
            Step::Resize { capacity } => self.taken <= *capacity,
        }
    }

    /// Whether a step that is possible now would change anything.
    pub fn changes(&self, step: &Step<B>) -> bool {
        match step {
            Step::Reserve { booking, .. } => !self.bookings.contains_key(booking),
            Step::Confirm { booking } => self.status(booking) == Some(Status::Pending),
            Step::Cancel { booking } => {
                matches!(self.status(booking), Some(Status::Pending | Status::Confirmed))
            }
            Step::Resize { capacity } => *capacity != self.capacity,
            Step::SoldOut { .. } | Step::Read { .. } => false,
        }
    }

    /// Takes a step; `None`, and nothing changed, if it is not possible now.
    pub fn step(&mut self, step: &Step<B>) -> Option<Change<B>> {
        if !self.allows(step) {
            return None;
        }
        if !self.changes(step) {
            return Some(Change::None);
        }
        Some(match *step {
            Step::Reserve { booking, seats } => {
                self.taken += seats;
                self.bookings.insert(booking, Booking { seats, status: Status::Pending });
                Change::Reserved(booking)
            }
            Step::Confirm { booking } => {
                self.set_status(booking, Status::Confirmed);
                Change::Confirmed(booking)
            }
            Step::Cancel { booking } => {
                let confirmed = match self.status(&booking) {
                    Some(Status::Confirmed) => WasConfirmed::Yes,
                    _ => WasConfirmed::No,
                };
                self.taken -= self.bookings[&booking].seats;
                self.set_status(booking, Status::Ended);
                Change::Ended(booking, confirmed)
            }
            Step::Resize { capacity } => {
                Change::Resized(std::mem::replace(&mut self.capacity, capacity))
            }
            Step::SoldOut { .. } | Step::Read { .. } => Change::None,
        })
    }

    /// Undoes the last step.
    pub fn undo(&mut self, change: Change<B>) {
        match change {
            Change::None => {}
            Change::Reserved(booking) => {
                let made = self.bookings.remove(&booking).expect("it was made");
                self.taken -= made.seats;
            }
            Change::Confirmed(booking) => self.set_status(booking, Status::Pending),
            Change::Ended(booking, confirmed) => {
                self.taken += self.bookings[&booking].seats;
                let status = if confirmed == WasConfirmed::Yes {
                    Status::Confirmed
                } else {
                    Status::Pending
                };
                self.set_status(booking, status);
            }
            Change::Resized(capacity) => self.capacity = capacity,
        }
    }

    fn status(&self, booking: &B) -> Option<Status> {
        self.bookings.get(booking).map(|made| made.status)
    }

    fn set_status(&mut self, booking: B, status: Status) {
        self.bookings.get_mut(&booking).expect("it was made").status = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_sells_its_seats_once_and_again_when_they_come_back() {
        let mut slot = SlotState::new(2);
        let reserve = |booking, seats| Step::Reserve { booking, seats };
        assert_eq!(slot.step(&reserve('a', 2)), Some(Change::Reserved('a')));
        assert_eq!(slot.step(&reserve('b', 1)), None, "overbooking");
        assert_eq!(slot.step(&Step::SoldOut { seats: 1 }), Some(Change::None));
        assert_eq!(slot.step(&reserve('a', 2)), Some(Change::None), "a receipt");
        assert_eq!(slot.step(&reserve('a', 1)), None, "another receipt");
        assert_eq!(slot.step(&Step::Confirm { booking: 'a' }), Some(Change::Confirmed('a')));
        assert_eq!(
            slot.step(&Step::Cancel { booking: 'a' }),
            Some(Change::Ended('a', WasConfirmed::Yes))
        );
        assert_eq!(slot.step(&Step::Cancel { booking: 'a' }), Some(Change::None), "it has ended");
        assert_eq!(slot.step(&Step::Confirm { booking: 'a' }), None, "it has ended");
        assert_eq!(slot.step(&Step::SoldOut { seats: 2 }), None, "there are two");
        assert_eq!(slot.step(&Step::Read { available: 2 }), Some(Change::None));
        assert_eq!(slot.step(&Step::Read { available: 1 }), None);
        assert_eq!(slot.step(&Step::Cancel { booking: 'z' }), None, "no such booking");
    }

    #[test]
    fn seats_may_be_added_and_only_free_ones_taken_away() {
        let mut slot = SlotState::new(1);
        slot.step(&Step::Reserve { booking: 'a', seats: 1 }).expect("there is one");
        assert_eq!(slot.step(&Step::Resize { capacity: 0 }), None, "it is taken");
        assert_eq!(slot.step(&Step::Resize { capacity: 3 }), Some(Change::Resized(1)));
        assert_eq!((slot.available(), slot.capacity()), (2, 3));
        assert_eq!(slot.step(&Step::Resize { capacity: 1 }), Some(Change::Resized(3)));
    }

    #[test]
    fn every_step_can_be_undone() {
        let steps = [
            Step::Reserve { booking: 1, seats: 2 },
            Step::Confirm { booking: 1 },
            Step::Cancel { booking: 1 },
            Step::Resize { capacity: 5 },
            Step::Read { available: 5 },
        ];
        let mut slot = SlotState::new(3);
        let mut before = Vec::new();
        for step in steps {
            let was = slot.clone();
            before.push((slot.step(&step).expect("it is possible"), was));
        }
        for (change, was) in before.into_iter().rev() {
            slot.undo(change);
            assert_eq!(slot, was);
        }
    }
}
