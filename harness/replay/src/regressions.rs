//! Kept schedules, each on the strategy that it convicts and on every strategy that claims to be
//! safe: a counterexample that was found once is tried on everybody for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use serde::Serialize;
use slotproof_models::Schedule;
use slotproof_vocabulary::{StrategyKind, Verdict};

use super::{Fate, Played, ReplayRig, ReplaySpec, can_be_replayed, play, stack};
use slotproof_evidence::RunDirectory;
use slotproof_experiments::{ExperimentSpec, Progress};
use slotproof_stack::guard::Guard;

/// A schedule on a strategy.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The file's name.
    pub schedule: String,
    /// Whose service was led through it.
    pub strategy: StrategyKind,
    /// The checker's verdict.
    pub verdict: Verdict,
    /// Whether the service did what its model does.
    pub agrees: bool,
    /// How the database stopped it.
    pub stopped: Option<Stopped>,
}

/// Where a schedule was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// The number of the step; none after the schedule's end.
    pub at: Option<usize>,
    /// What the step came to.
    pub by: Fate,
}

impl Outcome {
    fn of(schedule: &str, strategy: StrategyKind, played: &Played) -> Self {
        let stop = played.report.first_stop();
        Self {
            schedule: schedule.to_owned(),
            strategy,
            verdict: played.verdict.verdict,
            agrees: played.report.agrees(),
            stopped: stop.map(|line| Stopped { at: line.number, by: line.fate }),
        }
    }

    /// Controls are convicted, the others upheld, and nobody does anything that its model does not.
    pub fn is_as_it_should_be(&self) -> bool {
        let expected =
            if self.strategy.is_negative_control() { Verdict::Violated } else { Verdict::Upheld };
        self.agrees && self.verdict == expected
    }

    /// In a word or two.
    pub fn words(&self) -> String {
        let at = |stopped: &Stopped| {
            stopped.at.map_or_else(|| "the end".to_owned(), |number| number.to_string())
        };
        let how = match (&self.stopped, self.verdict) {
            (_, Verdict::Violated) => "violated".to_owned(),
            (_, Verdict::Unknown) => "unknown".to_owned(),
            (Some(stopped), _) if stopped.by == Fate::Waited => format!("blocked {}", at(stopped)),
            (Some(stopped), _) => format!("in vain {}", at(stopped)),
            (None, _) => "passed".to_owned(),
        };
        if self.is_as_it_should_be() { how } else { format!("{how} (!)") }
    }
}

/// Plays every schedule of a directory, on one set of servers.
///
/// # Errors
/// What kept it from being done.
#[boxed_future(?Send)]
pub async fn play_all(
    schedules: &BTreeMap<String, Schedule>,
    runs: &Path,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(PathBuf, Vec<Outcome>)> {
    let now = time::OffsetDateTime::now_utc();
    let parent = RunDirectory::create_named(runs, "replay-regressions", now)?;
    progress.line(&format!("run {}", parent.path().display()));
    let stack = stack();
    let environment = slotproof_stack::provision(&stack, parent.path(), guard).await?;
    let safe = StrategyKind::SAFE.iter().copied().filter(|kind| can_be_replayed(*kind).is_ok());
    let own = schedules.values().map(|schedule| schedule.strategy);
    let strategies: BTreeSet<StrategyKind> = safe.chain(own).collect();
    let mut outcomes = Vec::new();
    for strategy in strategies {
        let rig = ReplayRig::start(strategy, &environment, &parent, guard).await?;
        for (name, schedule) in schedules {
            if schedule.strategy != strategy && strategy.is_negative_control() {
                continue;
            }
            let spec = ReplaySpec {
                schedule: schedule.clone(),
                strategy,
                times: 1,
                experiment: ExperimentSpec {
                    stack: stack.clone(),
                    runs: parent.path().to_owned(),
                    repeat_command: format!(
                        "slotproof replay --schedule schedule.json --strategy {strategy}"
                    ),
                },
            };
            let run =
                RunDirectory::create_named(parent.path(), &format!("{name}-on-{strategy}"), now)?;
            let played = play(&spec, &rig, &environment, run).await?;
            outcomes.push(Outcome::of(name, strategy, &played));
        }
        rig.teardown().await;
    }
    environment.stop().await;
    parent.write_json("regressions.json", &outcomes)?;
    Ok((parent.path().to_owned(), outcomes))
}
