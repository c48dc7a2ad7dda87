//! A path through a model, as data: what a counterexample leaves behind, and what a director
//! repeats on the service.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::StrategyKind;

use crate::{event::ModelEvent, size::Size};

/// The shape that is written and read.
const SCHEMA_VERSION: u32 = 1;

/// An order of steps, from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Of this file.
    schema_version: u32,
    /// The strategy whose model it goes through.
    pub strategy: StrategyKind,
    /// Clients.
    pub clients: u8,
    /// Seats of the slot.
    pub capacity: u8,
    /// The property that its last step breaks, if it is a counterexample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The events, in order.
    pub steps: Vec<ScheduledEvent>,
}

/// An event of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledEvent {
    /// What happens.
    #[serde(flatten)]
    pub what: ModelEvent,
    /// The same as a sentence, with its consequences in the model.
    #[serde(default)]
    pub text: String,
}

/// A text that is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSchedule(String);

impl std::fmt::Display for BadSchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSchedule {}

impl Schedule {
    pub(crate) fn new(
        strategy: StrategyKind,
        size: Size,
        property: Option<&str>,
        steps: Vec<ScheduledEvent>,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            strategy,
            clients: size.clients,
            capacity: size.capacity,
            property: property.map(str::to_owned),
            steps,
        }
    }

    /// How large its world is.
    pub fn size(&self) -> Size {
        Size { clients: self.clients, capacity: self.capacity }
    }

    /// The file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a schedule is words and numbers");
        text.push('\n');
        text
    }

    /// # Errors
    /// The first fault, with its line where it is one of the JSON.
    pub fn from_json(text: &str) -> Result<Self, BadSchedule> {
        let schedule: Self =
            serde_json::from_str(text).map_err(|error| BadSchedule(error.to_string()))?;
        let bad = |reason: String| Err(BadSchedule(reason));
        if schedule.schema_version != SCHEMA_VERSION {
            return bad(format!(
                "schema version {} is not supported: this program reads {SCHEMA_VERSION}",
                schedule.schema_version
            ));
        }
        if !(1..=Size::CLIENTS_MAX).contains(&schedule.clients)
            || !(1..=Size::SEATS_MAX).contains(&schedule.capacity)
        {
            return bad(format!(
                "{} clients and {} seats are out of range: 1 to {} clients, 1 to {} seats",
                schedule.clients,
                schedule.capacity,
                Size::CLIENTS_MAX,
                Size::SEATS_MAX
            ));
        }
        let unknown = schedule
            .steps
            .iter()
            .find(|step| step.what.client().is_some_and(|client| client >= schedule.clients));
        match unknown.and_then(|step| step.what.client()) {
            Some(client) => bad(format!(
                "a step names client {}, and the schedule has clients 1 to {}",
                client.wrapping_add(1),
                schedule.clients
            )),
            None => Ok(schedule),
        }
    }
}
