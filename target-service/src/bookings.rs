//! What the edge asks for, and who does it: the one place where negative controls take the place of
//! sound operations.

use std::sync::Arc;

use slotproof_vocabulary::{BookingId, SlotId, StrategyKind, reference_api::SlotBody};
use sqlx::PgPool;

use crate::{
    booking::{self, ReserveError, Reserved, Want},
    lifecycle::{self, Changed},
    slots,
    strategies::{Strategy, negative_controls::mutants},
};

/// The operations on bookings, by one strategy.
pub(crate) struct Bookings {
    kind: StrategyKind,
    strategy: Arc<dyn Strategy>,
    pool: PgPool,
    cache: mutants::StaleCache,
}

impl Bookings {
    pub(crate) fn new(kind: StrategyKind, strategy: Arc<dyn Strategy>, pool: PgPool) -> Self {
        Self { kind, strategy, pool, cache: mutants::StaleCache::default() }
    }

    pub(crate) async fn reserve(&self, want: &Want) -> Result<Reserved, ReserveError> {
        self.strategy.reserve(want).await
    }

    /// What became of a request; `Accepted` if nothing has, yet.
    pub(crate) async fn outcome(&self, want: &Want) -> Result<Reserved, ReserveError> {
        booking::outcome(&self.pool, want).await
    }

    pub(crate) async fn confirm(&self, booking: BookingId) -> Result<Changed, sqlx::Error> {
        match self.kind {
            StrategyKind::LateConfirm => mutants::late_confirm(&self.pool, booking).await,
            _ => lifecycle::confirm(&self.pool, booking).await,
        }
    }

    pub(crate) async fn cancel(&self, booking: BookingId) -> Result<Changed, sqlx::Error> {
        match self.kind {
            StrategyKind::CancelTwice => mutants::cancel_twice(&self.pool, booking).await,
            StrategyKind::CancelLeaks => mutants::cancel_leaks(&self.pool, booking).await,
            _ => lifecycle::cancel(&self.pool, booking).await,
        }
    }

    pub(crate) async fn read_slot(&self, slot: SlotId) -> Result<Option<SlotBody>, sqlx::Error> {
        match self.kind {
            StrategyKind::StaleCache => self.cache.read(&self.pool, slot).await,
            _ => slots::read(&self.pool, slot).await,
        }
    }
}
