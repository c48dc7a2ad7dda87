//! What `grouped` and `batched` have in common: calls wait in the lane of their process, and the
//! first of them decides for all that have gathered.
//!
//! **Service.** `target-service/src/strategies/lanes/`

use crate::{
    answer::{Answer, Decision},
    call_id::CallId,
    database::{Database, Lane},
    strategy::Next,
};

/// Whether receipts are read before seats are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Duplicates {
    NotExpected,
    LookedFor,
}

/// What a call in a lane may do next.
pub(crate) enum LaneTurn {
    Waits,
    Decided(Answer),
    /// It is the first of a batch of this size.
    Batch(usize),
}

pub(crate) fn take_or_receive(call: CallId, lane: &mut Lane) -> LaneTurn {
    if let Some((_, answer)) = lane.decided.iter().find(|(decided, _)| *decided == call) {
        return LaneTurn::Decided(*answer);
    }
    if !lane.batch.is_empty() || lane.waiting.first() != Some(&call) {
        return LaneTurn::Waits;
    }
    lane.batch = std::mem::take(&mut lane.waiting);
    LaneTurn::Batch(lane.batch.len())
}

/// One statement, as that of `conditional`.
pub(crate) fn alone<S>(call: CallId, database: &mut Database) -> Next<S> {
    if database.slot.available < 1 {
        return Next::Nothing;
    }
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Nothing;
    }
    database.commit(call, database.slot.available - 1);
    Next::Took
}

/// Those of a batch that get seats, in order of arrival; of calls with one key, the first.
pub(crate) fn granted(lane: usize, duplicates: Duplicates, database: &Database) -> Vec<CallId> {
    let mut granted: Vec<CallId> = Vec::new();
    for call in &database.lanes[lane].batch {
        let is_new = duplicates == Duplicates::NotExpected || !database.has_receipt(call.client);
        let is_first = granted.iter().all(|other| other.client != call.client);
        let seats = usize::try_from(database.slot.available).unwrap_or_default();
        if is_new && is_first && granted.len() < seats {
            granted.push(*call);
        }
    }
    granted
}

/// Whether the unique key lets the bookings of a batch be written.
pub(crate) fn keys_are_new(lane: usize, duplicates: Duplicates, database: &Database) -> bool {
    granted(lane, duplicates, database).iter().all(|call| !database.has_receipt(call.client))
}

/// Commits what was granted, and answers every call of the batch: with seats, with a receipt, or
/// with `sold_out` as of the end. Each takes its answer later, in a step of its own.
pub(crate) fn decide<S>(call: CallId, lane: usize, database: &mut Database) -> Next<S> {
    let batch = std::mem::take(&mut database.lanes[lane].batch);
    for member in &batch {
        if !database.has_receipt(member.client) && database.slot.available > 0 {
            database.commit(*member, database.slot.available - 1);
        }
    }
    database.rollback(call);
    let honest = database.is_full();
    let answer = |database: &Database, member: CallId| match database.decision(member.client) {
        Some(Decision::Booked(booking)) => Answer::Ok { booking },
        Some(Decision::Refused { honest }) => Answer::Refused { honest },
        None => Answer::Refused { honest },
    };
    let own = answer(database, call);
    for member in batch.into_iter().filter(|member| *member != call) {
        let decided = (member, answer(database, member));
        database.lanes[lane].decided.push(decided);
    }
    Next::Answered(own)
}

/// A call that is answered or lost is in no lane.
pub(crate) fn leave(call: CallId, database: &mut Database) {
    for lane in &mut database.lanes {
        lane.waiting.retain(|waiting| *waiting != call);
        lane.batch.retain(|deciding| *deciding != call);
        lane.decided.retain(|(decided, _)| *decided != call);
    }
}
