//! RabbitMQ: requests on their way to workers, events on their way to consumers. Nothing outside
//! this module knows AMQP.
//!
//! The database decides; a message is never the truth. Requests are delivered at least once and
//! decided once, because the decision and its receipt are one transaction. Events are committed to
//! the outbox with the change that they tell of, published at least once, and applied once, because
//! a consumer notes an event in the transaction that applies it.

mod connection;
mod consumers;
pub mod dead_letters;
mod publisher;
mod relay;
mod topology;
mod worker;

pub use connection::QueueError;
pub(crate) use publisher::Publisher;

use connection::{Duty, keep_connected};
use consumers::Consumer;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{BookingId, SlotId};
use sqlx::PgPool;
use time::Date;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use crate::application::Announcements;

/// A reserve on its way to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    slot: SlotId,
    seats: i32,
    key: String,
    booking: BookingId,
    hold_ms: i64,
    urgent: bool,
}

/// A committed change of a booking's status.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Event {
    doctor_id: i32,
    slot_month: Date,
    slot_id: Uuid,
    slot_version: i64,
    booking_id: Uuid,
    status: String,
    seats: i32,
}

/// What a process does with the broker beside answering requests.
pub(crate) struct Duties {
    /// Workers that decide requests; 0 leaves them to other processes.
    pub(crate) workers: u32,
    /// How long a hold lasts: the delay of `booking.expiry`.
    pub(crate) hold_ms: i64,
    /// Whether events are relayed and consumed.
    pub(crate) announcements: Announcements,
    /// How events are consumed; broken on purpose in a negative control.
    pub(crate) redelivery: Redelivery,
}

/// What a consumer does with an event that it has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redelivery {
    AppliedOnce,
    /// A negative control.
    AppliedAgain,
}

/// Adds them to `tasks`; they end when told to stop.
pub(crate) fn start(
    url: &str,
    pool: &PgPool,
    publisher: &Publisher,
    duties: &Duties,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    let duty = |name: &str| Duty {
        name: name.to_owned(),
        url: url.to_owned(),
        hold_ms: duties.hold_ms,
        stopping: stopping.clone(),
    };

    let offering = publisher.clone();
    tasks.spawn(keep_connected(duty("publisher"), move |connection| {
        offering.clone().offer(connection)
    }));
    for number in 0..duties.workers {
        let pool = pool.clone();
        let duty = duty(&format!("worker {number}"));
        tasks.spawn(keep_connected(duty, move |connection| worker::work(connection, pool.clone())));
    }
    if duties.announcements == Announcements::Left {
        return;
    }

    let relaying = pool.clone();
    tasks.spawn(keep_connected(duty("relay"), move |connection| {
        relay::relay(connection, relaying.clone())
    }));
    for consumer in Consumer::ALL {
        let pool = pool.clone();
        let redelivery = duties.redelivery;
        tasks.spawn(keep_connected(duty(consumer.queue()), move |connection| {
            consumers::consume(connection, pool.clone(), consumer, redelivery)
        }));
    }
}
