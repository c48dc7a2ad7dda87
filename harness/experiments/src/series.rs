//! A series: many trials on one set of servers, one after the other, each in a directory of its
//! own.

use std::time::Instant;

use anyhow::Result;
use slotproof_checker::Case;
use slotproof_reports::RunReport;

use slotproof_evidence::{ReferenceDatabase, RunDirectory};
use slotproof_stack::{Environment, guard::Guard};
use slotproof_vocabulary::{Finding, Invariant, RunContext, Span, Verdict};

use crate::{
    check_run,
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

/// How many times as long as the plan a load may last.
pub(crate) const LONGEST: u32 = 16;

/// Whether the run has not reached what its scenario is about (I15).
pub(crate) fn lacks_coverage(report: &RunReport) -> bool {
    let coverage = |finding: &&Finding| finding.invariant == Invariant::RunCoverage;
    report.verdict.verdict != Verdict::Violated
        && report
            .verdict
            .findings
            .iter()
            .find(coverage)
            .is_some_and(|coverage| coverage.verdict == Verdict::Unknown)
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

    /// Loads the service of one trial, and judges what happened. The tables of servers of our own
    /// are emptied then: what a broken service left behind must not trouble the next one. Those of
    /// others are not ours to empty; there each trial has a doctor of its own all the same.
    ///
    /// # Errors
    /// What kept the trial from being made.
    pub(crate) async fn trial(&mut self, spec: &TrialSpec) -> Result<Tried> {
        let now = time::OffsetDateTime::now_utc();
        let run = RunDirectory::create(self.parent.path(), &spec.plan, now)?;
        run.write_json("plan.json", &spec.plan)?;
        run.write_json("environment.json", &self.run_context(&spec.experiment, now)?)?;
        trial::load_and_collect(spec, &self.environment, &run, self.guard, &Silent).await?;
        if self.environment.is_ours() {
            let mut database =
                ReferenceDatabase::connect(self.environment.endpoints.postgres_url()).await?;
            database.clear().await?;
            database.close().await?;
        }
        let (plan, case) = check_run::case(&run)?;
        let verdict = check_run::judge(&run, &case)?;
        let report = summary::summarise(&run, plan, &case, verdict)?;
        trial::write_reports(&run, &report)?;
        Ok(Tried { case, report })
    }

    /// Loads the service for as long as it takes: a load after which the verdict is `open` is
    /// repeated for twice as long, up to [`LONGEST`] times as long, while it can end before the
    /// deadline. How much a machine does in a second decides nothing then. The last load counts; a
    /// violation ends it at once.
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
        let mut shorter = 0;
        let mut longer = 2;
        while open(&tried.report) && longer <= LONGEST {
            // What it takes beside the load itself it takes again.
            let duration = Span(spec.plan.duration().0 * longer);
            let ends = Instant::now() + begun.elapsed() + duration.0 / 2;
            let plan = spec.plan.lasting(duration);
            let Some(plan) = plan.filter(|_| deadline.is_none_or(|deadline| ends < deadline))
            else {
                break;
            };
            begun = Instant::now();
            tried = self.trial(&spec.experiment.trial(plan, spec.strategy, Vec::new())).await?;
            (shorter, longer) = (shorter + 1, longer * 2);
        }
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
