//! One thing that happens in a model, as data.

use serde::{Deserialize, Serialize};

use crate::call_id::CallId;

/// One thing that happens. Clients are counted from 1; the second call of a client is its retry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelEvent {
    /// A client sends its reserve, on one of the paths that the strategy has for requests.
    Send {
        /// The client.
        client: u8,
        /// The path, counted from 1.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        path: u8,
    },
    /// A call takes its next step.
    Call {
        /// The call.
        call: CallId,
        /// The step, by the name of its pause point.
        point: String,
    },
    /// The process that works on a call crashes.
    Crash {
        /// The call.
        call: CallId,
    },
    /// A client stops waiting for a call and retries with the same key.
    #[serde(rename = "hear_nothing")]
    TimeOut {
        /// The call.
        call: CallId,
    },
    /// A client that got 202 polls for its receipt.
    Poll {
        /// The client.
        client: u8,
    },
    /// A client confirms its booking.
    Confirm {
        /// The client.
        client: u8,
    },
    /// A client cancels its booking.
    Cancel {
        /// The client.
        client: u8,
    },
    /// A hold reaches its expiry time.
    RunOut {
        /// The call that wrote the hold.
        booking: CallId,
    },
    /// The sweeper expires a hold.
    Expire {
        /// The call that wrote the hold.
        booking: CallId,
    },
    /// The lock in Redis expires.
    LockExpires,
    /// A client reads the slot.
    ReadSlot,
    /// PostgreSQL writes to disk what was committed without waiting for it.
    Flush,
    /// PostgreSQL crashes.
    CrashDatabase,
}

fn one() -> u8 {
    1
}

fn is_one(path: &u8) -> bool {
    *path == 1
}

impl ModelEvent {
    /// The client that it is about, counted from zero.
    pub fn client(&self) -> Option<u8> {
        match self {
            Self::Send { client, .. }
            | Self::Poll { client }
            | Self::Confirm { client }
            | Self::Cancel { client } => Some(client.wrapping_sub(1)),
            Self::Call { call, .. } | Self::Crash { call } | Self::TimeOut { call } => {
                Some(call.client)
            }
            Self::RunOut { booking } | Self::Expire { booking } => Some(booking.client),
            Self::LockExpires | Self::ReadSlot | Self::Flush | Self::CrashDatabase => None,
        }
    }

    /// The kind of event, the same for every client.
    pub(crate) fn kind(&self) -> (&str, u8) {
        match self {
            Self::Send { path, .. } => ("send", *path),
            Self::Call { call, point } => (point, call.call),
            Self::Crash { call } => ("!crash", call.call),
            Self::TimeOut { call } => ("!time_out", call.call),
            Self::Poll { .. } => ("!poll", 0),
            Self::Confirm { .. } => ("!confirm", 0),
            Self::Cancel { .. } => ("!cancel", 0),
            Self::RunOut { booking } => ("!run_out", booking.call),
            Self::Expire { booking } => ("!expire", booking.call),
            Self::LockExpires => ("!lock_expires", 0),
            Self::ReadSlot => ("!read_slot", 0),
            Self::Flush => ("!flush", 0),
            Self::CrashDatabase => ("!crash_database", 0),
        }
    }
}
