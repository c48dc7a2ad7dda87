//! `slotproof replay`: a way through a model, on the running service and a real database.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use slotproof_experiments::ExperimentSpec;
use slotproof_models::{Limits, Losses, Schedule, Size, explore};
use slotproof_replay::{
    Played, ReplaySpec,
    coverage::{Coverage, Extent},
    regressions::play_all,
    worst,
};
use slotproof_vocabulary::{StrategyKind, UsageError, Verdict};

use super::{conduct, init_tracing};
use crate::{
    console::{Console, print_verdict},
    exit_code::{self, Code},
    output,
};

const EXAMPLES: &str = "Examples:
  slotproof replay --counterexample unprotected
      the shortest way to overbook in its model, on a real database: exit 1, and the checker has the witness

  slotproof replay --counterexample unprotected --times 20
      the same twenty times: 20 of 20

  slotproof model unprotected --write unprotected.json
  slotproof replay --schedule unprotected.json --strategy pessimistic
      the same order of steps tried on a safe strategy: exit 0, and which step the database blocked

  slotproof replay --regressions models/schedules
      every counterexample that is kept, on the strategy that it convicts and on every safe one

  slotproof replay --every-edge --losses 1
      each safe strategy that decides in PostgreSQL along every edge of its model: does it do what its model does?";

/// The strategies that decide in PostgreSQL alone, where a director sees everything.
const IN_POSTGRES: [StrategyKind; 6] = [
    StrategyKind::Pessimistic,
    StrategyKind::Serializable,
    StrategyKind::Optimistic,
    StrategyKind::Conditional,
    StrategyKind::Advisory,
    StrategyKind::SeatRows,
];

/// Arguments of `slotproof replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A schedule that `slotproof model --write` wrote
    #[arg(long, value_name = "FILE", required_unless_present_any = ["counterexample", "every_edge", "regressions"])]
    schedule: Option<PathBuf>,

    /// The shortest counterexample of this strategy's model.
    #[arg(long, value_name = "NAME", conflicts_with = "schedule")]
    counterexample: Option<StrategyKind>,

    /// The strategy that is led through the schedule [default: the schedule's own]
    #[arg(long)]
    strategy: Option<StrategyKind>,

    /// Play every schedule of this directory on the strategy that it is of and on every strategy
    /// that claims to be safe.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["schedule", "counterexample", "strategy", "times"])]
    regressions: Option<PathBuf>,

    /// Lead the service along every edge of its model instead; of one strategy, or of all that
    /// decide in PostgreSQL.
    #[arg(long, conflicts_with_all = ["schedule", "counterexample", "regressions", "times"])]
    every_edge: bool,

    /// every-edge: clients of the model.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(Size::CLIENTS_MAX)), requires = "every_edge")]
    clients: u8,

    /// every-edge: seats of the slot.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(Size::SEATS_MAX)), requires = "every_edge")]
    capacity: u8,

    /// every-edge: answers that may be lost in one history [default: any with two clients, one with
    /// more]
    #[arg(long, requires = "every_edge")]
    losses: Option<u8>,

    /// every-edge: states of the model that are looked at.
    #[arg(long, default_value_t = 50_000, requires = "every_edge")]
    states: usize,

    /// How often, each time on a fresh slot.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    times: u32,

    /// Where the directory of the replay is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print what it came to as JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    if args.every_edge {
        return every_edge(&args);
    }
    if let Some(directory) = &args.regressions {
        return regressions(directory, &args);
    }
    let schedule = match (&args.schedule, args.counterexample) {
        (Some(path), _) => read(path)?,
        (None, Some(kind)) => counterexample(kind)?,
        (None, None) => {
            return Err(UsageError("replay needs --schedule or --counterexample".to_owned()).into());
        }
    };
    let strategy = args.strategy.unwrap_or(schedule.strategy);
    let spec = ReplaySpec {
        experiment: ExperimentSpec {
            stack: slotproof_replay::stack(),
            runs: args.runs,
            repeat_command: format!(
                "slotproof replay --schedule schedule.json --strategy {strategy}"
            ),
        },
        schedule,
        strategy,
        times: args.times,
    };
    let console = Console::of_stderr();
    let played = conduct(async |guard| slotproof_replay::replay(&spec, guard, &console).await)?;
    if args.json {
        let reports: Vec<_> = played.iter().map(|played| &played.report).collect();
        out!("{}", serde_json::to_string_pretty(&reports)?);
    }
    tell(&spec, &played, args.json);
    Ok(exit_code::of_verdict(worst(&played)))
}

fn regressions(directory: &Path, args: &Args) -> Result<Code> {
    let entries = fs::read_dir(directory)
        .map_err(|error| UsageError(format!("failed to read {}: {error}", directory.display())))?;
    let mut schedules = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            schedules.insert(name, read(&path)?);
        }
    }
    if schedules.is_empty() {
        return Err(UsageError(format!("{} has no schedules (*.json)", directory.display())).into());
    }
    let console = Console::of_stderr();
    let (run, outcomes) =
        conduct(async |guard| play_all(&schedules, &args.runs, guard, &console).await)?;
    if args.json {
        out!("{}", serde_json::to_string_pretty(&outcomes)?);
    }
    for name in schedules.keys() {
        note!("{name}");
        for outcome in outcomes.iter().filter(|outcome| outcome.schedule == *name) {
            note!("  {:<20} {}", outcome.strategy.name(), outcome.words());
        }
    }
    let strangers = outcomes.iter().filter(|outcome| !outcome.is_as_it_should_be()).count();
    note!("{} replays, {strangers} unexpected", outcomes.len());
    if !args.json {
        out!("{}", run.join("regressions.json").display());
    }
    Ok(if strangers == 0 { exit_code::UPHELD } else { exit_code::VIOLATED })
}

fn every_edge(args: &Args) -> Result<Code> {
    let size = Size { clients: args.clients, capacity: args.capacity };
    let losses = args.losses.map_or(size.losses(), Losses::AtMost);
    let extent = Extent { size, losses, states: args.states };
    let strategies = args.strategy.map_or_else(|| IN_POSTGRES.to_vec(), |strategy| vec![strategy]);
    let console = Console::of_stderr();
    let all = conduct(async |guard| {
        slotproof_replay::cover_all(&strategies, extent, &args.runs, guard, &console).await
    })?;
    if args.json {
        out!("{}", serde_json::to_string_pretty(&all)?);
    }
    for coverage in &all {
        for difference in &coverage.differences {
            note!();
            note!("{} differs after", coverage.strategy);
            for (number, step) in (1..).zip(&difference.steps) {
                note!("  {number}. {}", serde_json::to_string(step)?);
            }
            difference.differences.iter().for_each(|text| note!("  {text}"));
        }
    }
    let verdicts: Vec<Verdict> = all.iter().map(Coverage::verdict).collect();
    let worst =
        [Verdict::Violated, Verdict::Unknown].into_iter().find(|worst| verdicts.contains(worst));
    Ok(exit_code::of_verdict(worst.unwrap_or(Verdict::Upheld)))
}

fn tell(spec: &ReplaySpec, played: &[Played], json: bool) {
    let Some(first) = played.first() else { return };
    let strangers = played.iter().find(|played| !played.report.agrees());
    let shown = strangers.unwrap_or(first);
    output::lines(&shown.report.to_string());
    print_verdict(&shown.verdict);
    if let Some(line) = shown.report.first_stop() {
        let number = line
            .number
            .map_or_else(|| "after the end".to_owned(), |number| format!("at step {number}"));
        let text = line.texts.first().map(String::as_str).unwrap_or_default();
        match &line.blocked_by {
            Some(whom) => {
                note!("blocked {number}: {text}; PostgreSQL says that it waits for {whom}")
            }
            None => note!("stopped {number}: {text}; nothing was written"),
        }
    }
    match shown.report.skipped() {
        0 => {}
        skipped => {
            note!(
                "{skipped} steps of the schedule have no counterpart in this strategy and were skipped"
            )
        }
    }
    match strangers {
        None => note!("service and model agree after each step"),
        Some(_) => note!("service and model DIFFER: one of them is wrong"),
    }
    if played.len() > 1 {
        let convicted = |played: &&Played| played.verdict.verdict == Verdict::Violated;
        note!("violated {} times of {}", played.iter().filter(convicted).count(), spec.times);
    }
    if !json {
        out!("{}", shown.run.file("report.html").display());
    }
}

pub(crate) fn read(path: &Path) -> Result<Schedule> {
    let text = fs::read_to_string(path)
        .map_err(|error| UsageError(format!("failed to read {}: {error}", path.display())))?;
    Schedule::from_json(&text).map_err(|error| {
        UsageError(format!("{} is not a schedule: {error}", path.display())).into()
    })
}

/// The shortest counterexample of the usual size.
fn counterexample(kind: StrategyKind) -> Result<Schedule> {
    let size = Size { clients: 2, capacity: 1 };
    let explored = explore(kind, size, Limits::default());
    explored
        .counterexample(kind, size)
        .ok_or_else(|| {
            UsageError(format!("the model of {kind} has no counterexample: it is upheld"))
        })
        .context("find the counterexample")
}
