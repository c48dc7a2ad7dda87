//! Pause points: the named steps of a request, at which a director can hold it.
//!
//! They are always compiled in, so that the service that is tested is the one that runs; in a
//! service that was started without a director a point costs one branch. A director connects to a
//! separate port on loopback and names its requests by a header. Each named request stops before
//! every step, reports the step, and waits for the order to go on. Other requests are not held.
//!
//! The steps have the same names as in the strategy's model. A database connection has the name of
//! the call that uses it, so that PostgreSQL shows which call waits for which.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use serde::{Deserialize, Serialize};
use slotproof_vocabulary::BookingId;
use sqlx::{PgConnection, PgPool};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
};

use crate::lifecycle;

/// The name of a request, by which it is held.
pub const CALL_HEADER: &str = "slotproof-call";
/// How long the hold of this request lasts, in milliseconds. A director moves the time; see
/// `slotproof replay`.
pub const HOLD_HEADER: &str = "slotproof-hold-ms";

/// What a director says, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Let this call take its step.
    Go(String),
    /// Let this call take all its steps: it is not held any more.
    Free(String),
    /// Stop this call for ever, as if its process had been killed; what it holds is not released.
    Crash(String),
    /// Let the sweeper expire a hold, under this name.
    Sweep {
        /// The name of its connection.
        call: String,
        /// Which hold.
        booking: BookingId,
    },
}

/// What a director is told, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A call will write its booking under this id, if it writes one.
    Wants {
        /// Its name.
        call: String,
        /// The booking.
        booking: BookingId,
    },
    /// A call stands before this step.
    Parked {
        /// Its name.
        call: String,
        /// The step.
        step: String,
    },
    /// The sweeper is done.
    Swept {
        /// The name that it was given.
        call: String,
        /// Whether it expired the hold; if not, another change came first.
        expired: bool,
    },
}

tokio::task_local! {
    /// The named request that this task works for. Only a directed service sets it.
    static CALL: Arc<Named>;
}

/// A request that a director has named.
struct Named {
    call: String,
    hold_ms: Option<i64>,
    points: PausePoints,
}

/// The pause points of one directed service, and who is held at them. A service that is not
/// directed has none.
#[derive(Clone, Default)]
pub(crate) struct PausePoints(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    /// The director that is there, if one is.
    reports: Option<mpsc::UnboundedSender<Report>>,
    parked: HashMap<String, oneshot::Sender<()>>,
    crashes: HashMap<String, oneshot::Sender<()>>,
    free: HashSet<String>,
}

impl PausePoints {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, report: Report) {
        if let Some(reports) = &self.shared().reports {
            let _ = reports.send(report);
        }
    }

    async fn park(&self, call: &str, step: &str) {
        let (go, going) = oneshot::channel();
        {
            let mut shared = self.shared();
            let Some(reports) = shared.reports.clone() else { return };
            if shared.free.contains(call) {
                return;
            }
            shared.parked.insert(call.to_owned(), go);
            let _ = reports.send(Report::Parked { call: call.to_owned(), step: step.to_owned() });
        }
        // The sender is dropped when the director goes away; then the call goes on.
        let _ = going.await;
    }

    fn obey(&self, order: Order, pool: &PgPool) {
        match order {
            Order::Go(call) => drop(self.shared().parked.remove(&call)),
            Order::Free(call) => {
                let mut shared = self.shared();
                drop(shared.parked.remove(&call));
                if shared.crashes.contains_key(&call) {
                    shared.free.insert(call);
                }
            }
            Order::Crash(call) => {
                let crash = self.shared().crashes.remove(&call);
                // It stays parked: what goes on must not be what crashes.
                if let Some(crash) = crash {
                    let _ = crash.send(());
                }
            }
            Order::Sweep { call, booking } => {
                let pool = pool.clone();
                let points = self.clone();
                let named =
                    Arc::new(Named { call: call.clone(), hold_ms: None, points: points.clone() });
                tokio::spawn(CALL.scope(named, async move {
                    let expired = lifecycle::expire(&pool, booking)
                        .await
                        .map(|it| it.is_some())
                        .unwrap_or_else(|error| {
                            tracing::warn!(%error, "failed to expire a hold for the director");
                            false
                        });
                    points.report(Report::Swept { call, expired });
                }));
            }
        }
    }
}

/// Stands before a step. In a service that is not directed this is one branch.
pub(crate) async fn about_to(step: &'static str) {
    if let Ok(named) = CALL.try_with(Arc::clone) {
        named.points.park(&named.call, step).await;
    }
}

/// Tells the director which booking a request is about to make.
pub(crate) fn announce_booking(booking: BookingId) {
    if let Ok(named) = CALL.try_with(Arc::clone) {
        named.points.report(Report::Wants { call: named.call.clone(), booking });
    }
}

/// How long the hold of this request lasts, if a director says so.
pub(crate) fn hold_ms() -> Option<i64> {
    CALL.try_with(|named| named.hold_ms).ok()?
}

/// Gives a connection the name of the call that is about to use it.
pub(crate) async fn name(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let call = CALL.try_with(|named| named.call.clone()).unwrap_or_else(|_| "slotproof".to_owned());
    // A runtime query: it asks for a setting and not our schema.
    sqlx::query("select set_config('application_name', $1, false)")
        .bind(call)
        .execute(connection)
        .await?;
    Ok(())
}

/// The same, as a pool asks: the connection can be used.
pub(crate) async fn name_and_keep(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    name(connection).await.map(|()| true)
}

/// A layer of the edge of a directed service: requests that have a name are held by it.
pub(crate) async fn hold(
    State(points): State<PausePoints>,
    request: Request,
    next: Next,
) -> Response {
    let Some(named) = named(&points, request.headers()) else {
        return next.run(request).await;
    };
    let (crash, crashed) = oneshot::channel();
    points.shared().crashes.insert(named.call.clone(), crash);
    let call = named.call.clone();
    let mut work = Box::pin(CALL.scope(Arc::new(named), next.run(request)));
    tokio::select! {
        biased;
        Ok(()) = crashed => {
            // A process that is killed cleans nothing up. The director cuts its connection to the
            // database.
            std::mem::forget(work);
            std::future::pending().await
        }
        response = &mut work => {
            let mut shared = points.shared();
            shared.crashes.remove(&call);
            shared.free.remove(&call);
            response
        }
    }
}

fn named(points: &PausePoints, headers: &HeaderMap) -> Option<Named> {
    let text = |name| headers.get(name)?.to_str().ok();
    Some(Named {
        call: text(CALL_HEADER)?.to_owned(),
        hold_ms: text(HOLD_HEADER).and_then(|ms| ms.parse().ok()),
        points: points.clone(),
    })
}

/// Obeys one director after the other until told to stop.
pub(crate) async fn obey_directors(
    points: PausePoints,
    listener: TcpListener,
    pool: PgPool,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let stream = tokio::select! {
            Ok((stream, _)) = listener.accept() => stream,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (reports, reported) = mpsc::unbounded_channel();
        points.shared().reports = Some(reports);
        tokio::select! {
            lost = converse(&points, stream, reported, &pool) => if let Err(error) = lost {
                tracing::warn!(%error, "the connection to the director was lost");
            },
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        let mut shared = points.shared();
        shared.reports = None;
        shared.parked.clear();
    }
}

async fn converse(
    points: &PausePoints,
    stream: TcpStream,
    mut reported: mpsc::UnboundedReceiver<Report>,
    pool: &PgPool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut orders = BufReader::new(read).lines();
    loop {
        tokio::select! {
            order = orders.next_line() => match order? {
                Some(line) => points.obey(serde_json::from_str(&line)?, pool),
                None => return Ok(()),
            },
            Some(report) = reported.recv() => {
                let mut line = serde_json::to_vec(&report)?;
                line.push(b'\n');
                write.write_all(&line).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_calls_of_a_directed_service_are_not_held_by_another_one_in_the_same_process() {
        let (held, other) = (PausePoints::default(), PausePoints::default());
        let (reports, mut reported) = mpsc::unbounded_channel();
        held.shared().reports = Some(reports);

        let call = |points: &PausePoints| {
            let (call, points) = ("a call".to_owned(), points.clone());
            let named = Arc::new(Named { call, hold_ms: None, points });
            tokio::spawn(CALL.scope(named, about_to("write")))
        };
        call(&other).await.expect("the other service has no director, so its call goes on");
        let parked = call(&held);
        let step = "write".to_owned();
        let report = Report::Parked { call: "a call".to_owned(), step };
        assert_eq!(reported.recv().await, Some(report));
        drop(held.shared().parked.remove("a call"));
        parked.await.expect("it was let go");
    }

    #[tokio::test]
    async fn a_request_without_a_name_is_not_held() {
        about_to("write").await;
        assert_eq!(hold_ms(), None);
    }
}
