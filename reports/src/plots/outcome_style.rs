//! How an outcome looks, the same in every plot.

use slotproof_vocabulary::{ErrorClass, Outcome};

use super::palette::{Color, Dash, Marker, Stroke};

/// The line and the marker of an outcome.
pub(super) fn outcome_style(name: &str) -> (Stroke, Marker) {
    let (color, dash, marker) = match Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.name() == name)
    {
        Some(Outcome::Ok) => (Color::Green, Dash::Solid, Marker::Dot),
        Some(Outcome::SoldOut) => (Color::Blue, Dash::Dashed, Marker::Square),
        Some(Outcome::Rejected) => (Color::Orange, Dash::Mixed, Marker::Triangle),
        Some(Outcome::Throttled) => (Color::Purple, Dash::Dotted, Marker::Ring),
        Some(Outcome::Unknown) => (Color::Vermillion, Dash::Solid, Marker::Cross),
        None if name == ErrorClass::NotConnected.name() => (Color::Sky, Dash::Mixed, Marker::Cross),
        // A name from a later version of the vocabulary.
        None => (Color::Muted, Dash::Dotted, Marker::Cross),
    };
    (Stroke::new(color, dash, 5), marker)
}
