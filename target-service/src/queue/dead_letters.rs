//! Messages that could not be handled: to be looked at by a person, and sent again when the cause
//! is gone.

use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    message::BasicGetMessage,
    options::{BasicAckOptions, BasicGetOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    connection::{ANSWER_WITHIN, CONNECT_WITHIN, QueueError, open, within},
    publisher::{persistent, publish},
    topology,
};

/// A message in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeadLetter {
    /// The queue in which it died.
    pub queue: String,
    /// Why: `rejected` (not ours), `delivery_limit` (failed too often).
    pub reason: String,
    /// The message; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// The messages, oldest first. They stay where they are.
///
/// # Errors
/// The broker's; a queue that was never declared is one of them.
pub async fn list(url: &str) -> Result<Vec<DeadLetter>, QueueError> {
    let connection = open(url, "dead letters", CONNECT_WITHIN).await?;
    let channel = channel(&connection).await?;
    let mut letters = Vec::new();
    // Not acknowledged: closing the connection puts them back.
    while let Some(message) = get(&channel).await? {
        letters.push(letter(&message));
    }
    connection.close(200, "listed".into()).await?;
    Ok(letters)
}

/// Sends each message to the queue in which it died, and takes it out of the dead letters when the
/// broker has it there. A message whose queue is gone or unknown stays. Returns what was sent.
///
/// # Errors
/// The broker's. What had been sent by then is gone from the dead letters, and the rest is still
/// there.
pub async fn replay(url: &str) -> Result<Vec<DeadLetter>, QueueError> {
    let connection = open(url, "dead letters", CONNECT_WITHIN).await?;
    let channel = channel(&connection).await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    within(ANSWER_WITHIN, "switch confirms on", confirms).await?;
    let mut replayed = Vec::new();
    let mut seen = Vec::new();
    while let Some(message) = get(&channel).await? {
        seen.push(message);
    }
    // Only those that were there at the beginning: what dies again meanwhile waits for the next
    // replay.
    for message in seen {
        let letter = letter(&message);
        let sending = async {
            publish(&channel, "", &letter.queue, &message.delivery.data, persistent()).await?.await
        };
        match within(ANSWER_WITHIN, "confirm a dead letter", sending).await? {
            Confirmation::Ack(None) => {}
            _ => {
                tracing::warn!(queue = letter.queue, "dead letter kept: its queue does not exist");
                continue;
            }
        }
        let taking = message.delivery.acker.ack(BasicAckOptions::default());
        within(ANSWER_WITHIN, "take an acknowledgement", taking).await?;
        replayed.push(letter);
    }
    connection.close(200, "replayed".into()).await?;
    Ok(replayed)
}

async fn channel(connection: &Connection) -> Result<Channel, QueueError> {
    within(ANSWER_WITHIN, "open a channel", connection.create_channel()).await
}

async fn get(channel: &Channel) -> Result<Option<BasicGetMessage>, QueueError> {
    let getting = channel.basic_get(topology::DEAD.into(), BasicGetOptions::default());
    within(ANSWER_WITHIN, "hand out a dead letter", getting).await
}

fn letter(message: &BasicGetMessage) -> DeadLetter {
    let death = first_death(&message.delivery.properties);
    let text = |name: &str| match death.and_then(|death| death.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => "unknown".to_owned(),
    };
    DeadLetter {
        queue: text("queue"),
        reason: text("reason"),
        body: String::from_utf8_lossy(&message.delivery.data).into_owned(),
    }
}

/// RabbitMQ notes each death of a message in the header `x-death`, the latest first.
fn first_death(properties: &BasicProperties) -> Option<&FieldTable> {
    match properties.headers().as_ref()?.inner().get("x-death")? {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => Some(death),
            _ => None,
        },
        _ => None,
    }
}
