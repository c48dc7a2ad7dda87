//! The edge: it parses requests into types and maps answers onto HTTP. It decides nothing.

mod answering;
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

use std::sync::Arc;

use axum::{Router, middleware, serve::ListenerExt};
use tokio::net::TcpListener;

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
    let leaving = Arc::new(state.leaving.clone());
    router
        .layer(middleware::from_fn_with_state(leaving, answering::answer))
        .with_state(Arc::new(state))
}
