//! `slotproof serve`: the reference service. The only place that names its crate.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slotproof_target_service::{
    Announcements, Application, CachedReads, Config, Months, Policy, Pooler, ShardSet, ShardUrl,
    StandbyReads,
};
use slotproof_vocabulary::{
    CacheMode, MonthMode, Pooling, ReadMode, ShardMode, ShownBy, Span, StrategyKind, UsageError,
};

use super::{Stop, init_tracing, runtime};
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof serve --strategy conditional --database-url postgres://me@127.0.0.1/booking
      listens on 127.0.0.1:8080 and brings an empty database's schema up to date

  slotproof serve --list
      lists the strategies";

/// Arguments of `slotproof serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How `reserve` is made safe; see --list.
    #[arg(long, env = "SLOTPROOF_STRATEGY", required_unless_present = "list")]
    strategy: Option<StrategyKind>,

    /// The database; empty, or Slotproof's own.
    #[arg(
        long,
        env = "SLOTPROOF_DATABASE_URL",
        hide_env_values = true,
        required_unless_present_any = ["list", "shards"]
    )]
    database_url: Option<String>,

    /// A shard, instead of --database-url: doctors, with their slots and bookings, are divided among
    /// all of them. Give each, the same ones to every process. An empty database becomes a shard of
    /// this name; slotproof rebalance moves doctors to it.
    #[arg(
        long = "shard",
        value_name = "NAME=URL",
        env = "SLOTPROOF_SHARDS",
        hide_env_values = true,
        value_delimiter = ',',
        conflicts_with = "database_url"
    )]
    shards: Vec<ShardUrl>,

    /// How shards are kept: fenced, or a negative control: two_owners, move_without_tail,
    /// default_hasher.
    #[arg(long, value_name = "MODE", env = "SLOTPROOF_SHARD_MODE", default_value = "fenced")]
    shard_mode: ShardMode,

    /// Do not read the map of the shards again unless a shard refuses, for tests of the fence.
    #[arg(long, env = "SLOTPROOF_KEEP_SHARD_MAP", hide = true)]
    keep_shard_map: bool,

    /// A pooler before the database, as PgBouncer. Requests go through it; migrations do not.
    #[arg(long, value_name = "URL", env = "SLOTPROOF_POOLER_URL", hide_env_values = true)]
    pooler_url: Option<String>,

    /// What goes through the pooler: requests, or transactions: reads of slots and writes of
    /// reservations by `conditional`, which is right with a pooler of any version; or a negative
    /// control: pgbouncer_unnamed, pgbouncer_session_lock, pgbouncer_set_leak.
    #[arg(long, env = "SLOTPROOF_POOLING", default_value = "requests")]
    pooling: Pooling,

    /// Partition slots and bookings by month (UTC), and keep partitions of this many months ahead
    /// [default: one table each]
    #[arg(long, value_name = "N", env = "SLOTPROOF_MONTHS_AHEAD")]
    months_ahead: Option<u32>,

    /// How months are kept: utc, or a negative control: partition_local_time, archive_live_month.
    #[arg(long, value_name = "MODE", env = "SLOTPROOF_MONTH_MODE", default_value = "utc")]
    month_mode: MonthMode,

    /// A standby of the database that answers reads of slots; can be given again. Decisions never
    /// read one.
    #[arg(
        long = "read-database-url",
        value_name = "URL",
        env = "SLOTPROOF_READ_DATABASE_URL",
        hide_env_values = true,
        value_delimiter = ','
    )]
    read_database_urls: Vec<String>,

    /// How old a read of a slot may be; 0: as new as the database itself, which then answers.
    #[arg(long, env = "SLOTPROOF_STALENESS_MS", value_name = "MS", default_value_t = 0)]
    staleness_ms: u64,

    /// How reads are spread over standbys: split, or a negative control: replica_read_no_token,
    /// replica_staleness_undeclared, replica_decides, replica_read_ahead.
    #[arg(long, env = "SLOTPROOF_READ_MODE", value_name = "MODE", default_value = "split")]
    read_mode: ReadMode,

    /// A Redis that caches reads of slots and bookings: redis://:password@host:port/
    #[arg(long, value_name = "URL", env = "SLOTPROOF_CACHE_URL", hide_env_values = true)]
    cache_url: Option<String>,

    /// How old a read of a booking may be, where there is a cache.
    #[arg(long, env = "SLOTPROOF_BOOKING_STALENESS_MS", value_name = "MS", default_value_t = 0)]
    booking_staleness_ms: u64,

    /// How the cache is used: aside, through, behind, or a negative control: cache_aside_race,
    /// cache_outlives_hold, cache_decides, negative_cache, cache_through_reorder,
    /// cache_behind_bookings.
    #[arg(long, env = "SLOTPROOF_CACHE_MODE", value_name = "MODE", default_value = "aside")]
    cache_mode: CacheMode,

    /// How much later entries of even versions are written to the cache, for tests of the race.
    #[arg(long, env = "SLOTPROOF_CACHE_DELAY", value_name = "TIME", default_value = "0ms")]
    cache_delay: Span,

    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "SLOTPROOF_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Let another process listen at the same address: one that replaces this one begins before this
    /// one ends. Connections that this one has not accepted when it ends are reset.
    #[arg(long)]
    share_port: bool,

    /// How long a hold lasts.
    #[arg(long, env = "SLOTPROOF_HOLD", default_value = "5m")]
    hold: Span,

    /// Connections to the database.
    #[arg(long, env = "SLOTPROOF_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,

    /// Redis, for the strategies that lock there: redis://:password@host:port/
    #[arg(long, env = "SLOTPROOF_REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,

    /// RabbitMQ, for the queue and for announcing what was committed:
    /// amqp://user:password@host:port/vhost
    #[arg(long, env = "SLOTPROOF_AMQP_URL", hide_env_values = true)]
    amqp_url: Option<String>,

    /// Workers that decide what the queue holds; 0 leaves that to other processes.
    #[arg(long, env = "SLOTPROOF_WORKERS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64))]
    workers: u32,

    /// Leave committed changes in the outbox, to be announced by other processes or not at all.
    #[arg(long)]
    no_announcements: bool,

    /// Lifetime of a lock in Redis unless its owner frees it.
    #[arg(long, env = "SLOTPROOF_LOCK_TTL", default_value = "5s")]
    lock_ttl: Span,

    /// When a booking takes which path, for the strategy hybrid: a TOML file [default: the one
    /// built in]
    #[arg(long, env = "SLOTPROOF_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Tries before a client is told retry_later.
    #[arg(long, env = "SLOTPROOF_TRIES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tries: u32,

    /// Let a director in at this loopback address, who holds requests at their pause points; see
    /// `slotproof replay`.
    #[arg(long, value_name = "ADDRESS")]
    director: Option<SocketAddr>,

    /// List the strategies and the negative controls.
    #[arg(long)]
    list: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    if args.list {
        list();
        return Ok(exit_code::UPHELD);
    }
    let first = args.shards.first().map(|shard| shard.url.clone());
    let (Some(strategy), Some(database_url)) = (args.strategy, first.or(args.database_url)) else {
        return Err(UsageError("serve needs --strategy and --database-url".to_owned()).into());
    };
    if strategy.is_negative_control() {
        note!(
            "warning: {strategy} is a negative control: it is broken on purpose and will overbook"
        );
    }
    if args.read_mode.is_negative_control() {
        note!("warning: the read mode {} is a negative control", args.read_mode);
    }
    if args.cache_mode.is_negative_control() {
        note!("warning: the cache mode {} is a negative control", args.cache_mode);
    }
    if args.pooling.is_negative_control() {
        note!("warning: the pooling {} is a negative control", args.pooling);
    }
    if args.month_mode.is_negative_control() {
        note!("warning: the month mode {} is a negative control", args.month_mode);
    }
    if args.shard_mode.is_negative_control() {
        note!("warning: the shard mode {} is a negative control", args.shard_mode);
    }
    if args.months_ahead.is_some() && args.pooler_url.is_some() {
        return Err(UsageError(
            "--months-ahead and --pooler-url exclude each other: partitions need a setting of each \
             connection, which a pooler refuses"
                .to_owned(),
        )
        .into());
    }
    if args.pooling != Pooling::Requests && strategy != StrategyKind::Conditional {
        let pooling = args.pooling;
        return Err(UsageError(format!("--pooling {pooling} needs --strategy conditional")).into());
    }
    let policy = match &args.policy {
        Some(path) => Policy::load(path).map_err(|error| UsageError(error.to_string()))?,
        None => Policy::default(),
    };
    let config = Config {
        listen: args.listen,
        shares_port: args.share_port,
        database_url,
        shards: (!args.shards.is_empty()).then_some(ShardSet {
            shards: args.shards,
            mode: args.shard_mode,
            keeps_its_map: args.keep_shard_map,
        }),
        pooler: args.pooler_url.map(|url| Pooler { url, pooling: args.pooling }),
        months: args.months_ahead.map(|ahead| Months { ahead, mode: args.month_mode }),
        standby_reads: StandbyReads {
            database_urls: args.read_database_urls,
            staleness_ms: args.staleness_ms,
            mode: args.read_mode,
        },
        cache: args.cache_url.map(|url| CachedReads {
            url,
            mode: args.cache_mode,
            slots_staleness_ms: args.staleness_ms,
            bookings_staleness_ms: args.booking_staleness_ms,
            delay: args.cache_delay.0,
        }),
        strategy,
        hold: args.hold.0,
        connections: args.connections,
        redis_url: args.redis_url,
        amqp_url: args.amqp_url,
        workers: args.workers,
        announcements: if args.no_announcements {
            Announcements::Left
        } else {
            Announcements::Made
        },
        lock_ttl: args.lock_ttl.0,
        policy,
        tries: args.tries,
        director: args.director,
    };
    config.validate().map_err(|error| UsageError(format!("--{}: {error}", error.setting())))?;
    allow_open_files();
    runtime()?.block_on(async {
        let mut stop = Stop::listen()?;
        let application = Application::build(config).await?;
        let director = application.director_address();
        out!("{}", serde_json::json!({"listening": application.address(), "director": director}));
        application.run_until(async move { stop.told().await }).await?;
        Ok(exit_code::UPHELD)
    })
}

/// Each client holds a socket: as many as the machine allows. What is then not enough shows as
/// refused connections.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn list() {
    out!("strategies:");
    for kind in StrategyKind::SAFE {
        out!("  {:<20} {}", kind.name(), kind.mechanism());
    }
    out!("\nnegative controls, broken on purpose:");
    for kind in StrategyKind::NEGATIVE_CONTROLS {
        let needs = match kind.shown_by() {
            Some(ShownBy::Pause) => " (shows under a pause longer than the lock lives)",
            Some(ShownBy::Crash) => " (shows when the database is killed)",
            Some(ShownBy::Load) | None => "",
        };
        out!("  {:<20} {}{needs}", kind.name(), kind.mechanism());
    }
}
