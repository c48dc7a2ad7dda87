//! Lanes: how `grouped` and `batched` decide many requests in one transaction.
//!
//! While the transaction of a lane commits, requests gather; the next transaction takes all of
//! them, 256 at most. There is no timer: a single request is decided at once, as `conditional`
//! does. A page says which slots share a lane, how their rows are locked, and how a batch is
//! written. What is the same for both is here: `gathered.rs` chooses a batch, `batch.rs` decides
//! it, and this file answers each of its requests, whatever the database does. `changes.rs` has the
//! lanes of confirms and cancels.

mod batch;
mod changes;
mod gathered;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::future::{BoxFuture, join_all};
use slotproof_vocabulary::{SlotId, StrategyKind};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::conditional::Conditional;
use crate::{
    connections::Connections,
    metrics,
    reserve::{
        ReserveCommand, ReserveError, Reserved, Strategy, lost_race, once, outcome, retrying,
    },
};
use batch::{Duplicates, transact};
pub(super) use batch::{Granted, LockedSlot, LockedSlots};
pub(crate) use changes::ChangeLanes;
use gathered::{Gathered, Waiting};

type Answer = Result<Reserved, ReserveError>;

/// A page whose transactions decide many requests.
#[async_trait]
pub(super) trait Page: Send + Sync {
    /// The number of a slot's lane. One transaction at a time decides for the slots of a lane.
    fn lane_of(&self, slot: SlotId) -> u128;

    /// Locks the rows of these requests' slots, all in the order of their ids: transactions that
    /// lock several rows must agree on an order, or each waits for the other. A slot that does not
    /// exist is left out.
    ///
    /// # Errors
    /// The database's own.
    async fn lock(
        &self,
        connection: &mut PgConnection,
        commands: &[&ReserveCommand],
    ) -> Result<LockedSlots, sqlx::Error>;

    /// Writes what was granted, one request at least, by one statement: each slot once, as `slots`
    /// has it, and for each request its booking, receipt, audit record and outbox row. All have the
    /// hold of the first; when it ends is returned.
    ///
    /// # Errors
    /// The database's own.
    async fn write(
        &self,
        connection: &mut PgConnection,
        granted: &[Granted<'_>],
        slots: &LockedSlots,
    ) -> Result<OffsetDateTime, sqlx::Error>;
}

/// The lanes of a strategy in this process.
pub(crate) struct Lanes {
    decider: Decider,
    gathered: Shared,
}

/// What waits in each lane. A lane is a key here as long as a task works for it.
type Shared = Arc<Mutex<HashMap<u128, Gathered>>>;

impl Lanes {
    /// `tries`: how often a request that is alone is tried, should it lose races against other
    /// processes.
    pub(super) fn new(
        kind: StrategyKind,
        pool: Connections,
        tries: u32,
        page: impl Page + 'static,
    ) -> Self {
        let decider = Decider { kind, pool, tries, page: Arc::new(page) };
        Self { decider, gathered: Shared::default() }
    }

    /// `false`: too many requests wait for this slot.
    fn enqueue(&self, waiting: Waiting) -> bool {
        let number = self.decider.page.lane_of(waiting.command.slot);
        let mut lanes = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gathered) = lanes.get_mut(&number) {
            return gathered.push(waiting);
        }
        let lane = Lane { gathered: Arc::clone(&self.gathered), number };
        tokio::spawn(drive(self.decider.clone(), lane));
        lanes.entry(number).or_default().push(waiting)
    }
}

#[async_trait]
impl Strategy for Lanes {
    async fn reserve(&self, command: &ReserveCommand) -> Answer {
        let (answer, answered) = oneshot::channel();
        if !self.enqueue(Waiting { command: command.clone(), answer }) {
            return Ok(Reserved::RetryLater);
        }
        answered.await.unwrap_or_else(|_| {
            Err(ReserveError::Unknown("the slot's lane ended before it answered".to_owned()))
        })
    }
}

/// A lane whose task runs. Dropping it, also by a panic, gives its slots free for a new task.
struct Lane {
    gathered: Shared,
    number: u128,
}

impl Lane {
    /// What has gathered; empty if nothing has, and then the lane is closed.
    fn take(&self) -> Vec<Waiting> {
        let mut lanes = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gathered) = lanes.get_mut(&self.number) else { return Vec::new() };
        let batch = gathered.next_batch();
        if batch.is_empty() {
            lanes.remove(&self.number);
        }
        batch
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.gathered.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        }
    }
}

async fn drive(decider: Decider, lane: Lane) {
    loop {
        let batch = lane.take();
        if batch.is_empty() {
            return;
        }
        decider.decide(batch).await;
    }
}

/// What a lane needs to decide.
#[derive(Clone)]
struct Decider {
    kind: StrategyKind,
    pool: Connections,
    tries: u32,
    page: Arc<dyn Page>,
}

impl Decider {
    /// Answers every request of a batch.
    fn decide(&self, mut batch: Vec<Waiting>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if batch.len() == 1 {
                if let Some(waiting) = batch.pop() {
                    let _ = waiting.answer.send(self.alone(&waiting.command).await);
                }
                return;
            }
            match self.together(&batch).await {
                Ok(answers) => {
                    metrics::batch_decided(self.kind, batch.len());
                    for (waiting, answer) in batch.into_iter().zip(answers) {
                        // Who has gone away is not told.
                        let _ = waiting.answer.send(Ok(answer));
                    }
                }
                Err(Undecided::NoConnection(error)) => {
                    for waiting in batch {
                        let nothing = ReserveError::Unavailable(error.to_string());
                        let _ = waiting.answer.send(Err(nothing));
                    }
                }
                Err(Undecided::Unknown(error)) => {
                    tracing::warn!(%error, requests = batch.len(), "the connection was lost at commit; each request of the batch looks for its receipt");
                    // All at once: while the database is away each waits for a connection until its
                    // limit, and so does the lane.
                    let resolving = batch.into_iter().map(async |waiting| {
                        let answer = self.resolve(&waiting.command, &error).await;
                        let _ = waiting.answer.send(answer);
                    });
                    join_all(resolving).await;
                }
                Err(Undecided::Refused(error)) => {
                    tracing::warn!(%error, requests = batch.len(), "the database refused a batch; retrying its halves");
                    let second = batch.split_off(batch.len() / 2);
                    self.decide(batch).await;
                    self.decide(second).await;
                }
            }
        })
    }

    /// One transaction for all of them.
    async fn together(&self, batch: &[Waiting]) -> Result<Vec<Reserved>, Undecided> {
        let commands: Vec<&ReserveCommand> = batch.iter().map(|waiting| &waiting.command).collect();
        let mut connection = self.pool.acquire().await.map_err(Undecided::NoConnection)?;
        let page = &*self.page;
        let mut decided = transact(page, &mut connection, &commands, Duplicates::NotExpected).await;
        if decided.as_ref().is_err_and(lost_race) {
            decided = transact(page, &mut connection, &commands, Duplicates::LookedFor).await;
        }
        if decided.is_ok() {
            connection.ended_well();
        }
        Ok(decided?)
    }

    /// A request that is alone in its batch is decided by the one statement of `conditional`: one
    /// round trip for five.
    async fn alone(&self, command: &ReserveCommand) -> Answer {
        retrying(self.kind, self.tries, || async {
            let mut connection = self.pool.acquire().await?;
            let answer = once(&Conditional, &mut connection, command).await?;
            connection.ended_well();
            Ok(answer)
        })
        .await
    }

    /// The connection was lost. A receipt proves that the commit happened; its absence proves
    /// nothing, the commit may be under way.
    async fn resolve(&self, command: &ReserveCommand, lost: &sqlx::Error) -> Answer {
        match outcome(&self.pool, command).await {
            Ok(Reserved::Accepted) | Err(_) => Err(ReserveError::Unknown(lost.to_string())),
            answer => answer,
        }
    }
}

/// Why a transaction has decided nothing.
enum Undecided {
    /// No connection became free: nothing was written.
    NoConnection(sqlx::Error),
    /// The connection was lost, perhaps at commit.
    Unknown(sqlx::Error),
    /// The database refused it as a whole; one request may be at fault.
    Refused(sqlx::Error),
}

impl From<sqlx::Error> for Undecided {
    /// The error of a statement.
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            None => Self::Unknown(error),
            Some(_) => Self::Refused(error),
        }
    }
}
