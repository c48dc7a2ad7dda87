//! Documents: reports in parts. What a comparison, a capacity search, a gate, a bench and an index
//! have in common is built here once: an outcome, a few facts, and sections of paragraphs, tables
//! and plots. The same document is written as HTML and as Markdown.

mod data;

mod html;
mod markdown;

pub use data::Document;
pub(crate) use data::{Origin, Section};
