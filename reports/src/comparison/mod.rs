//! A comparison: variants side by side, which of them are ranked, and the page.

mod contrast;
mod data;
mod load;
mod metric;
mod ranking;
mod recommendation;

mod document;

pub use contrast::{Aspect, Contrast, Decision};
pub use data::{Against, Cell, Comparison, Setting, Variant};
pub use load::{Load, Offered};
pub use metric::Metric;
