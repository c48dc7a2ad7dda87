//! Plots: one file each, every one a function from a report to an SVG, wrapped in a figure with its
//! data.

mod axis;
mod canvas;
mod downsampling;
mod legend;
mod outcome_style;
mod palette;
mod svg;

mod figure;

pub mod contention;
pub mod cpu;
pub mod detection_matrix;
pub mod intervals;
pub mod knee;
pub mod latency_over_time;
pub mod latency_percentiles;
pub mod seats_left;
pub mod throughput;
pub mod usl;
pub mod witness_timeline;

pub(crate) use figure::Figure;
pub use svg::Svg;

/// Why a plot could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// The run left nothing to draw.
    #[error("{0}")]
    NoData(&'static str),
    /// The drawing library refused.
    #[error("the drawing library refused: {0}")]
    Refused(String),
    /// The drawing library panicked.
    #[error("the drawing library panicked")]
    Panicked,
}
