//! `slotproof capacity`: the highest rate that keeps an objective, and a verdict on estimates.

use std::path::PathBuf;

use anyhow::{Context, Result};
use slotproof_experiments::{
    ExperimentSpec,
    capacity::{
        CapacitySpec, Effort, capacity,
        claims::{Bytes, Claims},
    },
    on::Subject,
    target_run::Left,
    target_series::TargetSpec,
};
use slotproof_vocabulary::{Rate, Span, UsageError};

use super::{
    conduct, end_target, init_tracing,
    stack_args::{StackArgs, repeat},
};
use crate::{
    console::Console,
    exit_code::{self, Code},
    output,
};

const EXAMPLES: &str = "Examples:
  slotproof capacity --claims ci/claims/system-design.toml --quick
      every line of the estimates gets a verdict: supported, refuted, not measurable here, or needs
      a drill

  slotproof capacity --claims ci/claims/system-design.toml --quick --fill 5GB
      the confirmed rate also on a database of 5 GB, for claims of a size

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

    /// The booking API of this target file, instead of the reference service; the claims name no
    /// strategy then.
    #[arg(long, value_name = "FILE", conflicts_with = "fill")]
    target: Option<PathBuf>,

    /// With --target: a host beside this machine that may be loaded; the file must allow it too.
    #[arg(long, value_name = "HOST", requires = "target")]
    allow: Vec<String>,

    /// Shorter windows and fewer sizes.
    #[arg(long)]
    quick: bool,

    /// The measured time of each probe; a repeated one takes twice as long, and one that does not
    /// decide up to 8 times as long [default: 8s; with --quick 3s]
    #[arg(long, value_name = "TIME")]
    window: Option<Span>,

    /// Rounds of the scaling, and of strategies that claims compare [default: 3; with --quick 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,

    /// The rate of visits with which the search begins.
    #[arg(long, default_value = "100/s", value_name = "RATE")]
    start: Rate,

    /// Fill the database with past bookings up to this size, by bulk load, and measure the confirmed
    /// rate there too; 5GB takes some minutes
    #[arg(long, value_name = "SIZE")]
    fill: Option<Bytes>,

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
    let conducted = conduct(async |guard| capacity(&spec, guard, &console).await);
    if let Some(target) = &spec.target {
        end_target(&target.left, &console)?;
    }
    let (run, capacity) = conducted?;
    note!();
    output::lines(&capacity.document().markdown());
    if args.json {
        out!("{}", serde_json::to_string_pretty(&capacity)?);
    } else {
        out!("{}", run.file("report.html").display());
    }
    Ok(if capacity.violated() { exit_code::VIOLATED } else { exit_code::UPHELD })
}

fn spec(args: &Args) -> Result<CapacitySpec> {
    let claims = Claims::read(&args.claims)?;
    let target = args.target.as_ref().map(|file| TargetSpec {
        file: file.clone(),
        allow: args.allow.clone(),
        left: Left::default(),
    });
    let (claims, subject) = match &target {
        Some(target) => (claims.of_target()?, Subject::Target(target.read()?.name)),
        None => {
            let claims = claims.of_reference()?;
            let strategy = claims.strategy.context("the claims name a strategy")?;
            (claims, Subject::Strategy(strategy))
        }
    };
    let stack = args.stack.spec_for(claims.strategies())?;
    let mut effort = if args.quick {
        Effort {
            warm_up: Span::of_ms(1_000),
            window: Span::of_ms(3_000),
            confirmations: 2,
            precision: 1.25,
            clients: vec![16, 64, 192, 384],
            replicas: vec![1, 2, 3, 4],
            rounds: 2,
        }
    } else {
        Effort {
            warm_up: Span::of_ms(2_000),
            window: Span::of_ms(8_000),
            confirmations: 3,
            precision: 1.1,
            clients: vec![16, 32, 64, 128, 256, 512],
            replicas: vec![1, 2, 3, 4],
            rounds: 3,
        }
    };
    if args.window.is_some_and(|window| window.ms() < 100) {
        return Err(UsageError("--window must be 100ms or more".to_owned()).into());
    }
    effort.window = args.window.unwrap_or(effort.window);
    effort.rounds = args.rounds.unwrap_or(effort.rounds);
    if target.is_some() {
        // How its service is scaled out is a matter of its own.
        effort.replicas.clear();
    }
    if args.fill.is_some() && stack.topology.service.months.is_some() {
        return Err(UsageError(format!(
            "--fill loads past months, and the topology `{}` has partitions of the months to come; \
             use another topology",
            stack.topology.name
        ))
        .into());
    }
    let quick = if args.quick { " --quick" } else { "" };
    let fill = args.fill.map(|fill| format!(" --fill {fill}")).unwrap_or_default();
    let repeat_command = format!(
        "slotproof capacity --claims {}{quick} --window {} --rounds {} --start {}{fill} {}",
        args.claims.display(),
        effort.window,
        effort.rounds,
        args.start,
        match &args.target {
            Some(target) => format!("--target {}", target.display()),
            None => repeat(&stack),
        }
    );
    let experiment = ExperimentSpec { stack, runs: args.runs.clone(), repeat_command };
    let spec = CapacitySpec {
        experiment,
        target,
        subject,
        claims,
        effort,
        start: args.start,
        fill: args.fill,
    };
    spec.check()?;
    Ok(spec)
}
