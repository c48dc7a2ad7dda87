//! Doctors and their slots: made by an administrator, read by everyone.

use rand::Rng;
use slotproof_vocabulary::{
    DoctorId, Month, SlotId,
    reference_api::{DoctorBody, SlotBody, SlotSummary},
};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::booking::doctor_id;

/// Slots in one answer to a list: enough for a calendar page, little enough to be quick.
const LISTED_MAX: i64 = 200;
/// Doctors in one answer to a list.
const DOCTORS_MAX: i64 = 1_000;

pub(crate) async fn create_doctor(
    pool: &PgPool,
    name: &str,
    specialty: &str,
) -> Result<DoctorBody, sqlx::Error> {
    let row = sqlx::query!(
        "insert into doctors (name, specialty) values ($1, $2) returning doctor_id",
        name,
        specialty
    )
    .fetch_one(pool)
    .await?;
    Ok(DoctorBody {
        id: DoctorId(row.doctor_id.cast_unsigned()),
        name: name.to_owned(),
        specialty: specialty.to_owned(),
    })
}

pub(crate) async fn list_doctors(pool: &PgPool) -> Result<Vec<DoctorBody>, sqlx::Error> {
    let rows = sqlx::query!(
        "select doctor_id, name, specialty from doctors order by doctor_id limit $1",
        DOCTORS_MAX
    )
    .fetch_all(pool)
    .await?;
    let doctor = |id: i32| DoctorId(id.cast_unsigned());
    Ok(rows
        .into_iter()
        .map(|row| DoctorBody {
            id: doctor(row.doctor_id),
            name: row.name,
            specialty: row.specialty,
        })
        .collect())
}

/// Whether each seat of a new slot gets a row, which only the strategy `seat_rows` needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeatRows {
    Made,
    Left,
}

/// `None`: no such doctor.
pub(crate) async fn create_slot(
    pool: &PgPool,
    doctor: DoctorId,
    starts_at: OffsetDateTime,
    month: Month,
    capacity: i32,
    seat_rows: SeatRows,
) -> Result<Option<SlotBody>, sqlx::Error> {
    let id = SlotId::new(doctor, month, rand::rng().random());
    let inserted = sqlx::query!(
        "
        with slot as (
            insert into appointment_slots (doctor_id, slot_month, slot_id, starts_at, capacity, available_seats)
            values ($1, $2, $3, $4, $5, $5)
        )
        insert into slot_seats (doctor_id, slot_month, slot_id, seat_no)
        select $1, $2, $3, seat_no from generate_series(1, $5) seat_no where $6::boolean
        ",
        doctor_id(id),
        month.first_day(),
        id.as_uuid(),
        starts_at,
        capacity,
        seat_rows == SeatRows::Made,
    )
    .execute(pool)
    .await;
    match inserted {
        Ok(_) => read(pool, id).await,
        Err(sqlx::Error::Database(error))
            if error.constraint() == Some("appointment_slots_doctor_fkey") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// One slot with the seats of its bookings, in one snapshot: the sum is there to be checked, so it
/// is counted from the bookings and not kept beside the counter.
pub(crate) async fn read(pool: &PgPool, slot: SlotId) -> Result<Option<SlotBody>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select starts_at, capacity, available_seats, version,
            (select coalesce(sum(seats) filter (where status = 'pending'), 0) from bookings
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status in ('pending', 'confirmed')
            ) as "pending_seats!",
            (select coalesce(sum(seats) filter (where status = 'confirmed'), 0) from bookings
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status in ('pending', 'confirmed')
            ) as "confirmed_seats!"
        from appointment_slots
        where doctor_id = $1 and slot_month = $2 and slot_id = $3
        "#,
        doctor_id(slot),
        slot.month().first_day(),
        slot.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| SlotBody {
        id: slot,
        doctor_id: slot.doctor(),
        starts_at: row.starts_at,
        capacity: row.capacity.into(),
        available_seats: row.available_seats.into(),
        pending_seats: row.pending_seats,
        confirmed_seats: row.confirmed_seats,
        version: row.version,
    }))
}

/// What a list of slots is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter {
    pub(crate) doctor: Option<DoctorId>,
    /// Only slots with (`true`) or without (`false`) seats left.
    pub(crate) available: Option<bool>,
}

pub(crate) async fn list(pool: &PgPool, filter: Filter) -> Result<Vec<SlotSummary>, sqlx::Error> {
    let rows = sqlx::query!(
        "
        select slot_id, starts_at, capacity, available_seats, version from appointment_slots
        where ($1::integer is null or doctor_id = $1) and ($2::boolean is null or (available_seats > 0) = $2)
        order by starts_at, slot_id
        limit $3
        ",
        filter.doctor.map(|doctor| doctor.0.cast_signed()),
        filter.available,
        LISTED_MAX,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let id = SlotId::try_from(row.slot_id)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(SlotSummary {
                id,
                doctor_id: id.doctor(),
                starts_at: row.starts_at,
                capacity: row.capacity.into(),
                available_seats: row.available_seats.into(),
                version: row.version,
            })
        })
        .collect()
}
