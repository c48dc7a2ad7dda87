//! The strategies: one page each, with the same layout: *Claim, Mechanism, Cost, Fails when,
//! Model*, then the SQL.
//!
//! Most pages make one try and say whether it took the seats. Everything else about a reserve
//! (receipts, `sold_out`, retries) is the same for all of them and lives in `reserve/`. What a
//! strategy asks of the service beside `reserve` is in `wiring.rs`.

mod advisory;
mod batched;
pub mod conditional;
mod grouped;
mod hybrid;
mod optimistic;
mod pessimistic;
pub(crate) mod pooled;
mod queue;
pub(crate) mod redis_lock;
mod seat_rows;
mod serializable;

mod negative_controls;

pub(crate) mod lanes;
pub(crate) use negative_controls::mutants::AsCached;

pub(crate) mod policy;
mod statement;
pub(crate) mod wiring;

use std::{sync::Arc, time::Duration};

use redis::aio::ConnectionManager;
use slotproof_vocabulary::StrategyKind;

use crate::{
    connections::Connections,
    queue::Publisher,
    reserve::{Reserve, Retrying, Strategy},
};
use lanes::Lanes;
use negative_controls::{lost_update, mutants, redis_lock_token, redis_lock_unfenced, unprotected};
use policy::Policy;

/// What strategies are built from. A strategy is not built if one that it needs is absent; see
/// [`StrategyKind::needs_redis`].
pub(crate) struct Dependencies {
    pub(crate) pool: Connections,
    pub(crate) redis: Option<ConnectionManager>,
    pub(crate) publisher: Publisher,
    pub(crate) lock_ttl: Duration,
    pub(crate) policy: Policy,
    /// Tries before a client is told `retry_later`.
    pub(crate) tries: u32,
}

/// The one place where a strategy is chosen; what calls it does not know which one it is. `None`:
/// it needs a Redis.
pub(crate) fn build(kind: StrategyKind, dependencies: Dependencies) -> Option<Arc<dyn Strategy>> {
    let Dependencies { pool, redis, publisher, lock_ttl, policy, tries } = dependencies;
    Some(match kind {
        StrategyKind::Pessimistic => Arc::new(tried(kind, pool, tries, pessimistic::Pessimistic)),
        StrategyKind::Serializable => {
            Arc::new(tried(kind, pool, tries, serializable::Serializable))
        }
        StrategyKind::Optimistic => Arc::new(tried(kind, pool, tries, optimistic::Optimistic)),
        StrategyKind::Conditional => Arc::new(tried(kind, pool, tries, conditional::Conditional)),
        StrategyKind::Advisory => Arc::new(tried(kind, pool, tries, advisory::Advisory)),
        StrategyKind::SeatRows => Arc::new(tried(kind, pool, tries, seat_rows::SeatRows)),
        StrategyKind::RedisLock => {
            Arc::new(redis_lock::RedisLock::new(pool, redis?, lock_ttl, tries))
        }
        StrategyKind::Queue => Arc::new(queue::Queue { publisher }),
        StrategyKind::Hybrid if policy.multi_region && redis.is_none() => return None,
        StrategyKind::Hybrid => Arc::new(hybrid::Hybrid {
            policy,
            high_value: tried(kind, pool.clone(), tries, pessimistic::Pessimistic),
            queue: queue::Queue { publisher },
            other_regions: redis
                .map(|redis| redis_lock::RedisLock::new(pool.clone(), redis, lock_ttl, tries)),
            pool,
        }),
        StrategyKind::Grouped => Arc::new(Lanes::new(kind, pool, tries, grouped::Grouped)),
        StrategyKind::Batched => {
            let page = batched::Batched::new(&pool);
            Arc::new(Lanes::new(kind, pool, tries, page))
        }

        StrategyKind::Unprotected => Arc::new(tried(kind, pool, tries, unprotected::Unprotected)),
        StrategyKind::LostUpdate => Arc::new(tried(kind, pool, tries, lost_update::LostUpdate)),
        StrategyKind::LockedBookings => Arc::new(tried(kind, pool, tries, mutants::LockedBookings)),
        StrategyKind::WriteSkew => Arc::new(tried(kind, pool, tries, mutants::WriteSkew)),
        StrategyKind::OffByOne => Arc::new(tried(kind, pool, tries, mutants::OffByOne)),
        StrategyKind::OneSeatCheck => Arc::new(tried(kind, pool, tries, mutants::OneSeatCheck)),
        StrategyKind::ReceiptApart => Arc::new(tried(kind, pool, tries, mutants::ReceiptApart)),
        StrategyKind::AuditApart => Arc::new(tried(kind, pool, tries, mutants::AuditApart)),
        StrategyKind::AnnounceApart => {
            Arc::new(tried(kind, pool, tries, mutants::AnnounceApart { publisher }))
        }
        StrategyKind::RaceIsSoldOut => Arc::new(mutants::RaceIsSoldOut { pool }),
        StrategyKind::ReplayNewId => {
            Arc::new(mutants::ReplayNewId(tried(kind, pool, tries, conditional::Conditional)))
        }
        StrategyKind::RedisLockUnfenced => Arc::new(redis_lock_unfenced::RedisLockUnfenced {
            pool,
            redis: redis?,
            ttl: lock_ttl,
            tries,
        }),
        StrategyKind::RedisLockToken => {
            Arc::new(redis_lock_token::RedisLockToken { pool, redis: redis?, ttl: lock_ttl, tries })
        }
        // These break something other than a reserve; see `wiring.rs`.
        StrategyKind::CommitNotDurable
        | StrategyKind::CancelTwice
        | StrategyKind::CancelLeaks
        | StrategyKind::LateConfirm
        | StrategyKind::StaleCache => Arc::new(tried(kind, pool, tries, conditional::Conditional)),
    })
}

fn tried(
    kind: StrategyKind,
    pool: Connections,
    tries: u32,
    page: impl Reserve + 'static,
) -> Retrying {
    Retrying { kind, page: Box::new(page), pool, tries }
}
