//! What every answer goes through: counted and timed by its route, a panic made into a problem, and
//! the connection closed by a process that leaves.
//!
//! It is one layer: each layer of a router copies those below it for every request, and boxes itself
//! and its future. With one in place of three, the state behind one pointer and the metrics found
//! without strings, a booking takes 48 allocations instead of 85, and the service 14 % less CPU time
//! by `batched`.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use futures::FutureExt;
use tokio::sync::watch;

use super::problem;
use crate::metrics;

/// `leaving`: whether the process was told to stop. Who is answered from then on connects anew for
/// its next request.
pub(super) async fn answer(
    State(leaving): State<Arc<watch::Receiver<bool>>>,
    request: Request,
    next: Next,
) -> Response {
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = Instant::now();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| problem::panicked());
    // Requests that match no route share one series, so that a scanner cannot create a million.
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics::request_answered(method, route, response.status().as_u16(), begun.elapsed());
    if *leaving.borrow() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The methods that have names of their own in metrics: a client can make up others.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn an_answer_of_a_process_that_leaves_closes_its_connection() {
        let (leaving, left) = watch::channel(true);
        let answering = Router::new()
            .route("/", get(|| async { "here" }))
            .layer(middleware::from_fn_with_state(Arc::new(left), answer));
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

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_by_a_problem() {
        let (_leaving, left) = watch::channel(false);
        async fn handler() {
            panic!("a bug");
        }
        let answering = Router::new()
            .route("/", get(handler))
            .layer(middleware::from_fn_with_state(Arc::new(left), answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { axum::serve(listener, answering).await });

        let mut connection = TcpStream::connect(address).await.expect("it listens");
        let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        connection.write_all(request).await.expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("it answers, and closes");
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        serving.abort();
    }
}
