//! What can happen next, and how a person reads it.

use std::fmt;

use slotproof_vocabulary::BookingStatus;

use crate::{
    call::{Call, Progress},
    database::{CALLS, CallId, Change},
    strategy::Strategy,
    world::{Phase, World},
};

/// One thing that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step<S> {
    Send {
        client: u8,
    },
    /// A call takes the step that it has come to.
    Call {
        id: CallId,
        at: Call<S>,
    },
    Crash {
        id: CallId,
    },
    HearNothing {
        id: CallId,
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
    /// The lock in Redis ends by its time to live, whatever its holder is doing.
    LockExpires {
        holder: CallId,
    },
}

impl<S: Strategy> Step<S> {
    /// Lists what could happen in a world. Some of it turns out to wait; see [`Step::take`].
    pub fn offer(world: &World<S>, steps: &mut Vec<Self>) {
        for (client, state) in (0..).zip(&world.clients) {
            match state.phase {
                Phase::Idle => steps.push(Self::Send { client }),
                Phase::Waiting { call, .. } if world.may_lose() && usize::from(call) + 1 < CALLS => {
                    steps.push(Self::HearNothing { id: CallId { client, call } });
                }
                Phase::Holding { booking, .. } => {
                    steps.extend([Self::Confirm { client, booking }, Self::Cancel { client, booking }]);
                }
                Phase::Confirmed { booking } => steps.push(Self::Cancel { client, booking }),
                Phase::Waiting { .. }
                | Phase::Cancelled
                | Phase::HoldExpired
                | Phase::SoldOut { .. }
                | Phase::RetryLater
                | Phase::Unknown => {}
            }
        }
        for (id, at) in world.calls() {
            steps.push(Self::Call { id, at });
            if world.may_lose() && at != Call::BEGIN {
                steps.push(Self::Crash { id });
            }
        }
        if let Some(holder) = world.database.redis.owner {
            steps.push(Self::LockExpires { holder });
        }
        for (booking, row) in world.database.bookings() {
            if row.status == BookingStatus::Pending {
                steps.push(if row.overdue { Self::Expire { booking } } else { Self::RunOut { booking } });
            }
        }
    }

    /// Takes this step, or says with `None` that nothing can happen: it waits, or it would change nothing.
    pub fn take(self, world: &mut World<S>) -> Option<()> {
        match self {
            Self::Send { client } => world.send(CallId { client, call: 0 }),
            Self::Call { id, at } => match at.step(id, &mut world.database) {
                Progress::Waits => return None,
                Progress::Goes(next) => world.client_mut(id.client).calls[usize::from(id.call)] = Some(next),
                Progress::Answers(answer) => world.answer(id, answer),
            },
            Self::Crash { id } => world.crash(id),
            Self::HearNothing { id } => world.hear_nothing(id),
            Self::Confirm { client, booking } => {
                world.client_mut(client).phase = match world.database.confirm(booking) {
                    Change::Waits => return None,
                    Change::Done => Phase::Confirmed { booking },
                    Change::Refused => Phase::HoldExpired,
                };
            }
            Self::Cancel { client, booking } => {
                world.client_mut(client).phase = match world.database.cancel(booking) {
                    Change::Waits => return None,
                    Change::Done => Phase::Cancelled,
                    Change::Refused => Phase::HoldExpired,
                };
            }
            Self::RunOut { booking } => done(world.database.run_out(booking))?,
            Self::Expire { booking } => done(world.database.expire(booking))?,
            Self::LockExpires { .. } => world.database.redis.owner = None,
        }
        world.note_whether_full();
        Some(())
    }
}

fn done(change: Change) -> Option<()> {
    (change == Change::Done).then_some(())
}

impl<S: Strategy> fmt::Display for Step<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { client } => write!(f, "client {} sends reserve", client + 1),
            Self::Call { id, at } => write!(f, "{id} {}", at.point()),
            Self::Crash { id } => write!(f, "{id} crashes and its transaction rolls back"),
            Self::HearNothing { id } => write!(f, "client {} hears nothing for too long", id.client + 1),
            Self::Confirm { client, .. } => write!(f, "client {} confirms its booking", client + 1),
            Self::Cancel { client, .. } => write!(f, "client {} cancels its booking", client + 1),
            Self::RunOut { booking } => write!(f, "the hold written by {booking} runs out of time"),
            Self::Expire { booking } => write!(f, "the sweeper expires the hold written by {booking}"),
            Self::LockExpires { holder } => write!(f, "the lock of {holder} expires under it"),
        }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            0 => write!(f, "client {}'s call", self.client + 1),
            _ => write!(f, "client {}'s retry", self.client + 1),
        }
    }
}
