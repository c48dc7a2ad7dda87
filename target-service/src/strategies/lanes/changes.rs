//! Confirms and cancels in lanes of their own: while one statement changes bookings, requests
//! gather, and the next statement makes all of their changes.
//!
//! They do not wait in the lane of their slot, because a booking's id does not say which slot it
//! has; it says which doctor. The slot's row keeps its changes and its reservations in order.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    panic::AssertUnwindSafe,
};

use futures::{FutureExt, future::join_all};
use slotproof_vocabulary::{BookingId, reference_api::BookingBody};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::gathered::BATCH_MAX;
use crate::{
    connections::Connections,
    lifecycle::{self, Changed, Wanted},
    metrics,
};

/// Lanes of one process: one is flushed while another one writes.
const LANES: usize = 2;
/// Changes that wait in a lane; more are told `retry_later`.
const WAITING_MAX: usize = 4_096;

/// The lanes for changes of a database's bookings in this process.
pub(crate) struct ChangeLanes {
    lanes: [mpsc::Sender<Request>; LANES],
}

struct Request {
    booking: BookingId,
    wanted: Wanted,
    answer: oneshot::Sender<Result<Changed, sqlx::Error>>,
}

impl ChangeLanes {
    /// Their tasks end when they are dropped.
    pub(crate) fn open(pool: &Connections) -> Self {
        let lanes = [(); LANES].map(|()| {
            let (requests, arriving) = mpsc::channel(WAITING_MAX);
            tokio::spawn(drive(pool.clone(), arriving));
            requests
        });
        Self { lanes }
    }

    pub(crate) async fn change(
        &self,
        booking: BookingId,
        wanted: Wanted,
    ) -> Result<Changed, sqlx::Error> {
        let (answer, answered) = oneshot::channel();
        let lane = &self.lanes[booking.doctor().0 as usize % LANES];
        match lane.try_send(Request { booking, wanted, answer }) {
            Ok(()) => answered.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)),
            Err(TrySendError::Full(_)) => Ok(Changed::RetryLater),
            Err(TrySendError::Closed(_)) => Err(sqlx::Error::PoolClosed),
        }
    }
}

async fn drive(pool: Connections, mut arriving: mpsc::Receiver<Request>) {
    let mut arrived = Vec::new();
    while arriving.recv_many(&mut arrived, BATCH_MAX).await > 0 {
        let decided = AssertUnwindSafe(decide(&pool, arrived.drain(..))).catch_unwind().await;
        if decided.is_err() {
            tracing::error!("a batch of changes panicked; its requests have no answer");
        }
    }
}

/// Answers every request. What the common statement does not change is asked for alone: that finds
/// out why.
async fn decide(pool: &Connections, arrived: impl Iterator<Item = Request>) {
    let mut batch = BTreeMap::new();
    let mut alone = Vec::new();
    for request in arrived {
        match batch.entry(request.booking) {
            Entry::Vacant(place) => {
                place.insert(request);
            }
            Entry::Occupied(_) => alone.push(request),
        }
    }
    let changed = match batch.len() {
        1 => Ok(HashMap::new()),
        _ => together(pool, &batch).await,
    };
    match changed {
        Ok(mut changed) => {
            for (booking, request) in batch {
                match changed.remove(&booking) {
                    // Who has gone away is not told.
                    Some(body) => drop(request.answer.send(Ok(Changed::Done(body)))),
                    None => alone.push(request),
                }
            }
        }
        Err(error) if error.as_database_error().is_some() => {
            tracing::warn!(%error, requests = batch.len(), "the database refused a batch of changes; each is made alone");
            alone.extend(batch.into_values());
        }
        Err(error) => {
            tracing::warn!(%error, requests = batch.len(), "a batch of changes has no outcome");
            for request in batch.into_values() {
                drop(request.answer.send(Err(for_each(&error))));
            }
        }
    }
    join_all(alone.into_iter().map(|request| change_alone(pool, request))).await;
}

async fn together(
    pool: &Connections,
    batch: &BTreeMap<BookingId, Request>,
) -> Result<HashMap<BookingId, BookingBody>, sqlx::Error> {
    let changes = batch.iter().map(|(booking, request)| (*booking, request.wanted)).collect();
    let mut connection = pool.acquire().await?;
    let changed = lifecycle::change_together(&mut connection, &changes).await?;
    connection.ended_well();
    metrics::changes_made(batch.len());
    Ok(changed)
}

async fn change_alone(pool: &Connections, request: Request) {
    let changed = match request.wanted {
        Wanted::Confirmed => lifecycle::confirm(pool, request.booking).await,
        Wanted::Cancelled => lifecycle::cancel(pool, request.booking).await,
    };
    drop(request.answer.send(changed));
}

/// The error of a batch, for one of its requests: either nothing was written, or nobody knows.
fn for_each(error: &sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::PoolTimedOut => sqlx::Error::PoolTimedOut,
        error => sqlx::Error::Protocol(format!("as the batch of its request: {error}")),
    }
}
