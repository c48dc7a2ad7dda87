//! What a director has under way: the calls of the clients, and the sweeps.

use slotproof_models::{CallId, Happening};

/// Something of ours that the service works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Work {
    Call(CallId),
    Confirm(u8),
    Cancel(u8),
    Sweep(CallId),
}

impl Work {
    /// The name of its connection, after the case's.
    pub(super) fn name(self) -> String {
        match self {
            Self::Call(call) => String::from(call),
            Self::Confirm(client) => format!("confirm-{}", client + 1),
            Self::Cancel(client) => format!("cancel-{}", client + 1),
            Self::Sweep(booking) => format!("sweep-{}", String::from(booking)),
        }
    }
}

/// Where a piece of work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// Before the step of this name.
    Parked(String),
    /// Let go, and not back.
    Going,
    /// Answered, or lost.
    Over,
}

/// Each call has a process of its own, where there are several.
pub(super) fn process_of(call: CallId) -> usize {
    usize::from(call.client) * 2 + usize::from(call.call)
}

pub(super) fn work_of(what: &Happening) -> Option<Work> {
    match what {
        Happening::Call { call, .. } => Some(Work::Call(*call)),
        Happening::Confirm { client } => Some(Work::Confirm(client - 1)),
        Happening::Cancel { client } => Some(Work::Cancel(client - 1)),
        Happening::Expire { booking } => Some(Work::Sweep(*booking)),
        _ => None,
    }
}

/// Whether two steps are of the same call, whatever it is called in another strategy's schedule.
pub(super) fn is_same(left: &Happening, right: &Happening) -> bool {
    work_of(left).is_some() && work_of(left) == work_of(right)
}
