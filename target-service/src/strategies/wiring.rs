//! What a strategy asks of the rest of the service: the one place that says so, for sound
//! strategies and for the negative controls that break something other than `reserve`.

use futures::future::BoxFuture;
use slotproof_vocabulary::{BookingId, SlotId, StrategyKind, reference_api::SlotBody};

use super::{
    conditional::Conditional,
    negative_controls::mutants::{self, StaleCache},
};
use crate::{
    catalogue::SeatRows,
    connections::Connections,
    lifecycle::{self, Changed},
    queue::Redelivery,
    read_model,
    reserve::Reserve,
};

/// A change of a booking's status. Boxed, because it is chosen when the service starts.
pub(crate) type Change =
    for<'a> fn(&'a Connections, BookingId) -> BoxFuture<'a, Result<Changed, sqlx::Error>>;

/// How the service is wired for a strategy.
pub(crate) struct Wiring {
    /// A setting of every connection to the database, and its value.
    pub(crate) connection_setting: Option<(&'static str, &'static str)>,
    /// Whether a request is ready to be served only while Redis answers.
    pub(crate) needs_redis: bool,
    /// Whether a request is ready to be served only while RabbitMQ is connected.
    pub(crate) needs_rabbitmq: bool,
    /// Whether each seat of a new slot gets a row.
    pub(crate) seat_rows: SeatRows,
    /// The page by which workers decide what the queue holds.
    pub(crate) worker_page: Box<dyn Reserve>,
    /// What consumers do with an event that is delivered again.
    pub(crate) redelivery: Redelivery,
    pub(crate) confirm: Change,
    pub(crate) cancel: Change,
    /// Whether confirms and cancels that arrive together are made together.
    pub(crate) changes_gather: bool,
    pub(crate) slot_reads: SlotReads,
}

/// Where the answer to a read of a slot comes from.
pub(crate) enum SlotReads {
    Database,
    /// A negative control.
    StaleCache(StaleCache),
}

impl SlotReads {
    pub(crate) async fn read(
        &self,
        pool: &Connections,
        slot: SlotId,
    ) -> Result<Option<SlotBody>, sqlx::Error> {
        match self {
            Self::Database => read_model::read_slot(pool, slot).await,
            Self::StaleCache(cache) => cache.read(pool, slot).await,
        }
    }
}

impl Wiring {
    pub(crate) fn of(kind: StrategyKind) -> Self {
        let sound = Self {
            connection_setting: None,
            needs_redis: kind.needs_redis(),
            needs_rabbitmq: kind.needs_rabbitmq(),
            seat_rows: SeatRows::NotCreated,
            worker_page: Box::new(Conditional),
            redelivery: Redelivery::AppliedOnce,
            confirm: |pool, booking| Box::pin(lifecycle::confirm(pool, booking)),
            cancel: |pool, booking| Box::pin(lifecycle::cancel(pool, booking)),
            changes_gather: false,
            slot_reads: SlotReads::Database,
        };
        match kind {
            StrategyKind::Batched => Self { changes_gather: true, ..sound },
            StrategyKind::SeatRows => Self { seat_rows: SeatRows::Created, ..sound },

            StrategyKind::CommitNotDurable => {
                Self { connection_setting: Some(mutants::NOT_DURABLE), ..sound }
            }
            StrategyKind::AnnounceApart => Self { redelivery: Redelivery::AppliedAgain, ..sound },
            StrategyKind::LateConfirm => Self {
                confirm: |pool, booking| Box::pin(mutants::late_confirm(pool, booking)),
                ..sound
            },
            StrategyKind::CancelTwice => Self {
                cancel: |pool, booking| Box::pin(mutants::cancel_twice(pool, booking)),
                ..sound
            },
            StrategyKind::CancelLeaks => Self {
                cancel: |pool, booking| Box::pin(mutants::cancel_leaks(pool, booking)),
                ..sound
            },
            StrategyKind::StaleCache => {
                Self { slot_reads: SlotReads::StaleCache(StaleCache::default()), ..sound }
            }

            StrategyKind::Pessimistic
            | StrategyKind::Serializable
            | StrategyKind::Optimistic
            | StrategyKind::Conditional
            | StrategyKind::Advisory
            | StrategyKind::RedisLock
            | StrategyKind::Queue
            | StrategyKind::Hybrid
            | StrategyKind::Grouped
            | StrategyKind::Unprotected
            | StrategyKind::LostUpdate
            | StrategyKind::LockedBookings
            | StrategyKind::WriteSkew
            | StrategyKind::OffByOne
            | StrategyKind::OneSeatCheck
            | StrategyKind::RaceIsSoldOut
            | StrategyKind::ReceiptApart
            | StrategyKind::ReplayNewId
            | StrategyKind::AuditApart
            | StrategyKind::RedisLockUnfenced
            | StrategyKind::RedisLockToken => sound,
        }
    }
}
