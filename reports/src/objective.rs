//! Objectives: limits that a team sets. Missing one is no violation: the bookings are right, and the
//! service is too slow or does not answer.

use serde::{Deserialize, Serialize};

/// A limit, and what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// What is limited.
    pub name: String,
    /// The limit, as people read it.
    pub limit: String,
    /// What was measured, as people read it.
    pub measured: String,
    /// Whether it was kept.
    pub met: bool,
}
