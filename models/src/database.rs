//! What PostgreSQL keeps, as far as a strategy can tell at READ COMMITTED.
//!
//! Only committed rows are stored: what a transaction has written and not committed is invisible to
//! others, and all of it follows from the call that wrote it. What others do notice is the lock on
//! the slot's row.
//!
//! The unique index of the keys needs no lock here. A transaction that has inserted a key and not
//! committed holds the slot's row too, so a second insert of that key waits for the row and then
//! finds the key committed or absent.
//!
//! What a slot may do is not decided here: each change is checked against the checker's own spec
//! when it is committed.

use slotproof_checker::spec::{self, Step};
use slotproof_vocabulary::BookingStatus;

use crate::{
    answer::{Answer, Decision},
    call_id::{CALLS, CallId},
};

/// The row of the slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SlotRow {
    pub capacity: i32,
    pub available: i32,
    pub version: u32,
    /// The highest fencing token that has written.
    pub fence: u32,
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
    pub tokens: u32,
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

/// What a statement came to that changes the status of one booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// Another transaction holds the slot's row.
    Waits,
    Done,
    /// The booking is no longer in a status from which this change is possible.
    Refused,
}

/// The committed rows and the locks, and what else calls share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub slot: SlotRow,
    /// Seats of each booking.
    seats_each: i32,
    /// Seats of live bookings that have no row here, where only some have.
    others: i32,
    slot_locked_by: Option<CallId>,
    advisory_locked_by: Option<CallId>,
    /// Who holds the row of another slot, which has a lower id. Nothing else of it matters here.
    neighbour_locked_by: Option<CallId>,
    seats: Vec<Seat>,
    /// Rows of bookings that a transaction has locked, each with its holder.
    locked_bookings: Vec<(CallId, CallId)>,
    pub redis: Redis,
    /// The committed rows of `idempotency_keys`: for each client's key, what it stands for.
    receipts: Vec<Option<Decision>>,
    bookings: Vec<[Option<Booking>; CALLS]>,
    /// Whether each change up to now was a step of the spec.
    pub lawful: bool,
    /// Changes that are not in the log.
    pub unlogged: u8,
    /// Bookings that were announced: a bit for each call, client by client.
    pub announced: u8,
    /// The slot's version in a cache of the service.
    cached: Option<u32>,
    /// Whether each read was of the slot as it was.
    pub reads_current: bool,
    /// What is on disk, where that is less than what is committed.
    on_disk: Option<Box<Database>>,
    pub lanes: [Lane; PROCESSES],
}

/// Processes that the calls of one slot can come to, where that makes a difference.
pub(crate) const PROCESSES: usize = 2;

/// The requests for the slot that have gathered in a process, and those that are being decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub waiting: Vec<CallId>,
    pub batch: Vec<CallId>,
    /// The answers of the batch, for the calls that have not taken theirs.
    pub decided: Vec<(CallId, Answer)>,
}

impl Database {
    pub fn new(clients: u8, capacity: u8, seats_each: i32) -> Self {
        let capacity = i32::from(capacity);
        let clients = usize::from(clients);
        Self {
            slot: SlotRow { capacity, available: capacity, version: 0, fence: 0 },
            seats_each,
            others: 0,
            slot_locked_by: None,
            advisory_locked_by: None,
            neighbour_locked_by: None,
            seats: (0..capacity).map(|_| Seat::default()).collect(),
            locked_bookings: Vec::new(),
            redis: Redis::default(),
            receipts: vec![None; clients],
            bookings: vec![[const { None }; CALLS]; clients],
            lawful: true,
            unlogged: 0,
            announced: 0,
            cached: None,
            reads_current: true,
            on_disk: None,
            lanes: Default::default(),
        }
    }

    /// A database of one client in which others have already booked.
    pub fn as_left(capacity: i32, available: i32, version: u32, fence: u32, taken: i32) -> Self {
        let mut database = Self::new(1, 0, 1);
        database.slot = SlotRow { capacity, available, version, fence };
        database.others = taken;
        database.seats = (0..available).map(|_| Seat::default()).collect();
        database.redis.tokens = fence;
        database
    }

    /// Gives one of the bookings of others a row.
    pub fn with_booking(
        &mut self,
        booking: CallId,
        seats: i32,
        status: BookingStatus,
        overdue: bool,
    ) {
        self.seats_each = seats;
        if status.takes_seats() {
            self.others -= seats;
        }
        let row = Booking { status, overdue, confirmed: 0, cancelled: 0, expired: 0 };
        self.bookings[usize::from(booking.client)][usize::from(booking.call)] = Some(row);
    }

    /// The slot as the spec sees it, made from the rows; nothing if there is no such slot.
    fn by_the_spec(&self) -> Option<spec::SlotState<CallId>> {
        let mut slot = spec::SlotState::new((self.slot.capacity - self.others).into());
        // Those that are over first: at one time or another each of them had its seat.
        let (live, over): (Vec<_>, Vec<_>) =
            self.bookings().partition(|(_, row)| row.status.takes_seats());
        for (booking, row) in over.into_iter().chain(live) {
            slot.step(&Step::Reserve {
                booking,
                seats: self.seats_each,
                terms: spec::Terms::Regular,
            })?;
            match row.status {
                BookingStatus::Pending => {}
                BookingStatus::Confirmed => {
                    slot.step(&Step::Confirm { booking })?;
                }
                BookingStatus::Cancelled | BookingStatus::Expired | BookingStatus::Failed => {
                    slot.step(&Step::Cancel { booking })?;
                }
            }
        }
        Some(slot)
    }

    /// Checks a change that is about to be committed against the spec.
    fn hold_against_the_spec(&mut self, step: &Step<CallId>) {
        self.lawful &=
            self.by_the_spec().is_some_and(|slot| slot.allows(step) && slot.changes(step));
    }

    /// Takes the lock on the slot's row; `false` if another transaction has it.
    pub fn lock_slot(&mut self, call: CallId) -> bool {
        let locked = *self.slot_locked_by.get_or_insert(call);
        locked == call
    }

    pub fn slot_locked_by(&self) -> Option<CallId> {
        self.slot_locked_by
    }

    pub fn name_locked_by(&self) -> Option<CallId> {
        self.advisory_locked_by
    }

    /// Takes the slot's advisory lock; `false` if another transaction has it.
    pub fn lock_name(&mut self, call: CallId) -> bool {
        let locked = *self.advisory_locked_by.get_or_insert(call);
        locked == call
    }

    /// Takes the lock on the neighbouring slot's row; `false` if another transaction has it.
    pub fn lock_neighbour(&mut self, call: CallId) -> bool {
        let locked = *self.neighbour_locked_by.get_or_insert(call);
        locked == call
    }

    /// Locks the rows of the live bookings; `false` if another transaction has one of them.
    pub fn lock_bookings(&mut self, call: CallId) -> bool {
        let live: Vec<CallId> = self
            .bookings()
            .filter(|(_, row)| row.status.takes_seats())
            .map(|(booking, _)| booking)
            .collect();
        let free = !live.iter().any(|booking| self.is_locked(*booking));
        if free {
            self.locked_bookings.extend(live.into_iter().map(|booking| (booking, call)));
            self.locked_bookings.sort_unstable();
        }
        free
    }

    fn is_locked(&self, booking: CallId) -> bool {
        self.locked_bookings.iter().any(|(locked, _)| *locked == booking)
    }

    /// Locks a free seat that is not locked, skipping the others; `false` if there is none.
    pub fn lock_a_free_seat(&mut self, call: CallId) -> bool {
        let free =
            self.seats.iter_mut().find(|seat| seat.taken_by.is_none() && seat.locked_by.is_none());
        free.map(|seat| seat.locked_by = Some(call)).is_some()
    }

    /// Gives the seat that this call has locked to its booking. Others see it from the commit on;
    /// until then the lock keeps them from it.
    pub fn take_locked_seat(&mut self, call: CallId) {
        for seat in self.seats.iter_mut().filter(|seat| seat.locked_by == Some(call)) {
            seat.taken_by = Some(call);
        }
    }

    /// What a client's key stands for.
    pub fn decision(&self, client: u8) -> Option<Decision> {
        self.receipts[usize::from(client)]
    }

    /// Whether an insert of this client's key would violate the unique constraint.
    pub fn has_receipt(&self, client: u8) -> bool {
        self.decision(client).is_some()
    }

    /// Makes a transaction's rows visible: a pending booking, its receipt, and the slot with this
    /// many seats left.
    pub fn commit(&mut self, call: CallId, available: i32) {
        self.insert_booking(call);
        self.leave_receipt(call);
        self.slot.available = available;
        self.slot.version += 1;
        self.rollback(call);
    }

    /// Writes the receipt of a booking, unless the key has one already.
    pub fn leave_receipt(&mut self, call: CallId) {
        self.receipts[usize::from(call.client)].get_or_insert(Decision::Booked(call));
    }

    /// Writes the receipt of a refusal, unless the key has one already.
    pub fn leave_refusal(&mut self, call: CallId, honest: bool) {
        self.receipts[usize::from(call.client)].get_or_insert(Decision::Refused { honest });
    }

    /// A pending booking and nothing beside it.
    pub fn insert_booking(&mut self, call: CallId) {
        self.hold_against_the_spec(&Step::Reserve {
            booking: call,
            seats: self.seats_each,
            terms: spec::Terms::Regular,
        });
        self.bookings[usize::from(call.client)][usize::from(call.call)] = Some(Booking {
            status: BookingStatus::Pending,
            overdue: false,
            confirmed: 0,
            cancelled: 0,
            expired: 0,
        });
    }

    /// Ends a transaction: lets go of the slot's row, and what was not committed never was.
    pub fn rollback(&mut self, call: CallId) {
        self.slot_locked_by.take_if(|holder| *holder == call);
        self.advisory_locked_by.take_if(|holder| *holder == call);
        self.neighbour_locked_by.take_if(|holder| *holder == call);
        for seat in &mut self.seats {
            seat.locked_by.take_if(|holder| *holder == call);
        }
        self.locked_bookings.retain(|(_, holder)| *holder != call);
    }

    /// The same with other numbers for the clients: `numbers[old]` is the new one.
    pub fn renumbered(&self, numbers: &[u8]) -> Self {
        let mut next = self.clone();
        let rename = |call: &mut CallId| call.client = numbers[usize::from(call.client)];
        let holders = [
            &mut next.slot_locked_by,
            &mut next.advisory_locked_by,
            &mut next.neighbour_locked_by,
            &mut next.redis.owner,
        ];
        holders.into_iter().flatten().for_each(rename);
        for seat in &mut next.seats {
            [&mut seat.taken_by, &mut seat.locked_by].into_iter().flatten().for_each(rename);
        }
        next.locked_bookings
            .iter_mut()
            .flat_map(|(booking, holder)| [booking, holder])
            .for_each(rename);
        next.locked_bookings.sort_unstable();
        next.announced = 0;
        for mut call in self.announced_calls() {
            rename(&mut call);
            next.announce(call);
        }
        for lane in &mut next.lanes {
            lane.waiting.iter_mut().chain(&mut lane.batch).for_each(rename);
            for (call, answer) in &mut lane.decided {
                rename(call);
                if let Answer::Ok { booking } = answer {
                    rename(booking);
                }
            }
        }
        for (old, number) in numbers.iter().enumerate() {
            let mut receipt = self.receipts[old];
            if let Some(Decision::Booked(booking)) = &mut receipt {
                rename(booking);
            }
            next.receipts[usize::from(*number)] = receipt;
            next.bookings[usize::from(*number)] = self.bookings[old].clone();
        }
        next.on_disk = self.on_disk.as_ref().map(|on_disk| Box::new(on_disk.renumbered(numbers)));
        next
    }

    /// Whether no transaction holds anything.
    pub fn holds_no_lock(&self) -> bool {
        self.slot_locked_by.is_none()
            && self.advisory_locked_by.is_none()
            && self.neighbour_locked_by.is_none()
            && self.seats.iter().all(|seat| seat.locked_by.is_none())
            && self.locked_bookings.is_empty()
    }

    /// Announces that a call has booked.
    pub fn announce(&mut self, call: CallId) {
        self.announced |= 1 << bit(call);
    }

    /// The calls whose booking was announced.
    pub fn announced_calls(&self) -> impl Iterator<Item = CallId> {
        let announced = self.announced;
        let clients = u8::try_from(self.bookings.len()).expect("few clients");
        let calls = (0..clients)
            .flat_map(|client| (0..CALLS as u8).map(move |call| CallId { client, call }));
        calls.filter(move |call| announced & (1 << bit(*call)) != 0)
    }

    /// Answers a read of the slot from a cache that nothing invalidates; `None` if that changes no
    /// state.
    pub fn read_by_cache(&mut self) -> Option<()> {
        let before = (self.cached, self.reads_current);
        let cached = *self.cached.get_or_insert(self.slot.version);
        self.reads_current &= cached == self.slot.version;
        (before != (self.cached, self.reads_current)).then_some(())
    }

    /// Remembers what was on disk before a change that did not wait for it.
    pub fn keep_on_disk(&mut self, before: Self) {
        if self.slot.version != before.slot.version {
            self.on_disk.get_or_insert_with(|| Box::new(before));
        }
    }

    /// Everything that is committed gets to the disk; `None` if it is there.
    pub fn flush(&mut self) -> Option<()> {
        self.on_disk.take().map(|_| ())
    }

    /// Comes back after a crash, with what is on disk and without locks.
    pub fn recover(&mut self) {
        if let Some(on_disk) = self.on_disk.take() {
            *self = *on_disk;
        }
        self.slot_locked_by = None;
        self.advisory_locked_by = None;
        self.neighbour_locked_by = None;
        self.seats.iter_mut().for_each(|seat| seat.locked_by = None);
        self.locked_bookings.clear();
    }

    /// `pending` to `confirmed`, unless the hold's time has run out.
    pub fn confirm(&mut self, booking: CallId) -> StateChange {
        self.change(booking, BookingStatus::Confirmed, |row| {
            row.status == BookingStatus::Pending && !row.overdue
        })
    }

    /// `pending` or `confirmed` to `cancelled`.
    pub fn cancel(&mut self, booking: CallId) -> StateChange {
        self.change(booking, BookingStatus::Cancelled, |row| row.status.takes_seats())
    }

    /// To `cancelled`, also if it is that already: its seats are given back again. Twice at most,
    /// so that the number of states is finite.
    pub fn cancel_again(&mut self, booking: CallId) -> StateChange {
        let capacity = self.slot.capacity;
        let change = self.change(booking, BookingStatus::Cancelled, |row| {
            row.status.takes_seats()
                || (row.status == BookingStatus::Cancelled && row.cancelled < 2)
        });
        self.slot.available = self.slot.available.min(capacity);
        change
    }

    /// `pending` or `expired` to `confirmed`, before or after the hold's expiry.
    pub fn confirm_late(&mut self, booking: CallId) -> StateChange {
        self.change(booking, BookingStatus::Confirmed, |row| {
            matches!(row.status, BookingStatus::Pending | BookingStatus::Expired)
        })
    }

    /// `pending` to `expired`, once the hold's time has run out.
    pub fn expire(&mut self, booking: CallId) -> StateChange {
        self.change(booking, BookingStatus::Expired, |row| {
            row.status == BookingStatus::Pending && row.overdue
        })
    }

    /// Time passes `expires_at` of a hold. No row is written.
    pub fn run_out(&mut self, booking: CallId) -> StateChange {
        match self.booking_mut(booking) {
            Some(row) if row.status == BookingStatus::Pending && !row.overdue => {
                row.overdue = true;
                StateChange::Done
            }
            _ => StateChange::Refused,
        }
    }

    /// One statement: compare and set the status, write the audit row, and give the seat back if
    /// the booking ends.
    fn change(
        &mut self,
        booking: CallId,
        to: BookingStatus,
        possible: impl Fn(&Booking) -> bool,
    ) -> StateChange {
        let is_locked = self.slot_locked_by.is_some() || self.is_locked(booking);
        let Some(row) = self.booking_mut(booking) else { return StateChange::Refused };
        if !possible(row) {
            return StateChange::Refused;
        }
        if is_locked {
            return StateChange::Waits;
        }
        self.hold_against_the_spec(&match to {
            BookingStatus::Confirmed => Step::Confirm { booking },
            _ => Step::Cancel { booking },
        });
        let row = self.booking_mut(booking).expect("it is there");
        row.record(to);
        self.slot.version += 1;
        if !to.takes_seats() {
            self.slot.available += self.seats_each;
            for seat in &mut self.seats {
                seat.taken_by.take_if(|taker| *taker == booking);
            }
        }
        StateChange::Done
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
            rows.iter()
                .zip(0..)
                .filter_map(move |(row, call)| Some((CallId { client, call }, row.as_ref()?)))
        })
    }

    /// Seats taken, counted from the bookings.
    pub fn taken(&self) -> i32 {
        let of_row = |row: &Booking| if row.status.takes_seats() { self.seats_each } else { 0 };
        self.others + self.bookings().map(|(_, row)| of_row(row)).sum::<i32>()
    }

    /// Whether too few seats are free for one more booking, counted from the bookings.
    pub fn is_full(&self) -> bool {
        self.taken() + self.seats_each > self.slot.capacity
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

/// Where a call stands in a set of calls.
fn bit(call: CallId) -> usize {
    usize::from(call.client) * CALLS + usize::from(call.call)
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
