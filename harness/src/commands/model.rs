//! `slotproof model`: explore the models of the strategies, every interleaving of a few clients.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;
use slotproof_models::{
    Expectation, Exploration, Limits, Schedule, Size, browse as browse_model, explore,
};
use slotproof_vocabulary::{Span, StrategyKind, UsageError, Verdict};

use super::init_tracing;
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof model
      every model, two clients and one seat: what holds, what does not, and how many states were seen

  slotproof model redis_lock_unfenced
      how the lock expires under its holder, step by step: exit 1

  slotproof model unprotected --write unprotected.json --diagram unprotected.svg
      its shortest counterexample as a schedule for `slotproof replay`, and as a sequence diagram

  slotproof model pessimistic --explore
      walk through the model by hand, in a browser

  slotproof model conditional --clients 3 --capacity 2";

/// Arguments of `slotproof model`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The strategy or negative control [default: all]
    strategy: Option<StrategyKind>,

    /// Clients, each of which reserves one seat and may retry once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    clients: u8,

    /// Seats of the slot.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    capacity: u8,

    /// Write the shortest counterexample as a schedule, for `slotproof replay`.
    #[arg(long, value_name = "FILE", requires = "strategy")]
    write: Option<PathBuf>,

    /// Draw the shortest counterexample as a sequence diagram.
    #[arg(long, value_name = "FILE.svg", requires = "strategy")]
    diagram: Option<PathBuf>,

    /// Walk through the model by hand, in a browser: stateright's explorer, at this port of
    /// loopback, until Ctrl-C.
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "3000", requires = "strategy")]
    explore: Option<u16>,

    /// States after which an exploration stops, undecided.
    #[arg(long, default_value_t = Limits::default().states)]
    states: usize,

    /// Time after which an exploration stops, undecided.
    #[arg(long, default_value = "120s")]
    time: Span,
}

/// Without a name: exit 0 if every safe strategy is upheld and every negative control is violated.
/// With one: its own verdict.
pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let size = Size { clients: args.clients, capacity: args.capacity };
    let limits = Limits { states: args.states, time: args.time.0 };
    if let Some(kind) = args.strategy {
        if let Some(port) = args.explore {
            return browse(kind, size, port);
        }
        let begun = Instant::now();
        let explored = explore(kind, size, limits);
        print(kind, &explored, begun);
        if let Some(path) = &args.write {
            write(path, "--write", schedule(kind, size, &explored)?.to_json())?;
        }
        if let Some(path) = &args.diagram {
            write(
                path,
                "--diagram",
                slotproof_replay::of_schedule(&schedule(kind, size, &explored)?).svg()?,
            )?;
        }
        return Ok(exit_code::of_verdict(verdict(&explored)));
    }
    let mut worst = Verdict::Upheld;
    for kind in StrategyKind::all() {
        let begun = Instant::now();
        let explored = explore(kind, size, limits);
        let found = verdict(&explored);
        let expected = if kind.is_negative_control() { Verdict::Violated } else { Verdict::Upheld };
        out!(
            "{:<20} {:<9} {:>9} states, depth {:>2}, {:>9.0} states/s{}",
            kind.name(),
            found.name(),
            explored.unique_states,
            explored.depth,
            explored.unique_states as f64 / begun.elapsed().as_secs_f64(),
            if found == expected { "" } else { "   UNEXPECTED" },
        );
        worst = match (found == expected, found) {
            (true, _) => worst,
            (false, Verdict::Unknown) if worst == Verdict::Upheld => Verdict::Unknown,
            (false, Verdict::Unknown) => worst,
            (false, _) => Verdict::Violated,
        };
    }
    Ok(exit_code::of_verdict(worst))
}

/// The counterexample as a schedule.
fn schedule(
    kind: StrategyKind,
    size: Size,
    explored: &Exploration,
) -> Result<Schedule, UsageError> {
    explored.counterexample(kind, size).ok_or_else(|| {
        UsageError(format!("{kind} has no counterexample: its model upholds every property"))
    })
}

fn write(path: &Path, flag: &str, text: String) -> Result<(), UsageError> {
    fs::write(path, text).map_err(|error| UsageError(format!("{flag} {}: {error}", path.display())))
}

/// Serves the explorer until the process is ended.
fn browse(kind: StrategyKind, size: Size, port: u16) -> Result<Code> {
    // A port that is taken would otherwise be a panic in another thread.
    std::net::TcpListener::bind(("127.0.0.1", port))
        .map_err(|error| UsageError(format!("--explore {port}: {error}")))?;
    note!("http://127.0.0.1:{port}/ shows the model of {kind}; Ctrl-C ends it");
    browse_model(kind, size, port);
    Ok(exit_code::UPHELD)
}

/// The worst of all properties.
fn verdict(explored: &Exploration) -> Verdict {
    let of = |verdict| explored.properties.iter().any(|property| property.verdict == verdict);
    match (of(Verdict::Violated), of(Verdict::Unknown)) {
        (true, _) => Verdict::Violated,
        (false, true) => Verdict::Unknown,
        (false, false) => Verdict::Upheld,
    }
}

fn print(kind: StrategyKind, explored: &Exploration, begun: Instant) {
    out!("{kind}: {}", kind.mechanism());
    for property in &explored.properties {
        let every = match property.expectation {
            Expectation::Always => "in every state",
            Expectation::Sometimes => "in some state ",
        };
        out!("  {:<9} {every}  {}", property.verdict.name(), property.name);
    }
    if let Some((property, steps)) = explored.path_to_show() {
        match property.verdict {
            Verdict::Violated => out!("\nshortest way to break `{}`:", property.name),
            _ => out!("\n{}, in the shortest way there is:", property.name),
        }
        for (number, step) in (1..).zip(steps) {
            out!("  {number}. {}", step.text);
        }
    }
    out!(
        "\n{} states, {} steps deep, {}, {:.1} s",
        explored.unique_states,
        explored.depth,
        if explored.complete { "all that can be reached" } else { "stopped at a limit" },
        begun.elapsed().as_secs_f64()
    );
}
