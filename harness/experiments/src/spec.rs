//! What every experiment has in common.

use std::path::PathBuf;

use slotproof_stack::{StackSpec, Topology, faults::Fault};
use slotproof_vocabulary::{Plan, StrategyKind};

use crate::trial::TrialSpec;

/// The stack of an experiment, and where its results go.
#[derive(Debug, Clone)]
pub struct ExperimentSpec {
    /// What the service runs on.
    pub stack: StackSpec,
    /// Where run directories are made.
    pub runs: PathBuf,
    /// The command that repeats the experiment.
    pub repeat_command: String,
}

impl ExperimentSpec {
    /// The same experiment on another topology.
    pub(crate) fn on(&self, topology: &Topology) -> Self {
        let stack = StackSpec { topology: topology.clone(), ..self.stack.clone() };
        Self { stack, ..self.clone() }
    }

    /// A trial of this experiment. The command that repeats it is that of its plan on this stack.
    pub(crate) fn trial(
        &self,
        plan: Plan,
        strategy: StrategyKind,
        faults: Vec<Fault>,
    ) -> TrialSpec {
        let stack = self.stack.run_arguments().join(" ");
        let faults_again: String = faults.iter().map(|it| format!(" {}", it.argument())).collect();
        let repeat_command = format!("{} {stack}{faults_again}", command_of(&plan));
        let experiment = Self { repeat_command, ..self.clone() };
        TrialSpec { experiment, plan, strategy, faults, wired_before: None, shorter: Vec::new() }
    }
}

/// The command that runs a plan. The keys of a plan file are its flags, so its own JSON says them.
pub fn command_of(plan: &Plan) -> String {
    let words = serde_json::to_value(plan).expect("a plan is words and numbers");
    let mut words: Vec<_> = words.as_object().expect("a plan has named words").iter().collect();
    words.sort_by_key(|(word, _)| !matches!(word.as_str(), "scenario" | "strategy"));
    let mut command = "slotproof run".to_owned();
    for (word, value) in words {
        let value = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(stages) => {
                let stages: Vec<_> = stages.iter().filter_map(serde_json::Value::as_str).collect();
                stages.join(",")
            }
            number => number.to_string(),
        };
        command.push_str(&format!(" --{} {value}", word.replace('_', "-")));
    }
    command
}
