//! The target seam: how an operation becomes HTTP, how an answer becomes an outcome, and how slots
//! are made. Whoever talks to the target, the load, the probes, the replay and the benches, does it
//! by this module; routes, headers and bodies are spelled nowhere else.
//!
//! There is one target yet, the [`reference`] service.

mod answer;
mod request;

pub mod reference;

pub use answer::{Answer, Expected};
pub use request::{Exchange, Request};
