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
    /// `path`: which of the strategy's paths the request takes.
    Send {
        client: u8,
        path: u8,
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
    /// A client that was told 202 asks for its receipt.
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
    /// The lock in Redis ends by its time to live, whatever its holder is doing.
    LockExpires {
        holder: CallId,
    },
    /// Somebody reads the slot.
    ReadSlot,
    /// PostgreSQL writes to disk what was committed without waiting for it.
    Flush,
    /// PostgreSQL crashes and comes back with what is on disk.
    CrashDatabase,
}

impl<S: Strategy> Step<S> {
    /// Lists what could happen in a world. Some of it turns out to wait; see [`Step::take`].
    pub fn offer(world: &World<S>, steps: &mut Vec<Self>) {
        for (client, state) in (0..).zip(&world.clients) {
            match state.phase {
                Phase::Idle => {
                    steps.extend(
                        (0..).zip(S::BEGINNINGS).map(|(path, _)| Self::Send { client, path }),
                    );
                }
                Phase::Waiting { call, .. } => {
                    if world.may_lose() && usize::from(call) + 1 < CALLS {
                        steps.push(Self::HearNothing { id: CallId { client, call } });
                    }
                    if S::POLLS {
                        steps.push(Self::Poll { client });
                    }
                }
                Phase::Holding { booking, .. } => {
                    steps.extend([
                        Self::Confirm { client, booking },
                        Self::Cancel { client, booking },
                    ]);
                }
                // Whoever has cancelled may do so again: its answer may have been lost.
                Phase::Confirmed { booking } | Phase::Cancelled { booking } => {
                    steps.push(Self::Cancel { client, booking });
                }
                Phase::HoldExpired | Phase::SoldOut { .. } | Phase::RetryLater | Phase::Unknown => {
                }
            }
        }
        for (id, at) in world.calls() {
            steps.push(Self::Call { id, at });
            if world.may_lose() && !at.is_at_its_beginning() && at.after_crash() != Some(at) {
                steps.push(Self::Crash { id });
            }
        }
        if let Some(holder) = world.database.redis.owner {
            steps.push(Self::LockExpires { holder });
        }
        for (booking, row) in world.database.bookings() {
            if row.status == BookingStatus::Pending {
                steps.push(if row.overdue {
                    Self::Expire { booking }
                } else {
                    Self::RunOut { booking }
                });
            }
        }
        if S::CACHES_READS {
            steps.push(Self::ReadSlot);
        }
        if !S::DURABLE {
            steps.push(Self::Flush);
            if world.may_lose() {
                steps.push(Self::CrashDatabase);
            }
        }
    }

    /// Takes this step, or says with `None` that nothing can happen: it waits, or it would change
    /// nothing.
    pub fn take(self, world: &mut World<S>) -> Option<()> {
        let before = (!S::DURABLE).then(|| world.database.clone());
        match self {
            Self::Send { client, path } => world.send(CallId { client, call: 0 }, path),
            Self::Call { id, at } => match at.step(id, &mut world.database) {
                Progress::Waits => return None,
                Progress::Goes(next) => {
                    world.client_mut(id.client).calls[usize::from(id.call)] = Some(next)
                }
                Progress::Answers(answer) => world.answer(id, answer),
                Progress::Ends => world.end(id),
            },
            Self::Crash { id } => world.crash(id),
            Self::HearNothing { id } => world.hear_nothing(id),
            Self::Poll { client } => world.poll(client)?,
            Self::Confirm { client, booking } => {
                world.client_mut(client).phase = match S::confirm(booking, &mut world.database) {
                    Change::Waits => return None,
                    Change::Done => Phase::Confirmed { booking },
                    Change::Refused => Phase::HoldExpired,
                };
            }
            Self::Cancel { client, booking } => {
                let told = world.client_mut(client).phase;
                world.client_mut(client).phase = match S::cancel(booking, &mut world.database) {
                    Change::Waits => return None,
                    Change::Refused if told == (Phase::Cancelled { booking }) => return None,
                    Change::Done => Phase::Cancelled { booking },
                    Change::Refused => Phase::HoldExpired,
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

    /// Whether this step is one that waits for a lock, here and now.
    pub fn waits(self, world: &World<S>) -> bool {
        let mut database = world.database.clone();
        match self {
            Self::Call { id, at } => at.step(id, &mut database) == Progress::Waits,
            Self::Confirm { booking, .. } => S::confirm(booking, &mut database) == Change::Waits,
            Self::Cancel { booking, .. } => S::cancel(booking, &mut database) == Change::Waits,
            Self::Expire { booking } => database.expire(booking) == Change::Waits,
            _ => false,
        }
    }
}

fn done(change: Change) -> Option<()> {
    (change == Change::Done).then_some(())
}

impl<S: Strategy> fmt::Display for Step<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { client, path: 0 } => write!(f, "client {} sends reserve", client + 1),
            Self::Send { client, path } => {
                write!(f, "client {} sends reserve, by path {}", client + 1, path + 1)
            }
            Self::Call { id, at } => write!(f, "{id} {}", at.point().sentence),
            Self::Crash { id } => write!(f, "{id} crashes and its transaction rolls back"),
            Self::HearNothing { id } => {
                write!(f, "client {} hears nothing for too long", id.client + 1)
            }
            Self::Poll { client } => write!(f, "client {} asks for its receipt", client + 1),
            Self::Confirm { client, .. } => write!(f, "client {} confirms its booking", client + 1),
            Self::Cancel { client, .. } => write!(f, "client {} cancels its booking", client + 1),
            Self::RunOut { booking } => write!(f, "the hold written by {booking} runs out of time"),
            Self::Expire { booking } => {
                write!(f, "the sweeper expires the hold written by {booking}")
            }
            Self::LockExpires { holder } => write!(f, "the lock of {holder} expires under it"),
            Self::ReadSlot => write!(f, "somebody reads the slot"),
            Self::Flush => write!(f, "PostgreSQL writes its log to disk"),
            Self::CrashDatabase => {
                write!(f, "PostgreSQL crashes and comes back with what was on disk")
            }
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
