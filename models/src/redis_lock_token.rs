//! # redis_lock_token (negative control)
//!
//! **Claim.** None. Overbooks when a holder pauses for longer than its lock lives.
//!
//! **Mechanism.** The release compares the owner, which protects the lock of the next holder and
//! not the seats. PostgreSQL cannot tell a write under an expired lock from any other.
//!
//! **Fails when.** The lock expires between the read and the write.
//!
//! **Service.** `target-service/src/strategies/negative_controls/redis_lock_token.rs`

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RedisLockToken {
    Acquire,
    Read,
    Write,
    Release { took: bool },
}

impl Strategy for RedisLockToken {
    const BEGINNINGS: &'static [Self] = &[Self::Acquire];

    fn point(self) -> Point {
        match self {
            Self::Acquire => Point::new("acquire", "takes the lock in Redis"),
            Self::Read => Point::new("read", "reads the slot's seats"),
            Self::Write => Point::new("write", "writes the booking, based on its earlier read"),
            Self::Release { .. } => Point::new("release", "releases the lock, if it still owns it"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Acquire => acquire(call, database),
            Self::Read => read(database),
            Self::Write => write(call, database),
            Self::Release { took } => release(took, call, database),
        }
    }

    fn has_failed(self) -> bool {
        self == Self::Release { took: false }
    }
}

fn acquire(call: CallId, database: &mut Database) -> Next<RedisLockToken> {
    if database.redis.owner.is_some() {
        return Next::Waits;
    }
    database.redis.owner = Some(call);
    Next::Goes(RedisLockToken::Read)
}

fn read(database: &Database) -> Next<RedisLockToken> {
    match database.slot.available {
        1.. => Next::Goes(RedisLockToken::Write),
        _ => Next::Goes(RedisLockToken::Release { took: false }),
    }
}

fn write(call: CallId, database: &mut Database) -> Next<RedisLockToken> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Goes(RedisLockToken::Release { took: false });
    }
    database.commit(call, (database.slot.available - 1).max(0));
    Next::Goes(RedisLockToken::Release { took: true })
}

fn release(took: bool, call: CallId, database: &mut Database) -> Next<RedisLockToken> {
    database.redis.owner.take_if(|owner| *owner == call);
    if took { Next::Took } else { Next::Nothing }
}
