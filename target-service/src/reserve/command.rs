//! A reserve from its request to its answer, and the two contracts that a strategy can fulfil.

use async_trait::async_trait;
use slotproof_vocabulary::{BookingId, SlotId, reference_api::BookingBody};
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};

use super::idempotency_key::IdempotencyKey;
use crate::routing::{doctor_key, month_key};

/// The most seats of one booking; see the constraint `bookings_seats_range`.
pub(crate) const SEATS_MAX: i32 = 100;

/// A reserve as the edge has parsed it.
#[derive(Debug, Clone)]
pub(crate) struct ReserveCommand {
    pub(crate) slot: SlotId,
    pub(crate) seats: i32,
    pub(crate) key: IdempotencyKey,
    /// The id of the booking, if this command makes one.
    pub(crate) booking: BookingId,
    pub(crate) hold_ms: i64,
    /// Marked urgent by the client: first out of the queue, and of high value for the policy of
    /// `hybrid` where it says so.
    pub(crate) urgent: bool,
}

impl ReserveCommand {
    pub(crate) fn doctor_id(&self) -> i32 {
        doctor_key(self.slot.doctor())
    }

    pub(crate) fn slot_month(&self) -> Date {
        month_key(self.slot.month())
    }
}

/// Seats that are taken: what the transaction wrote.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    pub(crate) slot_version: i64,
    pub(crate) available_seats: i32,
    pub(crate) expires_at: OffsetDateTime,
}

/// The answer to a reserve.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// The seats are taken, by this request or by an earlier one with the same key.
    Booked(BookingBody),
    /// Too few seats, in one snapshot taken during the call; or during the first call with this
    /// key, where that left a receipt.
    SoldOut { slot_version: i64, available_seats: i32 },
    /// A worker will decide; the client asks for the outcome with the same key.
    Accepted,
    /// The key was used for another request.
    KeyMismatch,
    /// Every try lost a race, or the lane of the slot is full; nothing was written.
    RetryLater,
    /// No such slot.
    NoSlot,
}

/// Why a reserve has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReserveError {
    /// The database failed. The reserve may have happened.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A server that the strategy needs is down. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
    /// Something failed after the request had left. The reserve may have happened.
    #[error("{0}")]
    Unknown(String),
}

/// A whole reserve: from the request to its answer.
#[async_trait]
pub(crate) trait Strategy: Send + Sync {
    /// # Errors
    /// See [`ReserveError`]: it says whether something may have been written.
    ///
    /// # Cancel safety
    /// Dropping the future leaves either everything or nothing written, and the caller cannot tell
    /// which.
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError>;
}

/// One try at taking seats.
#[async_trait]
pub(crate) trait Reserve: Send + Sync {
    /// Takes the seats and writes booking, receipt, audit record and outbox row, all or nothing.
    ///
    /// One connection serves the whole try. A page that gave its connection back between the read
    /// and the write would queue for another one, and write by a read that is seconds old.
    ///
    /// `None`: nothing was written. The seats are too few, a race was lost or the slot is unknown;
    /// the page need not say which.
    ///
    /// # Errors
    /// The database's own. An error that proves a rollback (serialization failure, deadlock, the
    /// receipt's unique key) counts as `None`; after any other the outcome is unknown.
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error>;
}
