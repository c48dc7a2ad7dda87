//! What a replay came to, step by step: `replay.json`, and lines for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use slotproof_models::{ModelEvent, ScheduledEvent};
use slotproof_vocabulary::StrategyKind;

use super::{Came, ReplaySpec, Stepped};

/// The shape that is written.
const SCHEMA_VERSION: u32 = 1;

/// `replay.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReport {
    schema_version: u32,
    /// Whose model the schedule goes through.
    pub schedule_of: StrategyKind,
    /// Who was led through it.
    pub strategy: StrategyKind,
    /// The property that the schedule breaks in its own model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// What each step came to.
    pub lines: Vec<Line>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the schedule; none for what was left to do after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<usize>,
    /// What it came to.
    pub fate: Fate,
    /// What happened: the step, and what had waited for it.
    pub steps: Vec<ModelEvent>,
    /// The same in one sentence each.
    pub texts: Vec<String>,
    /// Who holds what it waits for, by PostgreSQL's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// Where the service then differed from its model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It changed what it was to change.
    Happened,
    /// It was to write, and the database refused or found nothing to write to: its try has failed.
    WroteNothing,
    /// Another call held what it needs.
    Waited,
    /// This strategy has nothing to do there: the call is over, or the booking not there.
    Skipped,
}

impl Line {
    pub(super) fn of(number: Option<usize>, scheduled: &ScheduledEvent, stepped: Stepped) -> Self {
        let (fate, steps, blocked_by) = match stepped.came {
            Came::Done { steps, in_vain: true } => (Fate::WroteNothing, steps, None),
            Came::Done { steps, in_vain: false } => (Fate::Happened, steps, None),
            Came::Waits { text, blocked_by } => (
                Fate::Waited,
                vec![ScheduledEvent { what: scheduled.what.clone(), text }],
                blocked_by,
            ),
            Came::Skipped => (Fate::Skipped, vec![scheduled.clone()], None),
        };
        let (steps, texts) = steps.into_iter().map(|step| (step.what, step.text)).unzip();
        Self { number, fate, steps, texts, blocked_by, differences: stepped.differences }
    }
}

impl ReplayReport {
    pub(super) fn new(spec: &ReplaySpec, lines: Vec<Line>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            schedule_of: spec.schedule.strategy,
            strategy: spec.strategy,
            property: spec.schedule.property.clone(),
            lines,
        }
    }

    /// Whether the service did what its model does, at every step.
    pub fn agrees(&self) -> bool {
        self.lines.iter().all(|line| line.differences.is_empty())
    }

    /// Steps of the schedule that could not happen.
    pub fn skipped(&self) -> usize {
        self.lines.iter().filter(|line| line.fate == Fate::Skipped).count()
    }

    /// The first step at which the database stopped a call: made it wait, or let it write nothing.
    pub fn first_stop(&self) -> Option<&Line> {
        self.lines.iter().find(|line| matches!(line.fate, Fate::Waited | Fate::WroteNothing))
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ended = false;
        for line in &self.lines {
            if line.number.is_none() && !ended {
                ended = true;
                writeln!(f, "  the schedule has ended; what is under way goes on:")?;
            }
            let number =
                line.number.map_or_else(|| "    ".to_owned(), |number| format!("{number:>3}."));
            for (index, text) in line.texts.iter().enumerate() {
                let lead = if index == 0 { number.as_str() } else { "    " };
                match (line.fate, index) {
                    (Fate::Waited, _) => {
                        let whom = line.blocked_by.as_deref().unwrap_or("the holder of the lock");
                        writeln!(f, "{lead} BLOCKED  {text}: waits for {whom}")?;
                    }
                    (Fate::Skipped, _) => writeln!(f, "{lead} skipped  {text}")?,
                    (Fate::WroteNothing, 0) => {
                        writeln!(f, "{lead} IN VAIN  {text}: nothing is written")?
                    }
                    (Fate::Happened, 0) => writeln!(f, "{lead} {text}")?,
                    (Fate::Happened | Fate::WroteNothing, _) => {
                        writeln!(f, "{lead} and then  {text}")?
                    }
                }
            }
            for difference in &line.differences {
                writeln!(f, "     DIFFERS  {difference}")?;
            }
        }
        Ok(())
    }
}
