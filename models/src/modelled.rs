//! Each strategy has a model; what can be asked of each without knowing its type.

use slotproof_vocabulary::StrategyKind;

use crate::{
    advisory::Advisory,
    conditional::Conditional,
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
    strategy::Strategy,
    unprotected::Unprotected,
};

/// A question to a model.
pub(crate) trait Ask {
    type Answer;

    fn of<S: Strategy>(self) -> Self::Answer;
}

/// Asks the model of a strategy.
pub(crate) fn ask<A: Ask>(kind: StrategyKind, question: A) -> A::Answer {
    match kind {
        StrategyKind::Pessimistic => question.of::<Pessimistic>(),
        StrategyKind::Serializable => question.of::<Serializable>(),
        StrategyKind::Optimistic => question.of::<Optimistic>(),
        StrategyKind::Conditional => question.of::<Conditional>(),
        StrategyKind::Advisory => question.of::<Advisory>(),
        StrategyKind::RedisLock => question.of::<RedisLock>(),
        StrategyKind::Queue => question.of::<Queue>(),
        StrategyKind::Hybrid => question.of::<Hybrid>(),
        StrategyKind::Grouped => question.of::<Grouped>(),
        StrategyKind::SeatRows => question.of::<SeatRows>(),
        StrategyKind::Unprotected => question.of::<Unprotected>(),
        StrategyKind::LostUpdate => question.of::<LostUpdate>(),
        StrategyKind::LockedBookings => question.of::<LockedBookings>(),
        StrategyKind::WriteSkew => question.of::<WriteSkew>(),
        StrategyKind::OffByOne => question.of::<OffByOne>(),
        StrategyKind::OneSeatCheck => question.of::<OneSeatCheck>(),
        StrategyKind::RaceIsSoldOut => question.of::<RaceIsSoldOut>(),
        StrategyKind::ReceiptApart => question.of::<ReceiptApart>(),
        StrategyKind::ReplayNewId => question.of::<ReplayNewId>(),
        StrategyKind::AuditApart => question.of::<AuditApart>(),
        StrategyKind::CancelTwice => question.of::<CancelTwice>(),
        StrategyKind::CancelLeaks => question.of::<CancelLeaks>(),
        StrategyKind::LateConfirm => question.of::<LateConfirm>(),
        StrategyKind::StaleCache => question.of::<StaleCache>(),
        StrategyKind::AnnounceApart => question.of::<AnnounceApart>(),
        StrategyKind::RedisLockUnfenced => question.of::<RedisLockUnfenced>(),
        StrategyKind::RedisLockToken => question.of::<RedisLockToken>(),
        StrategyKind::CommitNotDurable => question.of::<CommitNotDurable>(),
    }
}
