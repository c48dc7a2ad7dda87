//! Wire bodies of the reference service: JSON over HTTP, errors as problem+json (RFC 9457).

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::ids::{BookingId, DoctorId, SlotId};

/// The life of a booking: pending, then confirmed or expired; cancelled from pending or confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BookingStatus {
    /// A hold: seats are taken until `expires_at`.
    Pending,
    /// Seats are taken for good, unless cancelled.
    Confirmed,
    /// Given back by the client.
    Cancelled,
    /// Given back because the hold ran out.
    Expired,
    /// An asynchronous reserve that ended without seats.
    Failed,
}

impl BookingStatus {
    /// Whether a booking in this status takes seats.
    pub fn takes_seats(self) -> bool {
        match self {
            Self::Pending | Self::Confirmed => true,
            Self::Cancelled | Self::Expired | Self::Failed => false,
        }
    }

    /// The name in JSON and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for BookingStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Pending, Self::Confirmed, Self::Cancelled, Self::Expired, Self::Failed]
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| format!("{text:?} is not a booking status"))
    }
}

/// `POST /v1/slots/{id}/bookings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReserveRequest {
    /// Seats wanted, 1 to 100. Wider than that on the wire, so that a wrong number is answered with
    /// the field's name.
    pub seats: i64,
    /// Urgent requests are decided before others where requests wait in a queue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
}

/// A reserve that a worker will decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcceptedBody {
    /// The slot.
    pub slot_id: SlotId,
    /// Seats that were asked for.
    pub seats: i64,
}

/// A booking, with the state of its slot that the decision saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BookingBody {
    /// The booking.
    pub id: BookingId,
    /// The slot whose seats it takes.
    pub slot_id: SlotId,
    /// Where it is in its life.
    pub status: BookingStatus,
    /// Seats, 1 to 100.
    pub seats: i64,
    /// When a pending booking runs out (UTC); absent in every other status.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<OffsetDateTime>,
    /// How long a pending booking holds its seats, counted from the decision; absent in every other
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<i64>,
    /// The slot's version that this answer wrote, or saw if it wrote nothing.
    pub slot_version: i64,
    /// Seats left at that version.
    pub available_seats: i64,
}

/// A slot, read in one snapshot: `available + pending + confirmed = capacity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotBody {
    /// The slot.
    pub id: SlotId,
    /// Whose slot it is.
    pub doctor_id: DoctorId,
    /// When the appointment starts (UTC).
    #[serde(with = "time::serde::rfc3339")]
    pub starts_at: OffsetDateTime,
    /// Seats that the slot has.
    pub capacity: i64,
    /// Seats that can be reserved now.
    pub available_seats: i64,
    /// Seats held by pending bookings.
    pub pending_seats: i64,
    /// Seats of confirmed bookings.
    pub confirmed_seats: i64,
    /// Counts the decisions that changed the slot.
    pub version: i64,
}

/// One page of a list of slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotList {
    /// The slots, by start.
    pub items: Vec<SlotSummary>,
}

/// A slot in a list: without the seats of its bookings, which only a read of the one slot counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotSummary {
    /// The slot.
    pub id: SlotId,
    /// Whose slot it is.
    pub doctor_id: DoctorId,
    /// When the appointment starts (UTC).
    #[serde(with = "time::serde::rfc3339")]
    pub starts_at: OffsetDateTime,
    /// Seats that the slot has.
    pub capacity: i64,
    /// Seats that can be reserved now.
    pub available_seats: i64,
    /// Counts the decisions that changed the slot.
    pub version: i64,
}

/// A doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DoctorBody {
    /// Numbered by the service.
    pub id: DoctorId,
    /// Full name.
    pub name: String,
    /// Field of medicine.
    pub specialty: String,
}

/// All doctors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DoctorList {
    /// The doctors, by id.
    pub items: Vec<DoctorBody>,
}

/// Slots and seats by doctor and month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OccupancyReport {
    /// When the counts were made (UTC), by the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
    /// By doctor, then by month.
    pub items: Vec<Occupancy>,
}

/// The slots of a doctor in a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Occupancy {
    /// The doctor.
    pub doctor_id: DoctorId,
    /// The month in which the slots start (UTC): `2026-12`.
    pub month: String,
    /// How many slots.
    pub slots: i64,
    /// Their seats.
    pub capacity: i64,
    /// Those that could be reserved.
    pub available_seats: i64,
}

/// `POST /v1/admin/doctors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateDoctor {
    /// Full name, 1 to 200 characters.
    pub name: String,
    /// Field of medicine, 1 to 200 characters.
    pub specialty: String,
}

/// `POST /v1/admin/slots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSlot {
    /// Whose slot it is.
    pub doctor_id: DoctorId,
    /// When the appointment starts.
    #[serde(with = "time::serde::rfc3339")]
    pub starts_at: OffsetDateTime,
    /// Seats, 1 to 1,000,000.
    pub capacity: i64,
}

/// Why a request was refused: stable, for programs. A client decides by this and by nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ProblemCode {
    /// 409: fewer seats are left than were asked for. Carries the slot's version.
    SoldOut,
    /// 409: the hold ran out before it was confirmed.
    HoldExpired,
    /// 409: the booking is in a status from which this cannot be done.
    WrongStatus,
    /// 409: the month of the slot is closed or archived: its bookings do not change any more.
    MonthClosed,
    /// 409: the database has no partition for the month of the slot; nothing was written.
    MonthNotOpen,
    /// 503: the decision lost against others too often, or too many wait already; nothing was
    /// written; try again.
    RetryLater,
    /// 422: the idempotency key was used for another request.
    IdempotencyMismatch,
    /// 400: `Idempotency-Key` is missing or not 1 to 255 visible ASCII characters.
    IdempotencyKeyInvalid,
    /// 422: a field has a value that cannot be accepted; `field` names it.
    InvalidField,
    /// 400: the body is not JSON, or not of the right shape.
    MalformedBody,
    /// 404: no such slot, booking, doctor or path.
    NotFound,
    /// 405: the path is right and the method is not.
    MethodNotAllowed,
    /// 413: the body is larger than the service reads.
    BodyTooLarge,
    /// 415: the body is not declared as JSON.
    UnsupportedMediaType,
    /// 503: not admitted, because the service is starting, stopping or out of database connections.
    Unavailable,
    /// 500: a bug, or a database that failed in the middle; what happened is not known.
    Internal,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::SoldOut,
        Self::HoldExpired,
        Self::WrongStatus,
        Self::MonthClosed,
        Self::MonthNotOpen,
        Self::RetryLater,
        Self::IdempotencyMismatch,
        Self::IdempotencyKeyInvalid,
        Self::InvalidField,
        Self::MalformedBody,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The text in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::SoldOut => "sold_out",
            Self::HoldExpired => "hold_expired",
            Self::WrongStatus => "wrong_status",
            Self::MonthClosed => "month_closed",
            Self::MonthNotOpen => "month_not_open",
            Self::RetryLater => "retry_later",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::IdempotencyKeyInvalid => "idempotency_key_invalid",
            Self::InvalidField => "invalid_field",
            Self::MalformedBody => "malformed_body",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl std::str::FromStr for ProblemCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|code| code.name() == text);
        known.ok_or_else(|| format!("{text:?} is not a problem code"))
    }
}

/// An error answer (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind of problem.
    pub r#type: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// The kind of problem, for programs.
    pub code: ProblemCode,
    /// This occurrence, for people.
    pub detail: String,
    /// The field that was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The slot's version that the decision saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_version: Option<i64>,
    /// Seats left at that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_seats: Option<i64>,
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::Month;

    #[test]
    fn a_problem_code_has_one_text() {
        for code in ProblemCode::ALL {
            let json = serde_json::to_string(&code).expect("serializes");
            assert_eq!(json, format!("{:?}", code.name()));
            assert_eq!(code.name().parse(), Ok(code));
        }
    }

    #[test]
    fn the_wire_shapes_are_pinned() {
        let starts_at = datetime!(2026-12-01 09:00 UTC);
        let slot = SlotId::new(DoctorId(7), Month::of(starts_at).expect("after 2000"), 1);
        let booking = BookingBody {
            id: BookingId::new(slot, 2),
            slot_id: slot,
            status: BookingStatus::Pending,
            seats: 2,
            expires_at: Some(datetime!(2026-11-23 12:00:05 UTC)),
            hold_ms: Some(5_000),
            slot_version: 41,
            available_seats: 3,
        };
        let read = SlotBody {
            id: slot,
            doctor_id: DoctorId(7),
            starts_at,
            capacity: 10,
            available_seats: 3,
            pending_seats: 2,
            confirmed_seats: 5,
            version: 41,
        };
        let sold_out = Problem {
            r#type: "urn:slotproof:problem:sold_out".to_owned(),
            title: "Too few seats are left".to_owned(),
            status: 409,
            code: ProblemCode::SoldOut,
            detail: "4 seats were asked for and 3 are left".to_owned(),
            field: None,
            slot_version: Some(41),
            available_seats: Some(3),
        };
        insta::assert_json_snapshot!((booking, read, sold_out));
    }
}
