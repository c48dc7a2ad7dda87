//! What can be seen of a slot while the calls stand still: the committed rows, who holds the
//! locks, who waits for whom.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed_future;
use slotproof_vocabulary::{BookingStatus, SlotId};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::EvidenceError;

/// A statement of a scene or the rollback of a connection takes milliseconds; what takes longer
/// than this does not end.
const REST_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A slot at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Seats that the row says are free.
    pub available: i32,
    /// The version of the row.
    pub version: i64,
    /// The highest fencing token that has written.
    pub fence: i64,
    /// By id: status, and whether the time of a pending one has run out.
    pub bookings: HashMap<Uuid, (BookingStatus, bool)>,
    /// By key: a booking, or `None` for a refusal.
    pub receipts: HashMap<String, Option<Uuid>>,
    /// The name of the connection whose transaction holds the slot's row.
    pub slot_locked_by: Option<String>,
    /// The name of the connection that holds the advisory lock of the slot's name.
    pub name_locked_by: Option<String>,
}

/// Reads it in one statement, once no connection of the scene is at work: PostgreSQL reports an
/// error a moment before it gives back what the failed transaction held.
///
/// Who holds the row: the transaction whose number is the row's `xmax`, as long as that transaction
/// runs.
///
/// # Errors
/// A connection of the scene is still at work after 20 s, or the database does not answer.
#[boxed_future]
pub async fn observe(
    database: &PgPool,
    scene: &str,
    slot: SlotId,
) -> Result<Observation, EvidenceError> {
    let what = format!("connections named {scene}/... are");
    look_until(what, REST_WITHIN, || glance(database, scene, slot)).await
}

/// Looks again and again until there is something to see.
///
/// # Errors
/// There is nothing within the limit, or a look fails.
async fn look_until<T, F>(
    what: String,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, EvidenceError>
where
    F: Future<Output = Result<Option<T>, sqlx::Error>>,
{
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(EvidenceError::Restless { what, waited: limit })
}

/// The same, or nothing if a connection of the scene is at work.
async fn glance(
    database: &PgPool,
    scene: &str,
    slot: SlotId,
) -> Result<Option<Observation>, sqlx::Error> {
    let row = sqlx::query(
        "
        select slot.available_seats, slot.version, slot.fence,
            (select count(*) from pg_stat_activity
                where starts_with(application_name, $4) and state = 'active'
                    and coalesce(wait_event, '') not in ('transactionid', 'tuple', 'advisory')) as at_work,
            (select coalesce(json_agg(json_build_array(booking_id, status, status = 'pending' and expires_at <= clock_timestamp())), '[]')
                from bookings where doctor_id = slot.doctor_id and slot_month = slot.slot_month and slot_id = $1)::text as bookings,
            (select coalesce(json_agg(json_build_array(idempotency_key, case when refused is null then booking_id end)), '[]')
                from idempotency_keys where doctor_id = slot.doctor_id and slot_month = slot.slot_month and slot_id = $1)::text as receipts,
            (select application_name from pg_stat_activity where backend_xid = slot.xmax) as slot_locked_by,
            (select application_name from pg_locks join pg_stat_activity using (pid)
                where locktype = 'advisory' and granted and objsubid = 1
                    and ((classid::bigint << 32) | objid::bigint) = hashtextextended($1::uuid::text, 0)) as name_locked_by
        from appointment_slots slot
        where doctor_id = $2 and slot_month = $3 and slot_id = $1
        ",
    )
    .bind(slot.as_uuid())
    .bind(slot.doctor().0.cast_signed())
    .bind(slot.month().first_day())
    .bind(format!("{scene}/"))
    .fetch_one(database)
    .await?;
    if row.try_get::<i64, _>("at_work")? > 0 {
        return Ok(None);
    }
    let bad = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    let bookings: Vec<(Uuid, BookingStatus, bool)> =
        serde_json::from_str(row.try_get("bookings")?).map_err(bad)?;
    let receipts: Vec<(String, Option<Uuid>)> =
        serde_json::from_str(row.try_get("receipts")?).map_err(bad)?;
    Ok(Some(Observation {
        available: row.try_get("available_seats")?,
        version: row.try_get("version")?,
        fence: row.try_get("fence")?,
        bookings: bookings
            .into_iter()
            .map(|(id, status, overdue)| (id, (status, overdue)))
            .collect(),
        receipts: receipts.into_iter().collect(),
        slot_locked_by: row.try_get("slot_locked_by")?,
        name_locked_by: row.try_get("name_locked_by")?,
    }))
}

/// The connections of a scene that wait for a transaction, each with those that it waits for;
/// nothing if one is at work, for then somebody may go on any moment. Other locks (a table is made
/// longer, say) are held for no longer than a statement: who waits for them is at work.
///
/// # Errors
/// The database does not answer.
#[boxed_future]
pub async fn blocked(
    database: &PgPool,
    scene: &str,
) -> Result<Option<BTreeMap<String, String>>, EvidenceError> {
    let active: Vec<(String, Option<String>)> = sqlx::query_as(
        "
        select one.application_name,
            case when one.wait_event in ('transactionid', 'tuple', 'advisory') then (
                select string_agg(application_name, ', ') from pg_stat_activity where pid = any(pg_blocking_pids(one.pid))
            ) end
        from pg_stat_activity one
        where starts_with(one.application_name, $1) and one.state = 'active'
        ",
    )
    .bind(format!("{scene}/"))
    .fetch_all(database)
    .await?;
    Ok(active.into_iter().map(|(name, blockers)| Some((name, blockers?))).collect())
}

/// Cuts the connections of this name, and comes back when PostgreSQL has rolled back what they had
/// begun.
///
/// # Errors
/// A connection is still there after 20 s, or the database does not answer.
#[boxed_future]
pub async fn cut(database: &PgPool, name: &str) -> Result<(), EvidenceError> {
    let left = || {
        sqlx::query_scalar::<_, i64>(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1",
        )
        .bind(name)
        .fetch_one(database)
    };
    let what = format!("connection {name} is");
    look_until(what, REST_WITHIN, async || Ok((left().await? == 0).then_some(()))).await
}

/// Moves the ends of all holds of a slot ahead by the same time, until this hold has just run out,
/// or every hold. Answers by how much.
///
/// # Errors
/// The database does not answer.
#[boxed_future]
pub async fn advance(
    database: &PgPool,
    slot: SlotId,
    until: Option<Uuid>,
) -> Result<Duration, EvidenceError> {
    let left_ms: Option<i64> = sqlx::query_scalar(
        "
        select max(ceil(extract(epoch from expires_at - clock_timestamp()) * 1000))::bigint
        from bookings
        where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status = 'pending'
            and ($4::uuid is null or booking_id = $4)
        ",
    )
    .bind(slot.doctor().0.cast_signed())
    .bind(slot.month().first_day())
    .bind(slot.as_uuid())
    .bind(until)
    .fetch_one(database)
    .await?;
    let Some(by_ms) = left_ms.filter(|left| *left > 0) else { return Ok(Duration::ZERO) };
    sqlx::query(
        "
        with holds as (
            update bookings set expires_at = expires_at - $4 * interval '1 millisecond'
            where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status = 'pending'
        )
        update idempotency_keys set expires_at = expires_at - $4 * interval '1 millisecond'
        where doctor_id = $1 and slot_month = $2 and slot_id = $3 and expires_at is not null
        ",
    )
    .bind(slot.doctor().0.cast_signed())
    .bind(slot.month().first_day())
    .bind(slot.as_uuid())
    .bind(by_ms)
    .execute(database)
    .await?;
    Ok(Duration::from_millis(by_ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_does_not_come_to_rest_is_given_up() {
        let mut looks = 0;
        let limit = Duration::from_millis(20);
        let looking = look_until("connections named w/... are".to_owned(), limit, || {
            looks += 1;
            std::future::ready(Ok(None::<()>))
        });
        let given_up = tokio::time::timeout(Duration::from_secs(20), looking);
        let error = given_up.await.expect("it gives up").expect_err("it never rests");
        assert_eq!(error.to_string(), "connections named w/... are still at work after 0 s");
        assert!((1..=20).contains(&looks), "{looks} looks, one a millisecond at most");
    }

    #[tokio::test]
    async fn what_is_seen_at_a_later_look_is_returned() {
        let mut looks = 0..;
        let look = || std::future::ready(Ok(looks.next().filter(|look| *look == 2)));
        let seen = look_until("it is".to_owned(), REST_WITHIN, look).await;
        assert_eq!(seen.expect("the third look"), 2);
    }
}
