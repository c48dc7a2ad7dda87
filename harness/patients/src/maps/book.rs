//! Slots and bookings, all that the journal says.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::journal::Record;

/// Services have slots by their start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SlotKey {
    pub(super) service_id: String,
    pub(super) start_sec: i64,
}

pub(super) struct Spots {
    pub(super) total: u32,
    pub(super) taken: u32,
    /// Held through a whole request by `false_full` alone.
    pub(super) busy: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Booking {
    pub(super) booking_id: String,
    pub(super) slot: WantedSlot,
    pub(super) user_information: UserInformation,
    pub(super) status: Status,
    /// Kept, and never shown.
    #[serde(skip_serializing, default)]
    pub(super) idempotency_token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    Confirmed,
    Canceled,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WantedSlot {
    #[serde(flatten)]
    pub(super) key: SlotKey,
    #[serde(default)]
    pub(super) resources: Resources,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Resources {
    pub(super) party_size: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { party_size: 1 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UserInformation {
    pub(super) user_id: String,
    #[serde(default)]
    pub(super) email: String,
}

/// All that the journal says.
#[derive(Default)]
pub(super) struct Book {
    pub(super) slots: BTreeMap<SlotKey, Spots>,
    pub(super) bookings: HashMap<String, Booking>,
    pub(super) by_token: HashMap<String, String>,
    pub(super) by_user: HashMap<String, Vec<String>>,
    /// `lost_ack` alone: answered, and not in the book yet.
    pub(super) buffer: Vec<Booking>,
    /// `lost_ack` alone: what was answered to a token, whatever became of it.
    pub(super) answered: HashMap<String, Booking>,
}

impl Book {
    pub(super) fn feed(&mut self, key: SlotKey, total: u32) {
        let new = || Spots { total, taken: 0, busy: Arc::default() };
        self.slots.entry(key).or_insert_with(new).total = total;
    }

    /// The seats are taken already.
    pub(super) fn keep(&mut self, booking: Booking) {
        let id = booking.booking_id.clone();
        let user = booking.user_information.user_id.clone();
        self.by_token.insert(booking.idempotency_token.clone(), id.clone());
        self.by_user.entry(user).or_default().push(id.clone());
        self.bookings.insert(id, booking);
    }

    pub(super) fn cancel(&mut self, id: &str) {
        let Some(booking) = self.bookings.get_mut(id) else { return };
        booking.status = Status::Canceled;
        if let Some(spots) = self.slots.get_mut(&booking.slot.key) {
            spots.taken -= booking.slot.resources.party_size;
        }
    }

    pub(super) fn replay(&mut self, record: Record) {
        match record {
            Record::Fed { slot, total } => self.feed(slot, total),
            Record::Booked { mut booking, token } => {
                if let Some(spots) = self.slots.get_mut(&booking.slot.key) {
                    spots.taken += booking.slot.resources.party_size;
                }
                booking.idempotency_token = token;
                self.keep(booking);
            }
            Record::Canceled { booking_id } => self.cancel(&booking_id),
        }
    }

    pub(super) fn free(&self, key: &SlotKey) -> u32 {
        self.slots.get(key).map_or(0, |spots| spots.total.saturating_sub(spots.taken))
    }
}
