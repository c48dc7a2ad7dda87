//! What PostgreSQL keeps, as far as a strategy can tell at READ COMMITTED.
//!
//! Only committed rows are stored: what a transaction has written and not committed is seen by nobody, and all of it
//! follows from the call that wrote it. What others do notice is the lock on the slot's row.
//!
//! The unique index of the keys needs no lock here. Whoever has inserted a key and not committed holds the slot's row
//! too, so a second insert of that key waits for the row and meets the key as committed or not at all.
//!
//! What a slot may do at all is not said here: each change is held against the checker's own spec when it is committed.

use slotproof_checker::spec::{self, Step};
use slotproof_vocabulary::BookingStatus;

/// Calls that one client may make with its key: the first one and one retry.
pub(crate) const CALLS: usize = 2;

/// One call of one client, both counted from zero. A booking is named after the call that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId {
    pub client: u8,
    pub call: u8,
}

/// The row of the slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub capacity: i8,
    pub available: i8,
    pub version: u8,
    /// The highest fencing token that has written.
    pub fence: u8,
}

/// A row of `slot_seats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Seat {
    taken_by: Option<CallId>,
    locked_by: Option<CallId>,
}

/// What Redis keeps: who holds the slot's lock, and how many fencing tokens have been given out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    pub owner: Option<CallId>,
    pub tokens: u8,
}

/// A row of `bookings`, with a count of its rows in `booking_audit` by the status that they record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Booking {
    pub status: BookingStatus,
    /// Whether `expires_at` has passed.
    pub overdue: bool,
    pub confirmed: u8,
    pub cancelled: u8,
    pub expired: u8,
}

/// What became of a statement that changes one booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Another transaction holds the slot's row.
    Waits,
    Done,
    /// The booking is no longer in a status from which this change is possible.
    Refused,
}

/// The committed rows and the locks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub slot: Slot,
    slot_locked_by: Option<CallId>,
    advisory_locked_by: Option<CallId>,
    seats: Vec<Seat>,
    pub redis: Redis,
    /// The committed rows of `idempotency_keys`: for each client's key, the booking that it stands for.
    receipts: Vec<Option<CallId>>,
    bookings: Vec<[Option<Booking>; CALLS]>,
    /// Whether each change up to now was a step of the spec.
    pub lawful: bool,
}

impl Database {
    pub fn new(clients: u8, capacity: u8) -> Self {
        let capacity = i8::try_from(capacity).expect("a size has few seats");
        let clients = usize::from(clients);
        Self {
            slot: Slot { capacity, available: capacity, version: 0, fence: 0 },
            slot_locked_by: None,
            advisory_locked_by: None,
            seats: (0..capacity).map(|_| Seat::default()).collect(),
            redis: Redis::default(),
            receipts: vec![None; clients],
            bookings: vec![[const { None }; CALLS]; clients],
            lawful: true,
        }
    }

    /// The slot as the spec sees it, made from the rows; nothing if there is no such slot.
    fn by_the_spec(&self) -> Option<spec::Slot<CallId>> {
        let mut slot = spec::Slot::new(self.slot.capacity.into());
        // Those that are over first: at one time or another each of them had its seat.
        let (live, over): (Vec<_>, Vec<_>) = self.bookings().partition(|(_, row)| row.status.takes_seats());
        for (booking, row) in over.into_iter().chain(live) {
            slot.step(&Step::Take { booking, seats: 1 })?;
            match row.status {
                BookingStatus::Pending => {}
                BookingStatus::Confirmed => {
                    slot.step(&Step::Keep { booking })?;
                }
                BookingStatus::Cancelled | BookingStatus::Expired | BookingStatus::Failed => {
                    slot.step(&Step::Give { booking })?;
                }
            }
        }
        Some(slot)
    }

    /// Holds a change that is about to be committed against the spec.
    fn hold_against_the_spec(&mut self, step: &Step<CallId>) {
        self.lawful &= self.by_the_spec().is_some_and(|slot| slot.allows(step) && slot.changes(step));
    }

    /// Takes the lock on the slot's row, or says that another transaction has it.
    pub fn lock_slot(&mut self, call: CallId) -> bool {
        let locked = *self.slot_locked_by.get_or_insert(call);
        locked == call
    }

    /// Takes the advisory lock of the slot's name, or says that another transaction has it.
    pub fn lock_name(&mut self, call: CallId) -> bool {
        let locked = *self.advisory_locked_by.get_or_insert(call);
        locked == call
    }

    /// Locks a free seat that nobody has locked, passing over the others; `false` if there is none.
    pub fn lock_a_free_seat(&mut self, call: CallId) -> bool {
        let free = self.seats.iter_mut().find(|seat| seat.taken_by.is_none() && seat.locked_by.is_none());
        free.map(|seat| seat.locked_by = Some(call)).is_some()
    }

    /// Gives the seat that this call has locked to its booking; visible from its commit on, until when nobody else takes it.
    pub fn take_locked_seat(&mut self, call: CallId) {
        for seat in self.seats.iter_mut().filter(|seat| seat.locked_by == Some(call)) {
            seat.taken_by = Some(call);
        }
    }

    /// What a client's key stands for. An insert of a key that has a receipt violates the unique constraint.
    pub fn receipt(&self, client: u8) -> Option<CallId> {
        self.receipts[usize::from(client)]
    }

    /// Makes a transaction's rows visible: a pending booking, its receipt, and the slot with this many seats left.
    pub fn commit(&mut self, call: CallId, available: i8) {
        self.hold_against_the_spec(&Step::Take { booking: call, seats: 1 });
        self.receipts[usize::from(call.client)].get_or_insert(call);
        self.bookings[usize::from(call.client)][usize::from(call.call)] = Some(Booking {
            status: BookingStatus::Pending,
            overdue: false,
            confirmed: 0,
            cancelled: 0,
            expired: 0,
        });
        self.slot.available = available;
        self.slot.version += 1;
        self.rollback(call);
    }

    /// Ends a transaction: lets go of the slot's row, and what was not committed never was.
    pub fn rollback(&mut self, call: CallId) {
        self.slot_locked_by.take_if(|holder| *holder == call);
        self.advisory_locked_by.take_if(|holder| *holder == call);
        for seat in &mut self.seats {
            seat.locked_by.take_if(|holder| *holder == call);
        }
    }

    /// `pending` to `confirmed`, unless the hold's time has run out.
    pub fn confirm(&mut self, booking: CallId) -> Change {
        self.change(booking, BookingStatus::Confirmed, |row| {
            row.status == BookingStatus::Pending && !row.overdue
        })
    }

    /// `pending` or `confirmed` to `cancelled`.
    pub fn cancel(&mut self, booking: CallId) -> Change {
        self.change(booking, BookingStatus::Cancelled, |row| row.status.takes_seats())
    }

    /// `pending` to `expired`, once the hold's time has run out.
    pub fn expire(&mut self, booking: CallId) -> Change {
        self.change(booking, BookingStatus::Expired, |row| {
            row.status == BookingStatus::Pending && row.overdue
        })
    }

    /// Time passes `expires_at` of a hold. No row is written.
    pub fn run_out(&mut self, booking: CallId) -> Change {
        match self.booking_mut(booking) {
            Some(row) if row.status == BookingStatus::Pending && !row.overdue => {
                row.overdue = true;
                Change::Done
            }
            _ => Change::Refused,
        }
    }

    /// One statement: compare and set the status, write the audit row, and give the seat back if the booking ends.
    fn change(&mut self, booking: CallId, to: BookingStatus, possible: impl Fn(&Booking) -> bool) -> Change {
        let slot_is_locked = self.slot_locked_by.is_some();
        let Some(row) = self.booking_mut(booking) else { return Change::Refused };
        if !possible(row) {
            return Change::Refused;
        }
        if slot_is_locked {
            return Change::Waits;
        }
        self.hold_against_the_spec(&match to {
            BookingStatus::Confirmed => Step::Keep { booking },
            _ => Step::Give { booking },
        });
        let row = self.booking_mut(booking).expect("it is there");
        row.record(to);
        self.slot.version += 1;
        if !to.takes_seats() {
            self.slot.available += 1;
            for seat in &mut self.seats {
                seat.taken_by.take_if(|taker| *taker == booking);
            }
        }
        Change::Done
    }

    pub fn booking(&self, booking: CallId) -> Option<&Booking> {
        self.bookings[usize::from(booking.client)][usize::from(booking.call)].as_ref()
    }

    fn booking_mut(&mut self, booking: CallId) -> Option<&mut Booking> {
        self.bookings[usize::from(booking.client)][usize::from(booking.call)].as_mut()
    }

    /// The bookings written with one client's key.
    pub fn bookings_of(&self, client: usize) -> impl Iterator<Item = &Booking> {
        self.bookings[client].iter().flatten()
    }

    /// All bookings, whatever their status.
    pub fn bookings(&self) -> impl Iterator<Item = (CallId, &Booking)> {
        self.bookings.iter().zip(0..).flat_map(|(rows, client)| {
            rows.iter().zip(0..).filter_map(move |(row, call)| Some((CallId { client, call }, row.as_ref()?)))
        })
    }

    /// Seats taken, counted from the bookings.
    pub fn taken(&self) -> i8 {
        self.bookings().map(|(_, row)| i8::from(row.status.takes_seats())).sum()
    }

    /// Whether no seat is free, counted from the bookings.
    pub fn is_full(&self) -> bool {
        self.taken() >= self.slot.capacity
    }
}

impl Booking {
    /// Confirmed once at most, ended once at most, and never expired after it was confirmed.
    pub fn lives_once(&self) -> bool {
        self.confirmed <= 1
            && self.cancelled + self.expired <= 1
            && (self.confirmed == 0 || self.expired == 0)
    }

    /// Takes on a status and leaves an audit row about it.
    fn record(&mut self, status: BookingStatus) {
        self.status = status;
        match status {
            BookingStatus::Confirmed => self.confirmed += 1,
            BookingStatus::Cancelled => self.cancelled += 1,
            BookingStatus::Expired => self.expired += 1,
            BookingStatus::Pending | BookingStatus::Failed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_booking_that_ends_twice_or_expires_after_confirm_lives_more_than_once() {
        use BookingStatus::{Cancelled, Confirmed, Expired};
        let new = || Booking {
            status: BookingStatus::Pending,
            overdue: false,
            confirmed: 0,
            cancelled: 0,
            expired: 0,
        };
        let lives_once = |life: &[BookingStatus]| {
            let mut booking = new();
            life.iter().for_each(|status| booking.record(*status));
            booking.lives_once()
        };
        assert!(lives_once(&[Confirmed, Cancelled]) && lives_once(&[Expired]) && lives_once(&[]));
        assert!(!lives_once(&[Cancelled, Expired]) && !lives_once(&[Confirmed, Expired]));
    }
}
