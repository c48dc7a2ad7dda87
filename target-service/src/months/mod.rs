//! Months of the partitioned tables: `migrations/partitioned/` has the tables and what is done to
//! them, and this keeps them. Partitions are made ahead, so that none is missing when a slot is
//! created, and a month that is over is closed. The database's clock decides, in UTC.
//!
//! An operator archives closed months, and restores them to be read: `archive.rs`.
//!
//! Queries are checked at run time: those that the compiler checks are checked against the schema
//! of the flat tables.

mod archive;
mod controls;
mod error;
mod manifest;

use std::{sync::Arc, time::Duration};

use slotproof_vocabulary::{Month, MonthMode};
use sqlx::{PgPool, error::DatabaseError};
use time::Date;
use tokio::sync::watch;

pub use archive::{Archivable, Listed, archive, list, restore};
pub use error::MonthsError;
pub use manifest::{ArchivedTable, Manifest};

use crate::{config::Months, metrics, routing::month_key};

/// How often months are looked at: one is read only at most this long after it is over.
const INTERVAL: Duration = Duration::from_secs(5);
/// With fewer months ahead than this it is time that somebody looks at the log.
const AHEAD_LOW: i64 = 2;
/// Plans are made once for all months. Made for each month anew they take longer than what they
/// plan: with 24 partitions a look-up was 1.9 times as fast without that.
pub(crate) const CONNECTION_SETTING: (&str, &str) = ("plan_cache_mode", "force_generic_plan");

/// Where a month is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MonthState {
    /// It is over: its bookings can be read and not changed.
    Closed,
    /// Its rows lie in files.
    Archived,
}

/// The months of a database.
#[derive(Debug)]
pub(crate) struct Calendar {
    pool: PgPool,
    months: Months,
}

/// Keeps months until told to stop. A database that fails, or that is too busy for a lock, is tried
/// again at the next round.
pub(crate) async fn run(calendar: Arc<Calendar>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = calendar.keep().await {
            tracing::warn!(%error, "failed to keep the months; retrying in {} s", INTERVAL.as_secs());
        }
    }
}

impl Calendar {
    pub(crate) fn new(pool: PgPool, months: Months) -> Self {
        Self { pool, months }
    }

    /// Makes the months that are missing, and closes those that are over. Processes that do it
    /// together make each month once.
    pub(crate) async fn keep(&self) -> Result<(), sqlx::Error> {
        for month in self.missing().await? {
            self.change("select make_month($1)", month).await?;
        }
        for month in self.over().await? {
            if !self.change("select close_month($1)", month).await? {
                tracing::debug!(%month, "the month is over, and holds in it have not ended yet");
            }
        }
        if self.months.mode == MonthMode::ArchiveLiveMonth {
            controls::archive_by_age(&self.pool).await?;
        }
        let ahead = self.ahead().await?;
        metrics::months_ahead(ahead);
        if ahead < AHEAD_LOW {
            tracing::warn!(
                "months ahead that have partitions: {ahead}, limit {AHEAD_LOW}: raise --months-ahead, \
                 or see in this log why none are made"
            );
        }
        Ok(())
    }

    async fn missing(&self) -> Result<Vec<Date>, sqlx::Error> {
        sqlx::query_scalar(
            "
            select wanted.slot_month
            from (select date_trunc('month', clock_timestamp() at time zone 'UTC') as month) this,
                generate_series(0, $1) number,
                lateral (select (this.month + number * interval '1 month')::date as slot_month) wanted
            where not exists (select from months where months.slot_month = wanted.slot_month)
            order by wanted.slot_month
            ",
        )
        .bind(self.months.ahead.cast_signed())
        .fetch_all(&self.pool)
        .await
    }

    async fn over(&self) -> Result<Vec<Date>, sqlx::Error> {
        sqlx::query_scalar(
            "
            select slot_month from months
            where state = 'open' and slot_month + interval '1 month' <= clock_timestamp() at time zone 'UTC'
            order by slot_month
            ",
        )
        .fetch_all(&self.pool)
        .await
    }

    async fn ahead(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(
            "
            select count(*) from months
            where state = 'open' and slot_month > clock_timestamp() at time zone 'UTC'
            ",
        )
        .fetch_one(&self.pool)
        .await
    }

    /// One transaction. It waits for a lock for 2 s at most: requests queue up behind it meanwhile.
    async fn change(&self, sql: &'static str, month: Date) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::raw_sql("set local lock_timeout = '2s'").execute(&mut *transaction).await?;
        let changed = sqlx::query_scalar(sql).bind(month).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// `None`: it is open, or was never made.
    pub(crate) async fn state_of(&self, month: Month) -> Result<Option<MonthState>, sqlx::Error> {
        let state: Option<String> =
            sqlx::query_scalar("select state from months where slot_month = $1")
                .bind(month_key(month))
                .fetch_optional(&self.pool)
                .await?;
        Ok(match state.as_deref() {
            Some("closed") => Some(MonthState::Closed),
            Some("archived") => Some(MonthState::Archived),
            Some(_) | None => None,
        })
    }
}

/// A row of a month that has no partition. Nothing was written.
pub(crate) fn is_missing(error: &dyn DatabaseError) -> bool {
    // check_violation without a constraint: "no partition of relation ... found for row".
    error.code().as_deref() == Some("23514") && error.constraint().is_none()
}

/// A change in a closed month. Nothing was written.
pub(crate) fn is_closed(error: &dyn DatabaseError) -> bool {
    error.constraint() == Some("month_is_open")
}
