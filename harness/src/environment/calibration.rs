//! How long a durable write takes here and now: the figure without which no throughput of a durable database means anything.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use slotproof_reports::run_report::FsyncCalibration;

/// The size of a WAL page, near enough: what one small commit writes.
const WRITE_BYTES: usize = 8 * 1024;
/// Enough for a 99th percentile.
const SAMPLES_MAX: u32 = 500;
/// A slow disk is known after this long.
const TIME_MAX: Duration = Duration::from_millis(500);

/// Writes and syncs one file in `directory` again and again.
pub(crate) fn calibrate(directory: &Path) -> std::io::Result<FsyncCalibration> {
    let path = directory.join("calibration");
    let mut file = File::create(&path)?;
    let page = [0x5a; WRITE_BYTES];
    let mut durations = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
    let begun = Instant::now();
    let mut samples = 0;
    while samples < SAMPLES_MAX && (begun.elapsed() < TIME_MAX || samples == 0) {
        let written = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        file.sync_data()?;
        durations.saturating_record(u64::try_from(written.elapsed().as_micros()).unwrap_or(u64::MAX));
        samples += 1;
    }
    std::fs::remove_file(path)?;
    Ok(FsyncCalibration {
        samples,
        us_p50: durations.value_at_quantile(0.5),
        us_p99: durations.value_at_quantile(0.99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_measures_something_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let measured = calibrate(directory.path()).expect("it can be written to");
        assert!(measured.samples >= 1 && measured.us_p50 >= 1 && measured.us_p99 >= measured.us_p50);
        assert_eq!(directory.path().read_dir().expect("it is there").count(), 0);
    }
}
