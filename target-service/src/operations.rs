//! The operations on bookings as the edge asks for them, by the strategy and the wiring that were
//! chosen when the service started.

use std::sync::Arc;

use slotproof_vocabulary::{
    BookingId, DoctorId, SlotId,
    reference_api::{BookingBody, DoctorBody, SlotBody, SlotList},
};

use crate::{
    cache::{self, Available, By, Cache},
    connections::Connections,
    lifecycle::{Changed, NewStatus},
    metrics,
    pooled::Pooled,
    read_model::{self, SlotFilter},
    reserve::{self, ReserveCommand, ReserveError, Reserved, Strategy},
    standbys::Standbys,
    strategies::{
        lanes::ChangeLanes,
        wiring::{Change, SlotReads},
    },
};

/// What a read at a version or a later one came to.
pub(crate) enum ReadAt<T> {
    Found(T),
    None,
    /// Nothing has reached the version that the client says it has seen.
    NotYet,
}

pub(crate) struct Operations {
    pub(crate) pool: Connections,
    /// A pooler through which slots are read.
    pub(crate) pooled: Option<Arc<Pooled>>,
    pub(crate) standbys: Standbys,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) confirm: Change,
    pub(crate) cancel: Change,
    /// For both of them, where they are made together.
    pub(crate) change_lanes: Option<ChangeLanes>,
    pub(crate) slot_reads: SlotReads,
}

impl Operations {
    pub(crate) async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        if let Some(decided) = self.standbys.decide(command).await {
            return Ok(decided);
        }
        let answer = match &self.cache {
            None => self.strategy.reserve(command).await?,
            Some(cache) => Box::pin(self.reserve_with(cache, command)).await?,
        };
        self.booked(&answer).await;
        Ok(answer)
    }

    async fn reserve_with(
        &self,
        cache: &Cache,
        command: &ReserveCommand,
    ) -> Result<Reserved, ReserveError> {
        cache::look_first(cache, &self.pool, command).await?;
        match cache::decide(cache, &self.pool, command).await? {
            Some(decided) => Ok(decided),
            None => self.strategy.reserve(command).await,
        }
    }

    /// What became of a request; `Accepted` if it has not been decided yet.
    pub(crate) async fn outcome(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        let answer = reserve::outcome(&self.pool, command).await?;
        self.booked(&answer).await;
        Ok(answer)
    }

    pub(crate) async fn confirm(&self, booking: BookingId) -> Result<Changed, sqlx::Error> {
        let changed = match &self.change_lanes {
            Some(lanes) => lanes.change(booking, NewStatus::Confirmed).await?,
            None => (self.confirm)(&self.pool, booking).await?,
        };
        self.changed(&changed).await;
        Ok(changed)
    }

    pub(crate) async fn cancel(&self, booking: BookingId) -> Result<Changed, sqlx::Error> {
        let changed = match &self.change_lanes {
            Some(lanes) => lanes.change(booking, NewStatus::Cancelled).await?,
            None => (self.cancel)(&self.pool, booking).await?,
        };
        self.changed(&changed).await;
        Ok(changed)
    }

    /// The slot, at this version or a later one.
    pub(crate) async fn read_slot(
        &self,
        slot: SlotId,
        min_version: i64,
    ) -> Result<ReadAt<SlotBody>, sqlx::Error> {
        if let Some(body) = self.standbys.read(slot, min_version).await {
            return Ok(ReadAt::Found(body));
        }
        let read = async {
            let read = match &self.pooled {
                Some(pooled) => pooled.read(slot).await?,
                None => self.slot_reads.read(&self.pool, slot).await?,
            };
            if read.is_some() {
                metrics::slot_read("primary");
            }
            Ok(read)
        };
        let (read, least) = match &self.cache {
            None => (read.await?, min_version),
            Some(cache) => {
                (cache.read(slot, min_version, read).await?, cache.least_version(min_version))
            }
        };
        Ok(read_at(least, read, |body| body.version))
    }

    /// The booking, at this version of its slot or a later one.
    pub(crate) async fn read_booking(
        &self,
        booking: BookingId,
        min_version: i64,
    ) -> Result<ReadAt<BookingBody>, sqlx::Error> {
        let read = read_model::read_booking(&self.pool, booking);
        let (read, least) = match &self.cache {
            None => (read.await?, min_version),
            Some(cache) => {
                (cache.read(booking, min_version, read).await?, cache.least_version(min_version))
            }
        };
        Ok(read_at(least, read, |body| body.slot_version))
    }

    pub(crate) async fn read_doctor(
        &self,
        id: DoctorId,
    ) -> Result<Option<DoctorBody>, sqlx::Error> {
        let read = read_model::read_doctor(&self.pool, id);
        match &self.cache {
            None => read.await,
            Some(cache) => cache.read(id, 0, read).await,
        }
    }

    /// Slots by start. Those with seats left may come from the cache.
    pub(crate) async fn list_slots(&self, filter: SlotFilter) -> Result<SlotList, sqlx::Error> {
        let list =
            async { Ok(SlotList { items: read_model::list_slots(&self.pool, filter).await? }) };
        match &self.cache {
            Some(cache) if filter.available == Some(true) => {
                let list = async { list.await.map(Some) };
                let cached = cache.read(Available(filter.doctor), 0, list).await?;
                Ok(cached.unwrap_or(SlotList { items: Vec::new() }))
            }
            Some(_) | None => list.await,
        }
    }

    /// Tells the cache of a booking that was made.
    async fn booked(&self, answer: &Reserved) {
        if let Reserved::Booked(body) = answer {
            self.tell(body, None).await;
        }
    }

    /// Tells the cache of a booking that was changed.
    async fn changed(&self, answer: &Changed) {
        if let Changed::Done(body) = answer {
            self.tell(body, Some(body.id)).await;
        }
    }

    async fn tell(&self, body: &BookingBody, booking: Option<BookingId>) {
        if let Some(cache) = &self.cache {
            let (slot, version) = (body.slot_id, body.slot_version);
            let change = cache::Change { slot, booking, version, by: By::Client };
            let pool = self.pool.clone();
            let read = async move { read_model::read_slot(&pool, slot).await };
            Box::pin(cache.changed(change, read)).await;
        }
    }
}

fn read_at<T>(least_version: i64, read: Option<T>, version: impl Fn(&T) -> i64) -> ReadAt<T> {
    match read {
        None => ReadAt::None,
        Some(body) if version(&body) < least_version => ReadAt::NotYet,
        Some(body) => ReadAt::Found(body),
    }
}
