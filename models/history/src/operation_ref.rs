//! An operation of a store, with the fields of an [`Operation`] and names instead of texts.

use slotproof_vocabulary::{
    Action, BookingStatus, ChangeTo, ErrorClass, Operation, Outcome, ReasonCode, Seen, Terms,
};

use crate::names::Name;

/// An [`Operation`] that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationRef<'a> {
    /// As [`Operation::client`].
    pub client: u64,
    /// As [`Operation::process`].
    pub process: u64,
    /// As [`Operation::slot`].
    pub slot: Name<'a>,
    /// As [`Operation::action`].
    pub action: ActionRef<'a>,
    /// As [`Operation::terms`].
    pub terms: Option<&'a Terms>,
    /// As [`Operation::scheduled_ns`].
    pub scheduled_ns: u64,
    /// As [`Operation::sent_ns`].
    pub sent_ns: u64,
    /// As [`Operation::returned_ns`].
    pub returned_ns: u64,
    /// As [`Operation::attempts`].
    pub attempts: u32,
    /// As [`Operation::outcome`].
    pub outcome: Outcome,
    /// As [`Operation::reason`].
    pub reason: Option<Name<'a>>,
    /// As [`Operation::seen`].
    pub seen: SeenRef<'a>,
}

/// An [`Action`] that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionRef<'a> {
    /// As [`Action::Reserve`].
    Reserve {
        /// How many.
        seats: u32,
        /// The idempotency key.
        key: Name<'a>,
    },
    /// As [`Action::Confirm`].
    Confirm {
        /// Which.
        booking: Name<'a>,
    },
    /// As [`Action::Cancel`].
    Cancel {
        /// Which.
        booking: Name<'a>,
    },
    /// As [`Action::Change`].
    Change {
        /// Which.
        booking: Name<'a>,
        /// What it is to be.
        to: ChangeRef<'a>,
    },
    /// As [`Action::Booking`].
    Booking {
        /// Which.
        booking: Name<'a>,
    },
    /// As [`Action::Read`].
    Read,
    /// As [`Action::Resize`].
    Resize {
        /// How many it is to have.
        capacity: u32,
    },
}

/// A [`ChangeTo`] that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRef<'a> {
    /// As [`ChangeTo::slot`].
    pub slot: Option<Name<'a>>,
    /// As [`ChangeTo::seats`].
    pub seats: Option<u32>,
}

/// A [`Seen`] that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenRef<'a> {
    /// As [`Seen::booking`].
    pub booking: Option<Name<'a>>,
    /// As [`Seen::version`].
    pub version: Option<i64>,
    /// As [`Seen::available`].
    pub available: Option<i64>,
    /// As [`Seen::pending`].
    pub pending: Option<i64>,
    /// As [`Seen::confirmed`].
    pub confirmed: Option<i64>,
    /// As [`Seen::capacity`].
    pub capacity: Option<i64>,
    /// As [`Seen::hold_ms`].
    pub hold_ms: Option<u64>,
    /// As [`Seen::status`].
    pub status: Option<BookingStatus>,
}

impl<'a> OperationRef<'a> {
    /// As [`Operation::reason_code`].
    pub fn reason_code(&self) -> Option<ReasonCode> {
        self.reason.map(|reason| ReasonCode::from(reason.text()))
    }

    /// As [`Operation::moves_to`].
    #[inline]
    pub fn moves_to(&self) -> Option<Name<'a>> {
        match self.action {
            ActionRef::Change { to, .. } => to.slot.filter(|slot| *slot != self.slot),
            _ => None,
        }
    }

    /// As [`Operation::names_booking`].
    #[inline]
    pub fn names_booking(&self) -> Option<Name<'a>> {
        match self.action {
            ActionRef::Confirm { booking }
            | ActionRef::Cancel { booking }
            | ActionRef::Change { booking, .. }
            | ActionRef::Booking { booking } => Some(booking),
            ActionRef::Reserve { .. } | ActionRef::Read | ActionRef::Resize { .. } => None,
        }
    }

    /// As [`Operation::may_overbook`].
    #[inline]
    pub fn may_overbook(&self) -> bool {
        self.terms.is_some_and(|terms| terms.overbook)
    }

    /// As [`Operation::awaits_approval`].
    #[inline]
    pub fn awaits_approval(&self) -> bool {
        self.terms.is_some_and(|terms| terms.awaits_approval)
    }

    /// As [`Operation::is_provisional`].
    #[inline]
    pub fn is_provisional(&self) -> bool {
        self.terms.is_some_and(|terms| terms.provisional)
    }

    /// As [`Operation::basket`].
    #[inline]
    pub fn basket(&self) -> Option<&'a str> {
        self.terms?.basket.as_deref()
    }

    /// As [`Operation::error_class`].
    pub fn error_class(&self) -> Option<ErrorClass> {
        ErrorClass::of(self.outcome, || self.reason_code())
    }

    /// As [`Operation::counts_as`].
    pub fn counts_as(&self) -> &'static str {
        self.error_class().map_or(self.outcome.name(), ErrorClass::name)
    }

    /// The same operation with texts of its own.
    pub fn to_operation(&self) -> Operation {
        let Self { client, process, scheduled_ns, sent_ns, returned_ns, .. } = *self;
        Operation {
            client,
            process,
            slot: self.slot.text().into(),
            action: self.action.to_action(),
            terms: self.terms.cloned().map(Box::new),
            scheduled_ns,
            sent_ns,
            returned_ns,
            attempts: self.attempts,
            outcome: self.outcome,
            reason: self.reason.map(|reason| reason.text().into()),
            seen: self.seen.to_seen(),
        }
    }
}

impl ActionRef<'_> {
    /// The same action with texts of its own.
    pub fn to_action(&self) -> Action {
        let text = |name: Name<'_>| Box::from(name.text());
        match *self {
            Self::Reserve { seats, key } => Action::Reserve { seats, key: text(key) },
            Self::Confirm { booking } => Action::Confirm { booking: text(booking) },
            Self::Cancel { booking } => Action::Cancel { booking: text(booking) },
            Self::Change { booking, to } => Action::Change {
                booking: text(booking),
                to: Box::new(ChangeTo {
                    slot: to.slot.map(|slot| slot.text().into()),
                    seats: to.seats,
                }),
            },
            Self::Booking { booking } => Action::Booking { booking: text(booking) },
            Self::Read => Action::Read,
            Self::Resize { capacity } => Action::Resize { capacity },
        }
    }

    /// As [`Action::name`].
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

impl SeenRef<'_> {
    /// The same with a text of its own.
    pub fn to_seen(&self) -> Seen {
        Seen {
            booking: self.booking.map(|booking| booking.text().into()),
            version: self.version,
            available: self.available,
            pending: self.pending,
            confirmed: self.confirmed,
            capacity: self.capacity,
            hold_ms: self.hold_ms,
            status: self.status,
        }
    }
}
