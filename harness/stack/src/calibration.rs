//! How long a durable write takes here and now: the figure without which no throughput of a durable
//! database means anything.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed_future;
use hdrhistogram::Histogram;
use slotproof_vocabulary::FsyncCalibration;
use sqlx::{Connection, PgConnection};

/// The size of a WAL page, near enough: what one small commit writes.
const WRITE_BYTES: usize = 8 * 1024;
/// Enough for a 99th percentile.
const SAMPLES_MAX: u64 = 500;
/// A slow disk is known after this long.
const TIME_MAX: Duration = Duration::from_millis(500);

/// Writes and syncs one file in `directory` again and again.
pub(crate) fn calibrate(directory: &Path) -> std::io::Result<FsyncCalibration> {
    let path = directory.join("calibration");
    let mut file = File::create(&path)?;
    let page = [0x5a; WRITE_BYTES];
    let mut durations = Durations::begin();
    while durations.wants_more() {
        let written = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        file.sync_data()?;
        durations.record(written.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(durations.calibration())
}

/// Commits transactions that leave one message in the database's log and nothing anywhere else;
/// `None` where that is not allowed. It needs no table, so it is the same on any database, whoever
/// runs it.
#[boxed_future]
pub async fn durable_commit(postgres_url: &str) -> Option<FsyncCalibration> {
    let mut database = PgConnection::connect(postgres_url).await.ok()?;
    let mut durations = Durations::begin();
    while durations.wants_more() {
        let sent = Instant::now();
        let message =
            sqlx::query("select pg_logical_emit_message(true, 'slotproof', 'calibration')::text");
        message.execute(&mut database).await.ok()?;
        durations.record(sent.elapsed());
    }
    let _ = database.close().await;
    Some(durations.calibration())
}

/// Durations until there are enough.
struct Durations {
    microseconds: Histogram<u64>,
    begun: Instant,
}

impl Durations {
    fn begin() -> Self {
        let microseconds =
            Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        Self { microseconds, begun: Instant::now() }
    }

    fn wants_more(&self) -> bool {
        let samples = self.microseconds.len();
        samples == 0 || (samples < SAMPLES_MAX && self.begun.elapsed() < TIME_MAX)
    }

    fn record(&mut self, duration: Duration) {
        self.microseconds
            .saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    fn calibration(&self) -> FsyncCalibration {
        FsyncCalibration {
            samples: u32::try_from(self.microseconds.len()).unwrap_or(u32::MAX),
            us_p50: self.microseconds.value_at_quantile(0.5),
            us_p99: self.microseconds.value_at_quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_measures_something_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let measured = calibrate(directory.path()).expect("it can be written to");
        assert!(
            measured.samples >= 1 && measured.us_p50 >= 1 && measured.us_p99 >= measured.us_p50
        );
        assert_eq!(directory.path().read_dir().expect("it is there").count(), 0);
    }
}
