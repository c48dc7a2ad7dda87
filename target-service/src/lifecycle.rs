//! The state transitions of a booking after its reserve: confirm, cancel, expire.
//!
//! Each is one statement that compares and sets: it changes the booking only if the status still
//! allows it, and in the same transaction moves the slot on by one version, writes the audit record
//! and the outbox row. The second of two concurrent changes finds the status changed and writes
//! nothing, so confirm and expire cannot both win. The lock order is booking, then slot; a reserve
//! locks the slot and inserts a booking that no other transaction knows, so the two cannot
//! deadlock. A statement that changes many bookings locks all of them before the first slot, and
//! both in the order of their ids.

use std::collections::{BTreeMap, HashMap};

use slotproof_vocabulary::{BookingId, BookingStatus, SlotId, reference_api::BookingBody};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::{
    connections::Connections,
    read_model,
    routing::{doctor_key, month_key, not_an_id},
};

/// The answer to a change of state.
#[derive(Debug)]
pub(crate) enum Changed {
    /// Done, now or earlier: the booking is as asked for.
    Done(BookingBody),
    /// The hold expired first.
    HoldExpired,
    /// The booking is in a status from which this cannot be done.
    WrongStatus(BookingStatus),
    /// No such booking.
    NoBooking,
    /// Too many changes wait already; nothing was written.
    RetryLater,
}

/// What a client may ask of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewStatus {
    Confirmed,
    Cancelled,
}

/// What a change wrote.
struct Written {
    slot_id: uuid::Uuid,
    seats: i32,
    slot_version: i64,
    available_seats: i32,
}

/// Pending to confirmed, while the hold lasts by the database's clock.
pub(crate) async fn confirm(
    pool: &Connections,
    booking: BookingId,
) -> Result<Changed, sqlx::Error> {
    let written = sqlx::query_as!(
        Written,
        r#"
        with booking as (
            update bookings set status = 'confirmed', expires_at = null
            where doctor_id = $1 and slot_month = $2 and booking_id = $3
                and status = 'pending' and expires_at > clock_timestamp()
            returning slot_id, seats
        ), slot as (
            update appointment_slots slot set version = version + 1
            from booking
            where slot.doctor_id = $1 and slot.slot_month = $2 and slot.slot_id = booking.slot_id
            returning slot.slot_id, slot.version, slot.available_seats, booking.seats
        ), audit as (
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats)
            select $1, $2, slot_id, version, $3, 'pending', 'confirmed', seats, available_seats from slot
        ), event as (
            insert into outbox (doctor_id, slot_month, slot_id, slot_version) select $1, $2, slot_id, version from slot
        )
        select slot_id as "slot_id!", seats as "seats!", version as "slot_version!", available_seats as "available_seats!"
        from slot
        "#,
        doctor_key(booking.doctor()),
        month_key(booking.month()),
        booking.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    match written {
        Some(written) => {
            Ok(Changed::Done(changed_body(booking, BookingStatus::Confirmed, written)?))
        }
        None => refused(pool, booking, BookingStatus::Confirmed).await,
    }
}

/// Pending or confirmed to cancelled; the seats go back.
pub(crate) async fn cancel(pool: &Connections, booking: BookingId) -> Result<Changed, sqlx::Error> {
    let written = sqlx::query_as!(
        Written,
        r#"
        with before as (
            select status from bookings
            where doctor_id = $1 and slot_month = $2 and booking_id = $3 and status in ('pending', 'confirmed')
            for no key update
        ), booking as (
            update bookings set status = 'cancelled', expires_at = null
            from before
            where doctor_id = $1 and slot_month = $2 and booking_id = $3
            returning slot_id, seats, before.status as from_status
        ), slot as (
            update appointment_slots slot set available_seats = available_seats + booking.seats, version = version + 1
            from booking
            where slot.doctor_id = $1 and slot.slot_month = $2 and slot.slot_id = booking.slot_id
            returning slot.slot_id, slot.version, slot.available_seats, booking.seats, booking.from_status
        ), seat as (
            update slot_seats set booking_id = null from booking
            where doctor_id = $1 and slot_month = $2 and slot_seats.booking_id = $3
        ), audit as (
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats)
            select $1, $2, slot_id, version, $3, from_status, 'cancelled', seats, available_seats from slot
        ), event as (
            insert into outbox (doctor_id, slot_month, slot_id, slot_version) select $1, $2, slot_id, version from slot
        )
        select slot_id as "slot_id!", seats as "seats!", version as "slot_version!", available_seats as "available_seats!"
        from slot
        "#,
        doctor_key(booking.doctor()),
        month_key(booking.month()),
        booking.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    match written {
        Some(written) => {
            Ok(Changed::Done(changed_body(booking, BookingStatus::Cancelled, written)?))
        }
        None => refused(pool, booking, BookingStatus::Cancelled).await,
    }
}

/// Both of the above, for many bookings by one statement. The slot of several of them moves on by a
/// version for each. Returns those that were changed; the others do not exist, or their status or
/// their hold does not allow it.
///
/// Rows are locked one after the other, for which the joins are lateral: bookings in the order of
/// the map, then slots in the order of their ids, as `batched` locks them.
pub(crate) async fn change_together(
    connection: &mut PgConnection,
    changes: &BTreeMap<BookingId, NewStatus>,
) -> Result<HashMap<BookingId, BookingBody>, sqlx::Error> {
    let doctors: Vec<_> = changes.keys().map(|booking| doctor_key(booking.doctor())).collect();
    let months: Vec<_> = changes.keys().map(|booking| month_key(booking.month())).collect();
    let bookings: Vec<_> = changes.keys().map(|booking| booking.as_uuid()).collect();
    let confirms: Vec<_> = changes.values().map(|wanted| *wanted == NewStatus::Confirmed).collect();
    let rows = sqlx::query!(
        r#"
        with wanted as (
            select * from unnest($1::integer[], $2::date[], $3::uuid[], $4::boolean[]) with ordinality
                as wanted (doctor_id, slot_month, booking_id, confirms, number)
        ), booking as (
            select wanted.*, held.slot_id, held.seats, held.from_status,
                case when confirms then 'confirmed' else 'cancelled' end as to_status,
                case when confirms then 0 else held.seats end as seats_back
            from wanted
            cross join lateral (
                select slot_id, seats, status as from_status from bookings
                where doctor_id = wanted.doctor_id and slot_month = wanted.slot_month and booking_id = wanted.booking_id
                    and case when wanted.confirms then status = 'pending' and expires_at > clock_timestamp()
                        else status in ('pending', 'confirmed') end
                for no key update
            ) held
        ), slot as (
            select of_bookings.*, held.version, held.available_seats
            from (
                select distinct doctor_id, slot_month, slot_id from booking order by doctor_id, slot_month, slot_id
            ) of_bookings
            cross join lateral (
                select version, available_seats from appointment_slots
                where doctor_id = of_bookings.doctor_id and slot_month = of_bookings.slot_month
                    and slot_id = of_bookings.slot_id
                for no key update
            ) held
        ), change as (
            select booking.*, version + row_number() over of_slot as slot_version,
                (available_seats + sum(seats_back) over of_slot)::integer as available_seats
            from booking
            join slot using (doctor_id, slot_month, slot_id)
            window of_slot as (partition by doctor_id, slot_month, slot_id order by number)
        ), changed_booking as (
            update bookings booking set status = to_status, expires_at = null
            from change
            where booking.doctor_id = change.doctor_id and booking.slot_month = change.slot_month
                and booking.booking_id = change.booking_id
        ), changed_slot as (
            update appointment_slots slot set available_seats = last.available_seats, version = last.slot_version
            from (
                select distinct on (doctor_id, slot_month, slot_id) * from change
                order by doctor_id, slot_month, slot_id, slot_version desc
            ) last
            where slot.doctor_id = last.doctor_id and slot.slot_month = last.slot_month and slot.slot_id = last.slot_id
        ), seat as (
            update slot_seats seat set booking_id = null
            from change
            where seat.doctor_id = change.doctor_id and seat.slot_month = change.slot_month
                and seat.booking_id = change.booking_id and not confirms
        ), audit as (
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats)
            select doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats
            from change
        ), event as (
            insert into outbox (doctor_id, slot_month, slot_id, slot_version)
            select doctor_id, slot_month, slot_id, slot_version from change
        )
        select number as "number!", slot_id as "slot_id!", seats as "seats!",
            slot_version as "slot_version!", available_seats as "available_seats!"
        from change
        "#,
        &doctors,
        &months,
        &bookings,
        &confirms,
    )
    .fetch_all(connection)
    .await?;
    let of_changes: Vec<_> = changes.iter().collect();
    rows.into_iter()
        .filter_map(|row| {
            // PostgreSQL counts from 1.
            let (booking, wanted) = *of_changes.get(usize::try_from(row.number - 1).ok()?)?;
            let written = Written {
                slot_id: row.slot_id,
                seats: row.seats,
                slot_version: row.slot_version,
                available_seats: row.available_seats,
            };
            let body = changed_body(*booking, wanted.status(), written);
            Some(body.map(|body| (*booking, body)))
        })
        .collect()
}

/// A hold that was ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expired {
    pub(crate) slot: SlotId,
    pub(crate) slot_version: i64,
}

/// Pending to expired, once the hold has run out by the database's clock; the seats go back.
/// `None`: another change came first.
pub(crate) async fn expire(
    pool: &PgPool,
    booking: BookingId,
) -> Result<Option<Expired>, sqlx::Error> {
    let written = sqlx::query!(
        r#"
        with booking as (
            update bookings set status = 'expired', expires_at = null
            where doctor_id = $1 and slot_month = $2 and booking_id = $3
                and status = 'pending' and expires_at <= clock_timestamp()
            returning slot_id, seats
        ), slot as (
            update appointment_slots slot set available_seats = available_seats + booking.seats, version = version + 1
            from booking
            where slot.doctor_id = $1 and slot.slot_month = $2 and slot.slot_id = booking.slot_id
            returning slot.slot_id, slot.version, slot.available_seats, booking.seats
        ), seat as (
            update slot_seats set booking_id = null from booking
            where doctor_id = $1 and slot_month = $2 and slot_seats.booking_id = $3
        ), audit as (
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats)
            select $1, $2, slot_id, version, $3, 'pending', 'expired', seats, available_seats from slot
        ), event as (
            insert into outbox (doctor_id, slot_month, slot_id, slot_version) select $1, $2, slot_id, version from slot
        )
        select slot_id as "slot_id!", version as "slot_version!" from slot
        "#,
        doctor_key(booking.doctor()),
        month_key(booking.month()),
        booking.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    written
        .map(|row| {
            let slot = row.slot_id.try_into().map_err(not_an_id)?;
            Ok(Expired { slot, slot_version: row.slot_version })
        })
        .transpose()
}

/// Why a change wrote nothing; a change that was made before is done, so that a retry is harmless.
async fn refused(
    pool: &Connections,
    booking: BookingId,
    wanted: BookingStatus,
) -> Result<Changed, sqlx::Error> {
    Ok(match read_model::read_booking(pool, booking).await? {
        None => Changed::NoBooking,
        Some(body) if body.status == wanted => Changed::Done(body),
        Some(body) if matches!(body.status, BookingStatus::Pending | BookingStatus::Expired) => {
            Changed::HoldExpired
        }
        Some(body) => Changed::WrongStatus(body.status),
    })
}

fn changed_body(
    booking: BookingId,
    status: BookingStatus,
    written: Written,
) -> Result<BookingBody, sqlx::Error> {
    Ok(BookingBody {
        id: booking,
        slot_id: written.slot_id.try_into().map_err(not_an_id)?,
        status,
        seats: written.seats.into(),
        expires_at: None::<OffsetDateTime>,
        hold_ms: None,
        slot_version: written.slot_version,
        available_seats: written.available_seats.into(),
    })
}

impl NewStatus {
    fn status(self) -> BookingStatus {
        match self {
            Self::Confirmed => BookingStatus::Confirmed,
            Self::Cancelled => BookingStatus::Cancelled,
        }
    }
}
