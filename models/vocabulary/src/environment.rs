//! The environment of a run: the machine, the servers and their settings. A figure without it means
//! nothing.
//!
//! The harness writes it when it starts the servers, stores it as `environment.json`, and the
//! reports show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `environment.json`: when, with which version and where a run was made, and how to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunContext {
    /// When the run began (UTC, RFC 3339).
    pub started_at: String,
    /// The version of Slotproof that made the run.
    pub slotproof_version: String,
    /// The one command that repeats the run.
    pub repeat_command: String,
    /// Where it ran.
    pub environment: EnvironmentBlock,
}

/// The machine and the servers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentBlock {
    /// `native`, `containers` or `external`.
    pub kind: String,
    /// CPUs that the harness may use.
    pub cpus: u32,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The kernel's name and release.
    pub kernel: String,
    /// Service processes that the load was spread over.
    pub replicas: u32,
    /// The topology; absent where a target file describes the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<TopologyBlock>,
    /// How long a durable 8 KiB write takes where the database keeps its data; absent where the
    /// harness cannot write there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsync: Option<FsyncCalibration>,
    /// How long the database takes to commit durably: one connection of its own, transactions that
    /// write one log record each. Absent where it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable_commit: Option<FsyncCalibration>,
    /// The servers that were started or found.
    pub servers: Vec<ServerBlock>,
}

/// The topology of a run, as far as a verdict or a figure rests on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyBlock {
    /// Its name.
    pub name: String,
    /// What it is, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Whether it is broken on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negative_control: bool,
    /// Its servers; absent in runs of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentBlock>,
    /// How old a read of a slot may be, as the topology declares; absent where it declares nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_ms: Option<u64>,
    /// The same of a read of a booking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booking_stale_ms: Option<u64>,
}

/// A server of a topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentBlock {
    /// Its name.
    pub name: String,
    /// What it runs, as in a topology file.
    pub kind: String,
    /// The component that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// What the service uses it for, as the topology file says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// A calibration of durable writes, one after the other, before the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FsyncCalibration {
    /// Writes made.
    pub samples: u32,
    /// Median.
    pub us_p50: u64,
    /// 99th percentile.
    pub us_p99: u64,
}

/// One server of the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerBlock {
    /// Its kind, as in a topology file: `postgresql`, `redis`, `rabbitmq`.
    pub name: String,
    /// The version that the server reports.
    pub version: String,
    /// Settings that a figure depends on, as the server reports them.
    pub settings: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_measured_has_no_key_and_reads_back_as_absent() {
        let block = EnvironmentBlock {
            kind: "external".to_owned(),
            cpus: 2,
            memory_bytes: 1,
            kernel: "Linux".to_owned(),
            replicas: 1,
            topology: None,
            fsync: None,
            durable_commit: Some(FsyncCalibration { samples: 1, us_p50: 2, us_p99: 3 }),
            servers: Vec::new(),
        };
        let text = serde_json::to_string(&block).expect("it has no map with odd keys");
        let absent = !text.contains("fsync") && !text.contains("topology");
        assert!(absent && text.contains("durable_commit"), "{text}");
        assert_eq!(serde_json::from_str::<EnvironmentBlock>(&text).expect("our own"), block);
    }
}
