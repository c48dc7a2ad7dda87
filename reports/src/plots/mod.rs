//! Plots: one file each, every one a function from a report to an SVG, wrapped in a figure with its
//! data.

mod axis;
pub(crate) mod bench_history;
mod canvas;
mod downsampling;
mod faults;
mod legend;
mod outcome_style;
mod palette;
mod svg;

mod figure;
mod plot_error;

pub mod contention;
pub mod cost;
pub mod cpu;
pub mod detection_matrix;
pub mod intervals;
pub mod knee;
pub mod latency_over_time;
pub mod latency_percentiles;
pub mod pareto;
pub mod seats_left;
pub mod throughput;
pub mod topology;
pub mod usl;
pub mod witness_timeline;

pub(crate) use figure::Figure;
pub use plot_error::PlotError;
pub use svg::Svg;
