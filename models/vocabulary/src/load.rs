//! What a load was, in a few numbers.

use serde::{Deserialize, Serialize};

/// A load that ended in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadTotals {
    /// Operations in the history.
    pub operations: u64,
    /// When the measured time began, on the history's clock: what was scheduled before is warm-up.
    pub measured_from_ns: u64,
    /// When the measured window ended, on the same clock: what returned later is drain.
    pub measured_until_ns: u64,
    /// Visitors of an open workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<ArrivalTotals>,
}

/// Visitors of an open workload.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalTotals {
    /// Visitors that the schedule has, the warm-up included.
    pub asked: u64,
    /// Those that came.
    pub made: u64,
    /// The most that ever waited because no client was free to be them.
    pub waiting_max: u64,
    /// Visitors due in the measured time, per second of it.
    pub asked_per_s: f64,
    /// Those of them that came within it, per second of it.
    pub made_per_s: f64,
}
