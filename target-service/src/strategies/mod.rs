//! The strategies: one page each, with the same layout: *Claim, Mechanism, Cost, Fails when,
//! Model*, then the SQL.
//!
//! Most pages make one try and say whether it took the seats. Everything else about a reserve
//! (receipts, `sold_out`, trying again) is the same for all of them and lives in `booking.rs`.

pub mod advisory;
pub mod conditional;
pub mod grouped;
pub mod hybrid;
pub mod optimistic;
pub mod pessimistic;
pub mod queue;
pub mod redis_lock;
pub mod seat_rows;
pub mod serializable;

pub mod negative_controls;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::aio::ConnectionManager;
use slotproof_vocabulary::StrategyKind;
use sqlx::{PgConnection, PgPool};

use crate::{
    booking::{ReserveError, Reserved, Taken, Tries, Want},
    queue::Publisher,
};
use negative_controls::{lost_update, mutants, redis_lock_token, redis_lock_unfenced, unprotected};

/// A whole reserve: from the request to its answer.
#[async_trait]
pub(crate) trait Strategy: Send + Sync {
    /// # Errors
    /// See [`ReserveError`]: what may have happened, and what surely did not.
    ///
    /// # Cancel safety
    /// Dropping the future leaves either everything or nothing written, and nobody knows which.
    async fn reserve(&self, want: &Want) -> Result<Reserved, ReserveError>;
}

/// One try at taking seats.
#[async_trait]
pub(crate) trait Reserve: Send + Sync {
    /// Takes the seats and writes booking, receipt, audit record and outbox row, all or nothing.
    ///
    /// One connection for the whole try: whoever reads, gives the connection back and queues for
    /// another one writes by what was true seconds ago.
    ///
    /// `None`: nothing was written. Too few seats, a lost race, an unknown slot: the page need not
    /// say which.
    ///
    /// # Errors
    /// The database's own. An error that proves a rollback (serialization failure, deadlock, the
    /// receipt's unique key) counts as `None`; after any other the outcome is unknown.
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        want: &Want,
    ) -> Result<Option<Taken>, sqlx::Error>;
}

/// What strategies are built from. A strategy that needs what is absent is not built; see
/// [`StrategyKind::needs_redis`].
pub(crate) struct Means {
    pub(crate) pool: PgPool,
    pub(crate) redis: Option<ConnectionManager>,
    pub(crate) publisher: Publisher,
    pub(crate) lock_ttl: Duration,
    pub(crate) policy: hybrid::Policy,
    /// Tries before a client is told `retry_later`.
    pub(crate) tries: u32,
}

/// The one place where a strategy is chosen; everything after it is ignorant of the choice. `None`:
/// it needs a Redis.
pub(crate) fn build(kind: StrategyKind, means: Means) -> Option<Arc<dyn Strategy>> {
    let Means { pool, redis, publisher, lock_ttl, policy, tries } = means;
    Some(match kind {
        StrategyKind::Pessimistic => tried(kind, pool, tries, pessimistic::Pessimistic),
        StrategyKind::Serializable => tried(kind, pool, tries, serializable::Serializable),
        StrategyKind::Optimistic => tried(kind, pool, tries, optimistic::Optimistic),
        StrategyKind::Conditional => tried(kind, pool, tries, conditional::Conditional),
        StrategyKind::Advisory => tried(kind, pool, tries, advisory::Advisory),
        StrategyKind::SeatRows => tried(kind, pool, tries, seat_rows::SeatRows),
        StrategyKind::RedisLock => {
            Arc::new(redis_lock::RedisLock::new(pool, redis?, lock_ttl, tries))
        }
        StrategyKind::Queue => Arc::new(queue::Queue { publisher }),
        StrategyKind::Hybrid if policy.multi_region && redis.is_none() => return None,
        StrategyKind::Hybrid => Arc::new(hybrid::Hybrid {
            policy,
            high_value: Tries { kind, page: pessimistic::Pessimistic, pool: pool.clone(), tries },
            queue: queue::Queue { publisher },
            other_regions: redis
                .map(|redis| redis_lock::RedisLock::new(pool.clone(), redis, lock_ttl, tries)),
            pool,
        }),
        StrategyKind::Grouped => Arc::new(grouped::Grouped::new(pool, tries)),

        StrategyKind::Unprotected => tried(kind, pool, tries, unprotected::Unprotected),
        StrategyKind::LostUpdate => tried(kind, pool, tries, lost_update::LostUpdate),
        StrategyKind::LockedBookings => tried(kind, pool, tries, mutants::LockedBookings),
        StrategyKind::WriteSkew => tried(kind, pool, tries, mutants::WriteSkew),
        StrategyKind::OffByOne => tried(kind, pool, tries, mutants::OffByOne),
        StrategyKind::OneSeatCheck => tried(kind, pool, tries, mutants::OneSeatCheck),
        StrategyKind::ReceiptApart => tried(kind, pool, tries, mutants::ReceiptApart),
        StrategyKind::AuditApart => tried(kind, pool, tries, mutants::AuditApart),
        StrategyKind::AnnounceApart => {
            tried(kind, pool, tries, mutants::AnnounceApart { publisher })
        }
        StrategyKind::RaceIsSoldOut => Arc::new(mutants::RaceIsSoldOut { pool }),
        StrategyKind::ReplayNewId => Arc::new(mutants::ReplayNewId(Tries {
            kind,
            page: conditional::Conditional,
            pool,
            tries,
        })),
        StrategyKind::RedisLockUnfenced => Arc::new(redis_lock_unfenced::RedisLockUnfenced {
            pool,
            redis: redis?,
            ttl: lock_ttl,
            tries,
        }),
        StrategyKind::RedisLockToken => {
            Arc::new(redis_lock_token::RedisLockToken { pool, redis: redis?, ttl: lock_ttl, tries })
        }
        // These break what comes after a reserve (see `bookings.rs`) or lies below it (see
        // `application.rs`).
        StrategyKind::CommitNotDurable
        | StrategyKind::CancelTwice
        | StrategyKind::CancelLeaks
        | StrategyKind::LateConfirm
        | StrategyKind::StaleCache => tried(kind, pool, tries, conditional::Conditional),
    })
}

fn tried(
    kind: StrategyKind,
    pool: PgPool,
    tries: u32,
    page: impl Reserve + 'static,
) -> Arc<dyn Strategy> {
    Arc::new(Tries { kind, page, pool, tries })
}
