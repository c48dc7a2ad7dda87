//! x

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
    use super::*;
    use slotproof_vocabulary::StrategyKind;
    #[test]
    fn census() {
        for (clients, capacity) in [(2, 1), (3, 2)] {
            for kind in StrategyKind::ALL {
                let start = std::time::Instant::now();
                let e = explore(
                    kind,
                    Size { clients, capacity },
                    Limits { states: 1_500_000, time: std::time::Duration::from_secs(60) },
                );
                println!(
                    "{kind} {clients}/{capacity}: {} depth {} complete {} in {:?}",
                    e.unique_states,
                    e.depth,
                    e.complete,
                    start.elapsed()
                );
                for p in e.properties {
                    println!("   {} {}", p.name, p.verdict);
                    for s in p.counterexample.into_iter().flatten() {
                        println!("       {s}");
                    }
                }
            }
        }
    }
}
