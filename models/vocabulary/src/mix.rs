//! Mixes: what users do, and in which shares.

use std::{fmt, str::FromStr};

use crate::span::written_as_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A user flow: what a user does from arrival to departure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Reads a slot.
    Browse,
    /// Reserves, and confirms.
    Book,
    /// Reserves, confirms, and cancels later.
    Cancel,
    /// Reserves, and cancels instead of confirming.
    GiveUp,
    /// Reserves, and lets the hold expire.
    Abandon,
    /// Reserves, and confirms at once.
    Buy,
    /// Reserves, reads its booking, lets the hold expire, and reads it again.
    Watch,
}

/// Weights of flows: `browse=60,book=25,cancel=10,give_up=3,abandon=2`. A flow that is omitted has
/// weight 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mix {
    /// Reads a slot.
    pub browse: u32,
    /// Reserves, and confirms.
    pub book: u32,
    /// Reserves, confirms, and cancels later.
    pub cancel: u32,
    /// Reserves, and cancels instead of confirming.
    pub give_up: u32,
    /// Reserves, and lets the hold expire.
    pub abandon: u32,
    /// Reserves, and confirms at once: for throughput, where a pause would be measured.
    pub buy: u32,
    /// Reserves, reads its booking, lets the hold expire, and reads it again: for what is said of
    /// bookings.
    pub watch: u32,
}

impl Mix {
    /// A weight above this is a typing error.
    pub const WEIGHT_MAX: u32 = 1_000_000;

    /// Every flow with its name and its weight.
    pub fn weights(&self) -> [(Flow, &'static str, u32); 7] {
        [
            (Flow::Browse, "browse", self.browse),
            (Flow::Book, "book", self.book),
            (Flow::Cancel, "cancel", self.cancel),
            (Flow::GiveUp, "give_up", self.give_up),
            (Flow::Abandon, "abandon", self.abandon),
            (Flow::Buy, "buy", self.buy),
            (Flow::Watch, "watch", self.watch),
        ]
    }

    /// The sum of all weights; greater than 0 in a mix that was parsed.
    pub fn total(&self) -> u32 {
        self.weights().iter().map(|(_, _, weight)| weight).sum()
    }

    /// The flow at a place below [`Mix::total`], if each flow has as many places as its weight.
    pub fn at(&self, mut place: u32) -> Flow {
        for (flow, _, weight) in self.weights() {
            if place < weight {
                return flow;
            }
            place -= weight;
        }
        Flow::Browse
    }

    /// Whether some flow gives confirmed or held seats back.
    pub fn gives_back(&self) -> bool {
        self.cancel + self.give_up > 0
    }

    /// Whether some flow takes seats.
    pub fn takes(&self) -> bool {
        self.total() > self.browse
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self::default();
        for part in text.split(',') {
            let wrong = || {
                format!(
                    "{part:?} is not a flow with its weight; write browse=60,book=25,cancel=10,give_up=3,abandon=2, each 0 to {}",
                    Self::WEIGHT_MAX
                )
            };
            let (name, weight) = part.split_once('=').ok_or_else(wrong)?;
            let weight = weight
                .parse()
                .ok()
                .filter(|weight| *weight <= Self::WEIGHT_MAX)
                .ok_or_else(wrong)?;
            let place = match name {
                "browse" => &mut mix.browse,
                "book" => &mut mix.book,
                "cancel" => &mut mix.cancel,
                "give_up" => &mut mix.give_up,
                "abandon" => &mut mix.abandon,
                "buy" => &mut mix.buy,
                "watch" => &mut mix.watch,
                _ => return Err(wrong()),
            };
            *place = weight;
        }
        if mix.total() == 0 {
            return Err(format!("{text:?} has no flow; give at least one a weight above 0"));
        }
        Ok(mix)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.weights().into_iter().filter(|(_, _, weight)| *weight > 0);
        let parts: Vec<_> = parts.map(|(_, name, weight)| format!("{name}={weight}")).collect();
        f.write_str(&parts.join(","))
    }
}

written_as_text!(Mix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_reads_as_it_is_written_and_what_is_not_one_is_refused() {
        for text in ["browse=60,book=25,cancel=10,give_up=3,abandon=2", "browse=100"] {
            assert_eq!(text.parse::<Mix>().map(|mix| mix.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "browse", "browse=-1", "browse=0", "sleep=3", "browse=9999999"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_flow_has_as_many_places_as_its_weight() {
        let mix: Mix = "browse=2,cancel=3,abandon=1".parse().expect("a mix");
        let places: Vec<Flow> = (0..mix.total()).map(|place| mix.at(place)).collect();
        assert_eq!(
            places,
            [Flow::Browse, Flow::Browse, Flow::Cancel, Flow::Cancel, Flow::Cancel, Flow::Abandon]
        );
    }
}
