//! `slotproof run`: start the stack, load it, judge what happened, and report.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use slotproof_evidence::RunDirectory;
use slotproof_experiments::{
    ExperimentSpec, command_of, coverage,
    target_run::{self, Left},
    target_series::TargetSpec,
    trial::{self, TrialSpec},
};
use slotproof_reports::{Format, RunReport};
use slotproof_stack::{
    StackSpec, Topology,
    faults::{Fault, FaultKind},
};
use slotproof_vocabulary::{Plan, PlanArgs, ScenarioKind, StrategyKind, UsageError, VerdictReport};

use super::{
    conduct, end_target, init_tracing,
    stack_args::{Kind, StackArgs, has_servers_for},
};
use crate::{
    console::{Console, OutputMode, print_missed, print_verdict},
    exit_code::{self, Code},
    output,
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

  slotproof run --strategy conditional --clients 50 --duration 2s --until covered
      goes on for longer on a machine too slow to sell out in two seconds, for 32 s at most

  SLOTPROOF_SERVICE=http://127.0.0.1:8080 slotproof run --target ci/targets/reference.toml --clients 200 --capacity 50
      any booking API that a target file describes

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

    /// Print the complete plan as TOML, and exit; with --target, also every request of one visit, as
    /// comments of it. Nothing is sent.
    #[arg(long)]
    dry_run: bool,

    /// Print every arrival of an open plan as a line of JSON, and exit.
    #[arg(long)]
    schedule: bool,

    /// What is done to the stack under load, and when; can be given again: kill-worker@3s,
    /// pause-service:6s@2s, restart-rabbitmq@5s, restart-redis@5s, crash-postgres@5s,
    /// "pause-replay:STANDBY@2s for 1s", "kill:COMPONENT@2s for 1s". Needs the native environment.
    /// With --target, what its [[stack.fault]] declare: "target:NAME@2s for 1s".
    #[arg(long = "fault", value_name = "FAULT@TIME")]
    faults: Vec<Fault>,

    /// A booking API that a target file describes, instead of the reference service and its stack:
    /// its setup prepares the slots, and its answers are judged. It has no strategy of ours.
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,

    /// With --target: a host beside this machine that may be loaded; the file must allow it too.
    #[arg(long, value_name = "HOST", requires = "target")]
    allow: Vec<String>,

    /// `covered`: if the load has not reached what I15 asks for, make it again for twice as long, up
    /// to 16 times --duration. Each load is a run in a directory of its own, and the last one
    /// counts.
    #[arg(long, value_enum, value_name = "WHAT")]
    until: Option<Until>,

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

/// Until when a load goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Until {
    /// Until it has reached what I15 asks for.
    Covered,
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
        if let Some(file) = &args.target {
            show_requests(args, file, plan)?;
        }
        return Ok(exit_code::UPHELD);
    }
    if args.schedule {
        return print_schedule(&plan);
    }
    if let Some(file) = &args.target {
        return on_target(args, file, plan);
    }
    let spec = spec(args, plan)?;
    let strategy = spec.strategy;
    if strategy.is_negative_control() {
        note!("{strategy} is a negative control: broken on purpose, to see that it is convicted");
    }
    let topology = &spec.experiment.stack.topology;
    if args.stack.topology.is_none() && topology.service.queue.is_none() {
        note!(
            "RabbitMQ is not started: this run does not need it. To judge announcements (I14), add \
             --topology single"
        );
    }
    if topology.is_negative_control() {
        note!("the topology {} is a {}", topology.name, topology.summary);
    }
    let console = if args.json { Console::new(OutputMode::Events) } else { Console::of_stderr() };
    let (run, report) = conduct(async |guard| match args.until {
        None => trial::conduct(&spec, guard, &console).await,
        Some(Until::Covered) => coverage::conduct_until_covered(&spec, guard, &console).await,
    })?;
    show(args, &run, &report)
}

fn list() {
    for scenario in ScenarioKind::ALL {
        out!("{:<16} {}", scenario.name(), scenario.explanation());
    }
}

/// The verdict, and where the report is.
fn show(args: &Args, run: &RunDirectory, report: &RunReport) -> Result<Code> {
    note!();
    print_verdict(&report.verdict);
    print_missed(report);
    note!("  report:  {}", run.file(Format::Html.file_name()).display());
    if args.json {
        print_last_event(run.path(), &report.verdict)?;
    } else {
        out!("{}", run.path().display());
    }
    Ok(exit_code::of_run(report))
}

/// A run on the API of a target file.
fn on_target(args: &Args, file: &Path, plan: Plan) -> Result<Code> {
    let (file, allow) = (file.to_owned(), args.allow.clone());
    let target = TargetSpec { file, allow, left: Left::default() };
    // Read before anything is sent.
    in_the_load(args, &plan)?;
    let spec = target.run_of(plan, args.faults.clone(), args.runs.clone())?;
    let console = if args.json { Console::new(OutputMode::Events) } else { Console::of_stderr() };
    if args.until == Some(Until::Covered) {
        coverage::can_last_longer(&spec.plan)?;
    }
    let conducted = conduct(async |guard| match args.until {
        None => target_run::conduct(&spec, guard, &console).await,
        Some(Until::Covered) => {
            coverage::conduct_target_until_covered(&spec, guard, &console).await
        }
    });
    end_target(&target.left, &console)?;
    let (run, report) = conducted?;
    show(args, &run, &report)
}

/// Every request of one visit, as comments: what is printed before them remains a plan.
fn show_requests(args: &Args, file: &Path, plan: Plan) -> Result<()> {
    let (file, allow) = (file.to_owned(), args.allow.clone());
    let target = TargetSpec { file, allow, left: Left::default() };
    let capacity = plan.capacity;
    let target = target.run_of(plan, Vec::new(), args.runs.clone())?.target()?;
    for request in target.dry_run(capacity) {
        out!("");
        request.to_string().lines().for_each(|line| out!("{}", format!("# {line}").trim_end()));
    }
    Ok(())
}

/// The plan that flags and file make together.
fn plan(args: &Args) -> Result<Plan, UsageError> {
    let file = args.plan.as_deref().map(read_words).transpose()?.unwrap_or_default();
    let words = args.words.clone().or(file);
    Plan::try_from(words).map_err(|error| UsageError(format!("the plan cannot be run: {error}")))
}

pub(super) fn read_words(path: &Path) -> Result<PlanArgs, UsageError> {
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
        let written = writeln!(out, "{}", serde_json::to_string(&arrival)?);
        if written.is_err() {
            output::written(written);
            return Ok(exit_code::UPHELD);
        }
    }
    output::written(out.flush());
    Ok(exit_code::UPHELD)
}

fn print_last_event(run: &Path, verdict: &VerdictReport) -> Result<()> {
    let event = serde_json::json!({"event": "verdict", "run": run, "verdict": verdict});
    out!("{}", serde_json::to_string(&event)?);
    Ok(())
}

fn spec(args: &Args, plan: Plan) -> Result<TrialSpec, UsageError> {
    let mut stack = args.stack.spec()?;
    let Some(strategy) = plan.strategy.or(stack.topology.service.strategy) else {
        return Err(UsageError(
            "--strategy is missing; `slotproof serve --list` lists the strategies".to_owned(),
        ));
    };
    if can_do_without_queue(args, strategy) {
        stack.topology = Topology::without_queue();
    }
    has_servers_for(&stack, [strategy])?;
    let plan = Plan { strategy: Some(strategy), ..plan };
    in_the_load(args, &plan)?;
    if args.until == Some(Until::Covered) {
        coverage::can_last_longer(&plan)?;
    }
    if !args.faults.is_empty() && args.stack.environment != Kind::Native {
        return Err(UsageError(
            "--fault needs --environment native, whose servers the run owns".to_owned(),
        ));
    }
    for fault in &args.faults {
        fault
            .fits(&stack.topology)
            .map_err(|reason| UsageError(format!("--fault {fault}: {reason}")))?;
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
        shorter: Vec::new(),
        wired_before: None,
        plan,
        strategy,
    })
}

/// RabbitMQ takes longer to start than all else together. Where nobody asked for a topology, it is
/// started if something of the run needs it.
fn can_do_without_queue(args: &Args, strategy: StrategyKind) -> bool {
    let without = Topology::without_queue();
    let asked = args.stack.topology.is_some() || args.stack.environment == Kind::External;
    // What is wrong with it is what it announces.
    let announces = strategy == StrategyKind::AnnounceApart;
    let by_queue = strategy.needs_rabbitmq() || announces;
    !asked && !by_queue && args.faults.iter().all(|fault| fault.fits(&without).is_ok())
}

/// Faults happen while the one load of the run goes on.
fn in_the_load(args: &Args, plan: &Plan) -> Result<(), UsageError> {
    if let (Some(Until::Covered), Some(fault)) = (args.until, args.faults.first()) {
        return Err(UsageError(format!(
            "--until covered makes the load again for longer, and --fault {fault} has its time in one \
             load; give one of them"
        )));
    }
    let lasts = plan.warm_up.0 + plan.duration().0;
    if let Some(fault) = args.faults.iter().find(|fault| fault.at >= lasts) {
        return Err(UsageError(format!(
            "--fault {fault} comes after the load has ended ({} s)",
            lasts.as_secs()
        )));
    }
    let ends = |fault: &&Fault| fault.lasts().is_some_and(|lasting| fault.at + lasting > lasts);
    if let Some(fault) = args.faults.iter().find(ends) {
        return Err(UsageError(format!(
            "--fault {fault} ends after the load has ended ({} s)",
            lasts.as_secs()
        )));
    }
    Ok(())
}

fn repeat_command(plan: &Plan, stack: &StackSpec, faults: &[Fault]) -> String {
    let mut command = format!("{} {}", command_of(plan), stack.run_arguments().join(" "));
    for fault in faults {
        command.push_str(&format!(" {}", fault.argument()));
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// As a shell splits it: what is between two quotes is one word.
    fn parse(line: &str) -> Args {
        let parts = line.split('"').enumerate();
        let words = parts.flat_map(|(number, part)| match number % 2 {
            0 => part.split(' ').filter(|word| !word.is_empty()).collect(),
            _ => vec![part],
        });
        Line::try_parse_from(words.filter(|word| *word != "run")).expect(line).args
    }

    #[test]
    fn the_command_that_repeats_a_run_means_the_same_plan() {
        for line in [
            "slotproof run --strategy grouped",
            "slotproof run --strategy grouped --scenario steady --think 2s --warm-up 1s --sockets own",
            "slotproof run --strategy queue --scenario hot_and_cold --rate 800/s --arrivals poisson --zipf 0.9",
            "slotproof run --strategy queue --scenario steady --stages 2s@5/s,3s@5/s..9/s --mix book=2,cancel=1",
            "slotproof run --strategy conditional --scenario retry_storm --resend 50ms --fault restart-redis@1s",
            "slotproof run --topology replicas --strategy conditional --fault \"pause-replay:standby-1@2s for 1s\"",
        ] {
            let args = parse(line);
            let plan = plan(&args).expect(line);
            let of_run = |args: &Args| spec(args, plan.clone()).expect("a run").experiment;
            let command = of_run(&args).repeat_command;
            let again = parse(&command);
            assert_eq!(super::plan(&again).expect(&command), plan, "{command}");
            assert_eq!(again.faults, args.faults);
            assert_eq!(of_run(&again).stack.topology, of_run(&args).stack.topology, "{command}");
        }
    }

    #[test]
    fn a_queue_is_started_where_something_needs_it_or_the_topology_is_asked_for() {
        let topology = |line: &str| {
            let args = parse(line);
            let plan = plan(&args).expect(line);
            spec(&args, plan).expect(line).experiment.stack.topology.name
        };
        assert_eq!(topology("slotproof run --strategy conditional"), "without_queue");
        for line in [
            "slotproof run --strategy conditional --topology single",
            "slotproof run --strategy queue",
            "slotproof run --strategy announce_apart",
            "slotproof run --strategy conditional --fault restart-rabbitmq@1s",
        ] {
            assert_eq!(topology(line), "single", "{line}");
        }
        assert_eq!(topology("slotproof run --topology queued"), "queued");
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
