//! What a bench of the reference service needs of its database: tables made anew, and counters.

use async_recursion::async_recursion as boxed_future;
use slotproof_vocabulary::{DoctorId, Month, SlotId};
use sqlx::Row;

use super::ReferenceDatabase;
use crate::EvidenceError;

/// Slots of one bench cell, all of doctor 1 in one month.
#[derive(Debug, Clone, Copy)]
pub struct BenchSlots {
    /// How many slots there are.
    pub count: u32,
    /// Seats of each.
    pub capacity: i32,
    /// Whether each seat gets a row, which `seat_rows` needs.
    pub seat_rows: SeatRows,
}

/// Whether seats have rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatRows {
    /// One for each seat.
    Made,
    /// None.
    Left,
}

/// What the database has counted.
#[derive(Debug, Clone, Copy)]
pub struct BenchCounters {
    /// Rows of bookings.
    pub bookings: f64,
    /// Transactions rolled back since the database was made.
    pub rollbacks: f64,
    /// Flushes of the log since the server was made.
    pub wal_syncs: f64,
}

/// A month that no clock reaches soon: only the ids depend on it.
pub fn month() -> Month {
    Month::of(time::macros::datetime!(2030-01-15 09:00 UTC)).expect("after 2000")
}

impl ReferenceDatabase {
    /// Empties the tables and makes the slots anew, numbered from 1. Answers their ids.
    ///
    /// # Errors
    /// The database refuses.
    #[boxed_future]
    pub async fn make_bench_slots(
        &mut self,
        slots: BenchSlots,
    ) -> Result<Vec<String>, EvidenceError> {
        let ids: Vec<uuid::Uuid> = (1..=u64::from(slots.count))
            .map(|number| SlotId::new(DoctorId(1), month(), number).as_uuid())
            .collect();
        self.clear().await?;
        sqlx::raw_sql(
            "
            insert into doctors (doctor_id, name, specialty) overriding system value
            values (1, 'Ada Example', 'general practice')
            ",
        )
        .execute(&mut self.connection)
        .await?;
        sqlx::query(
            "
            with slot as (
                insert into appointment_slots
                    (doctor_id, slot_month, slot_id, starts_at, capacity, available_seats)
                select 1, $2, slot_id, timestamptz '2030-01-15 09:00 UTC', $3, $3
                from unnest($1::uuid[]) slot_id
            )
            insert into slot_seats (doctor_id, slot_month, slot_id, seat_no)
            select 1, $2, slot_id, seat_no
            from unnest($1::uuid[]) slot_id, generate_series(1, $3) seat_no where $4
            ",
        )
        .bind(&ids)
        .bind(month().first_day())
        .bind(slots.capacity)
        .bind(slots.seat_rows == SeatRows::Made)
        .execute(&mut self.connection)
        .await?;
        // Statistics of the full tables: a connection that has seen them empty plans to read them
        // whole.
        sqlx::raw_sql("analyze appointment_slots, slot_seats; checkpoint")
            .execute(&mut self.connection)
            .await?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    /// What the database has counted so far.
    ///
    /// # Errors
    /// The database does not answer.
    #[boxed_future]
    pub async fn bench_counters(&mut self) -> Result<BenchCounters, EvidenceError> {
        let row = sqlx::query(
            "
            select (select count(*) from bookings)::float8 as bookings,
                (select xact_rollback from pg_stat_database
                    where datname = current_database())::float8 as rollbacks,
                (select wal_sync from pg_stat_wal)::float8 as wal_syncs
            ",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(BenchCounters {
            bookings: row.try_get("bookings")?,
            rollbacks: row.try_get("rollbacks")?,
            wal_syncs: row.try_get("wal_syncs")?,
        })
    }
}
