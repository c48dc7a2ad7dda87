//! An operation in 64 bytes: the size of a cache line.
//!
//! Rows, and not a column for each field: the checker visits operations slot by slot, and a visit
//! in a column layout would miss the cache once for each field.

use slotproof_vocabulary::Outcome;

/// No name.
pub(crate) const NONE: u32 = u32::MAX;
/// No number.
pub(crate) const NO_NUMBER: i32 = i32::MIN;

/// What was asked for, without its names and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reserve,
    Confirm,
    Cancel,
    Change,
    Booking,
    Read,
    Resize,
}

impl Kind {
    /// Every kind. Files number them in this order, so it never changes.
    pub(crate) const ALL: [Self; 7] = [
        Self::Reserve,
        Self::Confirm,
        Self::Cancel,
        Self::Change,
        Self::Booking,
        Self::Read,
        Self::Resize,
    ];
}

/// The numbers and names of an operation. What does not fit is in its [`Extra`](crate::extras::Extra).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    /// How long before its sending it was scheduled: the lower 32 bits.
    pub(crate) lag_low_ns: u32,
    pub(crate) client: u32,
    pub(crate) process: u32,
    /// Of the table of slots.
    pub(crate) slot: u32,
    /// The key of a reserve, the booking of any other; or [`NONE`].
    pub(crate) subject: u32,
    /// The booking in the answer, or [`NONE`].
    pub(crate) booking: u32,
    /// Or [`NONE`].
    pub(crate) reason: u32,
    /// Or [`NO_NUMBER`].
    pub(crate) version: i32,
    /// Or [`NO_NUMBER`].
    pub(crate) available: i32,
    /// Seats of a reserve, capacity of a resize.
    pub(crate) amount: u32,
    /// The number of its extra.
    pub(crate) extra: u32,
    pub(crate) attempts: u8,
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    /// The upper 8 bits of the lag.
    pub(crate) lag_high_ns: u8,
}

/// A lag of 18 minutes does not fit.
const LAG_BITS: u32 = 40;

impl Row {
    /// A read of nothing by nobody: a place for a row that is about to be written.
    pub(crate) const EMPTY: Self = Self {
        sent_ns: 0,
        returned_ns: 0,
        lag_low_ns: 0,
        client: 0,
        process: 0,
        slot: 0,
        subject: NONE,
        booking: NONE,
        reason: NONE,
        version: NO_NUMBER,
        available: NO_NUMBER,
        amount: 0,
        extra: 0,
        attempts: 0,
        kind: Kind::Read,
        outcome: Outcome::Ok,
        lag_high_ns: 0,
    };

    /// How long before its sending it was scheduled.
    #[inline]
    pub(crate) fn lag_ns(&self) -> u64 {
        u64::from(self.lag_low_ns) | u64::from(self.lag_high_ns) << 32
    }

    /// Whether there was place for the lag.
    pub(crate) fn set_lag_ns(&mut self, lag_ns: u64) -> bool {
        self.lag_low_ns = lag_ns as u32;
        self.lag_high_ns = (lag_ns >> 32) as u8;
        lag_ns < 1 << LAG_BITS
    }
}

/// A number of an answer in its place in a row; `None` if it does not fit.
pub(crate) fn packed(number: Option<i64>) -> Option<i32> {
    match number {
        None => Some(NO_NUMBER),
        Some(number) => i32::try_from(number).ok().filter(|number| *number != NO_NUMBER),
    }
}

/// The number of such a place.
#[inline]
pub(crate) fn unpacked(number: i32) -> Option<i64> {
    (number != NO_NUMBER).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_cache_line() {
        assert_eq!(size_of::<Row>(), 64);
    }
}
