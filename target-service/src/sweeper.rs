//! The sweeper returns the seats of overdue holds to their slots. The database's clock decides what
//! is overdue.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use slotproof_vocabulary::BookingId;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{
    cache::{By, Cache, Change},
    lifecycle, metrics,
    pooled::Pooled,
    read_model, reserve,
    routing::not_an_id,
    sharding::Elsewhere,
};

/// How often overdue holds are looked for: a seat is free again at most this long after its hold
/// ran out, plus the sweep.
const INTERVAL: Duration = Duration::from_millis(250);
/// Holds expired in one round; a full round is followed by the next one at once.
const ROUND_MAX: usize = 500;
/// How long a hold that the database refuses to expire is passed over, so that it does not take the
/// place of others in every round.
const SET_ASIDE_FOR: Duration = Duration::from_secs(5);
/// Holds passed over at one time. Each of them is read again in every round; with more of them the
/// database is broken, and the log says so.
const SET_ASIDE_MAX: usize = 10_000;

/// Sweeps until told to stop, in turn with others where sweepers take turns. A database that fails
/// is tried again at the next round.
pub(crate) async fn run(
    pool: PgPool,
    is_shard: bool,
    turns: Option<Arc<Pooled>>,
    cache: Option<Arc<Cache>>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut sweeper = Sweeper::new(Database { pool, is_shard, cache }, stopping.clone());
    loop {
        let round = in_turn(&mut sweeper, turns.as_deref());
        let next = round.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to expire overdue holds; retrying");
            Next::Later
        });
        if next == Next::AtOnce {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

async fn in_turn(
    sweeper: &mut Sweeper<Database>,
    turns: Option<&Pooled>,
) -> Result<Next, sqlx::Error> {
    let Some(turns) = turns else { return sweeper.round().await };
    let mut stopping = sweeper.stopping.clone();
    let turn = tokio::select! {
        turn = turns.turn() => turn?,
        _ = stopping.wait_for(|stop| *stop) => return Ok(Next::Later),
    };
    let Some(turn) = turn else { return Ok(Next::Later) };
    let next = sweeper.round().await;
    turn.end().await?;
    next
}

/// When the next round is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There was more than one round could take.
    AtOnce,
    Later,
}

/// What became of an overdue hold.
#[derive(Debug)]
enum Expiry {
    Expired,
    /// Another process or a client changed the booking first.
    ChangedBefore,
    /// The database rolled this back because of another transaction, or the booking is on its way to
    /// another shard. The hold is still there.
    LostRace,
    /// The database refused to expire this hold, and may do so again.
    Refused(String),
}

/// Where holds are kept: the database, or in tests a list.
trait Holds {
    /// The ids of overdue holds, the longest overdue first.
    async fn overdue(&self, most: usize) -> Result<Vec<BookingId>, sqlx::Error>;

    /// # Errors
    /// Those that concern every hold, like a lost connection. One that concerns this hold alone is
    /// [`Expiry::Refused`].
    async fn expire(&self, booking: BookingId) -> Result<Expiry, sqlx::Error>;
}

/// The database, and the cache that is told of what was changed there.
struct Database {
    pool: PgPool,
    /// Whether it is one of several.
    is_shard: bool,
    cache: Option<Arc<Cache>>,
}

impl Database {
    /// Those of the doctors that the shard owns. A copy that is being made, or what an interrupted
    /// move has left, is not its own.
    async fn overdue_of_shard(&self, most: usize) -> Result<Vec<BookingId>, sqlx::Error> {
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
            "
            select booking_id from bookings
            where status = 'pending' and expires_at <= statement_timestamp()
                and shard_bucket(doctor_id) in (select bucket from shard_buckets where state = 'owned')
            order by expires_at
            limit $1
            ",
        )
        .bind(most as i64)
        .fetch_all(&self.pool)
        .await?;
        ids.into_iter().map(|id| BookingId::try_from(id).map_err(not_an_id)).collect()
    }
}

impl Holds for Database {
    /// `statement_timestamp()`, because an index is not searched by `clock_timestamp()`, which may
    /// change from row to row: every hold was read in every round, which took 20 ms for 30,000 of
    /// them where this takes 0.06 ms.
    async fn overdue(&self, most: usize) -> Result<Vec<BookingId>, sqlx::Error> {
        if self.is_shard {
            return self.overdue_of_shard(most).await;
        }
        let rows = sqlx::query!(
            "
        select booking_id from bookings
        where status = 'pending' and expires_at <= statement_timestamp()
        order by expires_at
        limit $1
        ",
            most as i64,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| BookingId::try_from(row.booking_id).map_err(not_an_id)).collect()
    }

    async fn expire(&self, booking: BookingId) -> Result<Expiry, sqlx::Error> {
        match lifecycle::expire(&self.pool, booking).await {
            Ok(Some(lifecycle::Expired { slot, slot_version: version })) => {
                if let Some(cache) = &self.cache {
                    let change = Change { slot, booking: Some(booking), version, by: By::Sweeper };
                    let pool = self.pool.clone();
                    let read = async move { read_model::read_slot(&pool, slot).await };
                    cache.changed(change, read).await;
                }
                Ok(Expiry::Expired)
            }
            Ok(None) => Ok(Expiry::ChangedBefore),
            Err(error) if reserve::lost_race(&error) || error.is_elsewhere() => {
                Ok(Expiry::LostRace)
            }
            Err(sqlx::Error::Database(error)) => Ok(Expiry::Refused(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

struct Sweeper<H> {
    holds: H,
    stopping: watch::Receiver<bool>,
    /// Holds that the database refused to expire, and until when they are passed over.
    set_aside: HashMap<BookingId, Instant>,
}

impl<H: Holds> Sweeper<H> {
    fn new(holds: H, stopping: watch::Receiver<bool>) -> Self {
        Self { holds, stopping, set_aside: HashMap::new() }
    }

    /// Expires at most `ROUND_MAX` holds, and ends early when told to stop. Processes that find the
    /// same hold race, and one of them expires it.
    async fn round(&mut self) -> Result<Next, sqlx::Error> {
        let now = Instant::now();
        self.set_aside.retain(|_, until| *until > now);
        let most = ROUND_MAX + self.set_aside.len();
        let overdue = self.holds.overdue(most).await?;
        // The next round finds other holds if this one was full, and each of its holds is now gone
        // or set aside.
        let mut next = if overdue.len() < most { Next::Later } else { Next::AtOnce };
        for booking in overdue {
            if self.set_aside.contains_key(&booking) {
                continue;
            }
            if *self.stopping.borrow() {
                return Ok(Next::Later);
            }
            match self.holds.expire(booking).await? {
                Expiry::Expired => metrics::hold_expired(),
                Expiry::ChangedBefore => {}
                Expiry::LostRace => next = Next::Later,
                Expiry::Refused(error) => {
                    if !self.set_aside(booking, &error) {
                        next = Next::Later;
                    }
                }
            }
        }
        Ok(next)
    }

    /// `false`: too many are set aside already.
    fn set_aside(&mut self, booking: BookingId, error: &str) -> bool {
        if self.set_aside.len() >= SET_ASIDE_MAX {
            tracing::error!(
                %booking, error,
                "failed to expire a hold; {SET_ASIDE_MAX} other holds have failed already"
            );
            return false;
        }
        tracing::warn!(
            %booking, error,
            "failed to expire a hold; retrying in {} s", SET_ASIDE_FOR.as_secs()
        );
        self.set_aside.insert(booking, Instant::now() + SET_ASIDE_FOR);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotproof_vocabulary::{DoctorId, Month, SlotId};
    use std::{cell::RefCell, collections::BTreeMap};
    use time::macros::date;

    /// Overdue holds by age, and what the database says to each.
    struct Listed {
        holds: RefCell<BTreeMap<u64, Answer>>,
        /// Told to stop after this many expiries.
        stop_after: Option<(usize, watch::Sender<bool>)>,
        expired: RefCell<usize>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Answer {
        Expires,
        WasChanged,
        IsRefused,
    }

    fn listed(answers: impl IntoIterator<Item = Answer>) -> Listed {
        let holds = (0..).zip(answers).collect();
        Listed { holds: RefCell::new(holds), stop_after: None, expired: RefCell::new(0) }
    }

    fn booking(number: u64) -> BookingId {
        let month = Month::of(date!(2026 - 12 - 01).midnight().assume_utc()).expect("a month");
        BookingId::new(SlotId::new(DoctorId(1), month, 7), number)
    }

    impl Holds for Listed {
        async fn overdue(&self, most: usize) -> Result<Vec<BookingId>, sqlx::Error> {
            Ok(self.holds.borrow().keys().take(most).map(|number| booking(*number)).collect())
        }

        async fn expire(&self, of: BookingId) -> Result<Expiry, sqlx::Error> {
            let mut holds = self.holds.borrow_mut();
            let (number, answer) =
                holds.iter().map(|(n, a)| (*n, *a)).find(|(n, _)| booking(*n) == of).expect("due");
            Ok(match answer {
                Answer::IsRefused => Expiry::Refused("seats out of range".to_owned()),
                Answer::WasChanged => {
                    holds.remove(&number);
                    Expiry::ChangedBefore
                }
                Answer::Expires => {
                    holds.remove(&number);
                    *self.expired.borrow_mut() += 1;
                    if let Some((after, stop)) = &self.stop_after
                        && *self.expired.borrow() == *after
                    {
                        stop.send_replace(true);
                    }
                    Expiry::Expired
                }
            })
        }
    }

    fn never_stopping() -> watch::Receiver<bool> {
        watch::channel(false).1
    }

    #[tokio::test]
    async fn a_full_round_is_followed_at_once_also_when_others_expired_some_of_its_holds() {
        let mut answers = [Answer::Expires; ROUND_MAX];
        answers[17] = Answer::WasChanged;
        let mut sweeper = Sweeper::new(listed(answers), never_stopping());
        assert_eq!(sweeper.round().await.expect("a round"), Next::AtOnce);
        assert_eq!(sweeper.round().await.expect("a round"), Next::Later, "nothing is left");
    }

    #[tokio::test]
    async fn holds_that_are_refused_do_not_keep_younger_ones_from_being_expired() {
        let refused = std::iter::repeat_n(Answer::IsRefused, ROUND_MAX * 2);
        let holds = listed(refused.chain([Answer::Expires]));
        let mut sweeper = Sweeper::new(holds, never_stopping());
        while sweeper.round().await.expect("a round") == Next::AtOnce {}
        assert_eq!(*sweeper.holds.expired.borrow(), 1);
    }

    #[tokio::test]
    async fn a_backlog_does_not_keep_the_sweeper_from_stopping() {
        let (stop, stopping) = watch::channel(false);
        let holds = Listed {
            stop_after: Some((3, stop)),
            ..listed(std::iter::repeat_n(Answer::Expires, ROUND_MAX * 2))
        };
        let mut sweeper = Sweeper::new(holds, stopping);
        assert_eq!(sweeper.round().await.expect("a round"), Next::Later);
        assert_eq!(*sweeper.holds.expired.borrow(), 3);
    }
}
