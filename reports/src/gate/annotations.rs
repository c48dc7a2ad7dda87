//! What a gate says outside its page: annotations of a workflow, and a badge.

use super::{
    data::{Check, Gate},
    document::{not_decided, slower},
    outcome::GateOutcome,
};
use crate::{printable::one_line, quantity};

/// Annotations of each kind that GitHub Actions takes from a step; it drops the others.
const OF_A_KIND_MAX: usize = 10;

impl Gate {
    /// Lines that GitHub Actions shows beside a merge: ten errors, violations before what is
    /// undecided, then ten warnings, a slower head before missed objectives. The last of ten counts
    /// the checks that were left out.
    pub fn annotations(&self) -> Vec<String> {
        let of = |outcome| {
            let checks = self.checks.iter().filter(move |check| check.outcome() == outcome);
            checks.map(Annotation::of)
        };
        let performance = |sentence| Annotation {
            title: "slotproof: performance".to_owned(),
            lines: vec![sentence],
        };
        let not_decided = self.performance.iter().flat_map(not_decided).map(performance);
        let errors = of(GateOutcome::Violated).chain(of(GateOutcome::Unknown)).chain(not_decided);
        let errors = errors.collect();
        let slower = self.performance.iter().flat_map(slower).map(performance);
        let warnings = slower.chain(of(GateOutcome::Missed)).collect();
        let errors = commands("error", errors, "violated or unknown");
        errors.chain(commands("warning", warnings, "missing an objective")).collect()
    }

    /// A badge, as shields.io reads it from an address.
    pub fn badge(&self) -> String {
        let (message, color) = match self.outcome() {
            GateOutcome::Passed => ("never overbooked", "brightgreen"),
            GateOutcome::Missed => ("objective missed", "yellow"),
            GateOutcome::Unknown => ("unknown", "lightgrey"),
            GateOutcome::Violated => ("violated", "red"),
        };
        format!(
            "{{\"schemaVersion\":1,\"label\":\"slotproof\",\"message\":\"{message}\",\"color\":\"{color}\"}}\n"
        )
    }
}

/// What GitHub Actions shows in a box.
struct Annotation {
    title: String,
    lines: Vec<String>,
}

impl Annotation {
    fn of(check: &Check) -> Self {
        let outcome = check.outcome().word();
        let repeat = check.ran.as_ref().map(|ran| format!("repeat: {}", ran.repeat_command));
        Self {
            title: format!("slotproof: {} {outcome} with {}", check.name, check.strategy),
            lines: [check.reason()].into_iter().chain(repeat).collect(),
        }
    }

    fn command(&self, kind: &str) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| one_line(line)).collect();
        format!(
            "::{kind} title={}::{}",
            property(&one_line(&self.title)),
            message(&lines.join("\n"))
        )
    }
}

/// As many as are taken.
fn commands(
    kind: &'static str,
    mut all: Vec<Annotation>,
    what: &str,
) -> impl Iterator<Item = String> {
    let left_out = all.len().saturating_sub(OF_A_KIND_MAX);
    all.truncate(OF_A_KIND_MAX);
    if left_out > 0
        && let Some(last) = all.last_mut()
    {
        let more = quantity::counted(left_out as u64, "more check");
        last.lines.push(format!("{more} {what}, without an annotation: see report.html"));
    }
    all.into_iter().map(move |annotation| annotation.command(kind))
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

/// The message of a workflow command.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_command_stays_one_line() {
        assert_eq!(message("a\nb 5%"), "a%0Ab 5%25");
        assert_eq!(property("I1: a, b"), "I1%3A a%2C b");
    }
}
