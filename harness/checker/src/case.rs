//! What is judged.

use std::collections::BTreeMap;

use slotproof_vocabulary::{AuditRecord, EndState, Expectation, LoadTotals};

use crate::History;

/// A run as evidence.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// What the clients saw.
    pub history: History,
    /// Seats of each slot, as whoever made the slots knows it: what the service says of it is
    /// evidence, not truth.
    pub capacity: i64,
    /// Seats of the slots that have another number of them.
    pub capacities: BTreeMap<String, i64>,
    /// Every change of state that the service logged, if it keeps such a log.
    pub audit: Option<Vec<AuditRecord>>,
    /// The rows after the run had settled, if they can be read: read after the last operation of
    /// the history had returned.
    pub end: Option<EndState>,
    /// The client that, once the run had settled, tried to buy what was left.
    pub prober: Option<u64>,
    /// What the run must have reached to be worth judging.
    pub expectations: Vec<Expectation>,
    /// Who wrote the history.
    pub origin: Origin,
    /// What the load engine says of the load, if it ended in order.
    pub load: Option<LoadTotals>,
}

/// Who wrote a history: what may be concluded from a part of it depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Somebody else, in any order.
    #[default]
    Foreign,
    /// Our recorder: each client's operations in their order, and nobody but its client changes a
    /// booking. So what is left of a history that breaks off has a beginning of what each client
    /// did.
    Recorder,
}

/// Numbers beyond this are no seats: sums of them must not leave an `i64`.
const SEATS_MAX: i64 = 1_000_000_000;

/// A number that cannot be what it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} has {value} as its {field}, and no such number of seats exists")]
pub struct CaseError {
    place: String,
    field: &'static str,
    value: i64,
}

impl Case {
    /// Seats of a slot.
    pub fn capacity_of(&self, slot: &str) -> i64 {
        self.capacities.get(slot).copied().unwrap_or(self.capacity)
    }

    /// Refuses evidence with absurd numbers, which would overflow and prove anything.
    ///
    /// # Errors
    /// Names the first one.
    pub fn validate(&self) -> Result<(), CaseError> {
        for (index, operation) in self.history.indexed() {
            let place = || format!("line {} of the history", index + 1);
            let seen = &operation.seen;
            sane("available", seen.available, place)?;
            sane("pending", seen.pending, place)?;
            sane("confirmed", seen.confirmed, place)?;
            sane("capacity", seen.capacity, place)?;
        }
        for (index, record) in self.audit.iter().flatten().enumerate() {
            let place = || format!("line {} of the audit log", index + 1);
            sane("seats", Some(record.seats), place)?;
            sane("available", Some(record.available), place)?;
        }
        for row in self.end.iter().flat_map(|end| &end.slots) {
            let place = || format!("the row of slot {}", row.slot);
            sane("capacity", Some(row.capacity), place)?;
            sane("available", Some(row.available), place)?;
        }
        for row in self.end.iter().flat_map(|end| &end.bookings) {
            sane("seats", Some(row.seats), || format!("the row of booking {}", row.booking))?;
        }
        Ok(())
    }
}

fn sane(
    field: &'static str,
    value: Option<i64>,
    place: impl Fn() -> String,
) -> Result<(), CaseError> {
    match value {
        Some(value) if !(-SEATS_MAX..=SEATS_MAX).contains(&value) => {
            Err(CaseError { place: place(), field, value })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::{case, read};

    #[test]
    fn a_number_that_would_overflow_is_refused_with_its_place() {
        assert!(case(9, vec![read(9, 0, 1)]).validate().is_ok());
        let error = case(9, vec![read(9, 0, 1), read(i64::MIN, 0, 1)])
            .validate()
            .expect_err("absurd")
            .to_string();
        assert!(error.starts_with("line 2 of the history"), "{error}");
    }
}
