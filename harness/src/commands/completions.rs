//! `slotproof completions` and `slotproof man`: what shells and `man` need, made from the command
//! line itself.

use std::{fs, io::Write, path::PathBuf};

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use slotproof_vocabulary::UsageError;

use crate::{
    cli::Cli,
    exit_code::{self, Code},
    output,
};

const COMPLETIONS_EXAMPLES: &str = "Examples:
  slotproof completions bash > /etc/bash_completion.d/slotproof";

const MAN_EXAMPLES: &str = "Examples:
  slotproof man target/man && man target/man/slotproof-run.1";

/// Arguments of `slotproof completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Arguments of `slotproof man`.
#[derive(Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// The directory to which a page for each command is written.
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "slotproof", &mut script);
    output::written(std::io::stdout().write_all(&script));
    exit_code::UPHELD
}

pub(crate) fn man(args: &ManArgs) -> Result<Code> {
    let failed = |error: std::io::Error| {
        UsageError(format!("failed to write to {}: {error}", args.directory.display()))
    };
    fs::create_dir_all(&args.directory).map_err(failed)?;
    let mut cli = Cli::command();
    cli.build();
    let visible = cli.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let pages: Vec<Command> = std::iter::once(cli.clone()).chain(visible).collect();
    for page in pages {
        // clap wants names that live as long as the program; there are a few dozen.
        let name: &str = page.get_display_name().unwrap_or(page.get_name()).to_owned().leak();
        let mut text = Vec::new();
        clap_mangen::Man::new(page.name(name)).render(&mut text)?;
        fs::write(args.directory.join(format!("{name}.1")), text).map_err(failed)?;
    }
    Ok(exit_code::UPHELD)
}
