//! What every patient is to the command line: routes, variables, and the server that it holds.

use std::path::Path;

use axum::{Router, serve::ListenerExt};
use slotproof_stack::guard::Guard;
use tokio::net::TcpListener;

use crate::servers::Held;

/// Where a patient lives.
pub(crate) struct Place<'a> {
    /// Its own URL, without a slash at the end.
    pub(crate) base: String,
    /// What it writes goes here, and is deleted at the end.
    pub(crate) directory: &'a Path,
    pub(crate) guard: &'a Guard,
}

/// A service that is ready to answer.
pub(crate) struct Patient {
    pub(crate) router: Router,
    /// What a target file reads from the environment.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) held: Held,
}

/// Answers until it is aborted.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    // Small answers would wait for the client's delayed acknowledgement.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the service ended");
    }
}

/// A random password or token.
pub(crate) fn secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
