//! The relay publishes what the outbox holds: at least once, and only what was committed.

use std::time::Duration;

use lapin::{Channel, Confirmation, Connection, options::ConfirmSelectOptions};
use sqlx::PgPool;

use super::{
    connection::{ANSWER_WITHIN, QueueError, within},
    messages::Event,
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
/// pass over what this one has locked; a broker that falls silent ends the round, and with it the
/// locks, after `ANSWER_WITHIN`.
async fn round(channel: &Channel, pool: &PgPool) -> Result<i64, QueueError> {
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

    hand_over(ANSWER_WITHIN, publish_all(channel, &events)).await?;
    transaction.commit().await?;
    let relayed = events.len() as i64;
    metrics::events_relayed(relayed.cast_unsigned());
    Ok(relayed)
}

async fn publish_all(
    channel: &Channel,
    events: &[Event],
) -> lapin::Result<Vec<impl Future<Output = lapin::Result<Confirmation>> + use<>>> {
    let mut confirms = Vec::with_capacity(events.len());
    for event in events {
        let body = serde_json::to_vec(event).expect("an event is JSON");
        let confirm = publish(channel, topology::EVENTS, &event.status, &body, persistent());
        confirms.push(confirm.await?);
    }
    Ok(confirms)
}

/// Publishes, then waits for all confirms, within one limit for the whole.
async fn hand_over<C: Future<Output = lapin::Result<Confirmation>>>(
    limit: Duration,
    publishing: impl Future<Output = lapin::Result<Vec<C>>>,
) -> Result<(), QueueError> {
    within(limit, "confirm the events", async {
        for confirm in publishing.await? {
            match confirm.await? {
                Confirmation::Ack(None) => {}
                other => return Err(QueueError::NotTaken(format!("{other:?}"))),
            }
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Pending, pending, ready};

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_broker_that_never_confirms_does_not_hold_the_outbox_for_ever() {
        let error = hand_over(LIMIT, ready(Ok(vec![pending()]))).await.expect_err("no confirm");
        assert_eq!(error.to_string(), "RabbitMQ did not confirm the events within 0.02 s");
    }

    #[tokio::test]
    async fn a_channel_that_takes_nothing_does_not_hold_the_outbox_for_ever() {
        let blocked = pending::<lapin::Result<Vec<Pending<_>>>>();
        assert!(hand_over(LIMIT, blocked).await.is_err());
    }

    #[tokio::test]
    async fn only_an_acknowledged_event_counts_as_published() {
        let said = |confirmation| hand_over(LIMIT, ready(Ok(vec![ready(Ok(confirmation))])));
        assert!(said(Confirmation::Ack(None)).await.is_ok());
        assert!(said(Confirmation::Nack(None)).await.is_err());
    }
}
