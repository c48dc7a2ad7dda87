//! The cache in Redis: entries with a version, the instant before which they were read, and a text.
//! A tombstone is an entry without a text.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::Rng;
use redis::{
    FromRedisValue, Script, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

/// A Redis that takes longer to answer is not worth waiting for: the database answers.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// How long a Redis that failed is passed over, so that not every read waits for it.
const PASSED_OVER_FOR: Duration = Duration::from_secs(1);
/// How long a reader may take to fill before another one does.
const LEASE_MS: i64 = 250;
/// How long a tombstone lives. A fill that comes later has an entry that is older than any declared
/// staleness but a longer one.
const TOMBSTONE_MS: i64 = 60_000;

/// KEYS: entry, lease. ARGV: least version, age that is too great, token of the lease or none, its
/// lifetime.
/// Answers with why there is no answer (empty: there is one), the text, its age or the time, and
/// whether the lease was taken. A server that is full gives no lease.
const LOOK: &str = "
    local time = redis.call('time')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local entry = redis.call('hmget', KEYS[1], 'version', 'asked_at_ms', 'body')
    local why = 'absent'
    if entry[3] then
        local age = now - tonumber(entry[2])
        if tonumber(entry[1]) < tonumber(ARGV[1]) then why = 'behind'
        elseif age < 0 or age >= tonumber(ARGV[2]) then why = 'stale'
        else return {'', entry[3], age, 0} end
    end
    local taken = 0
    if ARGV[3] ~= '' then
        local answer = redis.pcall('set', KEYS[2], ARGV[3], 'NX', 'PX', ARGV[4])
        if type(answer) == 'table' and answer.ok then taken = 1 end
    end
    return {why, '', now, taken}";
/// KEYS: entry, lease. ARGV: version, asked at, ends at, text, token, whether versions are
/// compared.
const FILL: &str = "
    if ARGV[5] ~= '' and redis.call('get', KEYS[2]) == ARGV[5] then redis.call('del', KEYS[2]) end
    local stored = redis.call('hget', KEYS[1], 'version')
    if ARGV[6] == '1' and stored and tonumber(stored) > tonumber(ARGV[1]) then return 0 end
    redis.call('del', KEYS[1])
    redis.call('hset', KEYS[1], 'version', ARGV[1], 'asked_at_ms', ARGV[2], 'body', ARGV[4])
    redis.call('pexpireat', KEYS[1], ARGV[3])
    return 1";
/// KEYS: entries. ARGV: version, lifetime of a tombstone. A server that is full deletes at least.
const BURY: &str = "
    for _, key in ipairs(KEYS) do
        local stored = redis.call('hget', key, 'version')
        if not stored or tonumber(stored) < tonumber(ARGV[1]) then
            redis.call('del', key)
            redis.pcall('hset', key, 'version', ARGV[1])
            redis.call('pexpire', key, ARGV[2])
        end
    end
    return 1";
const DELETE: &str = "return redis.call('del', unpack(KEYS))";
const NOW: &str = "
    local time = redis.call('time')
    return time[1] * 1000 + math.floor(time[2] / 1000)";

pub(super) struct Store {
    redis: ConnectionManager,
    passed_over_until: Mutex<Option<Instant>>,
    look: Script,
    fill: Script,
    bury: Script,
    delete: Script,
    now: Script,
}

/// What is asked of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) min_version: i64,
    pub(super) age_ms_max: i64,
    /// Whether one reader fills at a time.
    pub(super) leases: bool,
}

#[derive(Debug)]
pub(super) enum Looked {
    Hit {
        body: String,
        age_ms: i64,
    },
    Missed {
        /// `absent`, `behind` or `stale`.
        reason: &'static str,
        /// Redis' time before the database is read.
        asked_at_ms: i64,
        /// The token of the lease, if the reader has it.
        lease: Option<String>,
    },
    /// Redis does not answer.
    Unavailable,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: i64,
    pub(super) asked_at_ms: i64,
    /// Counted from `asked_at_ms`.
    pub(super) lifetime_ms: i64,
    pub(super) body: String,
}

/// What a write to the cache does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    /// It replaces versions that are not later.
    ByVersion,
    /// It replaces everything.
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Stored,
    /// A later version has been there.
    Refused,
    /// Redis is full or does not answer.
    Failed,
}

impl Filled {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Store {
    /// # Errors
    /// The text is not a Redis URL.
    pub(super) fn new(url: &str) -> redis::RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_connection_timeout(Some(ANSWER_WITHIN));
        Ok(Self {
            redis: ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, config)?,
            passed_over_until: Mutex::default(),
            look: Script::new(LOOK),
            fill: Script::new(FILL),
            bury: Script::new(BURY),
            delete: Script::new(DELETE),
            now: Script::new(NOW),
        })
    }

    pub(super) async fn look(&self, key: &str, asked: Asked) -> Looked {
        let token = if asked.leases {
            format!("{:032x}", rand::rng().random::<u128>())
        } else {
            String::new()
        };
        let answer: Option<(String, String, i64, i64)> = self
            .ask(
                self.look
                    .key(key)
                    .key(lease_key(key))
                    .arg(asked.min_version)
                    .arg(asked.age_ms_max)
                    .arg(&token)
                    .arg(LEASE_MS),
            )
            .await;
        let Some((why, body, number, taken)) = answer else { return Looked::Unavailable };
        let reason = match why.as_str() {
            "" => return Looked::Hit { body, age_ms: number },
            "behind" => "behind",
            "stale" => "stale",
            _ => "absent",
        };
        Looked::Missed { reason, asked_at_ms: number, lease: (taken == 1).then_some(token) }
    }

    pub(super) async fn fill(
        &self,
        key: &str,
        entry: &Entry,
        lease: Option<String>,
        writes: Writes,
    ) -> Filled {
        let stored: Option<i64> = self
            .ask(
                self.fill
                    .key(key)
                    .key(lease_key(key))
                    .arg(entry.version)
                    .arg(entry.asked_at_ms)
                    .arg(entry.asked_at_ms.saturating_add(entry.lifetime_ms))
                    .arg(&entry.body)
                    .arg(lease.unwrap_or_default())
                    .arg(if writes == Writes::ByVersion { "1" } else { "0" }),
            )
            .await;
        match stored {
            Some(1) => Filled::Stored,
            Some(_) => Filled::Refused,
            None => Filled::Failed,
        }
    }

    /// Leaves a tombstone of this version in place of older entries.
    pub(super) async fn bury(&self, keys: &[String], version: i64) {
        if !keys.is_empty() {
            let mut bury = self.bury.prepare_invoke();
            for key in keys {
                bury.key(key);
            }
            let _: Option<i64> = self.ask(bury.arg(version).arg(TOMBSTONE_MS)).await;
        }
    }

    pub(super) async fn delete(&self, keys: &[String]) {
        if !keys.is_empty() {
            let mut delete = self.delete.prepare_invoke();
            for key in keys {
                delete.key(key);
            }
            let _: Option<i64> = self.ask(&delete).await;
        }
    }

    /// Redis' time.
    pub(super) async fn now_ms(&self) -> Option<i64> {
        self.ask(&self.now.prepare_invoke()).await
    }

    /// `None`: Redis is passed over, does not answer, or refuses.
    async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        if !self.is_to_be_asked(Instant::now()) {
            return None;
        }
        let mut redis = self.redis.clone();
        match tokio::time::timeout(ANSWER_WITHIN, script.invoke_async(&mut redis)).await {
            Ok(Ok(answer)) => Some(answer),
            // It has answered: it is full, say.
            Ok(Err(error)) if error.code().is_some() => {
                tracing::debug!(%error, "the cache refuses");
                None
            }
            Ok(Err(error)) => self.pass_over(&error),
            Err(late) => self.pass_over(&late),
        }
    }

    fn is_to_be_asked(&self, now: Instant) -> bool {
        let until = *self.passed_over_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| until <= now)
    }

    fn pass_over<T>(&self, reason: &dyn std::fmt::Display) -> Option<T> {
        tracing::debug!(%reason, "the cache is passed over for {} ms", PASSED_OVER_FOR.as_millis());
        let mut until = self.passed_over_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + PASSED_OVER_FOR);
        None
    }
}

fn lease_key(key: &str) -> String {
    format!("lease:{key}")
}
