//! `gate.json`: the checks of a merge, the outcome of each, and how fast head and base were.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{EnvironmentBlock, Invariant, Plan, VerdictReport};

use crate::{estimate::Estimate, header::ReportHeader, objective::Objective, quantity};

/// A gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Version, name, origin and environment.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// How long it took.
    pub took_ms: u64,
    /// How long it might take; what had not begun by then was not run.
    pub budget_ms: u64,
    /// Every scenario with every strategy.
    pub checks: Vec<Check>,
    /// How fast it is, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<Performance>,
}

/// One load of one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// As the configuration names it.
    pub name: String,
    /// The strategy of the reference service, or the name of the target.
    pub strategy: String,
    /// Invariants that must be upheld; each of the others is shown, and decides nothing.
    pub required: Vec<Invariant>,
    /// What the run found; absent if the budget was spent before it began.
    pub ran: Option<CheckRun>,
}

/// A check that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    /// The run's directory, beside the gate's own file.
    pub run: String,
    /// The seed of the load.
    pub seed: u64,
    /// How long the check took: load, settling and judging. Absent in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// How long the load lasted. Absent in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<u64>,
    /// Shorter loads before it, which did not reach what I15 asks for.
    #[serde(default)]
    pub shorter: u32,
    /// The one command that repeats the run.
    pub repeat_command: String,
    /// What was found.
    pub verdict: VerdictReport,
    /// What was wanted beside correctness.
    pub objectives: Vec<Objective>,
    /// Files of operations that convict alone, beside the gate's own file.
    pub evidence: Vec<String>,
}

/// How fast the head is, and how fast the base was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// What was run for it.
    pub plan: Plan,
    /// Where: a baseline from elsewhere says nothing.
    pub environment: EnvironmentBlock,
    /// Loads of each side.
    pub rounds: u32,
    /// How long they took. Absent in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Ratios from 1 / (1 + tolerance) to 1 + tolerance are no difference that matters.
    pub tolerance: f64,
    /// What it means for the gate that a measure is undecided.
    #[serde(default)]
    pub undecided: Undecided,
    /// How the rounds of head and base lay in time.
    #[serde(default)]
    pub rounds_lay: RoundsLay,
    /// What it is compared with, in words; absent where it was only measured, to be a baseline
    /// later.
    pub base: Option<String>,
    /// Each number that is compared.
    pub measures: Vec<Measure>,
}

/// What an undecided measure means for a gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// Nothing: only a head that is surely slower counts.
    #[default]
    Passes,
    /// The gate is unknown: a decision is required.
    Fails,
}

/// How the rounds of head and base lay in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundsLay {
    /// In turns: a round of the head is compared with the round of the base beside it.
    InTurns,
    /// The base was measured before; medians are compared. Also all older files.
    #[default]
    Apart,
}

/// What the rounds say of the head beside the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The whole interval lies within the tolerance: no difference that matters.
    Equal,
    /// The whole interval lies beyond the tolerance, on the better side.
    Better,
    /// The whole interval lies beyond the tolerance, on the worse side.
    Worse,
    /// The interval lies on both sides of a limit: these rounds do not tell.
    Undecided,
}

/// A number of a load, of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Which.
    pub kind: MeasureKind,
    /// The head's rounds.
    pub head: Vec<f64>,
    /// The base's rounds; empty where there is no base.
    pub base: Vec<f64>,
    /// Head to base.
    pub ratio: Option<Estimate>,
    /// Head to head: what a ratio is when nothing has changed.
    pub noise: Option<Estimate>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Acknowledged reserves per second; more is better.
    ReservedPerS,
    /// 99th percentile of the response latency of reserves in microseconds; less is better.
    ResponseUsP99,
}

impl MeasureKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::ReservedPerS, Self::ResponseUsP99];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ReservedPerS => "reserves acknowledged per second",
            Self::ResponseUsP99 => "response p99 of reserves",
        }
    }

    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::ReservedPerS => quantity::rate(value),
            Self::ResponseUsP99 => quantity::duration_us(value.round().max(0.0) as u64),
        }
    }
}

impl Measure {
    /// What the rounds say; nothing where there is no base.
    pub fn decision(&self, tolerance: f64) -> Option<Decision> {
        let (least, most) = (1.0 / (1.0 + tolerance), 1.0 + tolerance);
        let Some(ratio) = self.ratio else {
            return (!self.base.is_empty()).then_some(Decision::Undecided);
        };
        let (less, more) = match self.kind {
            MeasureKind::ReservedPerS => (Decision::Worse, Decision::Better),
            MeasureKind::ResponseUsP99 => (Decision::Better, Decision::Worse),
        };
        Some(if ratio.high < least {
            less
        } else if ratio.low > most {
            more
        } else if ratio.low >= least && ratio.high <= most {
            Decision::Equal
        } else {
            Decision::Undecided
        })
    }

    /// Whether it is surely slower, and not the machine's noise.
    pub fn slower(&self, tolerance: f64) -> bool {
        self.decision(tolerance) == Some(Decision::Worse)
    }
}

impl Decision {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Undecided => "undecided",
        }
    }
}

impl Performance {
    /// The measures that are undecided where the gate requires a decision.
    pub(super) fn not_decided(&self) -> impl Iterator<Item = &Measure> {
        let undecided = |it: &&Measure| it.decision(self.tolerance) == Some(Decision::Undecided);
        let required = self.undecided == Undecided::Fails;
        self.measures.iter().filter(undecided).filter(move |_| required)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_decides_only_where_it_lies_on_one_side_of_a_limit() {
        let measure = |kind, low, high| Measure {
            kind,
            head: vec![1.0],
            base: vec![1.0],
            ratio: Some(Estimate { median: f64::midpoint(low, high), low, high }),
            noise: None,
        };
        let rate = |low, high| measure(MeasureKind::ReservedPerS, low, high).decision(0.1);
        let p99 = |low, high| measure(MeasureKind::ResponseUsP99, low, high).decision(0.1);
        assert_eq!(rate(0.5, 0.95), Some(Decision::Undecided), "it may be within");
        assert_eq!(
            (rate(0.5, 0.85), p99(0.5, 0.85)),
            (Some(Decision::Worse), Some(Decision::Better))
        );
        assert_eq!(
            (rate(1.2, 1.5), p99(1.2, 1.5)),
            (Some(Decision::Better), Some(Decision::Worse))
        );
        assert_eq!(rate(0.95, 1.05), Some(Decision::Equal));
        assert_eq!(p99(0.5, 1.9), Some(Decision::Undecided));
        let alone =
            Measure { base: vec![], ratio: None, ..measure(MeasureKind::ReservedPerS, 1.0, 1.0) };
        assert_eq!(alone.decision(0.1), None, "it was only recorded");
    }
}
