//! What happens around a strategy, whichever it is: receipts for duplicates, an honest `sold_out`, and trying again.

use std::{sync::Arc, time::Duration};

use rand::Rng;
use slotproof_vocabulary::{BookingId, BookingStatus, SlotId, StrategyKind, wire::BookingBody};
use sqlx::{PgConnection, PgPool};
use time::{Date, OffsetDateTime};

use crate::{http::IdempotencyKey, metrics, strategies, strategies::Reserve};

/// Tries before a client is told `retry_later`. On a hot slot an optimistic try fails more often than not (84 % were seen);
/// with 20 tries the chance to lose them all at that rate is 3 %.
const TRIES_MAX: u32 = 20;
/// The pause before the second try is at most this; it doubles from try to try.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
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
}

impl Want {
    pub(crate) fn doctor_id(&self) -> i32 {
        doctor_id(self.slot)
    }

    pub(crate) fn slot_month(&self) -> Date {
        self.slot.month().first_day()
    }
}

/// The distribution key as the database stores it. Doctors are numbered by the database, so every real one fits.
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
    /// Too few seats, in one snapshot taken during the call.
    SoldOut { slot_version: i64, available_seats: i32 },
    /// The key was used for another request.
    KeyMismatch,
    /// Every try lost a race; nothing was written.
    RetryLater,
    /// No such slot.
    NoSlot,
}

/// How things stand in one snapshot, after a try that wrote nothing.
struct Standing {
    slot_version: i64,
    available_seats: i32,
    receipt: Option<Receipt>,
}

struct Receipt {
    slot: uuid::Uuid,
    seats: i32,
    body: BookingBody,
}

/// Reserves by one strategy.
pub(crate) struct Bookings {
    kind: StrategyKind,
    strategy: Arc<dyn Reserve>,
    pool: PgPool,
}

impl Bookings {
    pub(crate) fn new(kind: StrategyKind, pool: PgPool) -> Self {
        Self { kind, strategy: strategies::build(kind), pool }
    }

    /// # Errors
    /// The database's own: the outcome is unknown.
    pub(crate) async fn reserve(&self, want: &Want) -> Result<Reserved, sqlx::Error> {
        for tried in 0..TRIES_MAX {
            if tried > 0 {
                metrics::reserve_retried(self.kind);
                tokio::time::sleep(pause_before(tried)).await;
            }
            let mut connection = self.pool.acquire().await?;
            if let Some(taken) =
                self.strategy.reserve(&mut connection, want).await.or_else(nothing_written)?
            {
                return Ok(Reserved::Booked(booked(want, taken)));
            }
            match standing(&mut connection, want).await? {
                None => return Ok(Reserved::NoSlot),
                Some(Standing { receipt: Some(receipt), .. }) => return Ok(replay(want, receipt)),
                Some(Standing { slot_version, available_seats, .. }) if available_seats < want.seats => {
                    return Ok(Reserved::SoldOut { slot_version, available_seats });
                }
                // Seats are there and the try did not get them: it lost a race.
                Some(_) => {}
            }
        }
        Ok(Reserved::RetryLater)
    }
}

/// Reads slot and receipt in one statement: in two, a booking could slip in between and be answered with `sold_out`.
async fn standing(connection: &mut PgConnection, want: &Want) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select slot.version, slot.available_seats,
            receipt.slot_id as "receipt_slot_id?", receipt.seats as "receipt_seats?",
            receipt.booking_id as "booking_id?", receipt.expires_at as "expires_at?", receipt.hold_ms as "hold_ms?",
            receipt.slot_version as "receipt_version?", receipt.available_seats as "receipt_available?"
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
    let receipt = match (row.receipt_slot_id, row.receipt_seats, row.booking_id, row.receipt_version) {
        (Some(slot), Some(seats), Some(booking), Some(slot_version)) => Some(Receipt {
            slot,
            seats,
            body: BookingBody {
                id: booking.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                slot_id: want.slot,
                status: BookingStatus::Pending,
                seats: seats.into(),
                expires_at: row.expires_at,
                hold_ms: row.hold_ms,
                slot_version,
                available_seats: row.receipt_available.unwrap_or_default().into(),
            },
        }),
        _ => None,
    };
    Ok(Some(Standing { slot_version: row.version, available_seats: row.available_seats, receipt }))
}

fn booked(want: &Want, taken: Taken) -> BookingBody {
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

fn replay(want: &Want, receipt: Receipt) -> Reserved {
    if receipt.slot == want.slot.as_uuid() && receipt.seats == want.seats {
        Reserved::Booked(receipt.body)
    } else {
        Reserved::KeyMismatch
    }
}

/// Full jitter: anything between nothing and a bound that doubles.
fn pause_before(tried: u32) -> Duration {
    let bound = PAUSE_FIRST.saturating_mul(1 << tried.min(16)).min(PAUSE_MAX);
    rand::rng().random_range(Duration::ZERO..=bound)
}

/// Turns errors by which PostgreSQL promises that the transaction was rolled back into "nothing was written".
fn nothing_written(error: sqlx::Error) -> Result<Option<Taken>, sqlx::Error> {
    let rolled_back = error.as_database_error().is_some_and(|database| match database.code().as_deref() {
        // serialization_failure, deadlock_detected
        Some("40001" | "40P01") => true,
        // unique_violation: a duplicate came first, and its receipt is there to be read
        Some("23505") => database.constraint() == Some("idempotency_keys_pkey"),
        _ => false,
    });
    if rolled_back { Ok(None) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_never_exceed_their_bound_and_do_not_overflow() {
        for tried in 1..100 {
            assert!(pause_before(tried) <= PAUSE_MAX);
        }
        assert!(pause_before(1) <= PAUSE_FIRST * 2);
    }

    #[test]
    fn only_a_proven_rollback_counts_as_nothing_written() {
        assert!(nothing_written(sqlx::Error::PoolTimedOut).is_err());
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(nothing_written(sqlx::Error::Io(reset)).is_err(), "the commit may have happened");
    }
}
