//! What a call is answered, and what its receipt keeps of that.

use crate::call_id::CallId;

/// What `reserve` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Ok {
        booking: CallId,
    },
    SoldOut {
        version: u32,
    },
    /// A `sold_out` that was decided earlier, in a version of the slot in which that was true, or
    /// not.
    Refused {
        honest: bool,
    },
    RetryLater,
}

/// The decision about a request, as its receipt keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Decision {
    Booked(CallId),
    /// Too few seats, in a version of the slot in which that was true, or not.
    Refused {
        honest: bool,
    },
}
