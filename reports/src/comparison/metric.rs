//! What is measured of a variant under a load.

use serde::{Deserialize, Serialize};

use crate::quantity;

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
    /// Transactions that were committed per confirmed booking, over the whole run: making the slots,
    /// settling and probing are in it.
    CommitsPerBooking,
    /// Bytes of write-ahead log per confirmed booking, likewise.
    WalBytesPerBooking,
    /// CPU of the service and its servers per confirmed booking, in microseconds.
    CpuUsPerBooking,
    /// That of the service alone.
    CpuUsService,
    /// That of PostgreSQL alone.
    CpuUsPostgresql,
    /// That of Redis alone.
    CpuUsRedis,
    /// That of RabbitMQ alone.
    CpuUsRabbitmq,
    /// That of standbys, poolers and caches.
    CpuUsOthers,
    /// CPU of the load engine per operation, in microseconds.
    CpuUsLoad,
    /// The share of reserves that were told `sold_out` or refused.
    RefusedShare,
    /// The share of operations without a decision.
    NoDecisionShare,
    /// From the end of the offered load until the last of it was answered, in microseconds.
    RecoveryUs,
}

impl Metric {
    /// Every metric, in the order of tables.
    pub const ALL: [Self; 23] = [
        Self::Goodput,
        Self::ResponseUsP50,
        Self::ResponseUsP99,
        Self::ResponseUsP999,
        Self::NoDecisionShare,
        Self::RefusedShare,
        Self::RecoveryUs,
        Self::RetriesPerBooking,
        Self::RollbacksPerBooking,
        Self::SoldOutAccuracy,
        Self::WronglyRefusedSeatSeconds,
        Self::Fairness,
        Self::LockWaiters,
        Self::CommitsPerFsync,
        Self::CommitsPerBooking,
        Self::WalBytesPerBooking,
        Self::CpuUsPerBooking,
        Self::CpuUsService,
        Self::CpuUsPostgresql,
        Self::CpuUsRedis,
        Self::CpuUsRabbitmq,
        Self::CpuUsOthers,
        Self::CpuUsLoad,
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
            Self::CommitsPerBooking => "commits per booking, whole run",
            Self::WalBytesPerBooking => "WAL per booking, whole run",
            Self::CpuUsPerBooking => "CPU per booking",
            Self::CpuUsService => "of the service",
            Self::CpuUsPostgresql => "of PostgreSQL",
            Self::CpuUsRedis => "of Redis",
            Self::CpuUsRabbitmq => "of RabbitMQ",
            Self::CpuUsOthers => "of standbys, poolers, caches",
            Self::CpuUsLoad => "CPU of the load engine per operation",
            Self::RefusedShare => "reserves refused",
            Self::NoDecisionShare => "without a decision",
            Self::RecoveryUs => "recovery",
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
            | Self::CommitsPerFsync
            | Self::CommitsPerBooking => quantity::rate(value),
            Self::SoldOutAccuracy | Self::RefusedShare | Self::NoDecisionShare => {
                format!("{:.2} %", value * 100.0)
            }
            Self::Fairness => format!("{value:.3}"),
            Self::WalBytesPerBooking => quantity::bytes(value.round().max(0.0) as u64),
            Self::ResponseUsP50
            | Self::ResponseUsP99
            | Self::ResponseUsP999
            | Self::CpuUsPerBooking
            | Self::CpuUsService
            | Self::CpuUsPostgresql
            | Self::CpuUsRedis
            | Self::CpuUsRabbitmq
            | Self::CpuUsOthers
            | Self::CpuUsLoad
            | Self::RecoveryUs => quantity::duration_us(value.round().max(0.0) as u64),
        }
    }
}
