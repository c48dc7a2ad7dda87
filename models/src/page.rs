//! Every strategy's page behind one type, so that whatever surrounds a page is compiled once and
//! not once for each strategy.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use slotproof_vocabulary::StrategyKind;

#[cfg(test)]
use crate::broken::{
    AnswersBeforeItCommits, FencedWritesOnly, GrantsByItsSnapshot, KeepsItsLock, LeaksASeat,
    LocksInOrderOfArrival, NeverGoesOn, WithoutLock, WithoutUniqueKey,
};
use crate::{
    advisory::Advisory,
    batched::Batched,
    call_id::CallId,
    conditional::Conditional,
    database::{Database, StateChange},
    grouped::Grouped,
    hybrid::Hybrid,
    lost_update::LostUpdate,
    mutants::{
        AnnounceApart, AuditApart, CancelLeaks, CancelTwice, CommitNotDurable, LateConfirm,
        LockedBookings, OffByOne, OneSeatCheck, RaceIsSoldOut, ReceiptApart, ReplayNewId,
        StaleCache, WriteSkew,
    },
    optimistic::Optimistic,
    pessimistic::Pessimistic,
    queue::Queue,
    redis_lock::RedisLock,
    redis_lock_token::RedisLockToken,
    redis_lock_unfenced::RedisLockUnfenced,
    seat_rows::SeatRows,
    serializable::Serializable,
    strategy::{Next, OutOfTries, Point, Strategy},
    unprotected::Unprotected,
};

/// What holds for all calls of a strategy, whichever step they have come to.
pub(crate) struct Page {
    /// Paths that a request can take.
    pub paths: u8,
    /// Where the tries of a path begin.
    beginning: fn(u8) -> PageStep,
    // What follows are the items of `Strategy`.
    pub seats: i32,
    pub tries: u8,
    pub polls: bool,
    pub durable: bool,
    pub fences: bool,
    pub caches_reads: bool,
    pub booking_of_receipt: fn(CallId, CallId) -> CallId,
    pub leave: fn(CallId, &mut Database),
    pub confirm: fn(CallId, &mut Database) -> StateChange,
    pub cancel: fn(CallId, &mut Database) -> StateChange,
}

impl Page {
    /// The page of this strategy.
    pub fn of<S: Strategy + Into<PageStep>>() -> &'static Self {
        PageOf::<S>::PAGE
    }

    pub fn beginning(&self, path: u8) -> PageStep {
        (self.beginning)(path)
    }

    /// The beginning of each path.
    pub fn beginnings(&self) -> impl Iterator<Item = PageStep> {
        (0..self.paths).map(|path| self.beginning(path))
    }
}

/// All states of a search are of one page, so the page is no part of what distinguishes them.
impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Page {}

impl Hash for Page {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.beginning(0))
    }
}

struct PageOf<S>(PhantomData<S>);

impl<S: Strategy + Into<PageStep>> PageOf<S> {
    const PAGE: &'static Page = &Page {
        paths: S::BEGINNINGS.len() as u8,
        beginning: |path| S::BEGINNINGS[usize::from(path)].into(),
        seats: S::SEATS,
        tries: S::TRIES,
        polls: S::POLLS,
        durable: S::DURABLE,
        fences: S::FENCES,
        caches_reads: S::CACHES_READS,
        booking_of_receipt: S::booking_of_receipt,
        leave: S::leave,
        confirm: S::confirm,
        cancel: S::cancel,
    };
}

/// Declares the step of any page, and finds the page of a strategy.
macro_rules! pages {
    (
        strategies { $($strategy:ident)+ }
        tests { $($broken:ident)+ }
    ) => {
        /// A step of a page, whichever page it is of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum PageStep {
            $($strategy($strategy),)+
            $(#[cfg(test)] $broken($broken),)+
        }

        $(impl From<$strategy> for PageStep {
            fn from(step: $strategy) -> Self {
                Self::$strategy(step)
            }
        })+

        $(#[cfg(test)]
        impl From<$broken> for PageStep {
            fn from(step: $broken) -> Self {
                Self::$broken(step)
            }
        })+

        /// The page of a strategy.
        pub(crate) fn page_of(kind: StrategyKind) -> &'static Page {
            match kind {
                $(StrategyKind::$strategy => Page::of::<$strategy>(),)+
            }
        }

        /// The methods of [`Strategy`], by whichever page it is.
        impl PageStep {
            pub fn point(self) -> Point {
                match self {
                    $(Self::$strategy(step) => step.point(),)+
                    $(#[cfg(test)] Self::$broken(step) => step.point(),)+
                }
            }

            pub fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
                match self {
                    $(Self::$strategy(step) => step.step(call, database).map(Self::$strategy),)+
                    $(
                        #[cfg(test)]
                        Self::$broken(step) => step.step(call, database).map(Self::$broken),
                    )+
                }
            }

            pub fn again(self) -> Self {
                match self {
                    $(Self::$strategy(step) => Self::$strategy(step.again()),)+
                    $(#[cfg(test)] Self::$broken(step) => Self::$broken(step.again()),)+
                }
            }

            pub fn out_of_tries(self, database: &Database) -> OutOfTries<Self> {
                match self {
                    $(
                        Self::$strategy(step) => step.out_of_tries(database).map(Self::$strategy),
                    )+
                    $(
                        #[cfg(test)]
                        Self::$broken(step) => step.out_of_tries(database).map(Self::$broken),
                    )+
                }
            }

            pub fn after_crash(self) -> Option<Self> {
                match self {
                    $(Self::$strategy(step) => step.after_crash().map(Self::$strategy),)+
                    $(#[cfg(test)] Self::$broken(step) => step.after_crash().map(Self::$broken),)+
                }
            }

            pub fn has_failed(self) -> bool {
                match self {
                    $(Self::$strategy(step) => step.has_failed(),)+
                    $(#[cfg(test)] Self::$broken(step) => step.has_failed(),)+
                }
            }

            pub fn was_fenced_off(self) -> bool {
                match self {
                    $(Self::$strategy(step) => step.was_fenced_off(),)+
                    $(#[cfg(test)] Self::$broken(step) => step.was_fenced_off(),)+
                }
            }

            pub fn process(self) -> Option<u8> {
                match self {
                    $(Self::$strategy(step) => step.process(),)+
                    $(#[cfg(test)] Self::$broken(step) => step.process(),)+
                }
            }
        }
    };
}

pages! {
    strategies {
        Pessimistic
        Serializable
        Optimistic
        Conditional
        Advisory
        RedisLock
        Queue
        Hybrid
        Grouped
        Batched
        SeatRows
        Unprotected
        LostUpdate
        LockedBookings
        WriteSkew
        OffByOne
        OneSeatCheck
        RaceIsSoldOut
        ReceiptApart
        ReplayNewId
        AuditApart
        CancelTwice
        CancelLeaks
        LateConfirm
        StaleCache
        AnnounceApart
        RedisLockUnfenced
        RedisLockToken
        CommitNotDurable
    }
    tests {
        WithoutLock
        FencedWritesOnly
        WithoutUniqueKey
        AnswersBeforeItCommits
        LeaksASeat
        KeepsItsLock
        NeverGoesOn
        LocksInOrderOfArrival
        GrantsByItsSnapshot
    }
}
