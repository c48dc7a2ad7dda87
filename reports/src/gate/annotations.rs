//! What a gate says outside its page: annotations of a workflow, and a badge.

use super::{
    data::{Check, Gate},
    outcome::GateOutcome,
};

/// Annotations of each kind that GitHub Actions takes from a step; it drops the others.
const OF_A_KIND_MAX: usize = 10;

impl Gate {
    /// Lines that GitHub Actions shows beside a merge: ten errors, violations before what is
    /// undecided, then ten warnings of missed objectives.
    pub fn annotations(&self) -> Vec<String> {
        let lines = |kind: &'static str, outcome: GateOutcome| {
            let checks = self.checks.iter().filter(move |check| check.outcome() == outcome);
            checks.map(move |check| annotation(kind, check))
        };
        let errors =
            lines("error", GateOutcome::Violated).chain(lines("error", GateOutcome::Unknown));
        let warnings = lines("warning", GateOutcome::Missed);
        errors.take(OF_A_KIND_MAX).chain(warnings.take(OF_A_KIND_MAX)).collect()
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

fn annotation(kind: &str, check: &Check) -> String {
    let title =
        format!("slotproof: {} {} with {}", check.name, check.outcome().word(), check.strategy);
    let repeat = check.ran.as_ref().map(|ran| format!("\nrepeat: {}", ran.repeat_command));
    let text = format!("{}{}", check.reason(), repeat.unwrap_or_default());
    format!("::{kind} title={}::{}", property(&title), message(&text))
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
