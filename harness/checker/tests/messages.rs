//! Every message of the checker, by real small cases: a change of wording shows in one snapshot.

use std::fmt::Write;

use BookingStatus::{Cancelled, Confirmed, Expired, Failed, Pending};
use slotproof_checker::{Case, History, Origin, judge};
use slotproof_vocabulary::{
    Announced, ArrivalTotals, AuditRecord, BookingRow, BookingStatus, EndState, Expectation,
    Invariant, LoadTotals, Notice, Operation, SlotRow, StatusCount,
    operation_builder::{self, OperationBuilder},
};

const PROBER: u64 = 9;

fn case(capacity: i64, operations: Vec<Operation>) -> Case {
    Case { history: History::of(operations), capacity, ..Case::default() }
}

fn reserving(booking: &str, sent_ns: u64, returned_ns: u64) -> OperationBuilder {
    let reserve = operation_builder::reserve("s").by(1).at(sent_ns, returned_ns);
    reserve.key(format!("key-{booking}"))
}

fn reserve(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    reserving(booking, sent_ns, returned_ns).booked(booking)
}

fn confirm(booking: &str, sent_ns: u64, returned_ns: u64) -> Operation {
    operation_builder::confirm("s", booking).by(1).at(sent_ns, returned_ns).ok()
}

fn cancelling(booking: &str, sent_ns: u64, returned_ns: u64) -> OperationBuilder {
    operation_builder::cancel("s", booking).by(1).at(sent_ns, returned_ns)
}

fn reading(sent_ns: u64, returned_ns: u64) -> OperationBuilder {
    operation_builder::read("s").by(1).at(sent_ns, returned_ns)
}

fn resizing(capacity: u32, sent_ns: u64, returned_ns: u64) -> OperationBuilder {
    operation_builder::resize("s", capacity).by(1).at(sent_ns, returned_ns)
}

fn row(booking: &str, status: BookingStatus) -> BookingRow {
    BookingRow {
        booking: booking.to_owned(),
        slot: "s".to_owned(),
        status,
        seats: 1,
        key: Some(format!("key-{booking}")),
        overdue_ms: None,
    }
}

fn record(
    version: i64,
    booking: &str,
    from: Option<BookingStatus>,
    to: BookingStatus,
    available: i64,
) -> AuditRecord {
    let (slot, booking) = ("s".to_owned(), booking.to_owned());
    AuditRecord { slot, version, booking, from, to, seats: 1, available }
}

fn with_rows(case: Case, available: i64, version: i64, bookings: Vec<BookingRow>) -> Case {
    let slot = SlotRow { slot: "s".to_owned(), capacity: case.capacity, available, version };
    Case { end: Some(EndState { slots: vec![slot], bookings, ..EndState::default() }), ..case }
}

fn with_log(case: Case, log: Vec<AuditRecord>) -> Case {
    Case { audit: Some(log), ..case }
}

/// The text under test.
#[derive(Default)]
struct Messages {
    text: String,
    invariant: Option<Invariant>,
}

impl Messages {
    fn of(&mut self, invariant: Invariant) {
        self.invariant = Some(invariant);
        writeln!(self.text, "\n{invariant} {}", invariant.name()).expect("a string");
    }

    /// Judges a case, and adds what it says of the invariant.
    fn judge(&mut self, case: Case) {
        let report = judge(&case);
        let is_it =
            |finding: &&slotproof_vocabulary::Finding| Some(finding.invariant) == self.invariant;
        let finding = report.findings.iter().find(is_it).expect("the invariant is judged");
        writeln!(self.text, "  {}: {}", finding.verdict, finding.summary).expect("a string");
        if let Some(witness) = &finding.witness {
            writeln!(self.text, "    {}", witness.explanation).expect("a string");
        }
    }

    fn say(&mut self, text: impl std::fmt::Display) {
        writeln!(self.text, "  {text}").expect("a string");
    }
}

fn no_overbooking_observed(messages: &mut Messages) {
    messages.of(Invariant::NoOverbookingObserved);
    messages.judge(case(2, vec![reserve("a", 0, 10), reserve("b", 5, 20)]));
    messages.judge(case(1, vec![reserve("a", 0, 10), reserve("b", 5, 20)]));
    messages.judge(case(1, vec![reserve("a", 0, 4_213_000_000), reserve("b", 0, 4_213_000_000)]));
    messages.judge(case(1, vec![]));
    let sold_twice =
        || vec![reserve("a", 0, 10), cancelling("a", 12, 30).unknown(), reserve("b", 15, 20)];
    let rows = vec![row("a", Confirmed), row("b", Confirmed)];
    messages.judge(with_rows(case(1, sold_twice()), 0, 2, rows));
    let mut cut_off = case(1, vec![reserve("a", 0, 10), reserve("b", 5, 20)]);
    cut_off.history = cut_off.history.cut("the load was killed");
    messages.judge(cut_off.clone());
    let heard_of_later = reading(30, 40).ok();
    cut_off.history.operations.push(&heard_of_later);
    messages.judge(Case { origin: Origin::Recorder, ..cut_off });
}

fn no_overbooking_stored(messages: &mut Messages) {
    messages.of(Invariant::NoOverbookingStored);
    let log = || vec![record(1, "a", None, Pending, 1), record(2, "b", None, Pending, 0)];
    messages.judge(with_log(case(2, vec![]), log()));
    messages.judge(with_log(case(1, vec![]), log()));
    let rows = || vec![row("a", Confirmed), row("b", Pending)];
    messages.judge(with_rows(case(1, vec![]), 0, 2, rows()));
    messages.judge(with_log(case(1, vec![]), vec![]));
    messages.judge(with_log(case(1, vec![resizing(3, 0, 10).unknown()]), log()));
    let mut unknown_capacity = with_rows(case(1, vec![resizing(3, 0, 10).unknown()]), 0, 2, rows());
    unknown_capacity.end.as_mut().expect("the rows").slots[0].capacity = 7;
    messages.judge(unknown_capacity);
}

fn no_lost_booking(messages: &mut Messages) {
    messages.of(Invariant::NoLostBooking);
    let held = || vec![reserve("a", 0, 10)];
    let confirmed = || vec![reserve("a", 0, 10), confirm("a", 20, 30)];
    let cancelled = || vec![reserve("a", 0, 10), cancelling("a", 20, 30).ok()];
    let mut judge = |operations, rows| messages.judge(with_rows(case(3, operations), 2, 1, rows));
    judge(held(), vec![row("a", Pending)]);
    judge(held(), vec![]);
    judge(held(), vec![BookingRow { seats: 2, ..row("a", Pending) }]);
    judge(held(), vec![BookingRow { slot: "t".to_owned(), ..row("a", Pending) }]);
    judge(held(), vec![row("a", Cancelled)]);
    judge(held(), vec![row("a", Failed)]);
    judge(confirmed(), vec![row("a", Pending)]);
    judge(cancelled(), vec![row("a", Confirmed)]);
    judge(vec![], vec![]);
    let unlogged = |operations, status| {
        let log = vec![record(1, "a", None, Pending, 2)];
        with_log(with_rows(case(3, operations), 2, 1, vec![row("a", status)]), log)
    };
    messages.judge(unlogged(confirmed(), Confirmed));
    messages.judge(unlogged(cancelled(), Cancelled));
}

fn no_phantom(messages: &mut Messages) {
    messages.of(Invariant::NoPhantom);
    let mut judge = |operations, rows| messages.judge(with_rows(case(3, operations), 2, 1, rows));
    judge(vec![reserve("a", 0, 10)], vec![row("a", Pending)]);
    judge(vec![], vec![row("a", Pending)]);
    judge(vec![reserving("a", 0, 10).seats(2).booked("a")], vec![row("a", Pending)]);
    judge(vec![reserving("a", 0, 10).sold_out()], vec![row("a", Pending)]);
}

fn idempotent(messages: &mut Messages) {
    messages.of(Invariant::Idempotent);
    messages.judge(case(3, vec![reserve("a", 0, 10), reserve("a", 20, 30)]));
    messages.judge(case(3, vec![reserve("a", 0, 10), reserving("a", 20, 30).booked("b")]));
    let twin = BookingRow { key: Some("key-a".to_owned()), ..row("b", Pending) };
    let rows = vec![row("a", Pending), twin];
    messages.judge(with_rows(case(3, vec![reserve("a", 0, 10)]), 1, 2, rows));
}

fn lawful_lifecycle(messages: &mut Messages) {
    messages.of(Invariant::LawfulLifecycle);
    let mut judge = |log| messages.judge(with_log(case(3, vec![]), log));
    let made = || record(1, "a", None, Pending, 2);
    judge(vec![made(), record(2, "a", Some(Pending), Confirmed, 2)]);
    judge(vec![record(1, "a", None, Confirmed, 2)]);
    judge(vec![
        made(),
        record(2, "a", Some(Pending), Expired, 3),
        record(3, "a", Some(Pending), Confirmed, 2),
    ]);
    judge(vec![made(), record(2, "a", Some(Confirmed), Cancelled, 3)]);
    judge(vec![AuditRecord { seats: 0, ..made() }]);
    judge(vec![made(), AuditRecord { seats: 2, ..record(2, "a", Some(Pending), Confirmed, 1) }]);
    let elsewhere = record(1, "a", Some(Pending), Confirmed, 2);
    judge(vec![made(), AuditRecord { slot: "t".to_owned(), ..elsewhere }]);
    let confirmed_late =
        vec![reserve("a", 0, 10), cancelling("a", 20, 30).ok(), confirm("a", 40, 50)];
    messages.judge(with_log(case(3, confirmed_late), vec![made()]));
}

fn seats_conserved(messages: &mut Messages) {
    messages.of(Invariant::SeatsConserved);
    messages.judge(case(3, vec![reading(0, 10).available(3).ok()]));
    messages.judge(case(3, vec![reading(0, 10).available(4).ok()]));
    let mut read = reading(0, 10).available(1).ok();
    (read.seen.pending, read.seen.confirmed, read.seen.capacity) = (Some(1), Some(2), Some(7));
    messages.judge(case(3, vec![resizing(5, 0, 10).ok(), read]));
    messages.judge(with_log(case(3, vec![]), vec![record(1, "a", None, Pending, 3)]));
    let twice = vec![record(1, "a", None, Pending, 3), record(2, "b", None, Pending, 1)];
    let operations = vec![resizing(4, 0, 10).unknown(), reserve("a", 0, 20), reserve("b", 0, 30)];
    messages.judge(with_log(case(3, operations), twice));
    messages.judge(with_rows(case(3, vec![]), 3, 1, vec![row("a", Pending)]));
}

fn honest_sold_out(messages: &mut Messages) {
    messages.of(Invariant::HonestSoldOut);
    let refused = || reserving("z", 20, 30);
    messages.judge(case(1, vec![reserve("a", 0, 10), refused().sold_out()]));
    messages.judge(case(2, vec![reserve("a", 0, 10), refused().sold_out()]));
    messages.judge(case(1, vec![reserve("a", 0, 10), refused().available(1).sold_out()]));
}

fn possible_reads(messages: &mut Messages) {
    messages.of(Invariant::PossibleReads);
    let read = |available| vec![reserve("a", 0, 25), reading(20, 30).available(available).ok()];
    messages.judge(case(3, read(2)));
    messages.judge(case(3, read(1)));
}

fn session_order(messages: &mut Messages) {
    messages.of(Invariant::SessionOrder);
    let read = |version, sent_ns| reading(sent_ns, sent_ns + 10).version(version).ok();
    messages.judge(case(3, vec![read(1, 0), read(2, 20)]));
    messages.judge(case(3, vec![read(2, 0), read(1, 20)]));
}

fn nothing_leaked(messages: &mut Messages) {
    messages.of(Invariant::NothingLeaked);
    let probe = || reserving("z", 90, 99).by(PROBER);
    let probed = |operations, rows| Case {
        prober: Some(PROBER),
        ..with_rows(case(1, operations), 1, 0, rows)
    };
    messages.judge(probed(vec![probe().booked("z")], vec![row("z", Cancelled)]));
    messages.judge(probed(vec![probe().sold_out()], vec![]));
    let overdue = BookingRow { overdue_ms: Some(2_001), ..row("a", Pending) };
    messages.judge(probed(vec![probe().sold_out()], vec![overdue]));
    messages.judge(probed(vec![probe().sold_out()], vec![row("a", Pending)]));
    messages.judge(probed(vec![], vec![]));
    messages.judge(probed(vec![probe().unknown()], vec![]));
    let log = vec![record(1, "a", None, Pending, 0), record(2, "a", Some(Pending), Expired, 1)];
    let too_early = probed(vec![probe().version(1).sold_out()], vec![row("a", Expired)]);
    messages.judge(Case { audit: Some(log), ..too_early });
}

fn unique_bookings(messages: &mut Messages) {
    messages.of(Invariant::UniqueBookings);
    messages.judge(case(3, vec![reserve("a", 0, 10), reserve("b", 0, 10)]));
    messages.judge(case(3, vec![reserve("a", 0, 10), reserving("b", 0, 10).booked("a")]));
}

fn one_order_by_search(messages: &mut Messages) {
    messages.of(Invariant::OneOrder);
    messages.judge(case(1, vec![reserve("a", 0, 10), reserving("z", 20, 30).sold_out()]));
    messages.judge(case(
        2,
        vec![
            reserve("a", 0, 100),
            reading(10, 20).available(1).ok(),
            reading(30, 40).available(2).ok(),
        ],
    ));
    messages.judge(case(
        2,
        vec![
            reading(0, 10).version(5).available(2).ok(),
            reading(20, 30).version(3).available(2).ok(),
        ],
    ));
    messages.judge(case(1, vec![confirm("ghost", 0, 10)]));
    let mut elsewhere = reserve("a", 0, 10);
    elsewhere.slot = "t".into();
    messages.judge(case(1, vec![confirm("ghost", 0, 10), elsewhere]));
    messages.judge(case(1, vec![reserve("a", 0, 10), reserve("b", 5, 20)]));
    let unlike = (0..60).map(|n| {
        let reserve = reserving(&format!("b{n}"), n, 1_000).seats(1 + n as u32 * 7 % 50);
        if n % 2 == 0 { reserve.booked(format!("b{n}")) } else { reserve.sold_out() }
    });
    messages.judge(case(750, unlike.collect()));
}

fn one_order_by_log(messages: &mut Messages) {
    let made = || record(1, "a", None, Pending, 2);
    let kept = || record(2, "a", Some(Pending), Confirmed, 2);
    let rows = |version, rows| with_rows(case(3, vec![reserve("a", 0, 10)]), 2, version, rows);
    let confirmed = || vec![row("a", Confirmed)];
    messages.judge(with_log(rows(2, confirmed()), vec![made(), kept()]));
    messages
        .judge(with_log(rows(2, confirmed()), vec![made(), AuditRecord { version: 1, ..kept() }]));
    messages
        .judge(with_log(rows(3, confirmed()), vec![made(), AuditRecord { version: 3, ..kept() }]));
    messages.judge(with_log(rows(3, confirmed()), vec![made(), kept()]));
    messages.judge(with_log(rows(2, vec![row("a", Cancelled)]), vec![made(), kept()]));
    messages.judge(with_log(rows(2, vec![]), vec![made(), kept()]));
    let strange = vec![row("a", Confirmed), row("b", Pending)];
    messages.judge(with_log(rows(2, strange), vec![made(), kept()]));
    let mut no_row = rows(2, confirmed());
    no_row.end.as_mut().expect("the rows").slots.clear();
    messages.judge(with_log(no_row, vec![made(), kept()]));
    let read = |version, available| {
        let read = reading(20, 30).version(version).available(available).ok();
        with_log(case(3, vec![reserving("a", 0, 10).version(1).booked("a"), read]), vec![made()])
    };
    messages.judge(read(1, 3));
    messages.judge(read(2, 2));
    messages.judge(read(0, 3));
    let resized = |read: Option<Operation>| {
        let mut operations = vec![reserve("a", 0, 10), resizing(5, 20, 30).unknown()];
        operations.extend(read);
        case(3, operations)
    };
    let after = || record(3, "b", None, Pending, 3);
    messages.judge(with_log(resized(None), vec![made(), after()]));
    messages.judge(with_rows(with_log(resized(None), vec![made()]), 4, 2, vec![row("a", Pending)]));
    let read = reading(40, 50).version(2).available(4).ok();
    messages.judge(with_log(resized(Some(read)), vec![made()]));
}

fn announced_once(messages: &mut Messages) {
    messages.of(Invariant::AnnouncedOnce);
    let notice = |version, status| {
        let (slot, booking) = ("s".to_owned(), "a".to_owned());
        Notice { slot, version, booking, status }
    };
    let count = |changes| vec![StatusCount { status: Pending, changes, seats: changes }];
    let mut judge = |waiting, notices, counts| {
        let mut case = with_rows(case(3, vec![]), 2, 1, vec![row("a", Pending)]);
        let end = case.end.as_mut().expect("the rows");
        end.announced = Some(Announced { waiting, notices, counts });
        messages.judge(with_log(case, vec![record(1, "a", None, Pending, 2)]));
    };
    judge(0, vec![notice(1, Pending)], count(1));
    judge(0, vec![notice(1, Pending), notice(1, Pending)], count(1));
    judge(0, vec![], count(1));
    judge(0, vec![notice(1, Cancelled)], count(1));
    judge(0, vec![notice(1, Pending), notice(2, Confirmed)], count(1));
    judge(0, vec![notice(1, Pending)], count(2));
    judge(3, vec![], vec![]);
}

fn run_coverage(messages: &mut Messages) {
    messages.of(Invariant::RunCoverage);
    let judge = |messages: &mut Messages, expectations: &[Expectation], operations| {
        let expectations = expectations.to_vec();
        messages.judge(Case { expectations, ..case(1, operations) });
    };
    let sold_out = || vec![reserve("a", 0, 10), reserving("z", 20, 30).sold_out()];
    judge(messages, &[Expectation::SoldOut, Expectation::Full], sold_out());
    judge(messages, &[Expectation::SoldOut, Expectation::Full], vec![reserve("a", 0, 10)]);
    let others = [Expectation::Resale, Expectation::Reclaim, Expectation::Resend];
    judge(messages, &others, sold_out());
    judge(messages, &[Expectation::Contested(30)], sold_out());
    judge(messages, &[Expectation::KeyTwice(10)], sold_out());
    judge(messages, &[], vec![]);
    let load = |made, lag_ns| {
        let arrivals =
            ArrivalTotals { asked: 200, made, waiting_max: 3, asked_per_s: 20.0, made_per_s: 20.0 };
        let late = reading(lag_ns, lag_ns + 10).scheduled(0).ok();
        let load = LoadTotals {
            operations: 1,
            measured_from_ns: 0,
            measured_until_ns: 0,
            arrivals: Some(arrivals),
        };
        let expectations = vec![Expectation::OnSchedule(10)];
        Case { load: Some(load), expectations, ..case(1, vec![late]) }
    };
    messages.judge(load(199, 0));
    messages.judge(load(200, 31_000_000));
}

fn errors(messages: &mut Messages) {
    messages.text.push_str("\nerrors of a case\n");
    let read = |available| reading(0, 10).available(available).ok();
    messages.say(case(1, vec![read(1), read(i64::MAX)]).validate().expect_err("out of range"));
    let log = vec![record(1, "a", None, Pending, i64::MIN)];
    messages.say(with_log(case(1, vec![]), log).validate().expect_err("out of range"));
    let slot = with_rows(case(1, vec![]), i64::MAX, 1, vec![]);
    messages.say(slot.validate().expect_err("out of range"));
    let booking = BookingRow { seats: i64::MAX, ..row("a", Pending) };
    let booking = with_rows(case(1, vec![]), 1, 1, vec![booking]);
    messages.say(booking.validate().expect_err("out of range"));

    messages.text.push_str("\nerrors of a history\n");
    let line = r#"{"client":1,"slot":"s","op":"read","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#;
    let read = |text: &str| History::read(text.as_bytes());
    messages.say(read("reserve\n").expect_err("no operation"));
    let steal = line.replace("read", "steal");
    messages.say(read(&format!("{line}\n{steal}\n")).expect_err("no operation"));
    let half = read(&format!("{line}\n{}", &line[..40])).expect("an operation and a half");
    messages.say(half.cut_off.expect("it breaks off"));
}

#[test]
fn every_message_is_pinned() {
    let mut messages = Messages::default();
    no_overbooking_observed(&mut messages);
    no_overbooking_stored(&mut messages);
    no_lost_booking(&mut messages);
    no_phantom(&mut messages);
    idempotent(&mut messages);
    lawful_lifecycle(&mut messages);
    seats_conserved(&mut messages);
    honest_sold_out(&mut messages);
    possible_reads(&mut messages);
    session_order(&mut messages);
    nothing_leaked(&mut messages);
    unique_bookings(&mut messages);
    one_order_by_search(&mut messages);
    one_order_by_log(&mut messages);
    announced_once(&mut messages);
    run_coverage(&mut messages);
    errors(&mut messages);
    insta::assert_snapshot!(messages.text);
}
