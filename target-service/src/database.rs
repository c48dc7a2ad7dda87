//! Brings the database's schema up to date and connects to it. A database of another program is
//! refused before anything in it is changed.

use std::time::Duration;

use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    connections::Connections,
    occupancy,
    pausing::{self, PausePoints},
    start_error::StartError,
};

/// How long a request waits for a connection before the service answers `unavailable`. Clients have
/// given up by then, so that a longer wait would only keep answers that are not read.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

const OUR_TABLES: [&str; 6] =
    ["doctors", "appointment_slots", "bookings", "booking_audit", "idempotency_keys", "outbox"];

/// The first version of `migrations/partitioned`.
const PARTITIONED_FIRST: i64 = 1_001;
/// The first version of `migrations/sharded`.
const SHARDED_FIRST: i64 = 2_001;
/// The first version of `migrations/distributed`.
const DISTRIBUTED_FIRST: i64 = 3_001;

/// What the tables of slots and bookings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Flat,
    /// Partitioned by month.
    Partitioned,
    /// One of several shards.
    Sharded,
    /// Divided by Citus among its nodes.
    Distributed,
}

impl Schema {
    fn migrations(self) -> Migrator {
        let flat = sqlx::migrate!();
        let more = match self {
            Self::Flat => return flat,
            Self::Partitioned => sqlx::migrate!("migrations/partitioned"),
            Self::Sharded => sqlx::migrate!("migrations/sharded"),
            Self::Distributed => sqlx::migrate!("migrations/distributed"),
        };
        Migrator::with_migrations(flat.iter().chain(more.iter()).cloned().collect())
    }
}

/// Migrations hold a lock of their session: a pooler must not stand in between.
pub(crate) async fn prepare(url: &str, schema: Schema) -> Result<(), StartError> {
    let mut connection = PgConnection::connect(url).await.map_err(StartError::Connect)?;
    refuse_foreign(&mut connection).await?;
    let schema = match schema {
        Schema::Flat if has_citus(&mut connection).await.map_err(StartError::Connect)? => {
            Schema::Distributed
        }
        asked => asked,
    };
    if schema == Schema::Partitioned {
        occupancy::make_way(&mut connection).await.map_err(StartError::Connect)?;
    }
    schema.migrations().run(&mut connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(DISTRIBUTED_FIRST..) => StartError::Distributed,
        MigrateError::VersionMissing(SHARDED_FIRST..) => StartError::Sharded,
        MigrateError::VersionMissing(PARTITIONED_FIRST..) => StartError::Partitioned,
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
            StartError::NotOurs(error.to_string())
        }
        error => StartError::Migrate(error),
    })?;
    occupancy::prepare(&mut connection).await.map_err(StartError::Connect)?;
    connection.close().await.map_err(StartError::Connect)
}

/// Whether the server preloads Citus, which then has settings. Which libraries it preloads is not
/// everybody's to see.
async fn has_citus(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let setting = "select current_setting('citus.shard_count', true) is not null";
    sqlx::query_scalar(setting).fetch_one(connection).await
}

/// `settings`: those of every connection, and their values. `pausing`: present if the service is
/// directed.
pub(crate) async fn open(
    url: &str,
    connections: u32,
    settings: &[(&str, &str)],
    pausing: Option<&PausePoints>,
) -> Result<Connections, StartError> {
    let options: PgConnectOptions = url.parse().map_err(StartError::Connect)?;
    let mut pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The ping before each use costs a round trip; a dead connection shows itself by an error,
        // which is `unknown` anyway.
        .test_before_acquire(false);
    if pausing.is_some() {
        // A connection has the name of the call that uses it, and a neutral one once it is idle.
        pool = pool
            .after_connect(|connection, _| Box::pin(pausing::name(connection)))
            .before_acquire(|connection, _| Box::pin(pausing::name_and_keep(connection)))
            .after_release(|connection, _| Box::pin(pausing::name_and_keep(connection)));
    }
    // Even without a setting this sends the startup parameter, which a pooler refuses.
    let options = match settings {
        [] => options,
        settings => options.options(settings.iter().copied()),
    };
    let pool = pool.connect_with(options).await.map_err(StartError::Connect)?;
    Ok(match pausing {
        None => Connections::handed_over(pool),
        Some(_) => Connections::through_the_pool(pool),
    })
}

/// Tables of our names without our migrations belong to another program.
async fn refuse_foreign(connection: &mut PgConnection) -> Result<(), StartError> {
    // A runtime query, because it asks the catalogue and not our schema.
    let found: Vec<String> = sqlx::query_scalar(
        "
        select relname::text from pg_class
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p', 'v', 'm') and relname = any($1)
            and to_regclass(format('%I._sqlx_migrations', current_schema())) is null
        order by relname
        ",
    )
    .bind(OUR_TABLES.map(str::to_owned).to_vec())
    .fetch_all(connection)
    .await
    .map_err(StartError::Connect)?;
    if found.is_empty() {
        Ok(())
    } else {
        Err(StartError::NotOurs(format!("it has tables called {}", found.join(", "))))
    }
}
