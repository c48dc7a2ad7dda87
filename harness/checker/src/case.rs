//! What is judged.

use std::collections::BTreeMap;

use slotproof_vocabulary::{AuditRecord, EndState, Expectation};

use crate::History;

/// A run as evidence.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// What the clients saw.
    pub history: History,
    /// Seats of a slot that the end state does not name.
    pub capacity: i64,
    /// Every change of state that the service logged, if it keeps such a log.
    pub audit: Option<Vec<AuditRecord>>,
    /// The rows after the run had settled, if they can be read.
    pub end: Option<EndState>,
    /// The client that, once the run had settled, tried to buy what was left.
    pub prober: Option<u64>,
    /// What the run must have reached to be worth judging.
    pub expectations: Vec<Expectation>,
}

impl Case {
    /// Seats of a slot.
    pub(crate) fn capacity_of(&self, slot: &str) -> i64 {
        let rows = self.end.iter().flat_map(|end| &end.slots);
        rows.filter(|row| row.slot == slot).map(|row| row.capacity).next().unwrap_or(self.capacity)
    }

    /// Seats of every slot that occurs anywhere.
    pub(crate) fn capacities(&self) -> BTreeMap<&str, i64> {
        let from_history =
            self.history.operations.iter().map(|operation| (operation.slot.as_str(), self.capacity));
        let from_rows =
            self.end.iter().flat_map(|end| &end.slots).map(|row| (row.slot.as_str(), row.capacity));
        // The rows come last and win.
        from_history.chain(from_rows).collect()
    }
}
