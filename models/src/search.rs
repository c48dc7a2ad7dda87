//! Searches of stateright.

use std::{collections::HashMap, sync::Arc};

use stateright::{Checker, CheckerBuilder, Model, Path, Property};

use crate::{
    budget::Budget, exploration::Size, protocol::Protocol, step::Step, strategy::Strategy,
    world::World,
};

/// What one search found.
pub(crate) struct Found<S> {
    /// For each property about which something was found, the path to it.
    pub paths: HashMap<&'static str, Path<World<S>, Step<S>>>,
    pub unique_states: usize,
    pub depth: usize,
    pub complete: bool,
}

/// Searches every state, one of each orbit: depth first, for only that search of stateright honours
/// symmetry.
pub(crate) fn search_all<S: Strategy>(
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol<S>>>,
) -> Found<S> {
    search(size, budget, judged_by, |checker| checker.symmetry().spawn_dfs().join())
}

/// Searches for a shortest path, without symmetry and with one thread: with two, breadth first is
/// only roughly so.
pub(crate) fn search_shortest<S: Strategy>(
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol<S>>>,
) -> Found<S> {
    search(size, budget, judged_by, |checker| checker.spawn_bfs().join())
}

fn search<S: Strategy, C: Checker<Protocol<S>>>(
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol<S>>>,
    spawn: impl FnOnce(CheckerBuilder<Protocol<S>>) -> C,
) -> Found<S> {
    let budget = Arc::new(budget);
    let checker = spawn(Protocol::new(size, Arc::clone(&budget), judged_by).checker().threads(1));
    budget.lift();
    Found {
        paths: checker.discoveries(),
        unique_states: checker.unique_state_count(),
        // stateright counts the states of a path, and a path of one state has no step.
        depth: checker.max_depth() - 1,
        complete: budget.expanded() == checker.unique_state_count(),
    }
}
