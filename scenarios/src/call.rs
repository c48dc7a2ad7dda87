//! How long clients wait and how often they resend, and what an operation came to and when.

use std::time::Duration;

use crate::target::Answer;

/// How long clients wait for an answer, and how often they resend.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// After this long the outcome is unknown.
    pub timeout: Duration,
    /// Attempts per operation, the first included.
    pub attempts: u32,
    /// How long a client waits for an answer before it resends.
    pub resend: Duration,
}

impl RetryPolicy {
    /// Nothing is resent.
    pub fn once(timeout: Duration) -> Self {
        Self { timeout, attempts: 1, resend: timeout }
    }
}

/// An answer, and when it came.
pub(crate) struct TimedAnswer {
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    pub(crate) attempts: u32,
    pub(crate) answer: Answer,
    /// What a reserve that failed on its way has given back.
    pub(crate) release: Option<Released>,
}

/// A request that gave back the seats of a reserve that failed on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Released {
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    /// Whether the API said that they are free again.
    pub(crate) certain: bool,
    /// Whether they were surely set aside.
    pub(crate) seats_taken: bool,
}
