//! The strategies: ways of making `reserve` safe, and the negative controls that are broken on
//! purpose.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Declares the strategies in one table: variant, name, and the line that says how it works.
macro_rules! strategies {
    (
        safe { $($safe:ident $safe_name:literal $safe_mechanism:literal)+ }
        controls { $($control:ident $control_name:literal $needs:ident $control_mechanism:literal)+ }
    ) => {
        /// A strategy of the service, or a negative control: broken on purpose, and the checker
        /// must convict it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum StrategyKind {
            $(#[doc = $safe_mechanism] #[serde(rename = $safe_name)] $safe,)+
            $(#[doc = concat!("Negative control: ", $control_mechanism)] #[serde(rename = $control_name)] $control,)+
        }

        impl StrategyKind {
            /// The strategies that claim to be safe.
            pub const SAFE: &[Self] = &[$(Self::$safe,)+];
            /// Those that are broken on purpose.
            pub const NEGATIVE_CONTROLS: &[Self] = &[$(Self::$control,)+];

            /// The name on the command line, in files and in reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$safe => $safe_name,)+
                    $(Self::$control => $control_name,)+
                }
            }

            /// One line that says how it works, or what is wrong with it.
            pub fn mechanism(self) -> &'static str {
                match self {
                    $(Self::$safe => $safe_mechanism,)+
                    $(Self::$control => $control_mechanism,)+
                }
            }

            /// What it takes to see a negative control break; `None` for the safe strategies.
            pub fn shown_by(self) -> Option<ShownBy> {
                match self {
                    $(Self::$safe => None,)+
                    $(Self::$control => Some(ShownBy::$needs),)+
                }
            }
        }
    };
}

strategies! {
    safe {
        Pessimistic "pessimistic" "locks the slot's row (select ... for no key update), then writes"
        Serializable "serializable" "one SERIALIZABLE transaction; repeated whole when PostgreSQL finds a conflict"
        Optimistic "optimistic" "reads without a lock, writes only if the version is unchanged, retries with jitter"
        Conditional "conditional" "one conditional statement, no version, no explicit lock"
        Advisory "advisory" "takes an advisory lock named after the slot, then reads and writes"
        RedisLock "redis_lock" "a lock in Redis with an owner token, and a fencing token that PostgreSQL checks"
        Queue "queue" "RabbitMQ carries the request to a worker; the client polls for the answer"
        Hybrid "hybrid" "optimistic first, the queue after lost races, a row lock for what is worth most"
        Grouped "grouped" "one lane per slot: what arrived during the last commit is decided in one transaction"
        Batched "batched" "lanes of many slots: one transaction decides all that waits in one"
        SeatRows "seat_rows" "a row for each seat, taken with `for update skip locked`"
    }
    controls {
        Unprotected "unprotected" Load "reads the seats left, then books: no lock and no condition protects the number"
        LostUpdate "lost_update" Load "writes back a seat count that it read before others wrote"
        LockedBookings "locked_bookings" Load "locks the slot's bookings and not the slot: an empty set locks nothing"
        WriteSkew "write_skew" Load "counts the bookings in a REPEATABLE READ snapshot, and inserts one more"
        OffByOne "off_by_one" Load "compares with one seat too many"
        OneSeatCheck "one_seat_check" Load "checks for one free seat, and takes the number requested"
        RaceIsSoldOut "race_is_sold_out" Load "answers a lost race with sold_out"
        ReceiptApart "receipt_apart" Load "writes the receipt after the booking, in a transaction of its own"
        ReplayNewId "replay_new_id" Load "answers a duplicate with a new booking id"
        AuditApart "audit_apart" Load "writes the audit record after the booking, in a transaction of its own"
        CancelTwice "cancel_twice" Load "gives the seats back each time that a booking is cancelled"
        CancelLeaks "cancel_leaks" Load "cancels without giving the seats back"
        LateConfirm "late_confirm" Load "confirms a hold that ran out, though its seats were given back"
        StaleCache "stale_cache" Load "answers reads of a slot from a cache that nothing invalidates"
        AnnounceApart "announce_apart" Load "announces a booking before its commit, and consumers count a repeated event twice"
        RedisLockUnfenced "redis_lock_unfenced" Pause "the seed's Redis lock: no owner token, no fencing, a plain delete"
        RedisLockToken "redis_lock_token" Pause "a Redis lock with an owner token, and nothing that PostgreSQL could check"
        CommitNotDurable "commit_not_durable" Crash "acknowledges before the commit is on disk (synchronous_commit off)"
    }
}

/// What it takes to see a negative control break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShownBy {
    /// Load alone.
    Load,
    /// A process that stands still for longer than its lock lives.
    Pause,
    /// A database that is killed.
    Crash,
}

impl StrategyKind {
    /// Every strategy, the safe ones first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SAFE.iter().chain(Self::NEGATIVE_CONTROLS).copied()
    }

    /// Broken on purpose: the checker must convict it.
    pub fn is_negative_control(self) -> bool {
        self.shown_by().is_some()
    }

    /// Needs a Redis server to decide.
    pub fn needs_redis(self) -> bool {
        matches!(self, Self::RedisLock | Self::RedisLockUnfenced | Self::RedisLockToken)
    }

    /// Needs RabbitMQ to decide.
    pub fn needs_rabbitmq(self) -> bool {
        matches!(self, Self::Queue | Self::Hybrid)
    }
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StrategyKind {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        Self::all().find(|kind| kind.name() == text).ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

/// No strategy has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStrategy(String);

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = StrategyKind::all().map(StrategyKind::name).collect();
        write!(f, "unknown strategy {:?}; the strategies are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownStrategy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_json() {
        for kind in StrategyKind::all() {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(
                serde_json::to_string(&kind).expect("serializes"),
                format!("{:?}", kind.name())
            );
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "optimstic".parse::<StrategyKind>().expect_err("misspelt").to_string();
        assert!(error.contains("optimstic") && error.contains("optimistic"), "{error}");
    }
}
