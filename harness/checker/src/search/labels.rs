//! Which steps are interchangeable: what is known of each booking's steps, and the label that steps
//! share if they can change places.
//!
//! The exchange holds for a booking whose other steps are all sent after its reserve had returned,
//! which is so where a client needs the answer to know its booking; other bookings have a label of
//! their own.

use super::Mode;
use crate::{
    slot_history::Observation,
    spec::{Step, Terms},
};

/// What interchangeable steps have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Reserve {
        seats: i32,
        sure: bool,
        left: i32,
    },
    Confirm {
        seats: i32,
    },
    Cancel {
        seats: i32,
        sure: bool,
        left: i32,
    },
    Release {
        seats: i32,
    },
    /// Changes nothing, and cannot be moved forward for its instant.
    Idle,
    /// Changes nothing, and cannot be moved forward for its version.
    Jump,
    Own(u32),
}

/// What is known of one booking's steps, by its number.
#[derive(Debug, Clone, Default)]
pub(super) struct BookingFacts {
    pub(super) seats: i32,
    pub(super) reserves: u32,
    pub(super) reserved_ns: u64,
    pub(super) first_other_sent_ns: Option<u64>,
    pub(super) confirms: u32,
    pub(super) last_confirm_returned_ns: u64,
    pub(super) cancels: u32,
    pub(super) sure_cancels: u32,
    pub(super) first_cancel_sent_ns: Option<u64>,
    /// Its hold may run out.
    pub(super) expires: bool,
    /// When its hold can run out at the earliest, whatever precedes it.
    pub(super) over_ns: u64,
    /// Somebody was told its status.
    pub(super) looked_at: bool,
    /// It was changed or moved, so that its state depends on the order of its steps.
    pub(super) changed: bool,
}

impl BookingFacts {
    /// Whether an early confirm does nothing but keep the hold from running out.
    pub(super) fn confirm_is_idle(&self) -> bool {
        !self.expires && !self.looked_at && !self.changed
    }

    /// Whether it makes no difference if it was cancelled after its hold had run out.
    pub(super) fn ends_alike(&self) -> bool {
        self.confirms == 0 && !self.looked_at && !self.changed
    }
}

/// What the searches of one history have in common.
pub(super) struct Facts {
    pub(super) bookings: Vec<BookingFacts>,
    /// Whether any answer tells pending seats from confirmed ones.
    pub(super) splits: bool,
    /// Whether some steps are parts of one basket.
    pub(super) baskets: bool,
    pub(super) by_sending: Vec<u32>,
    pub(super) by_return: Vec<u32>,
    pub(super) by_version: Vec<u32>,
}

impl Facts {
    pub(super) fn of(observations: &[Observation]) -> Self {
        let places = 0..observations.len() as u32;
        let sorted = |mut places: Vec<u32>, key: &dyn Fn(&Observation) -> u64| {
            places.sort_by_key(|place| key(&observations[*place as usize]));
            places
        };
        let sure = |place: &u32| observations[*place as usize].sure;
        let versioned = |place: &u32| observations[*place as usize].fresh_version().is_some();
        let mut by_version: Vec<u32> = places.clone().filter(versioned).collect();
        by_version.sort_by_key(|place| observations[*place as usize].fresh_version());
        Self {
            bookings: booking_facts(observations),
            splits: observations.iter().any(|observed| observed.claim.splits()),
            baskets: observations.iter().any(|observed| observed.joined),
            by_sending: sorted(places.clone().collect(), &|observed| observed.sent_ns),
            by_return: sorted(places.filter(sure).collect(), &|observed| observed.returned_ns),
            by_version,
        }
    }

    pub(super) fn booking(&self, booking: u32) -> &BookingFacts {
        &self.bookings[booking as usize]
    }
}

pub(super) fn booking_facts(observations: &[Observation]) -> Vec<BookingFacts> {
    let mut bookings: Vec<BookingFacts> = Vec::new();
    let earlier = |so_far: &mut Option<u64>, at_ns: u64| {
        *so_far = Some(so_far.map_or(at_ns, |so_far| so_far.min(at_ns)));
    };
    for observed in observations {
        let Some(booking) = booking_of(&observed.step) else { continue };
        if bookings.len() <= booking as usize {
            bookings.resize(booking as usize + 1, BookingFacts::default());
        }
        let facts = &mut bookings[booking as usize];
        if let Step::Reserve { seats, .. } = observed.step {
            facts.reserves += 1;
            facts.seats = seats;
            facts.reserved_ns = facts.reserved_ns.max(observed.returned_ns);
            continue;
        }
        earlier(&mut facts.first_other_sent_ns, observed.sent_ns);
        match observed.step {
            Step::Confirm { .. } => {
                facts.confirms += 1;
                facts.last_confirm_returned_ns =
                    facts.last_confirm_returned_ns.max(observed.returned_ns);
            }
            Step::Cancel { .. } => {
                facts.cancels += 1;
                facts.sure_cancels += u32::from(observed.sure);
                earlier(&mut facts.first_cancel_sent_ns, observed.sent_ns);
            }
            Step::Expire { .. } => {
                (facts.expires, facts.over_ns) = (true, observed.sent_ns);
            }
            Step::Look { .. } | Step::Gone { .. } | Step::SoldOutTo { .. } => {
                facts.looked_at = true;
            }
            Step::Change { .. } | Step::Enter { .. } | Step::Leave { .. } => facts.changed = true,
            _ => {}
        }
    }
    bookings
}

pub(super) fn booking_of(step: &Step<u32>) -> Option<u32> {
    match *step {
        Step::Reserve { booking, .. }
        | Step::Confirm { booking }
        | Step::Cancel { booking }
        | Step::Expire { booking }
        | Step::Change { booking, .. }
        | Step::Enter { booking, .. }
        | Step::Leave { booking }
        | Step::SoldOutTo { booking, .. }
        | Step::Look { booking, .. }
        | Step::Gone { booking } => Some(booking),
        Step::SoldOut { .. } | Step::Read | Step::Resize { .. } => None,
    }
}

pub(super) fn label(observed: &Observation, place: u32, facts: &Facts, mode: Mode) -> Label {
    let own = Label::Own(place);
    let (Some(booking), None) = (booking_of(&observed.step), observed.fresh_version()) else {
        return own;
    };
    let Some(left) = observed.claim.only_available() else { return own };
    let (booking, sure) = (facts.booking(booking), observed.sure);
    if mode == Mode::Exact {
        return own;
    }
    let seats = booking.seats;
    // A hold that a late confirm may take up again is like no other.
    let confirmed_late = booking.expires && booking.confirms > 0;
    let plain = !booking.looked_at && !booking.changed && !confirmed_late;
    let confirmed_before = booking
        .first_cancel_sent_ns
        .is_none_or(|sent_ns| sent_ns > booking.last_confirm_returned_ns);
    match observed.step {
        Step::Reserve { terms: Terms::Regular, .. } => {
            let needs_its_answer =
                booking.first_other_sent_ns.is_none_or(|sent_ns| sent_ns > booking.reserved_ns);
            let interchangeable = booking.reserves == 1 && needs_its_answer;
            if interchangeable { Label::Reserve { seats, sure, left } } else { own }
        }
        _ if !plain || booking.reserves == 0 => own,
        Step::Confirm { .. } if sure && booking.confirms == 1 && confirmed_before => {
            Label::Confirm { seats }
        }
        // Whichever of them gives the seats back, nothing that is told comes after it.
        Step::Cancel { .. } | Step::Expire { .. }
            if !sure && booking.sure_cancels == 0 && booking.confirms == 0 =>
        {
            Label::Release { seats }
        }
        Step::Cancel { .. } if confirmed_before && !facts.splits => {
            let last_cancel =
                if sure { booking.sure_cancels == 1 } else { booking.sure_cancels == 0 };
            if last_cancel { Label::Cancel { seats, sure, left } } else { own }
        }
        _ => own,
    }
}
