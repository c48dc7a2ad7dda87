//! Occupancy for reports, from a materialised view. PostgreSQL has no cache of queries; this is what
//! it has instead. The answer says when it was counted.
//!
//! A report that is asked for and is old is counted anew in the background, by one process at a
//! time, and without keeping readers waiting. A service that is asked for none counts none. A doctor
//! who has moved to another shard is missing until it has counted.

use futures::future::try_join_all;
use slotproof_vocabulary::{
    DoctorId,
    reference_api::{Occupancy, OccupancyReport},
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::{routing::doctor_key, sharding::Shards};

/// An advisory lock: who makes the view, and who counts anew.
const LOCK: i64 = 0x5107_0003;

/// Of the requests of this process that find the view old, so many count at once: one of each shard.
static COUNTING: Semaphore = Semaphore::const_new(4);

/// The view is no migration: those of partitioned tables replace the table that it reads. A row of
/// doctor 0, whom nobody is, says when an empty table was counted.
const VIEW: &str = "
    create materialized view if not exists occupancy as
        select counted_at.as_of, coalesce(doctor_id, 0) as doctor_id,
            coalesce(slot_month, 'epoch'::date) as slot_month, coalesce(slots, 0) as slots,
            coalesce(capacity, 0) as capacity, coalesce(available_seats, 0) as available_seats
        from (select statement_timestamp() as as_of) counted_at
        left join (
            select doctor_id, slot_month, count(*) as slots, sum(capacity) as capacity,
                sum(available_seats) as available_seats
            from appointment_slots group by doctor_id, slot_month
        ) counted on true;
    create unique index if not exists occupancy_pkey on occupancy (doctor_id, slot_month)";

/// Makes the view, unless it is there.
pub(crate) async fn prepare(database: &mut PgConnection) -> Result<(), sqlx::Error> {
    let is_there = "select to_regclass('occupancy') is not null";
    if sqlx::query_scalar(is_there).fetch_one(&mut *database).await? {
        return Ok(());
    }
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut *database).await?;
    let made = sqlx::raw_sql(VIEW).execute(&mut *database).await;
    sqlx::query("select pg_advisory_unlock($1)").bind(LOCK).execute(database).await?;
    made.map(drop)
}

/// Takes the view away before the tables that it reads are replaced by partitioned ones.
pub(crate) async fn make_way(database: &mut PgConnection) -> Result<(), sqlx::Error> {
    let are_partitioned = "select to_regclass('months') is not null";
    if !sqlx::query_scalar(are_partitioned).fetch_one(&mut *database).await? {
        sqlx::raw_sql("drop materialized view if exists occupancy").execute(database).await?;
    }
    Ok(())
}

/// Of one database.
struct Counted {
    report: OccupancyReport,
    is_old: bool,
}

type Row = (OffsetDateTime, bool, i32, String, i64, i64, i64);

/// `which`: a condition on the doctors, in SQL of our own.
async fn read(
    pool: &PgPool,
    doctor: Option<DoctorId>,
    which: &str,
) -> Result<Counted, sqlx::Error> {
    let query = format!(
        "
        select as_of, as_of < clock_timestamp() - interval '5 seconds', doctor_id, to_char(slot_month, 'YYYY-MM'),
            slots, capacity::bigint, available_seats::bigint
        from occupancy
        where doctor_id = 0 or (($1::integer is null or doctor_id = $1) and {which})
        union all
        -- When it was counted, whatever is asked for.
        (select as_of, as_of < clock_timestamp() - interval '5 seconds', 0, '', 0, 0, 0 from occupancy limit 1)
        order by 3, 4
        "
    );
    let rows: Vec<Row> =
        sqlx::query_as(AssertSqlSafe(query)).bind(doctor.map(doctor_key)).fetch_all(pool).await?;
    let (as_of, is_old) = rows
        .first()
        .map_or((OffsetDateTime::UNIX_EPOCH, true), |(as_of, is_old, ..)| (*as_of, *is_old));
    let item = |(_, _, doctor, month, slots, capacity, available_seats): Row| Occupancy {
        doctor_id: DoctorId(doctor.cast_unsigned()),
        month,
        slots,
        capacity,
        available_seats,
    };
    let items = rows.into_iter().filter(|(_, _, doctor, ..)| *doctor != 0).map(item).collect();
    Ok(Counted { report: OccupancyReport { as_of, items }, is_old })
}

/// Counts anew, unless another process does.
async fn refresh(pool: PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let alone = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)").bind(LOCK);
    if alone.fetch_one(&mut *transaction).await? {
        sqlx::raw_sql("refresh materialized view concurrently occupancy")
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

impl Shards {
    /// By doctor and month. Of several databases the oldest count says when.
    pub(crate) async fn occupancy(
        &self,
        doctor: Option<DoctorId>,
    ) -> Result<OccupancyReport, sqlx::Error> {
        let which = self.condition_on_doctors();
        let reads = self.pools().map(|pool| read(pool, doctor, which));
        let mut reports = Vec::new();
        for (counted, pool) in try_join_all(reads).await?.into_iter().zip(self.pools()) {
            if counted.is_old
                && let Ok(alone) = COUNTING.try_acquire()
            {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let _alone = alone;
                    if let Err(error) = refresh(pool).await {
                        tracing::warn!(%error, "failed to count the occupancy anew");
                    }
                });
            }
            reports.push(counted.report);
        }
        let as_of = reports.iter().map(|report| report.as_of).min();
        let mut items: Vec<_> = reports.into_iter().flat_map(|report| report.items).collect();
        items.sort_by(|one, other| {
            (one.doctor_id, &one.month).cmp(&(other.doctor_id, &other.month))
        });
        Ok(OccupancyReport { as_of: as_of.unwrap_or(OffsetDateTime::UNIX_EPOCH), items })
    }
}
