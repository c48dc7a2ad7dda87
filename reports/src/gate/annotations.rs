//! What a gate says outside its page: annotations of a workflow, and a badge.

use super::{
    data::{Check, Gate},
    outcome::GateOutcome,
};

impl Gate {
    /// Lines that GitHub Actions shows beside a merge: it takes ten of each kind from a step.
    pub fn annotations(&self) -> Vec<String> {
        const MOST: usize = 10;
        let line = |check: &Check| {
            let kind = match check.outcome() {
                GateOutcome::Passed => return None,
                GateOutcome::Missed => "warning",
                GateOutcome::Unknown | GateOutcome::Violated => "error",
            };
            let repeat = check
                .ran
                .as_ref()
                .map(|ran| format!("\nrepeat: {}", ran.repeat_command))
                .unwrap_or_default();
            let title = format!(
                "slotproof: {} {} with {}",
                check.name,
                check.outcome().word(),
                check.strategy
            );
            Some(format!(
                "::{kind} title={}::{}",
                property(&title),
                message(&format!("{}{repeat}", check.reason()))
            ))
        };
        self.checks.iter().filter_map(line).take(MOST).collect()
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
