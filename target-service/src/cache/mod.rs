//! A cache of reads in Redis: slots (`slot:{id}`), bookings (`booking:{id}`), doctors
//! (`doctor:{id}`) and the list of slots that have seats left (`slots:available`). PostgreSQL makes
//! every decision.
//!
//! **Believed.** An entry answers a read if it has the version that the client has seen, and if it
//! was read from the database no longer ago than the staleness that is declared. So a client reads
//! its own writes and never goes back, and no answer is older than declared, whatever happened to
//! the cache: a change that it was not told of, an entry that it lost, a restart. Ages are counted
//! by Redis' clock alone, from before the read of the database; the clock must not be set back.
//!
//! **Fresh.** A change is told to the cache after its commit and before its answer. It leaves a
//! tombstone with its version, or with `through` the slot itself; with `behind` the slot is written
//! later, and no answer waits for that. A fill is refused if a later version has been there. A
//! reader that read before a change and writes after it therefore leaves
//! nothing behind. Versions keep answers new; the two conditions above keep them right.
//!
//! **Filled** by one reader at a time, which holds a lease; others wait for it for a few
//! milliseconds, and then read the database without filling. Lifetimes vary by a tenth, so that
//! entries that were made together do not end together. A hold's end ends the entry of its booking.
//!
//! **Without Redis**, or with one that is full, reads go to the database.

mod controls;
mod entry;
mod store;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use slotproof_vocabulary::{
    BookingId, CacheMode, SlotId,
    reference_api::{BookingBody, SlotBody},
};

use tokio::sync::Semaphore;

use self::{
    entry::{Cached, key},
    store::{Asked, Entry, Looked, Store, Writes},
};
use crate::{config::CachedReads, metrics, start_error::StartError};

pub(crate) use controls::{decide, look_first};
pub(crate) use entry::Available;

/// How long a reader waits for another one that fills: a read of the database takes about as long
/// as all of them.
const WAITS: [Duration; 3] =
    [Duration::from_millis(2), Duration::from_millis(4), Duration::from_millis(8)];
/// Writes of `behind` at one time: each reads the database.
const BEHIND_MAX: usize = 16;
/// For how much of its lifetime an entry lives at least, in percent.
const LIFETIME_PERCENT_LEAST: i64 = 90;

/// The cache, and what of it is believed.
pub(crate) struct Cache {
    store: Arc<Store>,
    mode: CacheMode,
    slots_ms: i64,
    bookings_ms: i64,
    /// How much later an entry of an even version is written, for tests of the race.
    delay: Duration,
    /// The oldest answer so far, in milliseconds.
    oldest_ms: AtomicI64,
    /// Writes of `behind` that are under way.
    behind: Arc<Semaphore>,
}

/// A change of a slot that was committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) slot: SlotId,
    /// The booking whose status was changed; `None` if it was made.
    pub(crate) booking: Option<BookingId>,
    pub(crate) version: i64,
    pub(crate) by: By,
}

/// Whose change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    Sweeper,
}

/// What a look at the cache came to.
enum Look<T> {
    Found(Option<T>),
    /// The database is to be read, and the answer to be written to the cache.
    Fill {
        asked_at_ms: i64,
        lease: Option<String>,
    },
    /// The database is to be read.
    Read,
}

impl Cache {
    /// Connects when it is first asked: a cache that is away keeps no service from starting.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn new(config: &CachedReads) -> Result<Self, StartError> {
        let ms = |staleness: u64| i64::try_from(staleness).unwrap_or(i64::MAX);
        Ok(Self {
            store: Arc::new(Store::new(&config.url).map_err(StartError::BadRedisUrl)?),
            mode: config.mode,
            slots_ms: ms(config.slots_staleness_ms),
            bookings_ms: ms(config.bookings_staleness_ms),
            delay: config.delay,
            oldest_ms: AtomicI64::new(0),
            behind: Arc::new(Semaphore::new(BEHIND_MAX)),
        })
    }

    /// The version that an answer must have.
    pub(crate) fn least_version(&self, min_version: i64) -> i64 {
        if self.believes_anything() { 0 } else { min_version }
    }

    /// The cached answer, or that of the database, which is then cached.
    ///
    /// # Errors
    /// The database's own. Nothing that happens to the cache is an error.
    pub(crate) async fn read<T: Cached>(
        &self,
        id: T::Id,
        min_version: i64,
        database: impl Future<Output = Result<Option<T>, sqlx::Error>>,
    ) -> Result<Option<T>, sqlx::Error> {
        let key = key::<T>(id);
        match self.look(&key, min_version).await {
            Look::Found(found) => Ok(found),
            Look::Read => database.await,
            Look::Fill { asked_at_ms, lease } => {
                let read = database.await?;
                self.fill(&key, read.as_ref(), asked_at_ms, lease).await;
                Ok(read)
            }
        }
    }

    /// Tells the cache of a change. `slot` reads the slot as it is now, for `through`.
    pub(crate) async fn changed(
        self: &Arc<Self>,
        change: Change,
        slot: impl Future<Output = Result<Option<SlotBody>, sqlx::Error>> + Send + 'static,
    ) {
        let mut keys = vec![key::<SlotBody>(change.slot)];
        if !self.forgets(change) {
            keys.extend(change.booking.map(key::<BookingBody>));
        }
        match self.mode.right_twin() {
            CacheMode::Through => {
                self.write_through(&keys[0], slot).await;
                keys.remove(0);
            }
            CacheMode::Behind => {
                // Where too many wait already, it is as with `aside`.
                if let Ok(place) = Arc::clone(&self.behind).try_acquire_owned() {
                    let cache = Arc::clone(self);
                    tokio::spawn(async move {
                        let _place = place;
                        cache.write_through(&keys[0], slot).await;
                        keys.remove(0);
                        cache.store.bury(&keys, change.version).await;
                    });
                    return;
                }
            }
            _ => {}
        }
        match self.writes() {
            Writes::ByVersion => self.store.bury(&keys, change.version).await,
            Writes::Always => self.store.delete(&keys).await,
        }
    }

    async fn write_through(
        &self,
        key: &str,
        slot: impl Future<Output = Result<Option<SlotBody>, sqlx::Error>>,
    ) {
        let Some(asked_at_ms) = self.store.now_ms().await else { return };
        match slot.await {
            Ok(slot) => self.fill(key, slot.as_ref(), asked_at_ms, None).await,
            Err(error) => tracing::debug!(%error, "failed to read a slot for the cache"),
        }
    }

    async fn look<T: Cached>(&self, key: &str, min_version: i64) -> Look<T> {
        let asked = Asked {
            min_version: self.least_version(min_version),
            age_ms_max: self.age_ms_max::<T>(),
            leases: !self.believes_anything(),
        };
        let mut waits = WAITS.iter();
        let (reason, asked_at_ms, lease) = loop {
            match self.store.look(key, asked).await {
                Looked::Unavailable => {
                    metrics::cache_read(T::KIND, "unavailable");
                    return Look::Read;
                }
                Looked::Hit { body, age_ms } => match entry::read::<T>(&body, age_ms) {
                    Some(found) => {
                        let oldest_ms = self.oldest_ms.fetch_max(age_ms, Ordering::Relaxed);
                        metrics::cache_hit(T::KIND, age_ms, oldest_ms.max(age_ms));
                        return Look::Found(found);
                    }
                    None => {
                        metrics::cache_read(T::KIND, "unreadable");
                        return Look::Read;
                    }
                },
                Looked::Missed { reason, asked_at_ms, lease } => match waits.next() {
                    Some(wait) if lease.is_none() && asked.leases => {
                        tokio::time::sleep(*wait).await;
                    }
                    _ => break (reason, asked_at_ms, lease),
                },
            }
        };
        metrics::cache_read(T::KIND, reason);
        if asked.leases && lease.is_none() { Look::Read } else { Look::Fill { asked_at_ms, lease } }
    }

    async fn fill<T: Cached>(
        &self,
        key: &str,
        read: Option<&T>,
        asked_at_ms: i64,
        lease: Option<String>,
    ) {
        let Some(version) = read.map_or_else(|| self.version_of_nothing(), |it| Some(it.version()))
        else {
            return;
        };
        let lifetime_ms =
            T::LIFETIME_MS * rand::rng().random_range(LIFETIME_PERCENT_LEAST..=100) / 100;
        let ends_in_ms = read.and_then(Cached::ends_in_ms).filter(|_| !self.outlives::<T>());
        let entry = Entry {
            version,
            asked_at_ms,
            lifetime_ms: ends_in_ms.map_or(lifetime_ms, |ends_in_ms| ends_in_ms.min(lifetime_ms)),
            body: serde_json::to_string(&read).expect("our own bodies are JSON"),
        };
        let (store, writes, key) = (Arc::clone(&self.store), self.writes(), key.to_owned());
        let write = async move {
            let filled = store.fill(&key, &entry, lease, writes).await;
            metrics::cache_fill(T::KIND, filled.name());
        };
        if version % 2 == 0 && !self.delay.is_zero() {
            let delay = self.delay;
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                write.await;
            });
        } else {
            write.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{DoctorId, Month};
    use time::macros::datetime;

    use super::*;

    #[tokio::test]
    async fn without_redis_the_database_answers_and_a_change_is_told_to_nobody() {
        let cache = Cache::new(&CachedReads {
            url: "redis://127.0.0.1:1/".to_owned(),
            mode: CacheMode::Through,
            slots_staleness_ms: 1_000,
            bookings_staleness_ms: 1_000,
            delay: Duration::ZERO,
        });
        let cache = Arc::new(cache.expect("a URL"));
        let month = Month::of(datetime!(2026-12-01 9:00 UTC)).expect("a month");
        let slot = SlotId::new(DoctorId(1), month, 7);
        let body = || SlotBody {
            id: slot,
            doctor_id: DoctorId(1),
            starts_at: datetime!(2026-12-01 9:00 UTC),
            capacity: 2,
            available_seats: 2,
            pending_seats: 0,
            confirmed_seats: 0,
            version: 4,
        };
        for _ in 0..2 {
            let read = cache.read(slot, 4, async { Ok(Some(body())) }).await;
            assert_eq!(read.expect("it is read"), Some(body()));
        }
        let failed = cache.read::<SlotBody>(slot, 4, async { Err(sqlx::Error::PoolTimedOut) });
        assert!(failed.await.is_err(), "what the database says is not hidden");
        let change = Change { slot, booking: None, version: 5, by: By::Client };
        cache.changed(change, async { panic!("nothing can be written to the cache") }).await;
    }
}
