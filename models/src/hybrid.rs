//! # hybrid
//!
//! **Claim.** Never overbooks: every path is one of the other strategies, and all of them meet at
//! the slot's row.
//!
//! **Mechanism.** On the first path a request is tried as by `optimistic`, and published to the
//! queue when it has lost every race. On the second, for urgent requests, it goes as by
//! `pessimistic`.
//!
//! **Fails when.** A client repeats by `POST` what was answered with 202: it may get `sold_out`
//! while the worker still has the first request, and books it later. That breaks no claim: see
//! README.
//!
//! **Left out.** Several regions, which go by `redis_lock` alone.
//!
//! **Service.** `target-service/src/strategies/hybrid.rs`

use crate::{
    call_id::CallId,
    database::Database,
    optimistic::Optimistic,
    pessimistic::Pessimistic,
    queue::Queue,
    strategy::{Next, OutOfTries, Point, Strategy},
};

/// The steps of the path that the request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hybrid {
    Fast(Optimistic),
    HighValue(Pessimistic),
    Queued(Queue),
}

impl Strategy for Hybrid {
    const BEGINNINGS: &'static [Self] =
        &[Self::Fast(Optimistic::Read), Self::HighValue(Pessimistic::Lock)];
    const POLLS: bool = true;
    // One lost race is enough to get to the queue.
    const TRIES: u8 = 1;

    fn point(self) -> Point {
        match self {
            Self::Fast(at) => at.point(),
            Self::HighValue(at) => at.point(),
            Self::Queued(at) => at.point(),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Fast(at) => at.step(call, database).map(Self::Fast),
            Self::HighValue(at) => at.step(call, database).map(Self::HighValue),
            Self::Queued(at) => at.step(call, database).map(Self::Queued),
        }
    }

    fn again(self) -> Self {
        match self {
            Self::Fast(at) => Self::Fast(at.again()),
            Self::HighValue(at) => Self::HighValue(at.again()),
            Self::Queued(at) => Self::Queued(at.again()),
        }
    }

    fn out_of_tries(self, database: &Database) -> OutOfTries<Self> {
        match self {
            Self::Fast(_) => OutOfTries::Goes(Self::Queued(Queue::Publish)),
            Self::HighValue(at) => at.out_of_tries(database).map(Self::HighValue),
            Self::Queued(at) => at.out_of_tries(database).map(Self::Queued),
        }
    }

    fn after_crash(self) -> Option<Self> {
        match self {
            Self::Fast(_) | Self::HighValue(_) => None,
            Self::Queued(at) => at.after_crash().map(Self::Queued),
        }
    }
}
