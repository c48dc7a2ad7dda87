//! Consumers of events: delivered at least once, applied once.

use std::time::Duration;

use futures::StreamExt;
use lapin::{
    Connection,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};
use slotproof_vocabulary::BookingId;
use sqlx::PgPool;

use super::{connection::QueueError, messages::Event, topology};
use crate::{lifecycle, routing::not_an_id};

/// Events applied in one transaction.
const BATCH_MAX: u16 = 200;

/// Before events that the database failed on are handed back.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a consumer does with an event that it has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redelivery {
    AppliedOnce,
    /// A negative control.
    AppliedAgain,
}

/// What is done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consumer {
    /// Tells the patient.
    Notifications,
    /// Counts.
    Analytics,
    /// Expires a hold whose time has come, if nothing else has happened to it.
    Expiry,
}

impl Consumer {
    pub(super) const ALL: [Self; 3] = [Self::Notifications, Self::Analytics, Self::Expiry];

    pub(super) fn queue(self) -> &'static str {
        match self {
            Self::Notifications => topology::NOTIFICATIONS,
            Self::Analytics => topology::ANALYTICS,
            Self::Expiry => topology::EXPIRY,
        }
    }
}

pub(super) async fn consume(
    connection: Connection,
    pool: PgPool,
    consumer: Consumer,
    redelivery: Redelivery,
) -> Result<(), QueueError> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(BATCH_MAX, BasicQosOptions::default()).await?;
    let deliveries = channel
        .basic_consume(
            consumer.queue().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    // Takes what has arrived, without waiting for more.
    let mut batches = deliveries.ready_chunks(BATCH_MAX.into());
    while let Some(batch) = batches.next().await {
        let batch: Vec<Delivery> = batch.into_iter().collect::<lapin::Result<_>>()?;
        let (events, delivered) = parse(batch).await?;
        let Some(last) = delivered.last() else { continue };
        match apply(&pool, consumer, &events, redelivery).await {
            Ok(()) => {
                last.acker.ack(BasicAckOptions { multiple: true }).await?;
            }
            // The database refused the batch, perhaps because of one event.
            Err(error) if error.as_database_error().is_some() && events.len() > 1 => {
                for (event, delivery) in events.iter().zip(&delivered) {
                    let applied =
                        apply(&pool, consumer, std::slice::from_ref(event), redelivery).await;
                    settle(applied, delivery, consumer, false).await?;
                }
            }
            failed => settle(failed, last, consumer, true).await?,
        }
    }
    Ok(())
}

async fn apply(
    pool: &PgPool,
    consumer: Consumer,
    events: &[Event],
    redelivery: Redelivery,
) -> Result<(), sqlx::Error> {
    match consumer {
        Consumer::Notifications => notify(pool, events, redelivery).await,
        Consumer::Analytics => count(pool, events, redelivery).await,
        Consumer::Expiry => expire(pool, events).await,
    }
}

/// What failed goes back, after a pause, so that a database that restarts does not send good events
/// to the dead letters.
async fn settle(
    applied: Result<(), sqlx::Error>,
    delivery: &Delivery,
    consumer: Consumer,
    multiple: bool,
) -> Result<(), QueueError> {
    if let Err(error) = applied {
        tracing::warn!(%error, queue = consumer.queue(), "failed to apply events; requeued");
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        delivery.acker.nack(BasicNackOptions { multiple, requeue: true }).await?;
    } else {
        delivery.acker.ack(BasicAckOptions { multiple }).await?;
    }
    Ok(())
}

/// What is not ours goes to the dead letters.
async fn parse(batch: Vec<Delivery>) -> Result<(Vec<Event>, Vec<Delivery>), QueueError> {
    let mut events = Vec::with_capacity(batch.len());
    let mut delivered = Vec::with_capacity(batch.len());
    for delivery in batch {
        match serde_json::from_slice(&delivery.data) {
            Ok(event) => {
                events.push(event);
                delivered.push(delivery);
            }
            Err(error) => {
                tracing::warn!(%error, "malformed event; moved to the dead letters");
                delivery.acker.reject(BasicRejectOptions { requeue: false }).await?;
            }
        }
    }
    Ok((events, delivered))
}

/// Events in columns, as a statement takes them.
struct Columns {
    doctors: Vec<i32>,
    months: Vec<time::Date>,
    slots: Vec<uuid::Uuid>,
    versions: Vec<i64>,
    bookings: Vec<uuid::Uuid>,
    statuses: Vec<String>,
    seats: Vec<i32>,
}

impl Columns {
    /// Sorted, so that two transactions cannot deadlock.
    fn of(events: &[Event]) -> Self {
        let mut sorted: Vec<&Event> = events.iter().collect();
        sorted.sort_by_key(|event| {
            (event.doctor_id, event.slot_month, event.slot_id, event.slot_version)
        });
        Self {
            doctors: sorted.iter().map(|event| event.doctor_id).collect(),
            months: sorted.iter().map(|event| event.slot_month).collect(),
            slots: sorted.iter().map(|event| event.slot_id).collect(),
            versions: sorted.iter().map(|event| event.slot_version).collect(),
            bookings: sorted.iter().map(|event| event.booking_id).collect(),
            statuses: sorted.iter().map(|event| event.status.clone()).collect(),
            seats: sorted.iter().map(|event| event.seats).collect(),
        }
    }
}

async fn notify(
    pool: &PgPool,
    events: &[Event],
    redelivery: Redelivery,
) -> Result<(), sqlx::Error> {
    let columns = Columns::of(events);
    sqlx::query!(
        r#"
        with event as (
            select * from unnest($1::integer[], $2::date[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[])
                as event (doctor_id, slot_month, slot_id, slot_version, booking_id, status)
        ), fresh as (
            insert into applied_events (consumer, doctor_id, slot_month, slot_id, slot_version)
            select 'notifications', doctor_id, slot_month, slot_id, slot_version from event
            on conflict do nothing
            returning doctor_id, slot_month, slot_id, slot_version
        )
        insert into notifications (doctor_id, slot_month, slot_id, slot_version, booking_id, status)
        select distinct on (event.slot_id, event.slot_version, case when $7 then event.number end)
            event.doctor_id, event.slot_month, event.slot_id, event.slot_version, event.booking_id, event.status
        from (select *, row_number() over () as number from event) event
        left join fresh using (doctor_id, slot_month, slot_id, slot_version)
        where $7::boolean or fresh.slot_id is not null
        "#,
        &columns.doctors,
        &columns.months,
        &columns.slots,
        &columns.versions,
        &columns.bookings,
        &columns.statuses,
        redelivery == Redelivery::AppliedAgain,
    )
    .execute(pool)
    .await
    .map(|_| ())
}

async fn count(pool: &PgPool, events: &[Event], redelivery: Redelivery) -> Result<(), sqlx::Error> {
    let columns = Columns::of(events);
    sqlx::query!(
        r#"
        with event as (
            select * from unnest($1::integer[], $2::date[], $3::uuid[], $4::bigint[], $5::text[], $6::integer[])
                as event (doctor_id, slot_month, slot_id, slot_version, status, seats)
        ), fresh as (
            insert into applied_events (consumer, doctor_id, slot_month, slot_id, slot_version)
            select 'analytics', doctor_id, slot_month, slot_id, slot_version from event
            on conflict do nothing
            returning doctor_id, slot_month, slot_id, slot_version
        ), counted as (
            select distinct on (event.slot_id, event.slot_version, case when $7 then event.number end) event.*
            from (select *, row_number() over () as number from event) event
            left join fresh using (doctor_id, slot_month, slot_id, slot_version)
            where $7::boolean or fresh.slot_id is not null
        )
        insert into analytics (doctor_id, slot_month, status, changes, seats)
        select doctor_id, slot_month, status, count(*), sum(seats) from counted
        group by doctor_id, slot_month, status
        order by doctor_id, slot_month, status
        on conflict (doctor_id, slot_month, status)
            do update set changes = analytics.changes + excluded.changes, seats = analytics.seats + excluded.seats
        "#,
        &columns.doctors,
        &columns.months,
        &columns.slots,
        &columns.versions,
        &columns.statuses,
        &columns.seats,
        redelivery == Redelivery::AppliedAgain,
    )
    .execute(pool)
    .await
    .map(|_| ())
}

/// Compare-and-set: a hold that was confirmed, cancelled or swept in the meantime is left as it is.
async fn expire(pool: &PgPool, events: &[Event]) -> Result<(), sqlx::Error> {
    for event in events {
        let booking = BookingId::try_from(event.booking_id).map_err(not_an_id)?;
        lifecycle::expire(pool, booking).await?;
    }
    Ok(())
}
