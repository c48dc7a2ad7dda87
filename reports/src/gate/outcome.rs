//! What a gate comes to: the worst of its checks, and whether the head is slower than the base.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Finding, Invariant, Verdict};

use super::data::{Check, Gate};
use crate::quantity;

/// What a gate comes to. The worst wins, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// Everything required was upheld, and every objective met.
    Passed,
    /// Correct as far as anybody saw, and an objective was missed.
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
}

impl Check {
    /// What a required invariant came to: what nobody judged is unknown.
    pub(super) fn finding(&self, invariant: Invariant) -> Option<&Finding> {
        let findings = self.ran.iter().flat_map(|ran| &ran.verdict.findings);
        findings.into_iter().find(|finding| finding.invariant == invariant)
    }

    /// What the check comes to.
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

    pub(super) fn why(&self) -> String {
        let Some(ran) = &self.ran else { return "the budget was spent before it began".to_owned() };
        if let Some(finding) = self.deciding() {
            return format!("{}: {}", finding.invariant, finding.summary);
        }
        if let Some(missing) =
            self.required.iter().find(|invariant| self.finding(**invariant).is_none())
        {
            return format!("{missing} is required, and nothing was there to judge it by");
        }
        match ran.objectives.iter().find(|objective| !objective.met) {
            Some(missed) => {
                format!("{} is {}, and {} is the limit", missed.name, missed.measured, missed.limit)
            }
            None => {
                let not_judged: Vec<String> =
                    ran.verdict.not_judged.iter().map(ToString::to_string).collect();
                let left = if not_judged.is_empty() {
                    String::new()
                } else {
                    format!("; not judged here: {}", not_judged.join(" "))
                };
                let operations = quantity::count(ran.verdict.operations);
                format!(
                    "{} invariants upheld over {operations} operations{left}",
                    self.required.len()
                )
            }
        }
    }
}

impl Gate {
    /// Version of the shape that this code writes and reads.
    pub const SCHEMA_VERSION: u32 = 1;

    /// What it comes to.
    pub fn outcome(&self) -> GateOutcome {
        let slower = self.performance.iter().any(|performance| {
            performance.measures.iter().any(|measure| measure.slower(performance.tolerance))
        });
        let checks = self.checks.iter().map(Check::outcome).max().unwrap_or(GateOutcome::Unknown);
        checks.max(if slower { GateOutcome::Missed } else { GateOutcome::Passed })
    }
}
