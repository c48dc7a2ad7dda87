//! Receipts: what was answered to the first request with a key, and is answered again to its
//! duplicates.

use slotproof_vocabulary::{BookingStatus, reference_api::BookingBody};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::command::{Reservation, ReserveCommand, ReserveError, Reserved};
use crate::{connections::Connections, routing::not_an_id};

/// A slot and the receipt of a key, in one snapshot, read after a try that wrote nothing.
pub(super) struct SlotSnapshot {
    pub(super) slot_version: i64,
    pub(super) available_seats: i32,
    pub(super) receipt: Option<Receipt>,
}

/// What was answered to the first request with this key.
#[derive(Clone)]
pub(crate) struct Receipt {
    pub(crate) slot: uuid::Uuid,
    pub(crate) seats: i32,
    pub(crate) booking: uuid::Uuid,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) hold_ms: Option<i64>,
    pub(crate) slot_version: i64,
    pub(crate) available_seats: i32,
    pub(crate) refused: Option<String>,
}

/// What became of a request that was accepted earlier; `Accepted` if nothing has, yet.
pub(crate) async fn outcome(
    pool: &Connections,
    command: &ReserveCommand,
) -> Result<Reserved, ReserveError> {
    let mut connection = pool.acquire().await?;
    let snapshot = snapshot(&mut connection, command).await?;
    connection.ended_well();
    Ok(match snapshot {
        None => Reserved::NoSlot,
        Some(SlotSnapshot { receipt: Some(receipt), .. }) => replay(command, receipt)?,
        Some(SlotSnapshot { receipt: None, .. }) => Reserved::Accepted,
    })
}

/// Reads slot and receipt in one statement: in two, a booking could slip in between and be answered
/// with `sold_out`.
pub(super) async fn snapshot(
    connection: &mut PgConnection,
    command: &ReserveCommand,
) -> Result<Option<SlotSnapshot>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select slot.version, slot.available_seats,
            receipt.slot_id as "receipt_slot_id?", receipt.seats as "receipt_seats?",
            receipt.booking_id as "booking_id?", receipt.expires_at as "expires_at?", receipt.hold_ms as "hold_ms?",
            receipt.slot_version as "receipt_version?", receipt.available_seats as "receipt_available?", receipt.refused
        from appointment_slots slot
        left join idempotency_keys receipt
            on receipt.doctor_id = $1 and receipt.slot_month = $2 and receipt.idempotency_key = $4
        where slot.doctor_id = $1 and slot.slot_month = $2 and slot.slot_id = $3
        "#,
        command.doctor_id(),
        command.slot_month(),
        command.slot.as_uuid(),
        command.key.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let receipt =
        match (row.receipt_slot_id, row.receipt_seats, row.booking_id, row.receipt_version) {
            (Some(slot), Some(seats), Some(booking), Some(slot_version)) => Some(Receipt {
                slot,
                seats,
                booking,
                expires_at: row.expires_at,
                hold_ms: row.hold_ms,
                slot_version,
                available_seats: row.receipt_available.unwrap_or_default(),
                refused: row.refused,
            }),
            _ => None,
        };
    Ok(Some(SlotSnapshot {
        slot_version: row.version,
        available_seats: row.available_seats,
        receipt,
    }))
}

pub(crate) fn booked(command: &ReserveCommand, reservation: Reservation) -> BookingBody {
    BookingBody {
        id: command.booking,
        slot_id: command.slot,
        status: BookingStatus::Pending,
        seats: command.seats.into(),
        expires_at: Some(reservation.expires_at),
        hold_ms: Some(command.hold_ms),
        slot_version: reservation.slot_version,
        available_seats: reservation.available_seats.into(),
    }
}

/// The first answer again, to a request that is the first one again.
pub(crate) fn replay(command: &ReserveCommand, receipt: Receipt) -> Result<Reserved, sqlx::Error> {
    if receipt.slot != command.slot.as_uuid() || receipt.seats != command.seats {
        return Ok(Reserved::KeyMismatch);
    }
    let Receipt { slot_version, available_seats, .. } = receipt;
    Ok(match receipt.refused.as_deref() {
        Some("sold_out") => Reserved::SoldOut { slot_version, available_seats },
        Some("not_found") => Reserved::NoSlot,
        Some(_) => Reserved::RetryLater,
        None => Reserved::Booked(BookingBody {
            id: receipt.booking.try_into().map_err(not_an_id)?,
            slot_id: command.slot,
            status: BookingStatus::Pending,
            seats: receipt.seats.into(),
            expires_at: receipt.expires_at,
            hold_ms: receipt.hold_ms,
            slot_version,
            available_seats: available_seats.into(),
        }),
    })
}
