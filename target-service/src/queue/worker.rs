//! Workers decide requests, one after the other, urgent ones first.
//!
//! A request is acknowledged after its decision is committed. A worker that dies in between leaves
//! the request to another one, which finds the receipt and decides nothing again.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};
use slotproof_vocabulary::StrategyKind;
use sqlx::PgPool;

use super::{connection::QueueError, messages::Request, topology};
use crate::{
    metrics,
    reserve::{
        IdempotencyKey, Reserve, ReserveCommand, ReserveError, Reserved, SEATS_MAX, once, retrying,
    },
};

/// Requests that a worker holds undecided. They wait when this worker is paused, so there are few.
const PREFETCH: u16 = 8;
/// Times that a decision is tried after losing races, before the request goes back to the queue.
const TRIES_MAX: u32 = 100;
/// Pause before a request that the database failed on is requeued, so that a database that restarts
/// does not send good requests to the dead letters.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) async fn work(
    connection: Connection,
    pool: PgPool,
    page: Arc<dyn Reserve>,
) -> Result<(), QueueError> {
    let (urgent_channel, mut urgent) = consume(&connection, topology::REQUESTS_URGENT).await?;
    let (normal_channel, mut normal) = consume(&connection, topology::REQUESTS).await?;
    loop {
        let delivery = tokio::select! {
            biased;
            delivery = urgent.next() => delivery,
            delivery = normal.next() => delivery,
        };
        match delivery {
            Some(delivery) => handle(delivery?, &pool, &*page).await?,
            None => {
                drop((urgent_channel, normal_channel));
                return Ok(());
            }
        }
    }
}

async fn consume(connection: &Connection, queue: &str) -> Result<(Channel, Consumer), QueueError> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((channel, consumer))
}

async fn handle(delivery: Delivery, pool: &PgPool, page: &dyn Reserve) -> Result<(), QueueError> {
    let Some(command) = parse(&delivery.data) else {
        tracing::warn!(bytes = delivery.data.len(), "malformed request; moved to the dead letters");
        metrics::request_rejected();
        delivery.acker.reject(BasicRejectOptions { requeue: false }).await?;
        return Ok(());
    };
    match decide(pool, page, &command).await {
        Ok(()) => {
            metrics::request_decided();
            delivery.acker.ack(BasicAckOptions::default()).await?;
        }
        Err(error) => {
            // It may have been committed: the next worker finds out by the receipt. The broker
            // counts deliveries, and moves what fails too often to the dead letters.
            tracing::warn!(%error, slot = %command.slot, "failed to decide a request; requeued");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            delivery.acker.nack(BasicNackOptions { requeue: true, multiple: false }).await?;
        }
    }
    Ok(())
}

fn parse(body: &[u8]) -> Option<ReserveCommand> {
    let request: Request = serde_json::from_slice(body).ok()?;
    let key = IdempotencyKey::parse(request.key.as_bytes())?;
    let beside_its_slot = request.booking.doctor() == request.slot.doctor()
        && request.booking.month() == request.slot.month();
    let valid = beside_its_slot && (1..=SEATS_MAX).contains(&request.seats) && request.hold_ms > 0;
    let Request { slot, seats, booking, hold_ms, urgent, .. } = request;
    valid.then_some(ReserveCommand { slot, seats, key, booking, hold_ms, urgent })
}

/// Books, or leaves a receipt that says why not: in both cases in one transaction, which a second
/// delivery cannot repeat.
async fn decide(
    pool: &PgPool,
    page: &dyn Reserve,
    command: &ReserveCommand,
) -> Result<(), ReserveError> {
    let decided = retrying(StrategyKind::Queue, TRIES_MAX, || async {
        let mut connection = pool.acquire().await?;
        once(page, &mut connection, command).await
    })
    .await?;
    match decided {
        Reserved::SoldOut { slot_version, available_seats } => {
            Ok(refuse(pool, command, "sold_out", slot_version, available_seats).await?)
        }
        Reserved::NoSlot => Ok(refuse(pool, command, "not_found", 0, 0).await?),
        Reserved::RetryLater => {
            Err(ReserveError::Unavailable("every try conflicted with other requests".to_owned()))
        }
        Reserved::Booked(_) | Reserved::KeyMismatch | Reserved::Accepted => Ok(()),
    }
}

/// Where there is a receipt already, another delivery of the request was decided first, and that
/// decision stands.
async fn refuse(
    pool: &PgPool,
    command: &ReserveCommand,
    reason: &str,
    slot_version: i64,
    available_seats: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        insert into idempotency_keys
            (doctor_id, slot_month, idempotency_key, slot_id, seats, booking_id, slot_version, available_seats, refused)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict do nothing
        ",
        command.doctor_id(),
        command.slot_month(),
        command.key.as_str(),
        command.slot.as_uuid(),
        command.seats,
        command.booking.as_uuid(),
        slot_version,
        available_seats,
        reason,
    )
    .execute(pool)
    .await
    .map(|_| ())
}
