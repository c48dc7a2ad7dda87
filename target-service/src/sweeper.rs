//! The sweeper gives the seats of holds that have run out back. The database's clock decides, and
//! nothing else does.

use std::time::Duration;

use slotproof_vocabulary::BookingId;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{lifecycle, metrics};

/// How often overdue holds are looked for: a seat is free again at most this long after its hold
/// ran out, plus the sweep.
const INTERVAL: Duration = Duration::from_millis(250);
/// Holds expired in one round; what is left is found by the next one at once.
const ROUND_MAX: i64 = 500;

/// Sweeps until told to stop. A database that fails is tried again at the next round.
pub(crate) async fn run(pool: PgPool, mut stopping: watch::Receiver<bool>) {
    loop {
        match sweep(&pool).await {
            Ok(expired) if expired == ROUND_MAX => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "failed to expire overdue holds; will try again"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// One round: how many overdue holds it expired. Replicas that find the same one race, and one of
/// them expires it. A hold that the database will not let go must not keep the others from being
/// let go.
async fn sweep(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let overdue = sqlx::query!(
        "
        select booking_id from bookings
        where status = 'pending' and expires_at <= clock_timestamp()
        order by expires_at
        limit $1
        ",
        ROUND_MAX,
    )
    .fetch_all(pool)
    .await?;
    let mut expired = 0;
    for row in &overdue {
        let booking = BookingId::try_from(row.booking_id)
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        match lifecycle::expire(pool, booking).await {
            Ok(true) => {
                expired += 1;
                metrics::hold_expired();
            }
            Ok(false) => {}
            Err(sqlx::Error::Database(error)) => {
                tracing::warn!(%booking, %error, "failed to expire a hold; will try again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(expired)
}
