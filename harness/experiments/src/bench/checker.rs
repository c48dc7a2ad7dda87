//! What judging costs: time and memory against the size of the history, each size in a process of
//! its own, and porcupine-rs on the same files with a limit of time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use serde::{Deserialize, Serialize};
use slotproof_checker::{Case, certificate, certificate::Certificate, judge, slot_history};
use slotproof_vocabulary::{Expectation, Verdict};
use tokio::process::Command;

use super::synthetic::Synthetic;
use slotproof_evidence::RunDirectory;
use slotproof_stack::proc;

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
    pub sizes: Vec<Size>,
    /// Where the directory of the bench is made.
    pub runs: PathBuf,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Operations of the history.
    pub operations: u64,
    /// Clients of the history.
    pub clients: u64,
    /// Slots of the history.
    pub slots: u64,
}

/// What one process says of one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    verdict: Verdict,
    read_ms: u64,
    /// Tier A: the stories of all slots, and the check of their certificates.
    tier_a_ms: u64,
    proved_slots: u64,
    /// Everything that a history alone is judged by: tier B and tier A together.
    judge_ms: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    size: Size,
    file_bytes: u64,
    judged: Judged,
    memory_bytes_max: u64,
    porcupine: Option<Porcupine>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
/// What porcupine-rs makes of a file.
pub struct Porcupine {
    pub(super) result: String,
    pub(super) took_ms: u64,
}

/// The whole bench.
#[derive(Debug, Serialize)]
pub struct CheckerReport {
    schema_version: u32,
    cpus: usize,
    rows: Vec<Row>,
}

/// Measures every size and writes `bench.json` and `bench.md`.
///
/// # Errors
/// A file that cannot be written, or a process that fails.
#[boxed_future]
pub async fn bench(
    spec: &CheckerSpec,
    progress: &dyn Progress,
) -> Result<(RunDirectory, CheckerReport)> {
    let run =
        RunDirectory::create_named(&spec.runs, "bench-checker", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("bench {}", run.path().display()));
    let mut rows = Vec::new();
    for size in &spec.sizes {
        let file = run.file("history.jsonl.zst");
        let Size { operations, clients, slots } = *size;
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
        rows.push(Row { size: *size, file_bytes, judged, memory_bytes_max, porcupine });
        std::fs::remove_file(&file)?;
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let report = CheckerReport { schema_version: 1, cpus, rows };
    run.write_json("bench.json", &report)?;
    run.write("bench.md", report.markdown().as_bytes())?;
    Ok((run, report))
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

impl CheckerReport {
    /// The table as people read it, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# What judging costs\n\nLawful histories of {CAPACITY} seats a slot, half of the clients in flight at any time; each row is one process, one run, on {} CPUs. \
             Reading and tier A use one of them; all uses as many as there are, from 200,000 operations on. Tier A is the certificate by the versions in the answers; all is everything that a history alone is judged by, tier A included. \
             porcupine-rs has {} s for a file.\n\n\
             | operations | clients | slots | file MB | read s | tier A s | all s | verdict | largest memory MB | porcupine-rs |\n\
             |--:|--:|--:|--:|--:|--:|--:|---|--:|---|\n",
            self.cpus,
            PORCUPINE_WITHIN.as_secs()
        );
        let s = |ms: u64| ms as f64 / 1e3;
        for Row { size, file_bytes, judged, memory_bytes_max, porcupine } in &self.rows {
            let porcupine = porcupine.as_ref().map_or("not tried".to_owned(), |porcupine| {
                format!("{} after {:.2} s", porcupine.result, s(porcupine.took_ms))
            });
            text.push_str(&format!(
                "| {} | {} | {} | {:.1} | {:.2} | {:.3} | {:.3} | {} | {:.0} | {porcupine} |\n",
                size.operations,
                size.clients,
                size.slots,
                *file_bytes as f64 / 1e6,
                s(judged.read_ms),
                s(judged.tier_a_ms),
                s(judged.judge_ms),
                judged.verdict,
                *memory_bytes_max as f64 / 1e6,
            ));
        }
        text
    }
}
