//! A booking service and its clients, simulated: histories, logs and rows to test the checker with.
//!
//! A run is a pure function of its settings and a seed: the clock is a number, and nothing waits.
//! The service decides each call at one instant inside the call, so a run without a bug is lawful
//! by construction, and the checker must not convict it. With one of the bugs it must, where a
//! client or the log can know of it.
//!
//! The simulation knows the reference service's words and shares no code with it, nor with the
//! checker: an error in one of them cannot hide in another.
//!
//! ```
//! use slotproof_simulation::{Bug, Settings, Shape, simulate};
//!
//! let lawful = simulate(&Shape::Weights.settings(), 1);
//! assert_eq!(lawful.first_revealed, None);
//! assert_eq!(lawful, simulate(&Shape::Weights.settings(), 1), "the same seed, the same run");
//!
//! let settings = Settings { bug: Some(Bug::CapacityOffByOne), ..Shape::Weights.settings() };
//! assert!(simulate(&settings, 1).strikes > 0);
//! ```

// In reading order: each module uses only those before it.
mod bug;
mod settings;

mod service;

mod client;

mod simulation;

pub use bug::Bug;
pub use settings::{Crash, Settings, Shape, Telling};
pub use simulation::{Simulated, simulate};
