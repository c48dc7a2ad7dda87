//! `slotproof bench`: measure, in rounds and as ratios.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec,
    bench::{
        checker::{self, CheckerSpec},
        comparison::{self, ComparisonBenchSpec},
        engine::{self, EngineSpec},
        strategies::{self, BenchSpec, bench},
    },
};
use slotproof_reports::bench::checker::HistorySize;
use slotproof_stack::{EnvironmentSpec, StackSpec};
use slotproof_vocabulary::{Span, StrategyKind, UsageError};

use super::{conduct, init_tracing, interruptible, runtime};
use crate::{
    console::Console,
    exit_code::{self, Code},
    output,
};

const EXAMPLES: &str = "Examples:
  slotproof bench strategies --quick
      every safe strategy on one hot slot and on 1,000, by 64 and 256 clients, in about six minutes

  slotproof bench strategies --strategies pessimistic,conditional,grouped --clients 256 --rounds 9
      three of them, with narrower intervals

  slotproof bench engine
      the load engine beside plain goose, and beside oha and wrk where they are installed, in about three minutes

  slotproof bench checker
      what judging ten thousand to ten million operations takes

  slotproof bench comparison
      how far compare can be trusted: a plan beside itself 40 times, beside a slower one 20 times, in about 25 minutes";

/// Benches.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// What each strategy costs: bookings per second, latency, retries, CPU, against each other and
    /// against pgbench.
    #[command(after_help = EXAMPLES)]
    Strategies(StrategiesArgs),

    /// What the load engine costs, against plain goose, oha and wrk, and whether its latency shows
    /// a server that stands still.
    #[command(after_help = EXAMPLES)]
    Engine(EngineArgs),

    /// What judging costs: time and memory against the size of the history, and porcupine-rs on the
    /// same files.
    #[command(after_help = EXAMPLES)]
    Checker(CheckerArgs),

    /// How far `compare` can be trusted: a plan beside itself, and beside one that is 30 % slower.
    #[command(after_help = EXAMPLES)]
    Comparison(ComparisonArgs),
}

/// Arguments of `slotproof bench comparison`.
#[derive(Debug, clap::Args)]
pub(crate) struct ComparisonArgs {
    /// Comparisons of a plan with itself, a seed each.
    #[arg(long, default_value_t = 40, value_name = "N")]
    same: u32,

    /// Comparisons with a known difference, a seed each.
    #[arg(long, default_value_t = 20, value_name = "N")]
    different: u32,

    /// The budget of each comparison.
    #[arg(long, default_value = "60s", value_name = "TIME")]
    budget: Span,

    /// Where the directory of the bench is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,
}

/// Arguments of `slotproof bench checker`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckerArgs {
    /// No history of ten million operations.
    #[arg(long)]
    quick: bool,

    /// Where the directory of the bench is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,
}

/// Arguments of `slotproof bench engine`.
#[derive(Debug, clap::Args)]
pub(crate) struct EngineArgs {
    /// Fewer and shorter rounds.
    #[arg(long)]
    quick: bool,

    /// Concurrent clients.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,

    /// Rounds; each visits every tool once [default: 5; with --quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,

    /// The order of the tools comes from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where the directory of the bench is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,
}

/// Arguments of `slotproof bench strategies`.
#[derive(Debug, clap::Args)]
pub(crate) struct StrategiesArgs {
    /// Fewer clients and shorter cells.
    #[arg(long)]
    quick: bool,

    /// Which strategies [default: all that claim to be safe]
    #[arg(long, value_delimiter = ',')]
    strategies: Vec<StrategyKind>,

    /// Numbers of concurrent clients [default: 16,64,256,1024; with --quick 64,256]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4_096))]
    clients: Vec<u32>,

    /// Rounds; each visits every cell once [default: 5; with --quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,

    /// How long each cell is measured [default: 2s; with --quick 1s]
    #[arg(long)]
    measure: Option<Span>,

    /// The order of the cells comes from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where the directory of the bench is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    match command {
        Command::Strategies(args) => strategies(args),
        Command::Engine(args) => engine(args),
        Command::Checker(args) => checker(args),
        Command::Comparison(args) => comparison(args),
    }
}

/// Exit 3 where a bar is missed: a plan called worse than itself more often than once in 40 times,
/// or a difference that was not found.
fn comparison(args: ComparisonArgs) -> Result<Code> {
    let stack = StackSpec::single(EnvironmentSpec::Native);
    let repeat_command = format!(
        "slotproof bench comparison --same {} --different {} --budget {}",
        args.same, args.different, args.budget
    );
    let spec = ComparisonBenchSpec {
        experiment: ExperimentSpec { stack, runs: args.runs, repeat_command },
        same: args.same,
        different: args.different,
        budget: args.budget,
    };
    let console = Console::of_stderr();
    let (run, report) = conduct(async |guard| comparison::bench(&spec, guard, &console).await)?;
    note!();
    output::lines(&report.document().markdown());
    out!("{}", run.file("bench.json").display());
    let met = report.is_met();
    Ok(if met { exit_code::UPHELD } else { exit_code::MISSED })
}

fn checker(args: CheckerArgs) -> Result<Code> {
    let size = |operations, clients, slots| HistorySize { operations, clients, slots };
    let mut sizes = vec![
        size(10_000, 10, 1),
        size(10_000, 1_000, 1),
        size(100_000, 1_000, 1),
        size(1_000_000, 1_000, 1),
        size(1_000_000, 1_000, 1_000),
    ];
    if !args.quick {
        sizes.push(size(10_000_000, 1_000, 1_000));
    }
    let spec = CheckerSpec { sizes, runs: args.runs };
    let (run, report) =
        runtime()?.block_on(interruptible(checker::bench(&spec, &Console::of_stderr())))?;
    note!();
    output::lines(&checker::document(&report).markdown());
    out!("{}", run.file("bench.json").display());
    Ok(exit_code::UPHELD)
}

fn engine(args: EngineArgs) -> Result<Code> {
    let or = |quick, full| Duration::from_secs(if args.quick { quick } else { full });
    let spec = EngineSpec {
        clients: args.clients,
        rounds: args.rounds.unwrap_or(if args.quick { 3 } else { 5 }),
        measure: or(2, 5),
        stalled: or(10, 20),
        seed: args.seed,
        runs: args.runs,
    };
    let console = Console::of_stderr();
    let (run, report) = conduct(async |guard| engine::bench(&spec, guard, &console).await)?;
    note!();
    output::lines(&report.document().markdown());
    out!("{}", run.file("bench.json").display());
    Ok(exit_code::UPHELD)
}

fn strategies(args: StrategiesArgs) -> Result<Code> {
    let spec = spec(args)?;
    let console = Console::of_stderr();
    let (run, report) = conduct(async |guard| bench(&spec, guard, &console).await)?;
    note!();
    output::lines(&strategies::document(&report).markdown());
    out!("{}", run.file("bench.json").display());
    Ok(exit_code::UPHELD)
}

fn spec(args: StrategiesArgs) -> Result<BenchSpec, UsageError> {
    let or = |given: Vec<u32>, quick: &[u32], full: &[u32]| match (given.is_empty(), args.quick) {
        (false, _) => given,
        (true, true) => quick.to_vec(),
        (true, false) => full.to_vec(),
    };
    let clients = or(args.clients.clone(), &[64, 256], &[16, 64, 256, 1_024]);
    let rounds = args.rounds.unwrap_or(if args.quick { 3 } else { 5 });
    let measure =
        args.measure.map_or(Duration::from_secs(if args.quick { 1 } else { 2 }), |span| span.0);
    if !(Duration::from_millis(200)..=Duration::from_secs(10)).contains(&measure) {
        let reason = "--measure must be 200ms to 10s: shorter cells measure nothing, in longer ones the slots sell out";
        return Err(UsageError(reason.to_owned()));
    }
    let strategies = match args.strategies.is_empty() {
        true => StrategyKind::SAFE.to_vec(),
        false => args.strategies.clone(),
    };
    let names: Vec<&str> = strategies.iter().map(|kind| kind.name()).collect();
    let numbers: Vec<String> = clients.iter().map(ToString::to_string).collect();
    let repeat_command = format!(
        "slotproof bench strategies --strategies {} --clients {} --rounds {rounds} --measure {} --seed {}",
        names.join(","),
        numbers.join(","),
        Span(measure),
        args.seed
    );
    let experiment = ExperimentSpec {
        stack: StackSpec { replicas: 1, ..StackSpec::single(EnvironmentSpec::Native) },
        runs: args.runs,
        repeat_command,
    };
    Ok(BenchSpec {
        experiment,
        strategies,
        clients: clients.into_iter().map(|clients| clients as usize).collect(),
        rounds,
        warm_up: measure / 4,
        measure,
        seed: args.seed,
    })
}
