//! A comparison: strategies side by side, which of them are ranked, and the page.

mod data;
mod load;
mod ranking;

mod document;

pub use data::{Cell, Comparison, Contrast, Decision, Metric};
pub use load::Load;
