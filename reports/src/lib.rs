#![doc = include_str!("../README.md")]

pub mod header;
pub mod run_report;
mod schema;

pub mod capacity;
pub mod comparison;
pub mod estimate;
pub mod gate;
pub mod index;

mod format;
mod html;
mod json;
mod junit;
mod markdown;
mod render_error;

mod document;

mod evidence;
mod measurements;
pub mod plots;
mod run_context;
pub mod sequence;
mod verdict_text;

pub mod quantity;
mod table;

pub use document::Document;
pub use format::{Format, render};
pub use header::ReportHeader;
pub use render_error::RenderError;
pub use run_report::RunReport;
pub use schema::ReadError;
