//! One connection for each duty, made again whenever it is lost.

use std::time::Duration;

use futures::future::BoxFuture;
use lapin::{Connection, ConnectionProperties};
use tokio::sync::watch;

use super::topology;

/// Connecting can hang for ever when the broker refuses at the wrong moment (amqp-rs/lapin#470).
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the broker may take to confirm what was published, or to answer a request. A broker
/// that has not confirmed by then may have the messages or not.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// A broker that comes back is found at most this much later.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a duty was interrupted.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The broker's.
    #[error("RabbitMQ failed: {0}")]
    Broker(#[from] lapin::Error),
    /// The database's.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The broker did not do something within its limit.
    #[error("RabbitMQ did not {what} within {} s", .limit.as_secs_f64())]
    TimedOut {
        /// What was waited for: a verb and its object.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The broker did not accept a message.
    #[error("RabbitMQ did not accept a message: {0}")]
    NotTaken(String),
}

/// Something that needs a connection for as long as the process runs.
pub(super) struct Duty {
    /// For logs, and for people who look at the broker.
    pub(super) name: String,
    pub(super) url: String,
    /// How long a hold lasts: the topology depends on it.
    pub(super) hold_ms: i64,
    pub(super) stopping: watch::Receiver<bool>,
}

/// The work of a duty on one connection. Boxed, so that connecting is compiled once and not for
/// each duty.
pub(super) type Work =
    Box<dyn FnMut(Connection) -> BoxFuture<'static, Result<(), QueueError>> + Send>;

/// Does `work` on a connection; when that ends, pauses and begins anew on another one, until told
/// to stop.
pub(super) async fn keep_connected(
    Duty { name, url, hold_ms, mut stopping }: Duty,
    mut work: Work,
) {
    let mut pause = PAUSE_FIRST;
    loop {
        let once = async {
            let connection = connect(&url, &name, hold_ms).await?;
            pause = PAUSE_FIRST;
            work(connection).await
        };
        tokio::select! {
            ended = once => match ended {
                Ok(()) => tracing::info!(duty = name, "the connection to RabbitMQ was closed; reconnecting"),
                Err(error) => tracing::warn!(%error, duty = name, "interrupted; reconnecting to RabbitMQ"),
            },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Waits for the broker, but not for longer than `limit`.
pub(super) async fn within<T, E>(
    limit: Duration,
    what: &'static str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, QueueError>
where
    QueueError: From<E>,
{
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(QueueError::TimedOut { what, limit }),
    }
}

/// Connects under a name, and declares nothing.
pub(super) async fn open(url: &str, name: &str, limit: Duration) -> Result<Connection, QueueError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    within(limit, "accept the connection", Connection::connect(url, properties)).await
}

/// Connects and declares the topology, so that it is there for the first process that connects to
/// an empty broker.
pub(super) async fn connect(url: &str, name: &str, hold_ms: i64) -> Result<Connection, QueueError> {
    let connection = open(url, name, CONNECT_WITHIN).await?;
    let declaring = async {
        let channel = connection.create_channel().await?;
        topology::declare(&channel, hold_ms).await?;
        channel.close(200, "declared".into()).await
    };
    within(CONNECT_WITHIN, "declare the queues", declaring).await?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_broker_that_accepts_and_then_says_nothing_is_given_up() {
        let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("amqp://{}/%2f", silent.local_addr().expect("it is bound"));
        let limit = Duration::from_millis(50);
        let error = open(&url, "test", limit).await.expect_err("nothing was said");
        assert_eq!(error.to_string(), "RabbitMQ did not accept the connection within 0.05 s");
    }
}
