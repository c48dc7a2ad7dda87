//! What the trials of an experiment are made on: the reference service with a stack of its own, or
//! booking APIs that files describe.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use slotproof_evidence::RunDirectory;
use slotproof_reports::RunReport;
use slotproof_stack::guard::Guard;
use slotproof_vocabulary::{Plan, RunContext, StrategyKind};

use crate::{
    progress::Progress,
    series::{Extended, Series},
    spec::ExperimentSpec,
    target_series::{TargetSeries, TargetSpec},
};

/// What trials are made on.
pub(crate) enum On<'a> {
    /// The reference service.
    Stack(Box<Series<'a>>),
    /// Targets, by their names.
    Targets(BTreeMap<String, TargetSeries<'a>>),
}

/// What a trial judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A strategy of the reference service.
    Strategy(StrategyKind),
    /// A target, by its name.
    Target(String),
}

impl Subject {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Strategy(strategy) => strategy.name(),
            Self::Target(name) => name,
        }
    }

    /// The strategy, of the reference service.
    pub fn strategy(&self) -> Option<StrategyKind> {
        match self {
            Self::Strategy(strategy) => Some(*strategy),
            Self::Target(_) => None,
        }
    }
}

impl<'a> On<'a> {
    /// Starts the servers of the stack, or the services of the targets.
    ///
    /// # Errors
    /// What keeps them from starting.
    pub(crate) async fn begin(
        experiment: &ExperimentSpec,
        targets: &[TargetSpec],
        run: &RunDirectory,
        guard: &'a Guard,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        if targets.is_empty() {
            let series = Series::begin(run.clone(), experiment, guard).await?;
            return Ok(Self::Stack(Box::new(series)));
        }
        let mut series = BTreeMap::new();
        for target in targets {
            let begun = TargetSeries::begin(run.clone(), target, guard, progress).await?;
            series.insert(target.read()?.name, begun);
        }
        Ok(Self::Targets(series))
    }

    /// Makes a trial; while its report is `open`, makes a longer one, if that can end before the
    /// deadline. The last one counts.
    ///
    /// # Errors
    /// What kept a trial from being made.
    pub(crate) async fn until_decided(
        &mut self,
        experiment: &ExperimentSpec,
        subject: &Subject,
        plan: &Plan,
        deadline: Option<Instant>,
        open: impl Fn(&RunReport) -> bool,
    ) -> Result<Extended> {
        match (self, subject) {
            (Self::Stack(series), Subject::Strategy(strategy)) => {
                let trial = experiment.trial(plan.clone(), *strategy, Vec::new());
                series.trial_until_decided(&trial, deadline, open).await
            }
            (Self::Targets(all), Subject::Target(name)) => {
                let series = all.get(name).with_context(|| format!("no target is named {name}"))?;
                series.run_until_decided(plan, deadline, open).await
            }
            (Self::Stack(_), Subject::Target(name)) => anyhow::bail!("{name} was not started"),
            (Self::Targets(_), Subject::Strategy(strategy)) => {
                anyhow::bail!("{strategy} is of the reference service, which was not started")
            }
        }
    }

    /// What a figure rests on.
    ///
    /// # Errors
    /// A target file cannot be read any more.
    pub(crate) fn run_context(
        &self,
        experiment: &ExperimentSpec,
        now: time::OffsetDateTime,
    ) -> Result<RunContext> {
        match self {
            Self::Stack(series) => series.run_context(experiment, now),
            Self::Targets(all) => {
                let mut contexts = Vec::new();
                for series in all.values() {
                    contexts.push(series.run_context(&experiment.repeat_command, now)?);
                }
                let servers = |it: &RunContext| it.environment.servers.clone();
                let servers = contexts.iter().flat_map(servers).collect();
                let mut context = contexts.into_iter().next().context("there is a target")?;
                context.environment.servers = servers;
                Ok(context)
            }
        }
    }

    /// The database of the stack.
    pub(crate) fn postgres_url(&self) -> Option<&str> {
        match self {
            Self::Stack(series) => Some(series.environment.endpoints.postgres_url()),
            Self::Targets(_) => None,
        }
    }

    /// Stops what was started.
    pub(crate) async fn end(self) {
        match self {
            Self::Stack(series) => series.end().await,
            Self::Targets(all) => {
                for series in all.into_values() {
                    series.end().await;
                }
            }
        }
    }
}
