//! The formats of a report: one closed list, one `match`.

use crate::{html, json, junit, render_error::RenderError, run_document, run_report::RunReport};

/// A format that a [`RunReport`] is rendered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The report's data, for programs; the other formats can be drawn from it again.
    Json,
    /// A summary that fits into a comment on a pull request.
    Markdown,
    /// The whole report with its plots, one file that needs no network.
    Html,
    /// One test case for each invariant, for CI.
    Junit,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Json, Self::Markdown, Self::Html, Self::Junit];

    /// The name of its file in a run directory.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Json => "run.json",
            Self::Markdown => "report.md",
            Self::Html => "report.html",
            Self::Junit => "junit.xml",
        }
    }
}

/// Renders a report. The same report gives the same bytes, always.
///
/// # Errors
/// Says which format failed. A plot that fails is no error: its place in the report says why it is
/// missing.
pub fn render(report: &RunReport, format: Format) -> Result<Vec<u8>, RenderError> {
    match format {
        Format::Json => json::render(report),
        Format::Markdown => Ok(run_document::document(report).markdown().into_bytes()),
        Format::Html => html::render(report),
        Format::Junit => junit::render(report),
    }
}
