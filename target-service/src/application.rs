//! The service as a thing that is built, runs, and stops.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};
use slotproof_vocabulary::Pooling;
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    cache::Cache,
    config::{Config, Pooler},
    connections::Connections,
    database::{self, Schema},
    heartbeat, http, metrics,
    months::{self, Calendar},
    operations::Operations,
    pausing::{self, PausePoints},
    pooled::Pooled,
    pooler_check,
    queue::{self, Duties, Publisher},
    reserve::Strategy,
    sharding::{self, Directory, Shard, Shards},
    standbys::Standbys,
    start_error::StartError,
    strategies::{
        self, Dependencies, lanes::ChangeLanes, pooled::PooledConditional, redis_lock,
        wiring::Wiring,
    },
    sweeper,
};

/// How long a process that shares its port goes on after it was told to stop: each answer closes its
/// connection then, so that clients have gone to the other process before this one closes those that
/// are left. A request that crosses the close of its connection has no answer.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long answers in flight may take after the service was told to stop; without a limit,
/// keep-alive connections would keep it running.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Connections that the kernel accepts for us before we do. A flash sale connects all at once, and
/// a client whose first packet is dropped comes back a second later.
const BACKLOG: u32 = 4_096;

/// The service, listening but not yet answering.
pub struct Application {
    listener: TcpListener,
    director: Option<(TcpListener, PausePoints)>,
    pool: Connections,
    /// Present if there are other shards.
    sharding: Option<Sharding>,
    /// A pooler for reads of slots and writes of reservations, where not all goes through it.
    pooled: Option<Arc<Pooled>>,
    standbys: Standbys,
    cache: Option<Arc<Cache>>,
    /// The months of partitioned tables.
    months: Option<Arc<Calendar>>,
    /// Renews the heartbeat that standbys are judged by; `None` where there are none.
    heart: Option<PgPool>,
    strategy: Arc<dyn Strategy>,
    wiring: Wiring,
    needs: http::Needs,
    publisher: Publisher,
    config: Config,
}

/// What several databases need beside the first one.
struct Sharding {
    directory: Directory,
    others: Vec<(Connections, Arc<dyn Strategy>)>,
}

impl Application {
    /// Connects, migrates, and binds the port.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        let kind = config.strategy;
        let wiring = Wiring::of(kind);
        if wiring.needs_rabbitmq && config.amqp_url.is_none() {
            return Err(StartError::Needs { strategy: kind, needed: "RabbitMQ" });
        }
        let bind = |address, shared| {
            listen(address, shared).map_err(|source| StartError::Listen { address, source })
        };
        let director = config.director.map(|address| bind(address, false)).transpose()?;
        let director = director.map(|listener| (listener, PausePoints::default()));
        let redis = config.redis_url.as_deref().map(redis_lock::connect).transpose();
        let redis = redis.map_err(StartError::BadRedisUrl)?;
        let pausing = director.as_ref().map(|(_, points)| points);
        let partitions = config.months.map(|_| months::CONNECTION_SETTING);
        let settings: Vec<_> = wiring.connection_setting.into_iter().chain(partitions).collect();
        let (schema, urls) = match (&config.shards, &config.months) {
            (Some(set), _) => (Schema::Sharded, set.shards.iter().map(|it| &it.url).collect()),
            (None, Some(_)) => (Schema::Partitioned, vec![&config.database_url]),
            (None, None) => (Schema::Flat, vec![&config.database_url]),
        };
        try_join_all(urls.iter().map(|url| database::prepare(url, schema))).await?;
        let directory = match &config.shards {
            None => None,
            Some(set) => Some(Directory::open(set).await?),
        };
        // What a session is given when it begins, or later by a director, must stay with it.
        let pooler = config.pooler.as_ref().filter(|_| settings.is_empty() && pausing.is_none());
        let (url, pooled) = match pooler {
            None => (&config.database_url, None),
            Some(Pooler { url, pooling: Pooling::Requests }) => {
                pooler_check::keeps_statements_apart(url).await?;
                (url, None)
            }
            Some(Pooler { url, pooling }) => {
                let pooled = Pooled::connect(url, config.connections, *pooling).await?;
                (&config.database_url, Some(Arc::new(pooled)))
            }
        };
        let pool = database::open(url, config.connections, &settings, pausing).await?;
        let months = config.months.map(|months| Arc::new(Calendar::new(pool.pool(), months)));
        if let Some(months) = &months {
            months.keep().await.map_err(StartError::Months)?;
        }
        let standbys = Standbys::connect(&config.standby_reads).await?;
        let heart = standbys.are_there().then(|| heartbeat::connection(&config.database_url));
        let heart = heart.transpose()?;
        let cache = config.cache.as_ref().map(Cache::new).transpose()?.map(Arc::new);
        let publisher = Publisher::default();
        let strategy_on = |pool: &Connections| {
            let dependencies = Dependencies {
                pool: pool.clone(),
                redis: redis.clone(),
                publisher: publisher.clone(),
                lock_ttl: config.lock_ttl,
                policy: config.policy.clone(),
                tries: config.tries,
            };
            let built = strategies::build(kind, dependencies);
            built.ok_or(StartError::Needs { strategy: kind, needed: "Redis" })
        };
        let strategy: Arc<dyn Strategy> = match &pooled {
            Some(pooled) => Arc::new(PooledConditional {
                pooled: Arc::clone(pooled),
                pool: pool.clone(),
                tries: config.tries,
            }),
            None => strategy_on(&pool)?,
        };
        let sharding = match directory {
            None => None,
            Some(directory) => {
                let mut others = Vec::new();
                for url in urls.iter().skip(1) {
                    let pool = database::open(url, config.connections, &settings, None).await?;
                    let strategy = strategy_on(&pool)?;
                    others.push((pool, strategy));
                }
                Some(Sharding { directory, others })
            }
        };
        let needs = http::Needs {
            redis: redis.filter(|_| wiring.needs_redis),
            publisher: wiring.needs_rabbitmq.then(|| publisher.clone()),
        };
        let listener = bind(config.listen, config.shares_port)?;
        Ok(Self {
            listener,
            director,
            pool,
            sharding,
            pooled,
            standbys,
            cache,
            months,
            heart,
            strategy,
            wiring,
            needs,
            publisher,
            config,
        })
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
        let Self {
            listener,
            director,
            pool,
            sharding,
            pooled,
            standbys,
            cache,
            months,
            heart,
            strategy,
            wiring,
            needs,
            publisher,
            config,
        } = self;
        let (leaving, left) = watch::channel(false);
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(metrics::upkeep(stopped.clone()));
        let pausing = director.as_ref().map(|(_, points)| points.clone());
        // In a directed service nothing happens by itself: its director says when the sweeper
        // comes.
        match director {
            Some((listener, points)) => {
                tasks.spawn(pausing::obey_directors(points, listener, pool.pool(), stopped.clone()))
            }
            None => tasks.spawn(sweeper::run(
                pool.pool(),
                sharding.is_some(),
                pooled.clone(),
                cache.clone(),
                stopped.clone(),
            )),
        };
        if let Some(months) = &months {
            tasks.spawn(months::run(Arc::clone(months), stopped.clone()));
        }
        if let Some(heart) = heart {
            tasks.spawn(heartbeat::run(heart, stopped.clone()));
        }
        if let Some(url) = &config.amqp_url {
            let duties = Duties {
                workers: config.workers,
                page: wiring.worker_page.into(),
                hold_ms: config.hold_ms(),
                announcements: config.announcements,
                redelivery: wiring.redelivery,
            };
            queue::start(url, &pool, &publisher, &duties, &stopped, &mut tasks);
        }
        let operations = Operations {
            pool: pool.clone(),
            pooled,
            standbys,
            cache,
            strategy,
            confirm: wiring.confirm,
            cancel: wiring.cancel,
            change_lanes: wiring.changes_gather.then(|| ChangeLanes::open(&pool)),
            slot_reads: wiring.slot_reads,
        };
        let shards = match sharding {
            None => Shards::one(pool.pool(), operations),
            Some(Sharding { directory, others }) => {
                let mut shards = vec![Shard { pool: pool.pool(), operations }];
                for (pool, strategy) in others {
                    tasks.spawn(sweeper::run(pool.pool(), true, None, None, stopped.clone()));
                    shards.push(Shard::new(pool, strategy, Wiring::of(config.strategy)));
                }
                Shards::several(shards, directory)
            }
        };
        let shards = Arc::new(shards);
        tasks.spawn(sharding::run(Arc::clone(&shards), stopped.clone()));
        let state = http::State {
            shards: Arc::clone(&shards),
            months,
            needs,
            seat_rows: wiring.seat_rows,
            hold_ms: config.hold_ms(),
            leaving: left.clone(),
            pausing,
        };
        let farewell = if config.shares_port { FAREWELL } else { Duration::ZERO };
        tokio::spawn(async move {
            stop.await;
            leaving.send_replace(true);
            tokio::time::sleep(farewell).await;
            stopping.send_replace(true);
        });

        let mut drained = stopped.clone();
        let mut deadline = stopped;
        let serving = http::serve(listener, state, async move {
            let _ = drained.wait_for(|stop| *stop).await;
        });
        tokio::select! {
            served = serving => served?,
            () = async {
                let _ = deadline.wait_for(|stop| *stop).await;
                tokio::time::sleep(DRAIN_MAX).await;
            } => tracing::warn!("requests were still in flight {} s after the stop; closing their connections", DRAIN_MAX.as_secs()),
        }
        while tasks.join_next().await.is_some() {}
        join_all(shards.pools().map(PgPool::close)).await;
        Ok(())
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("config", &self.config.strategy).finish_non_exhaustive()
    }
}

fn listen(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use sqlx::postgres::PgPoolOptions;

    /// A service whose database is not there.
    fn application() -> Application {
        let config = config::tests::config();
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(10))
            .connect_lazy(&config.database_url)
            .map(Connections::handed_over)
            .expect("a URL");
        let publisher = Publisher::default();
        let dependencies = Dependencies {
            pool: pool.clone(),
            redis: None,
            publisher: publisher.clone(),
            lock_ttl: config.lock_ttl,
            policy: config.policy.clone(),
            tries: config.tries,
        };
        Application {
            listener: listen(config.listen, false).expect("a free port"),
            director: None,
            strategy: strategies::build(config.strategy, dependencies).expect("it needs no Redis"),
            wiring: Wiring::of(config.strategy),
            standbys: Standbys::new(&config.standby_reads).expect("there are none"),
            cache: None,
            months: None,
            heart: None,
            pooled: None,
            sharding: None,
            pool,
            needs: http::Needs { redis: None, publisher: None },
            publisher,
            config,
        }
    }

    /// The recorder has no method that tells which samples it has folded; its `Debug` shows them.
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
