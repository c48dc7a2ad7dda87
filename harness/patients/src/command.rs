//! The command that runs beside a patient, or the wait for Ctrl-C.

use std::{
    ffi::OsString,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use slotproof_stack::guard::{self, Guard, Supervised};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// How long a command may take to end after SIGTERM before it is killed.
const COMMAND_ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Ctrl-C and SIGTERM, heard from the moment that this is made.
pub(crate) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Completes when one of them comes, or has come.
    pub(crate) async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How it ended.
pub(crate) enum Ended {
    /// The command, by itself.
    Command(ExitStatus),
    /// We were told to stop before the command had ended.
    Interrupted,
    /// There was no command, and we were told to stop.
    Told,
}

impl Ended {
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            // As shells say it: 128 and the number of the signal.
            Self::Command(status) => {
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(70))
            }
            Self::Interrupted => ExitCode::from(130),
            Self::Told => ExitCode::SUCCESS,
        }
    }
}

/// Runs the command with the variables set; without one, prints them and waits to be stopped.
///
/// # Errors
/// The command cannot be started.
pub(crate) async fn run(
    command: &[OsString],
    variables: &[(&'static str, String)],
    guard: &Guard,
    stop: &mut Stop,
) -> Result<Ended> {
    let Some((program, arguments)) = command.split_first() else {
        print(variables)?;
        stop.told().await;
        return Ok(Ended::Told);
    };
    // A group of its own: Ctrl-C reaches us alone, and the command ends while its service is there.
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let group = pid.expect("a child that was just started has a pid");
    guard.watch(&Supervised::Group(group));
    let ended = tokio::select! {
        status = child.wait() => Ended::Command(status?),
        () = stop.told() => {
            guard::signal(group, Signal::TERM);
            let _ = tokio::time::timeout(COMMAND_ENDS_WITHIN, child.wait()).await;
            Ended::Interrupted
        }
    };
    // What the command has left behind in its group.
    guard::signal(group, Signal::KILL);
    guard.release(&Supervised::Group(group));
    Ok(ended)
}

/// Lines for a shell: values are words of letters, digits and URL marks, in single quotes.
fn print(variables: &[(&'static str, String)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in variables {
        writeln!(out, "export {name}='{value}'")?;
    }
    // Whoever reads the lines knows by it that there are no more.
    writeln!(out, "# ready; Ctrl-C ends everything")?;
    Ok(out.flush()?)
}
