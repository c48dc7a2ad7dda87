//! `slotproof check`: judge a run again, from its directory alone.

use std::path::PathBuf;

use anyhow::Result;

use super::init_tracing;
use crate::{
    exit_code::{self, Code},
    judging,
    run_directory::RunDirectory,
    terminal::print_verdict,
};

const EXAMPLES: &str = "Examples:
  slotproof check runs/20261123T101500Z-flash_sale-pessimistic
      reads history, audit log and final rows, and writes verdict.json again, byte for byte the same";

/// Arguments of `slotproof check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directory of a run.
    run: PathBuf,

    /// Print the verdict as JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let run = RunDirectory::open(&args.run)?;
    let (_, case) = judging::case(&run)?;
    let verdict = judging::judge(&run, &case)?;
    print_verdict(&verdict);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdict)?);
    }
    Ok(exit_code::of_verdict(verdict.verdict))
}
