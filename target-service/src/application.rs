//! The service as a thing that is built, runs, and stops.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use slotproof_vocabulary::StrategyKind;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    bookings::Bookings,
    database, http, metrics,
    pausing::{self, PausePoints},
    queue::{self, Duties, Publisher, Redelivery},
    slots::SeatRows,
    strategies::{self, Means, hybrid::Policy, negative_controls::mutants, redis_lock},
    sweeper,
};

/// How long answers in flight may take after the service was told to stop; keep-alive connections
/// would hold it for ever.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Connections that the kernel accepts for us before we do. A flash sale connects all at once, and
/// a client whose first packet is dropped comes back a second later.
const BACKLOG: u32 = 4_096;

/// Whether committed changes are announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcements {
    /// The outbox is relayed, and events are consumed.
    Made,
    /// They wait in the outbox: for a bench, or for other processes.
    Left,
}

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
    /// `redis://host:port`, for the strategies that lock there.
    pub redis_url: Option<String>,
    /// `amqp://user:password@host:port/vhost`, for the queue and for announcing what was committed.
    pub amqp_url: Option<String>,
    /// Workers that decide what the queue holds; 0 leaves that to other processes.
    pub workers: u32,
    /// Whether committed changes are announced, if there is a broker.
    pub announcements: Announcements,
    /// How long a lock in Redis lives that nobody frees.
    pub lock_ttl: Duration,
    /// When a booking takes which path, for the strategy `hybrid`.
    pub policy: Policy,
    /// Tries before a client is told `retry_later`. On a hot slot an optimistic try fails more
    /// often than not (84 % were seen); with 20 tries the chance to lose them all at that rate is 3
    /// %.
    pub tries: u32,
    /// Where a director may connect, who holds requests at their pause points; port 0 picks a free
    /// one. `None`: nobody may.
    pub director: Option<SocketAddr>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error(
        "failed to listen on {address}: {source}; choose another address, or port 0 for a free one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A director that could be somebody else's.
    #[error(
        "{0} is not on this machine; a director holds requests for as long as it likes, and is let in on loopback only"
    )]
    DirectorNotPrivate(SocketAddr),
    /// The database does not answer.
    #[error("failed to connect to the database: {0}")]
    Connect(sqlx::Error),
    /// The database belongs to somebody else. Nothing was changed.
    #[error(
        "the database is not Slotproof's ({0}); nothing was changed; give it an empty database of its own"
    )]
    NotOurs(String),
    /// The strategy cannot do without a server whose URL was not given.
    #[error("{strategy} needs {needed}; give its URL")]
    Needs {
        /// The strategy.
        strategy: StrategyKind,
        /// `Redis` or `RabbitMQ`.
        needed: &'static str,
    },
    /// The text is not a Redis URL.
    #[error("the Redis URL cannot be used: {0}")]
    BadRedisUrl(redis::RedisError),
    /// A migration failed.
    #[error("failed to bring the schema up to date: {0}")]
    Migrate(sqlx::migrate::MigrateError),
}

/// The service, listening but not yet answering.
pub struct Application {
    listener: TcpListener,
    director: Option<(TcpListener, PausePoints)>,
    pool: PgPool,
    bookings: Bookings,
    needs: http::Needs,
    publisher: Publisher,
    config: Config,
}

impl Application {
    /// Connects, migrates, and binds the port.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let kind = config.strategy;
        if kind.needs_rabbitmq() && config.amqp_url.is_none() {
            return Err(StartError::Needs { strategy: kind, needed: "RabbitMQ" });
        }
        let bind =
            |address| listen(address).map_err(|source| StartError::Listen { address, source });
        if let Some(address) = config.director.filter(|address| !pausing::is_private(*address)) {
            return Err(StartError::DirectorNotPrivate(address));
        }
        let director = config.director.map(bind).transpose()?;
        let director = director.map(|listener| (listener, PausePoints::default()));
        let redis = config.redis_url.as_deref().map(redis_lock::connect).transpose();
        let redis = redis.map_err(StartError::BadRedisUrl)?;
        let setting = (kind == StrategyKind::CommitNotDurable).then_some(mutants::NOT_DURABLE);
        let pausing = director.as_ref().map(|(_, points)| points);
        let pool =
            database::open(&config.database_url, config.connections, setting, pausing).await?;
        let publisher = Publisher::default();
        let means = Means {
            pool: pool.clone(),
            redis: redis.clone(),
            publisher: publisher.clone(),
            lock_ttl: config.lock_ttl,
            policy: config.policy.clone(),
            tries: config.tries,
        };
        let strategy = strategies::build(kind, means)
            .ok_or(StartError::Needs { strategy: kind, needed: "Redis" })?;
        let needs = http::Needs {
            redis: redis.filter(|_| kind.needs_redis()),
            publisher: kind.needs_rabbitmq().then(|| publisher.clone()),
        };
        let listener = bind(config.listen)?;
        let bookings = Bookings::new(kind, strategy, pool.clone());
        Ok(Self { listener, director, pool, bookings, needs, publisher, config })
    }

    /// The address that it listens on, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("the listener is bound")
    }

    /// The address at which it waits for a director, if it is to be directed.
    pub fn director_address(&self) -> Option<SocketAddr> {
        self.director
            .as_ref()
            .map(|(listener, _)| listener.local_addr().expect("the listener is bound"))
    }

    /// Answers until `stop` completes, then lets requests in flight end, for ten seconds at most.
    ///
    /// # Errors
    /// The listener's own.
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let (stopping, stopped) = watch::channel(false);
        // In a directed service nothing happens by itself: its director says when the sweeper
        // comes.
        let mut tasks = JoinSet::new();
        tasks.spawn(metrics::upkeep(stopped.clone()));
        let pausing = self.director.as_ref().map(|(_, points)| points.clone());
        match self.director {
            Some((listener, points)) => tasks.spawn(pausing::obey_directors(
                points,
                listener,
                self.pool.clone(),
                stopped.clone(),
            )),
            None => tasks.spawn(sweeper::run(self.pool.clone(), stopped.clone())),
        };
        let hold_ms = i64::try_from(self.config.hold.as_millis()).unwrap_or(i64::MAX);
        let duties = Duties {
            workers: self.config.workers,
            hold_ms,
            announcements: self.config.announcements,
            redelivery: match self.config.strategy {
                StrategyKind::AnnounceApart => Redelivery::AppliedAgain,
                _ => Redelivery::AppliedOnce,
            },
        };
        if let Some(url) = &self.config.amqp_url {
            queue::start(url, &self.pool, &self.publisher, &duties, &stopped, &mut tasks);
        }
        let seat_rows = match self.config.strategy {
            StrategyKind::SeatRows => SeatRows::Made,
            _ => SeatRows::Left,
        };
        let state = http::State {
            pool: self.pool.clone(),
            bookings: Arc::new(self.bookings),
            needs: self.needs,
            seat_rows,
            hold_ms,
            stopping: stopped.clone(),
            pausing,
        };
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
        while tasks.join_next().await.is_some() {}
        self.pool.close().await;
        Ok(())
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("config", &self.config.strategy).finish_non_exhaustive()
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::postgres::PgPoolOptions;

    /// A service whose database and queue are not there.
    fn application() -> Application {
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database_url: "postgres://127.0.0.1:1/none".to_owned(),
            strategy: StrategyKind::Conditional,
            hold: Duration::from_secs(300),
            connections: 1,
            redis_url: None,
            amqp_url: None,
            workers: 0,
            announcements: Announcements::Left,
            lock_ttl: Duration::from_secs(5),
            policy: Policy::DEFAULT.parse().expect("it is ours"),
            tries: 1,
            director: None,
        };
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(10))
            .connect_lazy(&config.database_url)
            .expect("a URL");
        let means = Means {
            pool: pool.clone(),
            redis: None,
            publisher: Publisher::default(),
            lock_ttl: config.lock_ttl,
            policy: config.policy.clone(),
            tries: config.tries,
        };
        let strategy = strategies::build(config.strategy, means).expect("it needs no Redis");
        Application {
            listener: listen(config.listen).expect("a free port"),
            director: None,
            bookings: Bookings::new(config.strategy, strategy, pool.clone()),
            pool,
            needs: http::Needs { redis: None, publisher: None },
            publisher: Publisher::default(),
            config,
        }
    }

    /// The recorder tells nobody which samples it has folded, but it shows them to a debugger.
    fn folded_samples_of(route: &str) -> bool {
        let recorder = format!("{:?}", metrics::recorder());
        let distributions = recorder.split("distributions: RwLock").nth(1).expect("it has them");
        distributions.split("distribution_builder").next().is_some_and(|text| text.contains(route))
    }

    #[tokio::test]
    async fn a_running_service_that_is_never_scraped_does_not_pile_up_samples() {
        metrics::recorder();
        metrics::request_answered("GET", "/upkeep", 200, Duration::from_millis(1));
        assert!(!folded_samples_of("/upkeep"), "a sample waits to be folded");

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(application().run_until(async move {
            let _ = stopped.await;
        }));
        let folded = tokio::time::timeout(Duration::from_secs(10), async {
            while !folded_samples_of("/upkeep") {
                tokio::task::yield_now().await;
            }
        });
        folded.await.expect("the service runs the upkeep of its recorder");
        drop(stop);
        running.await.expect("no panic").expect("it stops");
    }
}
