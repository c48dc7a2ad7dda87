//! Why the service does not start.

use std::net::SocketAddr;

use slotproof_vocabulary::StrategyKind;

use crate::{config::ConfigError, sharding::ShardError};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value of the configuration is outside its limits.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// The database does not answer.
    #[error("failed to connect to the database: {0}")]
    Connect(sqlx::Error),
    /// A pooler answers one client with what another one has asked.
    #[error(
        "the pooler mixes up the prepared statements of its clients ({0}); use PgBouncer 1.21 or \
         later with max_prepared_statements above 0, or pool_mode = session"
    )]
    MixesAnswers(String),
    /// The database belongs to another program, or to another version of this one. Nothing was changed.
    #[error(
        "the database belongs to another program, or to another version of this one ({0}); nothing \
         was changed; use an empty database"
    )]
    NotOurs(String),
    /// The tables are partitioned, and the service was not told to keep the months.
    #[error(
        "the database is partitioned by month, and --months-ahead is not given: give it, or use an \
         empty database"
    )]
    Partitioned,
    /// The database is one of several, and the service was not given the others.
    #[error(
        "the database is a shard, and --shard is not given: give every shard, or use an empty database"
    )]
    Sharded,
    /// The database's tables were distributed by Citus.
    #[error(
        "the database's tables are distributed by Citus, and this process would keep them in another way, or \
         the server does not preload Citus any more: use an empty database, or the server as it was"
    )]
    Distributed,
    /// The shards do not fit together.
    #[error(transparent)]
    Shards(#[from] ShardError),
    /// The partitions of this month and the next ones could not be made.
    #[error("failed to make the partitions of the months ahead: {0}")]
    Months(sqlx::Error),
    /// The strategy needs a server whose URL was not given.
    #[error("the strategy {strategy} needs {needed}: give its URL")]
    Needs {
        /// The strategy.
        strategy: StrategyKind,
        /// `Redis` or `RabbitMQ`.
        needed: &'static str,
    },
    /// The text is not the URL of a standby.
    #[error(
        "failed to parse the URL of a standby: {0}; write postgres://user:password@host:port/name"
    )]
    BadReadUrl(sqlx::Error),
    /// The text is not a Redis URL.
    #[error("failed to parse the Redis URL: {0}; write redis://:password@host:port/")]
    BadRedisUrl(redis::RedisError),
    /// A migration failed.
    #[error("failed to bring the schema up to date: {0}")]
    Migrate(sqlx::migrate::MigrateError),
}
