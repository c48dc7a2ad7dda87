//! What variants are compared under.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use slotproof_vocabulary::ScenarioKind;

/// A load that variants are compared under. In the first three, seats are to spare: they measure how
/// many bookings a variant makes. In a scenario seats run out, and what is measured is how fast they
/// come back; it is what shows that a variant is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Load {
    /// All clients book seats of one slot, without a pause.
    HotSlot,
    /// All clients book seats of many slots, without a pause.
    ManySlots,
    /// All clients look nine times at one of many slots for each seat that they book, without a
    /// pause.
    MostlyReads,
    /// Each variant's own plan.
    Plan,
    /// Seats run out.
    Scenario(ScenarioKind),
}

/// How much load was offered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// As much as the clients can make: a closed load without a pause, or the load of a plan.
    #[default]
    Saturating,
    /// An open load that every upheld variant can serve: a share of the slowest one's throughput.
    OfSlowest,
    /// An open load that the best can serve: the same share of its throughput.
    OfBest,
    /// An open load that is more than the variant can serve: more than its own throughput.
    Overload,
}

impl Offered {
    /// The share of the throughput in question that is offered; `None` where clients never pause.
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Saturating => None,
            Self::OfSlowest | Self::OfBest => Some(0.7),
            Self::Overload => Some(1.3),
        }
    }

    /// Every one.
    pub const ALL: [Self; 4] = [Self::Saturating, Self::OfSlowest, Self::OfBest, Self::Overload];

    /// On the command line, in files and in anchors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Saturating => "saturating",
            Self::OfSlowest => "of_slowest",
            Self::OfBest => "of_best",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Offered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| format!("{text:?} is no load; it is one of {all}"))
    }
}

impl Load {
    /// Whether there are seats for everybody: throughput is measured, and I15 asks for nothing.
    pub fn has_seats_to_spare(self) -> bool {
        match self {
            Self::HotSlot | Self::ManySlots | Self::MostlyReads => true,
            Self::Plan | Self::Scenario(_) => false,
        }
    }

    /// Whether it decides which variant is recommended, where there is such a load. Where seats run
    /// out, goodput is how fast seats come back, and every variant that hands them out at all has
    /// about the same.
    pub fn decides(self) -> bool {
        self.has_seats_to_spare() || self == Self::Plan
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HotSlot => f.write_str("hot_slot"),
            Self::ManySlots => f.write_str("many_slots"),
            Self::MostlyReads => f.write_str("mostly_reads"),
            Self::Plan => f.write_str("plan"),
            Self::Scenario(scenario) => scenario.fmt(f),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    /// `plan` is not among them: it is not asked for, plans are.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hot_slot" => Ok(Self::HotSlot),
            "many_slots" => Ok(Self::ManySlots),
            "mostly_reads" => Ok(Self::MostlyReads),
            _ => text.parse().map(Self::Scenario).map_err(|error| {
                format!(
                    "{error}; or hot_slot, many_slots or mostly_reads, in which seats are to spare"
                )
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
        match String::deserialize(deserializer)?.as_str() {
            "plan" => Ok(Self::Plan),
            name => name.parse().map_err(D::Error::custom),
        }
    }
}
