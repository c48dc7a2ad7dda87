//! Scenarios: load shapes. What each does is in the file of its name in `scenarios/src/flows`; here
//! are its name and its numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{mix::Mix, span::Span};

/// A load shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioKind {
    /// All clients compete for one slot from the same instant, and retry.
    FlashSale,
    /// Users browse, book and sometimes cancel, over slots of equal popularity.
    Steady,
    /// The same over slots of unequal popularity.
    HotAndCold,
    /// Users who reserve and leave.
    AbandonedHolds,
    /// Clients that resend before they are answered, and reserve again when they are refused.
    RetryStorm,
}

/// What a plan has where its arguments state nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// Concurrent clients of a closed workload.
    pub clients: u32,
    /// Mean pause between two flows of a client of a closed workload.
    pub think: Span,
    /// Slots.
    pub slots: u32,
    /// Seats of each.
    pub capacity: u32,
    /// How long a hold lasts.
    pub hold: Span,
    /// The Zipf exponent of slot popularity, for the scenario that has one.
    pub zipf: Option<f64>,
    /// Weights of the user flows.
    pub mix: Mix,
    /// Attempts per operation.
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

    /// What it does and what it shows, in a sentence or two.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::FlashSale => {
                "all clients compete for one slot from the same instant and retry; seats are confirmed, \
                 cancelled, abandoned and resold. Shows overbooking soonest. Closed workload only"
            }
            Self::Steady => {
                "ordinary traffic: users browse, book and sometimes cancel, over slots of equal popularity. \
                 For capacity, and for latency at a given rate"
            }
            Self::HotAndCold => {
                "ordinary traffic over slots of unequal popularity (Zipf): a few contended rows beside \
                 thousands of uncontended ones"
            }
            Self::AbandonedHolds => {
                "most users reserve and leave, and some return after their hold has expired: expired seats \
                 must be resold, once"
            }
            Self::RetryStorm => {
                "impatient clients resend with the same key before they are answered, and reserve again when \
                 they are refused: idempotency under the load that a slow service causes itself"
            }
        }
    }

    /// What a plan of it has where its arguments state nothing else.
    pub fn defaults(self) -> Defaults {
        let steady = Defaults {
            clients: 1_000,
            think: Span::of_ms(1_000),
            slots: 20,
            capacity: 50,
            hold: Span::of_ms(3_000),
            zipf: None,
            mix: Mix { browse: 60, book: 20, cancel: 15, give_up: 3, abandon: 2, buy: 0, watch: 0 },
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
                mix: Mix {
                    browse: 10,
                    book: 5,
                    cancel: 10,
                    give_up: 5,
                    abandon: 70,
                    buy: 0,
                    watch: 0,
                },
                ..steady
            },
            Self::RetryStorm => Defaults {
                think: Span::of_ms(300),
                slots: 5,
                capacity: 100,
                mix: Mix {
                    browse: 5,
                    book: 5,
                    cancel: 70,
                    give_up: 15,
                    abandon: 5,
                    buy: 0,
                    watch: 0,
                },
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
            format!("unknown scenario {text:?}; the scenarios are {}", names.join(", "))
        })
    }
}
