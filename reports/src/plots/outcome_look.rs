//! How an outcome looks, the same in every plot.

use slotproof_vocabulary::Outcome;

use super::ink::{Dash, Ink, Marker, Stroke};

/// The line and the marker of an outcome.
pub(super) fn look(name: &str) -> (Stroke, Marker) {
    let (ink, dash, marker) = match Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    {
        Some(Outcome::Ok) => (Ink::Green, Dash::Solid, Marker::Dot),
        Some(Outcome::SoldOut) => (Ink::Blue, Dash::Dashed, Marker::Square),
        Some(Outcome::Rejected) => (Ink::Orange, Dash::Mixed, Marker::Triangle),
        Some(Outcome::Throttled) => (Ink::Purple, Dash::Dotted, Marker::Ring),
        Some(Outcome::Unknown) => (Ink::Vermillion, Dash::Solid, Marker::Cross),
        // A name from a later version of the vocabulary.
        None => (Ink::Muted, Dash::Dotted, Marker::Cross),
    };
    (Stroke::new(ink, dash, 5), marker)
}
