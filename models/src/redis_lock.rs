//! # redis_lock
//!
//! **Claim.** Never overbooks, also when a lock expires under its holder: PostgreSQL checks the
//! fencing token that came with it.
//!
//! **Mechanism.** The lock's script gives out a token; the read notes the highest token that has
//! written; the write demands that no other has written since, and that its own is higher.
//! Release compares the owner before it deletes.
//!
//! **Fails when.** None known. `broken.rs` compares only what was written, as is usually advised,
//! and overbooks.
//!
//! **Service.** `target-service/src/strategies/redis_lock.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RedisLock {
    Acquire,
    Read { token: u32 },
    Write { token: u32, seen_fence: u32 },
    Release(Try),
}

/// What became of the try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Try {
    Took,
    /// No seat, or a key that has its booking.
    Nothing,
    /// Another call has written since, under another token.
    FencedOff,
}

impl Strategy for RedisLock {
    const BEGINNINGS: &'static [Self] = &[Self::Acquire];
    const FENCES: bool = true;

    fn point(self) -> Point {
        match self {
            Self::Acquire => Point::new("acquire", "takes the lock in Redis, with a fencing token"),
            Self::Read { .. } => {
                Point::new("read", "reads the slot's seats and the highest token that has written")
            }
            Self::Write { .. } => Point::new(
                "write",
                "writes the booking, if no other token has written since its read",
            ),
            Self::Release(_) => Point::new("release", "releases the lock, if it still owns it"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Acquire => acquire(call, database),
            Self::Read { token } => read(token, database),
            Self::Write { token, seen_fence } => write(token, seen_fence, call, database),
            Self::Release(tried) => release(tried, call, database),
        }
    }

    fn has_failed(self) -> bool {
        matches!(self, Self::Release(Try::Nothing | Try::FencedOff))
    }

    fn was_fenced_off(self) -> bool {
        self == Self::Release(Try::FencedOff)
    }
}

fn acquire(call: CallId, database: &mut Database) -> Next<RedisLock> {
    if database.redis.owner.is_some() {
        return Next::Waits;
    }
    database.redis.owner = Some(call);
    database.redis.tokens += 1;
    Next::Goes(RedisLock::Read { token: database.redis.tokens })
}

fn read(token: u32, database: &Database) -> Next<RedisLock> {
    match database.slot.available {
        1.. => Next::Goes(RedisLock::Write { token, seen_fence: database.slot.fence }),
        _ => Next::Goes(RedisLock::Release(Try::Nothing)),
    }
}

fn write(token: u32, seen_fence: u32, call: CallId, database: &mut Database) -> Next<RedisLock> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    let stale = database.slot.fence != seen_fence || database.slot.fence >= token;
    if stale {
        database.rollback(call);
        return Next::Goes(RedisLock::Release(Try::FencedOff));
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Goes(RedisLock::Release(Try::Nothing));
    }
    database.slot.fence = token;
    database.commit(call, database.slot.available - 1);
    Next::Goes(RedisLock::Release(Try::Took))
}

fn release(tried: Try, call: CallId, database: &mut Database) -> Next<RedisLock> {
    database.redis.owner.take_if(|owner| *owner == call);
    match tried {
        Try::Took => Next::Took,
        Try::Nothing | Try::FencedOff => Next::Nothing,
    }
}
