//! The header of a report about several runs: its version, its name, where and when it was made.
//!
//! `run.json` has the same facts under keys of its own (`run` for the name, the plan before the
//! environment), so that files of earlier versions stay readable byte for byte.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::RunContext;

/// What a comparison, a capacity search and a gate begin with. In JSON all fields lie flat in the
/// report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportHeader {
    /// Version of the report's shape.
    pub schema_version: u32,
    /// The name of the report's directory.
    pub name: String,
    /// When, with which version and where it was made, and how to repeat it.
    #[serde(flatten)]
    pub context: RunContext,
}

impl ReportHeader {
    /// The last line of a page: who made it, and from what.
    pub(crate) fn made_by(&self, data_file: &str) -> String {
        format!(
            "Made by slotproof {} from {data_file} alone, schema version {}.",
            self.context.slotproof_version, self.schema_version
        )
    }
}
