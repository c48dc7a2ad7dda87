//! Publishing with confirms: a message that is confirmed is on the broker's disk.

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::sync::{Notify, watch};

use super::{
    connection::{ANSWER_WITHIN, QueueError},
    messages::{Event, Request},
    topology,
};
use crate::reserve::{ReserveCommand, ReserveError};

/// How often an idle channel is looked at.
const CHECK_EVERY: Duration = Duration::from_millis(200);
/// AMQP's delivery mode 2.
const PERSISTENT: u8 = 2;
/// AMQP's priority of urgent messages, for people who look into the queue; the queue itself is what
/// makes them urgent.
const URGENT: u8 = 9;

/// Where requests are published; it has a channel while there is a connection.
#[derive(Clone, Default)]
pub(crate) struct Publisher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    channel: watch::Sender<Option<Channel>>,
    lost: Notify,
}

impl Publisher {
    /// The duty: offers a channel as long as the connection lasts.
    pub(crate) async fn offer(self, connection: Connection) -> Result<(), QueueError> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        self.0.channel.send_replace(Some(channel.clone()));
        // A failed publish reports the loss at once; without one the channel is polled.
        while channel.status().connected() {
            tokio::select! {
                () = self.0.lost.notified() => {}
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
        }
        self.0.channel.send_replace(None);
        Ok(())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.channel.borrow().as_ref().is_some_and(|channel| channel.status().connected())
    }

    /// Done when the broker has confirmed the request.
    pub(crate) async fn publish(&self, command: &ReserveCommand) -> Result<(), ReserveError> {
        let unavailable = |reason: &str| ReserveError::Unavailable(format!("RabbitMQ: {reason}"));
        let channel =
            self.0.channel.borrow().clone().ok_or_else(|| unavailable("not connected"))?;
        let request = Request {
            slot: command.slot,
            seats: command.seats,
            key: command.key.as_str().to_owned(),
            booking: command.booking,
            hold_ms: command.hold_ms,
            urgent: command.urgent,
        };
        let body = serde_json::to_vec(&request).expect("a request is JSON");
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(command.booking.to_string().into());
        if command.urgent {
            properties = properties.with_priority(URGENT);
        }
        let queue = if command.urgent { topology::REQUESTS_URGENT } else { topology::REQUESTS };
        let confirm = publish(&channel, "", queue, &body, properties).await.map_err(|error| {
            self.0.lost.notify_one();
            // It may have left: a channel that fails does not say when.
            ReserveError::Unknown(error.to_string())
        })?;
        match tokio::time::timeout(ANSWER_WITHIN, confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                Err(unavailable("the queue of requests does not exist"))
            }
            Ok(Ok(_)) => Err(ReserveError::Unknown("RabbitMQ refused the request".to_owned())),
            Ok(Err(error)) => {
                self.0.lost.notify_one();
                Err(ReserveError::Unknown(error.to_string()))
            }
            Err(_) => Err(ReserveError::Unknown(format!(
                "RabbitMQ did not confirm the request within {} s",
                ANSWER_WITHIN.as_secs()
            ))),
        }
    }
}

impl Publisher {
    /// A negative control: announces what has not been committed, past the outbox.
    pub(crate) async fn announce_too_early(
        &self,
        command: &ReserveCommand,
        slot_version: i64,
    ) -> Result<(), QueueError> {
        let Some(channel) = self.0.channel.borrow().clone() else { return Ok(()) };
        let event = Event {
            doctor_id: command.doctor_id(),
            slot_month: command.slot_month(),
            slot_id: command.slot.as_uuid(),
            slot_version,
            booking_id: command.booking.as_uuid(),
            status: "pending".to_owned(),
            seats: command.seats,
        };
        let body = serde_json::to_vec(&event).expect("an event is JSON");
        publish(&channel, topology::EVENTS, &event.status, &body, persistent()).await?.await?;
        Ok(())
    }
}

/// Hands a message to the channel; the future is its confirm. A message that no queue takes comes
/// back.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    routing_key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange.into(), routing_key.into(), mandatory, body, properties).await
}

pub(super) fn persistent() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
}
