//! Every exchange, queue and binding, in one place. Declaring them again changes nothing.
//!
//! ```text
//! service ── booking.requests ────────────> worker      (given back 5 times, or not ours: booking.dead)
//!         └─ booking.requests.urgent ─────> worker, before the others
//! relay ── (booking.events) ─┬─ notifications ─────────────> consumer   (same: booking.dead)
//!                            ├─ analytics ─────────────────> consumer   (same: booking.dead)
//!                            └─ booking.expiry.wait.<ms> ── after that time ──> booking.expiry ──> consumer
//! ```
//!
//! All queues are quorum queues, which keep their messages on disk. RabbitMQ 3.10 knows no
//! priorities in them, so urgent requests have a queue of their own. A message's time to live ends
//! only at the head of its queue, so there is one waiting queue for each length of hold; and
//! because it is only a hint, the sweep of the database stays the truth about expiry.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

pub(super) const REQUESTS: &str = "booking.requests";
pub(super) const REQUESTS_URGENT: &str = "booking.requests.urgent";
pub(super) const EVENTS: &str = "booking.events";
pub(super) const NOTIFICATIONS: &str = "notifications";
pub(super) const ANALYTICS: &str = "analytics";
pub(super) const EXPIRY: &str = "booking.expiry";
pub(super) const DEAD: &str = "booking.dead";

/// Deliveries of a message before it is moved to the dead letters. Messages that a worker held when
/// it died count too.
const DELIVERIES_MAX: i32 = 5;
/// The message must arrive after the hold has expired: one that arrives early expires nothing.
const EXPIRY_MARGIN_MS: i64 = 20;
/// The routing key of an event that starts a hold.
const HOLD_BEGAN: &str = "pending";

pub(super) async fn declare(channel: &Channel, hold_ms: i64) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(EVENTS.into(), ExchangeKind::Topic, durable, FieldTable::default())
        .await?;

    queue(channel, DEAD, &[]).await?;
    let poison = [
        ("x-delivery-limit", AMQPValue::LongInt(DELIVERIES_MAX)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(DEAD)),
    ];
    for name in [REQUESTS, REQUESTS_URGENT, NOTIFICATIONS, ANALYTICS, EXPIRY] {
        queue(channel, name, &poison).await?;
    }
    let waiting = format!("{EXPIRY}.wait.{hold_ms}");
    let delay = [
        ("x-message-ttl", AMQPValue::LongLongInt(hold_ms + EXPIRY_MARGIN_MS)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(EXPIRY)),
    ];
    queue(channel, &waiting, &delay).await?;

    for (name, key) in [(NOTIFICATIONS, "#"), (ANALYTICS, "#"), (waiting.as_str(), HOLD_BEGAN)] {
        let options = QueueBindOptions::default();
        channel
            .queue_bind(name.into(), EVENTS.into(), key.into(), options, FieldTable::default())
            .await?;
    }
    Ok(())
}

async fn queue(
    channel: &Channel,
    name: &str,
    arguments: &[(&str, AMQPValue)],
) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), durable, table).await.map(|_| ())
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
