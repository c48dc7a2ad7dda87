//! Operations for tests, in as few words as they need. The slot is `s`; a booking's key is `key-`
//! and its id.

use slotproof_vocabulary::{
    Action, AuditRecord, BookingRow, BookingStatus, EndState, Operation, Outcome, Seen, SlotRow,
};

use crate::{Case, History};

pub(crate) fn ms(ms: u64) -> u64 {
    ms * 1_000_000
}

pub(crate) fn history(operations: Vec<Operation>) -> History {
    History { operations, cut_off: None }
}

/// A case with nothing but a history, on a slot of `capacity` seats.
pub(crate) fn case(capacity: i64, operations: Vec<Operation>) -> Case {
    Case { history: history(operations), capacity, ..Case::default() }
}

fn operation(action: Action, sent_ns: u64, returned_ns: u64) -> Operation {
    Operation::new(1, "s", action, sent_ns, returned_ns)
}

pub(crate) fn reserve(booking: &str, seats: u32, sent_ns: u64, returned_ns: u64) -> Operation {
    let mut reserve = operation(
        Action::Reserve { seats, key: format!("key-{booking}").into() },
        sent_ns,
        returned_ns,
    );
    reserve.seen.booking = Some(booking.into());
    reserve
}

pub(crate) fn sold_out(seats: u32, sent_ns: u64, returned_ns: u64) -> Operation {
    let key = format!("refused-{sent_ns}-{returned_ns}");
    Operation {
        outcome: Outcome::SoldOut,
        ..operation(Action::Reserve { seats, key: key.into() }, sent_ns, returned_ns)
    }
}

pub(crate) fn confirm(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    operation(Action::Confirm { booking: booking.into() }, sent_ns, returned_ns)
}

pub(crate) fn cancel(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    operation(Action::Cancel { booking: booking.into() }, sent_ns, returned_ns)
}

pub(crate) fn read(available: i64, sent_ns: u64, returned_ns: u64) -> Operation {
    let mut read = operation(Action::Read, sent_ns, returned_ns);
    read.seen.available = Some(available);
    read
}

pub(crate) fn resize(capacity: u32, sent_ns: u64, returned_ns: u64) -> Operation {
    operation(Action::Resize { capacity }, sent_ns, returned_ns)
}

/// The same operation, and nobody knows whether it happened.
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
        key: format!("key-{booking}"),
        overdue_ms: None,
    }
}

/// The end of a run on slot `s`.
pub(crate) fn end(capacity: i64, available: i64, bookings: Vec<BookingRow>) -> EndState {
    let slot =
        SlotRow { slot: "s".to_owned(), capacity, available, version: bookings.len() as i64 };
    EndState { slots: vec![slot], bookings, announced: None }
}

/// A record of slot `s`; what was available after it is not told.
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
