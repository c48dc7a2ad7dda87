//! What the trials of an experiment are made on: the reference service with a stack of its own, or
//! booking APIs that files describe.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use slotproof_evidence::RunDirectory;
use slotproof_reports::RunReport;
use slotproof_stack::{Topology, guard::Guard};
use slotproof_vocabulary::{Plan, RunContext, ServerBlock, StrategyKind};

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
    /// The reference service on several stacks, by the names of their topologies.
    Topologies(BTreeMap<String, Series<'a>>),
    /// Targets, by their names.
    Targets(BTreeMap<String, TargetSeries<'a>>),
}

/// What a trial judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A strategy of the reference service.
    Strategy(StrategyKind),
    /// A strategy of the reference service on the stack of this topology.
    Topology(Box<Topology>, StrategyKind),
    /// A target, by its name.
    Target(String),
}

impl Subject {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Strategy(strategy) => strategy.name(),
            Self::Topology(topology, _) => &topology.name,
            Self::Target(name) => name,
        }
    }

    /// The strategy, of the reference service.
    pub fn strategy(&self) -> Option<StrategyKind> {
        match self {
            Self::Strategy(strategy) | Self::Topology(_, strategy) => Some(*strategy),
            Self::Target(_) => None,
        }
    }

    /// The topology, where it is what differs.
    pub fn topology(&self) -> Option<&Topology> {
        match self {
            Self::Topology(topology, _) => Some(topology),
            Self::Strategy(_) | Self::Target(_) => None,
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

    /// Starts the servers of every topology, one after the other.
    ///
    /// # Errors
    /// What keeps them from starting.
    pub(crate) async fn begin_topologies(
        experiment: &ExperimentSpec,
        topologies: impl Iterator<Item = &Topology>,
        run: &RunDirectory,
        guard: &'a Guard,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let mut series = BTreeMap::new();
        for topology in topologies {
            let step = progress.step(format!("start {}", topology.name));
            let begun = Series::begin_beside(run.clone(), &experiment.on(topology), guard).await?;
            series.insert(topology.name.clone(), begun);
            step.done("");
        }
        Ok(Self::Topologies(series))
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
            (Self::Topologies(all), Subject::Topology(topology, strategy)) => {
                let name = &topology.name;
                let series = all.get_mut(name).with_context(|| format!("no {name} was started"))?;
                let trial = experiment.on(topology).trial(plan.clone(), *strategy, Vec::new());
                series.trial_until_decided(&trial, deadline, open).await
            }
            (Self::Targets(all), Subject::Target(name)) => {
                let series = all.get(name).with_context(|| format!("no target is named {name}"))?;
                series.run_until_decided(plan, deadline, open).await
            }
            (_, subject) => anyhow::bail!("{} was not started", subject.name()),
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
            Self::Topologies(all) => {
                let contexts = all.values().map(|series| series.run_context(experiment, now));
                in_one(contexts.collect::<Result<_>>()?)
            }
            Self::Targets(all) => {
                let context =
                    |it: &TargetSeries<'_>| it.run_context(&experiment.repeat_command, now);
                in_one(all.values().map(context).collect::<Result<_>>()?)
            }
        }
    }

    /// The database of the stack.
    pub(crate) fn postgres_url(&self) -> Option<&str> {
        match self {
            Self::Stack(series) => Some(series.environment.endpoints.postgres_url()),
            Self::Topologies(all) => {
                Some(all.values().next()?.environment.endpoints.postgres_url())
            }
            Self::Targets(_) => None,
        }
    }

    /// Stops what was started.
    pub(crate) async fn end(self) {
        match self {
            Self::Stack(series) => series.end().await,
            Self::Topologies(all) => {
                for series in all.into_values() {
                    series.end().await;
                }
            }
            Self::Targets(all) => {
                for series in all.into_values() {
                    series.end().await;
                }
            }
        }
    }
}

/// The context of what differs in its servers: the machine of the first, and the servers of all.
fn in_one(contexts: Vec<RunContext>) -> Result<RunContext> {
    let mut servers: Vec<ServerBlock> = Vec::new();
    for server in contexts.iter().flat_map(|it| &it.environment.servers) {
        if !servers.contains(server) {
            servers.push(server.clone());
        }
    }
    let mut context = contexts.into_iter().next().context("something is compared")?;
    context.environment.servers = servers;
    context.environment.topology = None;
    Ok(context)
}
