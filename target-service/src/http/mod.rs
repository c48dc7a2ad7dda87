//! The edge: it parses requests into types and maps answers onto HTTP. It decides nothing.

mod bookings;
mod doctors;
mod idempotency_key;
mod operation;
mod problem;
#[cfg(test)]
mod problem_texts;
mod reports;
mod request;
mod slots;
mod state;

pub(crate) use state::{Needs, State};

use axum::{
    Router, extract,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::Response,
    serve::ListenerExt,
};
use tokio::{net::TcpListener, sync::watch};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{metrics, pausing};

/// Answers requests until `drained` completes and those in flight have ended.
pub(crate) async fn serve(
    listener: TcpListener,
    state: State,
    drained: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    metrics::recorder();
    // Answers are one small write; waiting to fill a packet would only add latency.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
    });
    axum::serve(listener, router(state)).with_graceful_shutdown(drained).await
}

fn router(state: State) -> Router {
    let mut router = Router::new()
        .merge(bookings::router())
        .merge(slots::router())
        .merge(doctors::router())
        .merge(reports::router())
        .merge(operation::router())
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed);
    if let Some(points) = &state.pausing {
        let held = middleware::from_fn_with_state(points.clone(), pausing::hold);
        router = router.layer(held);
    }
    let leaving = state.leaving.clone();
    router
        .layer(middleware::from_fn_with_state(leaving, part))
        .layer(middleware::from_fn(operation::observe))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(state)
}

/// Who is answered while the process leaves connects anew for its next request.
async fn part(
    extract::State(leaving): extract::State<watch::Receiver<bool>>,
    request: extract::Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if *leaving.borrow() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn an_answer_of_a_process_that_leaves_closes_its_connection() {
        let (leaving, left) = watch::channel(true);
        let answering = Router::new()
            .route("/", get(|| async { "here" }))
            .layer(middleware::from_fn_with_state(left, part));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { axum::serve(listener, answering).await });

        let mut connection = TcpStream::connect(address).await.expect("it listens");
        connection.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("it answers, and closes");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");

        leaving.send_replace(false);
        let head = kept_open(address).await;
        assert!(!head.contains("connection: close"), "{head}");
        serving.abort();
    }

    /// With its body, whose end is known.
    async fn kept_open(address: std::net::SocketAddr) -> String {
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        connection.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("it reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            answer.push(connection.read_u8().await.expect("it answers"));
        }
        String::from_utf8(answer).expect("text")
    }
}
