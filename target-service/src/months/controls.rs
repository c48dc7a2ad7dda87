//! Negative controls: what is done to months that is broken on purpose.

use slotproof_vocabulary::{BookingId, Month, MonthMode, SlotId};
use sqlx::{AssertSqlSafe, PgPool};
use time::{Date, OffsetDateTime, UtcOffset};

use super::Calendar;
use crate::routing::{doctor_key, month_key};

/// New York in winter. Nothing depends on which zone it is, as long as it is behind UTC.
const LOCAL_HOURS: i8 = -5;

impl Calendar {
    /// The id of a new booking, which carries the month of its slot. In `partition_local_time` it
    /// is the month in which the slot starts by the clock on the wall: in the last hours of a month
    /// there, UTC has the next one, and that is where the row lies.
    pub(crate) async fn id_of(
        &self,
        booking: BookingId,
        slot: SlotId,
    ) -> Result<BookingId, sqlx::Error> {
        if self.months.mode != MonthMode::PartitionLocalTime {
            return Ok(booking);
        }
        let starts_at: Option<OffsetDateTime> = sqlx::query_scalar(
            "
            select starts_at from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
        )
        .bind(doctor_key(slot.doctor()))
        .bind(month_key(slot.month()))
        .bind(slot.as_uuid())
        .fetch_optional(&self.pool)
        .await?;
        let unique = booking.as_uuid().as_u128() as u64;
        let local = starts_at.and_then(local_month).unwrap_or(slot.month());
        Ok(BookingId::new(SlotId::new(slot.doctor(), local, unique), unique))
    }
}

fn local_month(instant: OffsetDateTime) -> Option<Month> {
    let zone = UtcOffset::from_hms(LOCAL_HOURS, 0, 0).expect("an offset");
    let on_the_wall = instant.to_offset(zone).replace_offset(UtcOffset::UTC);
    Month::of(on_the_wall)
}

/// `archive_live_month`: takes away the bookings of every month in which one is older than two
/// seconds, and asks neither whether the month is over nor whether it has holds. The month goes on
/// with an empty partition.
pub(super) async fn archive_by_age(pool: &PgPool) -> Result<(), sqlx::Error> {
    let months: Vec<Date> = sqlx::query_scalar(
        "
        select slot_month from months
        where state = 'open' and exists (
            select from bookings
            where bookings.slot_month = months.slot_month
                and created_at < clock_timestamp() - interval '2 seconds')
        ",
    )
    .fetch_all(pool)
    .await?;
    for month in months {
        take_bookings_away(pool, month).await?;
    }
    Ok(())
}

async fn take_bookings_away(pool: &PgPool, month: Date) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // Processes that do it together do it one after the other.
    sqlx::query("select from months where slot_month = $1 for update")
        .bind(month)
        .execute(&mut *transaction)
        .await?;
    let partition = sqlx::query_scalar("select partition_of('bookings', $1)").bind(month);
    let partition: String = partition.fetch_one(&mut *transaction).await?;
    let drop = format!("alter table bookings detach partition {partition}; drop table {partition}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
    for anew in
        ["select make_partition('bookings', $1, '')", "select attach_partition('bookings', $1)"]
    {
        sqlx::query(anew).bind(month).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
