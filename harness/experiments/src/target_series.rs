//! Many runs on one target, one after the other: its service is started once, and what each run has
//! made is taken away before the next.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use slotproof_evidence::RunDirectory;
use slotproof_reports::run_report::ShorterLoad;
use slotproof_scenarios::target::file::FileTarget;
use slotproof_stack::{faults::Fault, guard::Guard};
use slotproof_vocabulary::{Plan, RunContext, UsageError};

use crate::{
    check_run,
    coverage::{longer_plan, shorter_loads},
    progress::{Progress, Silent},
    series::{Extended, Tried},
    spec::command_of,
    target_run::{self, Left, TargetRunSpec},
    target_stack::TargetStack,
};

/// A target file, and what the command line allows of it.
#[derive(Debug, Clone)]
pub struct TargetSpec {
    /// The target file.
    pub file: PathBuf,
    /// Hosts beside this machine that the command line allows.
    pub allow: Vec<String>,
    /// What runs have made and not taken away yet.
    pub left: Left,
}

impl TargetSpec {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn read(&self) -> Result<FileTarget> {
        Ok(FileTarget::read(&self.file, &self.allow)?)
    }

    /// A run of a plan.
    ///
    /// # Errors
    /// The target cannot carry it.
    pub fn run_of(&self, plan: Plan, faults: Vec<Fault>, runs: PathBuf) -> Result<TargetRunSpec> {
        if let Some(strategy) = plan.strategy {
            return Err(UsageError(format!(
                "strategy {strategy} is of the reference service; a plan for a target has none"
            ))
            .into());
        }
        let allowed: String = self.allow.iter().map(|host| format!(" --allow {host}")).collect();
        let injected: String =
            faults.iter().map(|fault| format!(" {}", fault.argument())).collect();
        let repeat_command =
            format!("{} --target {}{allowed}{injected}", command_of(&plan), self.file.display());
        let target = self.clone();
        let shorter = Vec::new();
        let spec = TargetRunSpec { target, plan, faults, shorter, runs, repeat_command };
        spec.target()?;
        Ok(spec)
    }
}

/// Runs on one target.
pub(crate) struct TargetSeries<'a> {
    spec: TargetSpec,
    /// The directory in which those of the runs are.
    pub(crate) parent: RunDirectory,
    stack: TargetStack,
    guard: &'a Guard,
    progress: &'a dyn Progress,
}

impl<'a> TargetSeries<'a> {
    /// Starts the service, if the file says how.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(crate) async fn begin(
        parent: RunDirectory,
        spec: &TargetSpec,
        guard: &'a Guard,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let target = spec.read()?;
        if let Some(stop) = &target.stack.stop {
            spec.left.stop_by(stop);
        }
        let stack = TargetStack::begin(&target, &parent.logs(), guard, progress).await?;
        Ok(Self { spec: spec.clone(), parent, stack, guard, progress })
    }

    async fn run(&self, spec: &TargetRunSpec) -> Result<Tried> {
        let (run, report) = target_run::load_and_judge(spec, self.guard, &Silent).await?;
        spec.target.left.take_away(self.progress).await;
        let (_, case) = check_run::case(&run)?;
        Ok(Tried { case, report })
    }

    /// Makes a run; while its report is `open`, makes a longer one, if that can end before the
    /// deadline. The last one counts.
    ///
    /// # Errors
    /// What kept a run from being made.
    pub(crate) async fn run_until_decided(
        &self,
        plan: &Plan,
        deadline: Option<Instant>,
        open: impl Fn(&slotproof_reports::RunReport) -> bool,
    ) -> Result<Extended> {
        let of = |plan: Plan| self.spec.run_of(plan, Vec::new(), self.parent.path().to_owned());
        let mut begun = Instant::now();
        let mut tried = self.run(&of(plan.clone())?).await?;
        while let Some(longer) = longer_plan(plan, &tried.report).filter(|_| open(&tried.report)) {
            let ends = Instant::now() + begun.elapsed() + longer.duration().0 / 2;
            if deadline.is_some_and(|deadline| ends >= deadline) {
                break;
            }
            begun = Instant::now();
            let shorter: Vec<ShorterLoad> = shorter_loads(&tried.report);
            tried = self.run(&TargetRunSpec { shorter, ..of(longer)? }).await?;
        }
        let shorter = u32::try_from(tried.report.shorter.len()).unwrap_or(u32::MAX);
        Ok(Extended { tried, shorter })
    }

    /// What a figure of the series rests on.
    pub(crate) fn run_context(
        &self,
        repeat_command: &str,
        now: time::OffsetDateTime,
    ) -> Result<RunContext> {
        target_run::context(&self.spec.read()?, repeat_command, now)
    }

    /// Ends the service.
    pub(crate) async fn end(self) {
        self.stack.end().await;
    }
}
