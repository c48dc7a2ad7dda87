//! A comparison: strategies side by side, which of them are ranked, and the page.

mod data;
mod ranking;

mod document;

pub use data::{Cell, Comparison, Metric};
