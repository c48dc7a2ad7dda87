//! A database of a stated size: bookings of past days, loaded in bulk, as the service would have
//! left them.
//!
//! Every slot is full and every booking confirmed and announced: a row of `bookings`, two audit
//! records, a receipt, and what the two consumers made of both events. The outbox is empty, since
//! what has been announced leaves it. The rows belong to a doctor of their own and lie in past
//! months; a run reads only its own slots, so none of them is evidence of it.

use std::time::{Duration, Instant};

use async_recursion::async_recursion as boxed_future;
use slotproof_vocabulary::{DoctorId, Month, SlotId};
use sqlx::{Connection, Row};
use time::OffsetDateTime;

use super::{ReferenceDatabase, bench::SeatRows};
use crate::EvidenceError;

/// What is filled in.
#[derive(Debug, Clone, Copy)]
pub struct FillSpec {
    /// The size of the tables with their indexes at which the fill ends.
    pub bytes: u64,
    /// Whether each seat gets a row, which `seat_rows` needs.
    pub seat_rows: SeatRows,
}

/// What a fill has reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// Bookings that were made.
    pub bookings: u64,
    /// Size of all tables with their indexes (`pg_total_relation_size`).
    pub bytes: u64,
    /// By how much each batch made them grow, for each of its bookings.
    pub bytes_per_booking: Vec<f64>,
    /// How long it took.
    pub took: Duration,
}

/// Seats of a slot, each taken by one booking.
const SEATS: u32 = 20;
/// Batches: enough for an error of the size per booking.
const BATCHES: u64 = 20;
/// The least that a booking takes, from which the size of a batch is guessed: the headers of its
/// rows alone take more than half of it.
const BOOKING_BYTES_MIN: u64 = 1_000;
/// Bookings of one batch: a transaction of about 100 MB, which a checkpoint writes in a moment.
const BATCH_MAX: u64 = 50_000;
const BATCH_MIN: u64 = 500;
/// Past months over which slots are spread: five years.
const MONTHS: u32 = 60;

impl ReferenceDatabase {
    /// Fills the tables with past bookings until they have a size, and shows what it has reached
    /// after each batch. The rows are vacuumed, analysed and on disk when it ends.
    ///
    /// # Errors
    /// The database refuses, for example because its disk is full.
    #[boxed_future]
    pub async fn fill(
        &mut self,
        spec: FillSpec,
        show: &(dyn Fn(&Filled) + Sync),
    ) -> Result<Filled, EvidenceError> {
        let begun = Instant::now();
        let doctor = self.begin_to_fill().await?;
        let batch = (spec.bytes / BOOKING_BYTES_MIN / BATCHES).clamp(BATCH_MIN, BATCH_MAX);
        let slots = batch.div_ceil(SEATS.into());
        let mut filled = Filled {
            bookings: 0,
            bytes: self.bytes().await?,
            bytes_per_booking: Vec::new(),
            took: Duration::ZERO,
        };
        // No booking takes less than the minimum, so that many batches are enough.
        let batches_max = spec.bytes / (slots * u64::from(SEATS) * BOOKING_BYTES_MIN / 2) + 1;
        for number in 0..batches_max {
            if filled.bytes >= spec.bytes {
                break;
            }
            let month = past_month(OffsetDateTime::now_utc(), number);
            self.fill_batch(doctor, month, slots, spec.seat_rows).await?;
            let (made, bytes) = (slots * u64::from(SEATS), self.bytes().await?);
            filled.bytes_per_booking.push(bytes.saturating_sub(filled.bytes) as f64 / made as f64);
            filled.bookings += made;
            filled.bytes = bytes;
            filled.took = begun.elapsed();
            show(&filled);
        }
        // What follows is measured on a database at rest: hint bits and visibility map are written,
        // the planner knows the tables, and no checkpoint is owed.
        for statement in ["vacuum (analyze)", "checkpoint"] {
            sqlx::raw_sql(statement).execute(&mut self.connection).await?;
        }
        Ok(Filled { took: begun.elapsed(), ..filled })
    }

    /// Size of all tables of the service with their indexes.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn bytes(&mut self) -> Result<u64, EvidenceError> {
        let bytes: i64 = sqlx::query_scalar(
            "
            select sum(pg_total_relation_size(name::regclass))::bigint from unnest(array[
                'outbox', 'booking_audit', 'idempotency_keys', 'bookings', 'slot_seats',
                'appointment_slots', 'doctors', 'applied_events', 'notifications', 'analytics']) name
            ",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(bytes.unsigned_abs())
    }

    /// The doctor of the filled slots, and two tables of this connection for one batch.
    async fn begin_to_fill(&mut self) -> Result<DoctorId, EvidenceError> {
        sqlx::raw_sql(
            "
            create temporary table if not exists fill_slots (slot_id uuid not null, number bigint not null);
            create temporary table if not exists fill_bookings
                (slot_id uuid not null, seat integer not null, booking_id uuid not null, key text not null)
            ",
        )
        .execute(&mut self.connection)
        .await?;
        let row = sqlx::query(
            "insert into doctors (name, specialty) values ('Past Example', 'filled in') returning doctor_id",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(DoctorId(row.try_get::<i32, _>("doctor_id")?.cast_unsigned()))
    }

    /// One transaction. Ids and keys are random, as the service and its clients make them: the
    /// indexes grow as they would under load. The last 17 characters of a random UUID are the
    /// variant and the 62 random bits of our ids.
    async fn fill_batch(
        &mut self,
        doctor: DoctorId,
        month: Month,
        slots: u64,
        seat_rows: SeatRows,
    ) -> Result<(), EvidenceError> {
        let seats = SEATS.cast_signed();
        let routing = |id: SlotId| id.to_string()[..19].to_owned();
        let slot_routing = routing(SlotId::new(doctor, month, 0));
        // Kind 2 in place of kind 1.
        let booking_routing = slot_routing.replacen("-81", "-82", 1);
        let doctor = doctor.0.cast_signed();
        let day = month.first_day();
        let mut batch = self.connection.begin().await?;
        sqlx::raw_sql("set local synchronous_commit = off; truncate fill_slots, fill_bookings")
            .execute(&mut *batch)
            .await?;
        sqlx::query(
            "
            insert into fill_slots
            select ($1 || right(gen_random_uuid()::text, 17))::uuid, number
            from generate_series(1, $2) number
            ",
        )
        .bind(&slot_routing)
        .bind(slots.cast_signed())
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into fill_bookings
            select slot_id, seat, ($1 || right(gen_random_uuid()::text, 17))::uuid, gen_random_uuid()::text
            from fill_slots, generate_series(1, $2) seat
            ",
        )
        .bind(&booking_routing)
        .bind(seats)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into appointment_slots
                (doctor_id, slot_month, slot_id, starts_at, capacity, available_seats, version)
            select $1, $2, slot_id,
                $2::timestamp at time zone 'UTC' + (number % 2400) * interval '15 minutes', $3, 0, 2 * $3
            from fill_slots
            ",
        )
        .bind(doctor)
        .bind(day)
        .bind(seats)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into bookings (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key)
            select $1, $2, booking_id, slot_id, 'confirmed', 1, key from fill_bookings
            ",
        )
        .bind(doctor)
        .bind(day)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats)
            select $1, $2, slot_id, 2 * seat - 1, booking_id, null, 'pending', 1, $3 - seat from fill_bookings
            union all
            select $1, $2, slot_id, 2 * seat, booking_id, 'pending', 'confirmed', 1, $3 - seat from fill_bookings
            ",
        )
        .bind(doctor)
        .bind(day)
        .bind(seats)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into idempotency_keys
                (doctor_id, slot_month, idempotency_key, slot_id, seats, booking_id, expires_at, hold_ms,
                 slot_version, available_seats)
            select $1, $2, key, slot_id, 1, booking_id, clock_timestamp() - interval '1 day', 3000,
                2 * seat - 1, $3 - seat
            from fill_bookings
            ",
        )
        .bind(doctor)
        .bind(day)
        .bind(seats)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into applied_events (consumer, doctor_id, slot_month, slot_id, slot_version)
            select consumer, $1, $2, slot_id, 2 * seat - change
            from fill_bookings, unnest(array['notifications', 'analytics']) consumer,
                generate_series(0, 1) change
            ",
        )
        .bind(doctor)
        .bind(day)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into notifications (doctor_id, slot_month, slot_id, slot_version, booking_id, status)
            select $1, $2, slot_id, 2 * seat - change, booking_id,
                case change when 1 then 'pending' else 'confirmed' end
            from fill_bookings, generate_series(0, 1) change
            ",
        )
        .bind(doctor)
        .bind(day)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into analytics (doctor_id, slot_month, status, changes, seats)
            select $1, $2, status, made, made
            from (select count(*) as made from fill_bookings) counted,
                unnest(array['pending', 'confirmed']) status
            on conflict (doctor_id, slot_month, status)
                do update set changes = analytics.changes + excluded.changes, seats = analytics.seats + excluded.seats
            ",
        )
        .bind(doctor)
        .bind(day)
        .execute(&mut *batch)
        .await?;
        sqlx::query(
            "
            insert into slot_seats (doctor_id, slot_month, slot_id, seat_no, booking_id)
            select $1, $2, slot_id, seat, booking_id from fill_bookings where $3
            ",
        )
        .bind(doctor)
        .bind(day)
        .bind(seat_rows == SeatRows::Made)
        .execute(&mut *batch)
        .await?;
        batch.commit().await?;
        Ok(())
    }
}

/// The month of a batch: one to [`MONTHS`] months before now.
fn past_month(now: OffsetDateTime, batch: u64) -> Month {
    let back = 1 + (batch % u64::from(MONTHS)) as i64;
    Month::of(now - time::Duration::days(31 * back)).expect("this year is after 2010")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn filled_months_are_past_ones() {
        let now = datetime!(2026-03-01 00:00 UTC);
        let first = past_month(now, 0).first_day();
        assert_eq!(first, time::macros::date!(2026 - 01 - 01));
        assert_eq!(past_month(now, 60), past_month(now, 0), "after five years they begin again");
        assert!((0..120).all(|batch| past_month(now, batch).first_day() < now.date()));
    }

    #[test]
    fn a_booking_is_routed_as_its_slot_is() {
        let month = Month::of(datetime!(2026-01-01 00:00 UTC)).expect("after 2000");
        let slot = SlotId::new(DoctorId(7), month, 0);
        let booking = slotproof_vocabulary::BookingId::new(slot, 0);
        assert_eq!(slot.to_string()[..19].replacen("-81", "-82", 1), booking.to_string()[..19]);
    }
}
