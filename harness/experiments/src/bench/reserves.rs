//! Clients that do nothing but reserve, over HTTP, each on a connection of its own that stays open.
//!
//! The thinnest client that is one: what it costs would be missing from the service on the same
//! machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_scenarios::{
    Target,
    target::{OperationKind, Scope, Session},
};
use tokio::{net::TcpStream, sync::Barrier, task::JoinSet};

/// Pauses between two questions after a 202.
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(100);
/// How long after the measured time a request may still be decided.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;

/// What came of it.
#[derive(Debug)]
pub struct Reserves {
    /// Acknowledged bookings within the measured time.
    pub booked: u64,
    /// Answers that were no booking: `retry_later`, errors.
    pub refused: u64,
    /// The measured time.
    pub measured: Duration,
    /// Microseconds from the request to the answer that the seat is taken.
    pub latency_us: Histogram<u64>,
}

/// How much load, on what.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where the service answers.
    pub target: SocketAddr,
    /// The slots that are reserved.
    pub slots: Arc<Vec<String>>,
    /// Clients.
    pub clients: usize,
    /// Load before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub measure: Duration,
    /// Told apart from every other order on the same service.
    pub nonce: u64,
}

/// Every client reserves one seat after the other, of a random slot.
///
/// # Errors
/// A connection that cannot be made or breaks.
pub async fn reserve(order: &Order) -> anyhow::Result<Reserves> {
    let gate = Arc::new(Barrier::new(order.clients + 1));
    let refused = Arc::new(AtomicU64::new(0));
    let target = Arc::new(Target::reference(&format!("http://{}", order.target), &order.slots));
    let mut clients = JoinSet::new();
    for number in 0..order.clients {
        let (target, gate) = (Arc::clone(&target), Arc::clone(&gate));
        clients.spawn(live(order.clone(), number, target, gate, Arc::clone(&refused)));
    }
    gate.wait().await;
    let mut latency_us = histogram();
    while let Some(ended) = clients.join_next().await {
        latency_us.add(ended??)?;
    }
    Ok(Reserves {
        booked: latency_us.len(),
        refused: refused.load(Ordering::Relaxed),
        measured: order.measure,
        latency_us,
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are valid")
}

async fn live(
    order: Order,
    number: usize,
    target: Arc<Target>,
    gate: Arc<Barrier>,
    refused: Arc<AtomicU64>,
) -> anyhow::Result<Histogram<u64>> {
    let connected = connect(order.target).await;
    gate.wait().await;
    let mut sender = connected?;
    let mut rng = ChaCha8Rng::seed_from_u64(order.nonce ^ (number as u64) << 32);
    let mut latency_us = histogram();
    let begin = Instant::now() + order.warm_up;
    let end = begin + order.measure;
    for request in 0_u64.. {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        let slot = rng.random_range(0..order.slots.len());
        let key = format!("{:x}-{number:x}-{request:x}", order.nonce);
        let booked = book(&mut sender, &target, slot, &key, end + DRAIN_MAX).await?;
        let answered = Instant::now();
        // By its answer alone: who left out what was under way at the beginning would count one
        // booking per client too few.
        if answered < begin || answered >= end {
            continue;
        }
        if booked {
            latency_us
                .record((answered - sent).as_micros().clamp(1, LATENCY_MAX_US.into()) as u64)?;
        } else {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(latency_us)
}

type Sender = http1::SendRequest<Full<Bytes>>;

async fn connect(target: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// `true`: the seat is taken. A request that was accepted is asked about until there is an answer,
/// also after the measured time: it must not be left for the next cell to pay for.
async fn book(
    sender: &mut Sender,
    target: &Target,
    slot: usize,
    key: &str,
    patience: Instant,
) -> anyhow::Result<bool> {
    let session = Session::default();
    let of_slot = Scope::of(&target.file.base_url, &target.places[slot], &session);
    let scope = Scope { key, ..of_slot };
    let request = target.file.first_request(OperationKind::Reserve, scope);
    let mut status = ask(sender, request.map_err(anyhow::Error::msg)?).await?;
    let mut pause = POLL_FIRST;
    while status == StatusCode::ACCEPTED && Instant::now() < patience {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
        let poll = target.file.poll_request(OperationKind::Reserve, scope);
        let poll = poll.map_err(anyhow::Error::msg)?.context("a reserve can be asked about")?;
        status = ask(sender, poll).await?;
    }
    Ok(status == StatusCode::CREATED)
}

async fn ask(sender: &mut Sender, request: Request<Bytes>) -> anyhow::Result<StatusCode> {
    sender.ready().await?;
    let response = sender.send_request(of_a_connection(request)?).await?;
    let status = response.status();
    // Read to the end: an answer whose body has not arrived is none.
    response.into_body().collect().await?;
    Ok(status)
}

/// A request as it is written to a connection.
fn of_a_connection(mut request: Request<Bytes>) -> anyhow::Result<Request<Full<Bytes>>> {
    let path = request.uri().path_and_query().context("the URL has a path")?.clone();
    *request.uri_mut() = path.into();
    request.headers_mut().insert(HOST, HeaderValue::from_static("slotproof"));
    Ok(request.map(Full::new))
}
