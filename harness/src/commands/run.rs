//! `slotproof run`: start the stack, load it, judge what happened, and report.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec, command_of,
    trial::{self, TrialSpec},
};
use slotproof_reports::Format;
use slotproof_stack::{
    StackSpec,
    faults::{Fault, FaultKind},
};
use slotproof_vocabulary::{Plan, PlanArgs, ScenarioKind, UsageError, VerdictReport};

use super::{
    conduct, init_tracing,
    stack_args::{Kind, StackArgs, repeat},
};
use crate::{
    console::{Console, OutputMode, print_missed, print_verdict},
    exit_code::{self, Code},
};

const EXAMPLES: &str = "Examples:
  slotproof run --strategy pessimistic
      2,000 clients compete for the 200 seats of one slot for 15 seconds; exit 0 if every invariant is upheld

  slotproof run --strategy unprotected --clients 500 --capacity 50 --duration 5s
      a negative control: exit 1, and the report shows the overbooking

  slotproof run --scenario steady --strategy conditional --clients 10000 --think 2s --duration 30s
      a closed workload: ten thousand clients with a think time of two seconds

  slotproof run --scenario hot_and_cold --strategy grouped --rate 800/s --arrivals poisson --duration 20s
      an open workload: 800 visits per second, independent of the service's speed

  slotproof run --plan monday.toml --seed 7
      a plan in a file, with the same keys as the flags; flags override it

  slotproof run --strategy optimistic --environment containers
      the same stack in containers";

/// Arguments of `slotproof run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// List the scenarios with an explanation, and exit.
    #[arg(long)]
    list: bool,

    /// A plan in TOML or JSON, with the same keys as the flags, which override it; a run's
    /// plan.json is one.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,

    #[command(flatten)]
    words: PlanArgs,

    /// Print the complete plan as TOML, and exit.
    #[arg(long)]
    dry_run: bool,

    /// Print every arrival of an open plan as a line of JSON, and exit.
    #[arg(long)]
    schedule: bool,

    /// What is done to the stack under load, and when; can be given again: kill-worker@3s,
    /// pause-service:6s@2s, restart-rabbitmq@5s, restart-redis@5s, crash-postgres@5s. Needs the
    /// native environment.
    #[arg(long = "fault", value_name = "FAULT@TIME")]
    faults: Vec<Fault>,

    /// Where run directories are made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print what happens as lines of JSON on standard output, the verdict last, instead of the run
    /// directory's path.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    if args.list {
        list();
        return Ok(exit_code::UPHELD);
    }
    let plan = plan(args)?;
    if args.dry_run {
        out!("{}", toml::to_string(&plan)?.trim_end());
        return Ok(exit_code::UPHELD);
    }
    if args.schedule {
        return print_schedule(&plan);
    }
    let spec = spec(args, plan)?;
    let strategy = spec.strategy;
    if strategy.is_negative_control() {
        note!("{strategy} is a negative control: broken on purpose, to see that it is convicted");
    }
    let console = if args.json { Console::new(OutputMode::Events) } else { Console::of_stderr() };
    let (run, report) = conduct(async |guard| trial::conduct(&spec, guard, &console).await)?;
    note!();
    print_verdict(&report.verdict);
    print_missed(&report);
    note!("  report:  {}", run.file(Format::Html.file_name()).display());
    if args.json {
        print_last_event(run.path(), &report.verdict)?;
    } else {
        out!("{}", run.path().display());
    }
    Ok(exit_code::of_run(&report))
}

fn list() {
    for scenario in ScenarioKind::ALL {
        out!("{:<16} {}", scenario.name(), scenario.explanation());
    }
}

/// The plan that flags and file make together.
fn plan(args: &Args) -> Result<Plan, UsageError> {
    let file = args.plan.as_deref().map(read_words).transpose()?.unwrap_or_default();
    let words = args.words.clone().or(file);
    Plan::try_from(words).map_err(|error| UsageError(format!("the plan cannot be run: {error}")))
}

fn read_words(path: &Path) -> Result<PlanArgs, UsageError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        UsageError(format!("{} is not a plan: {error}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    if path.extension().is_some_and(|extension| extension == "json") {
        // By way of an object: an array of values would pass for one.
        let words: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
        serde_json::from_value(words.into()).map_err(|error| unreadable(&error))
    } else {
        toml::from_str(&text).map_err(|error| unreadable(&error))
    }
}

/// Nobody reading on is no error: `head` is a way to look at a schedule.
fn print_schedule(plan: &Plan) -> Result<Code> {
    let arrivals = slotproof_scenarios::planned(plan).ok_or_else(|| {
        let reason = "a closed workload has no schedule; give a --rate";
        UsageError(reason.to_owned())
    })?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for arrival in arrivals {
        if writeln!(out, "{}", serde_json::to_string(&arrival)?).is_err() {
            break;
        }
    }
    Ok(exit_code::UPHELD)
}

fn print_last_event(run: &Path, verdict: &VerdictReport) -> Result<()> {
    let event = serde_json::json!({"event": "verdict", "run": run, "verdict": verdict});
    out!("{}", serde_json::to_string(&event)?);
    Ok(())
}

fn spec(args: &Args, plan: Plan) -> Result<TrialSpec, UsageError> {
    let Some(strategy) = plan.strategy else {
        return Err(UsageError(
            "--strategy is missing; `slotproof serve --list` lists the strategies".to_owned(),
        ));
    };
    let stack = args.stack.spec_for([strategy])?;
    let lasts = plan.warm_up.0 + plan.duration().0;
    if let Some(fault) = args.faults.iter().find(|fault| fault.at >= lasts) {
        return Err(UsageError(format!(
            "--fault {fault} comes after the load has ended ({} s)",
            lasts.as_secs()
        )));
    }
    let ends = |fault: &&Fault| match fault.kind {
        FaultKind::PauseService(pause) => fault.at + pause > lasts,
        _ => false,
    };
    if let Some(fault) = args.faults.iter().find(ends) {
        return Err(UsageError(format!(
            "--fault {fault} ends after the load has ended ({} s)",
            lasts.as_secs()
        )));
    }
    if !args.faults.is_empty() && args.stack.environment != Kind::Native {
        return Err(UsageError(
            "--fault needs --environment native, whose servers the run owns".to_owned(),
        ));
    }
    if args.faults.iter().any(|fault| fault.kind == FaultKind::KillWorker)
        && !strategy.needs_rabbitmq()
    {
        return Err(UsageError(format!("--fault kill-worker: {strategy} has no workers")));
    }
    Ok(TrialSpec {
        experiment: ExperimentSpec {
            repeat_command: repeat_command(&plan, &stack, &args.faults),
            stack,
            runs: args.runs.clone(),
        },
        faults: args.faults.clone(),
        plan,
        strategy,
    })
}

fn repeat_command(plan: &Plan, stack: &StackSpec, faults: &[Fault]) -> String {
    let mut command = format!("{} {}", command_of(plan), repeat(stack));
    for fault in faults {
        command.push_str(&format!(" --fault {fault}"));
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use slotproof_vocabulary::StrategyKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Args {
        Line::try_parse_from(line.split(' ').filter(|word| *word != "run")).expect(line).args
    }

    #[test]
    fn the_command_that_repeats_a_run_means_the_same_plan() {
        for line in [
            "slotproof run --strategy grouped",
            "slotproof run --strategy grouped --scenario steady --think 2s --warm-up 1s --sockets own",
            "slotproof run --strategy queue --scenario hot_and_cold --rate 800/s --arrivals poisson --zipf 0.9",
            "slotproof run --strategy queue --scenario steady --stages 2s@5/s,3s@5/s..9/s --mix book=2,cancel=1",
            "slotproof run --strategy conditional --scenario retry_storm --resend 50ms --fault restart-redis@1s",
        ] {
            let args = parse(line);
            let plan = plan(&args).expect(line);
            let command = repeat_command(&plan, &args.stack.spec().expect("a stack"), &args.faults);
            let again = parse(&command);
            assert_eq!(super::plan(&again).expect(&command), plan, "{command}");
            assert_eq!(again.faults, args.faults);
        }
    }

    #[test]
    fn flags_go_before_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("plan.toml");
        fs::write(
            &path,
            "scenario = \"steady\"\nstrategy = \"grouped\"\nrate = \"50/s\"\nslots = 7\n",
        )
        .expect("it can be written");
        let plan = plan(&parse(&format!("slotproof run --plan {} --slots 9", path.display())))
            .expect("a plan");
        assert_eq!((plan.slots, plan.strategy), (9, Some(StrategyKind::Grouped)));
        fs::write(&path, "scenario = \"steady\"\n\nrat = \"50/s\"\n").expect("it can be written");
        let error = read_words(&path).expect_err("refused").to_string();
        assert!(error.contains("line 3") && error.contains("unknown field `rat`"), "{error}");
    }
}
