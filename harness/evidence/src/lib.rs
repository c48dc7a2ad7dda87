//! What is kept of a run: its directory, and, once the load has ended, the end state and the audit
//! log of the service.
//!
//! [`collect()`] waits until the service has settled, probes it as one more client, and reads what
//! the database kept. Only [`reference`] knows the tables of the reference service; everywhere else
//! the evidence is rows and records of the vocabulary.

mod error;

mod collect;
mod costs;
pub mod reference;
mod target;

mod manifest;
pub mod run_directory;

pub use collect::{Past, Place, collect, probe_target};
pub use costs::CostWatch;
pub use error::EvidenceError;
pub use reference::{ReferenceDatabase, ReferenceShards};
pub use run_directory::{LoadEnd, RunDirectory};
pub use target::{LogEvidence, ReadLog, RowsEvidence, TargetEvidence, TargetRows};
