//! The booking protocol around one strategy, as a stateright model.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::{budget::Budget, page::Page, size::Size, transition::Transition, world::World};

/// Clients of a slot whose service reserves by the strategy of this page.
pub(crate) struct Protocol {
    page: &'static Page,
    size: Size,
    budget: Arc<Budget>,
    judged_by: Vec<Property<Self>>,
}

impl Protocol {
    pub fn new(
        page: &'static Page,
        size: Size,
        budget: Arc<Budget>,
        judged_by: Vec<Property<Self>>,
    ) -> Self {
        Self { page, size, budget, judged_by }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Transition;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.page, self.size)]
    }

    fn actions(&self, world: &World, offered: &mut Vec<Transition>) {
        if self.budget.spend() {
            Transition::offer(world, offered);
        }
    }

    fn next_state(&self, world: &World, transition: Transition) -> Option<World> {
        let mut next = world.clone();
        transition.take(&mut next)?;
        Some(next)
    }

    /// As the explorer shows it.
    fn format_action(&self, transition: &Transition) -> String {
        transition.to_string()
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.judged_by.clone()
    }
}
