//! # redis_lock_unfenced (negative control)
//!
//! **Claim.** None. Overbooks when a holder stands still for longer than its lock lives.
//!
//! **Mechanism.** The lock has no owner, and its release is a plain delete: whoever comes back late
//! deletes the lock of somebody else. PostgreSQL cannot tell a write under an expired lock from any
//! other.
//!
//! **Fails when.** The lock expires between the read and the write.
//!
//! **Service.** `target-service/src/strategies/negative_controls/redis_lock_unfenced.rs`

use crate::{
    database::{CallId, Database},
    strategy::{Next, Point, Strategy},
};

/// The steps of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RedisLockUnfenced {
    Acquire,
    Read,
    Write,
    Release { took: bool },
}

impl Strategy for RedisLockUnfenced {
    const BEGINNINGS: &'static [Self] = &[Self::Acquire];

    fn point(self) -> Point {
        match self {
            Self::Acquire => Point::new("acquire", "takes the lock in Redis"),
            Self::Read => Point::new("read", "reads the slot's seats"),
            Self::Write => {
                Point::new("write", "writes the booking, because a seat was free when it looked")
            }
            Self::Release { .. } => Point::new("release", "deletes the lock, whoever holds it"),
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

fn acquire(call: CallId, database: &mut Database) -> Next<RedisLockUnfenced> {
    if database.redis.owner.is_some() {
        return Next::Waits;
    }
    database.redis.owner = Some(call);
    Next::Goes(RedisLockUnfenced::Read)
}

fn read(database: &Database) -> Next<RedisLockUnfenced> {
    match database.slot.available {
        1.. => Next::Goes(RedisLockUnfenced::Write),
        _ => Next::Goes(RedisLockUnfenced::Release { took: false }),
    }
}

fn write(call: CallId, database: &mut Database) -> Next<RedisLockUnfenced> {
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Goes(RedisLockUnfenced::Release { took: false });
    }
    database.commit(call, (database.slot.available - 1).max(0));
    Next::Goes(RedisLockUnfenced::Release { took: true })
}

fn release(took: bool, _call: CallId, database: &mut Database) -> Next<RedisLockUnfenced> {
    database.redis.owner = None;
    if took { Next::Took } else { Next::Nothing }
}
