//! What a message holds, as JSON.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{BookingId, SlotId};
use time::Date;
use uuid::Uuid;

/// A reserve on its way to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) slot: SlotId,
    pub(super) seats: i32,
    pub(super) key: String,
    pub(super) booking: BookingId,
    pub(super) hold_ms: i64,
    pub(super) urgent: bool,
}

/// A committed change of a booking's status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) doctor_id: i32,
    pub(super) slot_month: Date,
    pub(super) slot_id: Uuid,
    pub(super) slot_version: i64,
    pub(super) booking_id: Uuid,
    pub(super) status: String,
    pub(super) seats: i32,
}
