//! Operations, rows and records for tests, in as few words as they need. The slot is `s`; a
//! booking's key is `key-` and its id.

use slotproof_vocabulary::{
    AuditRecord, BookingRow, BookingStatus, EndState, Finding, ForeignRows, Invariant, Operation,
    Outcome, Seen, SlotRow, operation_builder,
};

use crate::{Case, History};

pub(crate) fn ms(ms: u64) -> u64 {
    ms * 1_000_000
}

pub(crate) fn history(operations: Vec<Operation>) -> History {
    History::of(operations)
}

/// A case with nothing but a history, on a slot of `capacity` seats.
pub(crate) fn case(capacity: i64, operations: Vec<Operation>) -> Case {
    Case { history: history(operations), capacity, ..Case::default() }
}

/// What a case is judged to be by one invariant.
pub(crate) fn only(case: &Case, invariant: Invariant) -> Finding {
    let findings = crate::judge(case).findings;
    findings.into_iter().find(|finding| finding.invariant == invariant).expect("it was judged")
}

pub(crate) fn reserve(booking: &str, seats: u32, sent_ns: u64, returned_ns: u64) -> Operation {
    let reserve = operation_builder::reserve("s").by(1).seats(seats).at(sent_ns, returned_ns);
    reserve.key(format!("key-{booking}")).booked(booking)
}

pub(crate) fn sold_out(seats: u32, sent_ns: u64, returned_ns: u64) -> Operation {
    let reserve = operation_builder::reserve("s").by(1).seats(seats).at(sent_ns, returned_ns);
    reserve.key(format!("refused-{sent_ns}-{returned_ns}")).sold_out()
}

pub(crate) fn confirm(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    operation_builder::confirm("s", booking).by(1).at(sent_ns, returned_ns).ok()
}

pub(crate) fn cancel(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    operation_builder::cancel("s", booking).by(1).at(sent_ns, returned_ns).ok()
}

/// A booking that is read.
pub(crate) fn booking(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    operation_builder::booking("s", booking).by(1).at(sent_ns, returned_ns).ok()
}

pub(crate) fn read(available: i64, sent_ns: u64, returned_ns: u64) -> Operation {
    operation_builder::read("s").by(1).at(sent_ns, returned_ns).available(available).ok()
}

pub(crate) fn resize(capacity: u32, sent_ns: u64, returned_ns: u64) -> Operation {
    operation_builder::resize("s", capacity).by(1).at(sent_ns, returned_ns).ok()
}

/// The same operation, with the slot's version in its answer.
pub(crate) fn versioned(version: i64, mut operation: Operation) -> Operation {
    operation.seen.version = Some(version);
    operation
}

/// The same operation, with an unknown outcome.
pub(crate) fn unknown(mut operation: Operation) -> Operation {
    operation.outcome = Outcome::Unknown;
    operation.seen = Seen::default();
    operation
}

pub(crate) fn row(booking: &str, status: BookingStatus, seats: i64) -> BookingRow {
    BookingRow {
        booking: booking.to_owned(),
        slot: "s".to_owned(),
        status,
        seats,
        key: Some(format!("key-{booking}")),
        overdue_ms: None,
    }
}

/// The end of a run on slot `s`.
pub(crate) fn end(capacity: i64, available: i64, bookings: Vec<BookingRow>) -> EndState {
    let slot =
        SlotRow { slot: "s".to_owned(), capacity, available, version: bookings.len() as i64 };
    EndState { slots: vec![slot], bookings, ..EndState::default() }
}

/// Rows of another API, whose slots the run made and which keeps ended bookings, read after 5 s.
pub(crate) fn foreign_end(bookings: Vec<BookingRow>) -> EndState {
    let foreign = ForeignRows { ended_are_kept: true, by_key: true, own_slots: true };
    EndState { read_ns: Some(ms(5_000)), bookings, foreign: Some(foreign), ..EndState::default() }
}

/// A record of slot `s`; the seats that were available after it are left out.
pub(crate) fn record(
    version: i64,
    booking: &str,
    from: Option<BookingStatus>,
    to: BookingStatus,
    seats: i64,
) -> AuditRecord {
    AuditRecord {
        slot: "s".to_owned(),
        version,
        booking: booking.to_owned(),
        from,
        to,
        seats,
        available: -1,
    }
}

/// The same record, with the seats that it says were available after it.
pub(crate) fn left(mut record: AuditRecord, available: i64) -> AuditRecord {
    record.available = available;
    record
}
