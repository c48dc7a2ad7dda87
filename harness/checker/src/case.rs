//! What is judged.

use std::collections::BTreeMap;

use slotproof_vocabulary::{AuditRecord, EndState, Expectation, LoadTotals};

use crate::History;

/// A run, as evidence.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// What the clients observed.
    pub history: History,
    /// Seats of each slot at the beginning, known from where the slots were made: the number that
    /// the service reports is evidence, not truth.
    pub capacity: i64,
    /// Seats of the slots that have another capacity.
    pub capacities: BTreeMap<String, i64>,
    /// Every change of state that the service logged, if it keeps such a log.
    pub audit: Option<Vec<AuditRecord>>,
    /// The rows after the run had settled, if they can be read: read after the last operation of
    /// the history had returned.
    pub end: Option<EndState>,
    /// The client that tried to buy the free seats after the run had settled.
    pub prober: Option<u64>,
    /// What the run must have reached (I15).
    pub expectations: Vec<Expectation>,
    /// Who wrote the history.
    pub origin: Origin,
    /// The totals of the load engine, if the load ended in order.
    pub load: Option<LoadTotals>,
}

/// Who wrote a history: it decides what follows from a history that breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Another system: its lines may be in any order.
    #[default]
    Foreign,
    /// Our recorder: each client's operations are in their order, and only its client changes a
    /// booking. So a history that breaks off holds a prefix of what each client did.
    Recorder,
}

/// No number of seats is larger: sums of them must fit an `i64`.
const SEATS_MAX: i64 = 1_000_000_000;

/// A number of seats that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {field} = {value} is outside -1,000,000,000 to 1,000,000,000")]
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

    /// Refuses evidence with numbers of seats that would overflow.
    ///
    /// # Errors
    /// Names the first one.
    pub fn validate(&self) -> Result<(), CaseError> {
        for (index, operation) in self.history.indexed() {
            let place = || format!("line {} of the history", index + 1);
            let seen = &operation.seen;
            in_range("available", seen.available, place)?;
            in_range("pending", seen.pending, place)?;
            in_range("confirmed", seen.confirmed, place)?;
            in_range("capacity", seen.capacity, place)?;
        }
        for (index, record) in self.audit.iter().flatten().enumerate() {
            let place = || format!("line {} of the audit log", index + 1);
            in_range("seats", Some(record.seats), place)?;
            in_range("available", Some(record.available), place)?;
        }
        for row in self.end.iter().flat_map(|end| &end.slots) {
            let place = || format!("the final row of slot {}", row.slot);
            in_range("capacity", Some(row.capacity), place)?;
            in_range("available", Some(row.available), place)?;
        }
        for row in self.end.iter().flat_map(|end| &end.bookings) {
            in_range("seats", Some(row.seats), || {
                format!("the final row of booking {}", row.booking)
            })?;
        }
        Ok(())
    }
}

fn in_range(
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
            .expect_err("out of range")
            .to_string();
        assert!(error.starts_with("line 2 of the history"), "{error}");
    }
}
