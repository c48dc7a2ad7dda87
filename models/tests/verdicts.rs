//! What the models say of each strategy, with the numbers of their states.

use std::{fs, path::Path, time::Duration};

use slotproof_models::{Expectation, Exploration, Limits, PropertyResult, Size, explore};
use slotproof_vocabulary::{StrategyKind, Verdict};

const SMALL: Size = Size { clients: 2, capacity: 1 };
const LARGER: Size = Size { clients: 3, capacity: 2 };

fn result<'a>(exploration: &'a Exploration, name: &str) -> &'a PropertyResult {
    exploration.properties.iter().find(|property| property.name == name).expect("it is judged")
}

fn check_upheld(kind: StrategyKind, size: Size) {
    let found = explore(kind, size, Limits::untimed());
    assert!(found.complete, "{kind}");
    for property in found.properties {
        assert_eq!(property.verdict, Verdict::Upheld, "{kind}: {property:?}");
    }
}

fn check_shortest(kind: StrategyKind, property: &str, expected: &[&str]) {
    let found = explore(kind, SMALL, Limits::untimed());
    let steps = result(&found, property).shortest.as_deref().expect("it is violated");
    let texts: Vec<String> =
        (1..).zip(steps).map(|(number, step)| format!("{number}. {}", step.text)).collect();
    assert_eq!(texts, expected);
}

#[test]
fn every_safe_strategy_upholds_everything_and_reaches_everything() {
    for kind in StrategyKind::all().filter(|kind| !kind.is_negative_control()) {
        check_upheld(kind, SMALL);
    }
}

/// `optimistic` is left out for its number of states: without compiler optimization it takes a
/// quarter of a minute.
#[test]
fn three_clients_of_two_seats_change_nothing() {
    check_upheld(StrategyKind::Pessimistic, LARGER);
    check_upheld(StrategyKind::Conditional, LARGER);
}

/// The properties that convict a strategy. It upholds all others.
fn convicted_by(kind: StrategyKind) -> &'static [&'static str] {
    const LAWFUL: &str = "every change allowed by the spec";
    const STORED: &str = "no overbooking stored";
    const OBSERVED: &str = "no overbooking observed";
    const KEPT: &str = "no lost booking";
    const ONE_EFFECT: &str = "one effect per key";
    const LIFECYCLE: &str = "lawful lifecycle";
    const CONSERVED: &str = "seats conserved";
    const HONEST: &str = "honest sold-out";
    match kind {
        StrategyKind::Unprotected
        | StrategyKind::LostUpdate
        | StrategyKind::RedisLockUnfenced
        | StrategyKind::RedisLockToken
        | StrategyKind::LockedBookings
        | StrategyKind::OffByOne
        | StrategyKind::OneSeatCheck => &[LAWFUL, STORED, OBSERVED, CONSERVED],
        StrategyKind::WriteSkew => &[LAWFUL, STORED, OBSERVED, ONE_EFFECT, CONSERVED],
        StrategyKind::LateConfirm => &[LAWFUL, STORED, OBSERVED, LIFECYCLE, CONSERVED],
        StrategyKind::CancelTwice => &[LAWFUL, LIFECYCLE, CONSERVED],
        StrategyKind::CancelLeaks => &[CONSERVED, HONEST],
        StrategyKind::RaceIsSoldOut => &[HONEST],
        StrategyKind::ReceiptApart => &[ONE_EFFECT],
        StrategyKind::ReplayNewId | StrategyKind::CommitNotDurable => &[OBSERVED, KEPT],
        StrategyKind::AuditApart => &["every change in the audit log"],
        StrategyKind::AnnounceApart => &["only committed bookings announced"],
        StrategyKind::StaleCache => &["reads current"],
        StrategyKind::Pessimistic
        | StrategyKind::Serializable
        | StrategyKind::Optimistic
        | StrategyKind::Conditional
        | StrategyKind::Advisory
        | StrategyKind::RedisLock
        | StrategyKind::Queue
        | StrategyKind::Hybrid
        | StrategyKind::Grouped
        | StrategyKind::Batched
        | StrategyKind::SeatRows => &[],
    }
}

#[test]
fn every_negative_control_is_convicted_by_what_it_breaks_alone() {
    for kind in StrategyKind::all().filter(|kind| kind.is_negative_control()) {
        let found = explore(kind, SMALL, Limits::untimed());
        let always =
            found.properties.iter().filter(|property| property.expectation == Expectation::Always);
        let convicted: Vec<&str> = always
            .filter(|property| property.verdict == Verdict::Violated)
            .map(|property| property.name)
            .collect();
        assert_eq!(convicted, convicted_by(kind), "{kind}");
        assert!(found.complete && !convicted.is_empty(), "{kind}");
    }
}

#[test]
fn the_number_of_states_is_known() {
    let states = |kind: StrategyKind, size| explore(kind, size, Limits::untimed()).unique_states;
    let found: Vec<_> =
        StrategyKind::all().map(|kind| (kind.name(), states(kind, SMALL))).collect();
    let expected = [
        ("pessimistic", 5_295),
        ("serializable", 13_191),
        ("optimistic", 7_676),
        ("conditional", 2_586),
        ("advisory", 8_115),
        ("redis_lock", 1_403_956),
        ("queue", 256_203),
        ("hybrid", 118_579),
        ("grouped", 32_380),
        ("batched", 34_850),
        ("seat_rows", 23_232),
        ("unprotected", 7_203),
        ("lost_update", 7_410),
        ("locked_bookings", 10_923),
        ("write_skew", 223_728),
        ("off_by_one", 2_250),
        ("one_seat_check", 2_466),
        ("race_is_sold_out", 5_162),
        ("receipt_apart", 29_317),
        ("replay_new_id", 2_625),
        ("audit_apart", 11_507),
        ("cancel_twice", 4_860),
        ("cancel_leaks", 1_860),
        ("late_confirm", 4_108),
        ("stale_cache", 20_388),
        ("announce_apart", 24_534),
        ("redis_lock_unfenced", 131_175),
        ("redis_lock_token", 153_108),
        ("commit_not_durable", 14_088),
    ];
    assert_eq!(found, expected);
    assert_eq!(states(StrategyKind::Pessimistic, LARGER), 13_358);
    assert_eq!(states(StrategyKind::Conditional, LARGER), 6_785);
}

#[test]
fn the_shortest_counterexamples_read_as_numbered_steps() {
    check_shortest(
        StrategyKind::Unprotected,
        "no overbooking stored",
        &[
            "1. client 1 sends reserve",
            "2. client 2 sends reserve",
            "3. client 1's call reads the slot's seats",
            "4. client 2's call reads the slot's seats",
            "5. client 1's call writes the booking, based on its earlier read: \
             client 1 gets ok, 1 of 1 seats taken, available_seats 0",
            "6. client 2's call writes the booking, based on its earlier read: \
             client 2 gets ok, 2 of 1 seats taken",
        ],
    );
    let lost_update = [
        "1. client 1 sends reserve",
        "2. client 2 sends reserve",
        "3. client 1's call reads the slot's seats",
        "4. client 2's call reads the slot's seats",
        "5. client 1's call writes the booking, and one seat less than it read: \
         client 1 gets ok, 1 of 1 seats taken, available_seats 0",
        "6. client 2's call writes the booking, and one seat less than it read: \
         client 2 gets ok, 2 of 1 seats taken",
    ];
    check_shortest(StrategyKind::LostUpdate, "no overbooking stored", &lost_update);
    check_shortest(
        StrategyKind::RedisLockToken,
        "no overbooking stored",
        &[
            "1. client 1 sends reserve",
            "2. client 2 sends reserve",
            "3. client 1's call takes the lock in Redis",
            "4. client 1's call reads the slot's seats",
            "5. the Redis lock of client 1's call expires",
            "6. client 2's call takes the lock in Redis",
            "7. client 2's call reads the slot's seats",
            "8. client 1's call writes the booking, based on its earlier read: \
             1 of 1 seats taken, available_seats 0",
            "9. client 2's call writes the booking, based on its earlier read: 2 of 1 seats taken",
        ],
    );
    check_shortest(StrategyKind::LostUpdate, "seats conserved", &lost_update);
    check_shortest(
        StrategyKind::ReceiptApart,
        "one effect per key",
        &[
            "1. client 1 sends reserve",
            "2. client 1 times out waiting for an answer: client 1 retries with the same key",
            "3. client 1's call writes the booking if a seat is free and its key has no receipt: \
             1 of 1 seats taken, available_seats 0",
            "4. the hold of client 1's call reaches its expiry time",
            "5. the sweeper expires the hold of client 1's call: \
             0 of 1 seats taken, available_seats 1",
            "6. client 1's retry writes the booking if a seat is free and its key has no receipt: \
             1 of 1 seats taken, available_seats 0",
        ],
    );
}

/// A model that has changed has other counterexamples; then `slotproof model NAME --write`
/// writes them anew.
#[test]
fn the_kept_schedules_are_what_the_models_say_today() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
    let mut kept = 0;
    for kind in StrategyKind::all() {
        let Ok(text) = fs::read_to_string(folder.join(format!("{kind}.json"))) else {
            continue;
        };
        let found = explore(kind, SMALL, Limits::untimed()).counterexample(kind, SMALL);
        assert_eq!(found.map(|schedule| schedule.to_json()), Some(text), "{kind}");
        kept += 1;
    }
    assert_eq!(kept, fs::read_dir(folder).expect("a folder").count());
}

#[test]
fn a_limit_that_is_reached_upholds_nothing() {
    let few_states = Limits { states: 100, ..Limits::untimed() };
    let no_time = Limits { time: Duration::ZERO, ..Limits::untimed() };
    for (limits, size) in [(few_states, SMALL), (no_time, LARGER)] {
        let found = explore(StrategyKind::Pessimistic, size, limits);
        assert!(!found.complete);
        assert_eq!(result(&found, "no overbooking stored").verdict, Verdict::Unknown);
    }
}
