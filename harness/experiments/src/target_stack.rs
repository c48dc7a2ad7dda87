//! The service of a target, started and stopped by the commands of its file: in CI a run judges what
//! was just built.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use slotproof_scenarios::target::file::{FaultWords, FileTarget, StackWords};
use slotproof_stack::{
    faults::{Fault, FaultError, FaultKind},
    guard::Guard,
    process::{Launch, Process, Stdout, tail},
};
use slotproof_vocabulary::UsageError;
use tokio::{process::Command, time::Instant};

use crate::{progress::Progress, target_run::Left};

/// Building images and filling databases takes minutes.
const READY_WITHIN: Duration = Duration::from_secs(300);
const ENDED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A service that was started.
#[derive(Debug)]
pub(crate) struct TargetStack {
    /// What `start` has become: it may go on or return.
    process: Option<Process>,
}

impl TargetStack {
    /// Carries out `start`, and waits until `ready` answers. Without `start` nothing is started.
    ///
    /// # Errors
    /// The command failed, or the service did not become ready.
    pub(crate) async fn begin(
        target: &FileTarget,
        logs: &Path,
        guard: &Guard,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let StackWords { start, ready, .. } = &target.stack;
        let Some(start) = start else { return Ok(Self { process: None }) };
        let step = progress.step("start the service of the target");
        let log = logs.join("target.log");
        let launch = Launch {
            name: "target",
            command: shell(start),
            log: log.clone(),
            stdout: Stdout::ToLog,
            stop: rustix::process::Signal::TERM,
            abandon: rustix::process::Signal::KILL,
        };
        let mut process = Process::start(launch, guard)?;
        if let Some(path) = ready {
            let http = target.connections(Duration::from_secs(5))?;
            let url = format!("{}{path}", target.base_url);
            let deadline = Instant::now() + READY_WITHIN;
            while !answers(http.reqwest(), &url).await {
                if let Some(status) = process.ended()?.filter(|status| !status.success()) {
                    bail!(
                        "`{start}` ended with {status}; its log is {}:\n{}",
                        log.display(),
                        tail(&log)
                    );
                }
                if Instant::now() >= deadline {
                    bail!(
                        "{url} did not answer 2xx within {} s; the log of `{start}` is {}:\n{}",
                        READY_WITHIN.as_secs(),
                        log.display(),
                        tail(&log)
                    );
                }
                tokio::time::sleep(POLL).await;
            }
        } else {
            // Without a path to ask, the command says by its end that the service is ready.
            let status = tokio::time::timeout(READY_WITHIN, process.wait()).await;
            let status = status.with_context(|| {
                format!(
                    "`{start}` did not end within {} s; if it goes on, say by ready = \"/path\" when \
                     the service is ready",
                    READY_WITHIN.as_secs()
                )
            })??;
            if !status.success() {
                bail!(
                    "`{start}` ended with {status}; its log is {}:\n{}",
                    log.display(),
                    tail(&log)
                );
            }
        }
        step.done(&target.name);
        Ok(Self { process: Some(process) })
    }

    /// Ends what `start` has become.
    pub(crate) async fn end(self) {
        if let Some(process) = self.process {
            process.stop(ENDED_WITHIN).await;
        }
    }
}

/// What the file declares of a fault, and how long it lasts.
///
/// # Errors
/// It declares no such fault, or nothing that ends it.
pub(crate) fn declared<'a>(
    target: &'a FileTarget,
    fault: &Fault,
) -> Result<(&'a FaultWords, Option<Duration>), UsageError> {
    let declared = &target.stack.fault;
    let names = || match declared.is_empty() {
        true => "it declares none".to_owned(),
        false => {
            let names: Vec<&str> = declared.iter().map(|fault| fault.name.as_str()).collect();
            format!("it declares {}", names.join(", "))
        }
    };
    let FaultKind::Declared { name, lasts } = &fault.kind else {
        return Err(UsageError(format!(
            "--fault {fault} is of the reference service; of a target, it is what [[stack.fault]] \
             declares, \"target:NAME@2s for 1s\": {}",
            names()
        )));
    };
    let Some(found) = declared.iter().find(|it| it.name == *name) else {
        let reason = format!("the target file has no such [[stack.fault]]: {}", names());
        return Err(UsageError(format!("--fault {fault}: {reason}")));
    };
    match (lasts, &found.heal) {
        (Some(_), None) => Err(UsageError(format!(
            "--fault {fault}: [[stack.fault]] {name} has no heal, which would end it; leave out \
             \"for\", or add heal"
        ))),
        (lasts, _) => Ok((found, *lasts)),
    }
}

/// Carries out the commands of a declared fault, and waits until the service is ready again.
/// Whatever keeps it from its end, the service is healed when the run has ended.
pub(crate) async fn inject(
    target: &FileTarget,
    left: &Left,
    fault: Fault,
) -> Result<(), FaultError> {
    let acting = async {
        let (FaultWords { inject, heal, .. }, lasts) = declared(target, &fault)?;
        if let Some(heal) = heal {
            left.stop_by(heal);
        }
        carry_out(inject).await?;
        let Some(heal) = heal else { return Ok(()) };
        tokio::time::sleep(lasts.unwrap_or_default()).await;
        carry_out(heal).await?;
        left.is_done(heal);
        if let Some(path) = &target.stack.ready {
            let http = target.connections(Duration::from_secs(5))?;
            let url = format!("{}{path}", target.base_url);
            let deadline = Instant::now() + READY_WITHIN;
            while !answers(http.reqwest(), &url).await {
                let within = READY_WITHIN.as_secs();
                anyhow::ensure!(Instant::now() < deadline, "{url}: no 2xx within {within} s");
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    };
    acting.await.map_err(|error: anyhow::Error| FaultError::NotTaken {
        reason: format!("{error:#}"),
        fault: fault.clone(),
    })
}

/// Carries out a command.
///
/// # Errors
/// It fails, or does not end.
pub(crate) async fn carry_out(command: &str) -> Result<()> {
    let mut shell = shell(command);
    // The standard output is for data: `gate --json` is read by programs.
    let running = shell.stdin(Stdio::null()).stdout(std::io::stderr()).kill_on_drop(true).status();
    let within = ENDED_WITHIN.as_secs();
    let status = tokio::time::timeout(ENDED_WITHIN, running)
        .await
        .with_context(|| format!("`{command}` did not end within {within} s"))?
        .with_context(|| format!("run `{command}`"))?;
    anyhow::ensure!(status.success(), "`{command}` ended with {status}");
    Ok(())
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

async fn answers(http: &reqwest::Client, url: &str) -> bool {
    http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}
