//! `slotproof migrate`: the service moves from one topology to another under load.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec, command_of,
    trial::{self, TrialSpec},
};
use slotproof_reports::{Format, run_report::FaultEffect};
use slotproof_stack::{
    EnvironmentSpec, StackSpec,
    faults::{Fault, FaultKind},
    migration::both,
};
use slotproof_vocabulary::{Plan, PlanArgs, ScenarioKind, Span, StrategyKind, UsageError};

use super::{
    conduct, init_tracing,
    stack_args::{find_topology, has_servers_for},
};
use crate::{
    console::{Console, print_missed, print_verdict},
    exit_code::{self, Code},
};

const EXAMPLES: &str = "Examples:
  slotproof migrate --from single --to sharded
      steady traffic on one database; after two seconds its processes are replaced, one after the other, by
      such as know three shards, all doctors move there, and the old database is left out: one history, one
      verdict, and for how long nobody got an answer

  slotproof migrate --from single --to replicas --clients 200 --duration 8s
      reads go to two standbys from then on

  slotproof migrate --from single --to cached --at 3s --strategy pessimistic
      and to a cache

  slotproof migrate --from single --to queued
      from then on the processes that answer only queue requests, and workers decide them";

/// Arguments of `slotproof migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The topology on which the load begins: a name that `slotproof topologies` lists, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "single")]
    from: String,

    /// The topology on which it ends. The servers of both are started before the load, without
    /// RabbitMQ unless this one decides by a queue.
    #[arg(long, value_name = "NAME|FILE")]
    to: String,

    /// When the service begins to move, after the load does.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    at: Span,

    /// The load [default: steady by 200 clients who think for 100 ms, on 40 slots of 8 seats; strategy
    /// conditional]
    #[command(flatten)]
    words: PlanArgs,

    /// Service processes to spread the load over; they are replaced one after the other.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    replicas: u32,

    /// Database connections of each service process.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,

    /// Where run directories are made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    let spec = spec(args)?;
    let console = Console::of_stderr();
    let (run, report) = conduct(async |guard| trial::conduct(&spec, guard, &console).await)?;
    note!();
    print_verdict(&report.verdict);
    print_missed(&report);
    match report.faults.first() {
        Some(migration) => print(migration),
        None => note!("  the load ended before the service had begun to move; use an earlier --at"),
    }
    note!("  report:  {}", run.file(Format::Html.file_name()).display());
    out!("{}", run.path().display());
    Ok(exit_code::of_run(&report))
}

fn print(migration: &FaultEffect) {
    if let Some(problem) = &migration.problem {
        note!("  the service did not move: {problem}");
        return;
    }
    let FaultEffect { began_ms, ended_ms, longest_gap_ms, longest_gap_before_ms, .. } = migration;
    if let Some(moved) = &migration.said {
        note!("  {moved}");
    }
    note!(
        "  migration: {} ms; longest time without a decision {longest_gap_ms} ms (before it: \
         {longest_gap_before_ms} ms); {} of {} operations got no decision",
        ended_ms - began_ms,
        migration.undecided,
        migration.operations
    );
}

fn spec(args: &Args) -> Result<TrialSpec, UsageError> {
    // Slots that sell out while doctors move.
    let words = match (args.words.scenario, &args.words.rate) {
        (Some(_), _) | (None, Some(_)) => args.words.clone(),
        (None, None) => args.words.clone().or(PlanArgs {
            scenario: Some(ScenarioKind::Steady),
            clients: Some(200),
            think: Some(Span::of_ms(100)),
            slots: Some(40),
            capacity: Some(8),
            ..PlanArgs::default()
        }),
    };
    let words = words.or(PlanArgs {
        scenario: Some(ScenarioKind::Steady),
        strategy: Some(StrategyKind::Conditional),
        ..PlanArgs::default()
    });
    let cannot = |error| UsageError(format!("the plan cannot be run: {error}"));
    let plan = Plan::try_from(words).map_err(|error| cannot(error.to_string()))?;
    let strategy = plan.strategy.expect("it is given");
    let (from, to) = (find_topology(&args.from)?, find_topology(&args.to)?);
    let topology = both(&from, &to).map_err(|error| UsageError(error.to_string()))?;
    if args.at.0 >= plan.warm_up.0 + plan.duration().0 {
        return Err(UsageError(format!("--at {} comes after the load has ended", args.at)));
    }
    let mut words = vec![command_of(&plan).replacen("slotproof run", "slotproof migrate", 1)];
    words.push(format!("--from {} --to {} --at {}", from.argument(), to.argument(), args.at));
    words.push(format!("--replicas {} --connections {}", args.replicas, args.connections));
    let stack = StackSpec {
        topology,
        replicas: args.replicas,
        connections: args.connections,
        ..StackSpec::single(EnvironmentSpec::Native)
    };
    let before = StackSpec { topology: from.clone().without_its_queue(), ..stack.clone() };
    has_servers_for(&before, [strategy])?;
    if let Some(decides) = to.service.strategy
        && strategy != StrategyKind::Conditional
    {
        return Err(UsageError(format!(
            "--strategy {strategy}: the workers of {decides} write by the statement of conditional, and \
             while the service moves both write the same slots; use --strategy conditional"
        )));
    }
    has_servers_for(&stack, [to.service.strategy.unwrap_or(strategy)])?;
    let name = to.name.clone();
    Ok(TrialSpec {
        experiment: ExperimentSpec {
            stack,
            runs: args.runs.clone(),
            repeat_command: words.join(" "),
        },
        plan,
        strategy,
        faults: vec![Fault { kind: FaultKind::Migrate { to: name }, at: args.at.0 }],
        wired_before: Some(from.without_its_queue().service),
        shorter: Vec::new(),
    })
}
