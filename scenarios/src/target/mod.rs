//! The target seam: the one place that knows how an operation becomes HTTP, what an answer means,
//! and how slots are prepared. Everything else knows operations and outcomes.
//!
//! There is one target yet, the reference service. Call sites hold a [`ReferenceTarget`] by value
//! and know its methods only, so that it can be replaced by an interpreter of target files.

mod answer;
mod exchange;
mod reference;
mod request;

pub(crate) use exchange::fetch;

pub use answer::{Answer, Expected, Reply};
pub use exchange::Exchange;
pub use reference::{PrepareError, ReferenceTarget};
pub use request::Request;
