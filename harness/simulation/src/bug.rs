//! The bugs that a simulated service can have, one at a time.

use crate::Telling;

macro_rules! bugs {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $name:literal, $least:expr, $summary:literal;
    )+) => {
        /// A bug of the simulated service. Its code is where `service.rs` names it.
        ///
        /// Each says what can hide it. All of them are hidden where they strike after the last
        /// answer, and where the answers that they change are lost.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in tables and tests.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the service does wrong, in one line.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }

            /// Of the runs of [`Bug::SEEDS`], with and without versions, how many must be convicted
            /// by the history alone.
            fn least(self) -> [u64; 2] {
                match self { $(Self::$variant => $least,)+ }
            }
        }
    };
}

bugs! {
    /// A reserve reads the counter and the version, and writes both later, whatever was written
    /// in between. Hidden while the counter that is too high is read by nobody and sells nothing.
    LostUpdate = "lost_update", [10, 10],
        "a reserve writes a counter that it read before others changed it";
    /// A refusal is remembered. Hidden where the seats can have come back after the call.
    SoldOutCached = "sold_out_cached", [10, 10],
        "a refusal is repeated for 200 ms, even after seats came back";
    /// Hidden while the counter that is too high is read by nobody and sells nothing.
    CancelFreesTwice = "cancel_frees_twice", [10, 10],
        "a repeated cancel gives the seats back again";
    /// Reads come from a copy. Hidden where what changed since can have happened after the read.
    StaleRead = "stale_read", [10, 10],
        "a read is answered from a copy that is up to 100 ms old";
    /// It sells one seat too many. Hidden where some seat of the full slot can have come back
    /// before: a hold that can have run out, a cancel in flight.
    CapacityOffByOne = "capacity_off_by_one", [10, 10],
        "a full slot sells one more seat";
    /// Hidden where the client of the first booking or of the second was not told its id. The log
    /// has both.
    BookingIdReused = "booking_id_reused", [10, 10],
        "a new booking gets the id of one that has ended";
    /// A hold that was swept is confirmed all the same, and its seats are not taken again. Hidden
    /// while nobody needs those seats: a client cannot know that the hold had been swept.
    ConfirmAfterExpiry = "confirm_after_expiry", [10, 10],
        "a booking that has expired is confirmed, without seats";
    /// Hidden while the slot has other seats and nobody reads it.
    SeatLeak = "seat_leak", [8, 4],
        "one cancel in forty does not give the seats back";
    /// Hidden while the slot has other seats and nobody reads it.
    RetryCountedTwice = "retry_counted_twice", [10, 3],
        "a repeated key gets its receipt, and takes the seats again";
    /// Receipts are found by client. Hidden where the client had not been told the receipt before.
    ReceiptOfAnotherSlot = "receipt_of_another_slot", [10, 10],
        "a repeated key gets the receipt of the client's booking in another slot";
    /// The sweeper makes its list one sweep before, and does not look again. Hidden while nobody
    /// buys the seats or reads the slot; and where nobody was told of the confirm.
    ExpiresConfirmed = "expires_what_is_confirmed", [6, 6],
        "a hold that is confirmed while the sweeper has it on its list expires";
    /// The service stops, and comes back as it was 100 ms before. Hidden where no answer of the
    /// last 100 ms had arrived, or what it had said is asked of nobody afterwards.
    LostAfterCrash = "lost_after_crash", [10, 10],
        "after a crash the changes of the last 100 ms are gone";
    /// Hidden while nobody buys the seats or reads the slot before the hold's time.
    HoldExpiresEarly = "hold_expires_early", [10, 10],
        "a hold expires after half of its time";
    /// Hidden as the one before, and rare: the first sending of the key must have been refused.
    HoldSinceRefusal = "hold_since_refusal", [9, 9],
        "the hold of a repeated key is counted from the attempt that was refused";
}

impl Bug {
    /// The seeds of the runs that the least numbers of convictions are about.
    pub const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

    /// How many of the runs with this bug, one for each of [`Bug::SEEDS`] and with
    /// [`Settings::of_bug`](crate::Settings::of_bug), must be convicted by the history alone. These
    /// are measured: what is missing is said in the checker's `tests/simulated.rs`.
    pub fn least_convicted(self, telling: Telling) -> u64 {
        let [with_versions, without] = self.least();
        if telling.versions() { with_versions } else { without }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
    }
}
