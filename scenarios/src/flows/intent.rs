//! What a user wants, before the first request: drawn from the seed and the plan alone.

use slotproof_vocabulary::{Flow, Plan};

/// What an intent is drawn from.
#[derive(Debug, Clone)]
pub(crate) struct FlowContext {
    pub(crate) plan: Plan,
    /// How many slots there are.
    pub(crate) slots: usize,
}

/// What a user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) flow: Flow,
    /// The index of the slot among the site's.
    pub(crate) slot: usize,
    pub(crate) seats: u32,
}

#[cfg(test)]
impl FlowContext {
    pub(crate) fn of(args: &str) -> Self {
        let plan: Plan = serde_json::from_str(args).expect("a plan");
        Self { slots: plan.slots as usize, plan }
    }
}
