//! Random small histories: what really happened is never convicted, a log that is wrong is never
//! upheld, and I1 decides as an exhaustive search does.

use std::collections::BTreeMap;

use rand::{
    Rng, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;
use slotproof_checker::{Case, History, judge};
use slotproof_vocabulary::{
    Action, AuditRecord, BookingRow, BookingStatus, EndState, Invariant, Operation, Outcome, Seen,
    SlotRow, Verdict, operation_builder,
};

const LAWFUL_HISTORIES: u64 = 100_000;
const ARBITRARY_HISTORIES: u64 = 100_000;
const RESIZED_HISTORIES: u64 = 20_000;

/// A service that decides at one instant of each call, and rightly if its sales are lawful.
struct Service {
    capacity: i64,
    available: i64,
    bookings: Vec<BookingRow>,
    /// What each key was answered.
    receipts: BTreeMap<Box<str>, Seen>,
    audit: Vec<AuditRecord>,
    /// How often its capacity changed. The log has no records of that.
    resized: i64,
    sales: Sales,
}

impl Service {
    fn new(capacity: i64, sales: Sales) -> Self {
        Self {
            sales,
            capacity,
            available: capacity,
            bookings: Vec::new(),
            receipts: BTreeMap::new(),
            audit: Vec::new(),
            resized: 0,
        }
    }

    fn version(&self) -> i64 {
        self.audit.len() as i64 + self.resized
    }

    fn seen(&self) -> Seen {
        Seen { version: Some(self.version()), available: Some(self.available), ..Seen::default() }
    }

    fn log(&mut self, booking: usize, from: Option<BookingStatus>) {
        let row = &self.bookings[booking];
        let record = AuditRecord {
            slot: row.slot.clone(),
            version: self.version() + 1,
            booking: row.booking.clone(),
            from,
            to: row.status,
            seats: row.seats,
            available: self.available,
        };
        self.audit.push(record);
    }

    fn take(&mut self, action: &Action) -> (Outcome, Seen) {
        match action {
            Action::Reserve { key, .. } if self.receipts.contains_key(key) => {
                (Outcome::Ok, self.receipts[key].clone())
            }
            Action::Reserve { seats, key } if self.sells(i64::from(*seats)) => {
                self.available -= i64::from(*seats);
                let booking = format!("b{}", self.bookings.len());
                self.bookings.push(BookingRow {
                    booking: booking.clone(),
                    slot: "s".to_owned(),
                    status: BookingStatus::Pending,
                    seats: i64::from(*seats),
                    key: Some(key.to_string()),
                    overdue_ms: Some(-1),
                });
                self.log(self.bookings.len() - 1, None);
                let seen = Seen { booking: Some(booking.into()), ..self.seen() };
                self.receipts.insert(key.clone(), seen.clone());
                (Outcome::Ok, seen)
            }
            Action::Reserve { .. } => (Outcome::SoldOut, self.seen()),
            Action::Confirm { booking } => self.change(booking, BookingStatus::Confirmed),
            Action::Cancel { booking } => self.change(booking, BookingStatus::Cancelled),
            Action::Read => {
                let seats = |status| {
                    self.bookings
                        .iter()
                        .filter(|row| row.status == status)
                        .map(|row| row.seats)
                        .sum()
                };
                let (pending, confirmed) =
                    (seats(BookingStatus::Pending), seats(BookingStatus::Confirmed));
                let capacity = Some(self.capacity);
                (
                    Outcome::Ok,
                    Seen {
                        pending: Some(pending),
                        confirmed: Some(confirmed),
                        capacity,
                        ..self.seen()
                    },
                )
            }
            Action::Resize { capacity } => self.resize((*capacity).into()),
            Action::Change { .. } | Action::Booking { .. } => unreachable!("nobody asks for it"),
        }
    }

    fn sells(&self, seats: i64) -> bool {
        match self.sales {
            Sales::Lawful => seats <= self.available,
            Sales::OneSeatTooMany => seats <= self.available + 1,
        }
    }

    fn resize(&mut self, capacity: i64) -> (Outcome, Seen) {
        let available = self.available + capacity - self.capacity;
        if available < 0 {
            return (Outcome::Rejected, Seen::default());
        }
        self.resized += i64::from(capacity != self.capacity);
        (self.capacity, self.available) = (capacity, available);
        (Outcome::Ok, self.seen())
    }

    fn change(&mut self, booking: &str, to: BookingStatus) -> (Outcome, Seen) {
        let index = self
            .bookings
            .iter()
            .position(|row| row.booking == booking)
            .expect("only known bookings are changed");
        let from = self.bookings[index].status;
        match (from, to) {
            (BookingStatus::Pending, BookingStatus::Confirmed) => {}
            (BookingStatus::Pending | BookingStatus::Confirmed, BookingStatus::Cancelled) => {
                self.available += self.bookings[index].seats;
            }
            (from, to) if from == to => return (Outcome::Ok, self.seen()),
            _ => return (Outcome::Rejected, Seen::default()),
        }
        self.bookings[index].status = to;
        self.log(index, Some(from));
        (Outcome::Ok, self.seen())
    }
}

/// Whether a service sells what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sales {
    Lawful,
    OneSeatTooMany,
}

/// Whether clients change the capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resizes {
    Some,
    None,
}

fn lawful(seed: u64, resizes: Resizes) -> Case {
    run(&mut ChaCha8Rng::seed_from_u64(seed), resizes, Sales::Lawful)
}

/// A run: operations happen in order at instants 1,000 apart, and their calls stretch a random way
/// around them.
fn run(rng: &mut ChaCha8Rng, resizes: Resizes, sales: Sales) -> Case {
    let capacity = rng.random_range(1..=4);
    let mut service = Service::new(capacity, sales);
    let mut operations: Vec<Operation> = Vec::new();
    // A client that holds a booking may change it once its reserve has returned.
    let mut held: Vec<(String, u64)> = Vec::new();
    let mut sent: Vec<(Action, u64)> = Vec::new();
    let mut at_ns = 10_000;
    for number in 0..rng.random_range(1..=14) {
        at_ns += 1_000;
        let changeable: Vec<_> =
            held.iter().filter(|(_, returned_ns)| *returned_ns < at_ns).cloned().collect();
        let booking = (!changeable.is_empty())
            .then(|| changeable[rng.random_range(0..changeable.len())].clone());
        let (action, earliest_ns) = match (rng.random_range(0..10), booking) {
            (0..=4, _) | (_, None) if number % 3 != 2 => {
                // Now and then a client sends an earlier request again.
                let again = sent.choose(rng).filter(|_| rng.random_bool(0.2)).cloned();
                let seats = rng.random_range(1..=2);
                let fresh = Action::Reserve { seats, key: format!("k{number}").into() };
                let (reserve, returned_ns) =
                    again.filter(|(_, returned_ns)| *returned_ns < at_ns).unwrap_or((fresh, 0));
                (reserve, returned_ns + 1)
            }
            (8, _) if resizes == Resizes::Some => {
                (Action::Resize { capacity: rng.random_range(0..=5) }, 0)
            }
            (_, None) | (9, _) => (Action::Read, 0),
            (5..=6, Some((booking, returned_ns))) => {
                (Action::Confirm { booking: booking.into() }, returned_ns + 1)
            }
            (_, Some((booking, returned_ns))) => {
                (Action::Cancel { booking: booking.into() }, returned_ns + 1)
            }
        };
        let sent_ns = (at_ns - rng.random_range(0..4_000)).max(earliest_ns).min(at_ns);
        let returned_ns = at_ns + rng.random_range(0..4_000);
        let lost = rng.random_bool(0.15);
        // A request that got lost on its way never happened; an answer that got lost did.
        let (mut outcome, mut seen) = if lost && rng.random_bool(0.5) {
            (Outcome::Unknown, Seen::default())
        } else {
            service.take(&action)
        };
        if lost {
            (outcome, seen) = (Outcome::Unknown, Seen::default());
        }
        if let Some(booking) = &seen.booking {
            held.push((booking.to_string(), returned_ns));
        }
        if matches!(action, Action::Reserve { .. }) && outcome != Outcome::SoldOut {
            sent.push((action.clone(), returned_ns));
        }
        let operation = operation_builder::operation("s", action).by(number);
        operations.push(operation.at(sent_ns, returned_ns).seen(seen).ends(outcome));
    }
    operations.shuffle(rng);
    let slot = SlotRow {
        slot: "s".to_owned(),
        capacity: service.capacity,
        available: service.available,
        version: service.version(),
    };
    Case {
        history: History::of(operations),
        capacity,
        audit: Some(service.audit),
        end: Some(EndState {
            slots: vec![slot],
            bookings: service.bookings,
            ..EndState::default()
        }),
        ..Case::default()
    }
}

#[test]
fn what_really_happened_is_never_convicted() {
    for seed in 0..LAWFUL_HISTORIES {
        let case = lawful(seed, Resizes::None);
        // With its log and rows, and as a history of which nothing else is known.
        let alone = |case: &Case| Case { audit: None, end: None, ..case.clone() };
        let resized = lawful(seed, Resizes::Some);
        for case in [alone(&case), case, alone(&resized), resized] {
            let verdict = judge(&case);
            let convicted: Vec<_> = verdict
                .findings
                .iter()
                .filter(|finding| finding.verdict == Verdict::Violated)
                .collect();
            assert!(convicted.is_empty(), "seed {seed}: {convicted:#?}\n{case:#?}");
        }
    }
}

fn verdict_of(case: &Case, invariant: Invariant) -> Verdict {
    let findings = judge(case).findings;
    let finding = findings.iter().find(|finding| finding.invariant == invariant);
    finding.map_or(Verdict::Unknown, |finding| finding.verdict)
}

/// What a log is judged by.
const LOGGED: [Invariant; 4] = [
    Invariant::NoOverbookingStored,
    Invariant::LawfulLifecycle,
    Invariant::SeatsConserved,
    Invariant::OneOrder,
];

#[test]
fn a_lawful_log_of_a_resized_slot_is_upheld_and_not_only_left_undecided() {
    let mut one_order = 0;
    for seed in 0..RESIZED_HISTORIES {
        let case = lawful(seed, Resizes::Some);
        if case.audit.as_ref().is_none_or(Vec::is_empty) {
            continue;
        }
        for invariant in [Invariant::NoOverbookingStored, Invariant::SeatsConserved] {
            let verdict = verdict_of(&case, invariant);
            assert_eq!(verdict, Verdict::Upheld, "seed {seed}: {invariant}\n{case:#?}");
        }
        // An unanswered resize leaves it open whether it wrote a missing version.
        one_order += u64::from(verdict_of(&case, Invariant::OneOrder) == Verdict::Upheld);
    }
    assert!(one_order * 10 > RESIZED_HISTORIES * 7, "{one_order} of {RESIZED_HISTORIES}");
}

#[test]
fn a_service_that_sells_a_seat_too_many_is_convicted_by_its_log_whatever_was_resized() {
    let mut oversold = 0;
    for seed in 0..RESIZED_HISTORIES {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let case = run(rng, Resizes::Some, Sales::OneSeatTooMany);
        let sold = |record: &AuditRecord| record.available < 0 && record.to.takes_seats();
        let too_many = case.audit.iter().flatten().any(sold);
        oversold += u64::from(too_many);
        let verdict = verdict_of(&case, Invariant::NoOverbookingStored);
        assert_eq!(verdict == Verdict::Violated, too_many, "seed {seed}\n{case:#?}");
    }
    assert!(oversold > RESIZED_HISTORIES / 10, "{oversold} of {RESIZED_HISTORIES}: too tame");
}

#[test]
fn a_log_that_lacks_a_record_is_never_upheld_whatever_was_resized() {
    let mut lossy = 0;
    for seed in 0..RESIZED_HISTORIES {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut case = run(rng, Resizes::Some, Sales::Lawful);
        let log = case.audit.as_mut().expect("the service keeps one");
        if log.is_empty() {
            continue;
        }
        log.remove(rng.random_range(0..log.len()));
        lossy += 1;
        let upheld = LOGGED.iter().all(|it| verdict_of(&case, *it) == Verdict::Upheld);
        assert!(!upheld, "seed {seed}\n{case:#?}");
    }
    assert!(lossy > RESIZED_HISTORIES / 2, "{lossy} of {RESIZED_HISTORIES}: too tame");
}

/// Reserves and cancels with acknowledgements that no service checked.
fn arbitrary(rng: &mut ChaCha8Rng) -> Case {
    let mut operations = Vec::new();
    for number in 0..rng.random_range(1..=6_u64) {
        let (sent_ns, length) = (rng.random_range(0..40), rng.random_range(0..20));
        let booking = format!("b{number}");
        let reserve = operation_builder::reserve("s").by(number).key(format!("k{number}"));
        let reserve = reserve.seats(rng.random_range(1..=2)).at(sent_ns, sent_ns + length);
        if rng.random_bool(0.6) {
            let sent_ns = sent_ns + length + rng.random_range(1..20);
            let outcome = if rng.random_bool(0.2) { Outcome::Unknown } else { Outcome::Ok };
            let cancel = operation_builder::cancel("s", booking.clone()).by(number);
            operations.push(cancel.at(sent_ns, sent_ns + rng.random_range(0..20)).ends(outcome));
        }
        let unanswered = rng.random_bool(0.1);
        operations.push(if unanswered { reserve.unknown() } else { reserve.booked(booking) });
    }
    Case { history: History::of(operations), capacity: rng.random_range(1..=4), ..Case::default() }
}

/// Whether some order of events, with real time respected, never exceeds the capacity: every order
/// is tried. An unknown operation may happen at any instant after it was sent, or never.
fn some_order_fits(case: &Case) -> bool {
    fn search(operations: &[Operation], capacity: i64, done: u32, taken: i64) -> bool {
        let open = |index: usize| done & (1 << index) == 0;
        let certain = |index: usize| operations[index].outcome == Outcome::Ok;
        if (0..operations.len()).all(|index| !open(index) || !certain(index)) {
            return true;
        }
        (0..operations.len()).filter(|index| open(*index)).any(|next| {
            // Nothing may come before an operation that had returned when it was sent.
            let overtakes = (0..operations.len()).any(|other| {
                open(other)
                    && certain(other)
                    && operations[other].returned_ns < operations[next].sent_ns
            });
            let change = match &operations[next].action {
                Action::Reserve { seats, .. } => i64::from(*seats),
                Action::Cancel { booking } => -seats_of(operations, booking, done),
                _ => 0,
            };
            !overtakes
                && taken + change <= capacity
                && search(operations, capacity, done | (1 << next), taken + change)
        })
    }
    /// Seats that a cancel gives back: those of its booking, if that has happened by then.
    fn seats_of(operations: &[Operation], booking: &str, done: u32) -> i64 {
        let made = operations
            .iter()
            .enumerate()
            .find(|(_, operation)| operation.seen.booking.as_deref() == Some(booking));
        match made {
            Some((index, Operation { action: Action::Reserve { seats, .. }, .. }))
                if done & (1 << index) != 0 =>
            {
                i64::from(*seats)
            }
            _ => 0,
        }
    }
    let operations: Vec<Operation> =
        case.history.operations.iter().map(|it| it.to_operation()).collect();
    search(&operations, case.capacity, 0, 0)
}

#[test]
fn overbooking_is_decided_exactly() {
    let (mut convicted, mut acquitted) = (0, 0);
    for seed in 0..ARBITRARY_HISTORIES {
        let case = arbitrary(&mut ChaCha8Rng::seed_from_u64(seed));
        let verdict = judge(&case);
        let promised = verdict
            .findings
            .iter()
            .find(|finding| finding.invariant == Invariant::NoOverbookingObserved)
            .expect("it is judged");
        let fits = some_order_fits(&case);
        assert_eq!(
            promised.verdict == Verdict::Violated,
            !fits,
            "seed {seed}: {promised:#?}\n{case:#?}"
        );
        *(if fits { &mut acquitted } else { &mut convicted }) += 1;
    }
    assert!(
        convicted > 1_000 && acquitted > 1_000,
        "{convicted} and {acquitted}: the generator is too tame"
    );
}
