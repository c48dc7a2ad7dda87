//! The operations on bookings as the edge asks for them, by the strategy and the wiring that were
//! chosen when the service started.

use std::sync::Arc;

use slotproof_vocabulary::{BookingId, SlotId, reference_api::SlotBody};
use sqlx::PgPool;

use crate::{
    lifecycle::Changed,
    reserve::{self, ReserveCommand, ReserveError, Reserved, Strategy},
    strategies::wiring::{Change, SlotReads},
};

pub(crate) struct Operations {
    pub(crate) pool: PgPool,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) confirm: Change,
    pub(crate) cancel: Change,
    pub(crate) slot_reads: SlotReads,
}

impl Operations {
    pub(crate) async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        self.strategy.reserve(command).await
    }

    /// What became of a request; `Accepted` if it has not been decided yet.
    pub(crate) async fn outcome(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        reserve::outcome(&self.pool, command).await
    }

    pub(crate) async fn confirm(&self, booking: BookingId) -> Result<Changed, sqlx::Error> {
        (self.confirm)(&self.pool, booking).await
    }

    pub(crate) async fn cancel(&self, booking: BookingId) -> Result<Changed, sqlx::Error> {
        (self.cancel)(&self.pool, booking).await
    }

    pub(crate) async fn read_slot(&self, slot: SlotId) -> Result<Option<SlotBody>, sqlx::Error> {
        self.slot_reads.read(&self.pool, slot).await
    }
}
