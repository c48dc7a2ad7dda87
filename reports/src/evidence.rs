//! The evidence of a witness as tables that a person can check by hand.

use slotproof_vocabulary::{Action, Operation, Witness};

use crate::{
    quantity,
    table::{Table, numbers, words},
};

/// The instant that the witness's table and plot count from: its smallest `sent_ns`.
pub(crate) fn origin_ns(witness: &Witness) -> u64 {
    let sent = witness.operations.iter().map(|found| found.operation.sent_ns).min();
    sent.or(witness.instant_ns).unwrap_or(0)
}

/// When the violation shows, as a sentence; absent where the witness names no instant.
pub(crate) fn instant(witness: &Witness) -> Option<String> {
    witness.instant_ns.map(|instant| {
        format!(
            "The violation shows {} ms after the first of these operations was sent.",
            quantity::instant_ms(instant, origin_ns(witness))
        )
    })
}

/// Each kind of evidence with its title.
pub(crate) fn tables(witness: &Witness) -> [(&'static str, Table); 3] {
    [
        ("Operations", operations(witness)),
        ("Audit records", records(witness)),
        ("Final rows", rows(witness)),
    ]
}

/// The operations with their lines in the history, instants relative to [`origin_ns`].
pub(crate) fn operations(witness: &Witness) -> Table {
    let mut table = Table::new(&[
        numbers("line"),
        numbers("client"),
        words("operation"),
        numbers("seats"),
        numbers("sent ms"),
        numbers("returned ms"),
        words("outcome"),
        words("booking"),
        numbers("version"),
    ]);
    let origin = origin_ns(witness);
    for found in &witness.operations {
        let operation = &found.operation;
        let outcome = match &operation.reason {
            Some(reason) => format!("{} ({reason})", operation.outcome.name()),
            None => operation.outcome.name().to_owned(),
        };
        table.push(vec![
            found.line.to_string(),
            operation.client.to_string(),
            operation.action.name().to_owned(),
            seats(operation),
            quantity::instant_ms(operation.sent_ns, origin),
            quantity::instant_ms(operation.returned_ns, origin),
            outcome,
            booking(operation).unwrap_or_default().to_owned(),
            operation.seen.version.map(|version| version.to_string()).unwrap_or_default(),
        ]);
    }
    table
}

fn seats(operation: &Operation) -> String {
    match &operation.action {
        Action::Reserve { seats, .. } => seats.to_string(),
        Action::Resize { capacity } => format!("to {capacity}"),
        Action::Change { to, .. } => {
            to.seats.map(|seats| format!("to {seats}")).unwrap_or_default()
        }
        Action::Confirm { .. } | Action::Cancel { .. } | Action::Booking { .. } | Action::Read => {
            String::new()
        }
    }
}

/// The booking that an operation names or was given.
pub(crate) fn booking(operation: &Operation) -> Option<&str> {
    operation.names_booking().or(operation.seen.booking.as_deref())
}

/// The audit records, in the order of the service's log.
pub(crate) fn records(witness: &Witness) -> Table {
    let mut table = Table::new(&[
        numbers("version"),
        words("booking"),
        words("from"),
        words("to"),
        numbers("seats"),
        numbers("available"),
    ]);
    for record in &witness.records {
        table.push(vec![
            record.version.to_string(),
            record.booking.clone(),
            record.from.map(|status| status.name().to_owned()).unwrap_or_default(),
            record.to.name().to_owned(),
            record.seats.to_string(),
            record.available.to_string(),
        ]);
    }
    table
}

/// The final rows.
pub(crate) fn rows(witness: &Witness) -> Table {
    let mut table = Table::new(&[
        words("booking"),
        words("status"),
        numbers("seats"),
        words("idempotency key"),
        numbers("overdue ms"),
    ]);
    for row in &witness.rows {
        table.push(vec![
            row.booking.clone(),
            row.status.name().to_owned(),
            row.seats.to_string(),
            row.key.clone().unwrap_or_default(),
            row.overdue_ms.map(|overdue| overdue.to_string()).unwrap_or_default(),
        ]);
    }
    table
}
