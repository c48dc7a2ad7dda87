//! # queue
//!
//! **Claim.** Never overbooks, and decides each request once, however often it is delivered.
//!
//! **Mechanism.** The request is a message, which is delivered until it is acknowledged. A worker
//! decides it as `conditional` does, and leaves a receipt also when there are no seats; a second
//! delivery finds the first decision. The client asks for the receipt.
//!
//! **Fails when.** None known. A worker that crashes before it acknowledges leaves the message to
//! another one.
//!
//! **Service.** `target-service/src/strategies/queue.rs`, and `target-service/src/queue/worker.rs`
//! for what the worker does.

use crate::{
    call_id::CallId,
    database::Database,
    strategy::{Next, Point, Strategy},
};

/// The publishing of a request, and then the steps of the worker that has it. `again`: it was
/// delivered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Queue {
    Publish,
    Write { again: bool },
    Look,
    Refuse { honest: bool },
    Acknowledge,
}

impl Strategy for Queue {
    const BEGINNINGS: &'static [Self] = &[Self::Publish];
    const POLLS: bool = true;

    fn point(self) -> Point {
        match self {
            Self::Publish => {
                Point::new("publish", "publishes the request, and its client gets 202")
            }
            Self::Write { again: false } => Point::new(
                "write",
                "is delivered to a worker, which writes the booking if a seat is free",
            ),
            Self::Write { again: true } => Point::new(
                "write",
                "is redelivered to a worker, which writes the booking if a seat is free",
            ),
            Self::Look => {
                Point::new("look", "is looked up by its worker, receipt and slot in one snapshot")
            }
            Self::Refuse { .. } => {
                Point::new("refuse", "is refused, and its worker writes a receipt of the refusal")
            }
            Self::Acknowledge => Point::new("acknowledge", "is acknowledged by its worker"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Publish => Next::Goes(Self::Write { again: false }),
            Self::Write { .. } => write(call, database),
            Self::Look => look(call, database),
            Self::Refuse { honest } => refuse(honest, call, database),
            Self::Acknowledge => Next::Ended,
        }
    }

    /// A message that was not acknowledged is delivered again. One that was not published is lost
    /// with its call.
    fn after_crash(self) -> Option<Self> {
        (self != Self::Publish).then_some(Self::Write { again: true })
    }
}

/// One statement, as that of `conditional`.
fn write(call: CallId, database: &mut Database) -> Next<Queue> {
    if database.slot.available < 1 {
        return Next::Goes(Queue::Look);
    }
    if !database.lock_slot(call) {
        return Next::Waits;
    }
    if database.has_receipt(call.client) {
        database.rollback(call);
        return Next::Goes(Queue::Look);
    }
    database.commit(call, database.slot.available - 1);
    Next::Goes(Queue::Acknowledge)
}

/// A worker that finds a seat has lost a race, and tries again until it has decided.
fn look(call: CallId, database: &Database) -> Next<Queue> {
    if database.has_receipt(call.client) {
        return Next::Goes(Queue::Acknowledge);
    }
    match database.slot.available {
        1.. => Next::Goes(Queue::Write { again: false }),
        _ => Next::Goes(Queue::Refuse { honest: database.is_full() }),
    }
}

/// On conflict nothing: another delivery was decided first, and that decision stands.
fn refuse(honest: bool, call: CallId, database: &mut Database) -> Next<Queue> {
    database.leave_refusal(call, honest);
    Next::Goes(Queue::Acknowledge)
}
