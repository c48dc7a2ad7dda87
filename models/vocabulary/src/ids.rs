//! Ids that carry their routing.
//!
//! A slot id and a booking id are UUIDs of version 8 (RFC 9562) with named bit fields. A request
//! that knows nothing but an id finds its shard (by doctor) and its partition (by month) without a
//! lookup.
//!
//! ```text
//! bits   0..32   doctor            which shard
//! bits  32..48   month             months since January 2000: which partition
//! bits  48..52   version           always 8
//! bits  52..56   kind              1 slot, 2 booking
//! bits  56..64   reserved          zero
//! bits  64..66   variant           always binary 10
//! bits  66..128  unique            random, chosen by the service
//! ```
//!
//! In a history, where other systems are judged too, ids are opaque strings; only the service
//! parses them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A doctor, numbered by the service: also the key by which data is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DoctorId(pub u32);

impl fmt::Display for DoctorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DoctorId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError { name: "doctor" })
    }
}

/// A calendar month, counted from January 2000: also the key by which tables are partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u16);

impl Month {
    /// The month that a point in time falls in (UTC); `None` before 2000 and after the year 7461.
    pub fn of(instant: time::OffsetDateTime) -> Option<Self> {
        let utc = instant.checked_to_offset(time::UtcOffset::UTC)?;
        let months = (utc.year() - 2000) * 12 + i32::from(u8::from(utc.month())) - 1;
        u16::try_from(months).ok().map(Self)
    }

    /// The first day of the month, which is how the month is stored in the database.
    pub fn first_day(self) -> time::Date {
        let month = time::Month::try_from((self.0 % 12 + 1) as u8).expect("1 to 12 is a month");
        time::Date::from_calendar_date(2000 + i32::from(self.0 / 12), month, 1)
            .expect("every month has a first day")
    }
}

/// As people write it: `2026-12`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", 2000 + self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(year, month)| {
            let (year, month): (u16, u16) = (year.parse().ok()?, month.parse().ok()?);
            let months =
                year.checked_sub(2000)?.checked_mul(12)?.checked_add(month.checked_sub(1)?)?;
            Some(Self(months)).filter(|it| it.to_string() == text)
        });
        parsed.ok_or_else(|| format!("{text:?} is not a month; write 2026-10, from 2000-01 on"))
    }
}

const KIND_SLOT: u8 = 1;
const KIND_BOOKING: u8 = 2;

fn pack(doctor: DoctorId, month: Month, kind: u8, unique: u64) -> Uuid {
    let high = (u64::from(doctor.0) << 32) | (u64::from(month.0) << 16) | (u64::from(kind) << 8);
    let bits = (u128::from(high) << 64) | u128::from(unique);
    // `new_v8` writes version and variant over their six bits and leaves the rest alone.
    Uuid::new_v8(bits.to_be_bytes())
}

fn unpack(uuid: Uuid, kind: u8, name: &'static str) -> Result<(DoctorId, Month), IdError> {
    let high = (uuid.as_u128() >> 64) as u64;
    if uuid.get_version_num() != 8 || (high >> 8) as u8 & 0x0f != kind || high as u8 != 0 {
        return Err(IdError { name });
    }
    Ok((DoctorId((high >> 32) as u32), Month((high >> 16) as u16)))
}

/// The text is not an id of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {name} id")]
pub struct IdError {
    name: &'static str,
}

macro_rules! routed_id {
    ($(#[$doc:meta])* $type:ident, $kind:expr, $name:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Uuid", into = "Uuid")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = "uuid"))]
        pub struct $type(Uuid);

        impl $type {
            /// The doctor whose shard holds the row.
            pub fn doctor(self) -> DoctorId {
                unpack(self.0, $kind, $name).expect("checked when it was made").0
            }

            /// The month whose partition holds the row.
            pub fn month(self) -> Month {
                unpack(self.0, $kind, $name).expect("checked when it was made").1
            }

            /// The id as the database stores it.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl TryFrom<Uuid> for $type {
            type Error = IdError;

            fn try_from(uuid: Uuid) -> Result<Self, IdError> {
                unpack(uuid, $kind, $name).map(|_| Self(uuid))
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map_err(|_| IdError { name: $name })?.try_into()
            }
        }

        impl From<$type> for Uuid {
            fn from(id: $type) -> Uuid {
                id.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

routed_id!(
    /// An appointment slot.
    SlotId,
    KIND_SLOT,
    "slot"
);
routed_id!(
    /// Seats taken in one slot by one client.
    BookingId,
    KIND_BOOKING,
    "booking"
);

impl SlotId {
    /// `unique` should be random; its upper two bits are not kept.
    pub fn new(doctor: DoctorId, month: Month, unique: u64) -> Self {
        Self(pack(doctor, month, KIND_SLOT, unique))
    }
}

impl BookingId {
    /// A booking lies on the shard and in the partition of its slot. `unique` should be random; its
    /// upper two bits are not kept.
    pub fn new(slot: SlotId, unique: u64) -> Self {
        Self(pack(slot.doctor(), slot.month(), KIND_BOOKING, unique))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn slot() -> SlotId {
        let month = Month::of(datetime!(2026-11-23 09:00 UTC)).expect("after 2000");
        SlotId::new(DoctorId(7), month, 0x1234_5678_9abc_def0)
    }

    #[test]
    fn an_id_carries_doctor_and_month_through_its_text() {
        let read: SlotId = slot().to_string().parse().expect("its own text");
        assert_eq!(read, slot());
        assert_eq!(read.doctor(), DoctorId(7));
        assert_eq!(read.month().first_day(), time::macros::date!(2026 - 11 - 01));
        assert_eq!(read.to_string(), "00000007-0142-8100-9234-56789abcdef0");
    }

    #[test]
    fn a_booking_lies_where_its_slot_lies() {
        let booking = BookingId::new(slot(), u64::MAX);
        assert_eq!((booking.doctor(), booking.month()), (slot().doctor(), slot().month()));
    }

    #[test]
    fn a_booking_id_is_not_a_slot_id_nor_is_any_other_uuid() {
        assert!(BookingId::new(slot(), 1).to_string().parse::<SlotId>().is_err());
        assert!(slot().to_string().parse::<BookingId>().is_err());
        assert!("b4a6f6f0-4a0e-4c55-9e8a-0d7f3a2f9a11".parse::<SlotId>().is_err(), "version 4");
        assert!("seven".parse::<SlotId>().is_err());
    }

    #[test]
    fn a_month_is_read_as_it_is_written() {
        for text in ["2000-01", "2026-12", "7461-04"] {
            assert_eq!(text.parse::<Month>().expect("a month").to_string(), text);
        }
        for text in ["1999-12", "2026-13", "2026-00", "2026-1", "2026", "+2026-01", "9999-01"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_before_2000_have_no_number() {
        assert_eq!(Month::of(datetime!(1999-12-31 23:59 UTC)), None);
        let beyond = time::PrimitiveDateTime::MAX
            .assume_offset(time::UtcOffset::from_hms(-23, 59, 0).expect("an offset"));
        assert_eq!(Month::of(beyond), None, "its instant in UTC lies beyond every calendar");
        let first = Month::of(datetime!(2000-01-01 00:00 UTC)).expect("the first month");
        assert_eq!(first.first_day(), time::macros::date!(2000 - 01 - 01));
    }
}
