//! `slotproof compare`: strategies side by side.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec,
    compare::{CompareSpec, compare},
};
use slotproof_reports::comparison::Load;
use slotproof_vocabulary::{Plan, ScenarioKind, Span, StrategyKind, UsageError};

use super::{
    conduct, init_tracing,
    stack_args::{StackArgs, repeat},
};
use crate::{
    console::Console,
    exit_code::{self, Code},
    output,
};

const EXAMPLES: &str = "Examples:
  slotproof compare --quick
      every safe strategy on one slot and on many, with 128 clients, in under five minutes

  slotproof compare --strategies pessimistic,conditional,grouped --loads hot_slot,flash_sale --clients 100,400 --rounds 7
      three of them in four settings

  slotproof compare --quick --strategies conditional,unprotected
      a negative control beside a safe strategy: it is disqualified, and never ranked

Exit codes: 0 every strategy that claims to be safe was upheld, 1 one of them was violated, 2 one of them was not decided.";

/// Arguments of `slotproof compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Fewer settings and shorter loads: in under five minutes.
    #[arg(long)]
    quick: bool,

    /// Which strategies and negative controls [default: every safe strategy]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    strategies: Vec<StrategyKind>,

    /// Which loads: hot_slot and many_slots have seats to spare, and measure throughput; in a
    /// scenario seats run out, and verdicts are decided [default:
    /// hot_slot,many_slots,flash_sale,hot_and_cold; with --quick hot_slot,many_slots,hot_and_cold]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    loads: Vec<Load>,

    /// How many concurrent clients, a setting each [default: 50,200,600; with --quick 128]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = Plan::parse_clients)]
    clients: Vec<u32>,

    /// How often each cell is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Duration of each load [default: 4s; with --quick 1200ms]
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,

    /// Load before the measured time of each cell: judged, and left out of the figures [default:
    /// 1s; with --quick 250ms]
    #[arg(long, value_name = "TIME")]
    warm_up: Option<Span>,

    /// Of the order of cells, and of every load.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where the directory of the comparison is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print comparison.json on standard output, instead of the report's path.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    let spec = spec(args)?;
    let console = Console::of_stderr();
    let (run, comparison) = conduct(async |guard| compare(&spec, guard, &console).await)?;
    note!();
    output::lines(&comparison.document().markdown());
    if args.json {
        out!("{}", serde_json::to_string_pretty(&comparison)?);
    } else {
        out!("{}", run.file("report.html").display());
    }
    Ok(exit_code::of_verdict(comparison.verdict()))
}

/// What is listed twice is compared with itself, and counted twice.
fn listed_once<T: PartialEq + ToString>(flag: &str, values: &[T]) -> Result<(), UsageError> {
    let twice = (1..values.len()).find(|place| values[..*place].contains(&values[*place]));
    match twice {
        Some(place) => Err(UsageError(format!(
            "{flag} lists {} twice; list it once",
            values[place].to_string()
        ))),
        None => Ok(()),
    }
}

fn spec(args: &Args) -> Result<CompareSpec, UsageError> {
    listed_once("--strategies", &args.strategies)?;
    listed_once("--loads", &args.loads)?;
    listed_once("--clients", &args.clients)?;
    let quick = |quick_ms, full_ms| Span::of_ms(if args.quick { quick_ms } else { full_ms });
    let clients: &[u32] = if args.quick { &[128] } else { &[50, 200, 600] };
    let or = |given: &[u32], default: &[u32]| {
        if given.is_empty() { default.to_vec() } else { given.to_vec() }
    };
    let spare = [Load::HotSlot, Load::ManySlots];
    let scenarios: &[ScenarioKind] = match args.quick {
        true => &[ScenarioKind::HotAndCold],
        false => &[ScenarioKind::FlashSale, ScenarioKind::HotAndCold],
    };
    let loads = match args.loads.as_slice() {
        [] => spare.into_iter().chain(scenarios.iter().copied().map(Load::Scenario)).collect(),
        given => given.to_vec(),
    };
    let strategies = match args.strategies.as_slice() {
        [] => StrategyKind::SAFE.to_vec(),
        given => given.to_vec(),
    };
    let experiment = ExperimentSpec {
        stack: args.stack.spec_for(strategies.iter().copied())?,
        runs: args.runs.clone(),
        repeat_command: String::new(),
    };
    let mut spec = CompareSpec {
        experiment,
        strategies,
        loads,
        clients: or(&args.clients, clients),
        rounds: args.rounds,
        warm_up: args.warm_up.unwrap_or(quick(250, 1_000)),
        duration: args.duration.unwrap_or(quick(1_200, 4_000)),
        seed: args.seed,
    };
    spec.experiment.repeat_command = repeat_command(&spec);
    Ok(spec)
}

fn repeat_command(spec: &CompareSpec) -> String {
    fn list<T: ToString>(values: &[T]) -> String {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
    format!(
        "slotproof compare --strategies {} --loads {} --clients {} --rounds {} --warm-up {} --duration {} --seed {} {}",
        list(&spec.strategies),
        list(&spec.loads),
        list(&spec.clients),
        spec.rounds,
        spec.warm_up,
        spec.duration,
        spec.seed,
        repeat(&spec.experiment.stack)
    )
}
