//! Searches of stateright.

use std::{collections::HashMap, sync::Arc};

use stateright::{Checker, CheckerBuilder, Model, Path, Property};

use crate::{
    budget::Budget, page::Page, protocol::Protocol, size::Size, transition::Transition,
    world::World,
};

/// What one search found.
pub(crate) struct Found {
    /// For each property about which something was found, the path to it.
    pub paths: HashMap<&'static str, Path<World, Transition>>,
    pub unique_states: usize,
    pub depth: usize,
    pub complete: bool,
}

/// Searches every state, one of each orbit: depth first, for only that search of stateright honours
/// symmetry.
pub(crate) fn search_all(
    page: &'static Page,
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol>>,
) -> Found {
    search(page, size, budget, judged_by, |checker| checker.symmetry().spawn_dfs().join())
}

/// Searches for a shortest path, without symmetry and with one thread: with two, breadth first is
/// only roughly so.
pub(crate) fn search_shortest(
    page: &'static Page,
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol>>,
) -> Found {
    search(page, size, budget, judged_by, |checker| checker.spawn_bfs().join())
}

fn search<C: Checker<Protocol>>(
    page: &'static Page,
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol>>,
    spawn: impl FnOnce(CheckerBuilder<Protocol>) -> C,
) -> Found {
    let budget = Arc::new(budget);
    let model = Protocol::new(page, size, Arc::clone(&budget), judged_by);
    let checker = spawn(model.checker().threads(1));
    budget.lift();
    Found {
        paths: checker.discoveries(),
        unique_states: checker.unique_state_count(),
        // stateright counts the states of a path, and a path of one state has no step.
        depth: checker.max_depth() - 1,
        complete: budget.expanded() == checker.unique_state_count(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use slotproof_vocabulary::StrategyKind;

    use super::*;
    use crate::{
        budget::{Limits, Timer},
        page::page_of,
        properties::properties,
        world::Phase,
    };

    const SMALL: Size = Size { clients: 2, capacity: 1 };
    const TWO_SEATS: Size = Size { clients: 2, capacity: 2 };
    const THREE_CLIENTS: Size = Size { clients: 3, capacity: 1 };

    /// The search for a shortest counterexample uses no symmetry: where both searches see every
    /// state, they find the same.
    #[test]
    fn symmetry_changes_no_verdict() {
        check_symmetry(StrategyKind::Pessimistic, SMALL);
        check_symmetry(StrategyKind::SeatRows, SMALL);
        check_symmetry(StrategyKind::LostUpdate, SMALL);
        check_symmetry(StrategyKind::Unprotected, THREE_CLIENTS);
    }

    fn check_symmetry(kind: StrategyKind, size: Size) {
        let page = page_of(kind);
        let (timer, _guard) = Timer::start(Limits::untimed().time);
        let budget = || Budget::new(Limits::default().states, &timer);
        let watched = || {
            let mut watched = properties(page);
            watched.push(Property::always("every state is seen", |_, _| true));
            watched
        };
        let some = search_all(page, size, budget(), watched());
        let all = search_shortest(page, size, budget(), watched());
        assert!(some.complete && all.complete);
        assert_eq!(
            some.paths.keys().collect::<HashSet<_>>(),
            all.paths.keys().collect::<HashSet<_>>()
        );
        let orders = (1..=usize::from(size.clients)).product::<usize>();
        assert!(
            some.unique_states < all.unique_states
                && some.unique_states * orders >= all.unique_states
        );
    }

    /// Whether some client ever gets `retry_later`, for which other calls must change the slot
    /// during each of its tries.
    fn reaches_retry_later(kind: StrategyKind, size: Size) -> bool {
        fn some_client_got_it(world: &World) -> bool {
            world.clients.iter().any(|client| client.phase == Phase::RetryLater)
        }
        let (timer, _guard) = Timer::start(Limits::untimed().time);
        let budget = Budget::new(Limits::default().states, &timer);
        let reached = Property::sometimes("retry_later", |_, world| some_client_got_it(world));
        search_shortest(page_of(kind), size, budget, vec![reached])
            .paths
            .contains_key("retry_later")
    }

    #[test]
    fn a_client_can_lose_every_try_where_others_can_change_the_slot_often_enough() {
        assert!(!reaches_retry_later(StrategyKind::Optimistic, SMALL));
        assert!(reaches_retry_later(StrategyKind::Optimistic, TWO_SEATS));
        assert!(!reaches_retry_later(StrategyKind::Conditional, TWO_SEATS));
        assert!(reaches_retry_later(StrategyKind::Conditional, THREE_CLIENTS));
    }
}
