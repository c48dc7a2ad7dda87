//! Ids as the database's keys: every table is distributed by doctor and partitioned by month.

use slotproof_vocabulary::{DoctorId, IdError, Month};
use time::Date;

/// The distribution key. Doctors are numbered by the database, so every real one fits.
pub(crate) fn doctor_key(doctor: DoctorId) -> i32 {
    doctor.0.cast_signed()
}

/// The partition key.
pub(crate) fn month_key(month: Month) -> Date {
    month.first_day()
}

/// What the database holds where an id should be is none.
pub(crate) fn not_an_id(error: IdError) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
