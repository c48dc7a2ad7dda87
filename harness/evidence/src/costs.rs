//! What a load costs the database beside time: conflicts, flushes of the log, waits for locks, and
//! how far standbys fall behind.

use std::{collections::BTreeMap, time::Duration};

use async_recursion::async_recursion as boxed_future;
use slotproof_reports::run_report::{CacheReads, Costs, PoolerWaits, SlotReads, StandbyLag};
use slotproof_scenarios::target::reference;
use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::{sync::watch, task::JoinHandle};

/// How often waits and lags are looked at: often enough for an average over seconds, and a thousandth
/// of what the database does.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The database in which PgBouncer tells of itself.
const CONSOLE: &str = "pgbouncer";

/// What the database has counted since it began.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    commits: i64,
    rollbacks: i64,
    wal_syncs: i64,
    wal_bytes: i64,
    bytes: i64,
}

impl Counters {
    fn add(&mut self, more: Self) {
        let Self { commits, rollbacks, wal_syncs, wal_bytes, bytes } = more;
        self.commits += commits;
        self.rollbacks += rollbacks;
        self.wal_syncs += wal_syncs;
        self.wal_bytes += wal_bytes;
        self.bytes += bytes;
    }

    async fn read(database: &mut PgConnection) -> sqlx::Result<Self> {
        let row = sqlx::query(
            "
            select xact_commit as commits, xact_rollback as rollbacks, (select wal_sync from pg_stat_wal) as wal_syncs,
                (select wal_bytes::bigint from pg_stat_wal) as wal_bytes,
                pg_database_size(current_database()) as bytes
            from pg_stat_database where datname = current_database()
            ",
        )
        .fetch_one(database)
        .await?;
        Ok(Self {
            commits: row.try_get("commits")?,
            rollbacks: row.try_get("rollbacks")?,
            wal_syncs: row.try_get("wal_syncs")?,
            wal_bytes: row.try_get("wal_bytes")?,
            bytes: row.try_get("bytes")?,
        })
    }
}

/// Counts from before the service starts until after it has stopped: what a backend has counted is
/// surely told when it ends.
///
/// A database that refuses the queries, or that was restarted meanwhile, has no costs:
/// they are a measurement, and no part of a verdict.
#[derive(Debug)]
pub struct CostWatch {
    postgres_urls: Vec<String>,
    before: Option<Counters>,
    pooler_url: Option<String>,
    pooled_before: Option<PoolerWaits>,
    pooled: Option<PoolerWaits>,
    stop: Option<watch::Sender<()>>,
    looking: Vec<JoinHandle<sqlx::Result<Looks>>>,
    looks: Looks,
    retries: u64,
    slot_reads: Option<SlotReads>,
    cache_reads: Option<CacheReads>,
}

impl CostWatch {
    /// Begins to count, in all databases together.
    #[boxed_future]
    pub async fn begin(postgres_urls: &[&str], pooler_url: Option<&str>) -> Self {
        let postgres_urls: Vec<String> =
            postgres_urls.iter().map(|url| (*url).to_owned()).collect();
        Self {
            before: counters(&postgres_urls).await,
            postgres_urls,
            pooler_url: pooler_url.map(str::to_owned),
            pooled_before: None,
            pooled: None,
            stop: None,
            looking: Vec::new(),
            looks: Looks::default(),
            retries: 0,
            slot_reads: None,
            cache_reads: None,
        }
    }

    /// The load begins. What the service has asked a pooler at its start is not counted.
    #[boxed_future]
    pub async fn load_begins(&mut self) {
        self.pooled_before = pooler_waits(self.pooler_url.as_deref()).await;
        let (stop, stopped) = watch::channel(());
        self.stop = Some(stop);
        let look = |url: &String| tokio::spawn(look(url.clone(), stopped.clone()));
        self.looking = self.postgres_urls.iter().map(look).collect();
    }

    /// The load has ended, and the processes of the service, which these base URLs name, still run.
    /// A process that a fault has killed took its counter with it.
    #[boxed_future]
    pub async fn load_ended(&mut self, targets: &[String]) {
        drop(self.stop.take());
        let pooled = self.pooled_before.zip(pooler_waits(self.pooler_url.as_deref()).await);
        self.pooled = pooled.and_then(|(before, after)| {
            Some(PoolerWaits {
                transactions: after.transactions.checked_sub(before.transactions)?,
                waited_us: after.waited_us.checked_sub(before.waited_us)?,
            })
        });
        for looking in std::mem::take(&mut self.looking) {
            self.looks.join(looking.await.ok().and_then(Result::ok).unwrap_or_default());
        }
        let http = reqwest::Client::new();
        for target in targets {
            if let Ok(retries) = reference::reserve_retries(&http, target).await {
                self.retries += retries;
            }
            let Ok(metrics) = reference::metrics(&http, target).await else { continue };
            if let Some(reads) = slot_reads(&metrics) {
                let all = self.slot_reads.get_or_insert(SlotReads { standby: 0, primary: 0 });
                all.standby += reads.standby;
                all.primary += reads.primary;
            }
            if let Some(reads) = cache_reads(&metrics) {
                let all = self.cache_reads.unwrap_or_default();
                self.cache_reads = Some(added(all, reads));
            }
        }
    }

    /// The service has stopped.
    #[boxed_future]
    pub async fn end(self) -> Option<Costs> {
        let (before, after) = (self.before?, counters(&self.postgres_urls).await?);
        let since = |after: i64, before: i64| u64::try_from(after - before).ok();
        Some(Costs {
            retries: self.retries,
            slot_reads: self.slot_reads,
            pooler: self.pooled,
            cache_reads: self.cache_reads,
            commits: since(after.commits, before.commits)?,
            rollbacks: since(after.rollbacks, before.rollbacks)?,
            wal_syncs: since(after.wal_syncs, before.wal_syncs)?,
            lock_waiters: self.looks.lock_waiters(),
            standbys: self.looks.lags(),
            wal_bytes: since(after.wal_bytes, before.wal_bytes),
            database_bytes: since(after.bytes, before.bytes),
        })
    }
}

/// Reads of slots by who answered them, of a process that has standbys to ask.
fn slot_reads(metrics: &str) -> Option<SlotReads> {
    let reads = |source: &str| {
        let series = format!("slot_reads_total{{source=\"{source}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok())
    };
    let (standby, primary) = (reads("standby"), reads("primary"));
    let asked = standby.is_some() || metrics.contains("slot_read_fallbacks_total");
    let count = |reads: Option<u64>| reads.unwrap_or_default();
    asked.then(|| SlotReads { standby: count(standby), primary: count(primary) })
}

/// What the cache of a process answered, if it has one.
fn cache_reads(metrics: &str) -> Option<CacheReads> {
    let sum = |counter: &str, label: &str| {
        let of_it = |line: &&str| line.starts_with(counter) && line.contains(label);
        let lines = metrics.lines().filter(of_it);
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    };
    let reads = |result: &str| sum("cache_reads_total{", &format!("result=\"{result}\""));
    let hits = reads("hit");
    metrics.contains("cache_reads_total{").then(|| CacheReads {
        hits,
        absent: reads("absent") + reads("unreadable"),
        behind: reads("behind"),
        stale: reads("stale"),
        unavailable: reads("unavailable"),
        fills_refused: sum("cache_fills_total{", "result=\"refused\""),
        age_ms_mean: sum("cache_hit_age_ms_total", "").checked_div(hits).unwrap_or_default(),
        age_ms_max: sum("cache_hit_age_ms_max", ""),
    })
}

fn added(all: CacheReads, more: CacheReads) -> CacheReads {
    let ages = all.age_ms_mean * all.hits + more.age_ms_mean * more.hits;
    CacheReads {
        hits: all.hits + more.hits,
        absent: all.absent + more.absent,
        behind: all.behind + more.behind,
        stale: all.stale + more.stale,
        unavailable: all.unavailable + more.unavailable,
        fills_refused: all.fills_refused + more.fills_refused,
        age_ms_mean: ages.checked_div(all.hits + more.hits).unwrap_or_default(),
        age_ms_max: all.age_ms_max.max(more.age_ms_max),
    }
}

/// Those of all databases together; `None` if one of them refuses.
async fn counters(postgres_urls: &[String]) -> Option<Counters> {
    let mut all = Counters::default();
    for url in postgres_urls {
        let mut database = PgConnection::connect(url).await.ok()?;
        let counters = Counters::read(&mut database).await.ok();
        let _ = database.close().await;
        all.add(counters?);
    }
    Some(all)
}

/// What a pooler has counted since it began, in all databases behind it; its own one, in which it is
/// asked, is not counted. It is a console that takes simple queries only.
async fn pooler_waits(url: Option<&str>) -> Option<PoolerWaits> {
    let options = url?.parse::<PgConnectOptions>().ok()?.database(CONSOLE);
    let mut console = PgConnection::connect_with(&options).await.ok()?;
    let rows = console.fetch_all(sqlx::raw_sql("show stats")).await.ok()?;
    let _ = console.close().await;
    let mut waits = PoolerWaits { transactions: 0, waited_us: 0 };
    for row in rows.iter().filter(|row| row.try_get("database").ok() != Some(CONSOLE)) {
        // Its numbers are of type `numeric`, and come as text.
        let count = |column| u64::try_from(row.try_get_unchecked::<i64, _>(column).ok()?).ok();
        waits.transactions += count("total_xact_count")?;
        waits.waited_us += count("total_wait_time")?;
    }
    Some(waits)
}

/// What many looks at the database under load have seen.
#[derive(Debug, Default)]
struct Looks {
    made: u64,
    /// Connections that waited for a lock, added up.
    waiting: i64,
    standbys: BTreeMap<String, Behind>,
}

/// Bytes of log that a standby had not replayed.
#[derive(Debug, Default)]
struct Behind {
    looks: u64,
    sum: i64,
    most: i64,
}

impl Looks {
    /// One statement, so that a database without standbys is asked no more than before.
    async fn add(&mut self, database: &mut PgConnection) -> sqlx::Result<()> {
        let rows = sqlx::query(
            "
            select waiting, application_name as standby,
                pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as behind
            from (
                select count(*) as waiting from pg_stat_activity
                where wait_event_type = 'Lock' and datname = current_database()
            ) locks left join pg_stat_replication on replay_lsn is not null
            ",
        )
        .fetch_all(database)
        .await?;
        for (number, row) in rows.iter().enumerate() {
            if number == 0 {
                self.made += 1;
                self.waiting += row.try_get::<i64, _>("waiting")?;
            }
            let Some(standby) = row.try_get::<Option<String>, _>("standby")? else { continue };
            // The two positions are read one after the other, and the standby's may be the later.
            let bytes = row.try_get::<i64, _>("behind")?.max(0);
            let behind = self.standbys.entry(standby).or_default();
            behind.looks += 1;
            behind.sum += bytes;
            behind.most = behind.most.max(bytes);
        }
        Ok(())
    }

    /// Adds what was seen of another database at the same time.
    fn join(&mut self, more: Self) {
        self.made = self.made.max(more.made);
        self.waiting += more.waiting;
        self.standbys.extend(more.standbys);
    }

    fn lock_waiters(&self) -> Option<f64> {
        (self.made > 0).then(|| self.waiting as f64 / self.made as f64)
    }

    fn lags(&self) -> Vec<StandbyLag> {
        let lag = |(name, behind): (&String, &Behind)| StandbyLag {
            name: name.clone(),
            looks: behind.looks,
            bytes_mean: behind.sum as f64 / behind.looks as f64,
            bytes_max: behind.most.unsigned_abs(),
        };
        self.standbys.iter().map(lag).collect()
    }
}

/// Looks again and again, until it is stopped.
async fn look(postgres_url: String, mut stopped: watch::Receiver<()>) -> sqlx::Result<Looks> {
    let mut database = PgConnection::connect(&postgres_url).await?;
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = Looks::default();
    loop {
        tokio::select! {
            // It is told to stop by the end of who could tell it.
            _ = stopped.changed() => break,
            _ = every.tick() => looks.add(&mut database).await?,
        }
    }
    database.close().await?;
    Ok(looks)
}
