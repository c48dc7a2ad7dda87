//! The scenarios, a file each, and the choice among those that consist of user flows.

mod intent;

mod abandoned_holds;
pub(crate) mod flash_sale;
mod hot_and_cold;
mod retry_storm;
mod steady;

use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::ScenarioKind;

use crate::client::Client;

pub(crate) use intent::{FlowContext, Intent};

/// The scenarios that consist of user flows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FlowScenario {
    Steady,
    HotAndCold,
    AbandonedHolds,
    RetryStorm,
}

impl FlowScenario {
    /// `None`: the clients of the scenario do one thing from the start to the end.
    pub(crate) fn of(scenario: ScenarioKind) -> Option<Self> {
        match scenario {
            ScenarioKind::FlashSale => None,
            ScenarioKind::Steady => Some(Self::Steady),
            ScenarioKind::HotAndCold => Some(Self::HotAndCold),
            ScenarioKind::AbandonedHolds => Some(Self::AbandonedHolds),
            ScenarioKind::RetryStorm => Some(Self::RetryStorm),
        }
    }

    /// What a user wants, before the first request.
    pub(crate) fn intent(self, context: &FlowContext, rng: &mut ChaCha8Rng) -> Intent {
        match self {
            Self::Steady => steady::intent(context, rng),
            Self::HotAndCold => hot_and_cold::intent(context, rng),
            Self::AbandonedHolds => abandoned_holds::intent(context, rng),
            Self::RetryStorm => retry_storm::intent(context, rng),
        }
    }

    /// Runs one flow; returns the instant at which the client is free again.
    pub(crate) async fn run(
        self,
        client: &mut Client,
        intent: Intent,
        rng: &mut ChaCha8Rng,
        scheduled_ns: u64,
    ) -> u64 {
        match self {
            Self::Steady => steady::run(client, intent, rng, scheduled_ns).await,
            Self::HotAndCold => hot_and_cold::run(client, intent, rng, scheduled_ns).await,
            Self::AbandonedHolds => abandoned_holds::run(client, intent, rng, scheduled_ns).await,
            Self::RetryStorm => retry_storm::run(client, intent, rng, scheduled_ns).await,
        }
    }
}
