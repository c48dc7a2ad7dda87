//! A way through a model, as data: what a counterexample leaves behind, and what a director repeats
//! on the service.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::StrategyKind;

use crate::{database::CallId, exploration::Size, step::Step, strategy::Strategy, world::World};

/// The shape that is written and read.
const SCHEMA_VERSION: u32 = 1;

/// An order of steps, from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Of this file.
    schema_version: u32,
    /// Whose model it goes through.
    pub strategy: StrategyKind,
    /// Clients.
    pub clients: u8,
    /// Seats of the slot.
    pub capacity: u8,
    /// The property that its last step breaks, if it is a counterexample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// What happens, one thing after the other.
    pub steps: Vec<Scheduled>,
}

/// A step of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// What happens.
    #[serde(flatten)]
    pub what: Happening,
    /// The same for people, with what it led to in the model.
    #[serde(default)]
    pub text: String,
}

/// One thing that happens. Clients are counted from 1; the second call of a client is its retry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Happening {
    /// A client sends its reserve, by one of the paths that the strategy has for requests.
    Send {
        /// Who.
        client: u8,
        /// Which path, counted from 1.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        path: u8,
    },
    /// A call takes its next step.
    Call {
        /// Which.
        call: CallId,
        /// The step, by the name of its pause point.
        point: String,
    },
    /// Whoever works on a call crashes.
    Crash {
        /// Which call.
        call: CallId,
    },
    /// A client waits no longer for a call and tries again with its key.
    HearNothing {
        /// Which call.
        call: CallId,
    },
    /// A client that was told 202 asks for its receipt.
    Poll {
        /// Who.
        client: u8,
    },
    /// A client confirms its booking.
    Confirm {
        /// Who.
        client: u8,
    },
    /// A client cancels its booking.
    Cancel {
        /// Who.
        client: u8,
    },
    /// The time of a hold runs out.
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
    /// Somebody reads the slot.
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

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSchedule(String);

impl std::fmt::Display for BadSchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSchedule {}

impl Schedule {
    pub(crate) fn new(
        strategy: StrategyKind,
        size: Size,
        property: Option<&str>,
        steps: Vec<Scheduled>,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            strategy,
            clients: size.clients,
            capacity: size.capacity,
            property: property.map(str::to_owned),
            steps,
        }
    }

    /// How large its world is.
    pub fn size(&self) -> Size {
        Size { clients: self.clients, capacity: self.capacity }
    }

    /// The file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a schedule is words and numbers");
        text.push('\n');
        text
    }

    /// # Errors
    /// What is wrong, and in which line.
    pub fn from_json(text: &str) -> Result<Self, BadSchedule> {
        let schedule: Self =
            serde_json::from_str(text).map_err(|error| BadSchedule(error.to_string()))?;
        let bad = |reason: String| Err(BadSchedule(reason));
        if schedule.schema_version != SCHEMA_VERSION {
            return bad(format!(
                "it has schema version {}, and this program reads {SCHEMA_VERSION}",
                schedule.schema_version
            ));
        }
        if !(1..=Size::CLIENTS_MAX).contains(&schedule.clients)
            || !(1..=Size::SEATS_MAX).contains(&schedule.capacity)
        {
            return bad(format!(
                "{} clients of {} seats are not between 1 and {} of 1 to {}",
                schedule.clients,
                schedule.capacity,
                Size::CLIENTS_MAX,
                Size::SEATS_MAX
            ));
        }
        let stranger = schedule
            .steps
            .iter()
            .find(|step| step.what.client().is_some_and(|client| client >= schedule.clients));
        match stranger.and_then(|step| step.what.client()) {
            Some(client) => bad(format!(
                "it has a step of client {}, of {}",
                client.wrapping_add(1),
                schedule.clients
            )),
            None => Ok(schedule),
        }
    }
}

impl Happening {
    /// The client that it is about, counted from zero.
    pub fn client(&self) -> Option<u8> {
        match self {
            Self::Send { client, .. }
            | Self::Poll { client }
            | Self::Confirm { client }
            | Self::Cancel { client } => Some(client.wrapping_sub(1)),
            Self::Call { call, .. } | Self::Crash { call } | Self::HearNothing { call } => {
                Some(call.client)
            }
            Self::RunOut { booking } | Self::Expire { booking } => Some(booking.client),
            Self::LockExpires | Self::ReadSlot | Self::Flush | Self::CrashDatabase => None,
        }
    }

    /// The same kind of thing, whoever it happens to.
    pub(crate) fn kind(&self) -> (&str, u8) {
        match self {
            Self::Send { path, .. } => ("send", *path),
            Self::Call { call, point } => (point, call.call),
            Self::Crash { call } => ("!crash", call.call),
            Self::HearNothing { call } => ("!hear_nothing", call.call),
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

impl<S: Strategy> From<Step<S>> for Happening {
    fn from(step: Step<S>) -> Self {
        match step {
            Step::Send { client, path } => Self::Send { client: client + 1, path: path + 1 },
            Step::Call { id, at } => Self::Call { call: id, point: at.point().name.to_owned() },
            Step::Crash { id } => Self::Crash { call: id },
            Step::HearNothing { id } => Self::HearNothing { call: id },
            Step::Poll { client } => Self::Poll { client: client + 1 },
            Step::Confirm { client, .. } => Self::Confirm { client: client + 1 },
            Step::Cancel { client, .. } => Self::Cancel { client: client + 1 },
            Step::RunOut { booking } => Self::RunOut { booking },
            Step::Expire { booking } => Self::Expire { booking },
            Step::LockExpires { .. } => Self::LockExpires,
            Step::ReadSlot => Self::ReadSlot,
            Step::Flush => Self::Flush,
            Step::CrashDatabase => Self::CrashDatabase,
        }
    }
}

/// The step of this world that is meant. A call's point need not be the one that the schedule
/// names: a schedule of one strategy can be tried on another, whose calls take other steps in the
/// same order.
pub(crate) fn meant<S: Strategy>(world: &World<S>, what: &Happening) -> Option<Step<S>> {
    let mut offered = Vec::new();
    Step::offer(world, &mut offered);
    offered.into_iter().find(|step| match (what, Happening::from(*step)) {
        (Happening::Call { call: meant, .. }, Happening::Call { call, .. }) => *meant == call,
        (Happening::Send { client: meant, path }, Happening::Send { client, path: offered }) => {
            *meant == client && (*path == offered || usize::from(*path) > S::BEGINNINGS.len())
        }
        (meant, offered) => *meant == offered,
    })
}
