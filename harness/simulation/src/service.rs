//! The simulated service: each decision takes no time, and is right unless the service has a bug.
//!
//! Every change of a booking counts the slot's version up by one and is logged with it. A resize
//! counts a version and is not logged.

use std::collections::{BTreeMap, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{
    Action, Announced, AuditRecord, BookingRow, BookingStatus, EndState, Notice, Outcome,
    ProblemCode, Seen, SlotRow, StatusCount,
};

use crate::{Bug, Settings};

/// How often the sweeper looks for holds that ran out.
pub(crate) const SWEEP_NS: u64 = 20_000_000;

/// [`Bug::SoldOutCached`]: how long a refusal is repeated.
const REFUSAL_CACHED_NS: u64 = 200_000_000;
/// [`Bug::StaleRead`]: how old a copy may be.
const COPY_NS: u64 = 100_000_000;
/// [`Bug::LostAfterCrash`]: how many sweeps ago the state was that comes back.
const SWEEPS_LOST: usize = 5;

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<ProblemCode>,
    pub(crate) seen: Seen,
}

impl Answer {
    fn ok(seen: Seen) -> Self {
        Self { outcome: Outcome::Ok, reason: None, seen }
    }

    fn sold_out(seen: Seen) -> Self {
        Self { outcome: Outcome::SoldOut, reason: None, seen }
    }

    fn rejected(reason: ProblemCode) -> Self {
        Self { outcome: Outcome::Rejected, reason: Some(reason), seen: Seen::default() }
    }

    /// The client is asked to slow down.
    pub(crate) fn throttled() -> Self {
        let reason = Some(ProblemCode::RetryLater);
        Self { outcome: Outcome::Throttled, reason, seen: Seen::default() }
    }
}

/// What is stored.
#[derive(Debug, Clone, Default)]
struct Store {
    slots: Vec<Slot>,
    /// By id.
    bookings: BTreeMap<String, Booking>,
    /// By key.
    receipts: BTreeMap<String, Receipt>,
    log: Vec<AuditRecord>,
}

#[derive(Debug, Clone)]
struct Slot {
    name: String,
    capacity: i64,
    available: i64,
    version: i64,
}

#[derive(Debug, Clone)]
struct Booking {
    slot: usize,
    key: String,
    seats: i64,
    status: BookingStatus,
    /// When its hold runs out; `u64::MAX` if it is no hold.
    over_ns: u64,
}

#[derive(Debug, Clone)]
struct Receipt {
    client: u64,
    slot: usize,
    seats: u32,
    seen: Seen,
}

/// A call as the service gets it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) client: u64,
    pub(crate) slot: usize,
    pub(crate) action: Action,
}

/// [`Bug::LostUpdate`]: what a reserve read before it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counter {
    available: i64,
    version: i64,
}

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    store: Store,
    hold_ms: Option<u64>,
    bug: Option<Bug>,
    dice: ChaCha8Rng,
    /// How often the bug has changed something.
    pub(crate) strikes: u64,
    memory: Memory,
}

/// What only a service with a bug remembers.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// [`Bug::SoldOutCached`]: by slot, how many seats were refused, and until when that holds.
    refused: BTreeMap<usize, (u32, u64)>,
    /// [`Bug::StaleRead`]: by slot, a copy and until when it is good.
    copies: BTreeMap<usize, (Seen, u64)>,
    /// [`Bug::ExpiresConfirmed`]: the sweeper's list.
    due: Vec<String>,
    /// [`Bug::LostAfterCrash`]: the store as it was at the last sweeps, the oldest first.
    stores: VecDeque<Store>,
    /// [`Bug::HoldSinceRefusal`]: when each key was first refused.
    first_refused_ns: BTreeMap<String, u64>,
}

impl Service {
    pub(crate) fn new(settings: &Settings, bug: Option<Bug>, seed: u64) -> Self {
        let capacity = i64::from(settings.capacity);
        let slot = |number| Slot {
            name: format!("slot-{number}"),
            capacity,
            available: capacity,
            version: 0,
        };
        Self {
            store: Store { slots: (1..=settings.slots).map(slot).collect(), ..Store::default() },
            hold_ms: settings.hold_ms,
            bug,
            dice: ChaCha8Rng::seed_from_u64(seed),
            strikes: 0,
            memory: Memory::default(),
        }
    }

    /// The name of a slot.
    pub(crate) fn name(&self, slot: usize) -> &str {
        &self.store.slots[slot].name
    }

    /// Decides a call.
    pub(crate) fn decide(&mut self, request: &Request, now_ns: u64) -> Answer {
        let slot = request.slot;
        match &request.action {
            Action::Reserve { seats, key } => {
                let counter = self.counter(slot);
                self.reserve(request, *seats, key, counter, now_ns)
            }
            Action::Confirm { booking } => self.confirm(slot, booking, now_ns),
            Action::Cancel { booking } => self.cancel(slot, booking, now_ns),
            Action::Read => self.read(slot, now_ns),
            Action::Resize { capacity } => self.resize(slot, (*capacity).into()),
            Action::Change { .. } | Action::Booking { .. } => {
                unreachable!("no client of the simulation does this")
            }
        }
    }

    /// [`Bug::LostUpdate`]: what a reserve reads before it writes; `None` if it decides at once.
    pub(crate) fn reads_first(&self, request: &Request) -> Option<Counter> {
        let counter = self.counter(request.slot);
        let Action::Reserve { seats, .. } = request.action else { return None };
        let sells = i64::from(seats) <= counter.available;
        (self.bug == Some(Bug::LostUpdate) && sells).then_some(counter)
    }

    /// [`Bug::LostUpdate`]: decides a reserve by what it read before.
    pub(crate) fn decide_by(&mut self, request: &Request, counter: Counter, now_ns: u64) -> Answer {
        match &request.action {
            Action::Reserve { seats, key } => self.reserve(request, *seats, key, counter, now_ns),
            _ => self.decide(request, now_ns),
        }
    }

    /// Refuses a call before it is looked at.
    pub(crate) fn throttle(&mut self, request: &Request, now_ns: u64) -> Answer {
        if let Action::Reserve { key, .. } = &request.action {
            self.remember_refusal(key, now_ns);
        }
        Answer::throttled()
    }

    fn reserve(
        &mut self,
        request: &Request,
        seats: u32,
        key: &str,
        counter: Counter,
        now_ns: u64,
    ) -> Answer {
        if let Some(receipt) = self.store.receipts.get(key).cloned() {
            return self.show_receipt(request, seats, receipt);
        }
        let slot = request.slot;
        let wanted = i64::from(seats);
        let one_more = self.bug == Some(Bug::CapacityOffByOne) && wanted == counter.available + 1;
        let sells = wanted <= counter.available || one_more;
        if self.repeats_a_refusal(slot, seats, now_ns) {
            self.strikes += u64::from(sells);
            return Answer::sold_out(Seen::default());
        }
        if !sells {
            self.memory.refused.insert(slot, (seats, now_ns + REFUSAL_CACHED_NS));
            self.remember_refusal(key, now_ns);
            return Answer::sold_out(self.seen(slot));
        }
        self.strikes += u64::from(one_more);
        let booking = self.new_id(slot, key);
        let since_ns = self.hold_begins(key, now_ns);
        let row = Booking {
            slot,
            key: key.to_owned(),
            seats: wanted,
            status: BookingStatus::Pending,
            over_ns: self.hold_ms.map_or(u64::MAX, |hold_ms| since_ns + hold_ms * 1_000_000),
        };
        self.store.bookings.insert(booking.clone(), row);
        // The bug of a lost update: the counter and the version are those that were read.
        let now = &mut self.store.slots[slot];
        self.strikes += u64::from(now.version != counter.version);
        (now.available, now.version) = (counter.available - wanted, counter.version);
        self.log(&booking, None);
        let seen = Seen { booking: Some(booking.into()), hold_ms: self.hold_ms, ..self.seen(slot) };
        let receipt = Receipt { client: request.client, slot, seats, seen: seen.clone() };
        self.store.receipts.insert(key.to_owned(), receipt);
        Answer::ok(seen)
    }

    fn show_receipt(&mut self, request: &Request, seats: u32, receipt: Receipt) -> Answer {
        if receipt.slot != request.slot || receipt.seats != seats {
            return Answer::rejected(ProblemCode::IdempotencyMismatch);
        }
        if self.bug == Some(Bug::RetryCountedTwice) {
            let slot = &mut self.store.slots[request.slot];
            if slot.available >= i64::from(seats) {
                slot.available -= i64::from(seats);
                self.strikes += 1;
            }
        }
        if self.bug == Some(Bug::ReceiptOfAnotherSlot) {
            let others = self.store.receipts.values();
            let mut others = others.filter(|other| other.client == request.client);
            if let Some(other) = others.find(|other| other.slot != request.slot) {
                self.strikes += 1;
                return Answer::ok(other.seen.clone());
            }
        }
        Answer::ok(receipt.seen)
    }

    fn repeats_a_refusal(&self, slot: usize, seats: u32, now_ns: u64) -> bool {
        let refused = self.memory.refused.get(&slot);
        let refused = refused.filter(|_| self.bug == Some(Bug::SoldOutCached));
        refused.is_some_and(|(refused, until_ns)| *refused <= seats && now_ns < *until_ns)
    }

    fn new_id(&mut self, slot: usize, key: &str) -> String {
        let fresh = format!("booking-{key}");
        if self.bug != Some(Bug::BookingIdReused) || !self.dice.random_ratio(1, 10) {
            return fresh;
        }
        let ended = |(_, row): &(&String, &Booking)| row.slot == slot && !row.status.takes_seats();
        let Some((id, _)) = self.store.bookings.iter().find(ended) else { return fresh };
        self.strikes += 1;
        id.clone()
    }

    fn hold_begins(&mut self, key: &str, now_ns: u64) -> u64 {
        let refused_ns = self.memory.first_refused_ns.get(key);
        match refused_ns.filter(|_| self.bug == Some(Bug::HoldSinceRefusal)) {
            Some(refused_ns) => *refused_ns,
            None => now_ns,
        }
    }

    fn remember_refusal(&mut self, key: &str, now_ns: u64) {
        self.memory.first_refused_ns.entry(key.to_owned()).or_insert(now_ns);
    }

    fn confirm(&mut self, slot: usize, booking: &str, now_ns: u64) -> Answer {
        let Some(row) = self.store.bookings.get(booking).filter(|row| row.slot == slot) else {
            return Answer::rejected(ProblemCode::NotFound);
        };
        match row.status {
            BookingStatus::Confirmed => Answer::ok(self.seen(slot)),
            BookingStatus::Pending if now_ns < row.over_ns => {
                self.change(booking, BookingStatus::Confirmed);
                Answer::ok(self.seen(slot))
            }
            BookingStatus::Expired if self.bug == Some(Bug::ConfirmAfterExpiry) => {
                self.strikes += 1;
                self.change(booking, BookingStatus::Confirmed);
                Answer::ok(self.seen(slot))
            }
            BookingStatus::Pending | BookingStatus::Expired => {
                Answer::rejected(ProblemCode::HoldExpired)
            }
            BookingStatus::Cancelled | BookingStatus::Failed => {
                Answer::rejected(ProblemCode::WrongStatus)
            }
        }
    }

    fn cancel(&mut self, slot: usize, booking: &str, now_ns: u64) -> Answer {
        let Some(row) = self.store.bookings.get(booking).filter(|row| row.slot == slot) else {
            return Answer::rejected(ProblemCode::NotFound);
        };
        let seats = row.seats;
        match row.status {
            BookingStatus::Pending if row.over_ns <= now_ns => {
                Answer::rejected(ProblemCode::HoldExpired)
            }
            BookingStatus::Pending | BookingStatus::Confirmed => {
                if self.bug == Some(Bug::SeatLeak) && self.dice.random_ratio(1, 40) {
                    self.strikes += 1;
                } else {
                    self.store.slots[slot].available += seats;
                }
                self.change(booking, BookingStatus::Cancelled);
                Answer::ok(self.seen(slot))
            }
            BookingStatus::Cancelled => {
                if self.bug == Some(Bug::CancelFreesTwice) {
                    self.strikes += 1;
                    self.store.slots[slot].available += seats;
                }
                Answer::ok(self.seen(slot))
            }
            BookingStatus::Expired => Answer::rejected(ProblemCode::HoldExpired),
            BookingStatus::Failed => Answer::rejected(ProblemCode::WrongStatus),
        }
    }

    fn read(&mut self, slot: usize, now_ns: u64) -> Answer {
        let rows = || self.store.bookings.values().filter(|row| row.slot == slot);
        let seats = |status| rows().filter(|row| row.status == status).map(|row| row.seats).sum();
        let truth = Seen {
            pending: Some(seats(BookingStatus::Pending)),
            confirmed: Some(seats(BookingStatus::Confirmed)),
            capacity: Some(self.store.slots[slot].capacity),
            ..self.seen(slot)
        };
        if self.bug == Some(Bug::StaleRead) {
            let copy = self.memory.copies.entry(slot).or_insert((truth.clone(), 0));
            if copy.1 <= now_ns {
                *copy = (truth.clone(), now_ns + COPY_NS);
            }
            self.strikes += u64::from(copy.0 != truth);
            return Answer::ok(copy.0.clone());
        }
        Answer::ok(truth)
    }

    fn resize(&mut self, slot: usize, capacity: i64) -> Answer {
        let slot_row = &mut self.store.slots[slot];
        let available = slot_row.available + capacity - slot_row.capacity;
        if available < 0 {
            return Answer::rejected(ProblemCode::InvalidField);
        }
        slot_row.version += i64::from(capacity != slot_row.capacity);
        (slot_row.capacity, slot_row.available) = (capacity, available);
        Answer::ok(self.seen(slot))
    }

    /// Expires what ran out.
    pub(crate) fn sweep(&mut self, now_ns: u64) {
        let due = match self.bug {
            Some(Bug::HoldExpiresEarly) => {
                let half_ns = self.hold_ms.unwrap_or_default() * 500_000;
                self.pending_until(now_ns + half_ns)
            }
            Some(Bug::ExpiresConfirmed) => {
                let next = self.pending_until(now_ns + SWEEP_NS);
                std::mem::replace(&mut self.memory.due, next)
            }
            _ => self.pending_until(now_ns),
        };
        for booking in due {
            let row = &self.store.bookings[&booking];
            if !row.status.takes_seats() {
                continue;
            }
            // A hold that is as long as it should be has run out by now, and is not confirmed.
            let refused_ns = self.memory.first_refused_ns.get(&row.key);
            let counted_early = self.bug == Some(Bug::HoldSinceRefusal) && refused_ns.is_some();
            let early = row.status == BookingStatus::Confirmed || row.over_ns > now_ns;
            self.strikes += u64::from(early || counted_early);
            let (slot, seats) = (row.slot, row.seats);
            self.store.slots[slot].available += seats;
            self.change(&booking, BookingStatus::Expired);
        }
        if self.bug == Some(Bug::LostAfterCrash) {
            self.memory.stores.push_back(self.store.clone());
            if self.memory.stores.len() > SWEEPS_LOST {
                self.memory.stores.pop_front();
            }
        }
    }

    /// Holds that have run out by an instant.
    fn pending_until(&self, until_ns: u64) -> Vec<String> {
        let rows = self.store.bookings.iter();
        let due =
            rows.filter(|(_, row)| row.status == BookingStatus::Pending && row.over_ns <= until_ns);
        due.map(|(id, _)| id.clone()).collect()
    }

    /// Stops and comes back.
    pub(crate) fn crash(&mut self) {
        if self.bug != Some(Bug::LostAfterCrash) {
            return;
        }
        if let Some(old) = self.memory.stores.pop_front() {
            self.strikes += (self.store.log.len() - old.log.len()) as u64;
            self.store = old;
        }
    }

    /// When the last hold runs out.
    pub(crate) fn last_hold_over_ns(&self) -> Option<u64> {
        let rows = self.store.bookings.values();
        let holds = rows.filter(|row| row.status == BookingStatus::Pending);
        holds.map(|row| row.over_ns).filter(|over_ns| *over_ns < u64::MAX).max()
    }

    /// The audit log.
    pub(crate) fn log_so_far(&self) -> &[AuditRecord] {
        &self.store.log
    }

    /// The rows, and an announcement of each record.
    pub(crate) fn end_state(&self, now_ns: u64) -> EndState {
        let slot_row = |slot: &Slot| SlotRow {
            slot: slot.name.clone(),
            capacity: slot.capacity,
            available: slot.available,
            version: slot.version,
        };
        EndState {
            slots: self.store.slots.iter().map(slot_row).collect(),
            bookings: self.store.bookings.iter().map(|it| self.row(it, now_ns)).collect(),
            announced: Some(self.announced()),
            foreign: None,
            read_ns: Some(now_ns),
        }
    }

    fn row(&self, (id, booking): (&String, &Booking), now_ns: u64) -> BookingRow {
        // What is no hold has an end far away: a pending row must have one.
        const FAR_MS: i64 = -3_600_000;
        let overdue_ms = match booking.over_ns {
            u64::MAX => FAR_MS,
            over_ns => (now_ns as i64 - over_ns as i64) / 1_000_000,
        };
        let pending = booking.status == BookingStatus::Pending;
        BookingRow {
            booking: id.clone(),
            slot: self.name(booking.slot).to_owned(),
            status: booking.status,
            seats: booking.seats,
            key: Some(booking.key.clone()),
            overdue_ms: pending.then_some(overdue_ms),
        }
    }

    fn announced(&self) -> Announced {
        let notice = |record: &AuditRecord| Notice {
            slot: record.slot.clone(),
            version: record.version,
            booking: record.booking.clone(),
            status: record.to,
        };
        let mut sums: BTreeMap<BookingStatus, (i64, i64)> = BTreeMap::new();
        for record in &self.store.log {
            let (changes, seats) = sums.entry(record.to).or_default();
            (*changes, *seats) = (*changes + 1, *seats + record.seats);
        }
        let mut notices: Vec<Notice> = self.store.log.iter().map(notice).collect();
        notices.sort();
        let count = |(status, (changes, seats))| StatusCount { status, changes, seats };
        Announced { waiting: 0, notices, counts: sums.into_iter().map(count).collect() }
    }

    fn counter(&self, slot: usize) -> Counter {
        let Slot { available, version, .. } = self.store.slots[slot];
        Counter { available, version }
    }

    fn seen(&self, slot: usize) -> Seen {
        let Slot { available, version, .. } = self.store.slots[slot];
        Seen { version: Some(version), available: Some(available), ..Seen::default() }
    }

    fn change(&mut self, booking: &str, to: BookingStatus) {
        let row = self.store.bookings.get_mut(booking).expect("it was found");
        let from = std::mem::replace(&mut row.status, to);
        self.log(booking, Some(from));
    }

    fn log(&mut self, booking: &str, from: Option<BookingStatus>) {
        let row = &self.store.bookings[booking];
        let slot = &mut self.store.slots[row.slot];
        slot.version += 1;
        self.store.log.push(AuditRecord {
            slot: slot.name.clone(),
            version: slot.version,
            booking: booking.to_owned(),
            from,
            to: row.status,
            seats: row.seats,
            available: slot.available,
        });
    }
}
