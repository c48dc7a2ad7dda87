//! A server that does nothing: every answer is the same slot. What a client costs against it is the
//! client's own cost.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The slot, as the reference service shows one.
const SLOT: &str = r#"{"id":"00000001-0142-8100-8000-000000000001","doctor_id":1,"starts_at":"2030-01-15T09:00:00Z","capacity":100,"available_seats":100,"pending_seats":0,"confirmed_seats":0,"version":0}"#;
/// Where the server says how many answers it has given; asking is not counted.
pub const COUNT_PATH: &str = "/count";

/// Serves until `stop`; `listening` is told the address.
///
/// # Errors
/// No port is free.
#[boxed_future]
pub async fn serve(
    listening: &(dyn Fn(SocketAddr) + Sync),
    stop: Pin<&mut (dyn Future<Output = ()> + Send)>,
) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?);
    let answered = Arc::new(AtomicU64::new(0));
    tokio::select! {
        () = stop => Ok(()),
        never = accept(listener, answered) => never,
    }
}

async fn accept(listener: TcpListener, answered: Arc<AtomicU64>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answered = Arc::clone(&answered);
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let answered = Arc::clone(&answered);
            async move { Ok::<_, Infallible>(answer(request.uri().path(), &answered)) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn answer(path: &str, answered: &AtomicU64) -> Response<Full<Bytes>> {
    let body = if path == COUNT_PATH {
        Bytes::from(answered.load(Ordering::SeqCst).to_string())
    } else {
        answered.fetch_add(1, Ordering::SeqCst);
        Bytes::from_static(SLOT.as_bytes())
    };
    let mut response = Response::new(Full::new(body));
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
