//! Is the head slower than the base? Both run the same plan, in turns; the head runs twice in each
//! round, so that the noise of this machine is known. The verdict is by the statistics of `compare`:
//! ratios inside a round, and a margin. A base that was recorded earlier has no rounds in common with
//! the head; there medians are compared.
//!
//! Each measurement is a whole `slotproof run` of its own: a base may be another version, of which
//! nothing is asked but that it knows the plan.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use slotproof_reports::{
    RunReport,
    estimate::Estimate,
    gate::{Gate, Measure, MeasureKind, Performance, RoundsLay},
    run_report::EnvironmentBlock,
};
use slotproof_vocabulary::{Plan, UsageError};
use tokio::process::Command;

use super::{GateSpec, config::PerformanceConfig, elapsed_ms};
use slotproof_evidence::RunDirectory;

use crate::{
    machine::Machine,
    progress::Progress,
    spec::command_of,
    statistics::{ratio_of_medians, ratios_to},
};

/// What the head is compared with.
#[derive(Debug, Clone)]
pub enum Baseline {
    /// Nothing: what is measured will be a baseline itself.
    Record,
    /// Another build of Slotproof, whose reference service is the base.
    Program(PathBuf),
    /// What an earlier gate measured on this machine.
    Stored(PathBuf, Box<Performance>),
}

impl Baseline {
    /// # Errors
    /// Neither a program nor the directory of a gate that measured.
    pub fn read(path: &Path) -> Result<Self, UsageError> {
        let refused = |reason: &str| {
            UsageError(format!(
                "--baseline {}: {reason}; give the directory of an earlier gate that was run with --record, or another build of slotproof",
                path.display()
            ))
        };
        if path.is_file() {
            let program = path.canonicalize().map_err(|error| refused(&error.to_string()))?;
            let version = std::process::Command::new(&program).arg("--version").output();
            let version =
                version.map_err(|error| refused(&format!("it cannot be run: {error}")))?;
            if !version.stdout.starts_with(b"slotproof ") {
                return Err(refused("that program is not a build of slotproof"));
            }
            return Ok(Self::Program(program));
        }
        let file = path.join("gate.json");
        let text = fs::read(&file)
            .map_err(|error| refused(&format!("failed to read {}: {error}", file.display())))?;
        let gate: Gate = serde_json::from_slice(&text).map_err(|error| {
            refused(&format!("{} is not a gate.json of this version: {error}", file.display()))
        })?;
        let performance =
            gate.performance.ok_or_else(|| refused("that gate measured no performance"))?;
        if performance.measures.iter().all(|measure| measure.head.is_empty()) {
            return Err(refused("that gate measured nothing"));
        }
        Ok(Self::Stored(path.to_owned(), Box::new(performance)))
    }

    /// Refuses a baseline that was recorded by another plan or on another machine: all that can be
    /// known before anything is begun.
    ///
    /// # Errors
    /// Says in what it differs.
    pub(crate) fn is_of_this_machine(&self, plan: &Plan) -> Result<(), UsageError> {
        let Self::Stored(path, stored) = self else { return Ok(()) };
        if (Plan { seed: plan.seed, ..stored.plan.clone() }) != *plan {
            let (theirs, ours) = (command_of(&stored.plan), command_of(plan));
            return Err(refused(path, "plan", &theirs, &ours));
        }
        let (theirs, ours) = (Machine::of(&stored.environment), Machine::here());
        if theirs != ours {
            return Err(refused(path, "machine", &theirs.to_string(), &ours.to_string()));
        }
        Ok(())
    }

    /// Refuses a baseline that was recorded on other servers.
    ///
    /// # Errors
    /// Says in what they differ.
    pub(crate) fn is_of_these_servers(&self, here: &EnvironmentBlock) -> Result<(), UsageError> {
        let Self::Stored(path, stored) = self else { return Ok(()) };
        let (theirs, ours) = (servers(&stored.environment), servers(here));
        if theirs != ours {
            return Err(refused(path, "environment", &theirs, &ours));
        }
        Ok(())
    }
}

fn refused(path: &Path, what: &str, theirs: &str, ours: &str) -> UsageError {
    UsageError(format!(
        "--baseline {}: it was measured with another {what} ({theirs}; here it is {ours}), and says \
         nothing about this one; record it here again",
        path.display()
    ))
}

fn servers(block: &EnvironmentBlock) -> String {
    let each = block.servers.iter().map(|server| format!("{} {}", server.name, server.version));
    let each = each.collect::<Vec<_>>().join(", ");
    format!("{}, {} replicas, {each}", block.kind, block.replicas)
}

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Head,
    HeadAgain,
    Base,
}

/// Measures the rounds of every side.
///
/// # Errors
/// A run that could not be made, or a baseline that says nothing about here.
pub(crate) async fn measure(
    config: &PerformanceConfig,
    baseline: &Baseline,
    spec: &GateSpec,
    run: &RunDirectory,
    here: &EnvironmentBlock,
    progress: &dyn Progress,
) -> Result<Performance> {
    let head = std::env::current_exe()?;
    let begun = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(config.plan.seed);
    let mut reports: Vec<(Side, RunReport)> = Vec::new();
    for round in 1..=config.rounds {
        let plan = Plan { seed: config.plan.seed + u64::from(round), ..config.plan.clone() };
        let mut sides = vec![Side::Head, Side::HeadAgain];
        sides.extend(matches!(baseline, Baseline::Program(_)).then_some(Side::Base));
        sides.shuffle(&mut rng);
        for side in sides {
            let program = match (side, baseline) {
                (Side::Base, Baseline::Program(base)) => base,
                _ => &head,
            };
            reports.push((side, one(program, &plan, spec, run).await?));
        }
        progress.line(&format!("  performance: round {round} of {} is done", config.rounds));
    }
    let measures = MeasureKind::ALL.into_iter().map(|kind| {
        let of = |wanted: Side| -> Vec<f64> {
            let of_side = reports.iter().filter(|(side, _)| *side == wanted);
            of_side.filter_map(|(_, report)| value(kind, report)).collect()
        };
        let (head, again) = (of(Side::Head), of(Side::HeadAgain));
        let both = [head.clone(), again.clone()].concat();
        let (base, ratio, noise) = match baseline {
            Baseline::Record => (Vec::new(), None, ratio(1, 0, &[head, again])),
            Baseline::Program(_) => {
                let rows = [of(Side::Base), head, again];
                let (to_base, noise) = (ratio(1, 0, &rows), ratio(2, 1, &rows));
                let [base, ..] = rows;
                (base, to_base, noise)
            }
            Baseline::Stored(_, stored) => {
                let base = stored.measures.iter().find(|measure| measure.kind == kind);
                let base = base.map(|measure| measure.head.clone()).unwrap_or_default();
                let to_base = ratio_of_medians(&both, &base);
                (base, to_base, ratio(1, 0, &[head, again]))
            }
        };
        Measure { kind, head: both, base, ratio, noise }
    });
    Ok(Performance {
        plan: config.plan.clone(),
        environment: here.clone(),
        rounds: config.rounds,
        took_ms: Some(elapsed_ms(begun)),
        tolerance: config.tolerance,
        undecided: config.undecided,
        rounds_lay: match baseline {
            Baseline::Program(_) => RoundsLay::InTurns,
            Baseline::Record | Baseline::Stored(..) => RoundsLay::Apart,
        },
        base: match baseline {
            Baseline::Record => None,
            Baseline::Program(path) => Some(format!("the build {}", name(path))),
            Baseline::Stored(path, _) => Some(format!("what {} measured", name(path))),
        },
        measures: measures.collect(),
    })
}

/// A row beside another one, by the statistics of `compare`: paired by round, with an interval that
/// holds at 95 % for all measures together.
fn ratio(over: usize, under: usize, rows: &[Vec<f64>]) -> Option<Estimate> {
    ratios_to(under, rows, 0.05 / MeasureKind::ALL.len() as f64)[over]
}

/// The last part of a path: the whole would name somebody's machine.
fn name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn value(kind: MeasureKind, report: &RunReport) -> Option<f64> {
    match kind {
        MeasureKind::ReservedPerS => Some(report.totals.reserved_per_s),
        MeasureKind::ResponseUsP99 => {
            let reserve = report
                .latency
                .iter()
                .find(|it| it.operation == "reserve" && it.outcome.is_none())?;
            Some(reserve.response.us_p99 as f64)
        }
    }
}

async fn knows_topologies(program: &Path) -> Result<bool> {
    let help = Command::new(program).args(["run", "--help"]).output().await;
    let help = help.with_context(|| format!("ask {} for its help", program.display()))?;
    Ok(String::from_utf8_lossy(&help.stdout).contains("--topology"))
}

/// A whole run by one program, in a process of its own.
async fn one(
    program: &Path,
    plan: &Plan,
    spec: &GateSpec,
    run: &RunDirectory,
) -> Result<RunReport> {
    run.write_json("performance-plan.json", plan)?;
    let stack = &spec.experiment.stack;
    // A program of before there were topologies starts everything.
    let arguments = match knows_topologies(program).await? {
        true => stack.run_arguments(),
        false => stack.arguments(),
    };
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg("--plan")
        .arg(run.file("performance-plan.json"))
        .arg("--runs")
        .arg(run.path())
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("run {}", program.display()))?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    // Whatever its verdict and objectives: those are the checks' business, and a negative control
    // may be the base.
    anyhow::ensure!(
        output.status.code().is_some_and(|code| code <= 3),
        "{} could not run the plan, and ended with {}:\n{}",
        program.display(),
        output.status,
        said()
    );
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let text = fs::read(directory.join("run.json"))
        .with_context(|| format!("read what {} has measured", program.display()))?;
    Ok(RunReport::from_json(&text)?)
}
