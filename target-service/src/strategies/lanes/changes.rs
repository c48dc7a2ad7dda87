//! Confirms and cancels in lanes of their own: while one statement changes bookings, requests
//! gather, and the next statement makes all of their changes.
//!
//! They do not wait in the lane of their slot, because a booking's id does not say which slot it
//! has; it says which doctor. The slot's row keeps its changes and its reservations in order.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use slotproof_vocabulary::{BookingId, reference_api::BookingBody};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{Undecided, gathered::BATCH_MAX};
use crate::{
    connections::Connections,
    lifecycle::{self, Changed, NewStatus},
    metrics,
};

/// Lanes of one process, by doctor: one is flushed while another one writes, if several doctors have
/// changes. Another process that holds a row stops the lane of its doctor, and with it every lane
/// whose slots that statement has locked.
const LANES: usize = 2;
/// Changes that wait in a lane; more are told `retry_later`.
const WAITING_MAX: usize = 4_096;

/// The lanes for changes of a database's bookings in this process.
pub(crate) struct ChangeLanes {
    lanes: [mpsc::Sender<Request>; LANES],
}

struct Request {
    booking: BookingId,
    wanted: NewStatus,
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
        wanted: NewStatus,
    ) -> Result<Changed, sqlx::Error> {
        let (answer, answered) = oneshot::channel();
        match self.lanes[lane_of(booking)].try_send(Request { booking, wanted, answer }) {
            Ok(()) => answered.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)),
            Err(TrySendError::Full(_)) => Ok(Changed::RetryLater),
            Err(TrySendError::Closed(_)) => Err(sqlx::Error::PoolClosed),
        }
    }
}

/// Hashed, because the doctors of a shard may have a remainder in common.
fn lane_of(booking: BookingId) -> usize {
    let mut hasher = DefaultHasher::new();
    booking.doctor().hash(&mut hasher);
    hasher.finish() as usize % LANES
}

/// Requests by their bookings, in the order in which these are locked.
type Batch = BTreeMap<BookingId, Request>;

async fn drive(pool: Connections, mut arriving: mpsc::Receiver<Request>) {
    let mut arrived = Vec::new();
    while arriving.recv_many(&mut arrived, BATCH_MAX).await > 0 {
        let decided = AssertUnwindSafe(decide(&pool, arrived.drain(..))).catch_unwind().await;
        if decided.is_err() {
            tracing::error!("a batch of changes panicked; its requests have no answer");
        }
    }
}

/// Answers every request whose client still waits. What the common statement does not change is
/// asked for alone: that finds out why.
async fn decide(pool: &Connections, arrived: impl Iterator<Item = Request>) {
    let mut batch = Batch::new();
    let mut again = Vec::new();
    for request in arrived.filter(|request| !request.answer.is_closed()) {
        match batch.entry(request.booking) {
            Entry::Vacant(place) => {
                place.insert(request);
            }
            Entry::Occupied(_) => again.push(request),
        }
    }
    let alone = make(pool, batch).await.into_iter().chain(again);
    join_all(alone.map(|request| make_alone(pool, request))).await;
}

/// Makes the changes of a batch by one statement, or by one for each half of a batch that the
/// database refuses. Returns the requests that it has not answered.
fn make(pool: &Connections, mut batch: Batch) -> BoxFuture<'_, Vec<Request>> {
    Box::pin(async move {
        if batch.len() < 2 {
            return batch.into_values().collect();
        }
        match together(pool, &batch).await {
            Ok(changed) => tell(batch, changed),
            Err(Undecided::Refused(error)) => {
                // A closed month, or a bucket that moves: the one that it is about will say so.
                tracing::debug!(%error, requests = batch.len(), "the database refused a batch of changes; trying its halves");
                let middle = *batch.keys().nth(batch.len() / 2).expect("it has two or more");
                let second = batch.split_off(&middle);
                let mut left = make(pool, batch).await;
                left.extend(make(pool, second).await);
                left
            }
            Err(Undecided::NoConnection(error)) => {
                tracing::warn!(%error, requests = batch.len(), "no connection for a batch of changes");
                fail(batch, || sqlx::Error::PoolTimedOut)
            }
            Err(Undecided::Unknown(error)) => {
                tracing::warn!(%error, requests = batch.len(), "the connection was lost; nobody knows whether a batch of changes was made");
                fail(batch, || sqlx::Error::WorkerCrashed)
            }
        }
    })
}

async fn together(
    pool: &Connections,
    batch: &Batch,
) -> Result<HashMap<BookingId, BookingBody>, Undecided> {
    let changes = batch.iter().map(|(booking, request)| (*booking, request.wanted)).collect();
    let mut connection = pool.acquire().await.map_err(Undecided::NoConnection)?;
    let changed = lifecycle::change_together(&mut connection, &changes).await?;
    connection.ended_well();
    metrics::changes_batched(batch.len());
    Ok(changed)
}

/// Returns the requests whose bookings were not changed.
fn tell(batch: Batch, mut changed: HashMap<BookingId, BookingBody>) -> Vec<Request> {
    let mut left = Vec::new();
    for (booking, request) in batch {
        match changed.remove(&booking) {
            // Who has gone away is not told.
            Some(body) => drop(request.answer.send(Ok(Changed::Done(body)))),
            None => left.push(request),
        }
    }
    left
}

fn fail(batch: Batch, error: impl Fn() -> sqlx::Error) -> Vec<Request> {
    for request in batch.into_values() {
        drop(request.answer.send(Err(error())));
    }
    Vec::new()
}

async fn make_alone(pool: &Connections, request: Request) {
    let changed = match request.wanted {
        NewStatus::Confirmed => lifecycle::confirm(pool, request.booking).await,
        NewStatus::Cancelled => lifecycle::cancel(pool, request.booking).await,
    };
    drop(request.answer.send(changed));
}
