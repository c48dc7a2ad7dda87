//! RabbitMQ: requests on their way to workers, events on their way to consumers. Only this module
//! uses AMQP.
//!
//! The database decides; a message is never the truth. Requests are delivered at least once and
//! decided once, because the decision and its receipt are one transaction. Events are committed to
//! the outbox with the change that they tell of, published at least once, and applied once, because
//! a consumer notes an event in the transaction that applies it.

mod connection;
mod consumers;
pub mod dead_letters;
mod messages;
mod publisher;
mod relay;
mod topology;
mod worker;

pub use connection::QueueError;
pub(crate) use consumers::Redelivery;
pub(crate) use publisher::Publisher;

use std::sync::Arc;

use sqlx::PgPool;
use tokio::{sync::watch, task::JoinSet};

use connection::{Duty, keep_connected};
use consumers::Consumer;

use crate::{config::Announcements, reserve::Reserve};

/// What a process does with the broker beside answering requests.
pub(crate) struct Duties {
    /// Workers that decide requests; 0 leaves them to other processes.
    pub(crate) workers: u32,
    /// The page by which workers decide.
    pub(crate) page: Arc<dyn Reserve>,
    /// How long a hold lasts: the delay of `booking.expiry`.
    pub(crate) hold_ms: i64,
    /// Whether events are relayed and consumed.
    pub(crate) announcements: Announcements,
    /// How events are consumed; broken on purpose in a negative control.
    pub(crate) redelivery: Redelivery,
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
    tasks.spawn(keep_connected(
        duty("publisher"),
        Box::new(move |connection| Box::pin(offering.clone().offer(connection))),
    ));
    for number in 0..duties.workers {
        let (pool, page) = (pool.clone(), Arc::clone(&duties.page));
        tasks.spawn(keep_connected(
            duty(&format!("worker {number}")),
            Box::new(move |connection| {
                Box::pin(worker::work(connection, pool.clone(), Arc::clone(&page)))
            }),
        ));
    }
    if duties.announcements == Announcements::Left {
        return;
    }

    let relaying = pool.clone();
    tasks.spawn(keep_connected(
        duty("relay"),
        Box::new(move |connection| Box::pin(relay::relay(connection, relaying.clone()))),
    ));
    for consumer in Consumer::ALL {
        let pool = pool.clone();
        let redelivery = duties.redelivery;
        tasks.spawn(keep_connected(
            duty(consumer.queue()),
            Box::new(move |connection| {
                Box::pin(consumers::consume(connection, pool.clone(), consumer, redelivery))
            }),
        ));
    }
}
