//! One breadth-first search of stateright.

use std::{collections::HashMap, sync::Arc};

use stateright::{Checker, Model, Path, Property};

use crate::{
    budget::Budget, exploration::Size, protocol::Protocol, step::Step, strategy::Strategy, world::World,
};

/// What one search found.
pub(crate) struct Found<S> {
    /// For each property about which something was found, the path to it.
    pub paths: HashMap<&'static str, Path<World<S>, Step<S>>>,
    pub unique_states: usize,
    pub depth: usize,
    pub complete: bool,
}

/// Searches with one thread: with two, breadth first is only roughly so, and a counterexample not the shortest.
pub(crate) fn search<S: Strategy>(
    size: Size,
    budget: Budget,
    judged_by: Vec<Property<Protocol<S>>>,
) -> Found<S> {
    let budget = Arc::new(budget);
    let checker = Protocol::new(size, Arc::clone(&budget), judged_by).checker().threads(1).spawn_bfs().join();
    budget.lift();
    Found {
        paths: checker.discoveries(),
        unique_states: checker.unique_state_count(),
        // stateright counts the states of a path, and a path of one state has no step.
        depth: checker.max_depth() - 1,
        complete: budget.expanded() == checker.unique_state_count(),
    }
}
