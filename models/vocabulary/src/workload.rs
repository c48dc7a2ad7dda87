//! Workloads: who arrives when, and how clients connect.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::span::{Span, Stage};

/// Who arrives when.
#[derive(Debug, Clone, PartialEq)]
pub enum Workload {
    /// A fixed number of clients, each of which starts a new flow after it has finished one and
    /// paused: a slow service slows them down.
    Closed {
        /// Concurrent clients, each with at most one operation in flight.
        clients: u32,
        /// Mean pause between two flows of a client; each pause is drawn uniformly from half of it
        /// to one and a half of it.
        think: Span,
        /// How long clients start operations.
        duration: Span,
    },
    /// Users that arrive by a schedule, whatever the service does.
    Open {
        /// Clients that take the arrivals: the most flows in progress at once.
        clients: u32,
        /// How arrivals are spaced.
        arrivals: Arrivals,
        /// The rate, one stage after the other.
        stages: Vec<Stage>,
        /// The limit of the p99 send lag, above which the figures mean nothing.
        lag_limit: Span,
    },
}

impl Workload {
    /// Clients: all of a closed workload, the pool of an open one.
    pub fn clients(&self) -> u32 {
        match self {
            Self::Closed { clients, .. } | Self::Open { clients, .. } => *clients,
        }
    }

    /// How long clients start operations, the warm-up excluded.
    pub fn duration(&self) -> Span {
        match self {
            Self::Closed { duration, .. } => *duration,
            Self::Open { stages, .. } => length(stages),
        }
    }
}

/// The length of stages together.
pub(crate) fn length(stages: &[Stage]) -> Span {
    Span(stages.iter().fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.lasts.0)))
}

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly.
    Constant,
    /// Independently: a Poisson process with the rate of the stages, on the condition that it has
    /// as many arrivals as the plan asks for.
    Poisson,
}

/// How clients connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Sockets {
    /// One pool for all clients: as many connections as operations in flight.
    Shared,
    /// One connection for each client, as browsers have.
    Own,
}
