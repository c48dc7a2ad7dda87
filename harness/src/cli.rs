//! The command line: what can be asked, and who answers.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    commands::{
        bench, capacity, check, compare, completions, dead_letters, doctor, gate, history, load,
        measured, migrate, model, months, rebalance, replay, report, run, selftest, serve, target,
        topologies, up,
    },
    exit_code::{self, Code},
};

const EXIT_CODES: &str = "Exit codes: 0 upheld, 1 violated, 2 unknown, 3 only an objective was missed, 64 wrong usage, 69 environment not available, \
                          70 internal error, 130 interrupted.";

/// Load testing and correctness verification for booking services.
///
/// Under thousands of concurrent clients: is any slot ever overbooked, is any acknowledged booking
/// ever lost, and how fast does it go?
#[derive(Debug, Parser)]
#[command(name = "slotproof", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the stack and the service, and leave them running until Ctrl-C.
    Up(up::Args),
    /// Start the stack, load it, judge what happened, and report.
    Run(Box<run::Args>),
    /// Compare strategies: verdicts, and figures with intervals.
    Compare(Box<compare::Args>),
    /// Search the highest rate that keeps an objective, and judge capacity estimates by it.
    Capacity(Box<capacity::Args>),
    /// Run the checks that a merge must pass, as CI does.
    Gate(Box<gate::Args>),
    /// Judge a run again from its directory, or a history of any other system.
    Check(check::Args),
    /// Convert histories: JSON lines, and the binary format of runs.
    #[command(subcommand)]
    History(history::Command),
    /// Render reports again from their JSON, or the index of a folder.
    Report(report::Args),
    /// Try a booking API that a target file describes.
    #[command(subcommand)]
    Target(target::Command),
    /// List the topologies that --topology takes.
    Topologies(topologies::Args),
    /// Run the reference service.
    Serve(serve::Args),
    /// Explore the models of the strategies: every interleaving of a few clients.
    Model(model::Args),
    /// Lead the service through a schedule of its model, on a real database.
    Replay(replay::Args),
    /// Test the checker: convict every negative control and no safe strategy.
    Selftest(selftest::Args),
    /// Measure strategies, the load engine or the checker, in rounds and as ratios.
    #[command(subcommand)]
    Bench(bench::Command),
    /// List messages that no worker could handle, or resend them.
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// List the months of a partitioned database, archive or restore one.
    #[command(subcommand)]
    Months(months::Command),
    /// Move the service from one topology to another under load, and judge what happened.
    Migrate(Box<migrate::Args>),
    /// Move doctors from shard to shard, while bookings go on.
    Rebalance(rebalance::Args),
    /// Show what is installed and how to install what is missing.
    Doctor(doctor::Args),
    /// Print the completions of a shell.
    Completions(completions::CompletionsArgs),
    /// Write the man pages to a directory.
    Man(completions::ManArgs),
    /// Run a load order; started by `run`, in a process of its own.
    #[command(hide = true)]
    Load(load::Args),
    /// What `bench engine` measures against; started by it.
    #[command(subcommand, hide = true)]
    Measured(measured::Command),
    /// End what a dead parent left running; started by `run` and `up`.
    #[command(hide = true)]
    Guard,
}

impl Cli {
    pub(crate) fn run(self) -> Result<Code> {
        match self.command {
            Command::Up(args) => up::exec(args),
            Command::Run(args) => run::exec(&args),
            Command::Compare(args) => compare::exec(&args),
            Command::Gate(args) => gate::exec(&args),
            Command::Capacity(args) => capacity::exec(&args),
            Command::Check(args) => check::exec(args),
            Command::History(command) => history::exec(command),
            Command::Report(args) => report::exec(args),
            Command::Target(command) => target::exec(command),
            Command::Topologies(args) => topologies::exec(&args),
            Command::Serve(args) => serve::exec(args),
            Command::Model(args) => model::exec(args),
            Command::Replay(args) => replay::exec(args),
            Command::Selftest(args) => selftest::exec(args),
            Command::Bench(command) => bench::exec(command),
            Command::DeadLetters(command) => dead_letters::exec(command),
            Command::Months(command) => months::exec(command),
            Command::Migrate(args) => migrate::exec(&args),
            Command::Rebalance(args) => rebalance::exec(args),
            Command::Doctor(args) => doctor::exec(args),
            Command::Completions(args) => Ok(completions::completions(&args)),
            Command::Man(args) => completions::man(&args),
            Command::Load(args) => load::exec(args),
            Command::Measured(command) => measured::exec(command),
            Command::Guard => {
                slotproof_stack::guard::keep();
                Ok(exit_code::UPHELD)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_visible_command_has_examples() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("slotproof "), "{} has no example", command.get_name());
        }
    }
}
