//! Why the evidence of a run could not be collected.

use std::{io, time::Duration};

use slotproof_scenarios::target::file::TargetError;

/// Why the evidence of a run could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The database does not answer, or refuses.
    #[error("failed to read the database after the load: {0}")]
    Database(#[from] sqlx::Error),
    /// The database holds a value that the vocabulary does not have.
    #[error("failed to read the database after the load: {0}")]
    Value(String),
    /// A slot whose id the reference service cannot have given.
    #[error("slot `{slot}` is not an id of the reference service; its rows cannot be read")]
    ForeignSlot {
        /// The id.
        slot: String,
    },
    /// A bucket was left between two shards.
    #[error(
        "no shard owns the bucket of slot {slot}: a move was interrupted; slotproof rebalance ends it"
    )]
    Unowned {
        /// One of the slots in it.
        slot: String,
    },
    /// The database did not come to rest.
    #[error("{what} still at work after {} s", waited.as_secs())]
    Restless {
        /// Connections that did not end or did not stand still.
        what: String,
        /// The limit.
        waited: Duration,
    },
    /// The service cannot be probed.
    #[error("failed to probe the settled service: {0}")]
    Probe(#[from] TargetError),
    /// The probes cannot be recorded.
    #[error("failed to write the run: {0}")]
    Files(#[from] io::Error),
    /// The run directory cannot be written.
    #[error("failed to write the run: {0:#}")]
    Run(anyhow::Error),
}
