//! From a run directory to its verdict. Nothing but the files decides, so it can be repeated byte
//! for byte.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result};
use slotproof_checker::{Case, History, Origin};
use slotproof_reports::{Objective, printable::one_line};
use slotproof_vocabulary::{EndState, Expectation, Plan, UsageError, VerdictReport};

use slotproof_evidence::{LoadEnd, RunDirectory};

use crate::summary;

/// Bytes of history that are decompressed at once.
const BUFFER_BYTES: usize = 1 << 20;
/// How a file compressed by zstd begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A run as the checker takes it.
///
/// # Errors
/// The run is damaged.
pub fn case(run: &RunDirectory) -> Result<(Plan, Case)> {
    let plan: Plan = run.read_json("plan.json")?;
    let load: Option<LoadEnd> = run.read_json_if_there("load.json")?;
    let case = Case {
        history: history(run, load.as_ref())?,
        capacity: plan.capacity.into(),
        capacities: BTreeMap::new(),
        audit: run.read_audit()?,
        end: run.read_json_if_there::<EndState>("end_state.json")?,
        prober: load.as_ref().map(|end| end.prober),
        announces: load.as_ref().is_some_and(|end| end.announces),
        // A replay is worth judging whatever it reaches: what it is to reach is written in its
        // schedule.
        expectations: if run.file("replay.json").exists() {
            Vec::new()
        } else {
            plan.expectations()
        },
        hold_ms: (!run.file("replay.json").exists()).then(|| plan.hold.ms()),
        origin: Origin::Recorder,
        load: load.map(|end| end.load),
    };
    case.validate().map_err(|error| damaged("the run", &error))?;
    Ok((plan, case))
}

/// The objective of a run on operations without a decision.
///
/// # Errors
/// The run is damaged.
pub fn errors_objective(run: &RunDirectory, plan: &Plan, case: &Case) -> Result<Objective> {
    let errors = summary::errors(run, plan, case)?;
    Ok(summary::errors_objective(plan.errors_max.get(), &errors))
}

/// A history that some other system wrote. Nothing else is known of it but the seats of its slots.
pub fn case_of_history(
    path: &Path,
    capacity: Option<i64>,
    capacities: BTreeMap<String, i64>,
) -> Result<Case> {
    let history = read_history(path)?;
    let unknown = history
        .operations
        .iter()
        .position(|operation| capacity.is_none() && !capacities.contains_key(&*operation.slot));
    if let Some(index) = unknown {
        return Err(UsageError(format!(
            "line {} of {} is about slot {}, whose capacity is not given; give --capacity",
            history.line_of(index),
            path.display(),
            one_line(&history.operations[index].slot)
        ))
        .into());
    }
    let unused = capacities
        .keys()
        .find(|slot| !history.operations.iter().any(|operation| *operation.slot == **slot));
    if let Some(slot) = unused.filter(|_| !history.declarations.excerpt) {
        return Err(UsageError(format!(
            "--capacity {slot}=...: no line of {} is about a slot of that name",
            path.display()
        ))
        .into());
    }
    one_at_a_time(&history)?;
    let case = Case {
        history,
        capacity: capacity.unwrap_or_default(),
        capacities,
        expectations: vec![Expectation::SoldOut, Expectation::Full],
        ..Case::default()
    };
    case.validate().map_err(|error| damaged("the history", &error))?;
    Ok(case)
}

/// Reasons quote names, which may hold line breaks.
fn damaged(what: &str, reason: &dyn std::error::Error) -> UsageError {
    UsageError(format!("{what} is damaged: {}", one_line(&reason.to_string())))
}

/// A process has one operation in flight: who was unsure goes on as another one. Sessions and
/// histories that break off are judged by that.
fn one_at_a_time(history: &History) -> Result<(), UsageError> {
    let operations = &history.operations;
    let mut order: Vec<usize> = (0..operations.len()).collect();
    order.sort_unstable_by_key(|index| {
        (operations[*index].process, operations[*index].sent_ns, *index)
    });
    let overlap = order.windows(2).find(|pair| {
        let (before, after) = (&operations[pair[0]], &operations[pair[1]]);
        // The parts of a basket are one request.
        let one_request = before.basket().is_some() && before.basket() == after.basket();
        before.process == after.process && after.sent_ns < before.returned_ns && !one_request
    });
    match overlap {
        Some(pair) => Err(UsageError(format!(
            "lines {} and {}: process {} had two operations in flight at once; give each client that acts on its own, and each that goes on after \
             unknown, a `process` of its own",
            history.line_of(pair[0].min(pair[1])),
            history.line_of(pair[0].max(pair[1])),
            operations[pair[0]].process
        ))),
        None => Ok(()),
    }
}

/// Judges a case and writes `verdict.json`.
///
/// # Errors
/// The file cannot be written.
pub fn judge(run: &RunDirectory, case: &Case) -> Result<VerdictReport> {
    let verdict = slotproof_checker::judge(case);
    run.write_json("verdict.json", &verdict)?;
    Ok(verdict)
}

/// Reads a history, plain or compressed.
fn read_history(path: &Path) -> Result<History> {
    let file = File::open(path).with_context(|| format!("read {}", path.display()))?;
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let compressed = file.fill_buf()?.starts_with(&ZSTD_MAGIC);
    let source: Box<dyn Read> =
        if compressed { Box::new(zstd::Decoder::with_buffer(file)?) } else { Box::new(file) };
    History::read(BufReader::with_capacity(BUFFER_BYTES, source))
        .map_err(|error| damaged(&path.display().to_string(), &error).into())
}

fn history(run: &RunDirectory, load: Option<&LoadEnd>) -> Result<History> {
    let history = read_history(&run.history())?;
    let read = history.operations.len() as u64;
    Ok(match load {
        _ if history.cut_off.is_some() => history,
        None => history.cut("the load did not end in order"),
        Some(end) if end.load.operations != read => {
            history.cut(&format!("{} operations were recorded", end.load.operations))
        }
        Some(_) => history,
    })
}
