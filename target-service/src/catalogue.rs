//! Doctors and slots as an administrator creates them.

use rand::Rng;
use slotproof_vocabulary::{
    DoctorId, Month, SlotId,
    reference_api::{DoctorBody, SlotBody},
};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::routing::{doctor_key, month_key};

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

/// The id of a doctor who is to be added to one of several shards.
pub(crate) async fn next_doctor(pool: &PgPool) -> Result<DoctorId, sqlx::Error> {
    let id = "select nextval(pg_get_serial_sequence('doctors', 'doctor_id'))::integer";
    let id: i32 = sqlx::query_scalar(id).fetch_one(pool).await?;
    Ok(DoctorId(id.cast_unsigned()))
}

/// The highest id of a doctor in this shard; 0 if it has none.
pub(crate) async fn newest_doctor(pool: &PgPool) -> Result<i32, sqlx::Error> {
    let newest = "select coalesce(max(doctor_id), 0) from doctors";
    sqlx::query_scalar(newest).fetch_one(pool).await
}

/// The next ids are higher than this one.
pub(crate) async fn number_doctors_after(pool: &PgPool, newest: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "
        select setval(sequence, greatest(last_value, $1))
        from (select pg_get_serial_sequence('doctors', 'doctor_id')::regclass as sequence) named,
            lateral (select coalesce(pg_sequence_last_value(sequence), 1) as last_value) used
        ",
    )
    .bind(i64::from(newest))
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn create_numbered_doctor(
    pool: &PgPool,
    id: DoctorId,
    name: &str,
    specialty: &str,
) -> Result<DoctorBody, sqlx::Error> {
    sqlx::query(
        "insert into doctors (doctor_id, name, specialty) overriding system value values ($1, $2, $3)",
    )
    .bind(doctor_key(id))
    .bind(name)
    .bind(specialty)
    .execute(pool)
    .await?;
    Ok(DoctorBody { id, name: name.to_owned(), specialty: specialty.to_owned() })
}

/// Whether each seat of a new slot gets a row, which only the strategy `seat_rows` needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeatRows {
    Created,
    NotCreated,
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
        doctor_key(id.doctor()),
        month_key(month),
        id.as_uuid(),
        starts_at,
        capacity,
        seat_rows == SeatRows::Created,
    )
    .execute(pool)
    .await;
    match inserted {
        Ok(_) => Ok(Some(SlotBody {
            id,
            doctor_id: doctor,
            starts_at,
            capacity: capacity.into(),
            available_seats: capacity.into(),
            pending_seats: 0,
            confirmed_seats: 0,
            version: 0,
        })),
        Err(sqlx::Error::Database(error))
            if error.constraint() == Some("appointment_slots_doctor_fkey") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
