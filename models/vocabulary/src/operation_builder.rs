//! Operations in few words, for generators of histories and for tests.
//!
//! ```
//! use slotproof_vocabulary::operation_builder::{cancel, reserve};
//!
//! let booked = reserve("monday-9").by(1).key("k-1").seats(2).at(100, 900).booked("b-1");
//! let given_back = cancel("monday-9", "b-1").by(1).at(1_000, 1_200).ok();
//! assert_eq!(booked.seen.booking.as_deref(), Some("b-1"));
//! assert_eq!(given_back.process, 1);
//! ```

use std::sync::Arc;

use crate::{Action, ChangeTo, Operation, Outcome, Seen, Terms};

/// A reserve of one seat. Its key is empty until [`OperationBuilder::key`] names it.
pub fn reserve(slot: impl Into<Arc<str>>) -> OperationBuilder {
    operation(slot, Action::Reserve { seats: 1, key: "".into() })
}

/// A confirm of a booking.
pub fn confirm(slot: impl Into<Arc<str>>, booking: impl Into<Box<str>>) -> OperationBuilder {
    operation(slot, Action::Confirm { booking: booking.into() })
}

/// A cancel of a booking.
pub fn cancel(slot: impl Into<Arc<str>>, booking: impl Into<Box<str>>) -> OperationBuilder {
    operation(slot, Action::Cancel { booking: booking.into() })
}

/// A change of a booking: as it is, until it is said otherwise.
pub fn change(slot: impl Into<Arc<str>>, booking: impl Into<Box<str>>) -> OperationBuilder {
    operation(slot, Action::Change { booking: booking.into(), to: Box::default() })
}

/// A read of a booking.
pub fn booking(slot: impl Into<Arc<str>>, booking: impl Into<Box<str>>) -> OperationBuilder {
    operation(slot, Action::Booking { booking: booking.into() })
}

/// A read of a slot.
pub fn read(slot: impl Into<Arc<str>>) -> OperationBuilder {
    operation(slot, Action::Read)
}

/// A resize of a slot.
pub fn resize(slot: impl Into<Arc<str>>, capacity: u32) -> OperationBuilder {
    operation(slot, Action::Resize { capacity })
}

/// An operation of any kind.
pub fn operation(slot: impl Into<Arc<str>>, action: Action) -> OperationBuilder {
    OperationBuilder { operation: Operation::new(0, slot, action, 0, 0) }
}

/// An operation in the making: client 0 at instant 0, until it is said otherwise. The outcome ends
/// it.
#[derive(Debug, Clone)]
#[must_use]
pub struct OperationBuilder {
    operation: Operation,
}

impl OperationBuilder {
    /// The client, which is its own process.
    pub fn by(self, client: u64) -> Self {
        self.with(|operation| (operation.client, operation.process) = (client, client))
    }

    /// The process of the client, after an unknown outcome.
    pub fn process(self, process: u64) -> Self {
        self.with(|operation| operation.process = process)
    }

    /// When it was sent, as scheduled, and when it returned.
    pub fn at(self, sent_ns: u64, returned_ns: u64) -> Self {
        self.with(|operation| {
            (operation.scheduled_ns, operation.sent_ns) = (sent_ns, sent_ns);
            operation.returned_ns = returned_ns;
        })
    }

    /// When the schedule wanted it sent, if it was sent later.
    pub fn scheduled(self, scheduled_ns: u64) -> Self {
        self.with(|operation| operation.scheduled_ns = scheduled_ns)
    }

    /// How many requests were made for it.
    pub fn attempts(self, attempts: u32) -> Self {
        self.with(|operation| operation.attempts = attempts)
    }

    /// The seats that a reserve asks for, or that a change leaves.
    pub fn seats(self, wanted: u32) -> Self {
        self.with(|operation| match &mut operation.action {
            Action::Reserve { seats, .. } => *seats = wanted,
            Action::Change { to, .. } => to.seats = Some(wanted),
            _ => {}
        })
    }

    /// The slot that a change moves its booking to.
    pub fn to_slot(self, slot: impl Into<Arc<str>>) -> Self {
        self.with(|operation| {
            if let Action::Change { to, .. } = &mut operation.action {
                **to = ChangeTo { slot: Some(slot.into()), ..**to };
            }
        })
    }

    /// What a reserve asks for beyond seats.
    pub fn terms(self, terms: Terms) -> Self {
        self.with(|operation| operation.terms = Some(Box::new(terms)))
    }

    /// The idempotency key of a reserve; nothing else has one.
    pub fn key(self, name: impl Into<Box<str>>) -> Self {
        self.with(|operation| {
            if let Action::Reserve { key, .. } = &mut operation.action {
                *key = name.into();
            }
        })
    }

    /// What the answer says, all of it.
    pub fn seen(self, seen: Seen) -> Self {
        self.with(|operation| operation.seen = seen)
    }

    /// The slot's version in the answer.
    pub fn version(self, version: i64) -> Self {
        self.with(|operation| operation.seen.version = Some(version))
    }

    /// The seats left in the answer.
    pub fn available(self, available: i64) -> Self {
        self.with(|operation| operation.seen.available = Some(available))
    }

    /// How long the answer says that the booking is held.
    pub fn hold_ms(self, hold_ms: u64) -> Self {
        self.with(|operation| operation.seen.hold_ms = Some(hold_ms))
    }

    /// A reserve that was acknowledged with a booking.
    pub fn booked(self, booking: impl Into<Box<str>>) -> Operation {
        self.with(|operation| operation.seen.booking = Some(booking.into())).ok()
    }

    /// Acknowledged.
    pub fn ok(self) -> Operation {
        self.ends(Outcome::Ok)
    }

    /// A reserve that was told that fewer seats were left.
    pub fn sold_out(self) -> Operation {
        self.ends(Outcome::SoldOut)
    }

    /// Refused, for a reason that has nothing to do with seats.
    pub fn rejected(self, reason: impl Into<Box<str>>) -> Operation {
        self.with(|operation| operation.reason = Some(reason.into())).ends(Outcome::Rejected)
    }

    /// Not answered: it may have happened. Whatever it was to say is not seen.
    pub fn unknown(self) -> Operation {
        self.seen(Seen::default()).ends(Outcome::Unknown)
    }

    /// Any outcome.
    pub fn ends(self, outcome: Outcome) -> Operation {
        Operation { outcome, ..self.operation }
    }

    fn with(mut self, change: impl FnOnce(&mut Operation)) -> Self {
        change(&mut self.operation);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_operation_is_the_one_that_its_line_describes() {
        let built = reserve("s").by(7).process(1_007).key("k").seats(2).at(10, 20).scheduled(5);
        let line = r#"{"client":7,"process":1007,"slot":"s","op":"reserve","seats":2,"key":"k","booking":"b","scheduled_ns":5,"sent_ns":10,"returned_ns":20,"outcome":"ok","version":3,"available":4,"hold_ms":50}"#;
        let read: Operation = serde_json::from_str(line).expect("an operation");
        assert_eq!(built.version(3).available(4).hold_ms(50).booked("b"), read);
    }

    #[test]
    fn an_operation_without_an_answer_has_seen_nothing() {
        let unanswered = read("s").available(3).unknown();
        assert_eq!((unanswered.outcome, unanswered.seen), (Outcome::Unknown, Seen::default()));
    }
}
