//! From a run directory to its verdict. Nothing but the files decides, so it can be repeated byte for byte.

use std::{
    fs::File,
    io::{BufReader, Read},
};

use anyhow::{Context, Result};
use slotproof_checker::{Case, History};
use slotproof_vocabulary::{EndState, Plan, VerdictReport};

use crate::{
    exit_code::UsageError,
    run_directory::{LoadEnd, RunDirectory},
};

/// Bytes of history that are decompressed at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A run as the checker takes it.
pub(crate) fn case(run: &RunDirectory) -> Result<(Plan, Case)> {
    let plan: Plan = run.read_json("plan.json")?;
    let load: Option<LoadEnd> = run.read_json_if_there("load.json")?;
    if load.is_some() {
        // A run that ended in order has all its evidence; without it the verdict would rest on less, and look the same.
        for name in ["audit.jsonl", "end_state.json"] {
            if !run.file(name).is_file() {
                return Err(UsageError(format!(
                    "the run is damaged: {} is missing",
                    run.file(name).display()
                ))
                .into());
            }
        }
    }
    let case = Case {
        history: history(run, load.as_ref())?,
        capacity: plan.capacity.into(),
        audit: run.read_audit()?,
        end: run.read_json_if_there::<EndState>("end_state.json")?,
        prober: load.as_ref().map(|end| end.prober),
        expectations: plan.expectations(),
        load: load.map(|end| end.load),
    };
    case.validate().map_err(|error| UsageError(format!("the run is damaged: {error}")))?;
    Ok((plan, case))
}

/// Judges a case and writes `verdict.json`.
pub(crate) fn judge(run: &RunDirectory, case: &Case) -> Result<VerdictReport> {
    let verdict = slotproof_checker::judge(case);
    run.write_json("verdict.json", &verdict)?;
    Ok(verdict)
}

fn history(run: &RunDirectory, load: Option<&LoadEnd>) -> Result<History> {
    let path = run.history();
    let file = File::open(&path).with_context(|| format!("read {}", path.display()))?;
    let source: Box<dyn Read> = Box::new(zstd::Decoder::new(file)?);
    let history = History::read(BufReader::with_capacity(BUFFER_BYTES, source))
        .map_err(|error| UsageError(format!("{} is damaged: {error}", path.display())))?;
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
