//! What the negative controls leave out. Each is a cache as it is often written.

use std::time::Duration;

use slotproof_vocabulary::{
    CacheMode, StrategyKind,
    reference_api::{BookingBody, SlotBody},
};
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{By, Cache, Cached, Change, entry::key, store::Writes};
use crate::{
    read_model,
    reserve::{Reservation, ReserveCommand, ReserveError, Reserved, booked, once, retrying},
    strategies::{AsCached, conditional::Conditional},
};

/// A version above every other, for what has none; Lua counts exactly up to it.
const ABOVE_ALL: i64 = 1 << 53;

impl Cache {
    /// Whether an entry is believed until it expires, as in the cache-aside of most textbooks:
    /// `get`, or else read the database and `set` with a lifetime; `del` after a write. Between the
    /// commit and the `del`, and after a reader that was slow to `set`, the entry is older than what
    /// clients have been told (lakekeeper PR 1843, redisson#7111).
    pub(super) fn believes_anything(&self) -> bool {
        matches!(self.mode, CacheMode::CacheAsideRace | CacheMode::CacheThroughReorder)
    }

    pub(super) fn writes(&self) -> Writes {
        if self.believes_anything() { Writes::Always } else { Writes::ByVersion }
    }

    pub(super) fn age_ms_max<T: Cached>(&self) -> i64 {
        let for_its_lifetime = self.outlives::<T>() || self.version_of_nothing().is_some();
        match self.believes_anything() || for_its_lifetime {
            true => i64::MAX,
            false => T::staleness_ms(self.slots_ms, self.bookings_ms),
        }
    }

    /// `cache_outlives_hold`: an entry of a booking lives for as long as any other. It says
    /// `pending` of a booking whose seats were sold again.
    pub(super) fn outlives<T: Cached>(&self) -> bool {
        self.mode == CacheMode::CacheOutlivesHold && T::KIND == BookingBody::KIND
    }

    /// `cache_outlives_hold`: the sweeper writes to the database alone, as a job does that is a
    /// program of its own.
    pub(super) fn forgets(&self, change: Change) -> bool {
        self.mode == CacheMode::CacheOutlivesHold && change.by == By::Sweeper
    }

    /// `negative_cache`: that there is nothing is cached, too, which is what `@Cacheable` of Spring
    /// does with a `null` unless it is told otherwise. It has no version.
    pub(super) fn version_of_nothing(&self) -> Option<i64> {
        (self.mode == CacheMode::NegativeCache).then_some(ABOVE_ALL)
    }
}

/// `negative_cache`: looks whether an id is taken before it is used, by the cached read.
pub(crate) async fn look_first(
    cache: &Cache,
    pool: &PgPool,
    command: &ReserveCommand,
) -> Result<(), sqlx::Error> {
    if cache.mode == CacheMode::NegativeCache {
        let booking = command.booking;
        cache.read(booking, 0, read_model::read_booking(pool, booking)).await?;
    }
    Ok(())
}

/// How much later what was acknowledged is written to the database.
const BEHIND: Duration = Duration::from_millis(500);

/// `cache_behind_bookings`: the booking is written to the cache and acknowledged, and to the database
/// half a second later. What is asked of it before is not there, and what the database then refuses,
/// or a process that ends loses, was acknowledged.
async fn behind(
    cache: &Cache,
    pool: &PgPool,
    command: &ReserveCommand,
) -> Result<Reserved, ReserveError> {
    let read = read_model::read_slot(pool, command.slot);
    let Some(slot) = cache.read(command.slot, 0, read).await? else {
        return Ok(Reserved::NoSlot);
    };
    let SlotBody { available_seats, version: slot_version, .. } = slot;
    let available_seats = i32::try_from(available_seats).unwrap_or(i32::MAX);
    if available_seats < command.seats {
        return Ok(Reserved::SoldOut { slot_version, available_seats });
    }
    let expires_at =
        OffsetDateTime::now_utc() + Duration::from_millis(command.hold_ms.unsigned_abs());
    let available_seats = available_seats - command.seats;
    let reservation = Reservation { slot_version: slot_version + 1, available_seats, expires_at };
    let body = booked(command, reservation);
    let asked_at_ms = cache.store.now_ms().await.unwrap_or_default();
    cache.fill(&key::<BookingBody>(command.booking), Some(&body), asked_at_ms, None).await;
    let (pool, command) = (pool.clone(), command.clone());
    tokio::spawn(async move {
        tokio::time::sleep(BEHIND).await;
        let written = retrying(StrategyKind::Conditional, 1, || async {
            let mut connection = pool.acquire().await?;
            once(&Conditional, &mut connection, &command).await
        });
        if let Err(error) = written.await {
            tracing::debug!(%error, "failed to write a booking behind the cache");
        }
    });
    Ok(Reserved::Booked(body))
}

/// `cache_decides`: the cache says whether seats are left, and the write does not look again
/// (DeathStarBench's hotel decides from its memcached). `None` in every mode that is right.
pub(crate) async fn decide(
    cache: &Cache,
    pool: &PgPool,
    command: &ReserveCommand,
) -> Result<Option<Reserved>, ReserveError> {
    match cache.mode {
        CacheMode::CacheDecides => {}
        CacheMode::CacheBehindBookings => return behind(cache, pool, command).await.map(Some),
        _ => return Ok(None),
    }
    let read = read_model::read_slot(pool, command.slot);
    let Some(SlotBody { available_seats, version, .. }) = cache.read(command.slot, 0, read).await?
    else {
        return Ok(Some(Reserved::NoSlot));
    };
    let available_seats = i32::try_from(available_seats).unwrap_or(i32::MAX);
    if available_seats < command.seats {
        return Ok(Some(Reserved::SoldOut { slot_version: version, available_seats }));
    }
    let written = retrying(StrategyKind::Unprotected, 1, || async {
        let mut connection = pool.acquire().await?;
        once(&AsCached, &mut connection, command).await
    });
    written.await.map(Some)
}
