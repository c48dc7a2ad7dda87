//! The configuration of the service, and its limits.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use slotproof_vocabulary::{CacheMode, MonthMode, Pooling, ReadMode, ShardMode, StrategyKind};

use crate::strategies::policy::Policy;

/// A hold is also the time to live of a message, for which RabbitMQ has 32 bits of milliseconds:
/// 49 days.
const HOLD_MAX_DAYS: u64 = 30;
const HOLD_MAX: Duration = Duration::from_secs(HOLD_MAX_DAYS * 24 * 60 * 60);

/// Ten years: each statement locks every partition that its plan was made with.
const MONTHS_AHEAD_MAX: u32 = 120;

/// Whether committed changes are announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcements {
    /// The outbox is relayed, and events are consumed.
    Made,
    /// They wait in the outbox: for a bench, or for other processes.
    Left,
}

/// Reads of slots from standbys of the database.
#[derive(Debug, Clone, Default)]
pub struct StandbyReads {
    /// `postgres://user:password@host:port/database` of each; none: the database answers itself.
    pub database_urls: Vec<String>,
    /// How old an answer may be, as the service declares it; 0 declares nothing, and the database
    /// answers itself.
    pub staleness_ms: u64,
    /// How reads are spread: as it is right, or as in a negative control.
    pub mode: ReadMode,
}

/// A pooler before the database.
#[derive(Debug, Clone)]
pub struct Pooler {
    /// `postgres://user:password@host:port/database`, as the database's own.
    pub url: String,
    /// What goes through it: what is right, or as in a negative control.
    pub pooling: Pooling,
}

/// Reads that a cache answers.
#[derive(Debug, Clone)]
pub struct CachedReads {
    /// `redis://:password@host:port/`.
    pub url: String,
    /// How the cache is used: as it is right, or as in a negative control.
    pub mode: CacheMode,
    /// How old the answer to a read of a slot may be, as the service declares it.
    pub slots_staleness_ms: u64,
    /// The same of a read of a booking.
    pub bookings_staleness_ms: u64,
    /// How much later an entry of an even version is written to the cache: what a busy process does
    /// by chance, for tests of the race. Zero in a service.
    pub delay: Duration,
}

/// Slots and bookings partitioned by month.
#[derive(Debug, Clone, Copy)]
pub struct Months {
    /// How many months after the current one have partitions: 1 to 120.
    pub ahead: u32,
    /// How months are kept: as it is right, or as in a negative control.
    pub mode: MonthMode,
}

/// A shard: a name that stays with its data, and where its database is now.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardUrl {
    /// Lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// `postgres://user:password@host:port/database`.
    pub url: String,
}

/// Without the password.
impl fmt::Debug for ShardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardUrl").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for ShardUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |char: char| matches!(char, 'a'..='z' | '0'..='9' | '-' | '_');
        match text.split_once('=') {
            Some((name, url)) if !name.is_empty() && name.chars().all(plain) => {
                Ok(Self { name: name.to_owned(), url: url.to_owned() })
            }
            Some(_) | None => {
                Err("write NAME=postgres://user:password@host:port/database; a name \
                                   has lower-case letters, digits, `-` and `_`"
                    .to_owned())
            }
        }
    }
}

/// Doctors in several databases.
#[derive(Debug, Clone)]
pub struct ShardSet {
    /// Two or more, each once, with different names.
    pub shards: Vec<ShardUrl>,
    /// How shards are kept: as it is right, or as in a negative control.
    pub mode: ShardMode,
    /// Whether this process reads the map of the shards again only when a shard refuses, for tests of
    /// the fence.
    pub keeps_its_map: bool,
}

/// The configuration of the service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether another process may listen there too: the one that replaces this one, or that this
    /// one replaces.
    pub shares_port: bool,
    /// `postgres://user:password@host:port/database`; the first shard's, where there are shards.
    pub database_url: String,
    /// Present if doctors lie in several databases. Poolers, months, standbys, a cache, a broker and
    /// a director are those of a single one.
    pub shards: Option<ShardSet>,
    /// A pooler before the database. What needs a session of its own goes past it: migrations,
    /// settings of a connection, a director.
    pub pooler: Option<Pooler>,
    /// Present if the tables of slots and bookings are partitioned.
    pub months: Option<Months>,
    /// Standbys of the database that answer reads of slots.
    pub standby_reads: StandbyReads,
    /// A cache that answers reads of slots and bookings, if there is one.
    pub cache: Option<CachedReads>,
    /// The strategy by which `reserve` is made safe, or a negative control.
    pub strategy: StrategyKind,
    /// How long a hold lasts: more than 0, 30 days at most.
    pub hold: Duration,
    /// Connections to the database: 1 or more.
    pub connections: u32,
    /// `redis://host:port`, for the strategies that lock there.
    pub redis_url: Option<String>,
    /// `amqp://user:password@host:port/vhost`, for the queue and for announcing what was committed.
    pub amqp_url: Option<String>,
    /// Workers that decide what the queue holds; 0 leaves that to other processes.
    pub workers: u32,
    /// Whether committed changes are announced, if there is a broker.
    pub announcements: Announcements,
    /// How long a lock in Redis lives that its holder does not free: more than 0.
    pub lock_ttl: Duration,
    /// Which path a booking takes, for the strategy `hybrid`.
    pub policy: Policy,
    /// Tries before a client is told `retry_later`: 1 or more. On a hot slot an optimistic try
    /// fails more often than it succeeds (84 % were seen); at that rate 20 tries all fail with a
    /// chance of 3 %.
    pub tries: u32,
    /// Where a director may connect, which holds requests at their pause points; port 0 picks a
    /// free one. `None`: the service is not directed.
    pub director: Option<SocketAddr>,
}

/// A value of the configuration that is outside its limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A hold of no time.
    #[error("the hold must be longer than 0 ms")]
    HoldTooShort,
    /// A hold that the broker cannot time.
    #[error(
        "the hold must be {HOLD_MAX_DAYS} days at most: RabbitMQ cannot delay messages for longer"
    )]
    HoldTooLong,
    /// A lock that is gone when it is taken.
    #[error("the lock's time to live must be longer than 0 ms")]
    LockTtlTooShort,
    /// A service that can ask the database nothing.
    #[error("the number of database connections must be 1 or more")]
    NoConnections,
    /// No partition after this month's, or more than a database can be asked for.
    #[error("the number of months ahead must be 1 to {MONTHS_AHEAD_MAX}")]
    MonthsAhead,
    /// Shards that cannot be told apart, or one that is none.
    #[error("shards must be two or more, with different names and addresses")]
    BadShards,
    /// What a service with shards does not have.
    #[error("shards and {0} exclude each other; leave out one")]
    ShardsAnd(&'static str),
    /// A service that never tries.
    #[error("the number of tries must be 1 or more")]
    NoTries,
    /// A director on another machine.
    #[error(
        "the director's address {0} is not a loopback address: a director can hold requests for ever, so only this machine may connect"
    )]
    DirectorNotPrivate(SocketAddr),
}

impl ConfigError {
    /// The field of [`Config`] with the value, in words with dashes: `lock-ttl`. A command line
    /// that has an option of this name can put it before the sentence.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::HoldTooShort | Self::HoldTooLong => "hold",
            Self::LockTtlTooShort => "lock-ttl",
            Self::NoConnections => "connections",
            Self::MonthsAhead => "months-ahead",
            Self::BadShards | Self::ShardsAnd(_) => "shard",
            Self::NoTries => "tries",
            Self::DirectorNotPrivate(_) => "director",
        }
    }
}

impl Config {
    /// Checks the limits of every value. [`crate::Application::build`] does it too, before it
    /// touches a server.
    ///
    /// # Errors
    /// The first value that is outside its limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.hold.as_millis() == 0 {
            return Err(ConfigError::HoldTooShort);
        }
        if self.hold > HOLD_MAX {
            return Err(ConfigError::HoldTooLong);
        }
        if self.lock_ttl.as_millis() == 0 {
            return Err(ConfigError::LockTtlTooShort);
        }
        if self.connections == 0 {
            return Err(ConfigError::NoConnections);
        }
        if self.months.is_some_and(|it| !(1..=MONTHS_AHEAD_MAX).contains(&it.ahead)) {
            return Err(ConfigError::MonthsAhead);
        }
        if self.tries == 0 {
            return Err(ConfigError::NoTries);
        }
        if let Some(set) = &self.shards {
            self.validate_shards(set)?;
        }
        match self.director {
            Some(address) if !address.ip().is_loopback() => {
                Err(ConfigError::DirectorNotPrivate(address))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn validate_shards(&self, set: &ShardSet) -> Result<(), ConfigError> {
        let is_twice = |(place, shard): (usize, &ShardUrl)| {
            let mut before = set.shards[..place].iter();
            before.any(|other| other.name == shard.name || other.url == shard.url)
        };
        if set.shards.len() < 2 || set.shards.iter().enumerate().any(is_twice) {
            return Err(ConfigError::BadShards);
        }
        let others = [
            ("a pooler", self.pooler.is_some()),
            ("months", self.months.is_some()),
            ("standbys", !self.standby_reads.database_urls.is_empty()),
            ("a cache", self.cache.is_some()),
            ("RabbitMQ", self.amqp_url.is_some()),
            ("a director", self.director.is_some()),
        ];
        match others.into_iter().find(|(_, is_there)| *is_there) {
            Some((what, _)) => Err(ConfigError::ShardsAnd(what)),
            None => Ok(()),
        }
    }

    /// The hold in milliseconds, as the database and the broker take it.
    pub(crate) fn hold_ms(&self) -> i64 {
        i64::try_from(self.hold.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration within its limits, of a service whose servers are not there.
    pub(crate) fn config() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            shares_port: false,
            database_url: "postgres://127.0.0.1:1/none".to_owned(),
            shards: None,
            pooler: None,
            months: None,
            standby_reads: StandbyReads::default(),
            cache: None,
            strategy: StrategyKind::Conditional,
            hold: Duration::from_secs(300),
            connections: 1,
            redis_url: None,
            amqp_url: None,
            workers: 0,
            announcements: Announcements::Left,
            lock_ttl: Duration::from_secs(5),
            policy: Policy::default(),
            tries: 1,
            director: None,
        }
    }

    #[test]
    fn shards_are_two_or_more_and_exclude_what_belongs_to_a_single_database() {
        let set = |shards: &[&str]| {
            let shards = shards.iter().map(|text| text.parse().expect("a shard")).collect();
            Some(ShardSet { shards, mode: ShardMode::Fenced, keeps_its_map: false })
        };
        let says = |shards: &[&str], change: fn(&mut Config)| {
            let mut config = Config { shards: set(shards), ..config() };
            change(&mut config);
            config.validate().map_err(|error| error.to_string())
        };
        let two = ["a=postgres://127.0.0.1:1/a", "b=postgres://127.0.0.1:1/b"];
        assert_eq!(says(&two, |_| {}), Ok(()));
        for wrong in [&two[..1], &[two[0], two[0]], &[two[0], "b=postgres://127.0.0.1:1/a"]] {
            assert!(says(wrong, |_| {}).expect_err("wrong").contains("two or more"), "{wrong:?}");
        }
        let refused = says(&two, |config| config.amqp_url = Some("amqp://127.0.0.1/".to_owned()));
        assert!(refused.expect_err("a broker").contains("shards and RabbitMQ exclude each other"));
        assert!("postgres://127.0.0.1/a".parse::<ShardUrl>().is_err(), "it has no name");
    }

    #[test]
    fn each_limit_is_checked_on_both_sides() {
        type Change = fn(&mut Config);
        let accepted: [Change; 4] = [
            |_| {},
            |config| config.hold = Duration::from_millis(1),
            |config| config.hold = HOLD_MAX,
            |config| config.director = Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ];
        for change in accepted {
            let mut config = config();
            change(&mut config);
            assert_eq!(config.validate(), Ok(()));
        }
        let refused: [(Change, &str); 7] = [
            (|config| config.hold = Duration::ZERO, "hold"),
            (|config| config.hold = Duration::from_micros(999), "hold"),
            (|config| config.hold = HOLD_MAX + Duration::from_millis(1), "hold"),
            (|config| config.lock_ttl = Duration::ZERO, "lock-ttl"),
            (|config| config.connections = 0, "connections"),
            (|config| config.tries = 0, "tries"),
            (|config| config.director = Some(SocketAddr::from(([10, 0, 0, 1], 0))), "director"),
        ];
        for (change, setting) in refused {
            let mut config = config();
            change(&mut config);
            assert_eq!(config.validate().map_err(|error| error.setting()), Err(setting));
        }
    }
}
