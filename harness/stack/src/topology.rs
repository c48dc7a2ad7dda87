//! A topology: the components of a deployment and how the service is wired to them, as data.
//!
//! A topology is a TOML file with strict keys; the built-in ones lie in `topologies/`.

mod months;
mod pool;
mod replication;
mod validation;

use std::{fs, path::Path};

use serde::Deserialize;
use slotproof_vocabulary::{
    CacheMode, ComponentBlock, Pooling, ReadMode, ShardMode, StrategyKind, TopologyBlock,
};

pub use months::Months;
pub use pool::{Pool, PoolMode};
pub use replication::{Replication, Synchronous};
pub use validation::TopologyError;

/// The built-in topologies; the first one is the default.
const BUILT_IN: [&str; 30] = [
    include_str!("../topologies/single.toml"),
    include_str!("../topologies/without_queue.toml"),
    include_str!("../topologies/replicas.toml"),
    include_str!("../topologies/replicas_synchronous.toml"),
    include_str!("../topologies/pooled.toml"),
    include_str!("../topologies/pooled_transactions.toml"),
    include_str!("../topologies/replica_read_no_token.toml"),
    include_str!("../topologies/replica_staleness_undeclared.toml"),
    include_str!("../topologies/replica_decides.toml"),
    include_str!("../topologies/replica_read_ahead.toml"),
    include_str!("../topologies/pgbouncer_unnamed.toml"),
    include_str!("../topologies/pgbouncer_session_lock.toml"),
    include_str!("../topologies/pgbouncer_set_leak.toml"),
    include_str!("../topologies/cached.toml"),
    include_str!("../topologies/cache_aside_race.toml"),
    include_str!("../topologies/cache_outlives_hold.toml"),
    include_str!("../topologies/cache_decides.toml"),
    include_str!("../topologies/negative_cache.toml"),
    include_str!("../topologies/cached_through.toml"),
    include_str!("../topologies/cache_through_reorder.toml"),
    include_str!("../topologies/cached_behind.toml"),
    include_str!("../topologies/cache_behind_bookings.toml"),
    include_str!("../topologies/partitioned.toml"),
    include_str!("../topologies/partition_local_time.toml"),
    include_str!("../topologies/archive_live_month.toml"),
    include_str!("../topologies/sharded.toml"),
    include_str!("../topologies/queued.toml"),
    include_str!("../topologies/two_owners.toml"),
    include_str!("../topologies/move_without_tail.toml"),
    include_str!("../topologies/default_hasher.toml"),
];

/// The components of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Its name on the command line.
    pub name: String,
    /// What it is, in one line.
    pub summary: String,
    /// The servers.
    pub components: Vec<Component>,
    /// What a commit waits for.
    #[serde(default)]
    pub replication: Replication,
    /// Which component the service uses for what.
    pub service: Wiring,
    /// Where it was read, if it is not built in.
    #[serde(skip)]
    file: Option<String>,
}

/// A server of a topology.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name: endpoints, logs, faults and CPU figures go by it.
    pub name: String,
    /// What it runs.
    pub kind: ComponentKind,
    /// The component that it follows: a standby's primary, the server behind a pooler.
    pub of: Option<String>,
    /// Of a pooler: how it shares connections.
    pub pool: Option<Pool>,
}

/// What a component runs. Each kind has a page in `components/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// A PostgreSQL server.
    Postgresql,
    /// A streaming standby of a PostgreSQL server.
    PostgresqlStandby,
    /// A connection pooler before a PostgreSQL server.
    Pgbouncer,
    /// A Redis server.
    Redis,
    /// A Redis server that keeps nothing on disk and forgets what was least used.
    RedisCache,
    /// A RabbitMQ node.
    Rabbitmq,
}

impl ComponentKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Postgresql,
        Self::PostgresqlStandby,
        Self::Pgbouncer,
        Self::Redis,
        Self::RedisCache,
        Self::Rabbitmq,
    ];

    /// The name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::PostgresqlStandby => "postgresql_standby",
            Self::Pgbouncer => "pgbouncer",
            Self::Redis => "redis",
            Self::RedisCache => "redis_cache",
            Self::Rabbitmq => "rabbitmq",
        }
    }
}

/// Names of the components that the service uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wiring {
    /// Holds slots and bookings; a `postgresql`.
    pub database: String,
    /// Hold them together, by doctor; each a `postgresql`, the database the first of them.
    #[serde(default)]
    pub shards: Vec<String>,
    /// How shards are kept; anything but `fenced` is a negative control.
    #[serde(default)]
    pub shard_mode: ShardMode,
    /// How much longer the copy of a bucket with doctors takes when it moves, in milliseconds: that
    /// of a large bucket. For tests of what changes meanwhile.
    #[serde(default)]
    pub copy_delay_ms: u64,
    /// Stands between requests and the database; a `pgbouncer` before it.
    pub pooler: Option<String>,
    /// What goes through the pooler.
    #[serde(default)]
    pub pooling: Pooling,
    /// Partitions slots and bookings by month.
    pub months: Option<Months>,
    /// Holds the locks of the Redis strategies; a `redis`.
    pub locks: Option<String>,
    /// Holds queued requests and announcements; a `rabbitmq`.
    pub queue: Option<String>,
    /// How reserves are made safe, where that is what makes the topology; no other strategy runs on it.
    pub strategy: Option<StrategyKind>,
    /// Serve reads of slots; each a `postgresql_standby` of the database.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Answers reads of slots and bookings; a `redis_cache`.
    pub cache: Option<String>,
    /// How old an answer may be.
    #[serde(default)]
    pub staleness_ms: Staleness,
    /// How reads are spread; anything but `split` is a negative control.
    #[serde(default)]
    pub read_mode: ReadMode,
    /// How the cache is used; some modes are negative controls.
    #[serde(default)]
    pub cache_mode: CacheMode,
    /// How much later an entry of an even version is written to the cache, in milliseconds: what a
    /// busy process does by chance. For tests of the race.
    #[serde(default)]
    pub cache_delay_ms: u64,
}

impl Wiring {
    /// The negative control that this is, if it is one.
    pub fn negative_control(&self) -> Option<&'static str> {
        let (reads, pooling, cache) = (self.read_mode, self.pooling, self.cache_mode);
        let shards = self.shard_mode;
        let reads = reads.is_negative_control().then_some(reads.name());
        reads
            .or_else(|| pooling.is_negative_control().then_some(pooling.name()))
            .or_else(|| cache.is_negative_control().then_some(cache.name()))
            .or_else(|| self.months.and_then(Months::negative_control))
            .or_else(|| shards.is_negative_control().then_some(shards.name()))
    }
}

impl Wiring {
    /// What the service uses a component for, by the keys of the file.
    fn roles_of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        let one = |role, name: &'a Option<String>| (role, name.as_slice());
        let roles = [
            ("database", std::slice::from_ref(&self.database)),
            one("pooler", &self.pooler),
            one("cache", &self.cache),
            one("locks", &self.locks),
            one("queue", &self.queue),
            ("reads", self.reads.as_slice()),
            ("shards", self.shards.as_slice()),
        ];
        let used =
            roles.into_iter().filter(move |(_, names)| names.iter().any(|name| name == component));
        used.map(|(role, _)| role)
    }
}

/// Declared staleness of each endpoint, in milliseconds; 0 declares none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staleness {
    /// Of a read of a slot.
    #[serde(default)]
    pub slots: u64,
    /// Of a read of a booking.
    #[serde(default)]
    pub bookings: u64,
}

impl Topology {
    /// Every built-in topology; the first one is the default.
    pub fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.iter().map(|text| Self::parse(text).expect("a test parses it"))
    }

    /// The built-in topology `single`: phase 1 of the design.
    pub fn single() -> Self {
        Self::parse(BUILT_IN[0]).expect("a test parses it")
    }

    /// The built-in topology `without_queue`: what `replay` needs.
    pub fn without_queue() -> Self {
        Self::parse(BUILT_IN[1]).expect("a test parses it")
    }

    /// The built-in topology of this name, or the one in this file.
    ///
    /// # Errors
    /// See [`TopologyError`].
    pub fn find(name_or_file: &str) -> Result<Self, TopologyError> {
        if let Some(built_in) = Self::built_in().find(|topology| topology.name == name_or_file) {
            return Ok(built_in);
        }
        let is_path = name_or_file.contains(std::path::MAIN_SEPARATOR)
            || Path::new(name_or_file).extension().is_some();
        if !is_path && !Path::new(name_or_file).exists() {
            let sound = Self::built_in().filter(|topology| !topology.is_negative_control());
            let names: Vec<_> = sound.map(|topology| topology.name).collect();
            return Err(TopologyError::NoSuchName(names.join(", ")));
        }
        let topology = Self::parse(&fs::read_to_string(name_or_file)?)?;
        if Self::built_in().any(|built_in| built_in.name == topology.name) {
            return Err(TopologyError::NameOfBuiltIn(topology.name));
        }
        Ok(Self { file: Some(name_or_file.to_owned()), ..topology })
    }

    /// Reads the text of a topology file.
    ///
    /// # Errors
    /// See [`TopologyError`].
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let topology: Self = toml::from_str(text)?;
        validation::validate(&topology)?;
        Ok(topology)
    }

    /// What names it on the command line.
    pub fn argument(&self) -> &str {
        self.file.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is broken on purpose.
    pub fn is_negative_control(&self) -> bool {
        self.service.negative_control().is_some()
    }

    /// The topology that is right where this one is a negative control: the same servers, and a
    /// service that is wired as it should be and is as slow.
    pub fn right_twin(&self) -> Option<Self> {
        let twin = |it: &Self| {
            !it.is_negative_control()
                && it.components == self.components
                && it.replication == self.replication
                && it.service.cache_mode == self.service.cache_mode.right_twin()
                && it.service.months == self.service.months.map(Months::right_twin)
                && it.service.shards == self.service.shards
        };
        let mut twin = Self::built_in().find(twin).filter(|_| self.is_negative_control())?;
        twin.service.cache_delay_ms = self.service.cache_delay_ms;
        twin.service.copy_delay_ms = self.service.copy_delay_ms;
        Some(twin)
    }

    /// The same without what it queues and announces by, under the same name: to set it beside one
    /// that has none.
    #[must_use]
    pub fn without_its_queue(mut self) -> Self {
        let queue = self.service.queue.take();
        self.components.retain(|component| Some(&component.name) != queue.as_ref());
        self
    }

    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The components that follow this one.
    pub fn followers_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Component> {
        self.components.iter().filter(move |component| component.of.as_deref() == Some(name))
    }

    /// The standbys of this component.
    pub fn standbys_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Component> {
        self.followers_of(name).filter(|it| it.kind == ComponentKind::PostgresqlStandby)
    }

    /// The settings of the service's pooler.
    pub fn pool(&self) -> Option<Pool> {
        self.component(self.service.pooler.as_deref()?)?.pool
    }

    /// The names of its servers: `postgresql, redis and rabbitmq`.
    pub fn servers(&self) -> String {
        let names: Vec<&str> = self.components.iter().map(|it| it.name.as_str()).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        }
    }

    /// What a report keeps of it.
    pub fn block(&self) -> TopologyBlock {
        let declared = |ms: u64| Some(ms).filter(|ms| *ms > 0);
        let Staleness { slots, bookings } = self.service.staleness_ms;
        let component = |it: &Component| ComponentBlock {
            name: it.name.clone(),
            kind: it.kind.name().to_owned(),
            of: it.of.clone(),
            roles: self.service.roles_of(&it.name).map(str::to_owned).collect(),
        };
        TopologyBlock {
            name: self.name.clone(),
            summary: self.summary.clone(),
            negative_control: self.is_negative_control(),
            components: self.components.iter().map(component).collect(),
            stale_ms: declared(slots),
            booking_stale_ms: declared(bookings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_topology_has_one_server_of_each_kind_and_no_standby() {
        let kinds: Vec<_> =
            Topology::single().components.iter().map(|component| component.kind).collect();
        assert_eq!(
            kinds,
            [ComponentKind::Postgresql, ComponentKind::Redis, ComponentKind::Rabbitmq]
        );
        assert_eq!(Topology::single().servers(), "postgresql, redis and rabbitmq");
    }

    #[test]
    fn the_topology_without_a_queue_is_the_other_one_without_rabbitmq() {
        let (mut single, without) = (Topology::single(), Topology::without_queue());
        single.components.retain(|component| component.kind != ComponentKind::Rabbitmq);
        assert_eq!(without.components, single.components);
        assert_eq!(without.service, Wiring { queue: None, ..single.service });
    }

    #[test]
    fn every_built_in_topology_is_found_by_its_name_and_repeated_by_it() {
        for built_in in Topology::built_in() {
            let found = Topology::find(&built_in.name).expect("built in");
            assert_eq!((found.argument(), &found), (built_in.name.as_str(), &built_in));
        }
    }

    #[test]
    fn reads_of_the_replicas_go_to_two_standbys_and_are_a_second_old_at_most() {
        let replicas = Topology::find("replicas").expect("built in");
        let standbys: Vec<_> = replicas.standbys_of("postgresql").map(|it| &it.name).collect();
        assert_eq!(standbys, ["standby-1", "standby-2"]);
        assert_eq!(replicas.service.reads, ["standby-1", "standby-2"]);
        assert_eq!(replicas.block().stale_ms, Some(1_000));
        assert_eq!(Topology::single().block().stale_ms, None);
    }

    #[test]
    fn a_negative_control_runs_on_the_servers_of_its_right_twin() {
        let controls = Topology::built_in().filter(Topology::is_negative_control);
        for control in controls {
            assert_eq!(Some(control.name.as_str()), control.service.negative_control());
            let twin = control.right_twin().expect("a right twin");
            let wired = !twin.service.reads.is_empty()
                || twin.service.pooler.is_some()
                || twin.service.cache.is_some()
                || twin.service.months.is_some()
                || !twin.service.shards.is_empty();
            assert!(wired && twin.right_twin().is_none(), "{}", control.name);
        }
        let twin = |name| Topology::find(name).expect("built in").right_twin().map(|it| it.name);
        assert_eq!(twin("replica_decides").as_deref(), Some("replicas"));
        assert_eq!(twin("replica_read_ahead").as_deref(), Some("replicas_synchronous"));
        assert_eq!(twin("archive_live_month").as_deref(), Some("partitioned"));
        assert_eq!(twin("two_owners").as_deref(), Some("sharded"));
        assert_eq!(twin("cache_aside_race").as_deref(), Some("cached"));
        assert_eq!(twin("cache_through_reorder").as_deref(), Some("cached_through"));
    }

    #[test]
    fn a_file_is_found_by_its_path_and_repeated_by_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mine.toml");
        let text = include_str!("../topologies/without_queue.toml");
        fs::write(&path, text).expect("it is written");
        let path = path.to_str().expect("plain");
        let refused = Topology::find(path).expect_err("a name that is taken").to_string();
        assert!(refused.contains("`without_queue`"), "{refused}");
        fs::write(path, text.replace("without_queue", "mine")).expect("it is written");
        let found = Topology::find(path).expect("a topology");
        assert_eq!((found.argument(), found.name.as_str()), (path, "mine"));
        let refused = Topology::find("mine").expect_err("no such name").to_string();
        assert!(
            refused.contains("single, without_queue, replicas, replicas_synchronous"),
            "{refused}"
        );
    }
}
