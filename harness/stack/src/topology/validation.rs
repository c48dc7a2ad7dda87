//! What makes a file a topology beside its keys.

use slotproof_vocabulary::{CacheMode, Pooling, ReadMode, ShardMode};

use super::{Component, ComponentKind, Topology};

/// Why a file is not a topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// There is neither a built-in topology nor a file of this name.
    #[error("no topology has this name; give one of {0}, or the path of a file")]
    NoSuchName(String),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It does not parse.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A file has the name of a built-in topology: reports would not tell the two apart.
    #[error("name = \"{0}\": the built-in topology `{0}` has this name; choose another")]
    NameOfBuiltIn(String),
    /// A name that cannot be that of a file or an option.
    #[error(
        "the component name {0:?} must be lower-case letters, digits, `-` and `_`, {NAME_MAX} at \
         most: files are named by it"
    )]
    BadName(String),
    /// Two components have one name.
    #[error("two components are named `{0}`; give each a name of its own")]
    DuplicateName(String),
    /// The wiring names a component that is missing or is of another kind.
    #[error("[service] {role} = \"{name}\": no component of kind `{kind}` has this name", kind = .kind.name())]
    Unwired {
        /// The key of the wiring.
        role: &'static str,
        /// The name that it gives.
        name: String,
        /// The kind that the role needs.
        kind: ComponentKind,
    },
    /// A standby or a pooler without a server.
    #[error(
        "the component `{name}` follows no component; a `{kind}` needs of = \"...\", the name of \
         its database",
        kind = .kind.name()
    )]
    OfNone {
        /// The component.
        name: String,
        /// Its kind.
        kind: ComponentKind,
    },
    /// A component follows one that is not there.
    #[error("the component `{name}` has of = \"{of}\", and no component has this name")]
    OfMissing {
        /// The component.
        name: String,
        /// What it follows.
        of: String,
    },
    /// A chain of components that ends where it began.
    #[error(
        "the component `{0}` follows itself, by way of {1}; name a component of kind `postgresql` \
         in `of`"
    )]
    Circle(String, String),
    /// A standby or a pooler follows something that is no primary.
    #[error(
        "the component `{name}` has of = \"{of}\", which is a `{kind}`; name a component of kind \
         `postgresql`: standbys and poolers of anything else are not supported",
        kind = .kind.name()
    )]
    NotAPrimary {
        /// The component.
        name: String,
        /// What it follows.
        of: String,
        /// What that is.
        kind: ComponentKind,
    },
    /// A component of another kind follows one.
    #[error("the component `{name}` is a `{kind}` and follows no other; take out its `of`", kind = .kind.name())]
    FollowsNone {
        /// The component.
        name: String,
        /// Its kind.
        kind: ComponentKind,
    },
    /// A pooler without its settings.
    #[error(
        "the pooler `{0}` does not say how it shares connections; add pool = {{ mode = \"session\", \
         size = 100 }}"
    )]
    NoPool(String),
    /// Another kind of component shares no connections.
    #[error("the component `{name}` is a `{kind}` and no pooler; take out its `pool`", kind = .kind.name())]
    NotAPooler {
        /// The component.
        name: String,
        /// Its kind.
        kind: ComponentKind,
    },
    /// A pool that the server cannot fill.
    #[error("the pool of `{name}` has {size} connections; a server takes {POOL_MAX} at most")]
    PoolTooLarge {
        /// The pooler.
        name: String,
        /// Its size.
        size: u32,
    },
    /// Requests would go to another database.
    #[error(
        "[service] {role}: `{name}` is of `{of}`, and the database is `{database}`; name what is of \
         the database"
    )]
    OtherDatabase {
        /// The key of the wiring.
        role: &'static str,
        /// The standby or the pooler.
        name: String,
        /// What it follows.
        of: String,
        /// What the service writes to.
        database: String,
    },
    /// Something is said of what goes through a pooler, and there is none.
    #[error("[service] pooling is about a pooler, and `pooler` names none")]
    NoPooler,
    /// A standby is named twice.
    #[error("[service] reads names `{0}` twice; name each standby once")]
    ReadTwice(String),
    /// Something is said of reads from standbys, and there are none.
    #[error(
        "[service] {0} is about reads from standbys or a cache, and there are none: name them in `reads`, or in `cache`"
    )]
    NoReads(&'static str),
    /// Something is said of a cache, and there is none.
    #[error("[service] {0} is about a cache, and `cache` names none")]
    NoCache(&'static str),
    /// Two things would answer one read.
    #[error(
        "[service] reads and cache exclude each other: a cache is filled from the database; leave out one"
    )]
    ReadsAndCache,
    /// A cache whose every entry is too old.
    #[error(
        "[service] cache answers nothing without a declared age: add staleness_ms = {{ slots = 1000, bookings = 1000 }}"
    )]
    NothingCached,
    /// Months that the service cannot make, or would not make in time.
    #[error(
        "[service] months = {{ ahead = {0} }}: the number of months ahead must be {AHEAD_MIN} to {AHEAD_MAX}"
    )]
    MonthsAhead(u32),
    /// A pooler refuses the setting that a connection to partitioned tables needs.
    #[error(
        "[service] months and pooler exclude each other: partitions need a setting of each \
         connection, which a pooler refuses; leave out one"
    )]
    MonthsAndPooler,
    /// Shards that the service cannot be given.
    #[error(
        "[service] shards must name two or more components, each once, and the first of them in \
         `database` too"
    )]
    BadShards,
    /// Something is said of shards, and there are none.
    #[error("[service] {0} is about shards, and `shards` names none")]
    NoShards(&'static str),
    /// What only a single database has.
    #[error("[service] shards and {0} exclude each other; leave out one")]
    ShardsAnd(&'static str),
    /// A commit would wait for ever.
    #[error(
        "[replication] synchronous waits for {asked} standbys, and `{database}` has {has}; every \
         commit would wait for ever"
    )]
    TooFewStandbys {
        /// How many a commit waits for.
        asked: u32,
        /// The database.
        database: String,
        /// How many standbys it has.
        has: usize,
    },
}

/// As much of a name as anybody reads.
const NAME_MAX: usize = 40;
/// Of the 300 that a server takes: evidence, heartbeats and what goes past the pooler need some.
const POOL_MAX: u32 = 200;

/// Slots of a load start tomorrow, which may be in the next month; and the service warns below 2.
const AHEAD_MIN: u32 = 2;
/// As the service has it.
const AHEAD_MAX: u32 = 120;

pub(super) fn validate(topology: &Topology) -> Result<(), TopologyError> {
    names(topology)?;
    for component in &topology.components {
        follows(topology, component)?;
        pools(component)?;
    }
    wired(topology)?;
    reads(topology)?;
    cache(topology)?;
    months(topology)?;
    shards(topology)?;
    let (database, asked) =
        (&topology.service.database, topology.replication.synchronous.standbys());
    let has = topology.standbys_of(database).count();
    if asked as usize > has {
        return Err(TopologyError::TooFewStandbys { asked, database: database.clone(), has });
    }
    Ok(())
}

fn names(topology: &Topology) -> Result<(), TopologyError> {
    let plain = |char: char| matches!(char, 'a'..='z' | '0'..='9' | '-' | '_');
    for (index, component) in topology.components.iter().enumerate() {
        let name = &component.name;
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
            return Err(TopologyError::BadName(name.clone()));
        }
        if topology.components[..index].iter().any(|other| other.name == *name) {
            return Err(TopologyError::DuplicateName(name.clone()));
        }
    }
    Ok(())
}

fn follows(topology: &Topology, component: &Component) -> Result<(), TopologyError> {
    let (name, kind) = (component.name.clone(), component.kind);
    let follows = match kind {
        ComponentKind::PostgresqlStandby | ComponentKind::Pgbouncer => true,
        ComponentKind::Postgresql
        | ComponentKind::Redis
        | ComponentKind::RedisCache
        | ComponentKind::Rabbitmq => false,
    };
    let of = match (component.of.clone(), follows) {
        (Some(of), true) => of,
        (None, true) => return Err(TopologyError::OfNone { name, kind }),
        (Some(_), false) => return Err(TopologyError::FollowsNone { name, kind }),
        (None, false) => return Ok(()),
    };
    let Some(followed) = topology.component(&of) else {
        return Err(TopologyError::OfMissing { name, of });
    };
    if let Some(way) = circle(topology, component) {
        return Err(TopologyError::Circle(name, way));
    }
    match followed.kind {
        ComponentKind::Postgresql => Ok(()),
        kind => Err(TopologyError::NotAPrimary { name, of, kind }),
    }
}

fn pools(component: &Component) -> Result<(), TopologyError> {
    let (name, kind) = (component.name.clone(), component.kind);
    match (component.pool, kind == ComponentKind::Pgbouncer) {
        (Some(pool), true) if pool.size.get() > POOL_MAX => {
            Err(TopologyError::PoolTooLarge { name, size: pool.size.get() })
        }
        (None, true) => Err(TopologyError::NoPool(name)),
        (Some(_), false) => Err(TopologyError::NotAPooler { name, kind }),
        (Some(_), true) | (None, false) => Ok(()),
    }
}

/// The components through which one follows itself.
fn circle(topology: &Topology, from: &Component) -> Option<String> {
    let mut way: Vec<&str> = Vec::new();
    let mut next = from.of.as_deref();
    while let Some(name) = next {
        if way.contains(&name) {
            return None;
        }
        way.push(name);
        if name == from.name {
            return Some(way.join(", "));
        }
        next = topology.component(name)?.of.as_deref();
    }
    None
}

fn wired(topology: &Topology) -> Result<(), TopologyError> {
    let service = &topology.service;
    let standby = |name| ("reads", name, ComponentKind::PostgresqlStandby);
    let wires = [
        ("database", Some(&service.database), ComponentKind::Postgresql),
        ("pooler", service.pooler.as_ref(), ComponentKind::Pgbouncer),
        ("locks", service.locks.as_ref(), ComponentKind::Redis),
        ("queue", service.queue.as_ref(), ComponentKind::Rabbitmq),
        ("cache", service.cache.as_ref(), ComponentKind::RedisCache),
    ];
    let wires = wires.into_iter().filter_map(|(role, name, kind)| Some((role, name?, kind)));
    let shard = |name| ("shards", name, ComponentKind::Postgresql);
    let several = service.reads.iter().map(standby).chain(service.shards.iter().map(shard));
    for (role, name, kind) in wires.chain(several) {
        if topology.component(name).is_none_or(|component| component.kind != kind) {
            return Err(TopologyError::Unwired { role, name: name.clone(), kind });
        }
    }
    if service.pooler.is_none() && service.pooling != Pooling::Requests {
        return Err(TopologyError::NoPooler);
    }
    let of_database = service.pooler.iter().map(|name| ("pooler", name));
    for (role, name) in of_database.chain(service.reads.iter().map(|name| ("reads", name))) {
        let of = topology.component(name).and_then(|component| component.of.clone());
        if let Some(of) = of.filter(|of| *of != service.database) {
            let (name, database) = (name.clone(), service.database.clone());
            return Err(TopologyError::OtherDatabase { role, name, of, database });
        }
    }
    Ok(())
}

fn reads(topology: &Topology) -> Result<(), TopologyError> {
    let service = &topology.service;
    if service.reads.is_empty() {
        if service.staleness_ms.slots > 0 && service.cache.is_none() {
            return Err(TopologyError::NoReads("staleness_ms"));
        }
        if service.read_mode != ReadMode::Split {
            return Err(TopologyError::NoReads("read_mode"));
        }
    }
    for (index, name) in service.reads.iter().enumerate() {
        if service.reads[..index].contains(name) {
            return Err(TopologyError::ReadTwice(name.clone()));
        }
    }
    Ok(())
}

fn cache(topology: &Topology) -> Result<(), TopologyError> {
    let service = &topology.service;
    let said = [
        ("staleness_ms of bookings", service.staleness_ms.bookings > 0),
        ("cache_mode", service.cache_mode != CacheMode::Aside),
        ("cache_delay_ms", service.cache_delay_ms > 0),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((what, _)) if service.cache.is_none() => return Err(TopologyError::NoCache(what)),
        Some(_) | None => {}
    }
    if service.cache.is_none() {
        return Ok(());
    }
    if !service.reads.is_empty() {
        return Err(TopologyError::ReadsAndCache);
    }
    match service.staleness_ms.slots.max(service.staleness_ms.bookings) {
        0 => Err(TopologyError::NothingCached),
        _ => Ok(()),
    }
}

fn months(topology: &Topology) -> Result<(), TopologyError> {
    let service = &topology.service;
    match service.months {
        None => Ok(()),
        Some(_) if service.pooler.is_some() => Err(TopologyError::MonthsAndPooler),
        Some(months) if !(AHEAD_MIN..=AHEAD_MAX).contains(&months.ahead) => {
            Err(TopologyError::MonthsAhead(months.ahead))
        }
        Some(_) => Ok(()),
    }
}

fn shards(topology: &Topology) -> Result<(), TopologyError> {
    let service = &topology.service;
    let shards = &service.shards;
    if shards.is_empty() {
        return match (service.shard_mode, service.copy_delay_ms) {
            (ShardMode::Fenced, 0) => Ok(()),
            (ShardMode::Fenced, _) => Err(TopologyError::NoShards("copy_delay_ms")),
            _ => Err(TopologyError::NoShards("shard_mode")),
        };
    }
    let twice = shards.iter().enumerate().any(|(place, name)| shards[..place].contains(name));
    if shards.len() < 2 || twice || shards[0] != service.database {
        return Err(TopologyError::BadShards);
    }
    let others = [
        ("pooler", service.pooler.is_some()),
        ("months", service.months.is_some()),
        ("queue", service.queue.is_some()),
        ("cache", service.cache.is_some()),
        ("reads", !service.reads.is_empty()),
    ];
    match others.into_iter().find(|(_, is_there)| *is_there) {
        Some((what, _)) => Err(TopologyError::ShardsAnd(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topology of components (name, kind, what it follows) and lines after `[service]`.
    fn text(components: &[(&str, &str, Option<&str>)], service: &str) -> String {
        let mut text = "name = \"t\"\nsummary = \"s\"\n".to_owned();
        for (name, kind, of) in components {
            text.push_str(&format!("[[components]]\nname = \"{name}\"\nkind = \"{kind}\"\n"));
            text.extend(of.map(|of| format!("of = \"{of}\"\n")));
        }
        format!("{text}[service]\ndatabase = \"db\"\n{service}")
    }

    const DB: (&str, &str, Option<&str>) = ("db", "postgresql", None);
    const S: (&str, &str, Option<&str>) = ("s", "postgresql_standby", Some("db"));
    const C: (&str, &str, Option<&str>) = ("c", "redis_cache", None);

    #[test]
    fn a_topology_that_cannot_be_wired_is_refused_by_name() {
        let standby = |name, of| (name, "postgresql_standby", Some(of));
        const DB2: (&str, &str, Option<&str>) = ("db2", "postgresql", None);
        let both = "shards = [\"db\", \"db2\"]\n";
        let with_cache = format!("{both}cache = \"c\"\nstaleness_ms = {{ slots = 1 }}\n");
        let cases: [(&[_], &str, &str); 35] = [
            (&[DB, DB], "", "two components are named `db`"),
            (&[("db", "redis", None)], "", "no component of kind `postgresql`"),
            (&[("db", "oracle", None)], "", "unknown variant `oracle`"),
            (&[("../db", "postgresql", None)], "", "\"../db\" must be lower-case"),
            (&[DB], "colour = 1\n", "unknown field `colour`"),
            (&[DB, ("s", "postgresql_standby", None)], "", "`s` follows no component"),
            (&[DB, standby("s", "dbb")], "", "of = \"dbb\", and no component has this name"),
            (&[DB, S, standby("s2", "s")], "", "which is a `postgresql_standby`"),
            (&[DB, standby("a", "b"), standby("b", "a")], "", "`a` follows itself, by way of b, a"),
            (&[DB, standby("a", "a")], "", "`a` follows itself"),
            (&[DB, ("r", "redis", Some("db"))], "", "take out its `of`"),
            (&[DB, ("r", "redis", None), standby("s", "r")], "", "which is a `redis`"),
            (&[DB, S], "reads = [\"db\"]\n", "reads = \"db\": no component of kind `postgresql_st"),
            (&[DB, S], "reads = [\"s\", \"s\"]\n", "names `s` twice"),
            (
                &[DB, ("other", "postgresql", None), standby("s", "other")],
                "reads = [\"s\"]\n",
                "`s` is of `other`",
            ),
            (&[DB, S], "staleness_ms = { slots = 1 }\n", "staleness_ms is about reads"),
            (&[DB, S], "read_mode = \"replica_decides\"\n", "read_mode is about reads"),
            (&[DB, S], "reads = [\"s\"]\nread_mode = \"fast\"\n", "unknown variant `fast`"),
            (
                &[DB, S],
                "reads = [\"s\"]\nstaleness_ms = { bookings = 1 }\n",
                "bookings is about a cache",
            ),
            (&[DB], "months = { ahead = 1 }\n", "months ahead must be 2 to 120"),
            (&[DB], "months = { ahead = 2, zone = 1 }\n", "unknown field `zone`"),
            (&[DB], "months = { ahead = 2, mode = \"local\" }\n", "unknown variant `local`"),
            (&[DB], "shard_mode = \"two_owners\"\n", "shard_mode is about shards"),
            (&[DB], "copy_delay_ms = 1\n", "copy_delay_ms is about shards"),
            (&[DB], "shards = [\"db\"]\n", "must name two or more"),
            (&[DB, DB2], "shards = [\"db2\", \"db\"]\n", "the first of them in `database`"),
            (&[DB, DB2], "shards = [\"db\", \"db\"]\n", "each once"),
            (&[DB, C], "shards = [\"db\", \"c\"]\n", "no component of kind `postgresql`"),
            (&[DB, DB2, C], &with_cache, "shards and cache exclude each other"),
            (&[DB], "cache_mode = \"through\"\n", "cache_mode is about a cache"),
            (&[DB], "cache_delay_ms = 1\n", "cache_delay_ms is about a cache"),
            (&[DB], "cache = \"db\"\n", "no component of kind `redis_cache`"),
            (&[DB, C], "cache = \"c\"\n", "answers nothing without a declared age"),
            (
                &[DB, S, C],
                "reads = [\"s\"]\ncache = \"c\"\nstaleness_ms = { slots = 1 }\n",
                "exclude each other",
            ),
            (
                &[DB, S],
                "[replication]\nsynchronous = \"any 2\"\n",
                "waits for 2 standbys, and `db` has 1",
            ),
        ];
        for (components, service, says) in cases {
            let text = text(components, service);
            let refused = Topology::parse(&text).expect_err(&text).to_string();
            assert!(refused.contains(says), "{refused} does not say {says}");
        }
    }

    #[test]
    fn a_pooler_needs_a_database_and_a_pool_and_nothing_else_has_one() {
        const P: (&str, &str, Option<&str>) = ("p", "pgbouncer", Some("db"));
        let check = |components: &[_], pool: &str, service: &str| {
            // The pool is that of the last component.
            let wired = text(components, service);
            Topology::parse(&wired.replace("[service]", &format!("{pool}[service]")))
        };
        let session = "pool = { mode = \"session\", size = 9 }\n";
        let pooler = "pooler = \"p\"\n";
        let accepted = check(&[DB, P], session, pooler).expect("a topology");
        assert_eq!(
            accepted.pool().map(|it| it.to_string()).as_deref(),
            Some("9 connections by session")
        );
        let cases: [(&[_], &str, &str, &str); 10] = [
            (&[DB, P], "", pooler, "`p` does not say how it shares connections"),
            (&[DB, ("p", "pgbouncer", None)], session, pooler, "`p` follows no component"),
            (&[DB, ("r", "redis", None)], session, "", "`r` is a `redis` and no pooler"),
            (&[DB, P], "pool = { mode = \"statement\", size = 9 }\n", pooler, "`statement`"),
            (&[DB, P], "pool = { mode = \"session\", size = 0 }\n", pooler, "nonzero"),
            (&[DB, P], "pool = { mode = \"session\", size = 201 }\n", pooler, "200 at most"),
            (&[DB, S], "", "pooler = \"s\"\n", "pooler = \"s\": no component of kind `pgbouncer`"),
            (&[DB], "", "pooling = \"transactions\"\n", "pooling is about a pooler"),
            (&[DB, P], session, "pooler = \"p\"\nmonths = { ahead = 2 }\n", "exclude each other"),
            (
                &[DB, ("other", "postgresql", None), ("p", "pgbouncer", Some("other"))],
                session,
                pooler,
                "[service] pooler: `p` is of `other`",
            ),
        ];
        for (components, pool, service, says) in cases {
            let refused = check(components, pool, service).expect_err(says).to_string();
            assert!(refused.contains(says), "{refused} does not say {says}");
        }
    }

    #[test]
    fn a_standby_that_serves_reads_and_one_that_commits_wait_for_are_accepted() {
        let service = "reads = [\"s\"]\nstaleness_ms = { slots = 500 }\n[replication]\nsynchronous = \"first 1\"\n";
        let topology = Topology::parse(&text(&[S, DB], service)).expect("in any order");
        assert_eq!(topology.block().stale_ms, Some(500));
    }
}
