//! Why a report could not be rendered.

/// Why a report could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The data did not become JSON.
    #[error("write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The template did not become HTML.
    #[error("write the report as HTML: {0}")]
    Html(#[from] askama::Error),
    /// The invariants did not become JUnit XML.
    #[error("write the report as JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
}
