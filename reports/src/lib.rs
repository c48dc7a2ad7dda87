#![doc = include_str!("../README.md")]

pub mod estimate;
pub mod header;
pub mod run_report;
mod schema;

pub mod bench;
pub mod capacity;
pub mod comparison;
pub mod gate;
pub mod index;
pub mod selftest;

mod format;
mod html;
mod json;
mod junit;
mod render_error;
mod run_document;

mod document;
mod markdown;
mod tone;

mod evidence;
mod measurements;
mod run_context;
mod verdict_text;

pub mod plots;
pub mod sequence;

pub mod quantity;
mod table;

pub use document::Document;
pub use format::{Format, render};
pub use header::ReportHeader;
pub use render_error::RenderError;
pub use run_report::RunReport;
pub use schema::ReadError;
pub use tone::Tone;
