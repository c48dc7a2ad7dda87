//! What can happen next in a world, and the sentence for it.

use std::fmt;

use slotproof_vocabulary::BookingStatus;

use crate::{
    call::{Call, Progress},
    call_id::{CALLS, CallId},
    database::StateChange,
    event::ModelEvent,
    world::{Phase, World},
};

/// One thing that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transition {
    /// `path`: which of the strategy's paths the request takes.
    Send {
        client: u8,
        path: u8,
    },
    /// A call takes the step that it has come to.
    Call {
        id: CallId,
        at: Call,
    },
    Crash {
        id: CallId,
    },
    TimeOut {
        id: CallId,
    },
    /// A client that got 202 polls for its receipt.
    Poll {
        client: u8,
    },
    Confirm {
        client: u8,
        booking: CallId,
    },
    Cancel {
        client: u8,
        booking: CallId,
    },
    RunOut {
        booking: CallId,
    },
    Expire {
        booking: CallId,
    },
    /// The lock in Redis ends by its time to live, wherever its holder is.
    LockExpires {
        holder: CallId,
    },
    /// A client reads the slot.
    ReadSlot,
    /// PostgreSQL writes to disk what was committed without waiting for it.
    Flush,
    /// PostgreSQL crashes and comes back with what is on disk.
    CrashDatabase,
}

impl Transition {
    /// Lists what could happen in a world. Some of it turns out to wait; see [`Transition::take`].
    pub fn offer(world: &World, offered: &mut Vec<Self>) {
        let page = world.page;
        for (client, state) in (0..).zip(&world.clients) {
            match state.phase {
                Phase::Idle => {
                    offered.extend((0..page.paths).map(|path| Self::Send { client, path }));
                }
                Phase::Waiting { call, .. } => {
                    if world.may_lose() && usize::from(call) + 1 < CALLS {
                        offered.push(Self::TimeOut { id: CallId { client, call } });
                    }
                    if page.polls {
                        offered.push(Self::Poll { client });
                    }
                }
                Phase::Holding { booking, .. } => {
                    offered.extend([
                        Self::Confirm { client, booking },
                        Self::Cancel { client, booking },
                    ]);
                }
                // A client may repeat its cancel: the answer may have been lost.
                Phase::Confirmed { booking } | Phase::Cancelled { booking } => {
                    offered.push(Self::Cancel { client, booking });
                }
                Phase::HoldExpired | Phase::SoldOut { .. } | Phase::RetryLater | Phase::Unknown => {
                }
            }
        }
        for (id, at) in world.calls() {
            offered.push(Self::Call { id, at });
            if world.may_lose() && !at.is_at_its_beginning(page) && at.after_crash() != Some(at) {
                offered.push(Self::Crash { id });
            }
        }
        if let Some(holder) = world.database.redis.owner {
            offered.push(Self::LockExpires { holder });
        }
        for (booking, row) in world.database.bookings() {
            if row.status == BookingStatus::Pending {
                offered.push(if row.overdue {
                    Self::Expire { booking }
                } else {
                    Self::RunOut { booking }
                });
            }
        }
        if page.caches_reads {
            offered.push(Self::ReadSlot);
        }
        if !page.durable {
            offered.push(Self::Flush);
            if world.may_lose() {
                offered.push(Self::CrashDatabase);
            }
        }
    }

    /// Makes this transition, or returns `None`: it waits, or it would change nothing.
    pub fn take(self, world: &mut World) -> Option<()> {
        let page = world.page;
        let before = (!page.durable).then(|| world.database.clone());
        match self {
            Self::Send { client, path } => world.send(CallId { client, call: 0 }, path),
            Self::Call { id, at } => match at.step(page, id, &mut world.database) {
                Progress::Waits => return None,
                Progress::Goes(next) => {
                    world.client_mut(id.client).calls[usize::from(id.call)] = Some(next)
                }
                Progress::Answers(answer) => world.answer(id, answer),
                Progress::Ends => world.end(id),
            },
            Self::Crash { id } => world.crash(id),
            Self::TimeOut { id } => world.time_out(id),
            Self::Poll { client } => world.poll(client)?,
            Self::Confirm { client, booking } => {
                world.client_mut(client).phase = match (page.confirm)(booking, &mut world.database)
                {
                    StateChange::Waits => return None,
                    StateChange::Done => Phase::Confirmed { booking },
                    StateChange::Refused => Phase::HoldExpired,
                };
            }
            Self::Cancel { client, booking } => {
                let before = world.client_mut(client).phase;
                world.client_mut(client).phase = match (page.cancel)(booking, &mut world.database) {
                    StateChange::Waits => return None,
                    StateChange::Refused if before == (Phase::Cancelled { booking }) => {
                        return None;
                    }
                    StateChange::Done => Phase::Cancelled { booking },
                    StateChange::Refused => Phase::HoldExpired,
                };
            }
            Self::RunOut { booking } => done(world.database.run_out(booking))?,
            Self::Expire { booking } => done(world.database.expire(booking))?,
            Self::LockExpires { .. } => world.database.redis.owner = None,
            Self::ReadSlot => world.database.read_by_cache()?,
            Self::Flush => world.database.flush()?,
            Self::CrashDatabase => world.crash_database(),
        }
        if let Some(before) = before.filter(|_| !matches!(self, Self::CrashDatabase)) {
            world.database.keep_on_disk(before);
        }
        world.note_whether_full();
        Some(())
    }

    /// Whether this transition waits for a lock in this world.
    pub fn waits(self, world: &World) -> bool {
        let page = world.page;
        let mut database = world.database.clone();
        match self {
            Self::Call { id, at } => at.step(page, id, &mut database) == Progress::Waits,
            Self::Confirm { booking, .. } => {
                (page.confirm)(booking, &mut database) == StateChange::Waits
            }
            Self::Cancel { booking, .. } => {
                (page.cancel)(booking, &mut database) == StateChange::Waits
            }
            Self::Expire { booking } => database.expire(booking) == StateChange::Waits,
            _ => false,
        }
    }

    /// The transition of this world that an event stands for. The point of a call may differ from
    /// that of the event: a schedule of one strategy can be tried on another, whose calls take
    /// other steps in the same order.
    pub fn meant_by(event: &ModelEvent, world: &World) -> Option<Self> {
        let mut offered = Vec::new();
        Self::offer(world, &mut offered);
        offered.into_iter().find(|transition| match (event, ModelEvent::from(*transition)) {
            (ModelEvent::Call { call: meant, .. }, ModelEvent::Call { call, .. }) => *meant == call,
            (
                ModelEvent::Send { client: meant, path },
                ModelEvent::Send { client, path: offered },
            ) => *meant == client && (*path == offered || *path > world.page.paths),
            (meant, offered) => *meant == offered,
        })
    }
}

fn done(change: StateChange) -> Option<()> {
    (change == StateChange::Done).then_some(())
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { client, path: 0 } => write!(f, "client {} sends reserve", client + 1),
            Self::Send { client, path } => {
                write!(f, "client {} sends reserve on path {}", client + 1, path + 1)
            }
            Self::Call { id, at } => write!(f, "{id} {}", at.point().sentence),
            Self::Crash { id } => write!(f, "{id} crashes, and its transaction rolls back"),
            Self::TimeOut { id } => {
                write!(f, "client {} times out waiting for an answer", id.client + 1)
            }
            Self::Poll { client } => write!(f, "client {} polls for its receipt", client + 1),
            Self::Confirm { client, .. } => write!(f, "client {} confirms its booking", client + 1),
            Self::Cancel { client, .. } => write!(f, "client {} cancels its booking", client + 1),
            Self::RunOut { booking } => write!(f, "the hold of {booking} reaches its expiry time"),
            Self::Expire { booking } => {
                write!(f, "the sweeper expires the hold of {booking}")
            }
            Self::LockExpires { holder } => write!(f, "the Redis lock of {holder} expires"),
            Self::ReadSlot => write!(f, "a client reads the slot"),
            Self::Flush => write!(f, "PostgreSQL flushes its log to disk"),
            Self::CrashDatabase => {
                write!(f, "PostgreSQL crashes and recovers what was on disk")
            }
        }
    }
}

impl From<Transition> for ModelEvent {
    fn from(transition: Transition) -> Self {
        match transition {
            Transition::Send { client, path } => Self::Send { client: client + 1, path: path + 1 },
            Transition::Call { id, at } => {
                Self::Call { call: id, point: at.point().name.to_owned() }
            }
            Transition::Crash { id } => Self::Crash { call: id },
            Transition::TimeOut { id } => Self::TimeOut { call: id },
            Transition::Poll { client } => Self::Poll { client: client + 1 },
            Transition::Confirm { client, .. } => Self::Confirm { client: client + 1 },
            Transition::Cancel { client, .. } => Self::Cancel { client: client + 1 },
            Transition::RunOut { booking } => Self::RunOut { booking },
            Transition::Expire { booking } => Self::Expire { booking },
            Transition::LockExpires { .. } => Self::LockExpires,
            Transition::ReadSlot => Self::ReadSlot,
            Transition::Flush => Self::Flush,
            Transition::CrashDatabase => Self::CrashDatabase,
        }
    }
}
