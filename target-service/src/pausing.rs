//! Pause points: the named steps of a request, at which a director can hold it.
//!
//! They are compiled in always, because what is tested must be what runs; in a service that was not
//! started to be directed a point costs one branch. A director connects to a port of its own on
//! loopback, names its requests by a header, and from then on each of them stops before every step,
//! says which one, and waits to be told to go on. Requests without a name are not held.
//!
//! The steps have the names that they have in the strategy's model, and the connection to the
//! database has the name of the call that uses it, so that PostgreSQL itself says who waits for
//! whom.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use axum::{extract::Request, http::HeaderMap, middleware::Next, response::Response};
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
    /// Never let this call do anything again, as if its process had been killed; what it holds is
    /// not given back.
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
        /// Whether it expired the hold; if not, somebody else was first.
        expired: bool,
    },
}

/// Present in a service that is directed, and then never absent again.
static STAGE: OnceLock<Stage> = OnceLock::new();

tokio::task_local! {
    static CALL: Arc<Named>;
}

/// A request that a director has named.
#[derive(Debug)]
struct Named {
    call: String,
    hold_ms: Option<i64>,
}

#[derive(Default)]
struct Stage {
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The director that is there, if one is.
    reports: Option<mpsc::UnboundedSender<Report>>,
    parked: HashMap<String, oneshot::Sender<()>>,
    crashes: HashMap<String, oneshot::Sender<()>>,
    free: HashSet<String>,
}

impl Stage {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Whoever is held when its director goes away goes on.
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
                let named = Arc::new(Named { call: call.clone(), hold_ms: None });
                tokio::spawn(CALL.scope(named, async move {
                    let expired = lifecycle::expire(&pool, booking).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "failed to expire a hold for the director");
                        false
                    });
                    if let Some(stage) = STAGE.get()
                        && let Some(reports) = &stage.shared().reports
                    {
                        let _ = reports.send(Report::Swept { call, expired });
                    }
                }));
            }
        }
    }
}

/// Stands before a step. In a service that is not directed this is one branch.
pub(crate) async fn about_to(step: &'static str) {
    if let Some(stage) = STAGE.get()
        && let Ok(named) = CALL.try_with(Arc::clone)
    {
        stage.park(&named.call, step).await;
    }
}

/// Tells the director which booking a request is about to make.
pub(crate) fn wants(booking: BookingId) {
    if let Some(stage) = STAGE.get()
        && let Ok(call) = CALL.try_with(|named| named.call.clone())
        && let Some(reports) = &stage.shared().reports
    {
        let _ = reports.send(Report::Wants { call, booking });
    }
}

/// How long the hold of this request lasts, if a director says so.
pub(crate) fn hold_ms() -> Option<i64> {
    STAGE.get()?;
    CALL.try_with(|named| named.hold_ms).ok()?
}

/// Whether the service is directed; if so, nothing in it may happen by itself.
pub(crate) fn is_directed() -> bool {
    STAGE.get().is_some()
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
pub(crate) async fn hold(request: Request, next: Next) -> Response {
    let (Some(stage), Some(named)) = (STAGE.get(), named(request.headers())) else {
        return next.run(request).await;
    };
    let (crash, crashed) = oneshot::channel();
    stage.shared().crashes.insert(named.call.clone(), crash);
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
            let mut shared = stage.shared();
            shared.crashes.remove(&call);
            shared.free.remove(&call);
            response
        }
    }
}

fn named(headers: &HeaderMap) -> Option<Named> {
    let text = |name| headers.get(name)?.to_str().ok();
    Some(Named {
        call: text(CALL_HEADER)?.to_owned(),
        hold_ms: text(HOLD_HEADER).and_then(|ms| ms.parse().ok()),
    })
}

/// Makes this service a directed one, before anything in it runs.
pub(crate) fn begin() {
    STAGE.get_or_init(Stage::default);
}

/// Obeys one director after the other until told to stop.
pub(crate) async fn obey_directors(
    listener: TcpListener,
    pool: PgPool,
    mut stopping: watch::Receiver<bool>,
) {
    let Some(stage) = STAGE.get() else { return };
    loop {
        let stream = tokio::select! {
            Ok((stream, _)) = listener.accept() => stream,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (reports, reported) = mpsc::unbounded_channel();
        stage.shared().reports = Some(reports);
        tokio::select! {
            lost = converse(stage, stream, reported, &pool) => if let Err(error) = lost {
                tracing::warn!(%error, "lost the director");
            },
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        let mut shared = stage.shared();
        shared.reports = None;
        shared.parked.clear();
    }
}

async fn converse(
    stage: &Stage,
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
                Some(line) => stage.obey(serde_json::from_str(&line)?, pool),
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

/// Whether a director may connect to this address.
pub(crate) fn is_private(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}
