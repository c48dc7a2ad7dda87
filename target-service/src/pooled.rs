//! What goes through a pooler that gives a connection of the database away after each transaction.
//!
//! Such a pooler keeps nothing of a session: the next statement of a client may run on another
//! connection, and the connection goes to another client with all that was set or locked on it. One
//! that is older than PgBouncer 1.21 also mixes up prepared statements. Right with all of them is
//! what this page does: each read of a slot is a transaction, its statements have no name, its
//! setting is `local`, and sweepers take turns by a lock of the transaction. The writes of
//! reservations are in `strategies/pooled.rs`; everything else goes to the database itself.

use slotproof_vocabulary::{Pooling, SlotId, reference_api::SlotBody};
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Row, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::OffsetDateTime;

use crate::{
    database::ACQUIRE_TIMEOUT,
    read_model,
    routing::{doctor_key, month_key},
    start_error::StartError,
    unnamed::Unnamed,
};

/// The advisory lock by which sweepers take turns. `advisory`, which locks too, does not run here.
const SWEEPERS: i64 = 1;

/// The connections to the pooler, and what is asked through them.
pub(crate) struct Pooled {
    pool: PgPool,
    pooling: Pooling,
}

/// A turn of a sweeper. It ends with [`Turn::end`].
pub(crate) enum Turn {
    Transaction(Transaction<'static, Postgres>),
    Session(PoolConnection<Postgres>),
}

impl Pooled {
    /// # Errors
    /// The URL is none, or the pooler does not answer.
    pub(crate) async fn connect(
        url: &str,
        connections: u32,
        pooling: Pooling,
    ) -> Result<Self, StartError> {
        let options: PgConnectOptions = url.parse().map_err(StartError::Connect)?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(StartError::Connect)?;
        Ok(Self { pool, pooling })
    }

    /// A transaction through the pooler: all of it is on one connection of the database.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.pool.begin().await
    }

    /// The slot in one snapshot.
    pub(crate) async fn read(&self, slot: SlotId) -> Result<Option<SlotBody>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        match self.pooling {
            Pooling::Requests | Pooling::Transactions | Pooling::PgbouncerSessionLock => {
                let mut transaction = connection.begin().await?;
                set_up(&mut transaction, "set local synchronous_commit = off").await?;
                let read = look(&mut transaction, slot).await?;
                transaction.commit().await?;
                Ok(read)
            }
            // A negative control: the statement is parsed on one connection of the database and
            // runs on another one, on which it is somebody else's. Clients that send Parse and Bind
            // apart do this with "prepared statements off" (oven-sh/bun#27952; issue 67 of SQLx).
            Pooling::PgbouncerUnnamed => look(&mut connection, slot).await,
            // A negative control: what is set for a session stays on the connection of the database,
            // and a reservation of another client commits on it. Whatever sets up its connections
            // does this (dagster-io/dagster#33416); PgBouncer's documentation rules SET out in this
            // mode.
            Pooling::PgbouncerSetLeak => {
                set_up(&mut connection, "set synchronous_commit = off").await?;
                let mut transaction = connection.begin().await?;
                let read = look(&mut transaction, slot).await?;
                transaction.commit().await?;
                Ok(read)
            }
        }
    }

    /// A turn to sweep; `None` while another sweeper is at work. It is not waited for: who waits keeps
    /// a connection of the few that all share.
    pub(crate) async fn turn(&self) -> Result<Option<Turn>, sqlx::Error> {
        match self.pooling {
            Pooling::Requests
            | Pooling::Transactions
            | Pooling::PgbouncerUnnamed
            | Pooling::PgbouncerSetLeak => {
                let mut transaction = self.pool.begin().await?;
                let lock = format!("select pg_try_advisory_xact_lock({SWEEPERS})");
                let lock = sqlx::raw_sql(sqlx::AssertSqlSafe(lock));
                let ours: bool = transaction.fetch_one(lock).await?.try_get(0)?;
                if !ours {
                    transaction.rollback().await?;
                    return Ok(None);
                }
                Ok(Some(Turn::Transaction(transaction)))
            }
            // A negative control: a lock that a session holds, and the unlock runs in another
            // session. It stays held, and who waits for it waits for ever: migrations of Rails
            // behind PgBouncer (rails/rails#32622).
            Pooling::PgbouncerSessionLock => {
                let mut connection = self.pool.acquire().await?;
                let lock = format!("select pg_advisory_lock({SWEEPERS})");
                connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await?;
                Ok(Some(Turn::Session(connection)))
            }
        }
    }
}

impl Turn {
    pub(crate) async fn end(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Transaction(transaction) => transaction.commit().await,
            Self::Session(mut connection) => {
                let unlock = format!("select pg_advisory_unlock({SWEEPERS})");
                connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(unlock))).await?;
                Ok(())
            }
        }
    }
}

/// A read waits for no disk.
async fn set_up(connection: &mut PgConnection, setting: &'static str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(setting)).await.map(drop)
}

/// The slot; and of one that is sold out, whether there is another one that month.
async fn look(
    connection: &mut PgConnection,
    slot: SlotId,
) -> Result<Option<SlotBody>, sqlx::Error> {
    let read = read_model::read_slot(Unnamed(&mut *connection), slot).await?;
    if read.as_ref().is_some_and(|slot| slot.available_seats == 0) {
        let another = another(connection, slot).await?.is_some();
        tracing::trace!(%slot, another, "a slot is sold out");
    }
    Ok(read)
}

/// Another slot with free seats in the same month, of the same doctor if he has one. A runtime query:
/// it is `read_slot` for another row, which is what makes it dangerous where statements are mixed up.
async fn another(
    connection: &mut PgConnection,
    slot: SlotId,
) -> Result<Option<(OffsetDateTime, i32, i32, i64, i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "
        select starts_at, capacity, available_seats, version, 0::bigint, 0::bigint
        from appointment_slots
        where slot_month = $2 and slot_id <> $3 and available_seats > 0
        order by doctor_id <> $1, starts_at, slot_id
        limit 1
        ",
    )
    .bind(doctor_key(slot.doctor()))
    .bind(month_key(slot.month()))
    .bind(slot.as_uuid())
    .fetch_optional(Unnamed(connection))
    .await
}
