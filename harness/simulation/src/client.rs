//! The simulated clients: what each does next, and what it makes of an answer.
//!
//! Each has one operation in flight at most, and dice of its own, so that it does the same whatever
//! the others do with theirs.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Action, Outcome};

use crate::{
    Settings,
    service::{Answer, Request},
};

/// A client that was not answered goes on under another number, this much higher.
const NEXT_PROCESS: u64 = 10_000;
/// A client with this many bookings makes no more.
const BOOKINGS_MAX: usize = 3;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) process: u64,
    pub(crate) dice: ChaCha8Rng,
    keys: u32,
    bookings: Vec<Own>,
    /// What it does next, whatever else it might.
    again: Option<Request>,
}

/// A booking that the client was told of.
#[derive(Debug, Clone)]
struct Own {
    slot: usize,
    id: Box<str>,
    confirmed: bool,
}

impl Client {
    pub(crate) fn new(number: u64, seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(number);
        Self { number, process: number, dice, keys: 0, bookings: Vec::new(), again: None }
    }

    /// What it sends next.
    pub(crate) fn next(&mut self, settings: &Settings) -> Request {
        if let Some(again) = self.again.take() {
            return again;
        }
        let slot = self.dice.random_range(0..settings.slots as usize);
        let (slot, action) = match self.dice.random_range(0..1_000) {
            roll if roll < settings.resizes_per_mille => {
                let capacity = settings.capacity;
                let to = self.dice.random_range(capacity.saturating_sub(3)..=capacity + 3);
                (slot, Action::Resize { capacity: to })
            }
            roll if roll < 200 => (slot, Action::Read),
            roll if roll < 600 => self.change(settings).unwrap_or((slot, Action::Read)),
            _ if self.bookings.len() >= BOOKINGS_MAX => {
                self.change(settings).unwrap_or((slot, Action::Read))
            }
            _ => {
                self.keys += 1;
                let key = format!("{}-{}", self.number, self.keys);
                let seats = self.dice.random_range(1..=settings.seats_max);
                (slot, Action::Reserve { seats, key: key.into() })
            }
        };
        Request { client: self.number, slot, action }
    }

    /// Confirms or cancels one of its bookings. Without holds nothing needs a confirm, and some
    /// clients confirm all the same.
    fn change(&mut self, settings: &Settings) -> Option<(usize, Action)> {
        let place = self.dice.random_range(0..self.bookings.len().max(1));
        let Own { slot, id, confirmed } = self.bookings.get(place)?.clone();
        let confirms = if settings.hold_ms.is_some() { 0.6 } else { 0.2 };
        if !confirmed && self.dice.random_bool(confirms) {
            return Some((slot, Action::Confirm { booking: id }));
        }
        Some((slot, Action::Cancel { booking: id }))
    }

    /// What it makes of an answer; `None`: there was none.
    pub(crate) fn hear(&mut self, request: &Request, answer: Option<&Answer>) {
        let outcome = answer.map_or(Outcome::Unknown, |answer| answer.outcome);
        if outcome == Outcome::Unknown {
            self.process += NEXT_PROCESS;
        }
        let again = match (&request.action, outcome) {
            (Action::Reserve { .. }, Outcome::Ok) => {
                let booking = answer.and_then(|answer| answer.seen.booking.clone());
                self.keep(request.slot, booking.expect("a reserve that is ok names its booking"));
                // A double click.
                0.05
            }
            (Action::Reserve { .. }, Outcome::SoldOut) => 0.3,
            (Action::Reserve { .. }, Outcome::Throttled) => 0.8,
            (Action::Reserve { .. }, Outcome::Unknown) => 0.7,
            (Action::Confirm { booking }, Outcome::Ok) => {
                let own = self.bookings.iter_mut().find(|own| own.id == *booking);
                if let Some(own) = own {
                    own.confirmed = true;
                }
                0.05
            }
            (Action::Cancel { booking }, Outcome::Ok) => {
                self.forget(booking);
                0.1
            }
            (Action::Confirm { .. } | Action::Cancel { .. }, Outcome::Unknown) => 0.6,
            (Action::Confirm { booking } | Action::Cancel { booking }, _) => {
                self.forget(booking);
                0.0
            }
            _ => 0.0,
        };
        if self.dice.random_bool(again) {
            self.again = Some(request.clone());
        }
    }

    fn keep(&mut self, slot: usize, id: Box<str>) {
        if !self.bookings.iter().any(|own| own.id == id) {
            self.bookings.push(Own { slot, id, confirmed: false });
        }
    }

    fn forget(&mut self, booking: &str) {
        self.bookings.retain(|own| *own.id != *booking);
    }
}
