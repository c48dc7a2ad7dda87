//! Four checkers agree: the search of tier C, porcupine-rs, an exhaustive search that shares no
//! line with either, and the tiers that are not exact, which must not contradict them. On random
//! small histories with weights, cancels, confirms, reads, holds that expire, and unknown outcomes.

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
    Action, Invariant, Operation, Outcome, Seen, Verdict, operation_builder,
};

const HISTORIES: u64 = 100_000;
/// A slot of more seats is never full in so short a history.
const CAPACITY_MAX: i64 = 4;

/// What clients see of a lawful service, then spoilt in a few places.
fn random(rng: &mut ChaCha8Rng) -> (History, i64) {
    let at_first = rng.random_range(1..=CAPACITY_MAX);
    let mut capacity = at_first;
    let mut taken: BTreeMap<String, (i64, bool)> = BTreeMap::new();
    let mut operations = Vec::new();
    let mut held: Vec<(String, u64)> = Vec::new();
    let (mut version, mut at_ns) = (0_i64, 100);
    for number in 0..rng.random_range(2..=7_u64) {
        at_ns += 10;
        let used: i64 = taken.values().map(|(seats, _)| seats).sum();
        let mut seen = Seen::default();
        let mut earliest_ns = 0;
        let mut outcome = Outcome::Ok;
        let known = (!held.is_empty()).then(|| held[rng.random_range(0..held.len())].clone());
        let action = match (rng.random_range(0..11), known) {
            (10, _) => {
                let wanted = rng.random_range(0..=4_u32);
                if i64::from(wanted) < used {
                    outcome = Outcome::Rejected;
                } else {
                    version += i64::from(capacity != i64::from(wanted));
                    capacity = wanted.into();
                }
                Action::Resize { capacity: wanted }
            }
            (0..=4, _) | (5..=7, None) => {
                let seats = rng.random_range(1..=2_u32);
                if used + i64::from(seats) <= capacity {
                    let booking = format!("b{number}");
                    taken.insert(booking.clone(), (seats.into(), false));
                    held.push((booking.clone(), 0));
                    version += 1;
                    seen.booking = Some(booking.into());
                    seen.hold_ms = rng.random_bool(0.2).then_some(0);
                } else {
                    outcome = Outcome::SoldOut;
                }
                Action::Reserve { seats, key: format!("k{number}").into() }
            }
            (5 | 6, Some((booking, returned_ns))) => {
                earliest_ns = returned_ns;
                version += i64::from(taken.remove(&booking).is_some());
                Action::Cancel { booking: booking.into() }
            }
            (7, Some((booking, returned_ns))) => {
                earliest_ns = returned_ns;
                match taken.get_mut(&booking) {
                    Some((_, confirmed)) => {
                        version += i64::from(!*confirmed);
                        *confirmed = true;
                    }
                    None => outcome = Outcome::Rejected,
                }
                Action::Confirm { booking: booking.into() }
            }
            _ => {
                seen.available = Some(capacity - used);
                Action::Read
            }
        };
        seen.version = Some(version);
        let sent_ns = (at_ns - rng.random_range(0..45)).max(earliest_ns + 1).min(at_ns);
        let returned_ns = at_ns + rng.random_range(0..45);
        if seen.booking.is_some() {
            held.last_mut().expect("it was just pushed").1 = returned_ns;
        }
        let operation = operation_builder::operation("s", action).by(number);
        operations.push(operation.at(sent_ns, returned_ns).seen(seen).ends(outcome));
    }
    // Most histories are spoilt in a few places; that does not always make them impossible.
    for _ in 0..rng.random_range(0..=6) {
        spoil(&mut operations, rng);
    }
    for place in 0..operations.len() {
        // A client that changes a booking has been told of it.
        let needed = operations[place]
            .seen
            .booking
            .as_ref()
            .is_some_and(|booking| changed(&operations, booking));
        let operation = &mut operations[place];
        if rng.random_bool(0.1) && operation.outcome == Outcome::Ok && !needed {
            (operation.outcome, operation.seen) = (Outcome::Unknown, Seen::default());
        }
    }
    (History { operations, cut_off: None }, at_first)
}

/// Whether some call confirmed or cancelled a booking, or may have.
fn changed(operations: &[Operation], booking: &str) -> bool {
    operations.iter().any(|operation| match &operation.action {
        Action::Confirm { booking: of } | Action::Cancel { booking: of } => {
            **of == *booking && operation.outcome != Outcome::Rejected
        }
        Action::Reserve { .. } | Action::Read | Action::Resize { .. } => false,
    })
}

fn spoil(operations: &mut [Operation], rng: &mut ChaCha8Rng) {
    let place = rng.random_range(0..operations.len());
    let operation = &mut operations[place];
    match rng.random_range(0..5) {
        0 => operation.returned_ns = operation.sent_ns + rng.random_range(0..5),
        1 => {
            // A dependent call stays behind the answer that it needs.
            let independent = matches!(
                operation.action,
                Action::Read | Action::Resize { .. } | Action::Reserve { .. }
            );
            if independent && operation.seen.booking.is_none() {
                let length = operation.returned_ns - operation.sent_ns;
                operation.sent_ns = rng.random_range(0..150);
                operation.returned_ns = operation.sent_ns + length;
            }
        }
        2 => {
            if let Some(available) = &mut operation.seen.available {
                *available += rng.random_range(-1..=1);
            }
        }
        3 => {
            if let Some(version) = &mut operation.seen.version {
                *version += rng.random_range(-1..=1);
            }
        }
        _ => {
            if let (Action::Reserve { .. }, Outcome::SoldOut) =
                (&operation.action, operation.outcome)
            {
                operation.outcome = Outcome::Ok;
                operation.seen.booking = Some(format!("forged{place}").into());
            } else if let (Action::Reserve { .. }, None) =
                (&operation.action, operation.seen.hold_ms)
            {
                let booking = operation.seen.booking.take();
                operation.outcome = Outcome::SoldOut;
                let orphans = |other: &Operation| match &other.action {
                    Action::Confirm { booking: of } | Action::Cancel { booking: of } => {
                        Some(of) == booking.as_ref()
                    }
                    Action::Reserve { .. } | Action::Read | Action::Resize { .. } => false,
                };
                for other in operations.iter_mut().filter(|other| orphans(other)) {
                    other.outcome = Outcome::Rejected;
                }
            }
        }
    }
}

/// What happened, in types that share nothing with the checker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Event {
    Reserve(String, i64),
    Confirm(String),
    Cancel(String),
    SoldOut(i64),
    Read(i64),
    Resize(i64),
}

#[derive(Debug, Clone)]
struct Timed {
    event: Event,
    sent_ns: u64,
    returned_ns: u64,
    sure: bool,
}

fn events(history: &History) -> Vec<Timed> {
    let mut events = Vec::new();
    let confirmed = |booking: &str| {
        history.operations.iter().any(|operation| match &operation.action {
            Action::Confirm { booking: of } => **of == *booking && operation.outcome == Outcome::Ok,
            Action::Cancel { .. }
            | Action::Reserve { .. }
            | Action::Read
            | Action::Resize { .. } => false,
        })
    };
    let told = |booking: &str| {
        history
            .operations
            .iter()
            .any(|operation| operation.seen.booking.as_deref() == Some(booking))
    };
    for operation in &history.operations {
        let sure = operation.outcome != Outcome::Unknown;
        let event = match (&operation.action, operation.outcome) {
            (_, Outcome::Rejected | Outcome::Throttled) => continue,
            (Action::Reserve { seats, .. }, Outcome::SoldOut) => Event::SoldOut((*seats).into()),
            (Action::Reserve { seats, key }, _) => {
                let booking = operation
                    .seen
                    .booking
                    .as_ref()
                    .map_or_else(|| format!("of {key}"), |id| id.to_string());
                if let Some(hold_ms) = operation.seen.hold_ms
                    && !confirmed(&booking)
                {
                    events.push(Timed {
                        event: Event::Cancel(booking.clone()),
                        sent_ns: operation.sent_ns + hold_ms * 1_000_000,
                        returned_ns: u64::MAX,
                        sure: false,
                    });
                }
                if !sure {
                    // Its hold time is unknown.
                    events.push(Timed {
                        event: Event::Cancel(booking.clone()),
                        sent_ns: operation.sent_ns,
                        returned_ns: u64::MAX,
                        sure: false,
                    });
                }
                Event::Reserve(booking, (*seats).into())
            }
            (Action::Confirm { .. }, Outcome::Unknown) => continue,
            (Action::Confirm { booking }, _) => Event::Confirm(booking.to_string()),
            (Action::Cancel { booking }, Outcome::Unknown) if !told(booking) => continue,
            (Action::Cancel { booking }, _) => Event::Cancel(booking.to_string()),
            (Action::Read, _) => match operation.seen.available {
                Some(available) => Event::Read(available),
                None => continue,
            },
            (Action::Resize { capacity }, _) => Event::Resize((*capacity).into()),
        };
        let returned_ns = if sure { operation.returned_ns } else { u64::MAX };
        events.push(Timed { event, sent_ns: operation.sent_ns, returned_ns, sure });
    }
    events
}

/// The number of seats, if it is not what it was at first, and bookings with theirs, which are
/// `None` when they are over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct State {
    resized: Option<i64>,
    bookings: BTreeMap<String, Option<i64>>,
}

fn after(state: &State, event: &Event, at_first: i64) -> Option<State> {
    let capacity = state.resized.unwrap_or(at_first);
    let taken = state.bookings.values().flatten().sum::<i64>();
    let free = capacity - taken;
    let mut next = state.clone();
    let possible = match event {
        Event::Reserve(booking, seats) => match state.bookings.get(booking) {
            None => {
                next.bookings.insert(booking.clone(), Some(*seats));
                *seats <= free
            }
            // No history here shows a receipt again.
            Some(_) => true,
        },
        Event::Confirm(booking) => matches!(state.bookings.get(booking), Some(Some(_))),
        Event::Cancel(booking) => {
            next.bookings.insert(booking.clone(), None);
            state.bookings.contains_key(booking)
        }
        Event::SoldOut(seats) => *seats > free,
        Event::Read(available) => *available == free,
        Event::Resize(wanted) => {
            next.resized = Some(*wanted);
            *wanted >= taken
        }
    };
    possible.then_some(next)
}

/// Every order is tried.
fn some_order(events: &[Timed], done: u32, state: &State, capacity: i64) -> bool {
    let open = |place: usize| done & (1 << place) == 0;
    let horizon = (0..events.len())
        .filter(|place| open(*place) && events[*place].sure)
        .map(|place| events[place].returned_ns)
        .min();
    let Some(horizon) = horizon else { return true };
    (0..events.len()).filter(|place| open(*place) && events[*place].sent_ns <= horizon).any(
        |place| {
            after(state, &events[place].event, capacity)
                .is_some_and(|next| some_order(events, done | (1 << place), &next, capacity))
        },
    )
}

/// The same for porcupine: what may not have happened may be put last, where it need not be
/// possible.
#[derive(Debug, Clone)]
struct Reservation<const CAPACITY: i64>;

impl<const CAPACITY: i64> Model for Reservation<CAPACITY> {
    type State = State;
    type Op = (Event, bool);
    type Metadata = ();

    fn init() -> State {
        State::default()
    }

    fn step(state: &State, (event, sure): &(Event, bool)) -> (bool, State) {
        match after(state, event, CAPACITY) {
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
        op: (timed.event.clone(), timed.sure),
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

#[test]
fn four_checkers_agree_on_every_history() {
    let (mut possible, mut impossible, mut proved, mut convicted) = (0, 0, 0, 0);
    for seed in 0..HISTORIES {
        let (history, capacity) = random(&mut ChaCha8Rng::seed_from_u64(seed));
        let events = events(&history);
        let exhaustive = some_order(&events, 0, &State::default(), capacity);
        let context = || format!("seed {seed}, capacity {capacity}: {exhaustive}\n{history:#?}");

        let slots = by_slot(&history);
        let slot_history = &slots["s"];
        assert_eq!(slot_history.unsearchable, None, "{}", context());
        let found = search(slot_history, capacity, Budget::DEFAULT);
        assert_eq!(
            found,
            if exhaustive { Found::Explained } else { Found::Impossible },
            "tier C: {}",
            context()
        );
        assert_eq!(by_porcupine(&events, capacity), exhaustive, "porcupine: {}", context());

        if certificate::check(slot_history, capacity) == Certificate::Proved {
            assert!(exhaustive, "tier A proves what is impossible: {}", context());
            proved += 1;
        }
        let verdict = judge(&Case { history: history.clone(), capacity, ..Case::default() });
        let tier_b =
            [Invariant::NoOverbookingObserved, Invariant::HonestSoldOut, Invariant::PossibleReads];
        let violated = verdict.findings.iter().find(|finding| {
            finding.verdict == Verdict::Violated && tier_b.contains(&finding.invariant)
        });
        if let Some(finding) = violated {
            assert!(!exhaustive, "tier B convicts what is possible: {finding:#?}\n{}", context());
            convicted += 1;
        }
        *(if exhaustive { &mut possible } else { &mut impossible }) += 1;
    }
    let tame = format!(
        "{possible} possible, {impossible} impossible, {proved} proved by tier A, \
         {convicted} convicted by tier B"
    );
    assert!(
        possible > 30_000 && impossible > 20_000 && proved > 10_000 && convicted > 10_000,
        "{tame}"
    );
    // Tier B is not complete where cancels overlap, and finds most all the same.
    assert!(convicted * 10 > impossible * 7, "{tame}");
}
