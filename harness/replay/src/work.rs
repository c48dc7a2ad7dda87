//! What a director has under way: the calls of the clients, and the sweeps.

use slotproof_models::{CallId, ModelEvent};

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

pub(super) fn work_of(what: &ModelEvent) -> Option<Work> {
    match what {
        ModelEvent::Call { call, .. } => Some(Work::Call(*call)),
        ModelEvent::Confirm { client } => Some(Work::Confirm(client - 1)),
        ModelEvent::Cancel { client } => Some(Work::Cancel(client - 1)),
        ModelEvent::Expire { booking } => Some(Work::Sweep(*booking)),
        _ => None,
    }
}

/// Whether two steps are of the same call, whatever it is called in another strategy's schedule.
pub(super) fn is_same(left: &ModelEvent, right: &ModelEvent) -> bool {
    work_of(left).is_some() && work_of(left) == work_of(right)
}
