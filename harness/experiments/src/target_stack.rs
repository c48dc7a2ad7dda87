//! The service of a target, started and stopped by the commands of its file: in CI a run judges what
//! was just built.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use slotproof_scenarios::target::file::{FileTarget, StackWords};
use slotproof_stack::{
    guard::Guard,
    process::{Launch, Process, Stdout, tail},
};
use tokio::{process::Command, time::Instant};

use crate::progress::Progress;

/// Building images and filling databases takes minutes.
const READY_WITHIN: Duration = Duration::from_secs(300);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
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
            let http = target.connections(Duration::from_secs(5))?.build()?;
            let url = format!("{}{path}", target.base_url);
            let deadline = Instant::now() + READY_WITHIN;
            while !answers(&http, &url).await {
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
            process.stop(STOPPED_WITHIN).await;
        }
    }
}

/// Carries out the command `stop`.
///
/// # Errors
/// It fails.
pub(crate) async fn stop(command: &str) -> Result<()> {
    let mut stopping = shell(command);
    // The standard output is for data: `gate --json` is read by programs.
    let running =
        stopping.stdin(Stdio::null()).stdout(std::io::stderr()).kill_on_drop(true).status();
    let within = STOPPED_WITHIN.as_secs();
    let status = tokio::time::timeout(STOPPED_WITHIN, running)
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
