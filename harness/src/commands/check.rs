//! `slotproof check`: judge a run again from its directory alone, or a history of any other system.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Result;
use slotproof_checker::{Case, evidence_file};
use slotproof_evidence::RunDirectory;
use slotproof_experiments::check_run;
use slotproof_models::{Unexplained, explain};
use slotproof_reports::Objective;
use slotproof_vocabulary::{Invariant, Plan, UsageError, Verdict, VerdictReport};

use super::init_tracing;
use crate::{
    console::print_verdict,
    exit_code::{self, Code},
};

const EXAMPLES: &str = "Examples:
  slotproof check runs/20261123T101500Z-flash_sale-pessimistic
      reads history, audit log and final rows, and writes verdict.json again, byte for byte the same

  slotproof check history.jsonl --capacity 20
      judges a history of any other system, one operation per line; format: harness/checker/histories/README.md

  slotproof check history.jsonl.zst --capacity 20 --capacity monday-9=3 --evidence found
      slots of unlike capacities; what convicts is written to found/I1.jsonl and so on, each of which convicts alone

  slotproof check runs/20261123T101500Z-flash_sale-pessimistic --against-model
      walks the audit log through the strategy's model too: is each change one that the model can make?";

/// Arguments of `slotproof check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directory of a run, or a history: JSON Lines, plain or compressed by zstd.
    #[arg(value_name = "RUN|HISTORY")]
    run: PathBuf,

    /// A history needs this: seats of each slot; SLOT=SEATS for one slot. Can be given again.
    #[arg(long, value_name = "SEATS")]
    capacity: Vec<Capacity>,

    /// Write the operations that convict, a file for each invariant, to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    evidence: Option<PathBuf>,

    /// Walk the audit log of a run of ours through its strategy's model as well: is each change
    /// explained?
    #[arg(long, conflicts_with = "capacity")]
    against_model: bool,

    /// Print the verdict as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Seats of all slots, or of one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Capacity {
    slot: Option<String>,
    seats: u32,
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (slot, seats) = match text.rsplit_once('=') {
            Some((slot, seats)) => (Some(slot.to_owned()), seats),
            None => (None, text),
        };
        let seats = seats
            .parse()
            .map_err(|_| format!("{text:?} is not a number of seats; write 20 or monday-9=20"))?;
        Ok(Self { slot, seats })
    }
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    if let Some(directory) = &args.evidence {
        make_room_for_evidence(directory)?;
    }
    let history = args.run.exists() && !args.run.is_dir() && !args.against_model;
    let run = if history { None } else { Some(RunDirectory::open(&args.run)?) };
    let (case, verdict, objective) = match &run {
        None => {
            let (case, verdict) = check_file(&args)?;
            (case, verdict, None)
        }
        Some(run) => {
            let (case, verdict, objective) = check_directory(run, &args)?;
            (case, verdict, Some(objective))
        }
    };
    print_verdict(&verdict);
    let missed = objective.filter(|objective| !objective.met);
    if let Some(Objective { name, limit, measured, .. }) = &missed {
        note!("  objective missed: {name}: {measured}, limit {limit}");
    }
    if let Some(directory) = &args.evidence {
        write_evidence(directory, &case, &verdict)?;
    }
    if args.json {
        out!("{}", serde_json::to_string_pretty(&verdict)?);
    }
    match &run {
        Some(run) if args.against_model && !explained_by_its_model(run)? => Ok(exit_code::VIOLATED),
        _ if missed.is_some() && verdict.verdict == Verdict::Upheld => Ok(exit_code::MISSED),
        _ => Ok(exit_code::of_verdict(verdict.verdict)),
    }
}

/// Walks the audit log through the model of the strategy that wrote it, and says what came of it.
fn explained_by_its_model(run: &RunDirectory) -> Result<bool> {
    let plan: Plan = run.read_json("plan.json")?;
    let (Some(strategy), Some(log)) = (plan.strategy, run.read_audit()?) else {
        let reason =
            "--against-model needs the audit log of a reference strategy; this run has none";
        return Err(UsageError(reason.to_owned()).into());
    };
    let explained = explain(strategy, i32::try_from(plan.capacity)?, &log);
    note!();
    note!("the model of {strategy} explains {} of {} records", explained.records, log.len());
    note!(
        "the log has {} of the {} kinds of change that the model has",
        explained.reached.intersection(&explained.possible).count(),
        explained.possible.len()
    );
    for kind in explained.possible.difference(&explained.reached) {
        note!("  not reached: {kind}");
    }
    let Some(Unexplained { record, before, instead }) = &explained.unexplained else {
        return Ok(true);
    };
    note!();
    note!("not explained: {}", serde_json::to_string(record)?);
    note!("  before it: {before}");
    match instead.is_empty() {
        true => note!("  in the model: no change of this kind is possible in this state"),
        false => instead.iter().for_each(|instead| note!("  in the model: {instead}")),
    }
    Ok(false)
}

fn check_directory(run: &RunDirectory, args: &Args) -> Result<(Case, VerdictReport, Objective)> {
    if !args.capacity.is_empty() {
        let reason =
            "--capacity applies to a history; the plan of a run states the seats of its slots";
        return Err(UsageError(reason.to_owned()).into());
    }
    let (plan, case) = check_run::case(run)?;
    let verdict = check_run::judge(run, &case)?;
    let objective = check_run::errors_objective(run, &plan, &case)?;
    Ok((case, verdict, objective))
}

fn check_file(args: &Args) -> Result<(Case, VerdictReport)> {
    let mut usual = None;
    let mut of_slots = BTreeMap::new();
    for Capacity { slot, seats } in &args.capacity {
        let before = match slot {
            Some(slot) => of_slots.insert(slot.clone(), i64::from(*seats)),
            None => usual.replace(i64::from(*seats)),
        };
        if before.is_some() {
            let whose = slot.as_deref().unwrap_or("all slots");
            return Err(UsageError(format!("--capacity is given twice for {whose}")).into());
        }
    }
    let case = check_run::case_of_history(&args.run, usual, of_slots)?;
    let verdict = slotproof_checker::judge(&case);
    Ok((case, verdict))
}

/// Old evidence beside new would look like a conviction, and a history must never be written over.
fn make_room_for_evidence(directory: &Path) -> Result<(), UsageError> {
    let refused =
        |reason: String| UsageError(format!("--evidence {}: {reason}", directory.display()));
    fs::create_dir_all(directory)
        .map_err(|error| refused(format!("it cannot be made: {error}")))?;
    let there = Invariant::ALL
        .iter()
        .map(|invariant| evidence_path(directory, *invariant))
        .find(|path| path.exists());
    match there {
        Some(path) => {
            Err(refused(format!("{} is there already; give another directory", path.display())))
        }
        None => Ok(()),
    }
}

fn evidence_path(directory: &Path, invariant: Invariant) -> PathBuf {
    directory.join(format!("{invariant}.jsonl"))
}

/// Each file convicts alone: `slotproof check <directory>/I1.jsonl` with the same capacities.
fn write_evidence(directory: &Path, case: &Case, verdict: &VerdictReport) -> Result<()> {
    for finding in &verdict.findings {
        let Some(operations) = evidence_file::operations(case, finding) else { continue };
        let text = evidence_file::text(case, &operations);
        let path = evidence_path(directory, finding.invariant);
        fs::write(&path, text).map_err(|error| {
            // A full disk leaves no half of a file behind, which would not convict.
            let _ = fs::remove_file(&path);
            UsageError(format!("failed to write {}: {error}", path.display()))
        })?;
        note!(
            "  {}: {} operations that convict by {} alone",
            path.display(),
            operations.len(),
            finding.invariant
        );
    }
    Ok(())
}
