//! The target seam: the one place that knows how an operation becomes HTTP, what an answer means,
//! and how slots are prepared. Everything else knows operations and outcomes.
//!
//! Every target is described by a file, also the reference service.

mod answer;
pub mod draft;
pub mod file;
pub mod reference;

pub use answer::Answer;
pub use file::{FileTarget, OperationKind, Place, PlaceNames, Scope, Session};

/// What is loaded: a booking API with the slots that were prepared.
#[derive(Debug)]
pub struct Target {
    /// How its operations are made.
    pub file: FileTarget,
    /// What its requests need to know of each slot, in the order of the site's slots.
    pub places: Vec<PlaceNames>,
}

impl Target {
    /// A target with the slots that were prepared.
    pub fn new(file: FileTarget, places: &[Place]) -> Self {
        Self { file, places: places.iter().map(Place::names).collect() }
    }

    /// The reference service with slots that were prepared.
    pub fn reference(base_url: &str, slots: &[String]) -> Self {
        let places: Vec<Place> = slots.iter().map(|slot| Place::of_id(slot)).collect();
        Self::new(reference::target(base_url), &places)
    }
}
