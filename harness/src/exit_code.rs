//! Exit codes, for those who decide by them. The one place where errors and verdicts meet numbers.

use std::process::ExitCode;

use slotproof_evidence::EvidenceError;
use slotproof_reports::{RunReport, gate};
use slotproof_scenarios::target::file::TargetError;
use slotproof_stack::{EnvironmentError, ReplicaError, faults::FaultError};
use slotproof_target_service::months::MonthsError;
use slotproof_vocabulary::{UsageError, Verdict};

/// An exit code with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(u8);

/// Every invariant was upheld.
pub(crate) const UPHELD: Code = Code(0);
/// Some invariant was violated.
pub(crate) const VIOLATED: Code = Code(1);
/// The evidence does not decide.
pub(crate) const UNKNOWN: Code = Code(2);
/// An objective was missed, and nothing else.
pub(crate) const MISSED: Code = Code(3);
/// The command line, a plan or an input file is wrong (`EX_USAGE` of sysexits.h).
pub(crate) const USAGE: Code = Code(64);
/// The environment cannot be had (`EX_UNAVAILABLE`).
pub(crate) const UNAVAILABLE: Code = Code(69);
/// A bug, or a machine that fails under us (`EX_SOFTWARE`).
pub(crate) const INTERNAL: Code = Code(70);
/// Ended by Ctrl-C or SIGTERM, as shells say it.
pub(crate) const INTERRUPTED: Code = Code(130);

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.0)
    }
}

/// The run was ended from outside.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; everything that was started has been ended, and the logs are kept")]
pub(crate) struct Interrupted;

pub(crate) fn of_verdict(verdict: Verdict) -> Code {
    match verdict {
        Verdict::Upheld => UPHELD,
        Verdict::Violated => VIOLATED,
        Verdict::Unknown => UNKNOWN,
    }
}

/// A missed objective does not turn a verdict: it keeps an upheld run from being green.
pub(crate) fn of_run(report: &RunReport) -> Code {
    if report.is_upheld_with_a_miss() {
        return MISSED;
    }
    of_verdict(report.verdict.verdict)
}

pub(crate) fn of_gate(outcome: gate::GateOutcome) -> Code {
    match outcome {
        gate::GateOutcome::Passed => UPHELD,
        gate::GateOutcome::Missed => MISSED,
        gate::GateOutcome::Unknown => UNKNOWN,
        gate::GateOutcome::Violated => VIOLATED,
    }
}

pub(crate) fn of_error(error: &anyhow::Error) -> Code {
    if error.is::<UsageError>() {
        USAGE
    } else if let Some(error) = error.downcast_ref::<TargetError>() {
        match error {
            TargetError::File(_) => USAGE,
            TargetError::Setup(_) | TargetError::Connections(_) => UNAVAILABLE,
        }
    } else if let Some(error) = error.downcast_ref::<EnvironmentError>() {
        match error {
            EnvironmentError::NotLoopback { .. }
            | EnvironmentError::BadUrl { .. }
            | EnvironmentError::OnlyNative { .. }
            | EnvironmentError::ExternalShards(_)
            | EnvironmentError::PoolTooSmall { .. } => USAGE,
            EnvironmentError::MissingProgram { .. }
            | EnvironmentError::TooOld { .. }
            | EnvironmentError::Process(_)
            | EnvironmentError::Unreachable { .. }
            | EnvironmentError::NotOurs { .. }
            | EnvironmentError::Replication { .. }
            | EnvironmentError::NoUnprivilegedUser
            | EnvironmentError::WithoutContainers
            | EnvironmentError::Container { .. }
            | EnvironmentError::Files { .. } => UNAVAILABLE,
        }
    } else if let Some(error) = error.downcast_ref::<MonthsError>() {
        if error.is_refusal() { USAGE } else { UNAVAILABLE }
    } else if error.is::<ReplicaError>()
        || error.is::<FaultError>()
        || error.is::<EvidenceError>()
        || error.is::<slotproof_target_service::StartError>()
        || error.is::<slotproof_target_service::sharding::ShardError>()
    {
        UNAVAILABLE
    } else if error.is::<Interrupted>() {
        INTERRUPTED
    } else {
        INTERNAL
    }
}
