//! Visits: what the clients of most scenarios do. The one place that knows which page a scenario is
//! on.

use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use slotproof_vocabulary::{Flow, Plan, ScenarioKind};

use crate::{
    abandoned_holds, chance,
    client::Client,
    hot_and_cold, retry_storm,
    schedule::Schedule,
    steady::{self, Intent},
};

/// What visitors know before they come.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// How many slots there are.
    pub(crate) slots: usize,
}

/// The scenarios that consist of visits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Visits {
    Steady,
    HotAndCold,
    AbandonedHolds,
    RetryStorm,
}

impl Visits {
    /// `None`: the clients of the scenario live a life of their own.
    pub(crate) fn of(scenario: ScenarioKind) -> Option<Self> {
        match scenario {
            ScenarioKind::FlashSale => None,
            ScenarioKind::Steady => Some(Self::Steady),
            ScenarioKind::HotAndCold => Some(Self::HotAndCold),
            ScenarioKind::AbandonedHolds => Some(Self::AbandonedHolds),
            ScenarioKind::RetryStorm => Some(Self::RetryStorm),
        }
    }

    /// What somebody comes for, before anything is asked.
    pub(crate) fn intent(self, world: &World, rng: &mut ChaCha8Rng) -> Intent {
        match self {
            Self::Steady => steady::intent(world, rng),
            Self::HotAndCold => hot_and_cold::intent(world, rng),
            Self::AbandonedHolds => abandoned_holds::intent(world, rng),
            Self::RetryStorm => retry_storm::intent(world, rng),
        }
    }

    /// One visit; answers with the instant at which the client is free again.
    pub(crate) async fn make(
        self,
        client: &mut Client,
        intent: Intent,
        rng: &mut ChaCha8Rng,
        scheduled_ns: u64,
    ) -> u64 {
        match self {
            Self::Steady => steady::visit(client, intent, rng, scheduled_ns).await,
            Self::HotAndCold => hot_and_cold::visit(client, intent, rng, scheduled_ns).await,
            Self::AbandonedHolds => abandoned_holds::visit(client, intent, rng, scheduled_ns).await,
            Self::RetryStorm => retry_storm::visit(client, intent, rng, scheduled_ns).await,
        }
    }
}

/// An arrival of an open workload as the plan alone decides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedArrival {
    /// Which: 0 is the first.
    pub arrival: u64,
    /// When, since the load begins.
    pub offset_ns: u64,
    /// What the visitor comes for.
    pub visit: Flow,
    /// The slot's place among the plan's, from 0.
    pub slot: usize,
    /// Seats wanted, if any are.
    pub seats: u32,
}

/// Every arrival of an open workload; `None` for a closed one, whose clients arrive when they are
/// ready.
pub fn planned(plan: &Plan) -> Option<impl Iterator<Item = PlannedArrival>> {
    let (schedule, visits) = (Schedule::of(plan)?, Visits::of(plan.scenario)?);
    let world = World { plan: plan.clone(), slots: plan.slots as usize };
    Some((0..).zip(schedule).map(move |(arrival, offset_ns)| {
        let Intent { visit, slot, seats } =
            visits.intent(&world, &mut chance::stream(world.plan.seed, arrival));
        PlannedArrival { arrival, offset_ns, visit, slot, seats }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl World {
        pub(crate) fn of(words: &str) -> Self {
            let words: slotproof_vocabulary::PlanArgs = serde_json::from_str(words).expect("words");
            let plan: Plan = words.try_into().expect("a plan");
            Self { slots: plan.slots as usize, plan }
        }
    }

    #[test]
    fn the_same_seed_plans_the_same_visits_at_the_same_instants() {
        let planned = |seed: u64| -> Vec<PlannedArrival> {
            let words = format!(
                r#"{{"scenario": "hot_and_cold", "rate": "800/s", "duration": "2s", "arrivals": "poisson", "seed": {seed}}}"#
            );
            planned(&World::of(&words).plan).expect("it is open").collect()
        };
        assert_eq!(planned(1), planned(1));
        assert_ne!(planned(1), planned(2));
        assert_eq!(planned(1).len(), 1_600);
    }
}
