//! A series: many trials on one set of servers, one after the other, each in a directory of its
//! own.

use std::time::Instant;

use anyhow::{Context, Result};
use slotproof_checker::Case;
use slotproof_reports::RunReport;

use slotproof_evidence::{ReferenceShards, RunDirectory};
use slotproof_stack::{Environment, guard::Guard};
use slotproof_vocabulary::RunContext;

pub(crate) use crate::coverage::{LONGEST, lacks_coverage};
use crate::{
    check_run,
    coverage::longer,
    progress::Silent,
    spec::ExperimentSpec,
    summary,
    trial::{self, TrialSpec},
};

/// Servers that outlive a trial.
pub(crate) struct Series<'a> {
    pub(crate) environment: Environment,
    /// The directory in which those of the trials are.
    pub(crate) parent: RunDirectory,
    guard: &'a Guard,
}

/// A trial that was judged.
pub(crate) struct Tried {
    pub(crate) case: Case,
    pub(crate) report: RunReport,
}

/// A trial that was repeated for longer until it decided.
pub(crate) struct Extended {
    pub(crate) tried: Tried,
    /// Shorter loads before it, which did not decide.
    pub(crate) shorter: u32,
}

impl<'a> Series<'a> {
    /// Starts the servers.
    ///
    /// # Errors
    /// What keeps them from starting.
    pub(crate) async fn begin(
        parent: RunDirectory,
        experiment: &ExperimentSpec,
        guard: &'a Guard,
    ) -> Result<Self> {
        let environment =
            slotproof_stack::provision(&experiment.stack, parent.path(), guard).await?;
        Ok(Self { environment, parent, guard })
    }

    /// The same beside others: its servers have a directory of their own, by the name of their
    /// topology.
    ///
    /// # Errors
    /// As [`Series::begin`].
    pub(crate) async fn begin_beside(
        parent: RunDirectory,
        experiment: &ExperimentSpec,
        guard: &'a Guard,
    ) -> Result<Self> {
        let own = parent.file(&experiment.stack.topology.name);
        std::fs::create_dir(&own).with_context(|| format!("make {}", own.display()))?;
        let environment = slotproof_stack::provision(&experiment.stack, &own, guard).await?;
        Ok(Self { environment, parent, guard })
    }

    /// Loads the service of one trial, and judges what happened. The tables of servers of our own
    /// are emptied then: what a broken service left behind must not trouble the next one. Those of
    /// others are not ours to empty; there each trial has a doctor of its own all the same.
    ///
    /// # Errors
    /// What kept the trial from being made.
    pub(crate) async fn trial(&mut self, spec: &TrialSpec) -> Result<Tried> {
        let run = self.load(spec).await?;
        self.clear().await?;
        Self::judged(&run)
    }

    /// The same, and the tables are left as they are: a trial beside what else they hold. Its slots
    /// and its doctor are its own, and its evidence is about them alone.
    ///
    /// # Errors
    /// As [`Series::trial`].
    pub(crate) async fn trial_beside(&mut self, spec: &TrialSpec) -> Result<Tried> {
        let run = self.load(spec).await?;
        Self::judged(&run)
    }

    /// Empties the tables of servers of our own.
    ///
    /// # Errors
    /// The database refuses.
    pub(crate) async fn clear(&self) -> Result<()> {
        if self.environment.is_ours() {
            let urls = self.environment.endpoints.postgres_urls();
            let mut databases = ReferenceShards::connect(&urls).await?;
            databases.clear().await?;
            databases.close().await?;
        }
        Ok(())
    }

    async fn load(&mut self, spec: &TrialSpec) -> Result<RunDirectory> {
        let now = time::OffsetDateTime::now_utc();
        let run = RunDirectory::create(self.parent.path(), &spec.plan, now)?;
        run.write_json("plan.json", &spec.plan)?;
        run.write_json("environment.json", &self.run_context(&spec.experiment, now)?)?;
        trial::load_and_collect(spec, &self.environment, &run, self.guard, &Silent).await?;
        Ok(run)
    }

    fn judged(run: &RunDirectory) -> Result<Tried> {
        let (plan, case) = check_run::case(run)?;
        let verdict = check_run::judge(run, &case)?;
        let report = summary::summarise(run, plan, &case, verdict)?;
        trial::write_reports(run, &report)?;
        Ok(Tried { case, report })
    }

    /// Makes a trial; while its report is `open`, makes a [`longer`] one, if that can end before
    /// the deadline. The last one counts.
    ///
    /// # Errors
    /// As [`Series::trial`].
    pub(crate) async fn trial_until_decided(
        &mut self,
        spec: &TrialSpec,
        deadline: Option<Instant>,
        open: impl Fn(&RunReport) -> bool,
    ) -> Result<Extended> {
        let mut begun = Instant::now();
        let mut tried = self.trial(spec).await?;
        while let Some(next) = longer(spec, &tried.report).filter(|_| open(&tried.report)) {
            // What it takes beside the load itself it takes again.
            let ends = Instant::now() + begun.elapsed() + next.plan.duration().0 / 2;
            if deadline.is_some_and(|deadline| ends >= deadline) {
                break;
            }
            begun = Instant::now();
            tried = self.trial(&next).await?;
        }
        let shorter = u32::try_from(tried.report.shorter.len()).unwrap_or(u32::MAX);
        Ok(Extended { tried, shorter })
    }

    /// What a figure of the series rests on.
    pub(crate) fn run_context(
        &self,
        experiment: &ExperimentSpec,
        now: time::OffsetDateTime,
    ) -> Result<RunContext> {
        trial::run_context(&self.environment, experiment, now)
    }

    /// Stops the servers.
    pub(crate) async fn end(self) {
        self.environment.stop().await;
    }
}
