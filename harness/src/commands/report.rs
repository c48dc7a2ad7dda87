//! `slotproof report`: draw the reports of a run again.

use std::{fs, path::PathBuf};

use anyhow::Result;
use slotproof_reports::{Format, RunReport};

use super::init_tracing;
use crate::{
    exit_code::{self, Code, UsageError},
    run_directory::RunDirectory,
    trial,
};

const EXAMPLES: &str = "Examples:
  slotproof report runs/20261123T101500Z-flash_sale-pessimistic
      draws report.html, report.md and junit.xml from run.json again

  slotproof report --from-history runs/20261123T101500Z-flash_sale-pessimistic
      judges the history first and makes run.json anew, as a newer Slotproof would";

/// Arguments of `slotproof report`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directory of a run.
    run: PathBuf,

    /// Make run.json anew from the history, instead of drawing from the one that is there.
    #[arg(long)]
    from_history: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let run = RunDirectory::open(&args.run)?;
    if args.from_history {
        trial::judge_and_report(&run)?;
    } else {
        let path = run.file(Format::Json.file_name());
        let text = fs::read(&path).map_err(|error| {
            UsageError(format!("failed to read {}: {error}; --from-history makes it anew", path.display()))
        })?;
        let report = RunReport::from_json(&text).map_err(|error| UsageError(error.to_string()))?;
        trial::write_reports(&run, &report)?;
    }
    out!("{}", run.file(Format::Html.file_name()).display());
    Ok(exit_code::UPHELD)
}
