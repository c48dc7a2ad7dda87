//! `slotproof capacity`: the highest rate that keeps an objective, and a verdict on estimates.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec,
    capacity::{CapacitySpec, Effort, capacity, claims::Claims},
};
use slotproof_vocabulary::{Rate, Span, UsageError};

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
  slotproof capacity --claims ci/claims/system-design.toml --quick
      every line of the estimates gets a verdict: supported, refuted, or not measurable here

  slotproof capacity --claims our-estimates.toml --start 500/s
      the whole search, with longer windows; docs of the file: ci/README.md

Exit codes: 0 no invariant was violated at any rate, whether claims were supported or refuted; 1 one was.";

/// Arguments of `slotproof capacity`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The estimates, and the load and the objective by which they are judged.
    #[arg(long, value_name = "FILE")]
    claims: PathBuf,

    /// Shorter windows and fewer sizes.
    #[arg(long)]
    quick: bool,

    /// The measured time of each probe; a confirmation takes twice as long [default: 8s; with
    /// --quick 3s]
    #[arg(long, value_name = "TIME")]
    window: Option<Span>,

    /// Rounds of the scaling, and of strategies that claims compare [default: 3; with --quick 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,

    /// The rate of visits with which the search begins.
    #[arg(long, default_value = "100/s", value_name = "RATE")]
    start: Rate,

    /// Where the directory of the search is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print capacity.json on standard output, instead of the report's path.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    let spec = spec(args)?;
    let console = Console::of_stderr();
    let (run, capacity) = conduct(async |guard| capacity(&spec, guard, &console).await)?;
    note!();
    output::lines(&capacity.document().markdown());
    if args.json {
        out!("{}", serde_json::to_string_pretty(&capacity)?);
    } else {
        out!("{}", run.file("report.html").display());
    }
    Ok(if capacity.violated() { exit_code::VIOLATED } else { exit_code::UPHELD })
}

fn spec(args: &Args) -> Result<CapacitySpec, UsageError> {
    let claims = Claims::read(&args.claims)?;
    let stack = args.stack.spec_for(claims.strategies())?;
    if args.start.per_s() < 1.0 {
        return Err(UsageError("--start must be 1/s or more".to_owned()));
    }
    let mut effort = if args.quick {
        Effort {
            warm_up: Span::of_ms(1_000),
            window: Span::of_ms(3_000),
            precision: 1.25,
            clients: vec![16, 64, 192, 384],
            replicas: vec![1, 2, 3, 4],
            rounds: 2,
        }
    } else {
        Effort {
            warm_up: Span::of_ms(2_000),
            window: Span::of_ms(8_000),
            precision: 1.1,
            clients: vec![16, 32, 64, 128, 256, 512],
            replicas: vec![1, 2, 3, 4],
            rounds: 3,
        }
    };
    if args.window.is_some_and(|window| window.ms() < 100) {
        return Err(UsageError("--window must be 100ms or more".to_owned()));
    }
    effort.window = args.window.unwrap_or(effort.window);
    effort.rounds = args.rounds.unwrap_or(effort.rounds);
    let quick = if args.quick { " --quick" } else { "" };
    let repeat_command = format!(
        "slotproof capacity --claims {}{quick} --window {} --rounds {} --start {} {}",
        args.claims.display(),
        effort.window,
        effort.rounds,
        args.start,
        repeat(&stack)
    );
    let experiment = ExperimentSpec { stack, runs: args.runs.clone(), repeat_command };
    Ok(CapacitySpec { experiment, claims, effort, start: args.start })
}
