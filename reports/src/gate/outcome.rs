//! The outcome of a gate: the worst of its checks, and whether the head is slower than the base.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Finding, Invariant, Verdict};

use super::data::{Check, CheckRun, Gate, Performance};
use crate::{quantity, tone::Tone};

/// The outcome of a gate. The worst wins, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// Everything required was upheld, and every objective met.
    Passed,
    /// Everything required was upheld, and an objective was missed.
    Missed,
    /// Something required was not decided.
    Unknown,
    /// Something required was violated.
    Violated,
}

impl GateOutcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Missed => "objective missed",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Passed => Tone::Good,
            Self::Missed | Self::Unknown => Tone::Uncertain,
            Self::Violated => Tone::Bad,
        }
    }
}

impl Check {
    /// The finding on an invariant; absent where the run was not judged by it.
    pub(super) fn finding(&self, invariant: Invariant) -> Option<&Finding> {
        let findings = self.ran.iter().flat_map(|ran| &ran.verdict.findings);
        findings.into_iter().find(|finding| finding.invariant == invariant)
    }

    /// The outcome of the check. A required invariant without a finding is unknown.
    pub fn outcome(&self) -> GateOutcome {
        let Some(ran) = &self.ran else { return GateOutcome::Unknown };
        let of =
            |invariant: &Invariant| match self.finding(*invariant).map(|finding| finding.verdict) {
                Some(Verdict::Violated) => GateOutcome::Violated,
                Some(Verdict::Unknown) | None => GateOutcome::Unknown,
                Some(Verdict::Upheld) => GateOutcome::Passed,
            };
        let correct = self.required.iter().map(of).max().unwrap_or(GateOutcome::Unknown);
        let missed = ran.objectives.iter().any(|objective| !objective.met);
        correct.max(if missed { GateOutcome::Missed } else { GateOutcome::Passed })
    }

    /// The first required invariant that decided against it.
    fn deciding(&self) -> Option<&Finding> {
        let found = |verdict| {
            let required = self.required.iter().filter_map(|invariant| self.finding(*invariant));
            required.into_iter().find(|finding| finding.verdict == verdict)
        };
        found(Verdict::Violated).or_else(|| found(Verdict::Unknown))
    }

    /// What decided its outcome, as a fragment.
    pub(super) fn reason(&self) -> String {
        let Some(ran) = &self.ran else {
            return "not run: the budget was spent before it began".to_owned();
        };
        if let Some(finding) = self.deciding() {
            return format!("{}: {}", finding.invariant, finding.summary);
        }
        let missing = self.required.iter().find(|invariant| self.finding(**invariant).is_none());
        if let Some(missing) = missing {
            return format!("{missing} is required, and the run has no evidence to judge it by");
        }
        let missed = ran.objectives.iter().find(|objective| !objective.met);
        match missed {
            Some(missed) => format!("{} {}, limit {}", missed.name, missed.measured, missed.limit),
            None => self.upheld(ran),
        }
    }

    fn upheld(&self, ran: &CheckRun) -> String {
        let not_judged: Vec<String> =
            ran.verdict.not_judged.iter().map(ToString::to_string).collect();
        let not_judged = match not_judged.as_slice() {
            [] => String::new(),
            some => format!("; not judged: {}", some.join(" ")),
        };
        format!(
            "{} upheld over {}{not_judged}",
            quantity::counted(self.required.len() as u64, "required invariant"),
            quantity::counted(ran.verdict.operations, "operation")
        )
    }
}

impl Gate {
    /// Version of the shape that this code writes and reads.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The outcome of the gate.
    pub fn outcome(&self) -> GateOutcome {
        let checks = self.checks.iter().map(Check::outcome).max().unwrap_or(GateOutcome::Unknown);
        let performance = self.performance.as_ref().map(Performance::outcome);
        checks.max(performance.unwrap_or(GateOutcome::Passed))
    }
}

impl Performance {
    /// What it means for the gate.
    fn outcome(&self) -> GateOutcome {
        if self.not_decided().next().is_some() {
            GateOutcome::Unknown
        } else if self.measures.iter().any(|measure| measure.slower(self.tolerance)) {
            GateOutcome::Missed
        } else {
            GateOutcome::Passed
        }
    }
}
