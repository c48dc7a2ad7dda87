//! `comparison.json`: strategies side by side.
//!
//! Every strategy is measured in every setting (a load and a number of clients), in rounds that
//! visit all of them in random order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{FsyncCalibration, Invariant, StrategyKind, Verdict};

use super::load::Load;
use crate::{estimate::Estimate, header::ReportHeader, quantity};

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version, name, origin and environment.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// How often each cell was measured.
    pub rounds: u32,
    /// Of the order of cells, and of every load.
    pub seed: u64,
    /// How long each load began new operations for.
    pub duration_ms: u64,
    /// A calibration of durable commits before each round.
    pub durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    /// Every strategy in every setting.
    pub cells: Vec<Cell>,
    /// Every ranked strategy beside the best of its setting.
    pub contrasts: Vec<Contrast>,
}

/// The goodput of a strategy beside that of the best in its setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The setting's load.
    pub load: Load,
    /// The setting's clients.
    pub clients: u32,
    /// Which strategy.
    pub strategy: StrategyKind,
    /// The strategy with the highest goodput.
    pub best: StrategyKind,
    /// Its goodput divided by that of the best, round by round: the geometric mean and a t
    /// interval that holds at 95 % for all contrasts of the comparison together. Absent of one
    /// round.
    pub ratio: Option<Estimate>,
}

/// What a contrast says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The whole interval lies within the margin: no difference that matters.
    Equal,
    /// The whole interval lies below the margin.
    Worse,
    /// The interval lies on both sides of a margin: these rounds do not tell.
    Undecided,
}

impl Contrast {
    /// Ratios from 1 / (1 + margin) to 1 + margin are no difference that matters.
    pub const MARGIN: f64 = 0.1;

    /// What it says.
    pub fn decision(&self) -> Decision {
        let least = 1.0 / (1.0 + Self::MARGIN);
        match self.ratio {
            Some(ratio) if ratio.high < least => Decision::Worse,
            Some(ratio) if ratio.low >= least && ratio.high <= 1.0 + Self::MARGIN => {
                Decision::Equal
            }
            _ => Decision::Undecided,
        }
    }
}

/// One strategy in one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which strategy.
    pub strategy: StrategyKind,
    /// The setting's load.
    pub load: Load,
    /// The setting's clients.
    pub clients: u32,
    /// The worst verdict of its rounds.
    pub verdict: Verdict,
    /// Invariants that convicted it in any round.
    pub convicted_by: BTreeSet<Invariant>,
    /// Invariants that were not decided in some round. I15 alone means that nothing was at stake in
    /// this setting.
    pub unknown_by: BTreeSet<Invariant>,
    /// What the deciding finding says, unless all was upheld.
    pub reason: Option<String>,
    /// Medians over the rounds; a metric that was not measured is absent.
    pub estimates: BTreeMap<Metric, Estimate>,
    /// The rounds one by one.
    pub rounds: Vec<BTreeMap<Metric, f64>>,
    /// The runs' directories, beside the comparison's own file.
    pub runs: Vec<String>,
}

/// What is measured of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Bookings per second that were confirmed.
    Goodput,
    /// Response latency of reserves in microseconds, median.
    ResponseUsP50,
    /// The same, 99th percentile.
    ResponseUsP99,
    /// The same, 99.9th percentile.
    ResponseUsP999,
    /// Tries of a reserve beyond the first, inside the service, per acknowledged reserve.
    RetriesPerBooking,
    /// Transactions rolled back per acknowledged reserve: conflicts.
    RollbacksPerBooking,
    /// The share of `sold_out` answers that nothing refutes.
    SoldOutAccuracy,
    /// Seats times seconds that a client asked for and was refused while they were free.
    WronglyRefusedSeatSeconds,
    /// Jain's index over the acknowledged reserves of clients: 1 is all alike, 1/n is one client
    /// has all.
    Fairness,
    /// Connections of the database that waited for a lock, on average.
    LockWaiters,
    /// Transactions that each flush of the log made durable.
    CommitsPerFsync,
    /// CPU of the load engine per operation, in microseconds.
    CpuUsLoad,
    /// CPU of the service per operation.
    CpuUsService,
    /// CPU of PostgreSQL per operation.
    CpuUsPostgresql,
    /// CPU of Redis per operation.
    CpuUsRedis,
    /// CPU of RabbitMQ per operation.
    CpuUsRabbitmq,
}

impl Metric {
    /// Every metric, in the order of tables.
    pub const ALL: [Self; 16] = [
        Self::Goodput,
        Self::ResponseUsP50,
        Self::ResponseUsP99,
        Self::ResponseUsP999,
        Self::RetriesPerBooking,
        Self::RollbacksPerBooking,
        Self::SoldOutAccuracy,
        Self::WronglyRefusedSeatSeconds,
        Self::Fairness,
        Self::LockWaiters,
        Self::CommitsPerFsync,
        Self::CpuUsLoad,
        Self::CpuUsService,
        Self::CpuUsPostgresql,
        Self::CpuUsRedis,
        Self::CpuUsRabbitmq,
    ];

    /// As the head of a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Goodput => "confirmed bookings / s",
            Self::ResponseUsP50 => "response p50",
            Self::ResponseUsP99 => "p99",
            Self::ResponseUsP999 => "p99.9",
            Self::RetriesPerBooking => "retries per booking",
            Self::RollbacksPerBooking => "rollbacks per booking",
            Self::SoldOutAccuracy => "sold_out accuracy",
            Self::WronglyRefusedSeatSeconds => "seat-seconds wrongly refused",
            Self::Fairness => "fairness (Jain)",
            Self::LockWaiters => "connections waiting for a lock",
            Self::CommitsPerFsync => "commits per fsync",
            Self::CpuUsLoad => "CPU per operation: load",
            Self::CpuUsService => "service",
            Self::CpuUsPostgresql => "PostgreSQL",
            Self::CpuUsRedis => "Redis",
            Self::CpuUsRabbitmq => "RabbitMQ",
        }
    }

    /// A value of it as people read it.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Goodput
            | Self::RetriesPerBooking
            | Self::RollbacksPerBooking
            | Self::WronglyRefusedSeatSeconds
            | Self::LockWaiters
            | Self::CommitsPerFsync => quantity::rate(value),
            Self::SoldOutAccuracy => format!("{:.2} %", value * 100.0),
            Self::Fairness => format!("{value:.3}"),
            Self::ResponseUsP50
            | Self::ResponseUsP99
            | Self::ResponseUsP999
            | Self::CpuUsLoad
            | Self::CpuUsService
            | Self::CpuUsPostgresql
            | Self::CpuUsRedis
            | Self::CpuUsRabbitmq => quantity::duration_us(value.round().max(0.0) as u64),
        }
    }
}

impl Comparison {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 2;
}
