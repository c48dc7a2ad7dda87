//! `run.json`: everything that a report of one run is drawn from.
//!
//! Versioned, and complete: a renderer reads this and nothing else, so a report can be drawn again
//! years later from the one file. Units are in the names; instants are milliseconds since the load
//! began, unless a name says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{ArrivalTotals, Plan, Verdict, VerdictReport};

use crate::objective::Objective;

pub use slotproof_vocabulary::environment::{EnvironmentBlock, FsyncCalibration, ServerBlock};

/// One run, summarised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Version of this shape: [`RunReport::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of the run directory, which names the run.
    pub run: String,
    /// When the run began (UTC, RFC 3339).
    pub started_at: String,
    /// The version of Slotproof that made the run.
    pub slotproof_version: String,
    /// The one command that repeats the run.
    pub repeat_command: String,
    /// What was asked for.
    pub plan: Plan,
    /// Where it ran.
    pub environment: EnvironmentBlock,
    /// What was found.
    pub verdict: VerdictReport,
    /// Limits of this run, and whether it kept them.
    pub objectives: Vec<Objective>,
    /// The measured time in numbers; what the warm-up did is judged and not counted.
    pub totals: Totals,
    /// One entry for each operation and outcome that occurred, and one for each operation over all
    /// that were decided. Of operations that were scheduled in the window, whenever they returned.
    pub latency: Vec<Latency>,
    /// One entry for each second of the load.
    pub timeline: Vec<Second>,
    /// Seats left over time for the slots where most happened (at most
    /// [`RunReport::SEATS_SERIES_MAX`]).
    pub seats: Vec<SeatsSeries>,
    /// CPU and memory of each group of processes.
    pub resources: Vec<Resource>,
    /// What the database counted, where it lets itself be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
    /// What was done to the service under load, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultEffect>,
    /// Loads before this one, each half as long as the next, that did not reach what I15 asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shorter: Vec<ShorterLoad>,
}

/// A fault that was injected, or a move under load, and what clients noticed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEffect {
    /// As the command line says it.
    pub fault: String,
    /// When it began, in milliseconds since the load did, warm-up included.
    pub began_ms: u64,
    /// When it was over.
    pub ended_ms: u64,
    /// The longest time in which no operation was decided, of those that overlap it, in
    /// milliseconds.
    pub longest_gap_ms: u64,
    /// The same before it began.
    pub longest_gap_before_ms: u64,
    /// Operations that ended while it lasted.
    pub operations: u64,
    /// Those of them that got no decision.
    pub undecided: u64,
    /// What it said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Why it did not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A load that did not reach what I15 asks for, and was made again for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShorterLoad {
    /// The name of its run directory.
    pub run: String,
    /// Length of its measured window.
    pub lasted_ms: u64,
    /// Operations that were judged.
    pub operations: u64,
}

impl RunReport {
    /// Version of the shape that this code writes and reads.
    pub const SCHEMA_VERSION: u32 = 3;
    /// Slots whose seats are drawn: more lines than this cannot be told apart.
    pub const SEATS_SERIES_MAX: usize = 4;

    /// The objectives that were missed.
    pub fn missed(&self) -> impl Iterator<Item = &Objective> {
        self.objectives.iter().filter(|objective| !objective.met)
    }

    /// Whether every invariant was upheld and an objective was missed: neither green nor red.
    pub fn is_upheld_with_a_miss(&self) -> bool {
        self.verdict.verdict == Verdict::Upheld && self.missed().next().is_some()
    }
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Length of the measured window.
    pub window_ms: u64,
    /// From the end of the window to the last return. It is part of no rate.
    pub drain_ms: u64,
    /// Operations that returned inside the window. All counts and rates below are of these, unless
    /// they say otherwise.
    pub operations: u64,
    /// Operations by outcome; those that found no connection are `not_connected`, and not
    /// `rejected`.
    pub outcomes: BTreeMap<String, u64>,
    /// Operations that returned after the window, likewise.
    pub drained: BTreeMap<String, u64>,
    /// Reserves that were acknowledged.
    pub reserved: u64,
    /// Confirms that were acknowledged.
    pub confirmed: u64,
    /// Cancels that were acknowledged.
    pub cancelled: u64,
    /// Acknowledged reserves per second of the window.
    pub reserved_per_s: f64,
    /// Acknowledged confirms per second of the window.
    pub confirmed_per_s: f64,
    /// Operations per second of the window.
    pub operations_per_s: f64,
    /// Operations without a decision, those that returned after the window included.
    pub errors: Errors,
    /// Requests beyond the first of an operation: resent because no answer had come.
    pub resends: u64,
    /// Visitors of an open workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<ArrivalTotals>,
}

/// Operations that got no decision ([`ErrorClass`](slotproof_vocabulary::ErrorClass)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Operations that returned from the beginning of the window on.
    pub of: u64,
    /// Those of them without a decision, by class: `not_connected`, `throttled`, `unknown`.
    pub by_class: BTreeMap<String, u64>,
    /// The same by process of the service, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_replica: Vec<ReplicaErrors>,
}

/// What the clients of one process of the service were told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaErrors {
    /// Where it listened.
    pub address: String,
    /// Operations that were sent to it.
    pub of: u64,
    /// Those of them without a decision.
    pub errors: u64,
}

impl Errors {
    /// Operations without a decision.
    pub fn count(&self) -> u64 {
        self.by_class.values().sum()
    }

    /// Their share of all operations, 0 to 1.
    pub fn share(&self) -> f64 {
        self.count() as f64 / self.of.max(1) as f64
    }
}

impl ReplicaErrors {
    /// Whether it served nobody.
    pub fn is_down(&self) -> bool {
        self.errors == self.of && self.of > 0
    }
}

/// How long one kind of operation took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// `reserve`, `confirm`, `cancel`, `read`.
    pub operation: String,
    /// The outcome, or `not_connected`; absent for all operations that were decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Operations.
    pub count: u64,
    /// returned - scheduled: what a user feels, the queue in front of a stalled service included.
    pub response: Percentiles,
    /// returned - sent: what the service took.
    pub service: Percentiles,
    /// sent - scheduled: how late the generator was.
    pub lag: Percentiles,
}

/// A distribution of durations in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub us_p50: u64,
    /// 90th percentile.
    pub us_p90: u64,
    /// 99th percentile.
    pub us_p99: u64,
    /// 99.9th percentile.
    pub us_p999: u64,
    /// Largest.
    pub us_max: u64,
    /// The curve: (quantile from 0 to 1, microseconds), rising in both.
    pub curve: Vec<(f64, u64)>,
}

/// One second of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which: 0 is the first. Operations count in the second in which they returned.
    pub second: u32,
    /// Operations by outcome; those that found no connection are `not_connected`.
    pub outcomes: BTreeMap<String, u64>,
    /// Response latency of the operations that returned in this second and were decided; 0 where
    /// none were.
    pub response_us_p50: u64,
    /// The same, 99th percentile.
    pub response_us_p99: u64,
    /// Service latency, median.
    pub service_us_p50: u64,
    /// Service latency, 99th percentile.
    pub service_us_p99: u64,
    /// Response latency as a histogram: (bucket, operations), a bucket being [`Second::bucket`] of
    /// the microseconds. Empty in older reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_buckets: Vec<(u8, u64)>,
}

impl Second {
    /// Buckets of a decade: steps of a factor of 1.58.
    const PER_DECADE: f64 = 5.0;

    /// The bucket of a duration.
    pub fn bucket(us: u64) -> u8 {
        (Self::PER_DECADE * (us.max(1) as f64).log10()) as u8
    }

    /// Where a bucket begins, in microseconds.
    pub fn bucket_from_us(bucket: u8) -> f64 {
        10_f64.powf(f64::from(bucket) / Self::PER_DECADE)
    }
}

/// Seats of one slot over time, from what clients were told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeatsSeries {
    /// The slot.
    pub slot: String,
    /// Seats that it has.
    pub capacity: i64,
    /// (milliseconds since the load began, seats left at least promised away: capacity minus the
    /// seats that clients must have held at that instant), as steps. Below zero is an overbooking.
    pub points: Vec<(f64, i64)>,
}

/// CPU and memory of a group of processes over the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// `load`, `service`, `postgresql`, `redis`, `rabbitmq`, `harness`.
    pub group: String,
    /// CPU time used while the load ran.
    pub cpu_ms: u64,
    /// Largest memory seen: proportional set size, in which pages shared by n processes count for
    /// 1/n in each.
    pub memory_bytes_max: u64,
    /// (second of the load, CPU milliseconds used in it).
    pub cpu_ms_by_second: Vec<(u32, u64)>,
}

/// What a load cost the database beside time, from before the service started until it had stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Tries of reserves beyond the first, inside the service: by the processes that answer requests
    /// and by the workers of a queue.
    pub retries: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions rolled back.
    pub rollbacks: u64,
    /// Flushes of the write-ahead log.
    pub wal_syncs: u64,
    /// Connections that waited for a lock under load, on average; absent where it could not be
    /// read.
    pub lock_waiters: Option<f64>,
    /// Bytes of write-ahead log that were written; absent where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_bytes: Option<u64>,
    /// By how much the database has grown; absent where it shrank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<u64>,
    /// Who answered reads of slots; absent where the database has no standbys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_reads: Option<SlotReads>,
    /// How far the standbys were behind; empty where the database has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<StandbyLag>,
    /// What clients of the pooler waited for; absent where requests go through none, or a fault has
    /// killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler: Option<PoolerWaits>,
    /// What the cache answered; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_reads: Option<CacheReads>,
}

/// What went through a pooler under load, and how long its clients waited for a connection of the
/// database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolerWaits {
    /// Transactions, single statements included.
    pub transactions: u64,
    /// Waits, added up over all clients.
    pub waited_us: u64,
}

/// How far a standby was behind its primary, by looks at `pg_stat_replication` under load. A standby
/// that was not connected is not in a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandbyLag {
    /// The component.
    pub name: String,
    /// Looks in which it was connected.
    pub looks: u64,
    /// Bytes of the write-ahead log that it had not replayed, on average.
    pub bytes_mean: f64,
    /// The most of them.
    pub bytes_max: u64,
}

/// Reads of slots and bookings of a service with a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheReads {
    /// The cache answered.
    pub hits: u64,
    /// It had nothing.
    pub absent: u64,
    /// It had an older version than the client has seen.
    pub behind: u64,
    /// It had something older than declared.
    pub stale: u64,
    /// It did not answer.
    pub unavailable: u64,
    /// Fills that were refused, because a later version has been there.
    pub fills_refused: u64,
    /// How long ago the answers of the cache had been read from the database, on average.
    pub age_ms_mean: u64,
    /// The same of the oldest answer.
    pub age_ms_max: u64,
}

impl CacheReads {
    /// All reads.
    pub fn all(&self) -> u64 {
        self.hits + self.absent + self.behind + self.stale + self.unavailable
    }
}

/// Reads of slots by the server that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotReads {
    /// A standby.
    pub standby: u64,
    /// The primary.
    pub primary: u64,
}
