//! `slotproof selftest`: tests the checker. Every negative control must be convicted, and no
//! strategy that claims to be safe. With `--simulated`, on simulated services.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::{
    selftest::{SelftestSpec, selftest},
    simulated::simulated_selftest,
};
use slotproof_vocabulary::StrategyKind;

use super::{conduct, init_tracing};
use crate::{
    console::Console,
    exit_code::{self, Code},
};

const EXAMPLES: &str = "Examples:
  slotproof selftest
      every strategy and every negative control on real servers, with fixed seeds: a matrix of who was convicted by which invariant

  slotproof selftest --strategies grouped,receipt_apart --seeds 1,2,3,4,5
      two of them, with more seeds

  slotproof selftest --simulated
      no server: hundreds of simulated lawful runs, of which none may be convicted, and simulated bugs, each of which must be";

/// Arguments of `slotproof selftest`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which strategies and negative controls [default: all]
    #[arg(long, value_delimiter = ',')]
    strategies: Vec<StrategyKind>,

    /// Seeds of the loads; each strategy is loaded once by each.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    seeds: Vec<u64>,

    /// Where the directory of the selftest is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Test the checker on simulated services instead: no server is started, and nothing is
    /// written. Exit code 1 if a lawful run is convicted, or a bug less often than it must be.
    #[arg(long, conflicts_with_all = ["strategies", "seeds", "runs"])]
    simulated: bool,

    /// Print the matrix as JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    if args.simulated {
        return simulated(&args);
    }
    let strategies = match args.strategies.is_empty() {
        true => StrategyKind::all().collect(),
        false => args.strategies,
    };
    let spec = SelftestSpec { strategies, seeds: args.seeds, runs: args.runs };
    let console = Console::of_stderr();
    let (run, report) = conduct(async |guard| selftest(&spec, guard, &console).await)?;
    if args.json {
        out!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        out!("{}", report.document().markdown());
    }
    note!("{}", run.file("selftest.json").display());
    Ok(if report.passed() { exit_code::UPHELD } else { exit_code::VIOLATED })
}

fn simulated(args: &Args) -> Result<Code> {
    let report = simulated_selftest();
    if args.json {
        out!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        out!("{}", report.document().markdown());
    }
    Ok(if report.passed() { exit_code::UPHELD } else { exit_code::VIOLATED })
}
