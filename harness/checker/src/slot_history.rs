//! Slot histories: what clients observed of one slot, as steps of the spec with the intervals in
//! which they happened.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use slotproof_history::{ActionRef, ChangeRef, Name, OperationRef};
use slotproof_vocabulary::{BookingStatus, Outcome};

use crate::{
    History, basket, changed_booking,
    freshness::Freshness,
    held_interval::first_sent,
    slot_operations::{self, SlotOperations},
    spec::{Claim, Status, Step, Terms},
};

/// A step that a client observed, and when it happened.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What happened.
    pub step: Step<u32>,
    /// The numbers that the answer said the slot had then.
    pub claim: Claim,
    /// Not before this instant.
    pub sent_ns: u64,
    /// Not after this one, if it happened at all.
    pub returned_ns: u64,
    /// How long the booking is held from the step on, unless it is confirmed.
    pub hold_ns: Option<u64>,
    /// The slot's version that the answer carried.
    pub version: Option<i64>,
    /// Whether the answer is of now, and no receipt.
    pub fresh: bool,
    /// The operation's index in the history.
    pub index: u32,
    /// Whether it surely happened.
    pub sure: bool,
    /// Whether it happened in the same instant as the observation before it: a part of a basket.
    pub joined: bool,
}

impl Observation {
    /// The slot's version at the step, if the answer said it.
    pub(crate) fn fresh_version(&self) -> Option<i64> {
        self.version.filter(|_| self.fresh)
    }
}

/// Everything that clients observed of one slot. Bookings are numbered from 1.
#[derive(Debug, Clone, Default)]
pub struct SlotHistory {
    /// In the order of the history, but for the parts of a basket, which stand together; then the
    /// ends of holds.
    pub observations: Vec<Observation>,
    /// Why an order cannot be searched for, if it cannot: some operation is no step of the spec.
    pub unsearchable: Option<String>,
}

/// What other slots say about the operations of a slot.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Refusals that need not be true of their slot: another part of the basket may be why.
    pub(crate) excused: HashSet<usize>,
    /// Seats that a refused basket wanted of one slot, if it has several parts in it.
    pub(crate) wanted: HashMap<usize, i32>,
    /// The calls of baskets, by the indexes of their lines.
    pub(crate) basket_calls: HashMap<usize, usize>,
    /// Bookings that moved, by the index of the change.
    pub(crate) moved: HashMap<usize, Moved>,
}

/// A booking that a change moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The seats that it has after it.
    pub(crate) seats: i32,
    /// Whether it was confirmed before; `None` if that is not known.
    pub(crate) confirmed: Option<bool>,
    /// Whether it was made as a hold, which goes on running out in the other slot.
    pub(crate) is_hold: bool,
}

impl Moved {
    /// How long the booking is held at least after the move, if its hold can run out: as long as
    /// the answer says, or no time that is known.
    fn hold_ms(&self, told_ms: Option<u64>) -> Option<u64> {
        let may_run_out = self.is_hold && self.confirmed != Some(true);
        told_ms.or(may_run_out.then_some(0))
    }
}

/// Numbers of bookings, by their ids, and by the keys of requests that were not answered.
#[derive(Default)]
struct Names<'a> {
    by_id: HashMap<Name<'a>, u32>,
    by_key: HashMap<Name<'a>, u32>,
    /// Keys of requests that were not answered, with the hold that another attempt was told of:
    /// only those need a name.
    unanswered: HashMap<Name<'a>, Hold>,
    next: u32,
}

/// What is known of the hold that an unanswered reserve made, if it made one.
#[derive(Debug, Clone, Copy)]
enum Hold {
    /// Nothing.
    Unknown,
    /// As long as this; `None`: it is no hold.
    Told(Option<u64>),
}

impl<'a> Names<'a> {
    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The booking that an acknowledged reserve was told of, or that a move brought here.
    fn known_as(&mut self, id: Name<'a>) -> u32 {
        match self.by_id.get(&id) {
            Some(number) => *number,
            None => {
                let number = self.fresh();
                self.by_id.insert(id, number);
                number
            }
        }
    }

    /// The booking that a reserve made.
    fn made(&mut self, key: Name<'a>, id: Name<'a>) -> u32 {
        let number = self.known_as(id);
        if self.unanswered.contains_key(&key) {
            self.by_key.entry(key).or_insert(number);
        }
        number
    }

    /// The booking that an unanswered reserve may have made.
    fn perhaps(&mut self, key: Name<'a>) -> u32 {
        match self.by_key.get(&key) {
            Some(number) => *number,
            None => {
                let number = self.fresh();
                self.by_key.insert(key, number);
                number
            }
        }
    }
}

/// The history of every slot, one after the other: all of them at once would need as much memory as
/// the whole history.
pub fn each_slot(history: &History) -> impl Iterator<Item = (&str, SlotHistory)> {
    let elsewhere = Elsewhere { moved: moved(history), ..refused_alone(history) };
    slot_operations::by_slot(history).map(move |(slot, operations)| {
        (slot, of_slot(slot, &operations, &Freshness::of(&operations), &elsewhere))
    })
}

/// Baskets, each slot for itself: what a basket wanted of a slot it wanted at once, and a refusal is
/// the slot's own.
fn refused_alone(history: &History) -> Elsewhere {
    let calls = basket::calls(history);
    let mut elsewhere =
        Elsewhere { basket_calls: basket::call_of_line(&calls), ..Elsewhere::default() };
    for call in &calls {
        elsewhere.refused_parts(history, call);
    }
    elsewhere
}

impl Elsewhere {
    /// The parts of a call that was refused, as one part in each slot: its first line there, which
    /// stands for the others, and the seats that it wanted.
    pub(crate) fn refused_parts<'a>(
        &mut self,
        history: &'a History,
        call: &[usize],
    ) -> BTreeMap<&'a str, (usize, i64)> {
        let mut parts: BTreeMap<&str, (usize, i64)> = BTreeMap::new();
        for index in call {
            let operation = history.operations.at(*index);
            let (ActionRef::Reserve { seats, .. }, Outcome::SoldOut) =
                (operation.action, operation.outcome)
            else {
                continue;
            };
            let part = parts.entry(operation.slot.text()).or_insert((*index, 0));
            part.1 += i64::from(seats);
            if part.0 != *index {
                self.excused.insert(*index);
            }
        }
        self.wanted.extend(parts.values().map(|(index, seats)| (*index, *seats as i32)));
        parts
    }
}

/// The history of every slot, by the slot's name.
pub fn by_slot(history: &History) -> BTreeMap<&str, SlotHistory> {
    each_slot(history).collect()
}

/// What is known of the bookings that changes move, or refuse to. A booking whose changes overlap,
/// or of which one was not answered, has no seats that are known.
pub(crate) fn moved(history: &History) -> HashMap<usize, Moved> {
    let mut moved = HashMap::default();
    let asked = |operation: &OperationRef<'_>| matches!(operation.action, ActionRef::Change { .. });
    if !history.operations.iter().any(|operation| asked(&operation)) {
        return moved;
    }
    let changes = changed_booking::changes(history);
    let (mut reserved, mut confirms) = (HashMap::default(), HashMap::default());
    for operation in &history.operations {
        match (operation.action, operation.outcome, operation.seen.booking) {
            (ActionRef::Reserve { seats, .. }, Outcome::Ok, Some(booking)) => {
                let is_hold = operation.seen.hold_ms.is_some();
                let made = (seats as i32, operation.returned_ns, is_hold);
                reserved.entry(booking).or_insert(made);
            }
            (ActionRef::Confirm { booking }, Outcome::Ok | Outcome::Unknown, _) => {
                confirms.entry(booking).or_insert_with(Vec::new).push(operation);
            }
            _ => {}
        }
    }
    for (index, operation) in history.indexed().filter(|(_, operation)| asked(operation)) {
        let ActionRef::Change { booking, to } = operation.action else { continue };
        let Some((mut seats, mut settled_ns, is_hold)) = reserved.get(&booking).copied() else {
            continue;
        };
        let mut sure = true;
        let of_booking = changes.get(&booking).map(Vec::as_slice).unwrap_or_default();
        for (other, change) in of_booking.iter().filter(|(other, _)| *other != index) {
            if change.sent_ns > operation.returned_ns {
                break;
            }
            let ActionRef::Change { to, .. } = change.action else { continue };
            seats = to.seats.map_or(seats, |seats| seats as i32);
            settled_ns = settled_ns.max(change.returned_ns);
            sure &= change.outcome == Outcome::Ok && *other != index;
        }
        sure &= settled_ns <= operation.sent_ns || of_booking.len() <= 1;
        let seats = match to.seats {
            Some(seats) => seats as i32,
            None if sure => seats,
            None => continue,
        };
        let confirms = confirms.get(&booking).map(Vec::as_slice).unwrap_or_default();
        let before =
            |it: &OperationRef<'_>| it.outcome == Outcome::Ok && it.returned_ns < operation.sent_ns;
        let confirmed = if confirms.iter().any(before) {
            Some(true)
        } else if confirms.iter().all(|it| it.sent_ns > operation.returned_ns) {
            Some(false)
        } else {
            None
        };
        moved.insert(index, Moved { seats, confirmed, is_hold });
    }
    moved
}

/// The history of one slot.
pub(crate) fn of_slot(
    slot: &str,
    operations: &SlotOperations<'_>,
    freshness: &Freshness,
    elsewhere: &Elsewhere,
) -> SlotHistory {
    let mut reading = Reading {
        slot,
        freshness,
        elsewhere,
        names: Names::default(),
        confirms_matter: operations.just().any(|operation| {
            Claim::of(&operation.seen).splits()
                || operation.seen.status.is_some()
                || operation.awaits_approval()
                || operation.seen.hold_ms.is_some()
        }),
        observations: Vec::new(),
    };
    for operation in operations.just() {
        if let (ActionRef::Reserve { key, .. }, Outcome::Unknown) =
            (operation.action, operation.outcome)
        {
            reading.names.unanswered.insert(key, Hold::Unknown);
        }
    }
    for operation in operations.just() {
        reading.name(operation);
    }
    let mut unsearchable = None;
    for (index, operation) in operations.iter() {
        if let Err(reason) = reading.observe(index, operation) {
            unsearchable.get_or_insert(format!("line {}: {reason}", operations.line_of(index)));
        }
    }
    let expiries = expiries(slot, operations, elsewhere, &reading.names);
    let Reading { mut observations, .. } = reading;
    if !elsewhere.basket_calls.is_empty() {
        observations = basket::join_parts(observations, &elsewhere.basket_calls);
    }
    observations.extend(expiries);
    make_sure_of_cancels(&mut observations);
    SlotHistory { observations, unsearchable }
}

/// A booking that is told to be over, and that nothing but one unanswered cancel can have ended,
/// was ended by it, before the answer that says so.
fn make_sure_of_cancels(observations: &mut [Observation]) {
    // Before a booking is made it does not exist either.
    let mut made_by: HashMap<u32, u64> = HashMap::default();
    for observed in observations.iter().filter(|observed| observed.sure) {
        if let Step::Reserve { booking, .. } | Step::Enter { booking, .. } = observed.step {
            let made_ns = made_by.entry(booking).or_insert(u64::MAX);
            *made_ns = observed.returned_ns.min(*made_ns);
        }
    }
    let mut over_by: HashMap<u32, u64> = HashMap::default();
    for observed in observations.iter() {
        if let Step::Gone { booking } | Step::Look { booking, status: Status::Cancelled } =
            observed.step
            && made_by.get(&booking).is_some_and(|made_ns| *made_ns < observed.sent_ns)
        {
            let over_ns = over_by.entry(booking).or_insert(u64::MAX);
            *over_ns = observed.returned_ns.min(*over_ns);
        }
    }
    if over_by.is_empty() {
        return;
    }
    let mut ends: HashMap<u32, u32> = HashMap::default();
    for observed in observations.iter() {
        if let Step::Cancel { booking } | Step::Expire { booking } | Step::Leave { booking } =
            observed.step
        {
            *ends.entry(booking).or_default() += 1;
        }
    }
    for observed in observations.iter_mut().filter(|observed| !observed.sure) {
        let Step::Cancel { booking } = observed.step else { continue };
        if let (Some(1), Some(over_ns)) = (ends.get(&booking), over_by.get(&booking)) {
            (observed.sure, observed.returned_ns) = (true, *over_ns);
        }
    }
}

/// A slot's history in the making.
struct Reading<'a, 'e> {
    slot: &'e str,
    freshness: &'e Freshness,
    elsewhere: &'e Elsewhere,
    names: Names<'a>,
    /// Whether any answer tells pending seats from confirmed ones, or a booking's status, or any
    /// booking may take its seats by its confirm: only then does it matter whether a confirm
    /// happened that was not answered.
    confirms_matter: bool,
    observations: Vec<Observation>,
}

impl<'a> Reading<'a, '_> {
    /// Notes the names of bookings, which later lines may use before earlier ones.
    fn name(&mut self, operation: OperationRef<'a>) {
        match (operation.action, operation.outcome, operation.seen.booking) {
            (ActionRef::Reserve { key, .. }, Outcome::Ok, Some(id)) => {
                self.names.made(key, id);
                if let Some(hold) = self.names.unanswered.get_mut(&key) {
                    *hold = Hold::Told(operation.seen.hold_ms);
                }
            }
            (ActionRef::Change { booking, .. }, Outcome::Ok | Outcome::Unknown, _)
                if self.comes_here(operation) =>
            {
                self.names.known_as(booking);
            }
            _ => {}
        }
    }

    fn comes_here(&self, operation: OperationRef<'_>) -> bool {
        operation.moves_to().is_some_and(|to| *to == *self.slot)
    }

    fn known(&self, booking: Name<'_>) -> Result<u32, &'static str> {
        self.names
            .by_id
            .get(&booking)
            .copied()
            .ok_or("no reserve was acknowledged with this booking")
    }

    /// Adds what an operation says about the slot, if it says anything.
    fn observe(&mut self, index: usize, operation: OperationRef<'a>) -> Result<(), &'static str> {
        // The numbers in the answer to a move are those of the slot that it moves to.
        let leaves = operation.moves_to().is_some() && !self.comes_here(operation);
        let fresh = self.freshness.is_fresh(&operation) && !leaves;
        let claim = if fresh { Claim::of(&operation.seen) } else { Claim::NONE };
        let version =
            operation.seen.version.filter(|_| !leaves && operation.outcome != Outcome::Unknown);
        let sure = operation.outcome != Outcome::Unknown;
        let step = match self.step(index, operation)? {
            Some(step) => step,
            None if claim != Claim::NONE || version.is_some() => Step::Read,
            None => return Ok(()),
        };
        let hold_ms = match step {
            Step::Reserve { .. } if sure => operation.seen.hold_ms,
            Step::Reserve { .. } => match operation.action {
                ActionRef::Reserve { key, .. } => match self.names.unanswered.get(&key) {
                    Some(Hold::Told(hold_ms)) => *hold_ms,
                    Some(Hold::Unknown) | None => Some(0),
                },
                _ => None,
            },
            Step::Change { .. } => operation.seen.hold_ms,
            Step::Enter { .. } => {
                let moved = self.elsewhere.moved.get(&index);
                moved.and_then(|moved| moved.hold_ms(operation.seen.hold_ms))
            }
            _ => None,
        };
        self.observations.push(Observation {
            step,
            claim,
            sent_ns: operation.sent_ns,
            returned_ns: if sure { operation.returned_ns } else { u64::MAX },
            hold_ns: hold_ms.map(|hold_ms| hold_ms.saturating_mul(1_000_000)),
            version,
            fresh,
            index: u32::try_from(index).expect("the places of operations fit"),
            sure,
            joined: false,
        });
        Ok(())
    }

    /// `None` for an operation that says nothing about the slot's bookings.
    fn step(
        &mut self,
        index: usize,
        operation: OperationRef<'a>,
    ) -> Result<Option<Step<u32>>, &'static str> {
        let outcome = operation.outcome;
        if outcome == Outcome::Throttled {
            return Ok(None);
        }
        if outcome == Outcome::Rejected {
            return Ok(self.gone(operation));
        }
        Ok(match operation.action {
            ActionRef::Reserve { seats, .. } if outcome == Outcome::SoldOut => {
                let seats = self.elsewhere.wanted.get(&index).copied().unwrap_or(seats as i32);
                let judged = !self.elsewhere.excused.contains(&index);
                judged.then_some(Step::SoldOut { seats })
            }
            ActionRef::Reserve { seats, key } => {
                let booking = match operation.seen.booking {
                    Some(id) if outcome == Outcome::Ok => self.names.made(key, id),
                    _ => self.names.perhaps(key),
                };
                Some(Step::Reserve { booking, seats: seats as i32, terms: terms(operation) })
            }
            ActionRef::Confirm { booking } if outcome == Outcome::SoldOut => {
                let seats =
                    self.seats_of(booking).ok_or("it names no booking whose seats are known")?;
                Some(Step::SoldOutTo { booking: self.known(booking)?, seats })
            }
            ActionRef::Confirm { booking } if outcome == Outcome::Unknown => {
                let booking = self.names.by_id.get(&booking).copied();
                booking.filter(|_| self.confirms_matter).map(|booking| Step::Confirm { booking })
            }
            ActionRef::Confirm { booking } => Some(Step::Confirm { booking: self.known(booking)? }),
            ActionRef::Cancel { booking } if outcome == Outcome::Unknown => {
                let booking = self.names.by_id.get(&booking).copied();
                booking.map(|booking| Step::Cancel { booking })
            }
            ActionRef::Cancel { booking } => Some(Step::Cancel { booking: self.known(booking)? }),
            ActionRef::Change { booking, to } => self.change(index, operation, booking, to)?,
            ActionRef::Booking { booking } => match operation.seen.status {
                Some(seen) if outcome == Outcome::Ok => {
                    let booking = self.names.by_id.get(&booking).copied();
                    let status = match seen {
                        BookingStatus::Pending => Some(Status::Pending),
                        BookingStatus::Confirmed => Some(Status::Confirmed),
                        BookingStatus::Cancelled => Some(Status::Cancelled),
                        BookingStatus::Expired => Some(Status::Expired),
                        BookingStatus::Failed => None,
                    };
                    booking.zip(status).map(|(booking, status)| Step::Look { booking, status })
                }
                _ => None,
            },
            ActionRef::Read => None,
            ActionRef::Resize { capacity } => Some(Step::Resize { capacity: capacity.into() }),
        })
    }

    /// A refusal that says that a booking does not exist or has ended.
    fn gone(&self, operation: OperationRef<'_>) -> Option<Step<u32>> {
        let booking = *self.names.by_id.get(&operation.names_booking()?)?;
        operation.reason_code()?.means_gone().then_some(Step::Gone { booking })
    }

    fn change(
        &self,
        index: usize,
        operation: OperationRef<'_>,
        booking: Name<'_>,
        to: ChangeRef<'_>,
    ) -> Result<Option<Step<u32>>, &'static str> {
        let comes_here = self.comes_here(operation);
        let leaves = operation.moves_to().is_some() && !comes_here;
        let moved = self.elsewhere.moved.get(&index).copied();
        let moved = moved.ok_or("the seats of the booking are not known");
        if operation.outcome == Outcome::SoldOut {
            // The slot that a booking was to leave has refused nothing.
            return Ok(match (leaves, comes_here) {
                (true, _) => None,
                (false, true) => Some(Step::SoldOut { seats: moved?.seats }),
                (false, false) => {
                    Some(Step::SoldOutTo { booking: self.known(booking)?, seats: moved?.seats })
                }
            });
        }
        let booking = match self.known(booking) {
            Ok(booking) => booking,
            // A booking that was never acknowledged may have been changed, or not have been made.
            Err(_) if operation.outcome == Outcome::Unknown => return Ok(None),
            Err(reason) => return Err(reason),
        };
        if leaves {
            return Ok(Some(Step::Leave { booking }));
        }
        if !comes_here {
            let seats = to.seats.map(|seats| seats as i32);
            return Ok(Some(Step::Change { booking, seats }));
        }
        let Moved { seats, confirmed, .. } = moved?;
        let confirmed = match confirmed {
            Some(confirmed) => confirmed,
            None if !self.confirms_matter => false,
            None => return Err("whether the booking was confirmed before it moved is not known"),
        };
        Ok(Some(Step::Enter { booking, seats, confirmed }))
    }

    /// The seats of a booking that was made in this slot and never changed.
    fn seats_of(&self, booking: Name<'_>) -> Option<i32> {
        let number = *self.names.by_id.get(&booking)?;
        self.observations.iter().find_map(|observed| match observed.step {
            Step::Reserve { booking, seats, .. } if booking == number => Some(seats),
            _ => None,
        })
    }
}

fn terms(operation: OperationRef<'_>) -> Terms {
    if operation.awaits_approval() {
        Terms::Request
    } else if operation.may_overbook() {
        Terms::Overbook
    } else {
        Terms::Regular
    }
}

/// Bookings that may have given their seats back by themselves: holds, from when they can have run
/// out at the earliest, and bookings made by unanswered calls, whose hold time is unknown. A hold
/// whose confirm had returned before that cannot have. (A hold that a cancel ended may have run out
/// before: a service may answer `ok` to a cancel of an expired booking.)
fn expiries(
    slot: &str,
    operations: &SlotOperations<'_>,
    elsewhere: &Elsewhere,
    names: &Names<'_>,
) -> Vec<Observation> {
    let comes_here =
        |operation: OperationRef<'_>| operation.moves_to().is_some_and(|to| *to == *slot);
    let runs_out = |operation: OperationRef<'_>| {
        operation.seen.hold_ms.is_some()
            || operation.outcome == Outcome::Unknown
            || comes_here(operation)
    };
    if !operations.just().any(runs_out) {
        return Vec::new();
    }
    let first_sent = first_sent(operations);
    let mut answered: HashSet<Name<'_>> = HashSet::default();
    for operation in operations.just() {
        if let (ActionRef::Reserve { key, .. }, Outcome::Ok) = (operation.action, operation.outcome)
        {
            answered.insert(key);
        }
    }
    let mut holds: BTreeMap<u32, Observation> = BTreeMap::new();
    for (index, operation) in operations.iter() {
        let (booking, over_ns) = match (operation.action, operation.outcome) {
            (ActionRef::Reserve { key, .. }, Outcome::Ok) => {
                let (Some(id), Some(hold_ms)) = (&operation.seen.booking, operation.seen.hold_ms)
                else {
                    continue;
                };
                let hold_ns = hold_ms.saturating_mul(1_000_000);
                (names.by_id[id], first_sent[&key].saturating_add(hold_ns))
            }
            (ActionRef::Reserve { key, .. }, Outcome::Unknown) if !answered.contains(&key) => {
                (names.by_key[&key], first_sent[&key])
            }
            (ActionRef::Change { booking, .. }, Outcome::Ok | Outcome::Unknown) => {
                let told_ms = operation.seen.hold_ms;
                let hold_ms = match elsewhere.moved.get(&index) {
                    Some(moved) if comes_here(operation) => moved.hold_ms(told_ms),
                    _ => told_ms,
                };
                let (Some(booking), Some(hold_ms)) = (names.by_id.get(&booking), hold_ms) else {
                    continue;
                };
                let hold_ns = hold_ms.saturating_mul(1_000_000);
                (*booking, operation.sent_ns.saturating_add(hold_ns))
            }
            _ => continue,
        };
        let expiry = Observation {
            step: Step::Expire { booking },
            claim: Claim::NONE,
            sent_ns: over_ns,
            returned_ns: u64::MAX,
            hold_ns: None,
            version: None,
            fresh: false,
            index: index as u32,
            sure: false,
            joined: false,
        };
        let hold = holds.entry(booking).or_insert(expiry);
        hold.sent_ns = hold.sent_ns.min(over_ns);
    }
    for operation in operations.just() {
        if let (ActionRef::Confirm { booking }, Outcome::Ok) = (operation.action, operation.outcome)
            && let Some(booking) = names.by_id.get(&booking)
            && holds.get(booking).is_some_and(|hold| operation.returned_ns < hold.sent_ns)
        {
            holds.remove(booking);
        }
    }
    // A change revives a hold that had run out, and the hold may run out again.
    let mut expiries: Vec<Observation> = Vec::new();
    for operation in operations.just() {
        if let (ActionRef::Change { booking, .. }, Outcome::Ok | Outcome::Unknown) =
            (operation.action, operation.outcome)
        {
            let hold = names.by_id.get(&booking).and_then(|booking| holds.get(booking));
            expiries.extend(hold.cloned());
        }
    }
    expiries.extend(holds.into_values());
    expiries
}
