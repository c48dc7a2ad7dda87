//! Why a plot could not be drawn.

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
