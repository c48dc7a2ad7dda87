//! # hybrid
//!
//! **Claim.** Never overbooks: each path is one of the other strategies, and all of them decide by
//! the slot's row.
//!
//! **Mechanism.** The policy (`hybrid.toml`) is data. Most bookings try `optimistic` a few times;
//! those that lose every race are published to the queue, which decides them one after the other.
//! Bookings of high value, by seats or by being urgent, go by `pessimistic`, which serves requests
//! in the order in which they wait. With several regions all bookings go by `redis_lock`.
//!
//! **Cost.** That of the path that was taken; the metric `reserves_by_path_total` counts them.
//!
//! **Fails when.** A client repeats, by `POST`, a request that was answered with 202: the
//! optimistic path may answer `sold_out` while the worker still has the first request, and books it
//! later. `GET` gives the right answer. The paths can be mixed because each of them decides by the
//! row as it is when it writes. `redis_lock` does not: so `multi_region` applies to all bookings or
//! to none, and the queue must be empty when it changes.
//!
//! **Model.** `models/src/hybrid.rs`

use async_trait::async_trait;
use slotproof_vocabulary::StrategyKind;

use super::{optimistic::Optimistic, policy::Policy, queue::Queue, redis_lock::RedisLock};
use crate::{
    connections::Connections,
    metrics,
    reserve::{ReserveCommand, ReserveError, Reserved, Retrying, Strategy, once, retrying},
};

pub(crate) struct Hybrid {
    pub(crate) policy: Policy,
    pub(crate) pool: Connections,
    pub(crate) high_value: Retrying,
    pub(crate) queue: Queue,
    /// Present where there is a Redis, needed where there are several regions.
    pub(crate) other_regions: Option<RedisLock>,
}

#[async_trait]
impl Strategy for Hybrid {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        if self.policy.multi_region {
            metrics::reserve_path("redis_lock");
            let none = || {
                ReserveError::Unavailable(
                    "the policy says multi_region, which needs Redis for its lock".to_owned(),
                )
            };
            return self.other_regions.as_ref().ok_or_else(none)?.reserve(command).await;
        }
        if self.policy.is_high_value(command) {
            metrics::reserve_path("pessimistic");
            return self.high_value.reserve(command).await;
        }
        let fast = retrying(StrategyKind::Hybrid, self.policy.optimistic_tries, || async {
            let mut connection = self.pool.acquire().await?;
            let answer = once(&Optimistic, &mut connection, command).await?;
            connection.ended_well();
            Ok(answer)
        })
        .await?;
        if !matches!(fast, Reserved::RetryLater) {
            metrics::reserve_path("optimistic");
            return Ok(fast);
        }
        metrics::reserve_path("queue");
        self.queue.reserve(command).await
    }
}
