//! What judging costs: time and memory against the size of the history, each size in a process of
//! its own, and porcupine-rs on the same files with a limit of time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use serde::Deserialize;
use slotproof_checker::{Case, certificate, certificate::Certificate, judge, slot_history};
use slotproof_vocabulary::Expectation;
use tokio::process::Command;

use super::synthetic::Synthetic;
use slotproof_evidence::RunDirectory;
use slotproof_reports::{
    Document,
    bench::checker::{CheckerBench, CheckerRow, HistorySize, Judged, Porcupine},
};
use slotproof_stack::proc;

use super::write_bench;
use crate::{check_run, progress::Progress};

/// Seats of every slot.
pub(super) const CAPACITY: i64 = 400;
/// Longest that porcupine-rs may take for a file.
pub(super) const PORCUPINE_WITHIN: Duration = Duration::from_secs(10);
/// Larger files are not given to porcupine-rs: it ends by memory, not by time.
const PORCUPINE_OPERATIONS_MAX: u64 = 100_000;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct CheckerSpec {
    /// The rows of the table.
    pub sizes: Vec<HistorySize>,
    /// Where the directory of the bench is made.
    pub runs: PathBuf,
}

/// Measures every size and writes `bench.json` and `bench.md`.
///
/// # Errors
/// A file that cannot be written, or a process that fails.
#[boxed_future]
pub async fn bench(
    spec: &CheckerSpec,
    progress: &dyn Progress,
) -> Result<(RunDirectory, CheckerBench)> {
    let run =
        RunDirectory::create_named(&spec.runs, "bench-checker", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("bench {}", run.path().display()));
    let mut rows = Vec::new();
    for size in &spec.sizes {
        let file = run.file("history.sph");
        let HistorySize { operations, clients, slots } = *size;
        let synthetic = Synthetic { operations, clients, slots, capacity: CAPACITY, seed: 1 };
        tokio::task::spawn_blocking({
            let file = file.clone();
            move || synthetic.write(&file)
        })
        .await??;
        let (judged, memory_bytes_max) = child::<Judged>(&file, "judge").await?;
        let tried = cfg!(feature = "porcupine") && operations <= PORCUPINE_OPERATIONS_MAX;
        let porcupine = match tried {
            true => Some(child::<Porcupine>(&file, "porcupine").await?.0),
            false => None,
        };
        progress.line(&format!(
            "  {operations} operations of {clients} clients on {slots} slot(s): {} ms",
            judged.judge_ms
        ));
        let file_bytes = std::fs::metadata(&file)?.len();
        rows.push(CheckerRow { size: *size, file_bytes, judged, memory_bytes_max, porcupine });
        std::fs::remove_file(&file)?;
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let schema_version = CheckerBench::SCHEMA_VERSION;
    let report = CheckerBench { schema_version, cpus, rows };
    run.write_json("bench.json", &report)?;
    write_bench(&run, &document(&report))?;
    Ok((run, report))
}

/// The bench as a document.
pub fn document(report: &CheckerBench) -> Document {
    report.document(u32::try_from(CAPACITY).expect("a few seats"), PORCUPINE_WITHIN)
}

/// Runs one measurement in a process of its own; answers with what it says and its largest resident
/// size.
async fn child<T: for<'de> Deserialize<'de>>(file: &Path, what: &str) -> Result<(T, u64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["measured", what])
        .arg(file)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true);
    let process = command.spawn()?;
    let pid = process.id().and_then(|pid| i32::try_from(pid).ok()).context("it runs")?;
    let output = process.wait_with_output();
    tokio::pin!(output);
    let (mut memory, mut looks) = (0, tokio::time::interval(Duration::from_millis(20)));
    let output = loop {
        tokio::select! {
            output = &mut output => break output?,
            _ = looks.tick() => memory = memory.max(proc::resident_bytes_max(pid).unwrap_or(0)),
        }
    };
    anyhow::ensure!(output.status.success(), "measuring {what} ended with {}", output.status);
    Ok((serde_json::from_slice(&output.stdout)?, memory))
}

/// In the process of its own: reads and judges.
pub fn judge_file(path: &Path) -> Result<Judged> {
    let begun = Instant::now();
    let case = check_run::case_of_history(path, Some(CAPACITY), BTreeMap::new())?;
    let case = Case { expectations: vec![Expectation::SoldOut], ..case };
    let read_ms = begun.elapsed().as_millis() as u64;
    let begun = Instant::now();
    let proved = slot_history::each_slot(&case.history)
        .filter(|(_, history)| certificate::check(history, CAPACITY) == Certificate::Proved);
    let proved_slots = proved.count() as u64;
    let tier_a_ms = begun.elapsed().as_millis() as u64;
    let begun = Instant::now();
    let verdict = judge(&case).verdict;
    Ok(Judged {
        verdict,
        read_ms,
        tier_a_ms,
        proved_slots,
        judge_ms: begun.elapsed().as_millis() as u64,
    })
}
