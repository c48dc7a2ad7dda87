//! `slotproof selftest`: tests the checker. Every negative control must be convicted, and no
//! strategy that claims to be safe. With `--architecture`, every broken topology; with
//! `--simulated`, simulated services.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::{
    architecture::architecture_selftest,
    selftest::{SelftestSpec, selftest},
    simulated::simulated_selftest,
};
use slotproof_stack::{EnvironmentSpec, StackSpec};
use slotproof_vocabulary::StrategyKind;

use super::{
    conduct, init_tracing,
    stack_args::{find_topology, has_servers_for},
};
use crate::{
    console::Console,
    exit_code::{self, Code},
};

const EXAMPLES: &str = "Examples:
  slotproof selftest
      every strategy and every negative control on real servers, with fixed seeds: a matrix of who was convicted by which invariant

  slotproof selftest --strategies grouped,receipt_apart --seeds 1,2,3,4,5
      two of them, with more seeds

  slotproof selftest --architecture
      broken topologies under the faults that show their bugs, each with its right twin under the same

  slotproof selftest --simulated
      no server: hundreds of simulated lawful runs, of which none may be convicted, and simulated bugs, each of which must be";

/// Arguments of `slotproof selftest`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which strategies and negative controls [default: all]
    #[arg(long, alias = "only", value_delimiter = ',')]
    strategies: Vec<StrategyKind>,

    /// Seeds of the loads; each strategy is loaded once by each.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    seeds: Vec<u64>,

    /// The servers and how the service uses them: a name that `slotproof topologies` lists, or a
    /// TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "single")]
    topology: String,

    /// Where the directory of the selftest is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Test the checker on broken topologies instead: each must be convicted, and its right twin
    /// upheld under the same load and fault.
    #[arg(long, conflicts_with_all = ["strategies", "seeds", "topology", "simulated"])]
    architecture: bool,

    /// Test the checker on simulated services instead: no server is started, and nothing is
    /// written. Exit code 1 if a lawful run is convicted, or a bug less often than it must be.
    #[arg(long, conflicts_with_all = ["strategies", "seeds", "topology", "runs"])]
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
    if args.architecture {
        return architecture(args);
    }
    let strategies = match args.strategies.is_empty() {
        true => StrategyKind::all().collect(),
        false => args.strategies,
    };
    let topology = find_topology(&args.topology)?;
    let stack = StackSpec { topology, ..StackSpec::single(EnvironmentSpec::Native) };
    has_servers_for(&stack, strategies.iter().copied())?;
    let spec = SelftestSpec { strategies, seeds: args.seeds, stack, runs: args.runs };
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

fn architecture(args: Args) -> Result<Code> {
    let console = Console::of_stderr();
    let (run, report) =
        conduct(async |guard| architecture_selftest(args.runs, guard, &console).await)?;
    if args.json {
        out!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        out!("{}", report.document().markdown());
    }
    note!("{}", run.file("architecture.json").display());
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
