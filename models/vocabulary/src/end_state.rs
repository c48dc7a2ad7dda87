//! What is left when the run has settled: rows and audit log, read by the harness after the last
//! answer.
//!
//! Ids are opaque strings here, as in a history: another system's probe can fill the same shapes.

use serde::{Deserialize, Serialize};

use crate::reference_api::BookingStatus;

/// The rows at the end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndState {
    /// An instant just before the rows were read, on the clock of the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_ns: Option<u64>,
    /// Every slot of the run.
    pub slots: Vec<SlotRow>,
    /// Every booking of those slots, whatever its status.
    pub bookings: Vec<BookingRow>,
    /// What consumers made of the events, if there was a broker to carry them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
    /// What rows that were read from another API leave unsaid; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignRows>,
}

/// Rows of another API than the reference service: they are bookings alone, and pending ones do not
/// say when they run out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignRows {
    /// Whether a booking that is cancelled or expired still has a row.
    pub ended_are_kept: bool,
    /// Whether every reserve of the run that took effect shows in them, by its key.
    pub by_key: bool,
    /// Whether the run made the slots, so that every booking in them is one of its clients'.
    pub own_slots: bool,
}

/// What came of the announcements of changes of state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// Changes that were still waiting to be announced, or announcements to be applied, when
    /// patience ended.
    pub waiting: u64,
    /// Every message that was sent, in the order of slot, version and sending.
    pub notices: Vec<Notice>,
    /// Changes of state and their seats, as the analytics counted them.
    pub counts: Vec<StatusCount>,
}

/// A message about one change of state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The slot.
    pub slot: String,
    /// The slot's version that the change wrote.
    pub version: i64,
    /// The booking that changed.
    pub booking: String,
    /// Its status after.
    pub status: BookingStatus,
}

/// How many changes led to a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusCount {
    /// The status.
    pub status: BookingStatus,
    /// Changes of state.
    pub changes: i64,
    /// Seats of the bookings that changed.
    pub seats: i64,
}

/// A slot's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRow {
    /// The slot.
    pub slot: String,
    /// Seats that it has.
    pub capacity: i64,
    /// Seats that its counter says are left.
    pub available: i64,
    /// Changes that it counted.
    pub version: i64,
}

/// A booking's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookingRow {
    /// The booking.
    pub booking: String,
    /// Its slot.
    pub slot: String,
    /// Where it is in its life.
    pub status: BookingStatus,
    /// Seats.
    pub seats: i64,
    /// The idempotency key that made it, or another mark of its reserve; `None` where rows have
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For a pending booking: how long its hold had run out when the row was read (database clock);
    /// negative while it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_ms: Option<i64>,
}

/// One change of state of one booking, as the service logged it in the change's own transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// The slot.
    pub slot: String,
    /// The slot's version that this change wrote: 1, 2, 3, ... without a gap.
    pub version: i64,
    /// The booking that changed.
    pub booking: String,
    /// Its status before; absent when the change made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BookingStatus>,
    /// Its status after.
    pub to: BookingStatus,
    /// Its seats.
    pub seats: i64,
    /// Seats that the slot's counter said were left after the change.
    pub available: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_of_rows_and_records_are_pinned() {
        let slot = SlotRow { slot: "s".to_owned(), capacity: 9, available: 7, version: 2 };
        let booking = BookingRow {
            booking: "b".to_owned(),
            slot: "s".to_owned(),
            status: BookingStatus::Pending,
            seats: 2,
            key: Some("k".to_owned()),
            overdue_ms: Some(-40),
        };
        let record = AuditRecord {
            slot: "s".to_owned(),
            version: 2,
            booking: "b".to_owned(),
            from: Some(BookingStatus::Pending),
            to: BookingStatus::Confirmed,
            seats: 2,
            available: 7,
        };
        insta::assert_json_snapshot!((
            EndState {
                read_ns: Some(7),
                slots: vec![slot],
                bookings: vec![booking],
                announced: None,
                foreign: None,
            },
            record
        ));
    }
}
