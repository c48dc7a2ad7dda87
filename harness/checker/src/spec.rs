//! The spec: what a slot is when one thing happens after the other. The definition of correct, and
//! the only place that states it.
//!
//! A slot has `capacity` seats. A booking takes some of them if enough are free, keeps them when it
//! is confirmed, and gives them back once: by a cancel, because its hold ran out, or because it
//! moves to another slot. A refusal and a read change nothing, and must be true. The capacity may
//! change. If it falls below the seats that are taken no booking loses its seats, and none is made
//! until enough are free.

use std::hash::Hash;

use foldhash::HashMap;
use slotproof_history::SeenRef;

/// A slot between two steps. `B` names bookings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState<B: Eq + Hash> {
    capacity: i64,
    /// Seats of bookings that are pending or confirmed.
    taken: i64,
    /// Those of them that are confirmed.
    confirmed: i64,
    bookings: HashMap<B, Booking>,
}

/// A booking that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Booking {
    seats: i32,
    status: Status,
}

/// Where a booking is in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// A request that waits for its approval: it takes no seat.
    Requested,
    /// A hold.
    Pending,
    /// Sold.
    Confirmed,
    /// It gave its seats back.
    Cancelled,
    /// Its hold ran out.
    Expired,
    /// It moved to another slot.
    Elsewhere,
}

/// How a booking is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Terms {
    /// It needs free seats.
    Regular,
    /// The seller sells it on purpose even if no seat is free.
    Overbook,
    /// It is a request, which takes its seats when it is confirmed.
    Request,
}

/// An operation's effect on a slot, with what its client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step<B> {
    /// A booking is made; if it exists already, its receipt is shown again.
    Reserve {
        /// The booking.
        booking: B,
        /// Its seats.
        seats: i32,
        /// How.
        terms: Terms,
    },
    /// A booking is confirmed; if it is confirmed already, nothing changes. A request takes its
    /// seats now, and so does a booking whose hold had run out: a late payment is a new decision.
    Confirm {
        /// The booking.
        booking: B,
    },
    /// A booking is cancelled; if it has ended already, nothing changes.
    Cancel {
        /// The booking.
        booking: B,
    },
    /// The hold of a pending booking runs out.
    Expire {
        /// The booking.
        booking: B,
    },
    /// A booking gets another number of seats, or its hold is extended.
    Change {
        /// The booking.
        booking: B,
        /// The seats that it is to have; `None`: as many as before.
        seats: Option<i32>,
    },
    /// A booking comes from another slot.
    Enter {
        /// The booking.
        booking: B,
        /// Its seats here.
        seats: i32,
        /// Whether it is confirmed.
        confirmed: bool,
    },
    /// A booking moves to another slot.
    Leave {
        /// The booking.
        booking: B,
    },
    /// A client is told that fewer seats are free than it wants.
    SoldOut {
        /// The seats that it wanted.
        seats: i32,
    },
    /// A client is told that a booking cannot have as many seats as it is to have.
    SoldOutTo {
        /// The booking.
        booking: B,
        /// The seats that it was to have.
        seats: i32,
    },
    /// A client is told the status of a booking.
    Look {
        /// The booking.
        booking: B,
        /// The status.
        status: Status,
    },
    /// A client is told that a booking does not exist, or has ended.
    Gone {
        /// The booking.
        booking: B,
    },
    /// A client is told the numbers of the slot, which stand in the [`Claim`].
    Read,
    /// The slot gets another capacity.
    Resize {
        /// The new capacity.
        capacity: i64,
    },
}

/// The numbers in an answer: what the slot had after the step. Most answers say few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    available: i32,
    pending: i32,
    confirmed: i32,
    capacity: i32,
}

/// Stands for a number that the answer does not say.
const UNSAID: i32 = i32::MIN;

impl Claim {
    /// An answer without numbers.
    pub const NONE: Self =
        Self { available: UNSAID, pending: UNSAID, confirmed: UNSAID, capacity: UNSAID };

    /// From an answer. No number of seats is larger than a billion (`Case::validate`), so a larger
    /// one is as wrong as the largest that fits.
    pub fn of(seen: &SeenRef<'_>) -> Self {
        let small = |said: Option<i64>| match said {
            None => UNSAID,
            Some(seats) => seats.clamp(i64::from(UNSAID + 1), i64::from(i32::MAX)) as i32,
        };
        Self {
            available: small(seen.available),
            pending: small(seen.pending),
            confirmed: small(seen.confirmed),
            capacity: small(seen.capacity),
        }
    }

    /// An answer that says how many seats are free.
    pub fn available(seats: i32) -> Self {
        Self { available: seats, ..Self::NONE }
    }

    /// The same without the numbers of pending and confirmed seats.
    #[must_use]
    pub fn without_split(self) -> Self {
        Self { pending: UNSAID, confirmed: UNSAID, ..self }
    }

    /// Whether it tells pending seats from confirmed ones.
    pub fn splits(&self) -> bool {
        self.pending != UNSAID || self.confirmed != UNSAID
    }

    /// Whether the answer says nothing but the seats that are free, if anything.
    pub fn only_available(&self) -> Option<i32> {
        (Self { available: UNSAID, ..*self } == Self::NONE).then_some(self.available)
    }

    fn fits(&self, capacity: i64, taken: i64, confirmed: i64) -> bool {
        let is = |said: i32, seats: i64| said == UNSAID || i64::from(said) == seats;
        let free = capacity - taken;
        // Where more are taken than there are, none is free.
        (is(self.available, free) || (free < 0 && self.available == 0))
            && is(self.pending, taken - confirmed)
            && is(self.confirmed, confirmed)
            && is(self.capacity, capacity)
    }
}

/// How a step changed a slot, so that it can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<B> {
    /// It changed nothing.
    None,
    /// The booking was made.
    Made(B),
    /// The booking changed.
    Changed(B, Before),
    /// The capacity changed; this is the one before.
    Resized(i64),
}

/// A booking before it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before(Booking);

/// What a step would do.
enum Effect<B> {
    None,
    Booking(B, Booking),
    Capacity(i64),
}

impl Booking {
    fn taken(self) -> i64 {
        match self.status {
            Status::Pending | Status::Confirmed => self.seats.into(),
            Status::Requested | Status::Cancelled | Status::Expired | Status::Elsewhere => 0,
        }
    }

    fn confirmed(self) -> i64 {
        if self.status == Status::Confirmed { self.seats.into() } else { 0 }
    }
}

impl<B: Copy + Eq + Hash> SlotState<B> {
    /// An empty slot.
    pub fn new(capacity: i64) -> Self {
        Self { capacity, taken: 0, confirmed: 0, bookings: HashMap::default() }
    }

    /// Seats, taken and free.
    pub fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Seats left; negative where more are taken than there are.
    pub fn available(&self) -> i64 {
        self.capacity - self.taken
    }

    /// A booking's status and seats, if it was made.
    pub fn booking(&self, booking: &B) -> Option<(Status, i32)> {
        self.bookings.get(booking).map(|made| (made.status, made.seats))
    }

    /// Whether a step is possible now.
    pub fn allows(&self, step: &Step<B>) -> bool {
        self.effect(step).is_some()
    }

    /// Whether a step that is possible now would change anything.
    pub fn changes(&self, step: &Step<B>) -> bool {
        !matches!(self.effect(step), None | Some(Effect::None))
    }

    /// Whether a step that is possible now would change the number of seats that are taken.
    pub fn moves_seats(&self, step: &Step<B>) -> bool {
        match self.effect(step) {
            Some(Effect::Booking(booking, after)) => {
                let before = self.bookings.get(&booking).copied().map_or(0, Booking::taken);
                after.taken() != before
            }
            Some(Effect::None | Effect::Capacity(_)) | None => false,
        }
    }

    /// Whether a step is possible now and leaves the slot with the numbers in its answer.
    pub fn allows_with(&self, step: &Step<B>, claim: &Claim) -> bool {
        self.effect(step).is_some_and(|effect| self.leaves(&effect, claim))
    }

    /// Whether an effect leaves the slot with the numbers in an answer.
    fn leaves(&self, effect: &Effect<B>, claim: &Claim) -> bool {
        if *claim == Claim::NONE {
            return true;
        }
        let (mut capacity, mut taken, mut confirmed) = (self.capacity, self.taken, self.confirmed);
        match *effect {
            Effect::None => {}
            Effect::Booking(ref booking, after) => {
                if let Some(before) = self.bookings.get(booking) {
                    taken -= before.taken();
                    confirmed -= before.confirmed();
                }
                taken += after.taken();
                confirmed += after.confirmed();
            }
            Effect::Capacity(seats) => capacity = seats,
        }
        claim.fits(capacity, taken, confirmed)
    }

    /// What a step does; `None` if it is not possible now.
    fn effect(&self, step: &Step<B>) -> Option<Effect<B>> {
        let free = |more: i64| more <= 0 || more <= self.available();
        let truth = |holds: bool| holds.then_some(Effect::None);
        match *step {
            Step::Reserve { booking, seats, terms } => {
                if self.bookings.contains_key(&booking) {
                    return Some(Effect::None);
                }
                let status =
                    if terms == Terms::Request { Status::Requested } else { Status::Pending };
                let made = Booking { seats, status };
                (terms != Terms::Regular || free(seats.into()))
                    .then_some(Effect::Booking(booking, made))
            }
            Step::Confirm { booking } => {
                let made = *self.bookings.get(&booking)?;
                let after = Booking { status: Status::Confirmed, ..made };
                match made.status {
                    Status::Confirmed => Some(Effect::None),
                    Status::Pending | Status::Requested | Status::Expired => {
                        free(after.taken() - made.taken())
                            .then_some(Effect::Booking(booking, after))
                    }
                    Status::Cancelled | Status::Elsewhere => None,
                }
            }
            Step::Cancel { booking } => {
                let made = *self.bookings.get(&booking)?;
                match made.status {
                    Status::Cancelled | Status::Elsewhere => Some(Effect::None),
                    Status::Requested | Status::Pending | Status::Confirmed | Status::Expired => {
                        let over = Booking { status: Status::Cancelled, ..made };
                        Some(Effect::Booking(booking, over))
                    }
                }
            }
            Step::Expire { booking } => {
                let made = *self.bookings.get(&booking)?;
                let over = Booking { status: Status::Expired, ..made };
                (made.status == Status::Pending).then_some(Effect::Booking(booking, over))
            }
            Step::Change { booking, seats } => {
                let made = *self.bookings.get(&booking)?;
                let status = match made.status {
                    Status::Requested | Status::Pending | Status::Confirmed => made.status,
                    Status::Expired => Status::Pending,
                    Status::Cancelled | Status::Elsewhere => return None,
                };
                let after = Booking { seats: seats.unwrap_or(made.seats), status };
                let effect =
                    if after == made { Effect::None } else { Effect::Booking(booking, after) };
                free(after.taken() - made.taken()).then_some(effect)
            }
            Step::Enter { booking, seats, confirmed } => {
                let made = self.bookings.get(&booking);
                let status = if confirmed { Status::Confirmed } else { Status::Pending };
                (made.is_none_or(|made| made.status == Status::Elsewhere) && free(seats.into()))
                    .then_some(Effect::Booking(booking, Booking { seats, status }))
            }
            Step::Leave { booking } => {
                let made = *self.bookings.get(&booking)?;
                let gone = Booking { status: Status::Elsewhere, ..made };
                (!matches!(made.status, Status::Cancelled | Status::Elsewhere))
                    .then_some(Effect::Booking(booking, gone))
            }
            Step::SoldOut { seats } => truth(i64::from(seats) > self.available()),
            Step::SoldOutTo { booking, seats } => {
                let has = self.bookings.get(&booking)?.taken();
                truth(!free(i64::from(seats) - has))
            }
            Step::Look { booking, status } => {
                let now = self.bookings.get(&booking).map(|made| made.status);
                truth(
                    now == Some(status)
                        || (now, status) == (Some(Status::Requested), Status::Pending),
                )
            }
            Step::Gone { booking } => {
                let status = self.bookings.get(&booking).map(|made| made.status);
                truth(!matches!(
                    status,
                    Some(Status::Requested | Status::Pending | Status::Confirmed)
                ))
            }
            Step::Read => Some(Effect::None),
            Step::Resize { capacity } if capacity == self.capacity => Some(Effect::None),
            Step::Resize { capacity } => Some(Effect::Capacity(capacity)),
        }
    }

    /// Takes a step; `None`, and nothing changed, if it is not possible now.
    pub fn step(&mut self, step: &Step<B>) -> Option<Change<B>> {
        self.step_with(step, &Claim::NONE).map(|(change, _)| change)
    }

    /// The same, if it leaves the slot with the numbers in its answer; and whether it changed the
    /// number of seats that are taken.
    pub fn step_with(&mut self, step: &Step<B>, claim: &Claim) -> Option<(Change<B>, bool)> {
        let effect = self.effect(step).filter(|effect| self.leaves(effect, claim))?;
        let taken = self.taken;
        let change = self.apply(effect);
        Some((change, self.taken != taken))
    }

    fn apply(&mut self, effect: Effect<B>) -> Change<B> {
        match effect {
            Effect::None => Change::None,
            Effect::Capacity(seats) => {
                Change::Resized(std::mem::replace(&mut self.capacity, seats))
            }
            Effect::Booking(booking, after) => {
                self.count(after, 1);
                match self.bookings.insert(booking, after) {
                    None => Change::Made(booking),
                    Some(before) => {
                        self.count(before, -1);
                        Change::Changed(booking, Before(before))
                    }
                }
            }
        }
    }

    /// Undoes the last step.
    pub fn undo(&mut self, change: Change<B>) {
        match change {
            Change::None => {}
            Change::Made(booking) => {
                let made = self.bookings.remove(&booking).expect("it was made");
                self.count(made, -1);
            }
            Change::Changed(booking, Before(before)) => {
                let after = self.bookings.insert(booking, before).expect("it was made");
                self.count(after, -1);
                self.count(before, 1);
            }
            Change::Resized(capacity) => self.capacity = capacity,
        }
    }

    fn count(&mut self, booking: Booking, times: i64) {
        self.taken += times * booking.taken();
        self.confirmed += times * booking.confirmed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(booking: char, seats: i32) -> Step<char> {
        Step::Reserve { booking, seats, terms: Terms::Regular }
    }

    fn does(slot: &mut SlotState<char>, step: Step<char>) -> bool {
        slot.step(&step).is_some()
    }

    /// Whether an answer that says how many seats are free would be true now.
    fn reads(slot: &SlotState<char>, available: i32) -> bool {
        slot.allows_with(&Step::Read, &Claim::available(available))
    }

    #[test]
    fn a_slot_sells_its_seats_once_and_again_when_they_come_back() {
        let mut slot = SlotState::new(2);
        assert!(does(&mut slot, reserve('a', 2)));
        assert!(!does(&mut slot, reserve('b', 1)), "overbooking");
        assert!(does(&mut slot, Step::SoldOut { seats: 1 }));
        assert!(!slot.changes(&reserve('a', 2)), "a receipt");
        assert!(does(&mut slot, Step::Confirm { booking: 'a' }));
        assert!(!does(&mut slot, Step::Expire { booking: 'a' }), "it is confirmed");
        assert!(does(&mut slot, Step::Cancel { booking: 'a' }));
        assert!(!slot.changes(&Step::Cancel { booking: 'a' }), "it has ended");
        assert!(!does(&mut slot, Step::Confirm { booking: 'a' }), "it has ended");
        assert!(!does(&mut slot, Step::SoldOut { seats: 2 }), "there are two");
        assert!(reads(&slot, 2) && !reads(&slot, 1));
        assert!(!does(&mut slot, Step::Cancel { booking: 'z' }), "no such booking");
    }

    #[test]
    fn an_answer_says_what_the_slot_has_after_its_step() {
        let slot = SlotState::new(4);
        assert!(slot.allows_with(&reserve('a', 3), &Claim::available(1)));
        assert!(!slot.allows_with(&reserve('a', 3), &Claim::available(4)), "before the step");
    }

    #[test]
    fn a_capacity_below_what_is_taken_stops_sales_and_ends_no_booking() {
        let mut slot = SlotState::new(3);
        does(&mut slot, reserve('a', 3));
        assert!(does(&mut slot, Step::Resize { capacity: 1 }));
        assert_eq!(slot.available(), -2);
        assert!(reads(&slot, 0) && reads(&slot, -2) && !reads(&slot, 1));
        assert!(!does(&mut slot, reserve('b', 1)));
        does(&mut slot, Step::Cancel { booking: 'a' });
        assert!(does(&mut slot, reserve('b', 1)) && !does(&mut slot, reserve('c', 1)));
    }

    #[test]
    fn a_hold_that_ran_out_is_confirmed_only_if_its_seats_are_free_again() {
        let mut slot = SlotState::new(1);
        does(&mut slot, reserve('a', 1));
        does(&mut slot, Step::Expire { booking: 'a' });
        does(&mut slot, reserve('b', 1));
        assert!(!does(&mut slot, Step::Confirm { booking: 'a' }), "it is sold");
        does(&mut slot, Step::Cancel { booking: 'b' });
        assert!(does(&mut slot, Step::Confirm { booking: 'a' }));
        assert_eq!(slot.available(), 0);
    }

    #[test]
    fn a_booking_changes_its_seats_and_its_slot() {
        let mut slot = SlotState::new(3);
        does(&mut slot, reserve('a', 3));
        assert!(does(&mut slot, Step::Change { booking: 'a', seats: Some(1) }));
        assert!(!does(&mut slot, Step::Change { booking: 'a', seats: Some(4) }), "there are three");
        assert!(!slot.changes(&Step::Change { booking: 'a', seats: None }), "an extension");
        assert!(!slot.allows(&Step::SoldOutTo { booking: 'a', seats: 1 }), "it has one");
        assert!(does(&mut slot, Step::Leave { booking: 'a' }));
        assert_eq!(slot.available(), 3);
        assert!(does(&mut slot, Step::Enter { booking: 'a', seats: 3, confirmed: true }));
        assert!(!does(&mut slot, Step::Enter { booking: 'b', seats: 1, confirmed: true }));
    }

    #[test]
    fn a_request_takes_its_seats_when_it_is_confirmed_and_an_overbooking_always() {
        let mut slot = SlotState::new(1);
        let request = |booking| Step::Reserve { booking, seats: 1, terms: Terms::Request };
        assert!(does(&mut slot, request('a')) && does(&mut slot, request('b')));
        assert!(reads(&slot, 1));
        assert!(does(&mut slot, Step::Confirm { booking: 'a' }));
        assert!(!does(&mut slot, Step::Confirm { booking: 'b' }), "the seat is taken");
        assert!(does(&mut slot, Step::SoldOutTo { booking: 'b', seats: 1 }));
        let voucher = Step::Reserve { booking: 'c', seats: 1, terms: Terms::Overbook };
        assert!(does(&mut slot, voucher));
        assert_eq!(slot.available(), -1);
    }

    #[test]
    fn what_is_said_of_a_booking_must_be_true() {
        let mut slot = SlotState::new(1);
        does(&mut slot, reserve('a', 1));
        let look = |status| Step::Look { booking: 'a', status };
        assert!(slot.allows(&look(Status::Pending)) && !slot.allows(&look(Status::Confirmed)));
        assert!(!slot.allows(&Step::Gone { booking: 'a' }));
        does(&mut slot, Step::Expire { booking: 'a' });
        assert!(slot.allows(&Step::Gone { booking: 'a' }) && slot.allows(&look(Status::Expired)));
    }

    #[test]
    fn every_step_can_be_undone() {
        let steps = [
            reserve('a', 2),
            Step::Change { booking: 'a', seats: Some(3) },
            Step::Expire { booking: 'a' },
            Step::Confirm { booking: 'a' },
            Step::Leave { booking: 'a' },
            Step::Enter { booking: 'a', seats: 1, confirmed: false },
            Step::Cancel { booking: 'a' },
            Step::Resize { capacity: 5 },
            Step::Read,
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
