//! The relay publishes what the outbox holds: at least once, and only what was committed.

use std::time::Duration;

use lapin::{Confirmation, Connection, options::ConfirmSelectOptions};
use sqlx::PgPool;

use super::{
    Event,
    connection::QueueError,
    publisher::{persistent, publish},
    topology,
};
use crate::metrics;

/// Events in one transaction and one wait for confirms.
const BATCH_MAX: i64 = 500;
/// How long an empty outbox is left alone.
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn relay(connection: Connection, pool: PgPool) -> Result<(), QueueError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    loop {
        let relayed = round(&channel, &pool).await?;
        if relayed < BATCH_MAX {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Takes events out of the outbox, publishes them, and commits when the broker has all of them. A
/// relay that dies before the commit leaves them to be published again. Relays of other processes
/// pass over what this one has locked.
async fn round(channel: &lapin::Channel, pool: &PgPool) -> Result<i64, QueueError> {
    let mut transaction = pool.begin().await?;
    let events = sqlx::query_as!(
        Event,
        r#"
        with taken as (
            delete from outbox
            where (doctor_id, slot_month, slot_id, slot_version) in (
                select doctor_id, slot_month, slot_id, slot_version from outbox
                order by created_at
                limit $1
                for update skip locked
            )
            returning doctor_id, slot_month, slot_id, slot_version
        )
        select doctor_id, slot_month, slot_id, slot_version, booking_id, to_status as status, seats
        from taken
        join booking_audit using (doctor_id, slot_month, slot_id, slot_version)
        "#,
        BATCH_MAX,
    )
    .fetch_all(&mut *transaction)
    .await?;

    let mut confirms = Vec::with_capacity(events.len());
    for event in &events {
        let body = serde_json::to_vec(event).expect("an event is JSON");
        confirms
            .push(publish(channel, topology::EVENTS, &event.status, &body, persistent()).await?);
    }
    for confirm in confirms {
        match confirm.await? {
            Confirmation::Ack(None) => {}
            other => return Err(QueueError::NotTaken(format!("{other:?}"))),
        }
    }
    transaction.commit().await?;
    let relayed = events.len() as i64;
    metrics::events_relayed(relayed.cast_unsigned());
    Ok(relayed)
}
