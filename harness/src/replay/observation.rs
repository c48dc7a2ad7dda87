//! What everybody can see of a slot while the calls stand still: the committed rows, who holds the
//! locks, who waits for whom.

use std::collections::{BTreeMap, HashMap};

use slotproof_models::CallId;
use slotproof_vocabulary::{BookingStatus, SlotId};
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// A slot at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observation {
    pub(super) available: i32,
    pub(super) version: i64,
    pub(super) fence: i64,
    /// By id: status, and whether the time of a pending one has run out.
    pub(super) bookings: HashMap<Uuid, (BookingStatus, bool)>,
    /// By key: a booking, or `None` for a refusal.
    pub(super) receipts: HashMap<String, Option<Uuid>>,
    /// The name of the connection whose transaction holds the slot's row.
    pub(super) slot_locked_by: Option<String>,
    /// The name of the connection that holds the advisory lock of the slot's name.
    pub(super) name_locked_by: Option<String>,
}

/// Reads it in one statement, once no connection of the scene is at work: PostgreSQL reports an
/// error a moment before it gives back what the failed transaction held.
///
/// Who holds the row: the transaction whose number is the row's `xmax`, as long as that transaction
/// runs.
pub(super) async fn observe(
    database: &PgPool,
    scene: &str,
    slot: SlotId,
) -> Result<Observation, sqlx::Error> {
    loop {
        if let Some(observation) = glance(database, scene, slot).await? {
            return Ok(observation);
        }
        tokio::task::yield_now().await;
    }
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
pub(super) async fn blocked(
    database: &PgPool,
    scene: &str,
) -> Result<Option<BTreeMap<String, String>>, sqlx::Error> {
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
pub(super) async fn cut(database: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    loop {
        let left: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1",
        )
        .bind(name)
        .fetch_one(database)
        .await?;
        if left == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// The name of a call's connection, after the scene's.
pub(super) fn name(call: CallId) -> String {
    String::from(call)
}
