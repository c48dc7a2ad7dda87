//! The database of the reference service: the one place that knows its tables.
//!
//! Queries are checked at run time, not by the compiler: the harness reads a database, it does not
//! share the service's compile-time schema.

pub mod bench;
pub mod fill;
pub mod observation;
mod shards;

pub use shards::ReferenceShards;

use std::collections::HashMap;

use async_recursion::async_recursion as boxed_future;
use slotproof_scenarios::Clock;
use slotproof_vocabulary::{
    Announced, AuditRecord, BookingRow, BookingStatus, EndState, Notice, SlotRow, StatusCount,
};
use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::EvidenceError;

/// A connection to the database of the reference service.
#[derive(Debug)]
pub struct ReferenceDatabase {
    connection: PgConnection,
}

/// Slots of the reference service. Elsewhere a slot id is an opaque string; here it is a UUID.
#[derive(Debug, Clone)]
pub struct Slots(Vec<Uuid>);

impl Slots {
    /// # Errors
    /// The first id that the reference service cannot have given.
    pub fn parse(ids: &[String]) -> Result<Self, EvidenceError> {
        let parse = |id: &String| {
            Uuid::try_parse(id).map_err(|_| EvidenceError::ForeignSlot { slot: id.clone() })
        };
        ids.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// The slots of which a shard has a row.
struct Claims {
    there: Vec<Uuid>,
    /// Since which epoch it owns them.
    owned: HashMap<Uuid, i64>,
}

/// Whether the service announced what it committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announcements {
    /// Changes stay in the outbox.
    Left,
    /// `lost`: what is missing will not come any more.
    Made { lost: bool },
}

/// Holds that still take seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holds {
    /// All of them.
    pub(crate) left: i64,
    /// Those whose time has not run out.
    pub(crate) to_run_out: i64,
}

/// How far the announcements have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Changes in the outbox.
    pub(crate) in_outbox: i64,
    /// Changes that some consumer has not applied.
    pub(crate) missing: i64,
}

impl ReferenceDatabase {
    /// # Errors
    /// The database does not answer.
    #[boxed_future]
    pub async fn connect(url: &str) -> Result<Self, EvidenceError> {
        Ok(Self { connection: PgConnection::connect(url).await? })
    }

    /// Closes the connection in order.
    ///
    /// # Errors
    /// The database does not answer any more.
    #[boxed_future]
    pub async fn close(self) -> Result<(), EvidenceError> {
        Ok(self.connection.close().await?)
    }

    /// Empties every table. Ids of doctors go on, so that no message that is still in the broker is
    /// about a slot of a later run.
    ///
    /// # Errors
    /// The database refuses.
    #[boxed_future]
    pub async fn clear(&mut self) -> Result<(), EvidenceError> {
        sqlx::raw_sql(
            "
            truncate outbox, booking_audit, idempotency_keys, bookings, slot_seats, appointment_slots,
                doctors, applied_events, notifications, analytics
            ",
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// The slots that lie in this shard. A database that is none of several has what it has.
    async fn claims(&mut self, slots: &Slots) -> Result<Claims, EvidenceError> {
        let is_shard = sqlx::query_scalar("select to_regclass('shard_buckets') is not null");
        if !is_shard.fetch_one(&mut self.connection).await? {
            let there =
                sqlx::query_scalar("select slot_id from appointment_slots where slot_id = any($1)");
            let there: Vec<Uuid> = there.bind(&slots.0).fetch_all(&mut self.connection).await?;
            return Ok(Claims { owned: there.iter().map(|slot| (*slot, 0)).collect(), there });
        }
        let rows: Vec<(Uuid, Option<i64>)> = sqlx::query_as(
            "
            select slot_id, epoch from appointment_slots
            left join shard_buckets on bucket = shard_bucket(doctor_id) and state <> 'moved'
            where slot_id = any($1)
            ",
        )
        .bind(&slots.0)
        .fetch_all(&mut self.connection)
        .await?;
        let owned = rows.iter().filter_map(|(slot, epoch)| Some((*slot, (*epoch)?))).collect();
        Ok(Claims { there: rows.into_iter().map(|(slot, _)| slot).collect(), owned })
    }

    /// Whether a service was started on it.
    async fn has_tables(&mut self) -> Result<bool, EvidenceError> {
        let has = sqlx::query_scalar("select to_regclass('appointment_slots') is not null");
        Ok(has.fetch_one(&mut self.connection).await?)
    }

    /// Gives the buckets free, so that the next service to start founds its shards anew.
    async fn forget_shards(&mut self) -> Result<(), EvidenceError> {
        sqlx::raw_sql("truncate shard_buckets, shard").execute(&mut self.connection).await?;
        Ok(())
    }

    /// The holds of the slots.
    pub(crate) async fn holds(&mut self, slots: &Slots) -> Result<Holds, EvidenceError> {
        let row = sqlx::query(
            "
            select count(*) as left_over,
                count(*) filter (where expires_at > clock_timestamp()) as to_run_out
            from bookings
            where status = 'pending' and slot_id = any($1)
            ",
        )
        .bind(&slots.0)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Holds { left: row.try_get("left_over")?, to_run_out: row.try_get("to_run_out")? })
    }

    /// How far the announcements have come.
    pub(crate) async fn waiting(&mut self, slots: &Slots) -> Result<Waiting, EvidenceError> {
        waiting(&mut self.connection, slots).await
    }

    /// Rows and log of one snapshot, which is taken after an instant of this clock.
    pub(crate) async fn read(
        &mut self,
        slots: &Slots,
        announcements: Announcements,
        clock: &Clock,
    ) -> Result<(Vec<AuditRecord>, EndState), EvidenceError> {
        let read_ns = clock.now_ns();
        let mut snapshot =
            self.connection.begin_with("begin isolation level repeatable read read only").await?;
        let audit = sqlx::query(
            "
        select slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats
        from booking_audit where slot_id = any($1) order by slot_id, slot_version
        ",
        )
        .bind(&slots.0)
        .fetch_all(&mut *snapshot)
        .await?;
        let rows = sqlx::query(
            "
        select slot_id, capacity, available_seats, version from appointment_slots
        where slot_id = any($1) order by slot_id
        ",
        )
        .bind(&slots.0)
        .fetch_all(&mut *snapshot)
        .await?;
        let bookings = sqlx::query(
            "
        select booking_id, slot_id, status, seats, idempotency_key,
            (extract(epoch from clock_timestamp() - expires_at) * 1000)::bigint as overdue_ms
        from bookings where slot_id = any($1) order by slot_id, created_at, booking_id
        ",
        )
        .bind(&slots.0)
        .fetch_all(&mut *snapshot)
        .await?;
        let announced = match announcements {
            Announcements::Left => None,
            Announcements::Made { lost } => Some(applied(&mut snapshot, slots, lost).await?),
        };
        snapshot.rollback().await?;
        let end = EndState {
            read_ns: Some(read_ns),
            slots: rows.iter().map(slot_row).collect::<Result<_, _>>()?,
            bookings: bookings.iter().map(booking_row).collect::<Result<_, _>>()?,
            announced,
            foreign: None,
        };
        Ok((audit.iter().map(audit_record).collect::<Result<_, _>>()?, end))
    }
}

/// Changes in the outbox, and changes that some consumer has not applied.
async fn waiting(database: &mut PgConnection, slots: &Slots) -> Result<Waiting, EvidenceError> {
    let (in_outbox, missing) = sqlx::query_as(
        "
        select (select count(*) from outbox where slot_id = any($1)),
            (select count(*) from booking_audit where slot_id = any($1)) * 2
                - (select count(*) from applied_events
                    join booking_audit using (doctor_id, slot_month, slot_id, slot_version)
                    where slot_id = any($1))
        ",
    )
    .bind(&slots.0)
    .fetch_one(database)
    .await?;
    Ok(Waiting { in_outbox, missing })
}

/// What consumers made of the events of these slots, whose doctor no other run has.
async fn applied(
    database: &mut PgConnection,
    slots: &Slots,
    lost: bool,
) -> Result<Announced, EvidenceError> {
    let Waiting { missing, .. } = waiting(database, slots).await?;
    let notices = sqlx::query(
        "
        select slot_id, slot_version, booking_id, status from notifications
        where slot_id = any($1) order by slot_id, slot_version, notification_id
        ",
    )
    .bind(&slots.0)
    .fetch_all(&mut *database)
    .await?;
    let counts = sqlx::query(
        "
        select status, sum(changes)::bigint as changes, sum(seats)::bigint as seats from analytics
        where doctor_id in (select doctor_id from appointment_slots where slot_id = any($1))
        group by status order by status
        ",
    )
    .bind(&slots.0)
    .fetch_all(&mut *database)
    .await?;
    let notice = |row: &PgRow| {
        Ok::<_, EvidenceError>(Notice {
            slot: id(row, "slot_id")?,
            version: row.try_get("slot_version")?,
            booking: id(row, "booking_id")?,
            status: parse(row.try_get("status")?)?,
        })
    };
    let count = |row: &PgRow| {
        Ok::<_, EvidenceError>(StatusCount {
            status: parse(row.try_get("status")?)?,
            changes: row.try_get("changes")?,
            seats: row.try_get("seats")?,
        })
    };
    Ok(Announced {
        waiting: if lost { 0 } else { missing.max(0).cast_unsigned() },
        notices: notices.iter().map(notice).collect::<Result<_, _>>()?,
        counts: counts.iter().map(count).collect::<Result<_, _>>()?,
    })
}

fn slot_row(row: &PgRow) -> Result<SlotRow, EvidenceError> {
    Ok(SlotRow {
        slot: id(row, "slot_id")?,
        capacity: row.try_get::<i32, _>("capacity")?.into(),
        available: row.try_get::<i32, _>("available_seats")?.into(),
        version: row.try_get("version")?,
    })
}

fn booking_row(row: &PgRow) -> Result<BookingRow, EvidenceError> {
    Ok(BookingRow {
        booking: id(row, "booking_id")?,
        slot: id(row, "slot_id")?,
        status: parse(row.try_get("status")?)?,
        seats: row.try_get::<i32, _>("seats")?.into(),
        key: row.try_get("idempotency_key")?,
        overdue_ms: row.try_get("overdue_ms")?,
    })
}

fn audit_record(row: &PgRow) -> Result<AuditRecord, EvidenceError> {
    Ok(AuditRecord {
        slot: id(row, "slot_id")?,
        version: row.try_get("slot_version")?,
        booking: id(row, "booking_id")?,
        from: row.try_get::<Option<&str>, _>("from_status")?.map(parse).transpose()?,
        to: parse(row.try_get("to_status")?)?,
        seats: row.try_get::<i32, _>("seats")?.into(),
        available: row.try_get::<i32, _>("available_seats")?.into(),
    })
}

fn id(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    row.try_get::<Uuid, _>(column).map(|id| id.to_string())
}

fn parse(status: &str) -> Result<BookingStatus, EvidenceError> {
    status.parse().map_err(EvidenceError::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_the_reference_service_cannot_have_made_is_refused_by_name() {
        let ours = "0197f1a0-0000-7000-8000-000000000001".to_owned();
        assert!(Slots::parse(std::slice::from_ref(&ours)).is_ok());
        let refused = Slots::parse(&[ours, "monday-9".to_owned()]).expect_err("no UUID");
        assert!(refused.to_string().contains("monday-9"), "{refused}");
    }
}
