//! # redis_lock
//!
//! **Claim.** Never overbooks, also when a lock expires under its holder: PostgreSQL checks the
//! fencing token that came with it.
//!
//! **Mechanism.** `SET NX PX` with an owner token takes the lock, and the same script increments a
//! fencing token. The seats are read together with the highest token that has written to the slot;
//! the write demands that no other token has written since, and that its own is higher. Release is
//! compare-and-delete, so that a holder that lost the lock does not release another's. Within a
//! process, requests for a slot wait for each other without asking Redis, so that one per process
//! polls.
//!
//! The usual advice, to refuse tokens lower than the highest *written*, is not enough. A holder
//! that read, stalled, and writes before its successor does still has the highest token, so its
//! write is accepted; the successor then writes by a stale read. So the token seen at the read is
//! compared as well.
//!
//! **Cost.** Two round trips to Redis and two to PostgreSQL, all under the lock, and the commit's
//! fsync.
//!
//! **Fails when.** None known. Without Redis every reserve gets 503 `unavailable`. A Redis that
//! lost its data hands out tokens that are too low; PostgreSQL refuses them, and the counter is
//! raised above the highest token that PostgreSQL has seen.
//!
//! **Model.** `models/src/redis_lock.rs`

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rand::Rng;
use redis::{
    Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use slotproof_vocabulary::{SlotId, StrategyKind};
use sqlx::PgConnection;
use tokio::{sync::Mutex, time::Instant};

use super::statement::reservation;
use crate::{
    connections::Connections,
    pausing::about_to,
    reserve::{
        Reservation, ReserveCommand, ReserveError, Reserved, Strategy, booked, look,
        nothing_written, pause_before, retrying,
    },
};

/// Requests of a process for one slot wait for one of these mutexes; slots that share one lose time
/// only.
const GATES: usize = 1_024;
/// How long a request waits for the lock before it gets `retry_later`; shorter than a client's
/// timeout.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long Redis may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const ACQUIRE: &str = "
    if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('incr', KEYS[2]) end
    return 0";
const RELEASE: &str = "
    if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
    return 0";
const LIFT: &str = "
    if tonumber(redis.call('get', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('set', KEYS[1], ARGV[1]) end
    return 0";

pub(crate) struct RedisLock {
    pool: Connections,
    redis: ConnectionManager,
    /// How long a lock lives that its holder does not release.
    ttl: Duration,
    /// Times that a write is tried, should its lock be lost or its token refused.
    tries: u32,
    gates: Vec<Mutex<()>>,
    scripts: Scripts,
}

struct Scripts {
    acquire: Script,
    release: Arc<Script>,
    lift: Script,
}

/// A lock that was held when it was taken; it may have expired since. Dropping it frees it too: a
/// client that goes away takes its request with it, and must not leave the slot locked.
struct Held {
    fence: i64,
    lock: Option<Lock>,
}

struct Lock {
    redis: ConnectionManager,
    release: Arc<Script>,
    key: String,
    owner: String,
}

impl Held {
    async fn free(mut self) {
        if let Some(lock) = self.lock.take() {
            lock.free().await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            tokio::spawn(lock.free());
        }
    }
}

impl Lock {
    /// A lock that cannot be freed expires.
    async fn free(mut self) {
        let freed: redis::RedisResult<i64> =
            self.release.key(&self.key).arg(&self.owner).invoke_async(&mut self.redis).await;
        if let Err(error) = freed {
            tracing::debug!(%error, "failed to release a lock; it expires by itself");
        }
    }
}

/// A connection that is made when it is first used, and again whenever it is lost.
///
/// # Errors
/// The text is not a Redis URL.
pub(crate) fn connect(url: &str) -> redis::RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(ANSWER_WITHIN))
        .set_connection_timeout(Some(ANSWER_WITHIN));
    ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, config)
}

impl RedisLock {
    pub(crate) fn new(
        pool: Connections,
        redis: ConnectionManager,
        ttl: Duration,
        tries: u32,
    ) -> Self {
        let scripts = Scripts {
            acquire: Script::new(ACQUIRE),
            release: Arc::new(Script::new(RELEASE)),
            lift: Script::new(LIFT),
        };
        Self {
            pool,
            redis,
            ttl,
            tries,
            gates: (0..GATES).map(|_| Mutex::new(())).collect(),
            scripts,
        }
    }

    fn gate(&self, slot: SlotId) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(slot);
        &self.gates[(hash % GATES as u64) as usize]
    }

    /// `None`: another request holds it.
    async fn acquire(&self, slot: SlotId) -> Result<Option<Held>, ReserveError> {
        let owner = format!("{:032x}", rand::rng().random::<u128>());
        let fence: i64 = self
            .scripts
            .acquire
            .key(lock_key(slot))
            .key(fence_key(slot))
            .arg(&owner)
            .arg(self.ttl.as_millis() as u64)
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(unavailable)?;
        let lock = || Lock {
            redis: self.redis.clone(),
            release: Arc::clone(&self.scripts.release),
            key: lock_key(slot),
            owner,
        };
        Ok((fence > 0).then(|| Held { fence, lock: Some(lock()) }))
    }

    /// Redis has forgotten tokens that PostgreSQL has seen.
    async fn lift(&self, slot: SlotId, seen: i64) -> Result<(), ReserveError> {
        let key = fence_key(slot);
        let lifted: redis::RedisResult<i64> =
            self.scripts.lift.key(key).arg(seen).invoke_async(&mut self.redis.clone()).await;
        lifted.map(|_| ()).map_err(unavailable)
    }

    /// Reads, decides and writes under the lock. `None`: nothing was written.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
        held: &Held,
    ) -> Result<Option<Reservation>, ReserveError> {
        about_to("read").await;
        let read = sqlx::query!(
            "
            select available_seats, fence from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
            command.doctor_id(),
            command.slot_month(),
            command.slot.as_uuid(),
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(read) = read.filter(|slot| slot.available_seats >= command.seats) else {
            return Ok(None);
        };
        if read.fence >= held.fence {
            self.lift(command.slot, read.fence).await?;
            return Ok(None);
        }
        about_to("write").await;
        Ok(write(connection, command, read.fence, held.fence).await.or_else(nothing_written)?)
    }
}

#[async_trait]
impl Strategy for RedisLock {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        let deadline = Instant::now() + WAIT_MAX;
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.gate(command.slot).lock()).await
        else {
            return Ok(Reserved::RetryLater);
        };
        retrying(StrategyKind::RedisLock, self.tries, || async {
            let mut polled = 0;
            let held = loop {
                about_to("acquire").await;
                if let Some(held) = self.acquire(command.slot).await? {
                    break held;
                }
                if Instant::now() >= deadline {
                    return Ok(Some(Reserved::RetryLater));
                }
                polled += 1;
                tokio::time::sleep(pause_before(polled)).await;
            };
            let mut connection = self.pool.acquire().await?;
            let decided = self.decide(&mut connection, command, &held).await;
            about_to("release").await;
            held.free().await;
            match decided? {
                Some(reservation) => Ok(Some(Reserved::Booked(booked(command, reservation)))),
                None => look(&mut connection, command).await,
            }
        })
        .await
    }
}

/// The braces keep both keys of a slot on one node of a Redis cluster.
fn lock_key(slot: SlotId) -> String {
    format!("lock:{{{slot}}}")
}

fn fence_key(slot: SlotId) -> String {
    format!("fence:{{{slot}}}")
}

fn unavailable(error: redis::RedisError) -> ReserveError {
    ReserveError::Unavailable(format!("Redis failed before anything was written: {error}"))
}

async fn write(
    connection: &mut PgConnection,
    command: &ReserveCommand,
    seen_fence: i64,
    fence: i64,
) -> Result<Option<Reservation>, sqlx::Error> {
    reservation!(
        query(command, seen_fence, fence)
        set "available_seats = available_seats - $4, version = version + 1, fence = $9"
        where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and fence = $8 and fence < $9"
    )
    .fetch_optional(connection)
    .await
}
