//! The booking protocol around one strategy, as a stateright model.

use std::{marker::PhantomData, sync::Arc};

use stateright::{Model, Property};

use crate::{budget::Budget, exploration::Size, step::Step, strategy::Strategy, world::World};

/// Clients of a slot whose service reserves by strategy `S`.
pub(crate) struct Protocol<S: Strategy> {
    size: Size,
    budget: Arc<Budget>,
    judged_by: Vec<Property<Self>>,
    strategy: PhantomData<S>,
}

impl<S: Strategy> Protocol<S> {
    pub fn new(size: Size, budget: Arc<Budget>, judged_by: Vec<Property<Self>>) -> Self {
        Self { size, budget, judged_by, strategy: PhantomData }
    }
}

impl<S: Strategy> Model for Protocol<S> {
    type State = World<S>;
    type Action = Step<S>;

    fn init_states(&self) -> Vec<World<S>> {
        vec![World::new(self.size)]
    }

    fn actions(&self, world: &World<S>, steps: &mut Vec<Step<S>>) {
        if self.budget.spend() {
            Step::offer(world, steps);
        }
    }

    fn next_state(&self, world: &World<S>, step: Step<S>) -> Option<World<S>> {
        let mut next = world.clone();
        step.take(&mut next)?;
        Some(next)
    }

    /// As the explorer shows it.
    fn format_action(&self, step: &Step<S>) -> String {
        step.to_string()
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.judged_by.clone()
    }
}
