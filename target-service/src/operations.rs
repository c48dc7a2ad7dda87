//! The operations on bookings as the edge asks for them, by the strategy and the wiring that were
//! chosen when the service started.

use std::sync::Arc;

use slotproof_vocabulary::{BookingId, SlotId, reference_api::SlotBody};
use sqlx::PgPool;

use crate::{
    lifecycle::Changed,
    metrics,
    pooled::Pooled,
    reserve::{self, ReserveCommand, ReserveError, Reserved, Strategy},
    standbys::Standbys,
    strategies::wiring::{Change, SlotReads},
};

/// What a read of a slot came to.
pub(crate) enum SlotRead {
    Found(SlotBody),
    NoSlot,
    /// Nothing has reached the version that the client says it has seen.
    NotYet,
}

pub(crate) struct Operations {
    pub(crate) pool: PgPool,
    /// A pooler through which slots are read.
    pub(crate) pooled: Option<Arc<Pooled>>,
    pub(crate) standbys: Standbys,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) confirm: Change,
    pub(crate) cancel: Change,
    pub(crate) slot_reads: SlotReads,
}

impl Operations {
    pub(crate) async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        if let Some(decided) = self.standbys.decide(command).await {
            return Ok(decided);
        }
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

    /// The slot, at this version or a later one.
    pub(crate) async fn read_slot(
        &self,
        slot: SlotId,
        min_version: i64,
    ) -> Result<SlotRead, sqlx::Error> {
        if let Some(body) = self.standbys.read(slot, min_version).await {
            return Ok(SlotRead::Found(body));
        }
        let read = match &self.pooled {
            Some(pooled) => pooled.read(slot).await?,
            None => self.slot_reads.read(&self.pool, slot).await?,
        };
        Ok(match read {
            None => SlotRead::NoSlot,
            Some(body) if body.version < min_version => SlotRead::NotYet,
            Some(body) => {
                metrics::slot_read("primary");
                SlotRead::Found(body)
            }
        })
    }
}
