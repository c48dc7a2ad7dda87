//! `slotproof run`: start the stack, load it, judge what happened, and report.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_reports::Format;
use slotproof_vocabulary::{Plan, ScenarioKind, StrategyKind};

use super::{
    Span, init_tracing, interruptible, runtime,
    stack_args::{EnvironmentKind, StackArgs},
};
use crate::{
    environment::guard::Guard,
    exit_code::{self, Code, UsageError},
    faults::{Fault, FaultKind},
    terminal::{Voice, print_verdict},
    trial::{self, TrialSpec},
};

const EXAMPLES: &str = "Examples:
  slotproof run --strategy pessimistic
      2,000 clients want the 200 seats of one slot for 15 seconds; exit 0 if every invariant is upheld

  slotproof run --strategy unprotected --clients 500 --capacity 50 --duration 5s
      a negative control: exit 1, and the report shows the overbooking

  slotproof run --strategy optimistic --environment containers
      the same stack in containers";

/// Arguments of `slotproof run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The load shape: flash_sale.
    #[arg(long, default_value = "flash_sale")]
    scenario: ScenarioKind,

    /// How the service makes `reserve` safe, or a negative control; `slotproof serve --list` lists them.
    #[arg(long)]
    strategy: StrategyKind,

    /// Concurrent clients.
    #[arg(long, default_value_t = 2_000)]
    clients: u32,

    /// Seats of each slot.
    #[arg(long, default_value_t = 200)]
    capacity: u32,

    /// How long new operations are begun.
    #[arg(long, default_value = "15s")]
    duration: Span,

    /// How long a client waits before it calls an outcome unknown.
    #[arg(long, default_value = "30s")]
    timeout: Span,

    /// How long a hold lasts before it expires.
    #[arg(long, default_value = "3s")]
    hold: Span,

    /// What is done to the stack under load, and when; can be given again: kill-worker@3s, pause-service:6s@2s,
    /// restart-rabbitmq@5s, restart-redis@5s, crash-postgres@5s. Needs the native environment.
    #[arg(long = "fault", value_name = "FAULT@TIME")]
    faults: Vec<Fault>,

    /// Everything random comes from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where run directories are made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print the verdict as JSON on standard output, instead of the run directory's path.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let spec = spec(&args)?;
    if spec.plan.strategy.is_some_and(StrategyKind::is_negative_control) {
        eprintln!("{} is a negative control: broken on purpose, to see that it is convicted", args.strategy);
    }
    let (run, report) = runtime()?.block_on(async {
        let guard = Guard::start()?;
        interruptible(trial::conduct(&spec, &guard, Voice::of_stderr())).await
    })?;
    eprintln!();
    print_verdict(&report.verdict);
    eprintln!("  report:  {}", run.file(Format::Html.file_name()).display());
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.verdict)?);
    } else {
        println!("{}", run.path().display());
    }
    Ok(exit_code::of_verdict(report.verdict.verdict))
}

fn spec(args: &Args) -> Result<TrialSpec, UsageError> {
    let plan = Plan {
        scenario: args.scenario,
        strategy: Some(args.strategy),
        clients: args.clients,
        slots: 1,
        capacity: args.capacity,
        duration_ms: args.duration.ms(),
        timeout_ms: args.timeout.ms(),
        hold_ms: args.hold.ms(),
        seed: args.seed,
    };
    plan.validate().map_err(|error| UsageError(format!("the plan cannot be run: {error}")))?;
    if let Some(fault) = args.faults.iter().find(|fault| fault.at >= args.duration.0) {
        return Err(UsageError(format!(
            "--fault {fault} comes after the load has ended ({})",
            args.duration
        )));
    }
    if !args.faults.is_empty() && args.stack.environment != EnvironmentKind::Native {
        return Err(UsageError(
            "--fault needs --environment native: only those servers are ours to kill".to_owned(),
        ));
    }
    if args.faults.iter().any(|fault| fault.kind == FaultKind::KillWorker) && !args.strategy.needs_rabbitmq()
    {
        return Err(UsageError(format!("--fault kill-worker: {} has no workers", args.strategy)));
    }
    let mut repeat_command = format!(
        "slotproof run --scenario {} --strategy {} --clients {} --capacity {} --duration {} --timeout {} --hold {} --seed {} {}",
        args.scenario,
        args.strategy,
        args.clients,
        args.capacity,
        args.duration,
        args.timeout,
        args.hold,
        args.seed,
        args.stack.repeat(),
    );
    for fault in &args.faults {
        repeat_command.push_str(&format!(" --fault {fault}"));
    }
    Ok(TrialSpec {
        faults: args.faults.clone(),
        plan,
        environment: args.stack.spec()?,
        replicas: args.stack.replicas,
        connections: args.stack.connections,
        lock_ttl: args.stack.lock_ttl.0,
        runs: args.runs.clone(),
        repeat_command,
    })
}
