//! Strategies broken on purpose for the tests, one for each property that the negative controls do
//! not break: a property that cannot fail proves nothing when it holds.

use crate::{
    answer::Answer,
    call_id::CallId,
    database::Database,
    pessimistic::Pessimistic,
    redis_lock::RedisLock,
    strategy::{Next, Point, Strategy},
};

/// `pessimistic` that reads the seats without `for no key update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WithoutLock(Pessimistic);

impl Strategy for WithoutLock {
    const BEGINNINGS: &'static [Self] = &[Self(Pessimistic::Lock)];

    fn point(self) -> Point {
        self.0.point()
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        let next = self.0.step(call, database);
        if self.0 == Pessimistic::Lock {
            database.rollback(call);
        }
        next.map(Self)
    }
}

/// `redis_lock` that compares its token with what was written and not with what it read: the usual
/// advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FencedWritesOnly(RedisLock);

impl Strategy for FencedWritesOnly {
    const BEGINNINGS: &'static [Self] = &[Self(RedisLock::Acquire)];

    fn point(self) -> Point {
        self.0.point()
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        let at = match self.0 {
            RedisLock::Write { token, .. } => {
                RedisLock::Write { token, seen_fence: database.slot.fence }
            }
            at => at,
        };
        at.step(call, database).map(Self)
    }
}

/// A strategy of one step, which is given by its name.
macro_rules! one_step {
    ($name:ident, $step:expr) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) struct $name;

        impl Strategy for $name {
            const BEGINNINGS: &'static [Self] = &[Self];

            fn point(self) -> Point {
                Point::new(stringify!($name), stringify!($name))
            }

            fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
                let step: fn(CallId, &mut Database) -> Next<Self> = $step;
                step(call, database)
            }
        }
    };
}

one_step!(WithoutUniqueKey, |call, database| {
    if database.slot.available < 1 {
        return Next::Nothing;
    }
    database.commit(call, database.slot.available - 1);
    Next::Took
});

one_step!(AnswersBeforeItCommits, |_, _| Next::Took);

one_step!(LeaksASeat, |call, database| {
    if database.slot.available < 1 {
        return Next::Nothing;
    }
    database.commit(call, database.slot.available - 2);
    Next::Took
});

one_step!(KeepsItsLock, |call, database| {
    database.lock_slot(call);
    Next::Answered(Answer::RetryLater)
});

one_step!(NeverGoesOn, |_, _| Next::Waits);
