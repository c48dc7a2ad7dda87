//! The error of an input that has to be changed.

/// What was asked for cannot be done as asked: the command line, a plan or a file has to be
/// changed. The text says what is wrong, where, and the cure; the command line exits with 64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
