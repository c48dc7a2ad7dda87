//! Doctors and slots as an administrator creates them.

use rand::Rng;
use slotproof_vocabulary::{
    DoctorId, Month, SlotId,
    reference_api::{DoctorBody, SlotBody},
};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::{
    read_model,
    routing::{doctor_key, month_key},
};

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
        Ok(_) => read_model::read_slot(pool, id).await,
        Err(sqlx::Error::Database(error))
            if error.constraint() == Some("appointment_slots_doctor_fkey") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
