//! # redis_lock_unfenced (negative control)
//!
//! **Claim.** None. Overbooks when a holder pauses for longer than its lock lives.
//!
//! **Mechanism.** As `redis_lock_token`, but the lock has no owner and its release is a plain
//! delete: a holder that comes back late deletes the lock of the next one. PostgreSQL cannot tell a
//! write under an expired lock from any other.
//!
//! **Fails when.** The lock expires between the read and the write.
//!
//! **Service.** `target-service/src/strategies/negative_controls/redis_lock_unfenced.rs`

use crate::{
    call_id::CallId,
    database::Database,
    redis_lock_token::RedisLockToken,
    strategy::{Next, Point, Strategy},
};

/// The steps of one try: those of `redis_lock_token`, with another release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RedisLockUnfenced(RedisLockToken);

impl Strategy for RedisLockUnfenced {
    const BEGINNINGS: &'static [Self] = &[Self(RedisLockToken::Acquire)];

    fn point(self) -> Point {
        match self.0 {
            RedisLockToken::Release { .. } => {
                Point::new("release", "deletes the lock without checking its owner")
            }
            step => step.point(),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        if matches!(self.0, RedisLockToken::Release { .. }) {
            database.redis.owner = None;
        }
        self.0.step(call, database).map(Self)
    }

    fn has_failed(self) -> bool {
        self.0.has_failed()
    }
}
