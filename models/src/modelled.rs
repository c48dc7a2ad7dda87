//! Which strategies have a model, and what can be asked of each without knowing its type.

use slotproof_vocabulary::StrategyKind;

use crate::{
    advisory::Advisory, conditional::Conditional, lost_update::LostUpdate, optimistic::Optimistic,
    pessimistic::Pessimistic, redis_lock::RedisLock, redis_lock_token::RedisLockToken,
    redis_lock_unfenced::RedisLockUnfenced, seat_rows::SeatRows, serializable::Serializable,
    strategy::Strategy, unprotected::Unprotected,
};

/// A question to a model.
pub(crate) trait Ask {
    type Answer;

    fn of<S: Strategy>(self) -> Self::Answer;
}

/// Asks the model of a strategy; `None` if it has none.
pub(crate) fn ask<A: Ask>(kind: StrategyKind, question: A) -> Option<A::Answer> {
    Some(match kind {
        StrategyKind::Pessimistic => question.of::<Pessimistic>(),
        StrategyKind::Serializable => question.of::<Serializable>(),
        StrategyKind::Optimistic => question.of::<Optimistic>(),
        StrategyKind::Conditional => question.of::<Conditional>(),
        StrategyKind::Advisory => question.of::<Advisory>(),
        StrategyKind::RedisLock => question.of::<RedisLock>(),
        StrategyKind::SeatRows => question.of::<SeatRows>(),
        StrategyKind::RedisLockUnfenced => question.of::<RedisLockUnfenced>(),
        StrategyKind::RedisLockToken => question.of::<RedisLockToken>(),
        StrategyKind::Unprotected => question.of::<Unprotected>(),
        StrategyKind::LostUpdate => question.of::<LostUpdate>(),
        _ => return None,
    })
}
