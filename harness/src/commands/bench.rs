//! `slotproof bench`: measure, in rounds and as ratios.

use std::{collections::BTreeMap, fs, io::Write, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use slotproof_experiments::{
    ExperimentSpec,
    bench::{
        checker::{self, CheckerSpec},
        comparison::{self, ComparisonBenchSpec},
        engine::{self, EngineSpec},
        strategies::{self, BenchSpec, bench},
    },
};
use slotproof_reports::{
    bench::{
        checker::HistorySize,
        history::{BenchHistory, BenchRecord, Ratio},
    },
    estimate::median,
};
use slotproof_stack::{EnvironmentSpec, StackSpec, single_core_per_s};
use slotproof_vocabulary::{Span, StrategyKind, UsageError};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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

  slotproof bench engine --record reports/examples/history.jsonl
      and keeps its ratios

  slotproof bench history reports/examples/history.jsonl
      what became of them: exit 3 if one is worse than before by more than 10 %

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

    /// What became of the ratios of the benches that were recorded. Exit code 3 if one of them is worse
    /// by more than 10 % than the median of up to five records before.
    #[command(after_help = EXAMPLES)]
    History(HistoryArgs),
}

/// Arguments of `slotproof bench history`.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// The file of the records.
    file: PathBuf,

    /// Write the page here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Where a bench is recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Recorded {
    /// Append the ratios of the bench to this file, with the commit and the machine; `slotproof bench
    /// history` shows what became of them.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
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

    #[command(flatten)]
    recorded: Recorded,
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

    #[command(flatten)]
    recorded: Recorded,
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

    #[command(flatten)]
    recorded: Recorded,
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    match command {
        Command::Strategies(args) => strategies(args),
        Command::Engine(args) => engine(args),
        Command::Checker(args) => checker(args),
        Command::Comparison(args) => comparison(args),
        Command::History(args) => show_history(&args),
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
    let steps_per_s = median(single_core_per_s());
    record(&args.recorded, "checker", || report.ratios(steps_per_s))?;
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
    record(&args.recorded, "engine", || report.ratios())?;
    out!("{}", run.file("bench.json").display());
    Ok(exit_code::UPHELD)
}

fn strategies(args: StrategiesArgs) -> Result<Code> {
    let recorded = Recorded { record: args.recorded.record.clone() };
    let spec = spec(args)?;
    let console = Console::of_stderr();
    let (run, report) = conduct(async |guard| bench(&spec, guard, &console).await)?;
    note!();
    output::lines(&strategies::document(&report).markdown());
    record(&recorded, "strategies", || report.ratios())?;
    out!("{}", run.file("bench.json").display());
    Ok(exit_code::UPHELD)
}

/// Appends a line to the history of benches.
fn record(
    recorded: &Recorded,
    bench: &str,
    ratios: impl FnOnce() -> BTreeMap<String, Ratio>,
) -> Result<()> {
    let Some(path) = &recorded.record else { return Ok(()) };
    let record = BenchRecord {
        schema_version: BenchRecord::SCHEMA_VERSION,
        recorded_at: OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?,
        commit: commit(),
        bench: bench.to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        ratios: ratios(),
    };
    let line = serde_json::to_string(&record)? + "\n";
    let file = fs::File::options().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.with_context(|| format!("write {}", path.display()))
}

/// The commit of the repository that we are in, if we are in one.
fn commit() -> Option<String> {
    let mut git = std::process::Command::new("git");
    let described = git.args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(described.stdout).ok()?;
    described.status.success().then(|| text.trim().to_owned())
}

fn show_history(args: &HistoryArgs) -> Result<Code> {
    let text = fs::read_to_string(&args.file)
        .map_err(|error| UsageError(format!("{} cannot be read: {error}", args.file.display())))?;
    let read = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            UsageError(format!("{}: line {}: {error}", args.file.display(), number + 1))
        })
    };
    let records = text.lines().enumerate().map(read).collect::<Result<_, _>>()?;
    let history = BenchHistory(records);
    let document = history.document();
    output::lines(&document.markdown());
    if let Some(path) = &args.html {
        fs::write(path, document.html()?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if history.losses() > 0 { exit_code::MISSED } else { exit_code::UPHELD })
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
