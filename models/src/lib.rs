#![doc = include_str!("../README.md")]

mod advisory;
mod conditional;
mod optimistic;
mod pessimistic;
mod redis_lock;
mod seat_rows;
mod serializable;

mod lost_update;
mod redis_lock_token;
mod redis_lock_unfenced;
mod unprotected;

mod call;
mod database;
mod step;
mod strategy;
mod world;

mod properties;
mod protocol;

mod budget;
mod exploration;
mod search;
mod sentences;

#[cfg(test)]
mod broken;

pub use exploration::{Expectation, Exploration, Limits, MODELLED, PropertyResult, Size, explore, judged_by};

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{StrategyKind, Verdict};

    use super::*;

    const SMALL: Size = Size { clients: 2, capacity: 1 };
    const LARGER: Size = Size { clients: 3, capacity: 2 };

    fn result<'a>(exploration: &'a Exploration, name: &str) -> &'a PropertyResult {
        exploration.properties.iter().find(|property| property.name == name).expect("it is judged")
    }

    fn check_upheld(kind: StrategyKind, size: Size) {
        let found = explore(kind, size, Limits::default()).expect("it is modelled");
        assert!(found.complete, "{kind}");
        for property in found.properties {
            assert_eq!(property.verdict, Verdict::Upheld, "{kind}: {property:?}");
        }
    }

    fn check_story(kind: StrategyKind, property: &str, expected: &[&str]) {
        let found = explore(kind, SMALL, Limits::default()).expect("it is modelled");
        assert_eq!(result(&found, property).counterexample.as_deref().expect("it is violated"), expected);
    }

    #[test]
    fn every_safe_strategy_upholds_everything_and_reaches_everything() {
        for kind in MODELLED.into_iter().filter(|kind| !kind.is_negative_control()) {
            check_upheld(kind, SMALL);
        }
    }

    /// `optimistic` is left out for its number of states: without compiler optimization it takes a quarter of a minute.
    #[test]
    fn three_clients_of_two_seats_change_nothing() {
        check_upheld(StrategyKind::Pessimistic, LARGER);
        check_upheld(StrategyKind::Conditional, LARGER);
    }

    #[test]
    fn every_negative_control_is_convicted() {
        for kind in MODELLED.into_iter().filter(|kind| kind.is_negative_control()) {
            let found = explore(kind, SMALL, Limits::default()).expect("it is modelled");
            for name in
                ["never overbooked", "never overbooked from what clients were told", "seats conserved"]
            {
                assert_eq!(result(&found, name).verdict, Verdict::Violated, "{kind}: {name}");
            }
            for name in ["one effect per key", "one life per booking", "no acknowledged booking lost"] {
                assert_eq!(result(&found, name).verdict, Verdict::Upheld, "{kind}: {name}");
            }
        }
    }

    #[test]
    fn the_number_of_states_is_known() {
        let states = MODELLED.map(|kind| {
            (kind.name(), explore(kind, SMALL, Limits::default()).expect("it is modelled").unique_states)
        });
        let expected = [
            ("pessimistic", 10_560),
            ("serializable", 26_322),
            ("optimistic", 15_298),
            ("conditional", 5_145),
            ("advisory", 16_200),
            ("redis_lock", 2_284_922),
            ("seat_rows", 46_398),
            ("unprotected", 14_304),
            ("lost_update", 14_712),
            ("redis_lock_unfenced", 262_094),
            ("redis_lock_token", 305_960),
        ];
        assert_eq!(states.as_slice(), expected.as_slice());
        assert_eq!(
            explore(StrategyKind::Pessimistic, LARGER, Limits::default())
                .expect("it is modelled")
                .unique_states,
            75_524
        );
        assert_eq!(
            explore(StrategyKind::Conditional, LARGER, Limits::default())
                .expect("it is modelled")
                .unique_states,
            37_826
        );
    }

    #[test]
    fn the_shortest_ways_to_overbook_read_like_stories() {
        check_story(
            StrategyKind::Unprotected,
            "never overbooked",
            &[
                "1. client 1 sends reserve",
                "2. client 2 sends reserve",
                "3. client 1's call reads the slot's seats",
                "4. client 2's call reads the slot's seats",
                "5. client 1's call writes the booking, because a seat was free when it looked: \
                 client 1 is told ok, 1 of 1 seats taken, 0 said to be free",
                "6. client 2's call writes the booking, because a seat was free when it looked: \
                 client 2 is told ok, 2 of 1 seats taken",
            ],
        );
        let lost_update = [
            "1. client 1 sends reserve",
            "2. client 2 sends reserve",
            "3. client 1's call reads the slot's seats",
            "4. client 2's call reads the slot's seats",
            "5. client 1's call writes the booking, and one seat less than it read: \
             client 1 is told ok, 1 of 1 seats taken, 0 said to be free",
            "6. client 2's call writes the booking, and one seat less than it read: \
             client 2 is told ok, 2 of 1 seats taken",
        ];
        check_story(StrategyKind::LostUpdate, "never overbooked", &lost_update);
        check_story(
            StrategyKind::RedisLockToken,
            "never overbooked",
            &[
                "1. client 1 sends reserve",
                "2. client 2 sends reserve",
                "3. client 1's call takes the lock in Redis",
                "4. client 1's call reads the slot's seats",
                "5. the lock of client 1's call expires under it",
                "6. client 2's call takes the lock in Redis",
                "7. client 2's call reads the slot's seats",
                "8. client 1's call writes the booking, because a seat was free when it looked: \
                 1 of 1 seats taken, 0 said to be free",
                "9. client 2's call writes the booking, because a seat was free when it looked: 2 of 1 seats taken",
            ],
        );
        check_story(StrategyKind::LostUpdate, "seats conserved", &lost_update);
    }

    #[test]
    fn a_limit_that_is_reached_upholds_nothing() {
        let few_states = Limits { states: 100, ..Limits::default() };
        let no_time = Limits { time: std::time::Duration::ZERO, ..Limits::default() };
        for (limits, size) in [(few_states, SMALL), (no_time, LARGER)] {
            let found = explore(StrategyKind::Pessimistic, size, limits).expect("it is modelled");
            assert!(!found.complete);
            assert_eq!(result(&found, "never overbooked").verdict, Verdict::Unknown);
        }
    }
}
