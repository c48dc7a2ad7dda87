//! `slotproof`: load testing and correctness verification for booking services.

#[macro_use]
mod output;

mod cli;
mod commands;
mod console;
mod exit_code;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and version are what was asked for; everything else is a mistake on the command
            // line.
            return if error.use_stderr() {
                exit_code::USAGE.into()
            } else {
                exit_code::UPHELD.into()
            };
        }
    };
    match cli.run() {
        Ok(code) => match output::failure() {
            None => code.into(),
            Some(error) => {
                note!("slotproof: failed to write to standard output: {error}");
                exit_code::INTERNAL.into()
            }
        },
        Err(error) => {
            output::lines(&format!("slotproof: {}", describe(&error)));
            exit_code::of_error(&error).into()
        }
    }
}

/// The chain of causes in one line. Some errors say their cause themselves; it is not said twice.
fn describe(error: &anyhow::Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    causes
        .reduce(|said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
        .unwrap_or_default()
}
