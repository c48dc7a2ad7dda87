//! What is cached: keys, lifetimes, and what an entry says after a while.

use std::fmt::{self, Display};

use serde::{Serialize, de::DeserializeOwned};
use slotproof_vocabulary::{
    BookingId, DoctorId, SlotId,
    reference_api::{BookingBody, DoctorBody, SlotBody, SlotList},
};

/// An answer that can be cached.
pub(crate) trait Cached: Serialize + DeserializeOwned {
    type Id: Display + Copy;
    /// What keys begin with.
    const KIND: &'static str;
    /// How long an entry lives at most.
    const LIFETIME_MS: i64;

    /// The version of its slot that it was read with.
    fn version(&self) -> i64;

    /// When it is certainly over, counted from the read of the database.
    fn ends_in_ms(&self) -> Option<i64>;

    /// What it says when it is this old.
    fn aged(self, age_ms: i64) -> Self;

    /// How old an answer may be, of the two that are declared: of slots, and of bookings.
    fn staleness_ms(slots_ms: i64, bookings_ms: i64) -> i64;
}

impl Cached for SlotBody {
    type Id = SlotId;
    const KIND: &'static str = "slot";
    const LIFETIME_MS: i64 = 5 * 60 * 1_000;

    fn version(&self) -> i64 {
        self.version
    }

    fn ends_in_ms(&self) -> Option<i64> {
        None
    }

    fn aged(self, _age_ms: i64) -> Self {
        self
    }

    fn staleness_ms(slots_ms: i64, _bookings_ms: i64) -> i64 {
        slots_ms
    }
}

impl Cached for BookingBody {
    type Id = BookingId;
    const KIND: &'static str = "booking";
    const LIFETIME_MS: i64 = 10 * 60 * 1_000;

    fn version(&self) -> i64 {
        self.slot_version
    }

    fn ends_in_ms(&self) -> Option<i64> {
        self.hold_ms
    }

    fn aged(self, age_ms: i64) -> Self {
        Self { hold_ms: self.hold_ms.map(|left_ms| (left_ms - age_ms).max(0)), ..self }
    }

    fn staleness_ms(_slots_ms: i64, bookings_ms: i64) -> i64 {
        bookings_ms
    }
}

/// Nothing changes a doctor.
impl Cached for DoctorBody {
    type Id = DoctorId;
    const KIND: &'static str = "doctor";
    const LIFETIME_MS: i64 = 60 * 60 * 1_000;

    fn version(&self) -> i64 {
        0
    }

    fn ends_in_ms(&self) -> Option<i64> {
        None
    }

    fn aged(self, _age_ms: i64) -> Self {
        self
    }

    fn staleness_ms(_slots_ms: i64, _bookings_ms: i64) -> i64 {
        i64::MAX
    }
}

/// Which slots with seats left: all, or those of a doctor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Available(pub(crate) Option<DoctorId>);

impl Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "available"),
            Some(doctor) => write!(f, "available:{doctor}"),
        }
    }
}

/// No change of a slot is told to it: its age alone says whether it is believed.
impl Cached for SlotList {
    type Id = Available;
    const KIND: &'static str = "slots";
    const LIFETIME_MS: i64 = 60 * 1_000;

    fn version(&self) -> i64 {
        0
    }

    fn ends_in_ms(&self) -> Option<i64> {
        None
    }

    fn aged(self, _age_ms: i64) -> Self {
        self
    }

    fn staleness_ms(slots_ms: i64, _bookings_ms: i64) -> i64 {
        slots_ms
    }
}

pub(super) fn key<T: Cached>(id: T::Id) -> String {
    format!("{}:{id}", T::KIND)
}

/// What the text of an entry says; `None` if another version of this program wrote it.
pub(super) fn read<T: Cached>(body: &str, age_ms: i64) -> Option<Option<T>> {
    let read: Option<T> = serde_json::from_str(body)
        .inspect_err(|error| tracing::debug!(%error, "failed to read an entry of the cache"))
        .ok()?;
    Some(read.map(|read| read.aged(age_ms)))
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, DoctorId, Month};
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_entry_has_the_key_of_the_design_and_a_hold_that_gets_shorter() {
        let month = Month::of(datetime!(2026-12-01 9:00 UTC)).expect("a month");
        let slot = SlotId::new(DoctorId(1), month, 7);
        let booking = BookingBody {
            id: BookingId::new(slot, 8),
            slot_id: slot,
            status: BookingStatus::Pending,
            seats: 1,
            expires_at: None,
            hold_ms: Some(700),
            slot_version: 3,
            available_seats: 1,
        };
        assert_eq!(key::<SlotBody>(slot), format!("slot:{slot}"));
        assert_eq!(key::<BookingBody>(booking.id), format!("booking:{}", booking.id));
        assert_eq!(key::<DoctorBody>(DoctorId(7)), "doctor:7");
        assert_eq!(key::<SlotList>(Available(None)), "slots:available");
        assert_eq!(key::<SlotList>(Available(Some(DoctorId(7)))), "slots:available:7");
        assert_eq!(booking.ends_in_ms(), Some(700), "the entry ends with its hold");
        let text = serde_json::to_string(&booking).expect("it is JSON");
        let left = |age_ms| read::<BookingBody>(&text, age_ms).flatten()?.hold_ms;
        assert_eq!((left(0), left(300), left(900)), (Some(700), Some(400), Some(0)));
        assert_eq!(read::<BookingBody>("null", 0), Some(None));
        assert_eq!(read::<BookingBody>("{}", 0), None, "another version wrote it");
    }
}
