//! `gate.json`: the checks of a merge, the outcome of each, and how fast head and base were.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{EnvironmentBlock, Invariant, Plan, StrategyKind, VerdictReport};

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
    /// The strategy of the service.
    pub strategy: StrategyKind,
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
    /// How much worse it may be, as a share.
    pub tolerance: f64,
    /// What it is compared with, in words; absent where it was only measured, to be a baseline
    /// later.
    pub base: Option<String>,
    /// Each number that is compared.
    pub measures: Vec<Measure>,
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
    /// Whether the whole interval lies beyond the tolerance: then it is slower, and not the
    /// machine's noise.
    pub fn slower(&self, tolerance: f64) -> bool {
        self.ratio.is_some_and(|ratio| match self.kind {
            MeasureKind::ReservedPerS => ratio.high < 1.0 - tolerance,
            MeasureKind::ResponseUsP99 => ratio.low > 1.0 + tolerance,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interval_that_lies_beyond_the_tolerance_is_slower() {
        let measure = |kind, low, high| Measure {
            kind,
            head: vec![],
            base: vec![],
            ratio: Some(Estimate { median: f64::midpoint(low, high), low, high }),
            noise: None,
        };
        assert!(!measure(MeasureKind::ReservedPerS, 0.5, 0.95).slower(0.1), "it may be within");
        assert!(measure(MeasureKind::ReservedPerS, 0.5, 0.85).slower(0.1));
        assert!(!measure(MeasureKind::ReservedPerS, 1.2, 1.5).slower(0.1), "it is faster");
        assert!(!measure(MeasureKind::ResponseUsP99, 1.05, 1.9).slower(0.1), "it may be within");
        assert!(measure(MeasureKind::ResponseUsP99, 1.2, 1.9).slower(0.1));
    }
}
