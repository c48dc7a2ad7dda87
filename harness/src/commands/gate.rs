//! `slotproof gate`: what CI runs before a merge.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec,
    gate::{GateSpec, config::GateConfig, gate, performance::Baseline},
    target_run::Left,
    target_series::TargetSpec,
};
use slotproof_reports::gate::Gate;
use slotproof_vocabulary::{StrategyKind, UsageError};

use super::{
    conduct, end_target, init_tracing,
    stack_args::{StackArgs, repeat},
};
use crate::{
    console::Console,
    exit_code::{self, Code},
    output,
};

const EXAMPLES: &str = "Examples:
  slotproof gate --config ci/gate.toml
      every check of the file; exit 0 if all that it requires was upheld

  slotproof gate --config ci/gate-target.toml --target your-api.toml
      checks your own booking API, as its target file describes it

  slotproof gate --config ci/gate.toml --strategy unprotected
      tests the gate itself with a negative control: exit 1, and junit.xml has the witness

  slotproof gate --config ci/gate.toml --baseline target/base/slotproof
      compares the performance with another build, interleaved, on this machine

  slotproof gate --config ci/gate.toml --record
      measures a baseline; a later gate on this machine takes its directory as --baseline

Exit codes: 0 passed, 1 violated, 2 unknown (too little coverage, or the budget was spent), 3 only an objective was missed.
On GitHub Actions it prints annotations, and adds its summary to the step's.";

/// The largest summary of a step that GitHub accepts.
const SUMMARY_BYTES_MAX: usize = 1024 * 1024;

/// Arguments of `slotproof gate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What is required; docs: ci/README.md
    #[arg(long, default_value = "ci/gate.toml", value_name = "FILE")]
    config: PathBuf,

    /// These strategies or negative controls, instead of those of each check.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    strategy: Vec<StrategyKind>,

    /// Check the booking API of this target file, instead of the reference service; the file of the
    /// gate may name one too.
    #[arg(long, value_name = "FILE", conflicts_with = "strategy")]
    target: Option<PathBuf>,

    /// With --target: a host beside this machine that may be loaded; the file must allow it too.
    #[arg(long, value_name = "HOST", requires = "target")]
    allow: Vec<String>,

    /// Compare performance with another build of slotproof, or with the directory of an earlier
    /// gate of this machine.
    #[arg(long, value_name = "PROGRAM|DIRECTORY", conflicts_with = "record")]
    baseline: Option<PathBuf>,

    /// Measure performance, to be a baseline later.
    #[arg(long)]
    record: bool,

    /// Where the directory of the gate is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print gate.json on standard output, instead of the report's path.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    let spec = spec(args)?;
    let console = Console::of_stderr();
    if let Some(target) = &spec.config.target {
        // Before anything is started.
        target.read()?;
    }
    let conducted = conduct(async |guard| gate(&spec, guard, &console).await);
    if let Some(target) = &spec.config.target {
        end_target(&target.left, &console)?;
    }
    let (run, gate) = conducted?;
    note!();
    output::lines(&gate.document().markdown());
    tell_github(&gate);
    if args.json {
        out!("{}", serde_json::to_string_pretty(&gate)?);
    } else {
        out!("{}", run.file("report.html").display());
    }
    Ok(exit_code::of_gate(gate.outcome()))
}

fn spec(args: &Args) -> Result<GateSpec, UsageError> {
    let target = args.target.as_ref().map(|file| TargetSpec {
        file: file.clone(),
        allow: args.allow.clone(),
        left: Left::default(),
    });
    let config = GateConfig::read(&args.config, &args.strategy, target)?;
    let stack = args.stack.spec_for(config.checks.iter().filter_map(|check| check.strategy))?;
    let baseline = match (&args.baseline, args.record) {
        (Some(path), _) => Some(Baseline::read(path)?),
        (None, true) => Some(Baseline::Record),
        (None, false) => None,
    };
    if baseline.is_some() && config.performance.is_none() {
        let reason = format!(
            "{} has no [performance], so there is nothing to measure",
            args.config.display()
        );
        return Err(UsageError(reason));
    }
    let mut repeat_command = format!("slotproof gate --config {}", args.config.display());
    if !args.strategy.is_empty() {
        let names: Vec<_> = args.strategy.iter().map(|strategy| strategy.name()).collect();
        repeat_command.push_str(&format!(" --strategy {}", names.join(",")));
    }
    match &args.target {
        Some(target) => repeat_command.push_str(&format!(" --target {}", target.display())),
        None if config.target.is_some() => {}
        None => repeat_command.push_str(&format!(" {}", repeat(&stack))),
    }
    let experiment = ExperimentSpec { stack, runs: args.runs.clone(), repeat_command };
    Ok(GateSpec { experiment, config, baseline })
}

/// Annotations on standard output, where a step's commands are read, and the summary in the file
/// that the step is given for it.
fn tell_github(gate: &Gate) {
    if env::var_os("GITHUB_ACTIONS").is_some() {
        for line in gate.annotations() {
            out!("{line}");
        }
    }
    if let Some(path) = env::var_os("GITHUB_STEP_SUMMARY") {
        let path = Path::new(&path);
        // What is merged does not depend on it: the report has all that it says.
        if let Err(error) = append_summary(path, &gate.document().markdown()) {
            note!("warning: the step summary {} was not written: {error}", path.display());
        }
    }
}

fn append_summary(path: &Path, text: &str) -> io::Result<()> {
    if text.len() > SUMMARY_BYTES_MAX {
        let size = text.len();
        return Err(io::Error::other(format!(
            "its {size} bytes are more than the {SUMMARY_BYTES_MAX} that GitHub takes"
        )));
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}
