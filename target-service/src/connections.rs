//! The connections of a pool, handed from one request to the next.
//!
//! SQLx asks the server for a sign of life whenever a connection is given back, and nobody can use
//! the connection until it has answered: a second round trip for a reserve that is one statement.
//! So a request that has ended well hands its connection to the one that has waited longest; where
//! none waits, the pool gets it back and asks. A request that failed, or was given up on, never
//! hands over what it leaves behind.

use std::{
    collections::VecDeque,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{future::BoxFuture, stream::BoxStream};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::sync::oneshot;

/// Requests in a row on one connection. Then it goes through the pool, which ends it if it is too
/// old, and gives it to whoever has waited longest, also for the pool itself: the sweeper, lists.
const IN_A_ROW_MAX: u32 = 16;

/// Those of a pool. What is asked of the pool itself is served too, but in turn with requests only
/// when a connection goes through the pool.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: PgPool,
    /// Who waits, in order; `None` where every connection goes through the pool.
    waiting: Option<Arc<Mutex<Waiting>>>,
}

type Waiting = VecDeque<oneshot::Sender<HandedOver>>;

#[derive(Debug)]
struct HandedOver {
    connection: PoolConnection<Postgres>,
    /// Requests that it has served in a row.
    served: u32,
}

/// A connection for one request. It is handed over by [`Lent::ended_well`], and otherwise goes back
/// to the pool.
pub(crate) struct Lent {
    handed: HandedOver,
    waiting: Option<Arc<Mutex<Waiting>>>,
}

impl Connections {
    pub(crate) fn handed_over(pool: PgPool) -> Self {
        Self { pool, waiting: Some(Arc::default()) }
    }

    /// For a pool that prepares its connections for each call.
    pub(crate) fn through_the_pool(pool: PgPool) -> Self {
        Self { pool, waiting: None }
    }

    /// The pool itself, for what is rare or takes long.
    pub(crate) fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// Waits for one, as long as the pool allows.
    pub(crate) async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        let handed = match &self.waiting {
            None => new(self.pool.acquire().await?),
            Some(waiting) => match self.pool.try_acquire() {
                Some(connection) => new(connection),
                None => self.wait(waiting).await?,
            },
        };
        Ok(Lent { handed, waiting: self.waiting.clone() })
    }

    async fn wait(&self, waiting: &Mutex<Waiting>) -> Result<HandedOver, sqlx::Error> {
        // The pool opens another one, which a hand-over would cancel halfway. Those that are being
        // opened count.
        if self.pool.size() < self.pool.options().get_max_connections() {
            return self.pool.acquire().await.map(new);
        }
        let (hand, handed) = oneshot::channel();
        {
            let mut waiting = lock(waiting);
            // Those who got theirs from the pool, or gave up.
            while waiting.front().is_some_and(oneshot::Sender::is_closed) {
                waiting.pop_front();
            }
            waiting.push_back(hand);
        }
        tokio::select! {
            biased;
            Ok(handed) = handed => Ok(handed),
            acquired = self.pool.acquire() => acquired.map(new),
        }
    }
}

/// What is rare asks the pool itself.
impl Deref for Connections {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

fn new(connection: PoolConnection<Postgres>) -> HandedOver {
    HandedOver { connection, served: 0 }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lent {
    /// Every answer has been read, and no transaction is open but one that is being rolled back.
    pub(crate) fn ended_well(mut self) {
        self.handed.served += 1;
        let Some(waiting) = &self.waiting else { return };
        let mut handed = self.handed;
        if handed.served >= IN_A_ROW_MAX {
            return;
        }
        while let Some(next) = { lock(waiting).pop_front() } {
            match next.send(handed) {
                Ok(()) => return,
                Err(refused) => handed = refused,
            }
        }
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.handed.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.handed.connection
    }
}

/// One row is what requests ask for; what asks for more goes through the pool.
impl<'c> Executor<'c> for &'c Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.pool.fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lent = self.acquire().await?;
            let row = (&mut *lent).fetch_optional(query).await?;
            lent.ended_well();
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.pool.describe(sql)
    }
}
