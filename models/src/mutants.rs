//! The mutants: each breaks one thing, as in
//! `target-service/src/strategies/negative_controls/mutants.rs`, whose comments name the real bugs.

use crate::{
    answer::Answer,
    call_id::CallId,
    conditional::Conditional,
    database::{Database, StateChange},
    optimistic::Optimistic,
    strategy::{Next, OutOfTries, Point, Strategy},
};

/// One statement that decides by the page's own condition, and never writes a number below zero.
fn write_if(condition: bool, seats: i32, call: CallId, database: &mut Database) -> bool {
    if !condition || database.has_receipt(call.client) {
        return false;
    }
    database.commit(call, (database.slot.available - seats).max(0));
    true
}

/// M3, `locked_bookings`. Locks the rows that are counted and not the row that is fought for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LockedBookings {
    Lock,
    Write,
    Commit,
    RollBack,
}

impl Strategy for LockedBookings {
    const BEGINNINGS: &'static [Self] = &[Self::Lock];

    fn point(self) -> Point {
        match self {
            Self::Lock => Point::new("lock", "begins, locks the slot's bookings and counts them"),
            Self::Write => Point::new("write", "writes the booking, based on its count"),
            Self::Commit => Point::new("commit", "commits"),
            Self::RollBack => Point::new("roll_back", "rolls back, because no seat is free"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Lock if !database.lock_bookings(call) => Next::Waits,
            Self::Lock if database.is_full() => Next::Goes(Self::RollBack),
            Self::Lock => Next::Goes(Self::Write),
            Self::Write if !database.lock_slot(call) => Next::Waits,
            Self::Write if database.has_receipt(call.client) => {
                database.rollback(call);
                Next::Nothing
            }
            Self::Write => Next::Goes(Self::Commit),
            Self::Commit => {
                database.commit(call, (database.slot.available - 1).max(0));
                Next::Took
            }
            Self::RollBack => {
                database.rollback(call);
                Next::Nothing
            }
        }
    }
}

/// M4, `write_skew`. Each of two transactions sees room in its own snapshot and inserts another
/// row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WriteSkew {
    Read,
    Insert,
    Count,
}

impl Strategy for WriteSkew {
    const BEGINNINGS: &'static [Self] = &[Self::Read];

    fn point(self) -> Point {
        match self {
            Self::Read => Point::new("read", "begins and counts the bookings in its snapshot"),
            Self::Insert => Point::new("insert", "inserts its booking and commits"),
            Self::Count => Point::new("count", "takes a seat from the slot's counter"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read if database.is_full() => Next::Nothing,
            Self::Read => Next::Goes(Self::Insert),
            Self::Insert => {
                database.insert_booking(call);
                Next::Goes(Self::Count)
            }
            Self::Count if database.has_receipt(call.client) => Next::Nothing,
            Self::Count => {
                database.leave_receipt(call);
                database.slot.available = (database.slot.available - 1).max(0);
                database.slot.version += 1;
                Next::Took
            }
        }
    }
}

/// M16, `off_by_one`. Compares with one seat too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OffByOne;

impl Strategy for OffByOne {
    const BEGINNINGS: &'static [Self] = &[Self];

    fn point(self) -> Point {
        Point::new("write", "writes the booking if at most one seat is missing")
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match write_if(database.slot.available + 1 >= Self::SEATS, Self::SEATS, call, database) {
            true => Next::Took,
            false => Next::Nothing,
        }
    }
}

/// M18, `one_seat_check`. Checks that one seat is free, and takes as many as were asked for: two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OneSeatCheck;

impl Strategy for OneSeatCheck {
    const BEGINNINGS: &'static [Self] = &[Self];
    const SEATS: i32 = 2;

    fn point(self) -> Point {
        Point::new("write", "writes a booking of two seats if one is free")
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match write_if(database.slot.available >= 1, Self::SEATS, call, database) {
            true => Next::Took,
            false => Next::Nothing,
        }
    }
}

/// M7, `receipt_apart`. Two writes where one was needed: a duplicate that comes between them finds
/// no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReceiptApart {
    Write,
    Receipt,
}

impl Strategy for ReceiptApart {
    const BEGINNINGS: &'static [Self] = &[Self::Write];

    fn point(self) -> Point {
        match self {
            Self::Write => Point::new(
                "write",
                "writes the booking if a seat is free and its key has no receipt",
            ),
            Self::Receipt => Point::new("receipt", "writes the receipt"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Write if database.slot.available < 1 || database.has_receipt(call.client) => {
                Next::Nothing
            }
            Self::Write => {
                database.insert_booking(call);
                database.slot.available -= 1;
                database.slot.version += 1;
                Next::Goes(Self::Receipt)
            }
            Self::Receipt => {
                database.leave_receipt(call);
                Next::Took
            }
        }
    }
}

/// M17, `audit_apart`. The log is written after the fact, in a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AuditApart {
    Write,
    Audit,
}

impl Strategy for AuditApart {
    const BEGINNINGS: &'static [Self] = &[Self::Write];

    fn point(self) -> Point {
        match self {
            Self::Write => {
                Point::new("write", "writes the booking if a seat is free, and no audit record")
            }
            Self::Audit => Point::new("audit", "writes the audit record"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Write if write_if(database.slot.available >= 1, 1, call, database) => {
                database.unlogged += 1;
                Next::Goes(Self::Audit)
            }
            Self::Write => Next::Nothing,
            Self::Audit => {
                database.unlogged -= 1;
                Next::Took
            }
        }
    }
}

/// M15, `announce_apart`. Publishes first and writes afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AnnounceApart {
    Read,
    Announce,
    Write,
}

impl Strategy for AnnounceApart {
    const BEGINNINGS: &'static [Self] = &[Self::Read];

    fn point(self) -> Point {
        match self {
            Self::Read => Point::new("read", "reads the slot's version and seats"),
            Self::Announce => Point::new("announce", "announces the booking before it writes it"),
            Self::Write => Point::new("write", "writes the booking if a seat is free"),
        }
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        match self {
            Self::Read if database.slot.available < 1 => Next::Nothing,
            Self::Read => Next::Goes(Self::Announce),
            Self::Announce => {
                database.announce(call);
                Next::Goes(Self::Write)
            }
            Self::Write if write_if(database.slot.available >= 1, 1, call, database) => Next::Took,
            Self::Write => Next::Nothing,
        }
    }
}

/// M14, `race_is_sold_out`. `optimistic` with one try, and a lost race is answered with `sold_out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RaceIsSoldOut(Optimistic);

impl Strategy for RaceIsSoldOut {
    const BEGINNINGS: &'static [Self] = &[Self(Optimistic::Read)];
    const TRIES: u8 = 1;

    fn point(self) -> Point {
        self.0.point()
    }

    fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
        self.0.step(call, database).map(Self)
    }

    fn out_of_tries(self, database: &Database) -> OutOfTries<Self> {
        OutOfTries::Answers(Answer::SoldOut { version: database.slot.version })
    }
}

/// A mutant whose tries are those of `conditional`, and that breaks what surrounds them.
macro_rules! conditional_but {
    ($(#[$doc:meta])* $name:ident { $($broken:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) struct $name(Conditional);

        impl Strategy for $name {
            const BEGINNINGS: &'static [Self] = &[Self(Conditional::Write)];

            fn point(self) -> Point {
                self.0.point()
            }

            fn step(self, call: CallId, database: &mut Database) -> Next<Self> {
                self.0.step(call, database).map(Self)
            }

            $($broken)*
        }
    };
}

conditional_but! {
    /// M8, `replay_new_id`. A duplicate is answered with a booking that does not exist.
    ReplayNewId {
        fn booking_of_receipt(call: CallId, _receipt: CallId) -> CallId {
            call
        }
    }
}

conditional_but! {
    /// M10, `cancel_twice`. Nothing guards the cancel, so a client that repeats it gives its seats
    /// back again.
    CancelTwice {
        fn cancel(booking: CallId, database: &mut Database) -> StateChange {
            database.cancel_again(booking)
        }
    }
}

conditional_but! {
    /// M11, `cancel_leaks`. The booking is cancelled and its seats are forgotten.
    CancelLeaks {
        fn cancel(booking: CallId, database: &mut Database) -> StateChange {
            let available = database.slot.available;
            let change = database.cancel(booking);
            database.slot.available = available;
            change
        }
    }
}

conditional_but! {
    /// M12, `late_confirm`. The payment arrives after the hold ran out, and is honoured.
    LateConfirm {
        fn confirm(booking: CallId, database: &mut Database) -> StateChange {
            database.confirm_late(booking)
        }
    }
}

conditional_but! {
    /// M13, `stale_cache`. The first answer about a slot is kept and given to every later read.
    StaleCache {
        const CACHES_READS: bool = true;
    }
}

conditional_but! {
    /// M9, `commit_not_durable`. Acknowledges before the commit is on disk.
    CommitNotDurable {
        const DURABLE: bool = false;
    }
}
