//! Declarations: what the recorder of a history says about the service, where services differ.
//!
//! They stand on the first line of a history, for all its operations:
//!
//! ```json
//! {"declare":{"keys":"client","booking_ids":"reused","limit":1}}
//! ```

use serde::{Deserialize, Serialize};

/// How to read the names in a history, and which limit the service promises to keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Declarations {
    /// Where an idempotency key names one request.
    pub keys: Scope,
    /// Where a booking id names one booking.
    pub bookings: Scope,
    /// Who chooses booking ids, and whether they are used again.
    pub booking_ids: BookingIds,
    /// Live bookings that one owner may have in one period (I16); `None`: any number.
    pub limit: Option<u32>,
    /// The operations are an excerpt of a history, which may have slots that these do not name.
    pub excerpt: bool,
}

/// Where a name names one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In the whole history.
    #[default]
    Service,
    /// Among the operations of one client: two clients may use one name.
    Client,
    /// Among the operations on one slot.
    Slot,
}

/// How booking ids come about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookingIds {
    /// The service gives each booking an id that no other one has.
    #[default]
    Unique,
    /// The service gives an id again once its booking is over, such as the label of a seat.
    Reused,
    /// Clients choose them, so that a cancel may come before its booking is made.
    ChosenByClients,
}

impl Declarations {
    /// Whether every name in the history is what it says.
    pub fn names_are_plain(&self) -> bool {
        Self { limit: None, excerpt: false, ..*self } == Self::default()
    }
}
