//! Reads of doctors, slots and bookings. Each answer is one snapshot.

use slotproof_vocabulary::{
    BookingId, DoctorId, SlotId,
    reference_api::{BookingBody, DoctorBody, SlotBody, SlotSummary},
};
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;

use crate::routing::{doctor_key, month_key, not_an_id};

/// Slots in one answer to a list: enough for a calendar page, little enough to be quick.
pub(crate) const LISTED_MAX: i64 = 200;
/// Doctors in one answer to a list.
pub(crate) const DOCTORS_MAX: i64 = 1_000;

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

pub(crate) async fn read_doctor(
    pool: &PgPool,
    id: DoctorId,
) -> Result<Option<DoctorBody>, sqlx::Error> {
    let row =
        sqlx::query!("select name, specialty from doctors where doctor_id = $1", doctor_key(id))
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|row| DoctorBody { id, name: row.name, specialty: row.specialty }))
}

/// As [`list_doctors`], of the doctors that this shard has: a copy that is being made is none of its own.
pub(crate) async fn list_doctors_of_shard(pool: &PgPool) -> Result<Vec<DoctorBody>, sqlx::Error> {
    let rows: Vec<(i32, String, String)> = sqlx::query_as(
        "
        select doctor_id, name, specialty from doctors
        where shard_bucket(doctor_id) in (select bucket from shard_buckets where state <> 'moved')
        order by doctor_id limit $1
        ",
    )
    .bind(DOCTORS_MAX)
    .fetch_all(pool)
    .await?;
    let doctor = |(id, name, specialty): (i32, _, _)| DoctorBody {
        id: DoctorId(id.cast_unsigned()),
        name,
        specialty,
    };
    Ok(rows.into_iter().map(doctor).collect())
}

/// One slot with the seats of its bookings, in one snapshot: the sum is there to be checked, so it
/// is counted from the bookings and not kept beside the counter.
pub(crate) async fn read_slot(
    database: impl PgExecutor<'_>,
    slot: SlotId,
) -> Result<Option<SlotBody>, sqlx::Error> {
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
        doctor_key(slot.doctor()),
        month_key(slot.month()),
        slot.as_uuid(),
    )
    .fetch_optional(database)
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

/// A slot as a standby has it.
#[derive(Debug, Clone)]
pub(crate) struct StandbySlot {
    pub(crate) slot: SlotBody,
    /// How old the state is at most, by the clocks of the databases.
    pub(crate) age_ms: f64,
    /// Whether the primary is known to have shown this version.
    pub(crate) is_shown: bool,
}

/// The same as [`read_slot`], and how old the standby is. The clock is read after the snapshot was
/// taken, so that the age is never too low.
pub(crate) async fn read_slot_on_standby(
    standby: &PgPool,
    slot: SlotId,
) -> Result<Option<StandbySlot>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select starts_at, capacity, available_seats, version,
            (select coalesce(sum(seats) filter (where status = 'pending'), 0) from bookings
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status in ('pending', 'confirmed')
            ) as "pending_seats!",
            (select coalesce(sum(seats) filter (where status = 'confirmed'), 0) from bookings
                where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status in ('pending', 'confirmed')
            ) as "confirmed_seats!",
            (extract(epoch from clock_timestamp() - beaten_at) * 1000)::double precision as "age_ms!",
            is_shown(appointment_slots.xmin, shown) as "is_shown!"
        from appointment_slots, primary_heartbeat
        where doctor_id = $1 and slot_month = $2 and slot_id = $3
        "#,
        doctor_key(slot.doctor()),
        month_key(slot.month()),
        slot.as_uuid(),
    )
    .fetch_optional(standby)
    .await?;
    Ok(row.map(|row| StandbySlot {
        slot: SlotBody {
            id: slot,
            doctor_id: slot.doctor(),
            starts_at: row.starts_at,
            capacity: row.capacity.into(),
            available_seats: row.available_seats.into(),
            pending_seats: row.pending_seats,
            confirmed_seats: row.confirmed_seats,
            version: row.version,
        },
        age_ms: row.age_ms,
        is_shown: row.is_shown,
    }))
}

/// What a list of slots is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SlotFilter {
    pub(crate) doctor: Option<DoctorId>,
    /// Only slots with (`true`) or without (`false`) seats left.
    pub(crate) available: Option<bool>,
}

pub(crate) async fn list_slots(
    pool: &PgPool,
    filter: SlotFilter,
) -> Result<Vec<SlotSummary>, sqlx::Error> {
    let rows = sqlx::query!(
        "
        select slot_id, starts_at, capacity, available_seats, version from appointment_slots
        where ($1::integer is null or doctor_id = $1) and ($2::boolean is null or (available_seats > 0) = $2)
        order by starts_at, slot_id
        limit $3
        ",
        filter.doctor.map(doctor_key),
        filter.available,
        LISTED_MAX,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let id = SlotId::try_from(row.slot_id).map_err(not_an_id)?;
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

/// As [`list_slots`], of the slots that this shard has.
pub(crate) async fn list_slots_of_shard(
    pool: &PgPool,
    filter: SlotFilter,
) -> Result<Vec<SlotSummary>, sqlx::Error> {
    let rows: Vec<(uuid::Uuid, OffsetDateTime, i32, i32, i64)> = sqlx::query_as(
        "
        select slot_id, starts_at, capacity, available_seats, version from appointment_slots
        where ($1::integer is null or doctor_id = $1) and ($2::boolean is null or (available_seats > 0) = $2)
            and shard_bucket(doctor_id) in (select bucket from shard_buckets where state <> 'moved')
        order by starts_at, slot_id
        limit $3
        ",
    )
    .bind(filter.doctor.map(doctor_key))
    .bind(filter.available)
    .bind(LISTED_MAX)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(slot, starts_at, capacity, available_seats, version)| {
            let id = SlotId::try_from(slot).map_err(not_an_id)?;
            Ok(SlotSummary {
                id,
                doctor_id: id.doctor(),
                starts_at,
                capacity: capacity.into(),
                available_seats: available_seats.into(),
                version,
            })
        })
        .collect()
}

/// A booking as it is, with its slot's version, in one snapshot.
pub(crate) async fn read_booking(
    database: impl PgExecutor<'_>,
    booking: BookingId,
) -> Result<Option<BookingBody>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select booking.slot_id, booking.status, booking.seats, booking.expires_at,
            slot.version as "slot_version!", slot.available_seats as "available_seats!",
            (extract(epoch from booking.expires_at - clock_timestamp()) * 1000)::bigint as hold_ms
        from bookings booking
        join appointment_slots slot using (doctor_id, slot_month, slot_id)
        where booking.doctor_id = $1 and booking.slot_month = $2 and booking.booking_id = $3
        "#,
        doctor_key(booking.doctor()),
        month_key(booking.month()),
        booking.as_uuid(),
    )
    .fetch_optional(database)
    .await?;
    row.map(|row| {
        Ok(BookingBody {
            id: booking,
            slot_id: row.slot_id.try_into().map_err(not_an_id)?,
            status: row
                .status
                .parse()
                .map_err(|error: String| sqlx::Error::Decode(error.into()))?,
            seats: row.seats.into(),
            expires_at: row.expires_at,
            hold_ms: row.hold_ms.map(|left| left.max(0)),
            slot_version: row.slot_version,
            available_seats: row.available_seats.into(),
        })
    })
    .transpose()
}
