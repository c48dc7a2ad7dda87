//! `slotproof history`: histories from one format to another.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::convert::convert;

use super::init_tracing;
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof history convert runs/20261123T101500Z-flash_sale-pessimistic/history.sph history.jsonl
      the operations of a run, one JSON object a line

  slotproof history convert history.jsonl history.sph
      the same, in the binary format of runs, which is read several times as fast

  slotproof history convert history.sph history.parquet
      for DuckDB, Spark or DataFusion, by a slotproof that was built with --features parquet";

/// What is done with a history.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Write a history in another format: the name of the new file says which.
    Convert(ConvertArgs),
}

/// Arguments of `slotproof history convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConvertArgs {
    /// The history, in any format.
    #[arg(value_name = "HISTORY")]
    from: PathBuf,

    /// The new file: .jsonl (lines of JSON), .jsonl.zst (the same, compressed), .sph (binary) or
    /// .parquet.
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    match command {
        Command::Convert(ConvertArgs { from, to }) => {
            let operations = convert(&from, &to)?;
            note!("{operations} operations");
            out!("{}", to.display());
            Ok(exit_code::UPHELD)
        }
    }
}
