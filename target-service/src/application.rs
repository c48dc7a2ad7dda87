//! The service as a thing that is built, runs, and stops.

use std::{net::SocketAddr, time::Duration};

use slotproof_vocabulary::StrategyKind;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::watch};

use crate::{booking::Bookings, database, http, sweeper};

/// How long answers in flight may take after the service was told to stop; keep-alive connections would hold it for ever.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Connections that the kernel accepts for us before we do. A flash sale connects all at once, and a client whose first
/// packet is dropped comes back a second later.
const BACKLOG: u32 = 4_096;

/// What the service needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// `postgres://user:password@host:port/database`.
    pub database_url: String,
    /// The strategy by which `reserve` is made safe, or a negative control.
    pub strategy: StrategyKind,
    /// How long a hold lasts.
    pub hold: Duration,
    /// Connections to the database.
    pub connections: u32,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("failed to listen on {address}: {source}; choose another address, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The database does not answer.
    #[error("failed to connect to the database: {0}")]
    Connect(sqlx::Error),
    /// The database belongs to somebody else. Nothing was changed.
    #[error(
        "the database is not Slotproof's ({0}); nothing was changed; give it an empty database of its own"
    )]
    NotOurs(String),
    /// A migration failed.
    #[error("failed to bring the schema up to date: {0}")]
    Migrate(sqlx::migrate::MigrateError),
}

/// The service, listening but not yet answering.
#[derive(Debug)]
pub struct Application {
    listener: TcpListener,
    pool: PgPool,
    config: Config,
}

impl Application {
    /// Connects, migrates, and binds the port.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let pool = database::open(&config.database_url, config.connections).await?;
        let listener =
            listen(config.listen).map_err(|source| StartError::Listen { address: config.listen, source })?;
        Ok(Self { listener, pool, config })
    }

    /// The address that it listens on, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("the listener is bound")
    }

    /// Answers until `stop` completes, then lets requests in flight end, for ten seconds at most.
    ///
    /// # Errors
    /// The listener's own.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let sweeper = tokio::spawn(sweeper::run(self.pool.clone(), stopped.clone()));
        let state = http::State::new(
            self.pool.clone(),
            Bookings::new(self.config.strategy, self.pool.clone()),
            self.config.hold,
            stopped.clone(),
        );
        tokio::spawn(async move {
            stop.await;
            stopping.send_replace(true);
        });

        let mut drained = stopped.clone();
        let mut deadline = stopped;
        let serving = http::serve(self.listener, state, async move {
            let _ = drained.wait_for(|stop| *stop).await;
        });
        tokio::select! {
            served = serving => served?,
            () = async {
                let _ = deadline.wait_for(|stop| *stop).await;
                tokio::time::sleep(DRAIN_MAX).await;
            } => tracing::warn!("answers were still in flight {} s after the stop", DRAIN_MAX.as_secs()),
        }
        let _ = sweeper.await;
        self.pool.close().await;
        Ok(())
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket =
        if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
