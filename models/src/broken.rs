//! Strategies broken on purpose, one for each property that the negative controls do not break: a
//! property that cannot fail says nothing when it holds.

use slotproof_vocabulary::Verdict;

use crate::{
    call::Answer,
    database::{CallId, Database},
    exploration::{Limits, Size, explore_strategy},
    pessimistic::Pessimistic,
    redis_lock::RedisLock,
    strategy::{Next, Point, Strategy},
};

/// `pessimistic` that reads the seats without `for no key update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WithoutLock(Pessimistic);

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

/// `redis_lock` that compares its token with what was written and not with what it read: the advice
/// that is usually given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FencedWritesOnly(RedisLock);

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
        struct $name;

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

fn check_violated<S: Strategy>(size: Size, name: &str) {
    let found = explore_strategy::<S>(size, Limits::default());
    let property =
        found.properties.into_iter().find(|property| property.name == name).expect("it is judged");
    assert_eq!(property.verdict, Verdict::Violated, "{name}");
    assert!(property.shortest.is_some_and(|steps| !steps.is_empty()), "{name}");
}

const SMALL: Size = Size { clients: 2, capacity: 1 };
const TWO_SEATS: Size = Size { clients: 2, capacity: 2 };

#[test]
fn pessimistic_overbooks_without_its_lock() {
    check_violated::<WithoutLock>(SMALL, "never overbooked");
}

#[test]
fn fencing_the_writes_alone_does_not_save_who_read_too_early() {
    check_violated::<FencedWritesOnly>(SMALL, "never overbooked");
}

#[test]
fn a_key_has_two_effects_without_its_unique_constraint() {
    check_violated::<WithoutUniqueKey>(TWO_SEATS, "one effect per key");
}

#[test]
fn an_answer_before_the_commit_loses_the_booking() {
    check_violated::<AnswersBeforeItCommits>(SMALL, "no acknowledged booking lost");
}

#[test]
fn a_seat_that_leaks_makes_sold_out_a_lie() {
    check_violated::<LeaksASeat>(TWO_SEATS, "sold_out honest");
    check_violated::<LeaksASeat>(TWO_SEATS, "seats conserved");
}

#[test]
fn a_lock_that_outlives_its_call_is_a_leak() {
    check_violated::<KeepsItsLock>(SMALL, "nothing leaks when all is quiet");
}

#[test]
fn a_call_that_waits_for_nobody_is_a_deadlock() {
    check_violated::<NeverGoesOn>(SMALL, "never deadlocked");
}
