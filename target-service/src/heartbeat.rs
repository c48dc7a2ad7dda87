//! The heartbeat: a row on the primary that is renewed while the service runs. It says when it was
//! renewed, and what the primary showed then; `migrations/0010_primary_heartbeat.sql` says why.

use std::time::Duration;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::start_error::StartError;

/// How often it is renewed: a read of a standby cannot be known to be younger than this.
const INTERVAL: Duration = Duration::from_millis(100);

/// A connection of its own: a heartbeat that waits for one behind requests would make standbys look
/// old. It does not wait for standbys either, which a commit may do for ever.
pub(crate) fn connection(database_url: &str) -> Result<PgPool, StartError> {
    let options: PgConnectOptions = database_url.parse().map_err(StartError::Connect)?;
    let options = options.options([("synchronous_commit", "local")]);
    Ok(PgPoolOptions::new().max_connections(1).connect_lazy_with(options))
}

/// Renews the row until told to stop. Processes that do it together renew it once in an interval.
pub(crate) async fn run(pool: PgPool, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
        if let Err(error) = beat(&pool).await {
            tracing::warn!(%error, "failed to renew the heartbeat; reads go to the primary meanwhile");
        }
    }
    pool.close().await;
}

/// The instant is taken before the commit: what was acknowledged before it is in every state that
/// has the row.
async fn beat(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        update primary_heartbeat set beaten_at = clock_timestamp(), shown = pg_current_snapshot()
        where beaten_at < clock_timestamp() - interval '50 milliseconds'
        "
    )
    .execute(pool)
    .await?;
    Ok(())
}
