//! From a run directory to its verdict. Nothing but the files decides, so it can be repeated byte
//! for byte.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use slotproof_checker::{Case, History, Origin};
use slotproof_history::{ActionRef, Operations};
use slotproof_reports::{Objective, printable::one_line};
use slotproof_vocabulary::{
    EndState, Expectation, Outcome, Plan, RunContext, UsageError, VerdictReport,
};

use slotproof_evidence::{LoadEnd, RunDirectory, TargetEvidence};
use slotproof_stack::faults::Injected;

use crate::{
    injected, summary,
    target::{self, StaleReads},
};

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
    let target: Option<TargetEvidence> = run.read_json_if_there("evidence.json")?;
    let keeps_keys = target.as_ref().is_none_or(|target| target.keeps_keys);
    let case = Case {
        history: history(run, load.as_ref())?,
        capacity: plan.capacity.into(),
        sells_at_once: target.as_ref().is_some_and(|target| target.sells_at_once),
        capacities: target.map(|target| target.capacities).unwrap_or_default(),
        audit: run.read_audit()?,
        end: run.read_json_if_there::<EndState>("end_state.json")?,
        prober: load.as_ref().map(|end| end.prober),
        announces: load.as_ref().is_some_and(|end| end.announces),
        // A replay is worth judging whatever it reaches: what it is to reach is written in its
        // schedule.
        expectations: if run.file("replay.json").exists() {
            Vec::new()
        } else {
            let mut expectations = plan.expectations();
            // Of an API without keys, clients ask once.
            expectations.retain(|it| keeps_keys || !matches!(it, Expectation::KeyTwice(_)));
            expectations
        },
        // How long another API holds seats is its own affair: its answers say it, or nobody does.
        hold_ms: (!run.file("replay.json").exists() && !run.file("target.toml").exists())
            .then(|| plan.hold.ms()),
        origin: Origin::Recorder,
        load: load.map(|end| end.load),
    };
    case.validate().map_err(|error| damaged("the run", &error))?;
    Ok((plan, case))
}

/// What clients were told of bookings.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The bookings, with the slot of each.
    pub(crate) bookings: Vec<(Arc<str>, String)>,
    /// The keys of all reserves.
    pub(crate) keys: HashSet<String>,
    /// When the last of the holds that may still be there has run out, on the clock of the history;
    /// `None` where nothing is a hold.
    pub(crate) run_out_ns: Option<u64>,
}

/// # Errors
/// The history is damaged.
pub(crate) fn told(run: &RunDirectory) -> Result<Told> {
    let mut told = Told::default();
    let mut slots: HashMap<u32, Arc<str>> = HashMap::new();
    for operation in &history(run, None)?.operations {
        let ActionRef::Reserve { key, .. } = operation.action else { continue };
        told.keys.insert(key.to_string());
        if let Some(hold_ms) = operation.seen.hold_ms {
            let over_ns = operation.returned_ns.saturating_add(hold_ms.saturating_mul(1_000_000));
            told.run_out_ns = told.run_out_ns.max(Some(over_ns));
        }
        if operation.is_provisional() {
            continue;
        }
        if let (Outcome::Ok, Some(booking)) = (operation.outcome, operation.seen.booking) {
            let slot =
                slots.entry(operation.slot.id()).or_insert_with(|| operation.slot.text().into());
            told.bookings.push((Arc::clone(slot), booking.text().to_owned()));
        }
    }
    told.bookings.sort_unstable();
    told.bookings.dedup();
    Ok(told)
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
            one_line(&history.operations.at(index).slot)
        ))
        .into());
    }
    let named = |slot: &&String| {
        let known = history.operations.slots().find(slot);
        known.is_some_and(|id| history.operations.iter().any(|it| it.slot.id() == id))
    };
    let unused = capacities.keys().find(|slot| !named(slot));
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
    if in_turn(operations) {
        return Ok(());
    }
    let mut order: Vec<usize> = (0..operations.len()).collect();
    order.sort_unstable_by_key(|index| {
        let operation = operations.at(*index);
        (operation.process, operation.sent_ns, *index)
    });
    let overlap = order.windows(2).find(|pair| {
        let (before, after) = (operations.at(pair[0]), operations.at(pair[1]));
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
            operations.at(pair[0]).process
        ))),
        None => Ok(()),
    }
}

/// Whether the operations of each process follow one another in the history as they did in time:
/// they do in most histories, and sorting millions takes seconds.
fn in_turn(operations: &Operations) -> bool {
    let mut returned_ns: foldhash::HashMap<u64, u64> = foldhash::HashMap::default();
    operations.iter().all(|operation| {
        let last_ns = returned_ns.entry(operation.process).or_insert(0);
        let follows = *last_ns <= operation.sent_ns;
        *last_ns = operation.returned_ns;
        follows
    })
}

/// Judges a case and writes `verdict.json`.
///
/// # Errors
/// The file cannot be written.
pub fn judge(run: &RunDirectory, case: &Case) -> Result<VerdictReport> {
    let target: Option<TargetEvidence> = run.read_json_if_there("evidence.json")?;
    let verdict = match &target {
        None => target::judge_of_topology(case, declared_staleness(run)?),
        Some(target) => target::judge(case, target),
    };
    let faults: Option<Vec<Injected>> = run.read_json_if_there("faults.json")?;
    let verdict = injected::judged(verdict, &faults.unwrap_or_default());
    run.write_json("verdict.json", &verdict)?;
    Ok(verdict)
}

/// How old reads may be, as the topology of the run declares.
fn declared_staleness(run: &RunDirectory) -> Result<StaleReads> {
    let context: Option<RunContext> = run.read_json_if_there("environment.json")?;
    let topology = context.and_then(|context| context.environment.topology);
    Ok(topology.map_or_else(StaleReads::default, |topology| StaleReads {
        slots_ms: topology.stale_ms,
        bookings_ms: topology.booking_stale_ms,
    }))
}

/// Reads a history: lines of JSON, plain or compressed, or binary frames.
pub(crate) fn read_history(path: &Path) -> Result<History> {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_history_of_two_zstd_frames_is_read_whole() {
        let line = |booking: &str, key: &str| {
            format!(
                r#"{{"client":1,"slot":"s","op":"reserve","seats":1,"key":"{key}","booking":"{booking}","sent_ns":0,"returned_ns":9,"outcome":"ok"}}"#
            ) + "\n"
        };
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        for text in [line("a", "ka"), line("b", "kb")] {
            let frame = zstd::encode_all(text.as_bytes(), 1).expect("it is compressed");
            file.write_all(&frame).expect("it is written");
        }
        let history = read_history(file.path()).expect("it is a history");
        assert_eq!((history.operations.len(), history.cut_off), (2, None));
    }
}
