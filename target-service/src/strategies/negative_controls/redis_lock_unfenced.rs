//! # redis_lock_unfenced (negative control)
//!
//! **Claim.** None. Overbooks when a holder is paused for longer than its lock lives.
//!
//! **Mechanism.** The seed's own snippet (3.2.3): `SET lock:slot:<id> locked EX 5 NX`, the work,
//! and a plain delete. The lock has no owner, so a holder that comes back late deletes the lock of
//! another one; and PostgreSQL does not learn under which lock a write was made.
//!
//! **Cost.** Two round trips to Redis and two to PostgreSQL. The real bug behind it:
//! bsm/redislock#93, redisson#4684, and Kleppmann's "How to do distributed locking" (2016).
//!
//! **Fails when.** The work takes longer than the lock lives: a pause of the process, a slow
//! database, a short TTL.
//!
//! **Model.** `models/src/redis_lock_unfenced.rs`

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::ConnectionManager;
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

pub(crate) struct RedisLockUnfenced {
    pub(crate) pool: Connections,
    pub(crate) redis: ConnectionManager,
    pub(crate) ttl: Duration,
    pub(crate) tries: u32,
}

#[async_trait]
impl Strategy for RedisLockUnfenced {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        let lock = format!("lock:slot:{}", command.slot);
        retrying(StrategyKind::RedisLockUnfenced, self.tries, || async {
            let mut redis = self.redis.clone();
            let mut polled = 0;
            loop {
                about_to("acquire").await;
                let set: Option<String> = redis::cmd("SET")
                    .arg(&[&lock, "locked", "NX", "PX"])
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
                redis::cmd("DEL").arg(&lock).query_async(&mut redis).await;
            match decided? {
                Some(reservation) => Ok(Some(Reserved::Booked(booked(command, reservation)))),
                None => look(&mut connection, command).await,
            }
        })
        .await
    }
}
