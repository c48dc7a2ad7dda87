//! Trying again: a page makes one try, and this makes as many as are allowed.

use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use slotproof_vocabulary::StrategyKind;
use sqlx::PgConnection;

use super::{
    command::{Reservation, Reserve, ReserveCommand, ReserveError, Reserved, Strategy},
    receipts::{SlotSnapshot, booked, replay, snapshot},
};
use crate::{connections::Connections, metrics, pausing::about_to};

/// The pause before the second try is at most this; the bound doubles from try to try.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
/// No pause is longer: waiting longer than a transaction takes does not help a client.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A page that makes one try, as a strategy that tries it several times.
pub(crate) struct Retrying {
    pub(crate) kind: StrategyKind,
    /// Boxed, so that the flow around a page is compiled once and not for each of them.
    pub(crate) page: Box<dyn Reserve>,
    pub(crate) pool: Connections,
    /// Tries before a client is told `retry_later`.
    pub(crate) tries: u32,
}

#[async_trait]
impl Strategy for Retrying {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        retrying(self.kind, self.tries, || async {
            let mut connection = self.pool.acquire().await?;
            let answer = once(&*self.page, &mut connection, command).await?;
            connection.ended_well();
            Ok(answer)
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
    page: &dyn Reserve,
    connection: &mut PgConnection,
    command: &ReserveCommand,
) -> Result<Option<Reserved>, ReserveError> {
    match attempt(page, connection, command).await? {
        Some(reservation) => Ok(Some(Reserved::Booked(booked(command, reservation)))),
        None => look(connection, command).await,
    }
}

/// One try of a page. `None`: nothing was written.
pub(crate) async fn attempt(
    page: &dyn Reserve,
    connection: &mut PgConnection,
    command: &ReserveCommand,
) -> Result<Option<Reservation>, sqlx::Error> {
    page.reserve(connection, command).await.or_else(nothing_written)
}

/// The answer that a fresh snapshot gives; `None` if seats are there and no receipt is.
pub(crate) async fn look(
    connection: &mut PgConnection,
    command: &ReserveCommand,
) -> Result<Option<Reserved>, ReserveError> {
    about_to("look").await;
    Ok(match snapshot(connection, command).await? {
        None => Some(Reserved::NoSlot),
        Some(SlotSnapshot { receipt: Some(receipt), .. }) => Some(replay(command, receipt)?),
        Some(SlotSnapshot { slot_version, available_seats, .. })
            if available_seats < command.seats =>
        {
            Some(Reserved::SoldOut { slot_version, available_seats })
        }
        Some(_) => None,
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
pub(crate) fn nothing_written(error: sqlx::Error) -> Result<Option<Reservation>, sqlx::Error> {
    if lost_race(&error) { Ok(None) } else { Err(error) }
}

/// PostgreSQL rolled the transaction back because of another one: it can be tried again.
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
