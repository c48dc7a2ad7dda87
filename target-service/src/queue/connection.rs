//! One connection for each duty, made again whenever it is lost.

use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::sync::watch;

use super::topology;

/// Connecting can hang for ever when the broker refuses at the wrong moment (amqp-rs/lapin#470).
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// A broker that comes back is found this much later at worst.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a duty was interrupted.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The broker's.
    #[error("RabbitMQ: {0}")]
    Broker(#[from] lapin::Error),
    /// The database's.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// No connection within ten seconds.
    #[error("RabbitMQ did not accept the connection in time")]
    ConnectTimedOut,
    /// The broker did not take a message.
    #[error("RabbitMQ did not take a message: {0}")]
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

/// Does `work` on a connection; when that ends, pauses and begins anew on another one, until told
/// to stop.
pub(super) async fn keep_connected<W: Future<Output = Result<(), QueueError>>>(
    Duty { name, url, hold_ms, mut stopping }: Duty,
    mut work: impl FnMut(Connection) -> W,
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
                Ok(()) => tracing::info!(duty = name, "the connection to RabbitMQ was closed; will connect again"),
                Err(error) => tracing::warn!(%error, duty = name, "will begin anew"),
            },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Connects and declares the topology, so that whoever comes first after a broker was emptied finds
/// it.
pub(super) async fn connect(url: &str, name: &str, hold_ms: i64) -> Result<Connection, QueueError> {
    let connecting = async {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect(url, properties).await?;
        let channel = connection.create_channel().await?;
        topology::declare(&channel, hold_ms).await?;
        channel.close(200, "declared".into()).await?;
        Ok(connection)
    };
    tokio::time::timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_| QueueError::ConnectTimedOut)?
}
