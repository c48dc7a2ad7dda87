//! # hybrid
//!
//! **Claim.** Never overbooks: every path is one of the other strategies, and all of them meet at
//! the slot's row.
//!
//! **Mechanism.** The policy (`hybrid.toml`) is data. Most bookings try `optimistic` a few times;
//! those that lose every race are published to the queue, which decides them without racing.
//! Bookings of high value, by seats or by being urgent, go by `pessimistic`, which serves whoever
//! waits. Told that it runs in several regions, everything goes by `redis_lock`.
//!
//! **Cost.** That of the path that was taken; `reserves_by_path_total` counts them.
//!
//! **Fails when.** A client asks again, by `POST`, for what was answered with 202: the optimistic
//! path may tell it `sold_out` while the worker still has the first request, and books it later;
//! `GET` tells the truth. The paths may be mixed because each of them decides by the row as it is
//! when it writes; `redis_lock` does not, so several regions are all or nothing, and the queue has
//! to be empty when the policy changes.
//!
//! **Model.** `models/src/hybrid.rs`

use async_trait::async_trait;
use serde::Deserialize;
use slotproof_vocabulary::StrategyKind;
use sqlx::PgPool;

use super::{
    Strategy, optimistic::Optimistic, pessimistic::Pessimistic, queue::Queue, redis_lock::RedisLock,
};
use crate::{
    booking::{ReserveError, Reserved, Tries, Want, once, retrying},
    metrics,
};

/// When a booking takes which path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Optimistic tries before a booking goes to the queue.
    pub optimistic_tries: u32,
    /// A booking of so many seats is of high value.
    pub high_value_seats: i32,
    /// Whether a booking marked urgent is of high value.
    pub urgent_is_high_value: bool,
    /// Whether other regions take bookings too, so that the lock must lie outside this one.
    pub multi_region: bool,
}

impl Policy {
    /// The policy of `hybrid.toml`, and of seed 3.3.
    pub const DEFAULT: &str = include_str!("hybrid.toml");

    fn is_high_value(&self, want: &Want) -> bool {
        want.seats >= self.high_value_seats || (want.urgent && self.urgent_is_high_value)
    }
}

impl std::str::FromStr for Policy {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

pub(crate) struct Hybrid {
    pub(crate) policy: Policy,
    pub(crate) pool: PgPool,
    pub(crate) high_value: Tries<Pessimistic>,
    pub(crate) queue: Queue,
    /// Present where there is a Redis, needed where there are several regions.
    pub(crate) other_regions: Option<RedisLock>,
}

#[async_trait]
impl Strategy for Hybrid {
    async fn reserve(&self, want: &Want) -> Result<Reserved, ReserveError> {
        if self.policy.multi_region {
            metrics::reserve_path("redis_lock");
            let none = || {
                ReserveError::Unavailable("several regions need a Redis for their lock".to_owned())
            };
            return self.other_regions.as_ref().ok_or_else(none)?.reserve(want).await;
        }
        if self.policy.is_high_value(want) {
            metrics::reserve_path("pessimistic");
            return self.high_value.reserve(want).await;
        }
        let fast = retrying(StrategyKind::Hybrid, self.policy.optimistic_tries, || async {
            let mut connection = self.pool.acquire().await?;
            once(&Optimistic, &mut connection, want).await
        })
        .await?;
        if !matches!(fast, Reserved::RetryLater) {
            metrics::reserve_path("optimistic");
            return Ok(fast);
        }
        metrics::reserve_path("queue");
        self.queue.reserve(want).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_that_comes_with_the_service_is_read_and_an_unknown_word_is_refused() {
        let policy: Policy = Policy::DEFAULT.parse().expect("it is ours");
        assert!(policy.optimistic_tries > 0 && !policy.multi_region);
        assert!(format!("{}\nretries = 3", Policy::DEFAULT).parse::<Policy>().is_err());
    }
}
