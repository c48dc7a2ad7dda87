//! # redis_lock_token (negative control)
//!
//! **Claim.** None. Overbooks when a holder is paused for longer than its lock lives.
//!
//! **Mechanism.** The version that is usually recommended: an owner token, and a release that
//! compares it before it deletes. That protects the lock of another holder, but not the seats:
//! PostgreSQL cannot tell a write under an expired lock from any other.
//!
//! **Cost.** Two round trips to Redis and two to PostgreSQL.
//!
//! **Fails when.** The work takes longer than the lock lives.
//!
//! **Model.** `models/src/redis_lock_token.rs`

use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use redis::{Script, aio::ConnectionManager};
use slotproof_vocabulary::StrategyKind;

use crate::{
    connections::Connections,
    pausing::about_to,
    reserve::{
        ReserveCommand, ReserveError, Reserved, Strategy, attempt, booked, look, pause_before,
        retrying,
    },
    strategies::negative_controls::unprotected::Unprotected,
};

/// Polls for the lock before a client is told `retry_later`.
const POLLS_MAX: u32 = 100;
const RELEASE: &str = "
    if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
    return 0";

pub(crate) struct RedisLockToken {
    pub(crate) pool: Connections,
    pub(crate) redis: ConnectionManager,
    pub(crate) ttl: Duration,
    pub(crate) tries: u32,
}

#[async_trait]
impl Strategy for RedisLockToken {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        let lock = format!("lock:slot:{}", command.slot);
        let owner = format!("{:032x}", rand::rng().random::<u128>());
        let release = Script::new(RELEASE);
        retrying(StrategyKind::RedisLockToken, self.tries, || async {
            let mut redis = self.redis.clone();
            let mut polled = 0;
            loop {
                about_to("acquire").await;
                let set: Option<String> = redis::cmd("SET")
                    .arg(&[&lock, &owner, "NX", "PX"])
                    .arg(self.ttl.as_millis() as u64)
                    .query_async(&mut redis)
                    .await
                    .map_err(|error| ReserveError::Unavailable(error.to_string()))?;
                if set.is_some() {
                    break;
                }
                if polled == POLLS_MAX {
                    return Ok(Some(Reserved::RetryLater));
                }
                polled += 1;
                tokio::time::sleep(pause_before(polled)).await;
            }
            let mut connection = self.pool.acquire().await?;
            let decided = attempt(&Unprotected, &mut connection, command).await;
            about_to("release").await;
            let _: redis::RedisResult<i64> =
                release.key(&lock).arg(&owner).invoke_async(&mut redis).await;
            match decided? {
                Some(reservation) => Ok(Some(Reserved::Booked(booked(command, reservation)))),
                None => look(&mut connection, command).await,
            }
        })
        .await
    }
}
