//! What happens around a strategy, whichever it is: receipts for duplicates, an honest `sold_out`,
//! and trying again.

use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use slotproof_vocabulary::{
    BookingId, BookingStatus, SlotId, StrategyKind, reference_api::BookingBody,
};
use sqlx::{PgConnection, PgPool};
use time::{Date, OffsetDateTime};

use crate::{
    http::IdempotencyKey,
    metrics,
    pausing::about_to,
    strategies::{Reserve, Strategy},
};

/// The pause before the second try is at most this; the bound doubles from try to try.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
/// No pause is longer: a waiting client is not served by waiting longer than a transaction takes.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A reserve as the edge has parsed it.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) slot: SlotId,
    pub(crate) seats: i32,
    pub(crate) key: IdempotencyKey,
    /// The id that the booking will have if it comes to be.
    pub(crate) booking: BookingId,
    pub(crate) hold_ms: i64,
    /// Asked for as urgent: first out of the queue, and never sent round by a policy.
    pub(crate) urgent: bool,
}

impl Want {
    pub(crate) fn doctor_id(&self) -> i32 {
        doctor_id(self.slot)
    }

    pub(crate) fn slot_month(&self) -> Date {
        self.slot.month().first_day()
    }
}

/// The distribution key as the database stores it. Doctors are numbered by the database, so every
/// real one fits.
pub(crate) fn doctor_id(slot: SlotId) -> i32 {
    slot.doctor().0.cast_signed()
}

/// Seats taken: what the transaction wrote.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) slot_version: i64,
    pub(crate) available_seats: i32,
    pub(crate) expires_at: OffsetDateTime,
}

/// The answer to a reserve.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// The seats are taken, by this request or by an earlier one with the same key.
    Booked(BookingBody),
    /// Too few seats, in one snapshot taken during the call; or during the first call with this
    /// key, where that left a receipt.
    SoldOut { slot_version: i64, available_seats: i32 },
    /// A worker will decide; whoever asks again by the same key is told.
    Accepted,
    /// The key was used for another request.
    KeyMismatch,
    /// Every try lost a race, or too many wait already; nothing was written.
    RetryLater,
    /// No such slot.
    NoSlot,
}

/// Why a reserve has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReserveError {
    /// The database failed. It may have happened.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Something that the strategy needs is down. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
    /// Something failed after the request had left. It may have happened.
    #[error("{0}")]
    Unknown(String),
}

/// How things stand in one snapshot, after a try that wrote nothing.
pub(crate) struct Standing {
    slot_version: i64,
    available_seats: i32,
    receipt: Option<Receipt>,
}

/// What was answered to the first request with this key.
pub(crate) struct Receipt {
    pub(crate) slot: uuid::Uuid,
    pub(crate) seats: i32,
    pub(crate) booking: uuid::Uuid,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) hold_ms: Option<i64>,
    pub(crate) slot_version: i64,
    pub(crate) available_seats: i32,
    pub(crate) refused: Option<String>,
}

/// A strategy whose page makes one try, tried again and again.
pub(crate) struct Tries<S> {
    pub(crate) kind: StrategyKind,
    pub(crate) page: S,
    pub(crate) pool: PgPool,
    /// Tries before a client is told `retry_later`.
    pub(crate) tries: u32,
}

#[async_trait]
impl<S: Reserve> Strategy for Tries<S> {
    async fn reserve(&self, want: &Want) -> Result<Reserved, ReserveError> {
        retrying(self.kind, self.tries, || async {
            let mut connection = self.pool.acquire().await?;
            once(&self.page, &mut connection, want).await
        })
        .await
    }
}

/// Tries until there is an answer, with a pause between tries; `None` is a try that lost a race.
pub(crate) async fn retrying<T: Future<Output = Result<Option<Reserved>, ReserveError>>>(
    kind: StrategyKind,
    tries: u32,
    mut once: impl FnMut() -> T,
) -> Result<Reserved, ReserveError> {
    for tried in 0..tries {
        if tried > 0 {
            metrics::reserve_retried(kind);
            tokio::time::sleep(pause_before(tried)).await;
        }
        if let Some(answer) = once().await? {
            return Ok(answer);
        }
    }
    Ok(Reserved::RetryLater)
}

/// One try of a page, and what it means that it wrote nothing. `None`: it lost a race.
pub(crate) async fn once(
    page: &impl Reserve,
    connection: &mut PgConnection,
    want: &Want,
) -> Result<Option<Reserved>, ReserveError> {
    match attempt(page, connection, want).await? {
        Some(taken) => Ok(Some(Reserved::Booked(booked(want, taken)))),
        None => look(connection, want).await,
    }
}

/// One try of a page. `None`: nothing was written.
pub(crate) async fn attempt(
    page: &impl Reserve,
    connection: &mut PgConnection,
    want: &Want,
) -> Result<Option<Taken>, sqlx::Error> {
    page.reserve(connection, want).await.or_else(nothing_written)
}

/// The answer that a fresh snapshot gives; `None` if seats are there and no receipt is.
pub(crate) async fn look(
    connection: &mut PgConnection,
    want: &Want,
) -> Result<Option<Reserved>, ReserveError> {
    about_to("look").await;
    Ok(match standing(connection, want).await? {
        None => Some(Reserved::NoSlot),
        Some(Standing { receipt: Some(receipt), .. }) => Some(replay(want, receipt)?),
        Some(Standing { slot_version, available_seats, .. }) if available_seats < want.seats => {
            Some(Reserved::SoldOut { slot_version, available_seats })
        }
        Some(_) => None,
    })
}

/// What became of a request that was accepted earlier; `Accepted` if nothing has, yet.
pub(crate) async fn outcome(pool: &PgPool, want: &Want) -> Result<Reserved, ReserveError> {
    let mut connection = pool.acquire().await?;
    Ok(match standing(&mut connection, want).await? {
        None => Reserved::NoSlot,
        Some(Standing { receipt: Some(receipt), .. }) => replay(want, receipt)?,
        Some(Standing { receipt: None, .. }) => Reserved::Accepted,
    })
}

/// Reads slot and receipt in one statement: in two, a booking could slip in between and be answered
/// with `sold_out`.
async fn standing(
    connection: &mut PgConnection,
    want: &Want,
) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select slot.version, slot.available_seats,
            receipt.slot_id as "receipt_slot_id?", receipt.seats as "receipt_seats?",
            receipt.booking_id as "booking_id?", receipt.expires_at as "expires_at?", receipt.hold_ms as "hold_ms?",
            receipt.slot_version as "receipt_version?", receipt.available_seats as "receipt_available?", receipt.refused
        from appointment_slots slot
        left join idempotency_keys receipt
            on receipt.doctor_id = $1 and receipt.slot_month = $2 and receipt.idempotency_key = $4
        where slot.doctor_id = $1 and slot.slot_month = $2 and slot.slot_id = $3
        "#,
        want.doctor_id(),
        want.slot_month(),
        want.slot.as_uuid(),
        want.key.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let receipt =
        match (row.receipt_slot_id, row.receipt_seats, row.booking_id, row.receipt_version) {
            (Some(slot), Some(seats), Some(booking), Some(slot_version)) => Some(Receipt {
                slot,
                seats,
                booking,
                expires_at: row.expires_at,
                hold_ms: row.hold_ms,
                slot_version,
                available_seats: row.receipt_available.unwrap_or_default(),
                refused: row.refused,
            }),
            _ => None,
        };
    Ok(Some(Standing { slot_version: row.version, available_seats: row.available_seats, receipt }))
}

pub(crate) fn booked(want: &Want, taken: Taken) -> BookingBody {
    BookingBody {
        id: want.booking,
        slot_id: want.slot,
        status: BookingStatus::Pending,
        seats: want.seats.into(),
        expires_at: Some(taken.expires_at),
        hold_ms: Some(want.hold_ms),
        slot_version: taken.slot_version,
        available_seats: taken.available_seats.into(),
    }
}

/// The first answer again, to a request that is the first one again.
pub(crate) fn replay(want: &Want, receipt: Receipt) -> Result<Reserved, sqlx::Error> {
    if receipt.slot != want.slot.as_uuid() || receipt.seats != want.seats {
        return Ok(Reserved::KeyMismatch);
    }
    let Receipt { slot_version, available_seats, .. } = receipt;
    Ok(match receipt.refused.as_deref() {
        Some("sold_out") => Reserved::SoldOut { slot_version, available_seats },
        Some("not_found") => Reserved::NoSlot,
        Some(_) => Reserved::RetryLater,
        None => Reserved::Booked(BookingBody {
            id: receipt.booking.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            slot_id: want.slot,
            status: BookingStatus::Pending,
            seats: receipt.seats.into(),
            expires_at: receipt.expires_at,
            hold_ms: receipt.hold_ms,
            slot_version,
            available_seats: available_seats.into(),
        }),
    })
}

/// Full jitter: a uniform pause between zero and a bound that doubles. `tried` is the number of
/// tries that failed so far, 1 or more.
pub(crate) fn pause_before(tried: u32) -> Duration {
    rand::rng().random_range(Duration::ZERO..=pause_bound(tried))
}

fn pause_bound(tried: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

/// Turns errors by which PostgreSQL promises that the transaction was rolled back into "nothing was
/// written".
pub(crate) fn nothing_written(error: sqlx::Error) -> Result<Option<Taken>, sqlx::Error> {
    if lost_race(&error) { Ok(None) } else { Err(error) }
}

/// PostgreSQL rolled the transaction back because of somebody else's: it can be tried again.
pub(crate) fn lost_race(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| match database.code().as_deref() {
        // serialization_failure, deadlock_detected
        Some("40001" | "40P01") => true,
        // unique_violation: a duplicate came first, and its receipt is there to be read
        Some("23505") => database.constraint() == Some("idempotency_keys_pkey"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pause_is_bounded_by_its_constant_and_each_bound_is_twice_the_one_before() {
        let bounds: Vec<_> = (1..=6).map(|tried| pause_bound(tried).as_millis()).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 32, 50]);
        assert_eq!(pause_bound(1), PAUSE_FIRST);
    }

    #[test]
    fn pauses_never_exceed_their_bound_and_do_not_overflow() {
        for tried in 1..100 {
            assert!(pause_before(tried) <= PAUSE_MAX);
        }
    }

    #[test]
    fn only_a_proven_rollback_counts_as_nothing_written() {
        assert!(nothing_written(sqlx::Error::PoolTimedOut).is_err());
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(nothing_written(sqlx::Error::Io(reset)).is_err(), "the commit may have happened");
    }
}
