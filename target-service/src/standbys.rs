//! Reads of slots from standbys of the database.
//!
//! A standby answers a read if it has the version that the client has seen, so that the client
//! reads its own writes and never goes back; if it is no older than the staleness that is declared
//! for reads; and if the primary is known to have shown that version. A standby may be ahead of what
//! the primary shows: it shows a commit that still waits for its acknowledgement. Everything else is
//! answered by the primary, which makes every decision. So a slot that has just changed is read from
//! the primary, and standbys serve the others.
//!
//! All of it is read in one snapshot of the standby.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use slotproof_vocabulary::{ReadMode, SlotId, reference_api::SlotBody};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    config::StandbyReads,
    metrics,
    read_model::{self, StandbySlot},
    reserve::{ReserveCommand, Reserved},
    start_error::StartError,
};

/// A standby that takes longer to answer a read is not worth waiting for: the primary answers.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// Connections to each standby at most: a read takes about a millisecond.
const CONNECTIONS: u32 = 4;
/// How long a connection may take to be made, or to become free. A read does not wait for so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the start of the service waits for connections: without them the first reads would find
/// every standby too slow.
const START_WITHIN: Duration = Duration::from_secs(2);
/// How long a standby that failed is passed over, so that not every read waits for it.
const PASSED_OVER_FOR: Duration = Duration::from_secs(1);

/// The standbys, and how reads are spread over them.
pub(crate) struct Standbys {
    standbys: Vec<Standby>,
    next: AtomicUsize,
    staleness_ms: u64,
    mode: ReadMode,
}

struct Standby {
    pool: PgPool,
    passed_over_until: Mutex<Option<Instant>>,
}

/// Why a read goes to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// No staleness is declared, so that a standby could only be right by chance.
    Undeclared,
    /// No standby answered.
    Unavailable,
    /// The standby does not have the slot, or not the version that the client has seen.
    Behind,
    /// The standby is older than declared.
    Stale,
    /// The primary may not show yet what the standby shows.
    Ahead,
}

impl Fallback {
    fn name(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::Unavailable => "unavailable",
            Self::Behind => "behind",
            Self::Stale => "stale",
            Self::Ahead => "ahead",
        }
    }
}

/// What is asked of an answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    min_version: Option<i64>,
    age_ms_max: Option<u64>,
    /// Whether the primary must be known to have shown it.
    shown: bool,
}

impl Asked {
    /// Whatever a standby has.
    const ANYTHING: Self = Self { min_version: None, age_ms_max: None, shown: false };
}

impl Standbys {
    /// Connects to each. A standby that is away does not keep the service from starting.
    ///
    /// # Errors
    /// A URL is none.
    pub(crate) async fn connect(reads: &StandbyReads) -> Result<Self, StartError> {
        let standbys = Self::new(reads)?;
        let all =
            standbys.standbys.iter().flat_map(|it| (0..CONNECTIONS).map(|_| it.pool.acquire()));
        let connecting = futures::future::join_all(all);
        if tokio::time::timeout(START_WITHIN, connecting).await.is_err() {
            tracing::warn!("a standby does not answer; reads go to the primary until it does");
        }
        Ok(standbys)
    }

    /// Connects when it is first asked.
    ///
    /// # Errors
    /// A URL is none.
    pub(crate) fn new(reads: &StandbyReads) -> Result<Self, StartError> {
        let standby = |url: &String| {
            let options: PgConnectOptions = url.parse().map_err(StartError::BadReadUrl)?;
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .acquire_timeout(CONNECT_WITHIN)
                .test_before_acquire(false)
                .connect_lazy_with(options);
            Ok(Standby { pool, passed_over_until: Mutex::default() })
        };
        Ok(Self {
            standbys: reads.database_urls.iter().map(standby).collect::<Result<_, StartError>>()?,
            next: AtomicUsize::new(0),
            staleness_ms: reads.staleness_ms,
            mode: reads.mode,
        })
    }

    /// Of a database that has none.
    pub(crate) fn none() -> Self {
        let StandbyReads { staleness_ms, mode, .. } = StandbyReads::default();
        Self { standbys: Vec::new(), next: AtomicUsize::new(0), staleness_ms, mode }
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.standbys.is_empty()
    }

    /// The slot as a standby has it; `None` if the primary is to be asked.
    pub(crate) async fn read(&self, slot: SlotId, min_version: i64) -> Option<SlotBody> {
        if self.standbys.is_empty() {
            return None;
        }
        let read = match self.asked(min_version) {
            Ok(asked) => self.ask(slot, asked).await,
            Err(fallback) => Err(fallback),
        };
        read.inspect(|_| metrics::slot_read("standby"))
            .inspect_err(|fallback| metrics::slot_read_fell_back(fallback.name()))
            .ok()
    }

    /// A negative control, `replica_decides`: a standby says whether too few seats are left, as in
    /// a service whose every `select` goes to a read connection, the check before a booking
    /// included (Laravel's `read` connection takes all of them outside a transaction).
    pub(crate) async fn decide(&self, command: &ReserveCommand) -> Option<Reserved> {
        if self.mode != ReadMode::ReplicaDecides || self.standbys.is_empty() {
            return None;
        }
        let seen = self.ask(command.slot, Asked::ANYTHING).await.ok()?;
        let available_seats = i32::try_from(seen.available_seats).ok()?;
        (available_seats < command.seats)
            .then_some(Reserved::SoldOut { slot_version: seen.version, available_seats })
    }

    fn asked(&self, min_version: i64) -> Result<Asked, Fallback> {
        let split = Asked {
            min_version: Some(min_version),
            age_ms_max: Some(self.staleness_ms),
            shown: true,
        };
        match self.mode {
            ReadMode::Split | ReadMode::ReplicaDecides | ReadMode::ReplicaReadAhead
                if self.staleness_ms == 0 =>
            {
                Err(Fallback::Undeclared)
            }
            ReadMode::Split | ReadMode::ReplicaDecides => Ok(split),
            // A negative control: any standby will do. The commonest bug of a read/write split: the
            // client does not find what it has just written (Laravel has the option `sticky` for it,
            // Rails a delay of two seconds after each write).
            ReadMode::ReplicaReadNoToken => Ok(Asked::ANYTHING),
            // A negative control: the staleness is a promise in a document, and nothing measures
            // it. A standby whose replay stands still is asked for ever.
            ReadMode::ReplicaStalenessUndeclared => {
                Ok(Asked { min_version: Some(min_version), ..Asked::ANYTHING })
            }
            // A negative control: a standby is taken for old at worst. It may also be ahead.
            ReadMode::ReplicaReadAhead => Ok(Asked { shown: false, ..split }),
        }
    }

    /// Asks one standby, the next in turn.
    async fn ask(&self, slot: SlotId, asked: Asked) -> Result<SlotBody, Fallback> {
        let standby = self.choose().ok_or(Fallback::Unavailable)?;
        // A task of its own: a read that is given up on still makes its connection, or frees it.
        let pool = standby.pool.clone();
        let reading =
            tokio::spawn(async move { read_model::read_slot_on_standby(&pool, slot).await });
        let read = match tokio::time::timeout(ANSWER_WITHIN, reading).await {
            Ok(Ok(Ok(read))) => read,
            Ok(Ok(Err(error))) => return Err(standby.pass_over(&error)),
            Ok(Err(panicked)) => return Err(standby.pass_over(&panicked)),
            Err(late) => return Err(standby.pass_over(&late)),
        };
        asked.suits(read)
    }

    fn choose(&self) -> Option<&Standby> {
        let now = Instant::now();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..self.standbys.len())
            .map(|step| &self.standbys[first.wrapping_add(step) % self.standbys.len()])
            .find(|standby| standby.is_to_be_asked(now))
    }
}

impl Standby {
    fn is_to_be_asked(&self, now: Instant) -> bool {
        let until = *self.passed_over_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| until <= now)
    }

    fn pass_over(&self, reason: &dyn std::fmt::Display) -> Fallback {
        tracing::debug!(%reason, "a standby is passed over for {} ms", PASSED_OVER_FOR.as_millis());
        let mut until = self.passed_over_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + PASSED_OVER_FOR);
        Fallback::Unavailable
    }
}

impl Asked {
    fn suits(self, read: Option<StandbySlot>) -> Result<SlotBody, Fallback> {
        let StandbySlot { slot, age_ms, is_shown } = read.ok_or(Fallback::Behind)?;
        if self.age_ms_max.is_some_and(|most| age_ms > most as f64) {
            return Err(Fallback::Stale);
        }
        if self.shown && !is_shown {
            return Err(Fallback::Ahead);
        }
        match self.min_version {
            Some(version) if slot.version < version => Err(Fallback::Behind),
            Some(_) | None => Ok(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{DoctorId, Month};
    use time::macros::datetime;

    use super::*;

    fn standbys(urls: usize, staleness_ms: u64, mode: ReadMode) -> Standbys {
        let database_urls = vec!["postgres://127.0.0.1:1/none".to_owned(); urls];
        Standbys::new(&StandbyReads { database_urls, staleness_ms, mode }).expect("URLs")
    }

    fn slot() -> SlotId {
        let month = Month::of(datetime!(2026-12-01 9:00 UTC)).expect("a month");
        SlotId::new(DoctorId(1), month, 7)
    }

    fn read(version: i64, age_ms: f64) -> Option<StandbySlot> {
        let slot = SlotBody {
            id: slot(),
            doctor_id: DoctorId(1),
            starts_at: datetime!(2026-12-01 9:00 UTC),
            capacity: 2,
            available_seats: 2,
            pending_seats: 0,
            confirmed_seats: 0,
            version,
        };
        Some(StandbySlot { slot, age_ms, is_shown: true })
    }

    #[tokio::test]
    async fn a_standby_answers_what_the_client_has_seen_within_the_declared_age_and_nothing_else() {
        let suits = |mode, staleness_ms, version, age_ms| {
            let asked = standbys(1, staleness_ms, mode).asked(5)?;
            asked.suits(read(version, age_ms)).map(|slot| slot.version)
        };
        use ReadMode::{ReplicaReadAhead, ReplicaReadNoToken, ReplicaStalenessUndeclared, Split};
        assert_eq!(suits(Split, 1_000, 5, 1_000.0), Ok(5));
        assert_eq!(suits(Split, 1_000, 4, 0.0), Err(Fallback::Behind));
        assert_eq!(suits(Split, 1_000, 5, 1_000.1), Err(Fallback::Stale));
        assert_eq!(suits(Split, 0, 5, 0.0), Err(Fallback::Undeclared));
        assert_eq!(suits(ReplicaReadNoToken, 0, 4, 9e9), Ok(4));
        assert_eq!(suits(ReplicaStalenessUndeclared, 1, 5, 9e9), Ok(5));
        assert_eq!(suits(ReplicaStalenessUndeclared, 1, 4, 0.0), Err(Fallback::Behind));
        let ahead = |mode| {
            let asked = standbys(1, 1_000, mode).asked(0).expect("a staleness is declared");
            let ahead = read(5, 0.0).map(|it| StandbySlot { is_shown: false, ..it });
            asked.suits(ahead).map(|slot| slot.version)
        };
        assert_eq!((ahead(Split), ahead(ReplicaReadAhead)), (Err(Fallback::Ahead), Ok(5)));
        let asked = standbys(1, 1_000, Split).asked(0).expect("a staleness is declared");
        assert_eq!(asked.suits(None).map(|slot| slot.version), Err(Fallback::Behind));
    }

    #[tokio::test]
    async fn a_standby_that_is_away_is_passed_over_and_asked_again_later() {
        let standbys = standbys(2, 1_000, ReadMode::Split);
        for _ in 0..2 {
            let asked = standbys.asked(0).expect("a staleness is declared");
            assert_eq!(standbys.ask(slot(), asked).await.map(|_| ()), Err(Fallback::Unavailable));
        }
        let now = Instant::now();
        assert!(standbys.standbys.iter().all(|standby| !standby.is_to_be_asked(now)));
        assert!(standbys.choose().is_none(), "both are passed over");
        assert!(standbys.standbys.iter().all(|it| it.is_to_be_asked(now + PASSED_OVER_FOR)));
    }
}
