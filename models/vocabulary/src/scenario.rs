//! Scenarios: load shapes. What each does is in the page of its name in `scenarios/src`; here are
//! its name and its numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{mix::Mix, span::Span};

/// A load shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioKind {
    /// Everyone wants the one slot at the one instant, and keeps trying.
    FlashSale,
    /// People look, book, and sometimes cancel, over many slots alike.
    Steady,
    /// The same over slots of which a few are wanted by most.
    HotAndCold,
    /// People who take seats and walk away.
    AbandonedHolds,
    /// People who ask again before they have been answered, and again when they are refused.
    RetryStorm,
}

/// What a plan says where nobody said anything else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// Concurrent clients of a closed workload.
    pub clients: u32,
    /// Mean time between two visits of a client of a closed workload.
    pub think: Span,
    /// Slots.
    pub slots: u32,
    /// Seats of each.
    pub capacity: u32,
    /// How long a hold lasts.
    pub hold: Span,
    /// How unequally slots are wanted, where the scenario is about that.
    pub zipf: Option<f64>,
    /// What visits are.
    pub mix: Mix,
    /// How often a client sends one operation at most.
    pub attempts: u32,
}

impl ScenarioKind {
    /// Every scenario.
    pub const ALL: [Self; 5] =
        [Self::FlashSale, Self::Steady, Self::HotAndCold, Self::AbandonedHolds, Self::RetryStorm];

    /// The name on the command line, in files and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::FlashSale => "flash_sale",
            Self::Steady => "steady",
            Self::HotAndCold => "hot_and_cold",
            Self::AbandonedHolds => "abandoned_holds",
            Self::RetryStorm => "retry_storm",
        }
    }

    /// What it is for, in a sentence or two.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::FlashSale => {
                "everyone wants the one slot at the one instant, and keeps trying; seats are confirmed, cancelled, \
                 abandoned and sold again. Shows overbooking soonest. Closed only"
            }
            Self::Steady => {
                "an ordinary day: people look, book and sometimes cancel, over slots that are all alike. For capacity, and \
                 for latency at a given rate"
            }
            Self::HotAndCold => {
                "an ordinary day on which a few slots are wanted by most (Zipf): a hot row beside thousands that nobody \
                 contends for"
            }
            Self::AbandonedHolds => {
                "most take seats and walk away, and some come back when their hold has run out: what expires must be \
                 sold again, once"
            }
            Self::RetryStorm => {
                "impatient clients send again by the same key before they have been answered, and ask anew when they are \
                 refused: idempotency under the load that a slow service makes for itself"
            }
        }
    }

    /// What a plan of it says where nobody said anything else.
    pub fn defaults(self) -> Defaults {
        let steady = Defaults {
            clients: 1_000,
            think: Span::of_ms(1_000),
            slots: 20,
            capacity: 50,
            hold: Span::of_ms(3_000),
            zipf: None,
            mix: Mix { browse: 60, book: 20, cancel: 15, give_up: 3, abandon: 2 },
            attempts: 1,
        };
        match self {
            Self::FlashSale => Defaults { clients: 2_000, slots: 1, capacity: 200, ..steady },
            Self::Steady => steady,
            Self::HotAndCold => Defaults { slots: 1_000, capacity: 20, zipf: Some(1.1), ..steady },
            Self::AbandonedHolds => Defaults {
                slots: 5,
                capacity: 100,
                hold: Span::of_ms(1_000),
                mix: Mix { browse: 10, book: 5, cancel: 10, give_up: 5, abandon: 70 },
                ..steady
            },
            Self::RetryStorm => Defaults {
                think: Span::of_ms(300),
                slots: 5,
                capacity: 100,
                mix: Mix { browse: 5, book: 5, cancel: 70, give_up: 15, abandon: 5 },
                attempts: 4,
                ..steady
            },
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
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            format!("no scenario is called {text:?}; there are {}", names.join(", "))
        })
    }
}
