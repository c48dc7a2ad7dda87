//! What handlers share.

use std::sync::Arc;

use redis::aio::ConnectionManager;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{catalogue::SeatRows, operations::Operations, pausing::PausePoints, queue::Publisher};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: PgPool,
    pub(crate) operations: Arc<Operations>,
    pub(crate) needs: Needs,
    pub(crate) seat_rows: SeatRows,
    /// How long a hold lasts.
    pub(crate) hold_ms: i64,
    pub(crate) stopping: watch::Receiver<bool>,
    /// Present if the service is directed.
    pub(crate) pausing: Option<PausePoints>,
}

/// Servers beside the database without which this strategy cannot reserve.
#[derive(Clone)]
pub(crate) struct Needs {
    pub(crate) redis: Option<ConnectionManager>,
    pub(crate) publisher: Option<Publisher>,
}
