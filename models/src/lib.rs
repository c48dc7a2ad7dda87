#![doc = include_str!("../README.md")]

mod conditional;
mod optimistic;
mod pessimistic;

mod lost_update;
mod unprotected;

mod budget;
mod database;
mod exploration;
mod properties;
mod protocol;
mod search;
mod sentences;
mod step;
mod strategy;
mod world;

pub use exploration::{Expectation, Exploration, Limits, PropertyResult, Size, explore, properties_of};

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{StrategyKind, Verdict};

    use super::*;

    const SMALL: Size = Size { clients: 2, capacity: 1 };

    fn verdict(exploration: &Exploration, name: &str) -> Verdict {
        exploration.properties.iter().find(|property| property.name == name).expect("it is judged").verdict
    }

    #[test]
    fn every_safe_strategy_upholds_everything_and_reaches_everything() {
        for kind in StrategyKind::ALL.into_iter().filter(|kind| !kind.is_negative_control()) {
            let found = explore(kind, SMALL, Limits::default());
            assert!(found.complete, "{kind}");
            for property in found.properties {
                assert_eq!(
                    property.verdict,
                    Verdict::Upheld,
                    "{kind}: {}: {:?}",
                    property.name,
                    property.counterexample
                );
            }
        }
    }

    #[test]
    fn every_negative_control_is_convicted() {
        for kind in StrategyKind::ALL.into_iter().filter(|kind| kind.is_negative_control()) {
            let found = explore(kind, SMALL, Limits::default());
            for name in
                ["never overbooked", "never overbooked from what clients were told", "seats conserved"]
            {
                assert_eq!(verdict(&found, name), Verdict::Violated, "{kind}: {name}");
            }
            for name in ["one effect per key", "one life per booking", "no acknowledged booking lost"] {
                assert_eq!(verdict(&found, name), Verdict::Upheld, "{kind}: {name}");
            }
        }
    }

    #[test]
    fn the_number_of_states_is_known() {
        let states = StrategyKind::ALL
            .map(|kind| (kind.name(), explore(kind, SMALL, Limits::default()).unique_states));
        let expected = [
            ("pessimistic", 3_617),
            ("optimistic", 10_632),
            ("conditional", 6_000),
            ("unprotected", 7_656),
            ("lost_update", 7_656),
        ];
        assert_eq!(states, expected);
    }

    #[test]
    fn the_shortest_way_to_overbook_reads_like_a_story() {
        let found = explore(StrategyKind::LostUpdate, SMALL, Limits::default());
        let overbooked = found.properties.into_iter().find(|property| property.name == "never overbooked");
        let story = [
            "1. client 1 sends reserve",
            "2. client 2 sends reserve",
            "3. client 1's call reads the receipt and the slot's seats",
            "4. client 1's call writes the booking and one seat less than it read",
            "5. client 2's call reads the receipt and the slot's seats",
            "6. client 1's call commits: client 1 is told ok, 1 of 1 seats taken, 0 said to be free",
            "7. client 2's call writes the booking and one seat less than it read",
            "8. client 2's call commits: client 2 is told ok, 2 of 1 seats taken",
        ];
        assert_eq!(overbooked.and_then(|property| property.counterexample).expect("there is one"), story);
    }

    #[test]
    fn a_limit_that_is_reached_upholds_nothing() {
        let found = explore(StrategyKind::Pessimistic, SMALL, Limits { states: 100, ..Limits::default() });
        assert!(!found.complete);
        assert_eq!(verdict(&found, "never overbooked"), Verdict::Unknown);
    }

    #[test]
    fn all_strategies_are_judged_by_the_same_properties() {
        for kind in StrategyKind::ALL {
            assert_eq!(properties_of(kind), properties_of(StrategyKind::Pessimistic));
        }
    }
}
