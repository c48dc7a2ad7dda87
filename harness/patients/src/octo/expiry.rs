//! Holds end when their time is over: at the next look of anybody, or by the sweep.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

/// A hold ends at the latest so long after its time.
const SWEEP_EVERY: Duration = Duration::from_millis(200);

/// Ends the holds of an availability whose time is over. The availability is locked: a hold that
/// was counted as free once cannot be confirmed after that.
pub(super) async fn expire(
    connection: &mut PgConnection,
    availability: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update booking set status = 'EXPIRED', updated_at = clock_timestamp()
         where availability = $1 and status = 'ON_HOLD' and expires_at <= clock_timestamp()",
    )
    .bind(availability)
    .execute(connection)
    .await
    .map(drop)
}

/// Ends holds whose availability nobody asks for.
pub(super) async fn sweep(pool: PgPool) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = sweep_once(&pool).await {
            tracing::warn!(%error, "failed to sweep; the next sweep tries again");
        }
    }
}

async fn sweep_once(pool: &PgPool) -> Result<(), sqlx::Error> {
    let due: Vec<String> = sqlx::query_scalar(
        "select distinct availability from booking
         where status = 'ON_HOLD' and expires_at <= clock_timestamp()",
    )
    .fetch_all(pool)
    .await?;
    for availability in due {
        let mut transaction = pool.begin().await?;
        sqlx::query("select from availability where id = $1 for update")
            .bind(&availability)
            .execute(&mut *transaction)
            .await?;
        expire(&mut transaction, &availability).await?;
        transaction.commit().await?;
    }
    Ok(())
}
