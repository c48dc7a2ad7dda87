//! The search of tier C, porcupine-rs and an exhaustive search from the definition agree, and the
//! tiers that are not exact do not contradict them: on random small histories with weights, holds
//! that run out, keys sent again, versions and seats left in every kind of answer, changes, reads of
//! bookings, moves to another slot and back, baskets, resizes and unknown outcomes.
//!
//! The exhaustive search shares no line with the checker. It tries every order, keeps account of the
//! earliest instant of each step, lets holds run out when they may, and asks of every answer whether
//! it was true. Porcupine knows no time between steps, so it judges the histories without holds and
//! versions.

use std::collections::BTreeMap;

use porcupine_rs::{CheckResult, Model};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_checker::{
    Case, History, certificate,
    certificate::Certificate,
    judge,
    search::{Budget, Found, search},
    slot_history::by_slot,
};
use slotproof_vocabulary::{
    Action, BookingStatus, ChangeTo, Invariant, Operation, Outcome, Seen, Terms, Verdict,
    operation_builder,
};

const HISTORIES: u64 = 200_000;
/// A slot of more seats is never full in so short a history.
const CAPACITY_MAX: i64 = 4;
const MS: u64 = 1_000_000;

/// What answers say beyond what they must.
#[derive(Debug, Clone, Copy)]
struct Telling {
    versions: bool,
    numbers: bool,
    holds: bool,
}

/// A lawful service, one decision after the other.
struct Service {
    capacity: i64,
    version: i64,
    bookings: BTreeMap<String, Made>,
}

#[derive(Debug, Clone)]
struct Made {
    /// Whether it is in the slot that is judged; else it is in one where seats are never short.
    here: bool,
    seats: i64,
    status: BookingStatus,
    over_ns: Option<u64>,
    moved: bool,
    in_a_basket: bool,
    returned_ns: u64,
}

impl Service {
    fn taken(&self, status: BookingStatus) -> i64 {
        let here = self.bookings.values().filter(|it| it.here && it.status == status);
        here.map(|it| it.seats).sum()
    }

    fn free(&self) -> i64 {
        self.capacity - self.taken(BookingStatus::Pending) - self.taken(BookingStatus::Confirmed)
    }

    fn sweep(&mut self, now_ns: u64, rng: &mut ChaCha8Rng) {
        for made in self.bookings.values_mut() {
            let over = made.over_ns.is_some_and(|over_ns| over_ns <= now_ns);
            if made.status == BookingStatus::Pending && over && rng.random_bool(0.5) {
                made.status = BookingStatus::Expired;
                self.version += i64::from(made.here);
            }
        }
    }
}

/// A move of a booking out of the slot or into it.
fn moves(
    service: &mut Service,
    rng: &mut ChaCha8Rng,
    number: u64,
    at_ns: u64,
) -> Option<Operation> {
    let live = |made: &Made| {
        !made.moved
            && !made.in_a_basket
            && made.returned_ns < at_ns
            && matches!(made.status, BookingStatus::Pending | BookingStatus::Confirmed)
    };
    let movable: Vec<String> = service
        .bookings
        .iter()
        .filter(|(_, made)| live(made))
        .map(|(booking, _)| booking.clone())
        .collect();
    let booking = movable.get(rng.random_range(0..movable.len().max(1)))?.clone();
    let free = service.free();
    let made = service.bookings.get_mut(&booking).expect("it is known");
    let (from, to) = if made.here { ("s", "t") } else { ("t", "s") };
    let enters = !made.here;
    let earliest_ns = made.returned_ns + 1;
    let fits = !enters || made.seats <= free;
    if fits {
        (made.here, made.moved) = (enters, true);
        service.version += 1;
    }
    let mut seen = Seen::default();
    if enters {
        (seen.version, seen.available) = (Some(service.version), Some(service.free()));
    }
    let change = operation_builder::change(from, booking).to_slot(to).by(number);
    let change = change.at(earliest_ns, at_ns).seen(seen);
    Some(if fits { change.ok() } else { change.ends(Outcome::SoldOut) })
}

/// What one part of a basket asks for.
#[derive(Debug, Clone)]
struct Part {
    slot: &'static str,
    seats: u32,
    key: String,
    booking: String,
}

/// One or two parts in the slot that is judged, and perhaps one in the slot where seats are never
/// short, so that a refusal is always about the first.
fn random_parts(rng: &mut ChaCha8Rng, number: u64) -> Vec<Part> {
    let part = |slot, name: &str, seats| Part {
        slot,
        seats,
        key: format!("k{number}{name}"),
        booking: format!("b{number}{name}"),
    };
    let mut parts = vec![part("s", "", rng.random_range(1..=2))];
    if rng.random_bool(0.5) {
        parts.push(part("s", "x", rng.random_range(1..=2)));
    }
    if parts.len() == 1 || rng.random_bool(0.5) {
        // The parts in different slots may share their key and their booking.
        let name = if rng.random_bool(0.5) { "" } else { "t" };
        parts.push(part("t", name, 1));
    }
    parts
}

/// A basket: made in all its slots or in none, in one instant. Sometimes it is one that was refused
/// before, sent again.
fn basket(
    service: &mut Service,
    rng: &mut ChaCha8Rng,
    telling: Telling,
    (number, at_ns): (u64, u64),
    before: &[Operation],
) -> Vec<Operation> {
    let refused = before
        .iter()
        .rev()
        .find(|it| it.basket().is_some() && it.outcome != Outcome::Ok)
        .filter(|_| rng.random_bool(0.6));
    let (name, client, earliest_ns, parts) = match refused {
        Some(refused) => {
            let again = before.iter().filter(|it| it.process == refused.process);
            let parts = again.filter_map(|it| match &it.action {
                Action::Reserve { seats, key } => Some(Part {
                    slot: if *it.slot == *"s" { "s" } else { "t" },
                    seats: *seats,
                    key: key.to_string(),
                    booking: key.replace('k', "b"),
                }),
                _ => None,
            });
            let name = refused.basket().expect("it was asked for").to_owned();
            (name, refused.client, refused.returned_ns + 1, parts.collect())
        }
        None => (format!("o{number}"), number, 0, random_parts(rng, number)),
    };
    let here = || parts.iter().filter(|part| part.slot == "s");
    let wanted: i64 = here().map(|part| i64::from(part.seats)).sum();
    let outcome = if rng.random_bool(0.1) {
        Outcome::Throttled
    } else if wanted <= service.free() {
        Outcome::Ok
    } else {
        Outcome::SoldOut
    };
    let sent_ns = (at_ns - rng.random_range(0..45) * MS).max(earliest_ns).min(at_ns);
    let returned_ns = at_ns + rng.random_range(0..45) * MS;
    let mut seen = Seen::default();
    if outcome == Outcome::Ok {
        let hold = telling.holds && rng.random_bool(0.6);
        seen.hold_ms = hold.then(|| rng.random_range(0..60));
        for part in here() {
            let made = Made {
                here: true,
                moved: false,
                in_a_basket: true,
                seats: part.seats.into(),
                status: BookingStatus::Pending,
                over_ns: seen.hold_ms.map(|hold_ms| at_ns + hold_ms * MS),
                returned_ns,
            };
            service.bookings.insert(part.booking.clone(), made);
        }
        service.version += 1;
    }
    let says = outcome != Outcome::Throttled && rng.random_bool(0.8);
    let version = (telling.versions && says).then_some(service.version);
    let numbers = telling.numbers && says && rng.random_bool(0.5);
    let available = numbers.then(|| service.free());
    let line = |part: &Part| {
        let mut seen = seen.clone();
        seen.booking = (outcome == Outcome::Ok).then(|| part.booking.as_str().into());
        if part.slot == "s" {
            (seen.version, seen.available) = (version, available);
        }
        let action = Action::Reserve { seats: part.seats, key: part.key.as_str().into() };
        let operation = operation_builder::operation(part.slot, action).by(number);
        let terms = Terms { basket: Some(name.as_str().into()), ..Terms::default() };
        Operation {
            client,
            terms: Some(Box::new(terms)),
            ..operation.at(sent_ns, returned_ns).seen(seen).ends(outcome)
        }
    };
    parts.iter().map(line).collect()
}

/// The parts of a basket share one call, and most often one outcome, whatever else was spoilt.
fn mend_baskets(operations: &mut [Operation], rng: &mut ChaCha8Rng) {
    for place in 1..operations.len() {
        let told = operations[place].seen.booking.as_ref();
        let needed = told.is_some_and(|booking| named(operations, booking));
        let (before, after) = operations.split_at_mut(place);
        let (first, part) = (&before[place - 1], &mut after[0]);
        if part.basket().is_none() || part.process != first.process {
            continue;
        }
        (part.sent_ns, part.returned_ns) = (first.sent_ns, first.returned_ns);
        if part.outcome == Outcome::Ok && first.outcome == Outcome::Ok {
            part.seen.hold_ms = first.seen.hold_ms;
        }
        if part.outcome != first.outcome && !needed && rng.random_bool(0.7) {
            part.outcome = first.outcome;
            part.seen.booking =
                first.seen.booking.as_ref().map(|_| format!("forged with {place}").into());
            part.seen.hold_ms = first.seen.hold_ms;
        }
    }
}

/// What clients see of a lawful service, then spoilt in a few places.
fn random(rng: &mut ChaCha8Rng, telling: Telling) -> (History, i64) {
    let at_first = rng.random_range(1..=CAPACITY_MAX);
    let mut service = Service { capacity: at_first, version: 0, bookings: BTreeMap::new() };
    let mut operations: Vec<Operation> = Vec::new();
    let mut at_ns = 100 * MS;
    for number in 0..rng.random_range(2..=7_u64) {
        at_ns += 10 * MS;
        service.sweep(at_ns, rng);
        let (mut seen, mut outcome, mut reason) = (Seen::default(), Outcome::Ok, None);
        let mut earliest_ns = 0;
        let mut slot = "s";
        if rng.random_bool(0.15)
            && let Some(mut moved) = moves(&mut service, rng, number, at_ns)
        {
            moved.sent_ns = moved.sent_ns.max(at_ns - rng.random_range(0..45) * MS);
            moved.returned_ns = at_ns + rng.random_range(0..45) * MS;
            moved.seen.version = moved.seen.version.filter(|_| telling.versions);
            moved.seen.available = moved.seen.available.filter(|_| telling.numbers);
            operations.push(moved);
            continue;
        }
        if rng.random_bool(0.15) {
            let parts = basket(&mut service, rng, telling, (number, at_ns), &operations);
            operations.extend(parts);
            continue;
        }
        // What was moved is left alone.
        let here = service.bookings.iter().filter(|(_, made)| made.here && !made.moved);
        let known: Vec<String> = here.map(|(booking, _)| booking.clone()).collect();
        let known = (!known.is_empty()).then(|| known[rng.random_range(0..known.len())].clone());
        if let Some(booking) = &known {
            earliest_ns = service.bookings[booking].returned_ns + 1;
        }
        let mut hold_ms = None;
        let action = match (rng.random_range(0..14), known) {
            (13, _) => {
                let wanted = rng.random_range(0..=4_u32);
                service.version += i64::from(service.capacity != i64::from(wanted));
                service.capacity = wanted.into();
                earliest_ns = 0;
                Action::Resize { capacity: wanted }
            }
            (5 | 6, Some(booking)) => {
                let made = service.bookings.get_mut(&booking).expect("it is known");
                if matches!(made.status, BookingStatus::Pending | BookingStatus::Confirmed) {
                    service.version += 1;
                }
                made.status = BookingStatus::Cancelled;
                Action::Cancel { booking: booking.into() }
            }
            (7 | 8, Some(booking)) => {
                let free = service.free();
                let made = service.bookings.get_mut(&booking).expect("it is known");
                match made.status {
                    BookingStatus::Confirmed => {}
                    BookingStatus::Pending => {
                        made.status = BookingStatus::Confirmed;
                        service.version += i64::from(rng.random_bool(0.5));
                    }
                    BookingStatus::Expired if made.seats <= free => {
                        made.status = BookingStatus::Confirmed;
                        service.version += 1;
                    }
                    _ => (outcome, reason) = (Outcome::Rejected, Some("gone")),
                }
                Action::Confirm { booking: booking.into() }
            }
            (9, Some(booking)) => {
                let made = &service.bookings[&booking];
                let over = made.over_ns.is_some_and(|over_ns| over_ns <= at_ns);
                if made.status == BookingStatus::Pending && over && rng.random_bool(0.5) {
                    seen.status = Some(BookingStatus::Expired);
                } else if rng.random_bool(0.5) {
                    seen.status = Some(made.status);
                } else if matches!(made.status, BookingStatus::Cancelled | BookingStatus::Expired) {
                    (outcome, reason) = (Outcome::Rejected, Some("gone"));
                } else {
                    seen.status = Some(made.status);
                }
                Action::Booking { booking: booking.into() }
            }
            (10, Some(booking)) => {
                let free = service.free();
                let wanted = rng.random_range(1..=3_u32);
                let made = service.bookings.get_mut(&booking).expect("it is known");
                let live = matches!(made.status, BookingStatus::Pending | BookingStatus::Confirmed);
                if !live {
                    (outcome, reason) = (Outcome::Rejected, Some("gone"));
                } else if i64::from(wanted) - made.seats <= free.max(0) {
                    service.version += i64::from(made.seats != i64::from(wanted));
                    made.seats = wanted.into();
                    if telling.holds && made.over_ns.is_some() && rng.random_bool(0.5) {
                        let extension_ms = rng.random_range(0..60);
                        made.over_ns = Some(at_ns + extension_ms * MS);
                        hold_ms = Some(extension_ms);
                    }
                } else {
                    outcome = Outcome::SoldOut;
                }
                let to = ChangeTo { slot: None, seats: Some(wanted) };
                Action::Change { booking: booking.into(), to: Box::new(to) }
            }
            (0..=8, _) => {
                earliest_ns = 0;
                let seats = rng.random_range(1..=2_u32);
                // Sometimes again by the key of a call before, if that was refused.
                let again = operations.iter().rev().find(|operation| {
                    operation.outcome != Outcome::Ok
                        && *operation.slot == *"s"
                        && operation.basket().is_none()
                        && matches!(operation.action, Action::Reserve { .. })
                });
                let again = again
                    .filter(|_| rng.random_bool(0.4))
                    .map(|operation| (operation.action.clone(), operation.returned_ns));
                let (action, returned_ns) = again.unwrap_or_else(|| {
                    (Action::Reserve { seats, key: format!("k{number}").into() }, 0)
                });
                earliest_ns = earliest_ns.max(returned_ns + 1);
                let Action::Reserve { seats, .. } = &action else { unreachable!("a reserve") };
                let elsewhere = returned_ns == 0 && rng.random_bool(0.2);
                if elsewhere {
                    slot = "t";
                }
                if rng.random_bool(0.15) {
                    outcome = Outcome::Throttled;
                } else if elsewhere || i64::from(*seats) <= service.free() {
                    let booking = format!("b{number}");
                    let hold = telling.holds && rng.random_bool(0.6);
                    hold_ms = hold.then(|| rng.random_range(0..60));
                    let made = Made {
                        here: !elsewhere,
                        moved: false,
                        in_a_basket: false,
                        seats: (*seats).into(),
                        status: BookingStatus::Pending,
                        over_ns: hold_ms.map(|hold_ms| at_ns + hold_ms * MS),
                        returned_ns: 0,
                    };
                    service.bookings.insert(booking.clone(), made);
                    service.version += i64::from(!elsewhere);
                    seen.booking = Some(booking.into());
                } else {
                    outcome = Outcome::SoldOut;
                }
                action
            }
            _ => {
                earliest_ns = 0;
                Action::Read
            }
        };
        seen.hold_ms = hold_ms;
        let says = outcome != Outcome::Throttled && rng.random_bool(0.8);
        seen.version = (telling.versions && says).then_some(service.version);
        let always = matches!(action, Action::Read);
        let numbers = always || (telling.numbers && says && rng.random_bool(0.5));
        seen.available = numbers.then(|| service.free());
        if telling.numbers && always && rng.random_bool(0.5) {
            seen.pending = Some(service.taken(BookingStatus::Pending));
            seen.confirmed = Some(service.taken(BookingStatus::Confirmed));
        }
        let sent_ns = (at_ns - rng.random_range(0..45) * MS).max(earliest_ns).min(at_ns);
        let returned_ns = at_ns + rng.random_range(0..45) * MS;
        if let Some(booking) = &seen.booking {
            service.bookings.get_mut(&**booking).expect("it was made").returned_ns = returned_ns;
        }
        if slot == "t" {
            (seen.version, seen.available) = (None, None);
        }
        let mut operation = operation_builder::operation(slot, action)
            .by(number)
            .at(sent_ns, returned_ns)
            .seen(seen)
            .ends(outcome);
        operation.reason = reason.map(Into::into);
        operations.push(operation);
    }
    // Most histories are spoilt in a few places; that does not always make them impossible.
    for _ in 0..rng.random_range(0..=6) {
        spoil(&mut operations, rng);
    }
    mend_baskets(&mut operations, rng);
    for place in 0..operations.len() {
        // A client that changes a booking has been told of it.
        let process = operations[place].process;
        let call = || operations.iter().filter(|it| it.process == process);
        let needed = call().filter_map(|it| it.seen.booking.as_ref());
        let needed = needed.into_iter().any(|booking| named(&operations, booking));
        let ok = call().all(|it| it.outcome == Outcome::Ok && it.moves_to().is_none());
        if rng.random_bool(0.1) && ok && !needed {
            for part in operations.iter_mut().filter(|it| it.process == process) {
                (part.outcome, part.seen) = (Outcome::Unknown, Seen::default());
            }
        }
    }
    (History::of(operations), at_first)
}

/// Whether any operation is about a booking.
fn named(operations: &[Operation], booking: &str) -> bool {
    operations.iter().any(|operation| operation.names_booking() == Some(booking))
}

fn spoil(operations: &mut [Operation], rng: &mut ChaCha8Rng) {
    let place = rng.random_range(0..operations.len());
    // The other slot is not judged.
    if *operations[place].slot == *"t" && operations[place].moves_to().is_none() {
        return;
    }
    let told = operations[place].seen.booking.clone();
    let needed = told.as_ref().is_some_and(|booking| named(operations, booking));
    let key_again = match &operations[place].action {
        Action::Reserve { key, .. } => {
            let same = |other: &&Operation| matches!(&other.action, Action::Reserve { key: of, .. } if of == key);
            operations.iter().filter(same).count() > 1
        }
        _ => false,
    };
    let operation = &mut operations[place];
    match rng.random_range(0..6) {
        0 => operation.returned_ns = operation.sent_ns + rng.random_range(0..5) * MS,
        1 => {
            // A dependent call stays behind the answer that it needs.
            let independent = operation.names_booking().is_none() && told.is_none() && !key_again;
            if independent {
                let length = operation.returned_ns - operation.sent_ns;
                operation.sent_ns = rng.random_range(0..150) * MS;
                operation.returned_ns = operation.sent_ns + length;
            }
        }
        2 => {
            let seen = &mut operation.seen;
            let numbers = [&mut seen.available, &mut seen.pending, &mut seen.confirmed];
            for number in numbers.into_iter().flatten() {
                *number += i64::from(rng.random_bool(0.5));
            }
        }
        3 => {
            if let Some(version) = &mut operation.seen.version {
                *version += rng.random_range(-1..=1);
            }
        }
        4 => match &mut operation.seen.status {
            Some(status) if rng.random_bool(0.5) => *status = BookingStatus::Confirmed,
            Some(status) => *status = BookingStatus::Expired,
            None => {}
        },
        _ => {
            let reserves = matches!(operation.action, Action::Reserve { .. });
            if reserves && operation.outcome == Outcome::SoldOut {
                operation.outcome = Outcome::Ok;
                operation.seen.booking = Some(format!("forged{place}").into());
            } else if reserves && operation.outcome == Outcome::Ok && !needed {
                (operation.outcome, operation.seen.booking) = (Outcome::SoldOut, None);
                operation.seen.hold_ms = None;
            }
        }
    }
}

/// What happened, in types that share nothing with the checker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Event {
    Reserve(String, i64),
    /// All of these are made, or none.
    Basket(Vec<(String, i64)>),
    Confirm(String),
    Cancel(String),
    Change(String, i64),
    /// A change was told that there are too few seats.
    NoChange(String, i64),
    Leave(String),
    /// It comes with so many seats, confirmed or not.
    Enter(String, i64, bool),
    SoldOut(i64),
    Is(String, Life),
    Gone(String),
    Look,
    Resize(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Elsewhere,
    Pending,
    Confirmed,
    Cancelled,
    Expired,
}

#[derive(Debug, Clone)]
struct Timed {
    event: Event,
    sent_ns: u64,
    returned_ns: u64,
    sure: bool,
    hold_ns: Option<u64>,
    version: Option<i64>,
    available: Option<i64>,
    pending: Option<i64>,
    confirmed: Option<i64>,
    /// What the other line of one answer says.
    also_available: Option<i64>,
    /// The lines of one answer say different versions.
    two_versions: bool,
}

/// A history as its lines say it.
struct Lines {
    operations: Vec<Operation>,
}

impl Lines {
    fn of(history: &History) -> Self {
        Self { operations: history.operations.iter().map(|it| it.to_operation()).collect() }
    }
}

/// Whether some basket was made in part.
fn half_a_basket(history: &Lines) -> bool {
    let parts = || history.operations.iter().filter(|it| it.basket().is_some());
    let refused = |it: &Operation| !matches!(it.outcome, Outcome::Ok | Outcome::Unknown);
    parts().any(|part| {
        let made = part.outcome == Outcome::Ok;
        made && parts().any(|other| other.process == part.process && refused(other))
    })
}

/// Adds another part of a basket in this slot to the part that came before it.
fn join(timed: &mut Timed, part: Timed) {
    match (&mut timed.event, part.event) {
        (Event::Basket(parts), Event::Basket(more)) => parts.extend(more),
        (Event::SoldOut(seats), Event::SoldOut(more)) => *seats += more,
        // Of a basket that was made in part nothing more need be known.
        _ => {}
    }
    timed.also_available = part.available;
    let versions = timed.version.zip(part.version);
    timed.two_versions = versions.is_some_and(|(said, also)| said != also);
    timed.version = timed.version.or(part.version);
}

/// Whether an acknowledgement is the first one of what it acknowledges.
fn is_fresh(history: &Lines, operation: &Operation) -> bool {
    let what = |operation: &Operation| match &operation.action {
        Action::Reserve { key, .. } => Some(("reserve", key.to_string())),
        Action::Confirm { booking } => Some(("confirm", booking.to_string())),
        Action::Cancel { booking } => Some(("cancel", booking.to_string())),
        _ => None,
    };
    if operation.outcome != Outcome::Ok || what(operation).is_none() {
        return operation.outcome != Outcome::Unknown;
    }
    let others = history.operations.iter().filter(|other| {
        what(other) == what(operation)
            && matches!(other.outcome, Outcome::Ok | Outcome::Unknown)
            && other.process != operation.process
    });
    others.into_iter().all(|other| other.sent_ns > operation.returned_ns)
}

fn events(history: &Lines) -> Vec<Timed> {
    let (mut events, mut last_process): (Vec<Timed>, Option<u64>) = (Vec::new(), None);
    let told = |booking: &str| {
        let mut reserves = history.operations.iter();
        reserves.any(|it| it.outcome == Outcome::Ok && it.seen.booking.as_deref() == Some(booking))
    };
    // The booking that a key made, and its hold, if some attempt was told.
    let made_by = |key: &str| {
        history.operations.iter().find_map(|operation| match &operation.action {
            Action::Reserve { key: of, .. } if **of == *key && operation.outcome == Outcome::Ok => {
                Some((operation.seen.booking.clone()?, operation.seen.hold_ms))
            }
            _ => None,
        })
    };
    let concerns = |operation: &&Operation| {
        *operation.slot == *"s" || operation.moves_to().is_some_and(|to| **to == *"s")
    };
    for operation in history.operations.iter().filter(concerns) {
        let outcome = operation.outcome;
        let sure = outcome != Outcome::Unknown;
        let fresh = is_fresh(history, operation);
        let mut hold_ms = operation.seen.hold_ms;
        let event = match (&operation.action, outcome) {
            (_, Outcome::Rejected) => {
                let booking = operation.names_booking().filter(|booking| told(booking));
                match booking {
                    Some(booking) => Event::Gone(booking.to_owned()),
                    None => Event::Look,
                }
            }
            (_, Outcome::Throttled) => Event::Look,
            (Action::Reserve { seats, .. }, Outcome::SoldOut) => Event::SoldOut((*seats).into()),
            (Action::Reserve { seats, key }, _) => {
                let booking = match (made_by(key), sure) {
                    (Some((booking, _)), true) => booking.to_string(),
                    (Some((booking, told_ms)), false) => {
                        hold_ms = told_ms;
                        booking.to_string()
                    }
                    (None, _) => {
                        // Its hold time is unknown.
                        hold_ms = Some(0);
                        format!("of {key}")
                    }
                };
                let booking = match (&operation.seen.booking, sure) {
                    (Some(id), true) => id.to_string(),
                    _ => booking,
                };
                match operation.basket() {
                    Some(_) => Event::Basket(vec![(booking, (*seats).into())]),
                    None => Event::Reserve(booking, (*seats).into()),
                }
            }
            (Action::Confirm { booking }, _) => {
                if !sure && !told(booking) {
                    continue;
                }
                Event::Confirm(booking.to_string())
            }
            (Action::Cancel { booking }, _) => {
                if !sure && !told(booking) {
                    continue;
                }
                Event::Cancel(booking.to_string())
            }
            (Action::Change { booking, to }, _) if to.slot.is_some() => {
                let enters = *operation.slot != *"s";
                let (seats, told_ms) = reserved(history, booking);
                match (enters, outcome) {
                    (false, _) => Event::Leave(booking.to_string()),
                    (true, Outcome::SoldOut) => Event::SoldOut(seats),
                    (true, _) => {
                        // Nobody says how long it is still held.
                        hold_ms = told_ms.map(|_| 0);
                        Event::Enter(booking.to_string(), seats, false)
                    }
                }
            }
            (Action::Change { booking, to }, _) => {
                let seats = to.seats.expect("each change here says its seats").into();
                match outcome {
                    Outcome::SoldOut => Event::NoChange(booking.to_string(), seats),
                    _ => Event::Change(booking.to_string(), seats),
                }
            }
            (Action::Booking { booking }, _) => match operation.seen.status {
                Some(BookingStatus::Pending) => Event::Is(booking.to_string(), Life::Pending),
                Some(BookingStatus::Confirmed) => Event::Is(booking.to_string(), Life::Confirmed),
                Some(BookingStatus::Cancelled) => Event::Is(booking.to_string(), Life::Cancelled),
                Some(BookingStatus::Expired) => Event::Is(booking.to_string(), Life::Expired),
                _ => continue,
            },
            (Action::Read, _) if sure => Event::Look,
            (Action::Read, _) => continue,
            (Action::Resize { capacity }, _) => Event::Resize((*capacity).into()),
        };
        let said = |number: Option<i64>| number.filter(|_| fresh);
        let timed = Timed {
            event,
            sent_ns: operation.sent_ns,
            returned_ns: if sure { operation.returned_ns } else { u64::MAX },
            sure,
            hold_ns: hold_ms.map(|hold_ms| hold_ms * MS),
            version: said(operation.seen.version),
            available: said(operation.seen.available),
            pending: said(operation.seen.pending),
            confirmed: said(operation.seen.confirmed),
            also_available: None,
            two_versions: false,
        };
        match (last_process.replace(operation.process), events.last_mut()) {
            (Some(process), Some(first)) if process == operation.process => join(first, timed),
            _ => events.push(timed),
        }
    }
    events
}

/// The seats of a booking and its hold, as it was reserved.
fn reserved(history: &Lines, booking: &str) -> (i64, Option<u64>) {
    let mut made = history.operations.iter().filter_map(|operation| match operation.action {
        Action::Reserve { seats, .. } if operation.seen.booking.as_deref() == Some(booking) => {
            Some((i64::from(seats), operation.seen.hold_ms))
        }
        _ => None,
    });
    made.next().expect("only what was made is moved")
}

/// A booking: its seats, where it is in its life, and when its hold can run out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kept {
    seats: i64,
    life: Life,
    over_ns: Option<u64>,
}

/// The slot between two events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct State {
    capacity: i64,
    bookings: BTreeMap<String, Kept>,
}

impl State {
    fn in_life(&self, life: Life) -> i64 {
        self.bookings.values().filter(|it| it.life == life).map(|it| it.seats).sum()
    }

    fn free(&self) -> i64 {
        self.capacity - self.in_life(Life::Pending) - self.in_life(Life::Confirmed)
    }
}

/// The slot after an event at an instant; `None` if it cannot happen then.
fn after(state: &State, event: &Event, hold_ns: Option<u64>, now_ns: u64) -> Option<State> {
    let mut next = state.clone();
    let fits = |more: i64| more <= 0 || more <= state.free();
    let over_ns = hold_ns.map(|hold_ns| now_ns + hold_ns);
    let possible = match event {
        Event::Reserve(booking, seats) => {
            if state.bookings.contains_key(booking) {
                return Some(next);
            }
            let made = Kept { seats: *seats, life: Life::Pending, over_ns };
            next.bookings.insert(booking.clone(), made);
            fits(*seats)
        }
        Event::Basket(parts) => {
            if state.bookings.contains_key(&parts[0].0) {
                return Some(next);
            }
            for (booking, seats) in parts {
                let made = Kept { seats: *seats, life: Life::Pending, over_ns };
                next.bookings.insert(booking.clone(), made);
            }
            fits(parts.iter().map(|(_, seats)| seats).sum())
        }
        Event::Confirm(booking) => {
            let kept = next.bookings.get_mut(booking)?;
            let before = kept.life;
            kept.life = Life::Confirmed;
            match before {
                Life::Pending | Life::Confirmed => true,
                Life::Expired => fits(kept.seats),
                Life::Cancelled | Life::Elsewhere => false,
            }
        }
        Event::Leave(booking) => {
            let kept = next.bookings.get_mut(booking)?;
            let was = std::mem::replace(&mut kept.life, Life::Elsewhere);
            was != Life::Cancelled && was != Life::Elsewhere
        }
        Event::Enter(booking, seats, confirmed) => {
            let life = if *confirmed { Life::Confirmed } else { Life::Pending };
            let made = Kept { seats: *seats, life, over_ns };
            next.bookings.insert(booking.clone(), made).is_none() && fits(*seats)
        }
        Event::Cancel(booking) => {
            next.bookings.get_mut(booking)?.life = Life::Cancelled;
            true
        }
        Event::Change(booking, seats) => {
            let kept = next.bookings.get_mut(booking)?;
            let had = match kept.life {
                Life::Pending | Life::Confirmed => kept.seats,
                Life::Expired => 0,
                Life::Cancelled | Life::Elsewhere => return None,
            };
            if kept.life == Life::Expired {
                kept.life = Life::Pending;
            }
            kept.seats = *seats;
            kept.over_ns = over_ns.or(kept.over_ns);
            fits(seats - had)
        }
        Event::NoChange(booking, seats) => {
            let kept = state.bookings.get(booking)?;
            let live = matches!(kept.life, Life::Pending | Life::Confirmed);
            !fits(seats - if live { kept.seats } else { 0 })
        }
        Event::SoldOut(seats) => *seats > state.free(),
        Event::Is(booking, life) => state.bookings.get(booking)?.life == *life,
        Event::Gone(booking) => state
            .bookings
            .get(booking)
            .is_none_or(|kept| !matches!(kept.life, Life::Pending | Life::Confirmed)),
        Event::Look => true,
        Event::Resize(wanted) => {
            next.capacity = *wanted;
            true
        }
    };
    possible.then_some(next)
}

/// Whether the numbers in an answer are those of the slot.
fn is_true(timed: &Timed, state: &State) -> bool {
    let free = state.free();
    let is_free = |said: i64| said == free || (free < 0 && said == 0);
    !timed.two_versions
        && timed.available.is_none_or(is_free)
        && timed.also_available.is_none_or(is_free)
        && timed.pending.is_none_or(|said| said == state.in_life(Life::Pending))
        && timed.confirmed.is_none_or(|said| said == state.in_life(Life::Confirmed))
}

/// The version after an event: each change of the seats that are taken has one of its own, and
/// other changes may.
fn version_after(before: Option<i64>, said: Option<i64>, moved: bool) -> Option<Option<i64>> {
    match (before, said) {
        (None, said) => Some(said),
        (Some(before), None) => Some(Some(before + i64::from(moved))),
        (Some(before), Some(said)) => {
            let rises = if moved { said > before } else { said >= before };
            rises.then_some(Some(said))
        }
    }
}

fn taken(state: &State) -> i64 {
    state.capacity - state.free()
}

/// Every order is tried.
fn some_order(
    events: &[Timed],
    done: u32,
    state: &State,
    now_ns: u64,
    version: Option<i64>,
) -> bool {
    let open = |place: usize| done & (1 << place) == 0;
    let left = || (0..events.len()).filter(|place| open(*place));
    let horizon = left().filter(|place| events[*place].sure).map(|it| events[it].returned_ns).min();
    let Some(horizon) = horizon else { return true };
    // A version that is still to come has not been passed.
    let passed = left().any(|place| {
        events[place].sure && events[place].version.zip(version).is_some_and(|(to, at)| to < at)
    });
    if now_ns > horizon || passed {
        return false;
    }
    let happens = left().any(|place| {
        let timed = &events[place];
        let at_ns = now_ns.max(timed.sent_ns);
        if at_ns > horizon {
            return false;
        }
        // A hold whose time is over may be told so before its seats come back.
        if let Event::Gone(booking) | Event::Is(booking, Life::Expired) = &timed.event
            && let Some(kept) = state.bookings.get(booking)
            && let (Life::Pending, Some(over_ns)) = (kept.life, kept.over_ns)
        {
            let at_ns = at_ns.max(over_ns);
            return at_ns <= horizon
                && is_true(timed, state)
                && version_after(version, timed.version, false).is_some_and(|version| {
                    some_order(events, done | 1 << place, state, at_ns, version)
                });
        }
        let Some(next) = after(state, &timed.event, timed.hold_ns, at_ns) else { return false };
        let moved = taken(&next) != taken(state);
        is_true(timed, &next)
            && version_after(version, timed.version, moved)
                .is_some_and(|version| some_order(events, done | 1 << place, &next, at_ns, version))
    });
    happens
        || state.bookings.iter().any(|(booking, kept)| {
            let Some(over_ns) = kept.over_ns.filter(|_| kept.life == Life::Pending) else {
                return false;
            };
            let mut next = state.clone();
            next.bookings.get_mut(booking).expect("it is there").life = Life::Expired;
            let version = version.map(|version| version + 1);
            some_order(events, done, &next, now_ns.max(over_ns), version)
        })
}

/// The same for porcupine: what may not have happened may be put last, where it need not be
/// possible.
#[derive(Debug, Clone)]
struct Reservation<const CAPACITY: i64>;

impl<const CAPACITY: i64> Model for Reservation<CAPACITY> {
    type State = State;
    type Op = (Event, [Option<i64>; 4], bool);
    type Metadata = ();

    fn init() -> State {
        State { capacity: CAPACITY, ..State::default() }
    }

    fn step(state: &State, (event, says, sure): &Self::Op) -> (bool, State) {
        let [available, also_available, pending, confirmed] = *says;
        let timed = Timed {
            event: event.clone(),
            sent_ns: 0,
            returned_ns: 0,
            sure: *sure,
            hold_ns: None,
            version: None,
            available,
            pending,
            confirmed,
            also_available,
            two_versions: false,
        };
        match after(state, event, None, 0).filter(|next| is_true(&timed, next)) {
            Some(next) => (true, next),
            None => (!*sure, state.clone()),
        }
    }
}

fn porcupine<const CAPACITY: i64>(events: &[Timed]) -> bool {
    let operation = |timed: &Timed| porcupine_rs::Operation::<Reservation<CAPACITY>> {
        client_id: None,
        call_time: i64::try_from(timed.sent_ns).expect("a small number"),
        return_time: i64::try_from(timed.returned_ns).unwrap_or(i64::MAX),
        op: (
            timed.event.clone(),
            [timed.available, timed.also_available, timed.pending, timed.confirmed],
            timed.sure,
        ),
        metadata: None,
    };
    let history: Vec<_> = events.iter().map(operation).collect();
    let checked =
        porcupine_rs::check_operations_timeout(&history, std::time::Duration::from_secs(60));
    assert!(checked != CheckResult::Unknown, "it is a small history");
    checked == CheckResult::Ok
}

fn by_porcupine(events: &[Timed], capacity: i64) -> bool {
    match capacity {
        1 => porcupine::<1>(events),
        2 => porcupine::<2>(events),
        3 => porcupine::<3>(events),
        4 => porcupine::<4>(events),
        _ => unreachable!("no slot has more seats"),
    }
}

/// Invariants that a history alone is judged by, of which one must convict what is impossible.
const JUDGED: [Invariant; 6] = [
    Invariant::NoOverbookingObserved,
    Invariant::NoLostBooking,
    Invariant::HonestSoldOut,
    Invariant::PossibleReads,
    Invariant::SessionOrder,
    Invariant::OneOrder,
];

#[test]
fn the_checker_an_exhaustive_search_and_porcupine_agree_on_every_history() {
    let (mut possible, mut impossible, mut proved, mut by_bounds) = (0, 0, 0, 0);
    let (mut moved, mut ran_out, mut in_baskets) = (0, 0, 0);
    for seed in 0..HISTORIES {
        let telling =
            Telling { versions: seed % 2 == 1, numbers: seed % 4 >= 2, holds: seed % 8 >= 4 };
        let (history, capacity) = random(&mut ChaCha8Rng::seed_from_u64(seed), telling);
        let events = events(&Lines::of(&history));
        let state = State { capacity, ..State::default() };
        let exhaustive = some_order(&events, 0, &state, 0, None);
        let context = || {
            let lines: Vec<String> = history
                .operations
                .iter()
                .map(|operation| {
                    serde_json::to_string(&operation.to_operation()).expect("it serializes")
                })
                .collect();
            format!("seed {seed}, capacity {capacity}: {exhaustive}\n{}", lines.join("\n"))
        };

        let slots = by_slot(&history);
        let Some(slot_history) = slots.get("s") else { continue };
        assert_eq!(slot_history.unsearchable, None, "{}", context());
        let found = search(slot_history, capacity, Budget::for_length(9));
        let half = half_a_basket(&Lines::of(&history));
        assert!(
            half || (found == Found::Explained) == exhaustive,
            "tier C: {found:?}: {}",
            context()
        );
        in_baskets += u64::from(history.operations.iter().any(|it| it.basket().is_some()));
        let moves = |it: &&Timed| matches!(it.event, Event::Leave(_) | Event::Enter(..));
        moved += u64::from(events.iter().any(|it| moves(&it)));
        ran_out += u64::from(events.iter().any(|it| it.hold_ns.is_some()));
        let knows_time = events.iter().any(|it| it.version.is_some() || it.hold_ns.is_some());
        if !knows_time && !half {
            assert_eq!(by_porcupine(&events, capacity), exhaustive, "porcupine: {}", context());
        }
        if certificate::check(slot_history, capacity) == Certificate::Proved {
            assert!(exhaustive || half, "tier A proves what is impossible: {}", context());
            proved += 1;
        }
        let verdict = judge(&Case {
            history: history.clone(),
            capacity,
            capacities: BTreeMap::from([("t".to_owned(), 99)]),
            ..Case::default()
        });
        let convicted: Vec<Invariant> = verdict
            .findings
            .iter()
            .filter(|it| it.verdict == Verdict::Violated && JUDGED.contains(&it.invariant))
            .map(|it| it.invariant)
            .collect();
        let lawful = exhaustive && !half;
        assert_eq!(convicted.is_empty(), lawful, "{convicted:?}: {}", context());
        let bounds = |it: &&Invariant| **it != Invariant::OneOrder;
        by_bounds += u64::from(convicted.iter().any(|it| bounds(&it)));
        *(if lawful { &mut possible } else { &mut impossible }) += 1;
    }
    let tame = format!(
        "{possible} possible, {impossible} impossible, {proved} proved by tier A, {by_bounds} \
         convicted by tier B, {moved} with moves, {ran_out} with holds, {in_baskets} with baskets"
    );
    println!("{tame}");
    assert!(
        possible > 100_000
            && impossible > 30_000
            && proved > 20_000
            && by_bounds > 20_000
            && moved > 20_000
            && ran_out > 40_000
            && in_baskets > 40_000,
        "{tame}"
    );
}
