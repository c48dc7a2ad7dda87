//! Plans: a workload as data. A run can be repeated from its plan and nothing else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::StrategyKind;

/// A load shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioKind {
    /// Everyone wants the one slot at the one instant, and keeps trying.
    FlashSale,
}

impl ScenarioKind {
    /// Every scenario.
    pub const ALL: [Self; 1] = [Self::FlashSale];

    /// The name on the command line, in files and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::FlashSale => "flash_sale",
        }
    }

    /// What a run of this scenario must have reached to be worth judging (I15).
    pub fn expectations(self) -> &'static [Expectation] {
        match self {
            Self::FlashSale => &[Expectation::SoldOut, Expectation::Full, Expectation::Resale],
        }
    }
}

impl fmt::Display for ScenarioKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ScenarioKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("no scenario is called {text:?}; there are {}", names.join(", ")))
    }
}

/// Something that a run must have reached, or its verdict means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Some client was told `sold_out`.
    SoldOut,
    /// Some slot had all its seats promised.
    Full,
    /// Seats that a cancel gave back were promised again after the slot had been full.
    Resale,
}

/// What a run does. Stored as `plan.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The load shape.
    pub scenario: ScenarioKind,
    /// The service's strategy; absent when the target is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyKind>,
    /// Concurrent clients, each with at most one operation in flight.
    pub clients: u32,
    /// Slots that the load is spread over.
    pub slots: u32,
    /// Seats of each slot.
    pub capacity: u32,
    /// How long new operations are begun.
    pub duration_ms: u64,
    /// How long a client waits for an answer before it calls the outcome unknown.
    pub timeout_ms: u64,
    /// How long a hold lasts before it expires.
    pub hold_ms: u64,
    /// Everything random comes from this.
    pub seed: u64,
}

impl Plan {
    /// More clients than this do not fit into one process's file descriptors.
    pub const CLIENTS_MAX: u32 = 10_000;
    /// The largest capacity that the service accepts.
    pub const CAPACITY_MAX: u32 = 1_000_000;
    /// A day: longer is a typing error.
    pub const DURATION_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// Names the field that is out of its range, and the range.
    pub fn validate(&self) -> Result<(), PlanError> {
        in_range("clients", self.clients.into(), 1, Self::CLIENTS_MAX.into())?;
        in_range("slots", self.slots.into(), 1, 100_000)?;
        in_range("capacity", self.capacity.into(), 1, Self::CAPACITY_MAX.into())?;
        in_range("duration_ms", self.duration_ms, 100, Self::DURATION_MS_MAX)?;
        in_range("timeout_ms", self.timeout_ms, 10, 600_000)?;
        in_range("hold_ms", self.hold_ms, 10, Self::DURATION_MS_MAX)
    }
}

fn in_range(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), PlanError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(PlanError { field, value, least, most }) }
}

/// A field of a plan is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; it must be {least} to {most}")]
pub struct PlanError {
    /// The field.
    pub field: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            scenario: ScenarioKind::FlashSale,
            strategy: Some(StrategyKind::LostUpdate),
            clients: 2_000,
            slots: 1,
            capacity: 200,
            duration_ms: 15_000,
            timeout_ms: 30_000,
            hold_ms: 3_000,
            seed: 42,
        }
    }

    #[test]
    fn the_shape_of_a_plan_is_pinned() {
        insta::assert_json_snapshot!(plan());
    }

    #[test]
    fn a_field_out_of_range_is_named() {
        assert_eq!(plan().validate(), Ok(()));
        let refused = |change: fn(&mut Plan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.validate().expect_err("out of range").field
        };
        assert_eq!(refused(|plan| plan.clients = 0), "clients");
        assert_eq!(refused(|plan| plan.clients = 10_001), "clients");
        assert_eq!(refused(|plan| plan.capacity = 0), "capacity");
        assert_eq!(refused(|plan| plan.duration_ms = 0), "duration_ms");
        assert_eq!(refused(|plan| plan.hold_ms = 0), "hold_ms");
    }
}
