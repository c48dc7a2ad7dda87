//! The spec: what a slot is when one thing happens after the other. The meaning of correct, and the
//! only place that says it.
//!
//! A slot has `capacity` seats. A booking takes some of them if there are enough, keeps them when
//! it is confirmed, and gives them back once: by a cancel, or because its hold ran out. Being
//! refused and looking change nothing, and must be true. The number of seats may change, but never
//! to fewer than are taken.

use std::hash::Hash;

use foldhash::HashMap;

/// A slot between two steps. `B` names bookings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot<B: Eq + Hash> {
    capacity: i64,
    taken: i64,
    bookings: HashMap<B, Booking>,
}

/// A booking that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Booking {
    seats: i64,
    life: Life,
}

/// Where a booking is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Pending,
    Confirmed,
    /// It gave its seats back.
    Over,
}

/// Something that happens to a slot, with what was told about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step<B> {
    /// A booking is made; when it is made already, its receipt is shown again.
    Take {
        /// Which.
        booking: B,
        /// Its seats.
        seats: i64,
    },
    /// A booking is confirmed; when it is confirmed already, nothing changes.
    Keep {
        /// Which.
        booking: B,
    },
    /// A booking is cancelled; when it is over already, nothing changes.
    Give {
        /// Which.
        booking: B,
    },
    /// Somebody is told `sold_out`.
    Refuse {
        /// The seats that were wanted.
        seats: i64,
    },
    /// Somebody is told how many seats are left.
    Look {
        /// So many.
        available: i64,
    },
    /// The slot gets another number of seats.
    Resize {
        /// So many.
        capacity: i64,
    },
}

/// How a step changed a slot, to take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<B> {
    /// Not at all.
    None,
    /// The booking was made.
    Made(B),
    /// The booking was confirmed.
    Kept(B),
    /// The booking was over; it had been confirmed or not.
    Ended(B, Confirmed),
    /// The slot has another number of seats; it had so many.
    Resized(i64),
}

/// Whether a booking had been confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// It had.
    Yes,
    /// It had not.
    No,
}

impl<B: Copy + Eq + Hash> Slot<B> {
    /// An empty slot.
    pub fn new(capacity: i64) -> Self {
        Self { capacity, taken: 0, bookings: HashMap::default() }
    }

    /// Seats, taken or not.
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
            Step::Take { booking, seats } => match self.bookings.get(booking) {
                None => *seats <= self.available(),
                Some(made) => made.seats == *seats,
            },
            Step::Keep { booking } => {
                matches!(self.life(booking), Some(Life::Pending | Life::Confirmed))
            }
            Step::Give { booking } => self.bookings.contains_key(booking),
            Step::Refuse { seats } => *seats > self.available(),
            Step::Look { available } => *available == self.available(),
            Step::Resize { capacity } => self.taken <= *capacity,
        }
    }

    /// Whether a step that is possible now would change anything.
    pub fn changes(&self, step: &Step<B>) -> bool {
        match step {
            Step::Take { booking, .. } => !self.bookings.contains_key(booking),
            Step::Keep { booking } => self.life(booking) == Some(Life::Pending),
            Step::Give { booking } => {
                matches!(self.life(booking), Some(Life::Pending | Life::Confirmed))
            }
            Step::Resize { capacity } => *capacity != self.capacity,
            Step::Refuse { .. } | Step::Look { .. } => false,
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
            Step::Take { booking, seats } => {
                self.taken += seats;
                self.bookings.insert(booking, Booking { seats, life: Life::Pending });
                Change::Made(booking)
            }
            Step::Keep { booking } => {
                self.set_life(booking, Life::Confirmed);
                Change::Kept(booking)
            }
            Step::Give { booking } => {
                let confirmed = match self.life(&booking) {
                    Some(Life::Confirmed) => Confirmed::Yes,
                    _ => Confirmed::No,
                };
                self.taken -= self.bookings[&booking].seats;
                self.set_life(booking, Life::Over);
                Change::Ended(booking, confirmed)
            }
            Step::Resize { capacity } => {
                Change::Resized(std::mem::replace(&mut self.capacity, capacity))
            }
            Step::Refuse { .. } | Step::Look { .. } => Change::None,
        })
    }

    /// Takes the last step back.
    pub fn undo(&mut self, change: Change<B>) {
        match change {
            Change::None => {}
            Change::Made(booking) => {
                let made = self.bookings.remove(&booking).expect("it was made");
                self.taken -= made.seats;
            }
            Change::Kept(booking) => self.set_life(booking, Life::Pending),
            Change::Ended(booking, confirmed) => {
                self.taken += self.bookings[&booking].seats;
                let life =
                    if confirmed == Confirmed::Yes { Life::Confirmed } else { Life::Pending };
                self.set_life(booking, life);
            }
            Change::Resized(capacity) => self.capacity = capacity,
        }
    }

    fn life(&self, booking: &B) -> Option<Life> {
        self.bookings.get(booking).map(|made| made.life)
    }

    fn set_life(&mut self, booking: B, life: Life) {
        self.bookings.get_mut(&booking).expect("it was made").life = life;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_sells_its_seats_once_and_again_when_they_come_back() {
        let mut slot = Slot::new(2);
        let take = |booking, seats| Step::Take { booking, seats };
        assert_eq!(slot.step(&take('a', 2)), Some(Change::Made('a')));
        assert_eq!(slot.step(&take('b', 1)), None, "overbooking");
        assert_eq!(slot.step(&Step::Refuse { seats: 1 }), Some(Change::None));
        assert_eq!(slot.step(&take('a', 2)), Some(Change::None), "a receipt");
        assert_eq!(slot.step(&take('a', 1)), None, "another receipt");
        assert_eq!(slot.step(&Step::Keep { booking: 'a' }), Some(Change::Kept('a')));
        assert_eq!(
            slot.step(&Step::Give { booking: 'a' }),
            Some(Change::Ended('a', Confirmed::Yes))
        );
        assert_eq!(slot.step(&Step::Give { booking: 'a' }), Some(Change::None), "it is over");
        assert_eq!(slot.step(&Step::Keep { booking: 'a' }), None, "it is over");
        assert_eq!(slot.step(&Step::Refuse { seats: 2 }), None, "there are two");
        assert_eq!(slot.step(&Step::Look { available: 2 }), Some(Change::None));
        assert_eq!(slot.step(&Step::Look { available: 1 }), None);
        assert_eq!(slot.step(&Step::Give { booking: 'z' }), None, "nobody made it");
    }

    #[test]
    fn seats_may_be_added_and_only_free_ones_taken_away() {
        let mut slot = Slot::new(1);
        slot.step(&Step::Take { booking: 'a', seats: 1 }).expect("there is one");
        assert_eq!(slot.step(&Step::Resize { capacity: 0 }), None, "it is taken");
        assert_eq!(slot.step(&Step::Resize { capacity: 3 }), Some(Change::Resized(1)));
        assert_eq!((slot.available(), slot.capacity()), (2, 3));
        assert_eq!(slot.step(&Step::Resize { capacity: 1 }), Some(Change::Resized(3)));
    }

    #[test]
    fn every_step_can_be_taken_back() {
        let steps = [
            Step::Take { booking: 1, seats: 2 },
            Step::Keep { booking: 1 },
            Step::Give { booking: 1 },
            Step::Resize { capacity: 5 },
            Step::Look { available: 5 },
        ];
        let mut slot = Slot::new(3);
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
