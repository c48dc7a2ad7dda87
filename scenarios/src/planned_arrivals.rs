//! The arrivals of an open workload, as the plan alone decides them.

use serde::Serialize;
use slotproof_vocabulary::{Flow, Plan};

use crate::{
    flows::{FlowContext, FlowScenario, Intent},
    random,
    schedule::Schedule,
};

/// An arrival of an open workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedArrival {
    /// Its number: 0 is the first.
    pub arrival: u64,
    /// When, since the start of the load.
    pub offset_ns: u64,
    /// What the user does.
    #[serde(rename = "visit")]
    pub flow: Flow,
    /// The index of the slot among the plan's, from 0.
    pub slot: usize,
    /// Seats wanted, if the flow takes any.
    pub seats: u32,
}

/// Every arrival of an open workload; `None` for a closed one, which has no schedule.
pub fn planned(plan: &Plan) -> Option<impl Iterator<Item = PlannedArrival>> {
    let (schedule, flows) = (Schedule::of(plan)?, FlowScenario::of(plan.scenario)?);
    let context = FlowContext { plan: plan.clone(), slots: plan.slots as usize };
    Some((0..).zip(schedule).map(move |(arrival, offset_ns)| {
        let mut rng = random::stream(context.plan.seed, arrival);
        let Intent { flow, slot, seats } = flows.intent(&context, &mut rng);
        PlannedArrival { arrival, offset_ns, flow, slot, seats }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_seed(seed: u64) -> Vec<PlannedArrival> {
        let args = format!(
            r#"{{"scenario": "hot_and_cold", "rate": "800/s", "duration": "2s", "arrivals": "poisson", "seed": {seed}}}"#
        );
        let plan = serde_json::from_str(&args).expect("a plan");
        planned(&plan).expect("it is open").collect()
    }

    #[test]
    fn the_same_seed_plans_the_same_flows_at_the_same_instants() {
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
        assert_eq!(of_seed(1).len(), 1_600);
    }

    #[test]
    fn the_shape_of_a_planned_arrival_is_pinned() {
        let first = serde_json::to_string(&of_seed(1)[0]).expect("it is written");
        insta::assert_snapshot!(first);
    }
}
