//! Shards by doctor: each doctor, with all slots and bookings, lies in one of several databases.
//!
//! Doctors are hashed to 1,024 buckets (`bucket.rs`), and each bucket has one owner, with an epoch
//! that grows by one when the bucket moves (`map.rs`, `mover.rs`). The owner's own table says that
//! it is the owner, and a trigger refuses every change in a shard that is not: whatever map a
//! process of the service has, it sells no seat in the wrong place. What it read is an answer only
//! if the shard still owns the bucket by the same epoch. So a process need not be told of a move: it
//! is refused, reads the map again, and asks the new owner.
//!
//! Strategies know nothing of it. Each shard has a pool, a strategy and a sweeper of its own.

mod bucket;
mod error;
mod lists;
mod map;
mod mover;
mod table;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::future::{join_all, try_join_all};
use slotproof_vocabulary::{DoctorId, ShardMode, reference_api::DoctorBody};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::{Mutex, watch};

use crate::{
    catalogue,
    config::{ShardSet, ShardUrl},
    connections::Connections,
    lifecycle::Changed,
    operations::{Operations, ReadAt},
    reserve::{ReserveError, Reserved, Strategy},
    standbys::Standbys,
    strategies::{lanes::ChangeLanes, wiring::Wiring},
};
use bucket::{BUCKETS, bucket_of};
use map::{Map, Owner};

pub use error::ShardError;
pub use mover::{Moved, Wanted, rebalance};

/// A setting of the mover's connections, and its value: they write what the shard does not own yet.
const PAST_THE_FENCE: (&str, &str) = ("slotproof.mover", "on");
/// How often the map is read again.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the map is read at the start, while buckets move.
const READINGS: u32 = 10;
/// How often one request is led to another shard before its client is told to retry.
const LOOKS: u32 = 3;

/// A shard's name and address.
type Site = ShardUrl;

impl Site {
    fn failed(&self, source: sqlx::Error) -> ShardError {
        ShardError::Database { shard: self.name.clone(), source }
    }
}

/// A database, and the operations on what is in it.
pub(crate) struct Shard {
    pub(crate) pool: PgPool,
    pub(crate) operations: Operations,
}

impl Shard {
    pub(crate) fn new(
        connections: Connections,
        strategy: Arc<dyn Strategy>,
        wiring: Wiring,
    ) -> Self {
        let operations = Operations {
            pool: connections.clone(),
            pooled: None,
            standbys: Standbys::none(),
            cache: None,
            strategy,
            confirm: wiring.confirm,
            cancel: wiring.cancel,
            change_lanes: wiring.changes_gather.then(|| ChangeLanes::open(&connections)),
            slot_reads: wiring.slot_reads,
        };
        Self { pool: connections.pool(), operations }
    }
}

/// All databases of the service.
pub(crate) struct Shards {
    shards: Vec<Arc<Shard>>,
    /// `None`: there is one database, which has all doctors.
    directory: Option<Directory>,
}

/// Who has which doctor.
pub(crate) struct Directory {
    map: RwLock<Arc<Map>>,
    /// Of requests that find the map too old, one reads it again.
    reading: Mutex<()>,
    hashing: Hashing,
    /// Whether it reads its map again only when it is refused.
    keeps_its_map: bool,
}

/// How the bucket of a request's doctor is found.
enum Hashing {
    Fixed,
    /// By a seed of this process (negative control).
    OfThisProcess(RwLock<RandomState>),
}

/// Why an operation on a doctor's bookings was not carried out.
pub(crate) enum Failed<E> {
    Error(E),
    /// They are on their way to another shard. Nothing was written.
    Moving,
}

impl<E> From<E> for Failed<E> {
    fn from(error: E) -> Self {
        Self::Error(error)
    }
}

/// Whether an error is the fence's: the doctor is in another shard, and nothing was written.
pub(crate) trait Elsewhere {
    fn is_elsewhere(&self) -> bool;
}

impl Elsewhere for sqlx::Error {
    fn is_elsewhere(&self) -> bool {
        self.as_database_error().is_some_and(|error| error.code().as_deref() == Some("SP001"))
    }
}

impl Elsewhere for ReserveError {
    fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_elsewhere())
    }
}

/// An answer of one shard, which may have been asked by an old map.
pub(crate) trait Answer {
    /// Whether it is right whoever owns the doctor: it was written, which the fence allows to the
    /// owner alone, or it never changes. Any other may come from a copy, or from rows that are left,
    /// unless the shard owned the doctor all the time.
    fn is_final(&self) -> bool;
}

/// The receipt of an earlier request never changes.
impl Answer for Reserved {
    fn is_final(&self) -> bool {
        matches!(self, Self::Booked(_))
    }
}

/// Done may have been done before, and undone since.
impl Answer for Changed {
    fn is_final(&self) -> bool {
        false
    }
}

impl<T> Answer for ReadAt<T> {
    fn is_final(&self) -> bool {
        false
    }
}

/// What was made, or a doctor, whom nothing changes.
impl<T> Answer for Option<T> {
    fn is_final(&self) -> bool {
        self.is_some()
    }
}

impl Answer for DoctorBody {
    fn is_final(&self) -> bool {
        true
    }
}

impl Directory {
    /// Names the shards and reads their map, which must give each bucket one owner. Their schema is
    /// up to date.
    ///
    /// # Errors
    /// See [`ShardError`].
    pub(crate) async fn open(set: &ShardSet) -> Result<Self, ShardError> {
        let ShardSet { shards: sites, mode, keeps_its_map } = set;
        let mut databases = connect(sites).await?;
        map::found(sites, &mut databases).await?;
        let mut checked = map::checked(sites, &map::all_claims(sites, &mut databases).await?);
        // A bucket may have moved from a shard that had been read to one that had not: then another
        // reading does not say the same.
        for _ in 0..READINGS {
            let Err(before @ ShardError::TwoOwners { .. }) = &checked else { break };
            let before = before.to_string();
            checked = map::checked(sites, &map::all_claims(sites, &mut databases).await?);
            if checked.as_ref().is_err_and(|error| error.to_string() == before) {
                break;
            }
        }
        let hashing = match mode {
            ShardMode::DefaultHasher => Hashing::OfThisProcess(RwLock::default()),
            ShardMode::Fenced | ShardMode::TwoOwners | ShardMode::MoveWithoutTail => Hashing::Fixed,
        };
        let map = RwLock::new(Arc::new(checked?));
        Ok(Self { map, reading: Mutex::default(), hashing, keeps_its_map: *keeps_its_map })
    }

    fn bucket_of(&self, doctor: DoctorId) -> u16 {
        match &self.hashing {
            Hashing::Fixed => bucket_of(doctor),
            Hashing::OfThisProcess(seed) => {
                let seed = seed.read().unwrap_or_else(PoisonError::into_inner);
                (seed.hash_one(doctor.0) % u64::from(BUCKETS)) as u16
            }
        }
    }

    /// A process that is started again has another seed.
    fn reseed(&self) {
        if let Hashing::OfThisProcess(seed) = &self.hashing {
            *seed.write().unwrap_or_else(PoisonError::into_inner) = RandomState::new();
        }
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shards {
    pub(crate) fn one(pool: PgPool, operations: Operations) -> Self {
        Self { shards: vec![Arc::new(Shard { pool, operations })], directory: None }
    }

    /// In the order in which the directory was given them.
    pub(crate) fn several(shards: Vec<Shard>, directory: Directory) -> Self {
        let shards = shards.into_iter().map(Arc::new).collect();
        Self { shards, directory: Some(directory) }
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = &PgPool> {
        self.shards.iter().map(|shard| &shard.pool)
    }

    /// Answers a request about a doctor's slots or bookings where they are.
    pub(crate) async fn at<T: Answer, E: Elsewhere + From<sqlx::Error>, F>(
        &self,
        doctor: DoctorId,
        act: impl Fn(Arc<Shard>) -> F,
    ) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.led(|directory| directory.bucket_of(doctor), act).await
    }

    /// Adds something to a doctor where he is.
    pub(crate) async fn add_at<T: Answer, E: Elsewhere + From<sqlx::Error>, F>(
        &self,
        doctor: DoctorId,
        act: impl Fn(Arc<Shard>) -> F,
    ) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.led(|_| bucket_of(doctor), act).await
    }

    /// Does something at the owner of a bucket, who may have changed since the map was read.
    async fn led<T: Answer, E: Elsewhere + From<sqlx::Error>, F>(
        &self,
        bucket_in: impl FnOnce(&Directory) -> u16,
        act: impl Fn(Arc<Shard>) -> F,
    ) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Some(directory) = &self.directory else {
            return act(Arc::clone(&self.shards[0])).await.map_err(Failed::Error);
        };
        let bucket = bucket_in(directory);
        for _ in 0..LOOKS {
            let map = directory.map();
            if let Some(owner) = map.owner(bucket) {
                let shard = &self.shards[owner.shard];
                match act(Arc::clone(shard)).await {
                    Err(error) if error.is_elsewhere() => {}
                    Ok(answer) if !answer.is_final() => {
                        if Box::pin(still_has(shard, bucket, owner)).await.map_err(E::from)? {
                            return Ok(answer);
                        }
                    }
                    decided => return decided.map_err(Failed::Error),
                }
            }
            Box::pin(self.read_again(directory, &map)).await;
            if directory.map().owner(bucket) == map.owner(bucket) {
                break;
            }
        }
        Err(Failed::Moving)
    }

    /// Reads the map again, unless that has been done since this one was read.
    async fn read_again(&self, directory: &Directory, seen: &Arc<Map>) {
        let _alone = directory.reading.lock().await;
        if !Arc::ptr_eq(seen, &directory.map()) {
            return;
        }
        // Of a shard that does not answer, what was known is kept: the fence refuses what an old map
        // does wrong.
        let claims = join_all(self.pools().map(map::claims)).await;
        for error in claims.iter().filter_map(|claims| claims.as_ref().err()) {
            tracing::warn!(%error, "failed to read the buckets of a shard");
        }
        let claims = claims.iter().map(|claims| claims.as_deref().ok());
        let map = Arc::new(seen.renewed(claims));
        *directory.map.write().unwrap_or_else(PoisonError::into_inner) = map;
    }

    /// Adds a doctor, whose id says in which shard.
    pub(crate) async fn create_doctor(
        &self,
        name: &str,
        specialty: &str,
    ) -> Result<DoctorBody, Failed<sqlx::Error>> {
        let first = &self.shards[0].pool;
        if self.directory.is_none() {
            return Ok(catalogue::create_doctor(first, name, specialty).await?);
        }
        loop {
            let doctor = catalogue::next_doctor(first).await?;
            let create = |shard: Arc<Shard>| async move {
                catalogue::create_numbered_doctor(&shard.pool, doctor, name, specialty).await
            };
            match self.add_at(doctor, create).await {
                // Another shard was the first one when this number was given.
                Err(Failed::Error(error)) if is_taken(&error) => {
                    let newest = try_join_all(self.pools().map(catalogue::newest_doctor)).await?;
                    let newest = newest.into_iter().max().unwrap_or_default();
                    catalogue::number_doctors_after(first, newest).await?;
                }
                created => return created,
            }
        }
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.constraint() == Some("doctors_pkey"))
}

/// Whether a shard has owned the bucket all the time since the map was read: owning it again, it would
/// have another epoch.
async fn still_has(shard: &Shard, bucket: u16, owner: Owner) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from shard_buckets where bucket = $1 and state <> 'moved' and epoch = $2)",
    )
    .bind(i32::from(bucket))
    .bind(owner.epoch)
    .fetch_one(&shard.pool)
    .await
}

/// Keeps the map, until told to stop.
pub(crate) async fn run(shards: Arc<Shards>, mut stopping: watch::Receiver<bool>) {
    let Some(directory) = shards.directory.as_ref().filter(|it| !it.keeps_its_map) else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        shards.read_again(directory, &directory.map()).await;
        directory.reseed();
    }
}

/// A connection to each shard.
async fn connect(sites: &[Site]) -> Result<Vec<PgConnection>, ShardError> {
    let connecting = sites.iter().map(async |site| {
        let connected = PgConnection::connect(&site.url).await;
        connected.map_err(|error| site.failed(error))
    });
    try_join_all(connecting).await
}
