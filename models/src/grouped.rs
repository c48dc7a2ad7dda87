//! # grouped
//!
//! **Claim.** Never overbooks: the call that decides about a slot holds the slot's row, and decides
//! for many at once.
//!
//! **Mechanism.** Requests gather in a lane of their process; one at a time takes all that have
//! gathered and decides them in one transaction under the slot's row lock, in order of arrival. A
//! call that is alone goes as by `conditional`. There are two processes here, one for each path.
//!
//! **Fails when.** None known. A duplicate in a batch makes it fail by the unique key; then
//! receipts are read before seats are granted.
//!
//! **Service.** `target-service/src/strategies/grouped.rs`

use crate::{
    answer::{Answer, Decision},
    call_id::CallId,
    database::{Database, Lane},
    strategy::{Next, Point, Strategy},
};

/// Whether receipts are read before seats are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Duplicates {
    NotExpected,
    LookedFor,
}

/// The steps of a call of one process: its own, and those of a batch if it is the first of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Grouped {
    process: u8,
    at: At,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Gather,
    /// In the lane, until it is the first of it and no batch is being decided; or in a batch, until
    /// it has been decided.
    Gathered,
    /// Alone in its batch.
    Alone,
    /// First of a batch of several.
    Lock(Duplicates),
    Write(Duplicates),
    Commit,
    RollBack,
}

impl Strategy for Grouped {
    const BEGINNINGS: &'static [Self] =
        &[Self { process: 0, at: At::Gather }, Self { process: 1, at: At::Gather }];

    fn point(self) -> Point {
        match self.at {
            At::Gather => Point::new("gather", "joins the lane of its process"),
            At::Gathered => Point::new(
                "take",
                "takes the waiting requests as a batch, or receives its decision",
            ),
            At::Alone => Point::new("write", "writes the booking if a seat is free"),
            At::Lock(Duplicates::NotExpected) => {
                Point::new("lock", "begins for its batch and locks the slot")
            }
            At::Lock(Duplicates::LookedFor) => {
                Point::new("lock", "begins again for its batch, locks the slot and reads receipts")
            }
            At::Write(_) => Point::new("write", "writes the bookings of its batch"),
            At::Commit => Point::new("commit", "commits for its batch"),
            At::RollBack => Point::new("roll_back", "rolls back, because its batch gets no seat"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        let lane = usize::from(self.process);
        let goes = |at| Next::Goes(Self { at, ..self });
        match self.at {
            At::Gather => {
                database.lanes[lane].waiting.push(call);
                goes(At::Gathered)
            }
            At::Gathered => match take_or_receive(call, &mut database.lanes[lane]) {
                LaneTurn::Waits => Next::Waits,
                LaneTurn::Decided(answer) => Next::Answered(answer),
                LaneTurn::Batch(1) => goes(At::Alone),
                LaneTurn::Batch(_) => goes(At::Lock(Duplicates::NotExpected)),
            },
            At::Alone => alone(call, database),
            At::Lock(duplicates) => {
                if !database.lock_slot(call) {
                    return Next::Waits;
                }
                match granted(lane, duplicates, database).is_empty() {
                    true => goes(At::RollBack),
                    false => goes(At::Write(duplicates)),
                }
            }
            At::Write(duplicates) => {
                let keys_are_new = |granted: &CallId| !database.has_receipt(granted.client);
                if granted(lane, duplicates, database).iter().all(keys_are_new) {
                    return goes(At::Commit);
                }
                // The unique key took the whole statement back, and the transaction with it.
                database.rollback(call);
                goes(At::Lock(Duplicates::LookedFor))
            }
            At::Commit | At::RollBack => decide(call, lane, database),
        }
    }

    fn again(self) -> Self {
        Self { at: At::Alone, ..self }
    }

    fn process(self) -> Option<u8> {
        (self.at != At::Gather).then_some(self.process)
    }

    fn leave(call: CallId, database: &mut Database) {
        for lane in &mut database.lanes {
            lane.waiting.retain(|waiting| *waiting != call);
            lane.batch.retain(|deciding| *deciding != call);
            lane.decided.retain(|(decided, _)| *decided != call);
        }
    }
}

/// What a call in a lane may do next.
enum LaneTurn {
    Waits,
    Decided(Answer),
    /// It is the first of a batch of this size.
    Batch(usize),
}

/// Of calls with one key a batch has the first; the others are decided after it.
fn take_or_receive(call: CallId, lane: &mut Lane) -> LaneTurn {
    if let Some((_, answer)) = lane.decided.iter().find(|(decided, _)| *decided == call) {
        return LaneTurn::Decided(*answer);
    }
    if !lane.batch.is_empty() || lane.waiting.first() != Some(&call) {
        return LaneTurn::Waits;
    }
    let mut keys = Vec::new();
    let (firsts, duplicates) =
        std::mem::take(&mut lane.waiting).into_iter().partition(|waiting: &CallId| {
            let first = !keys.contains(&waiting.client);
            keys.push(waiting.client);
            first
        });
    lane.batch = firsts;
    lane.waiting = duplicates;
    LaneTurn::Batch(lane.batch.len())
}

/// One statement, as that of `conditional`.
fn alone(call: CallId, database: &mut Database) -> Next<Grouped> {
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

/// Those of a batch that get seats, in order of arrival.
fn granted(lane: usize, duplicates: Duplicates, database: &Database) -> Vec<CallId> {
    let is_new = |call: &&CallId| {
        duplicates == Duplicates::NotExpected || !database.has_receipt(call.client)
    };
    let seats = usize::try_from(database.slot.available).unwrap_or_default();
    database.lanes[lane].batch.iter().filter(is_new).take(seats).copied().collect()
}

/// Commits what was granted, and answers every call of the batch: with seats, with a receipt, or
/// with `sold_out` as of the end. Each takes its answer later, in a step of its own.
fn decide(call: CallId, lane: usize, database: &mut Database) -> Next<Grouped> {
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
