//! What handlers share.

use std::sync::Arc;

use redis::aio::ConnectionManager;
use slotproof_vocabulary::Month;
use tokio::sync::watch;

use super::problem::Refusal;
use crate::{
    catalogue::SeatRows,
    months::{Calendar, MonthState},
    pausing::PausePoints,
    queue::Publisher,
    sharding::Shards,
};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) shards: Arc<Shards>,
    /// Present if the tables are partitioned by month.
    pub(crate) months: Option<Arc<Calendar>>,
    pub(crate) needs: Needs,
    pub(crate) seat_rows: SeatRows,
    /// How long a hold lasts.
    pub(crate) hold_ms: i64,
    /// Whether the process was told to stop.
    pub(crate) leaving: watch::Receiver<bool>,
    /// Present if the service is directed.
    pub(crate) pausing: Option<PausePoints>,
}

impl State {
    /// What was not found may lie in an archive.
    pub(super) async fn refuse_archived(&self, month: Month) -> Result<(), Refusal> {
        let Some(months) = &self.months else { return Ok(()) };
        match Box::pin(months.state_of(month)).await? {
            Some(MonthState::Archived) => Err(Refusal::month_archived(month)),
            Some(MonthState::Closed) | None => Ok(()),
        }
    }
}

/// Servers beside the database without which this strategy cannot reserve.
#[derive(Clone)]
pub(crate) struct Needs {
    pub(crate) redis: Option<ConnectionManager>,
    pub(crate) publisher: Option<Publisher>,
}
