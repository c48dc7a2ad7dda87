//! What strategies are compared under.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use slotproof_vocabulary::ScenarioKind;

/// A load that strategies are compared under. In the first two, seats are to spare: they measure
/// how many bookings a strategy makes. In a scenario seats run out, and what is measured is how
/// fast they come back; it is what shows that a strategy is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Load {
    /// All clients book seats of one slot, without a pause.
    HotSlot,
    /// All clients book seats of many slots, without a pause.
    ManySlots,
    /// Seats run out.
    Scenario(ScenarioKind),
}

impl Load {
    /// Whether there are seats for everybody: throughput is measured, and I15 asks for nothing.
    pub fn has_seats_to_spare(self) -> bool {
        match self {
            Self::HotSlot | Self::ManySlots => true,
            Self::Scenario(_) => false,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HotSlot => f.write_str("hot_slot"),
            Self::ManySlots => f.write_str("many_slots"),
            Self::Scenario(scenario) => scenario.fmt(f),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hot_slot" => Ok(Self::HotSlot),
            "many_slots" => Ok(Self::ManySlots),
            _ => text.parse().map(Self::Scenario).map_err(|error| {
                format!("{error}; or hot_slot or many_slots, in which seats are to spare")
            }),
        }
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
