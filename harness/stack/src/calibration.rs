//! How long a durable write takes here and now, and how fast one core is: the figures without which
//! no throughput of a durable database means anything.

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

/// Rounds of the CPU calibration.
const CPU_ROUNDS: usize = 5;
/// Steps of one round: about 40 ms on a core of 2020.
const CPU_STEPS: u64 = 3_000_000;
/// Words of the table: 32 KiB, which the first-level cache of every server CPU holds.
const CPU_TABLE: usize = 4_096;

/// Steps per second of one core, one figure for each of five rounds; blocks for about 200 ms.
/// Counted by the CPU time of this thread: what else runs on the machine is not the core's speed.
///
/// A step is one number of SplitMix64 (Steele, Lea and Flood, 2014), a branch on it that cannot be
/// predicted, and an update of a table in the first-level cache at a place that depends on it: the
/// mix of arithmetic, branches and memory of a program that interprets requests. It uses no
/// instruction that only some CPUs have, so it compares machines, of one build of Slotproof. A build
/// without optimisation measures itself.
pub fn single_core_per_s() -> Vec<f64> {
    (0..CPU_ROUNDS)
        .map(|_| {
            let begun_s = thread_cpu_s();
            std::hint::black_box(cpu_steps(std::hint::black_box(1), CPU_STEPS));
            CPU_STEPS as f64 / (thread_cpu_s() - begun_s).max(1e-9)
        })
        .collect()
}

/// CPU time of this thread, in seconds.
fn thread_cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The work of the CPU calibration; the same seed gives the same sum on every machine.
#[inline(never)]
fn cpu_steps(seed: u64, steps: u64) -> u64 {
    let mut table = vec![0_u64; CPU_TABLE];
    let (mut state, mut sum) = (seed, 0_u64);
    for _ in 0..steps {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state ^ sum;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let cell = &mut table[mixed as usize % CPU_TABLE];
        if mixed & (1 << 40) == 0 {
            *cell = cell.wrapping_add(mixed);
            sum = sum.wrapping_add(*cell);
        } else {
            sum = sum.rotate_left(7) ^ *cell;
        }
    }
    sum
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
    fn the_cpu_calibration_does_the_same_work_everywhere() {
        assert_eq!(cpu_steps(1, 1_000), cpu_steps(1, 1_000));
        assert_ne!(cpu_steps(1, 1_000), cpu_steps(2, 1_000));
        assert_ne!(cpu_steps(1, 1_000), cpu_steps(1, 1_001), "every step counts");
        assert_eq!(cpu_steps(1, 100_000), 2_487_158_742_640_890_211);
    }

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
