//! Strategies broken on purpose for the tests, one for each property that the negative controls do
//! not break: a property that cannot fail proves nothing when it holds.

use crate::{
    answer::Answer,
    batched::{At, Batched},
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

/// `batched` that locks its slots in the order in which their requests arrived: in one process the
/// neighbour's was first, in the other one this slot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LocksInOrderOfArrival(Batched);

impl Strategy for LocksInOrderOfArrival {
    const BEGINNINGS: &'static [Self] =
        &[Self(Batched::BEGINNINGS[0]), Self(Batched::BEGINNINGS[1])];

    fn point(self) -> Point {
        self.0.point()
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self.0 {
            Batched { process: 1, at: At::LockNeighbour(duplicates) } => {
                match database.lock_slot(call) {
                    true => Next::Goes(Self(Batched { process: 1, at: At::Lock(duplicates) })),
                    false => Next::Waits,
                }
            }
            Batched { process: 1, at: At::Lock(_) } if !database.lock_neighbour(call) => {
                Next::Waits
            }
            at => at.step(call, database).map(Self),
        }
    }

    fn again(self) -> Self {
        Self(self.0.again())
    }

    fn process(self) -> Option<u8> {
        self.0.process()
    }

    fn leave(call: CallId, database: &mut Database) {
        Batched::leave(call, database);
    }
}

/// `batched` that grants by the seats that its statement read when it began, before it waited for
/// the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GrantsByItsSnapshot {
    batched: Batched,
    read: i32,
}

impl Strategy for GrantsByItsSnapshot {
    const BEGINNINGS: &'static [Self] = &[
        Self { batched: Batched::BEGINNINGS[0], read: 0 },
        Self { batched: Batched::BEGINNINGS[1], read: 0 },
    ];

    fn point(self) -> Point {
        self.batched.point()
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        let read = match self.batched.at {
            At::LockNeighbour(_) => database.slot.available,
            _ => self.read,
        };
        if matches!(self.batched.at, At::Lock(_)) && database.lock_slot(call) {
            database.slot.available = read;
        }
        self.batched.step(call, database).map(|batched| Self { batched, read })
    }

    fn again(self) -> Self {
        Self { batched: self.batched.again(), ..self }
    }

    fn process(self) -> Option<u8> {
        self.batched.process()
    }

    fn leave(call: CallId, database: &mut Database) {
        Batched::leave(call, database);
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
