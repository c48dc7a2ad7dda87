//! Operations: what one client did, when, and what it was told. A history is a file of these, one
//! JSON object a line.
//!
//! The shape is flat on purpose: other systems can write it with `printf`. Fields that do not apply
//! are left out.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, Visitor},
};

use crate::{reason::ReasonCode, reference_api::BookingStatus};

/// One logical call of a client with its interval and its outcome.
///
/// The three instants are nanoseconds of one monotonic clock of one machine; their zero means
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who called. A client has at most one operation in flight.
    pub client: u64,
    /// The client's incarnation: after `unknown` the old one may still be in flight for ever, so it
    /// is retired.
    pub process: u64,
    /// The slot, opaque. Shared: a history has many operations and few slots.
    pub slot: Arc<str>,
    /// What was asked for.
    pub action: Action,
    /// What a reserve asked for beyond seats; rare.
    pub terms: Option<Box<Terms>>,
    /// When the schedule wanted it sent. Latency that a user feels counts from here.
    pub scheduled_ns: u64,
    /// Just before the request was handed to the socket. Safety counts from here.
    pub sent_ns: u64,
    /// After the answer's body was parsed, or when the client gave up.
    pub returned_ns: u64,
    /// HTTP requests made for this operation, the first included.
    pub attempts: u32,
    /// What the client knows afterwards.
    pub outcome: Outcome,
    /// Why, for `rejected`, `throttled` and `unknown`: the text of a [`ReasonCode`], or what
    /// another system writes.
    pub reason: Option<Box<str>>,
    /// What the answer said.
    pub seen: Seen,
}

impl Operation {
    /// An operation as the least that is known of one: sent once, as scheduled, by a client that
    /// never was unsure, and told nothing more.
    pub fn new(
        client: u64,
        slot: impl Into<Arc<str>>,
        action: Action,
        sent_ns: u64,
        returned_ns: u64,
    ) -> Self {
        Self {
            client,
            process: client,
            slot: slot.into(),
            action,
            terms: None,
            scheduled_ns: sent_ns,
            sent_ns,
            returned_ns,
            attempts: 1,
            outcome: Outcome::Ok,
            reason: None,
            seen: Seen::default(),
        }
    }

    /// The reason as a code.
    pub fn reason_code(&self) -> Option<ReasonCode> {
        self.reason.as_deref().map(ReasonCode::from)
    }

    /// Why it got no decision: an error; `None` if the service decided it.
    pub fn error_class(&self) -> Option<ErrorClass> {
        ErrorClass::of(self.outcome, || self.reason_code())
    }

    /// What it counts as in reports: its outcome, or that nobody listened.
    pub fn counts_as(&self) -> &'static str {
        self.error_class().map_or(self.outcome.name(), ErrorClass::name)
    }

    /// The slot that a change moves its booking to; `None` if the booking stays.
    #[inline]
    pub fn moves_to(&self) -> Option<&Arc<str>> {
        match &self.action {
            Action::Change { to, .. } => to.slot.as_ref().filter(|slot| **slot != self.slot),
            _ => None,
        }
    }

    /// The booking that this operation is about, other than one that a reserve makes.
    #[inline]
    pub fn names_booking(&self) -> Option<&str> {
        match &self.action {
            Action::Confirm { booking }
            | Action::Cancel { booking }
            | Action::Change { booking, .. }
            | Action::Booking { booking } => Some(booking),
            Action::Reserve { .. } | Action::Read | Action::Resize { .. } => None,
        }
    }

    /// Whether this reserve may sell more seats than the slot has.
    pub fn may_overbook(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.overbook)
    }

    /// Whether this reserve is a request that takes its seats when it is confirmed.
    pub fn awaits_approval(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.awaits_approval)
    }

    /// Whether its seats were set aside on the way to a booking that did not come about.
    pub fn is_provisional(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.provisional)
    }

    /// The basket that this reserve is a part of.
    #[inline]
    pub fn basket(&self) -> Option<&str> {
        self.terms.as_ref()?.basket.as_deref()
    }
}

/// What a reserve asks for beyond seats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// The request that this reserve is a part of: reserves with one basket are made all or none,
    /// in one instant. A refusal of a basket says that at least one of its parts did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basket: Option<Box<str>>,
    /// The seller may sell more seats than there are, for this reserve, on purpose.
    #[serde(skip_serializing_if = "is_false")]
    pub overbook: bool,
    /// The answer promises no seat: the booking takes its seats when it is confirmed.
    #[serde(skip_serializing_if = "is_false")]
    pub awaits_approval: bool,
    /// The seats were set aside on the way to a booking that did not come about. Nothing keeps a row
    /// of it; what gave them back is its cancel.
    #[serde(skip_serializing_if = "is_false")]
    pub provisional: bool,
    /// Whose booking it is, for a declared limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// The period that it counts in, for a declared limit: a day, a season.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Box<str>>,
}

/// What a change asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeTo {
    /// The slot that the booking is to be in; `None`: where it is.
    pub slot: Option<Arc<str>>,
    /// The seats that it is to have; `None`: as many as it has.
    pub seats: Option<u32>,
}

/// What an operation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take seats.
    Reserve {
        /// How many.
        seats: u32,
        /// The idempotency key: the same on every attempt, and on no other operation.
        key: Box<str>,
    },
    /// Make a pending booking a confirmed one.
    Confirm {
        /// Which.
        booking: Box<str>,
    },
    /// Give the seats of a booking back.
    Cancel {
        /// Which.
        booking: Box<str>,
    },
    /// Move a booking to another slot, give it another number of seats, or extend its hold, in one
    /// instant. It keeps its id.
    Change {
        /// Which.
        booking: Box<str>,
        /// What it is to be.
        to: Box<ChangeTo>,
    },
    /// Read a booking.
    Booking {
        /// Which.
        booking: Box<str>,
    },
    /// Read the slot.
    Read,
    /// Give the slot another number of seats. A service may allow fewer than are taken: then no
    /// booking loses its seats, and no new one is made until enough are free.
    Resize {
        /// How many it is to have.
        capacity: u32,
    },
}

impl Action {
    /// The operation's name in files and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reserve { .. } => "reserve",
            Self::Confirm { .. } => "confirm",
            Self::Cancel { .. } => "cancel",
            Self::Change { .. } => "change",
            Self::Booking { .. } => "booking",
            Self::Read => "read",
            Self::Resize { .. } => "resize",
        }
    }
}

/// What the client knows of what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened.
    Ok,
    /// A definite no that claims something: fewer seats were left than asked for, at some instant
    /// of the call.
    SoldOut,
    /// A definite no that says nothing of capacity.
    Rejected,
    /// A definite no: the client was asked to slow down.
    Throttled,
    /// It may have happened and it may not: timeout, reset after the first byte, any 5xx, an
    /// unreadable body.
    Unknown,
}

impl Outcome {
    /// Every outcome, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::SoldOut, Self::Rejected, Self::Throttled, Self::Unknown];

    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::SoldOut => "sold_out",
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
            Self::Unknown => "unknown",
        }
    }
}

/// Why an operation got no decision. Such an operation is an error, whatever its outcome: it is
/// part of the error rate, and its duration is no latency of the service. A refused connection
/// takes microseconds, and would make a service that is down look fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// No connection was made.
    NotConnected,
    /// The client was asked to slow down, or to try again later.
    Throttled,
    /// No definite answer: timeout, reset, any other 5xx, an answer that could not be read.
    Unknown,
}

impl ErrorClass {
    /// Every class, in the order of reports.
    pub const ALL: [Self; 3] = [Self::NotConnected, Self::Throttled, Self::Unknown];

    /// The class of an outcome, which depends on the reason of some; `None` for a decision.
    pub fn of(outcome: Outcome, reason: impl FnOnce() -> Option<ReasonCode>) -> Option<Self> {
        match outcome {
            Outcome::Ok | Outcome::SoldOut => None,
            Outcome::Rejected => {
                (reason() == Some(ReasonCode::NotConnected)).then_some(Self::NotConnected)
            }
            Outcome::Throttled => Some(Self::Throttled),
            Outcome::Unknown => Some(Self::Unknown),
        }
    }

    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Throttled => "throttled",
            Self::Unknown => "unknown",
        }
    }
}

/// What an answer said, as far as it said anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The booking that a reserve made.
    pub booking: Option<Box<str>>,
    /// The slot's version.
    pub version: Option<i64>,
    /// Seats left.
    pub available: Option<i64>,
    /// Seats held by pending bookings.
    pub pending: Option<i64>,
    /// Seats of confirmed bookings.
    pub confirmed: Option<i64>,
    /// Seats that the slot has.
    pub capacity: Option<i64>,
    /// How long a hold lasts, counted from the decision.
    pub hold_ms: Option<u64>,
    /// The status of the booking that was read.
    pub status: Option<BookingStatus>,
}

/// An [`Operation`] as a line of a history. It borrows its text where it can.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationLine<Text> {
    client: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<u64>,
    slot: Text,
    op: OpName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seats: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    booking: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduled_ns: Option<u64>,
    sent_ns: u64,
    returned_ns: u64,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    attempts: u32,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    available: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capacity: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<BookingStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_slot: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basket: Option<Text>,
    #[serde(default, skip_serializing_if = "is_false")]
    overbook: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    awaits_approval: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    provisional: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    period: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OpName {
    Reserve,
    Confirm,
    Cancel,
    Change,
    Booking,
    Read,
    Resize,
}

impl OpName {
    fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Change => "change",
            Self::Booking => "booking",
            Self::Read => "read",
            Self::Resize => "resize",
        }
    }
}

fn one() -> u32 {
    1
}

fn is_one(attempts: &u32) -> bool {
    *attempts == 1
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A line that is JSON of the right fields and still not an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LineError {
    #[error("{op} requires `{field}`")]
    Missing { op: &'static str, field: &'static str },
    #[error("`seats` must be at least 1")]
    NoSeats,
    #[error("`capacity` must be 0 to {max}, not {0}", max = u32::MAX)]
    NoCapacity(i64),
    #[error("`returned_ns` ({returned_ns}) is before `sent_ns` ({sent_ns})")]
    ReturnsBeforeSent { sent_ns: u64, returned_ns: u64 },
    #[error("the outcome sold_out does not apply to {op}")]
    NotForSale { op: &'static str },
    #[error("`{field}` does not apply to {op}")]
    Surplus { op: &'static str, field: &'static str },
}

impl OperationLine<Text<'_>> {
    /// A field that its operation has no use for is a mistake in the recorder.
    fn surplus(&self) -> Option<&'static str> {
        let is = |ops: &[OpName]| ops.contains(&self.op);
        let fields = [
            ("booking", self.booking.is_some() && is(&[OpName::Read, OpName::Resize])),
            ("to_slot", self.to_slot.is_some() && !is(&[OpName::Change])),
            ("status", self.status.is_some() && !is(&[OpName::Booking])),
            ("basket", self.basket.is_some() && !is(&[OpName::Reserve])),
            ("overbook", self.overbook && !is(&[OpName::Reserve])),
            ("awaits_approval", self.awaits_approval && !is(&[OpName::Reserve])),
            ("provisional", self.provisional && !is(&[OpName::Reserve])),
            ("owner", self.owner.is_some() && !is(&[OpName::Reserve])),
            ("period", self.period.is_some() && !is(&[OpName::Reserve])),
        ];
        fields.into_iter().find(|(_, surplus)| *surplus).map(|(field, _)| field)
    }

    fn terms(&mut self) -> Option<Box<Terms>> {
        let terms = Terms {
            basket: self.basket.take().map(Text::owned),
            overbook: self.overbook,
            awaits_approval: self.awaits_approval,
            provisional: self.provisional,
            owner: self.owner.take().map(Text::owned),
            period: self.period.take().map(Text::owned),
        };
        (terms != Terms::default()).then(|| Box::new(terms))
    }

    fn action(&mut self, slots: &mut dyn SlotNames) -> Result<Action, LineError> {
        let op = self.op.name();
        let missing = |field| LineError::Missing { op, field };
        let mut booking = || self.booking.take().map(Text::owned).ok_or(missing("booking"));
        Ok(match self.op {
            OpName::Reserve => {
                let seats = self.seats.ok_or(missing("seats"))?;
                if seats == 0 {
                    return Err(LineError::NoSeats);
                }
                if self.outcome == Outcome::Ok && self.booking.is_none() {
                    let op = "a reserve with the outcome ok";
                    return Err(LineError::Missing { op, field: "booking" });
                }
                Action::Reserve {
                    seats,
                    key: self.key.take().map(Text::owned).ok_or(missing("key"))?,
                }
            }
            OpName::Confirm => Action::Confirm { booking: booking()? },
            OpName::Cancel => Action::Cancel { booking: booking()? },
            OpName::Booking => Action::Booking { booking: booking()? },
            OpName::Change => {
                if self.seats == Some(0) {
                    return Err(LineError::NoSeats);
                }
                let slot = self.to_slot.take().map(|slot| slots.name(&slot.0));
                Action::Change {
                    booking: booking()?,
                    to: Box::new(ChangeTo { slot, seats: self.seats }),
                }
            }
            OpName::Read => Action::Read,
            OpName::Resize => {
                let capacity = self.capacity.ok_or(missing("capacity"))?;
                Action::Resize {
                    capacity: capacity.try_into().map_err(|_| LineError::NoCapacity(capacity))?,
                }
            }
        })
    }
}

/// Text of a line: a part of it, unless it has escapes.
#[derive(Debug, Default)]
struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn owned(self) -> Box<str> {
        self.0.into()
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// The names of slots that have been read: a history has many operations and few slots.
pub trait SlotNames {
    /// The name, shared with every operation that was read before.
    fn name(&mut self, name: &str) -> Arc<str>;
}

/// Shares nothing.
struct Unshared;

impl SlotNames for Unshared {
    fn name(&mut self, name: &str) -> Arc<str> {
        name.into()
    }
}

/// Reads an operation, whose slots get names of these.
#[derive(Debug)]
pub struct OperationReader<'a, Names>(pub &'a mut Names);

impl<'de, Names: SlotNames> DeserializeSeed<'de> for OperationReader<'_, Names> {
    type Value = Operation;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Operation, D::Error> {
        let line = OperationLine::deserialize(deserializer)?;
        Operation::of_line(line, self.0).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        OperationReader(&mut Unshared).deserialize(deserializer)
    }
}

impl Operation {
    fn of_line(
        mut line: OperationLine<Text<'_>>,
        slots: &mut dyn SlotNames,
    ) -> Result<Self, LineError> {
        if let Some(field) = line.surplus() {
            return Err(LineError::Surplus { op: line.op.name(), field });
        }
        let terms = line.terms();
        let action = line.action(slots)?;
        let for_sale = matches!(line.op, OpName::Reserve | OpName::Confirm | OpName::Change);
        if line.outcome == Outcome::SoldOut && !for_sale {
            return Err(LineError::NotForSale { op: line.op.name() });
        }
        if line.returned_ns < line.sent_ns {
            return Err(LineError::ReturnsBeforeSent {
                sent_ns: line.sent_ns,
                returned_ns: line.returned_ns,
            });
        }
        Ok(Self {
            client: line.client,
            process: line.process.unwrap_or(line.client),
            slot: slots.name(&line.slot.0),
            action,
            terms,
            scheduled_ns: line.scheduled_ns.unwrap_or(line.sent_ns),
            sent_ns: line.sent_ns,
            returned_ns: line.returned_ns,
            attempts: line.attempts,
            outcome: line.outcome,
            reason: line.reason.map(Text::owned),
            seen: Seen {
                // What is left of it: every other operation has taken the booking that it names.
                booking: line.booking.map(Text::owned),
                version: line.version,
                available: line.available,
                pending: line.pending,
                confirmed: line.confirmed,
                // A resize names the capacity that it wants, and its answer none.
                capacity: line.capacity.filter(|_| line.op != OpName::Resize),
                hold_ms: line.hold_ms,
                status: line.status,
            },
        })
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = Terms::default();
        let terms = self.terms.as_deref().unwrap_or(&none);
        let (op, seats, key, to_slot) = match &self.action {
            Action::Reserve { seats, key } => (OpName::Reserve, Some(*seats), Some(&**key), None),
            Action::Confirm { .. } => (OpName::Confirm, None, None, None),
            Action::Cancel { .. } => (OpName::Cancel, None, None, None),
            Action::Change { to, .. } => (OpName::Change, to.seats, None, to.slot.as_deref()),
            Action::Booking { .. } => (OpName::Booking, None, None, None),
            Action::Read => (OpName::Read, None, None, None),
            Action::Resize { .. } => (OpName::Resize, None, None, None),
        };
        let line = OperationLine {
            client: self.client,
            process: Some(self.process),
            slot: &*self.slot,
            op,
            seats,
            key,
            booking: self.names_booking().or(self.seen.booking.as_deref()),
            scheduled_ns: Some(self.scheduled_ns),
            sent_ns: self.sent_ns,
            returned_ns: self.returned_ns,
            attempts: self.attempts,
            outcome: self.outcome,
            reason: self.reason.as_deref(),
            version: self.seen.version,
            available: self.seen.available,
            pending: self.seen.pending,
            confirmed: self.seen.confirmed,
            capacity: match self.action {
                Action::Resize { capacity } => Some(capacity.into()),
                _ => self.seen.capacity,
            },
            hold_ms: self.seen.hold_ms,
            status: self.seen.status,
            to_slot,
            basket: terms.basket.as_deref(),
            overbook: terms.overbook,
            awaits_approval: terms.awaits_approval,
            provisional: terms.provisional,
            owner: terms.owner.as_deref(),
            period: terms.period.as_deref(),
        };
        line.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve() -> Operation {
        let action = Action::Reserve { seats: 2, key: "k-1".into() };
        Operation {
            process: 2017,
            scheduled_ns: 1_000,
            seen: Seen {
                booking: Some("b-1".into()),
                version: Some(5),
                available: Some(3),
                hold_ms: Some(5_000),
                ..Seen::default()
            },
            ..Operation::new(17, "monday-9", action, 1_100, 9_000)
        }
    }

    fn line(json: &str) -> Result<Operation, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn an_operation_is_one_flat_line_and_reads_back() {
        let json = serde_json::to_string(&reserve()).expect("serializes");
        insta::assert_snapshot!(json, @r#"{"client":17,"process":2017,"slot":"monday-9","op":"reserve","seats":2,"key":"k-1","booking":"b-1","scheduled_ns":1000,"sent_ns":1100,"returned_ns":9000,"outcome":"ok","version":5,"available":3,"hold_ms":5000}"#);
        assert_eq!(line(&json), Ok(reserve()));
    }

    #[test]
    fn the_least_that_another_system_must_write_is_enough() {
        let read = line(r#"{"client":1,"slot":"s","op":"cancel","booking":"b","sent_ns":1,"returned_ns":2,"outcome":"unknown"}"#)
            .expect("complete");
        assert_eq!((read.process, read.scheduled_ns, read.attempts), (1, 1, 1));
        assert_eq!(read.action, Action::Cancel { booking: "b".into() });
    }

    #[test]
    fn every_field_of_a_change_a_basket_and_a_booking_that_was_read_reads_back() {
        let lines = [
            r#"{"client":1,"process":1,"slot":"a","op":"change","seats":2,"booking":"b","scheduled_ns":1,"sent_ns":1,"returned_ns":2,"outcome":"ok","hold_ms":9,"to_slot":"c"}"#,
            r#"{"client":1,"process":1,"slot":"a","op":"booking","booking":"b","scheduled_ns":1,"sent_ns":1,"returned_ns":2,"outcome":"ok","status":"confirmed"}"#,
            r#"{"client":1,"process":1,"slot":"a","op":"reserve","seats":1,"key":"k","scheduled_ns":1,"sent_ns":1,"returned_ns":2,"outcome":"unknown","basket":"o","overbook":true,"awaits_approval":true,"provisional":true,"owner":"kim","period":"monday"}"#,
        ];
        for json in lines {
            let operation = line(json).expect(json);
            assert_eq!(serde_json::to_string(&operation).expect("serializes"), json);
        }
        assert_eq!(line(lines[0]).expect("complete").moves_to().map(|slot| &**slot), Some("c"));
    }

    #[test]
    fn a_resize_names_its_capacity_and_reads_back() {
        let json = r#"{"client":1,"slot":"s","op":"resize","capacity":7,"sent_ns":1,"returned_ns":2,"outcome":"ok"}"#;
        let resize = line(json).expect("complete");
        assert_eq!((&resize.action, resize.seen.capacity), (&Action::Resize { capacity: 7 }, None));
        assert_eq!(line(&serde_json::to_string(&resize).expect("serializes")), Ok(resize));
    }

    #[test]
    fn lines_that_are_not_operations_are_refused_with_the_reason() {
        let cases = [
            (
                r#"{"client":1,"slot":"s","op":"reserve","seats":1,"key":"k","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "`booking`",
            ),
            (
                r#"{"client":1,"slot":"s","op":"reserve","seats":0,"key":"k","sent_ns":1,"returned_ns":2,"outcome":"unknown"}"#,
                "at least 1",
            ),
            (
                r#"{"client":1,"slot":"s","op":"reserve","seats":1,"sent_ns":1,"returned_ns":2,"outcome":"unknown"}"#,
                "`key`",
            ),
            (
                r#"{"client":1,"slot":"s","op":"confirm","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "`booking`",
            ),
            (
                r#"{"client":1,"slot":"s","op":"read","sent_ns":2,"returned_ns":1,"outcome":"ok"}"#,
                "before `sent_ns`",
            ),
            (
                r#"{"client":1,"slot":"s","op":"read","sent_ns":1,"returned_ns":2,"outcome":"sold_out"}"#,
                "sold_out does not apply to read",
            ),
            (
                r#"{"client":1,"slot":"s","op":"cancel","booking":"b","basket":"o","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "`basket` does not apply to cancel",
            ),
            (
                r#"{"client":1,"slot":"s","op":"change","booking":"b","seats":0,"sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "at least 1",
            ),
            (
                r#"{"client":1,"slot":"s","op":"resize","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "`capacity`",
            ),
            (
                r#"{"client":1,"slot":"s","op":"resize","capacity":-1,"sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "not -1",
            ),
            (
                r#"{"client":1,"slot":"s","op":"steal","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#,
                "steal",
            ),
            (
                r#"{"client":1,"slot":"s","op":"read","sent_ns":1,"returned_ns":2,"outcome":"ok","sets":3}"#,
                "sets",
            ),
        ];
        for (json, reason) in cases {
            let error = line(json).expect_err(json);
            assert!(error.contains(reason), "{error} does not name {reason}");
        }
    }
}
