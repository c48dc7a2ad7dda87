//! The strategies: one page each, with the same layout: *Claim, Mechanism, Cost, Fails when, Model*, then the SQL.
//!
//! A page makes one try and says whether it took the seats. Everything else about a reserve (receipts, `sold_out`, trying
//! again) is the same for all of them and lives in `booking.rs`.

pub mod conditional;
pub mod optimistic;
pub mod pessimistic;

pub mod negative_controls;

use std::sync::Arc;

use async_trait::async_trait;
use slotproof_vocabulary::StrategyKind;
use sqlx::PgConnection;

use crate::booking::{Taken, Want};

/// One try at taking seats.
#[async_trait]
pub(crate) trait Reserve: Send + Sync {
    /// Takes the seats and writes booking, receipt, audit record and outbox row, all or nothing.
    ///
    /// One connection for the whole try: whoever reads, gives the connection back and queues for another one writes by what
    /// was true seconds ago.
    ///
    /// `None`: nothing was written. Too few seats, a lost race, an unknown slot: the page need not say which.
    ///
    /// # Errors
    /// The database's own. An error that proves a rollback (serialization failure, deadlock, the receipt's unique key)
    /// counts as `None`; after any other the outcome is unknown.
    ///
    /// # Cancel safety
    /// Dropping the future leaves either everything or nothing written, and nobody knows which.
    async fn reserve(&self, connection: &mut PgConnection, want: &Want)
    -> Result<Option<Taken>, sqlx::Error>;
}

/// The one place where a strategy is chosen; everything after it is ignorant of the choice.
pub(crate) fn build(kind: StrategyKind) -> Arc<dyn Reserve> {
    match kind {
        StrategyKind::Pessimistic => Arc::new(pessimistic::Pessimistic),
        StrategyKind::Optimistic => Arc::new(optimistic::Optimistic),
        StrategyKind::Conditional => Arc::new(conditional::Conditional),
        StrategyKind::Unprotected => Arc::new(negative_controls::unprotected::Unprotected),
        StrategyKind::LostUpdate => Arc::new(negative_controls::lost_update::LostUpdate),
    }
}
