//! The kinds of components, one page each: how a private server is started, what its container is,
//! and how it is asked whether it answers. This is the one place that chooses among them.

pub(crate) mod pgbouncer;
pub(crate) mod postgresql;
pub(crate) mod postgresql_standby;
pub(crate) mod rabbitmq;
pub(crate) mod redis;

use slotproof_vocabulary::ServerBlock;

use crate::{
    Component, ComponentKind, EnvironmentError,
    address::Address,
    data::DataDirectory,
    guard::Guard,
    process::{Launch, Process, ProcessError, tail},
    programs::Wanted,
};

/// A native server that answers.
pub(crate) struct Started {
    /// In the order of their start; the last one is the server itself.
    pub(crate) processes: Vec<Process>,
    pub(crate) block: ServerBlock,
    pub(crate) url: String,
}

/// The container of a server. Image names are settings; these are the names without one.
#[cfg_attr(not(feature = "containers"), expect(dead_code, reason = "only containers read it"))]
pub(crate) struct Container {
    /// What `ci/images/build` makes.
    pub(crate) local: &'static str,
    pub(crate) official: &'static str,
    pub(crate) port: u16,
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) arguments: Vec<String>,
    /// From the password and the host's port to a URL.
    pub(crate) url: fn(&str, u16) -> String,
}

/// Runs a program that prepares a server.
///
/// # Errors
/// It fails; with the end of its log.
async fn run_to_its_end(launch: Launch<'_>, guard: &Guard) -> Result<(), EnvironmentError> {
    let (name, log) = (launch.name.to_owned(), launch.log.clone());
    let mut process = Process::start(launch, guard)?;
    let waited = process.wait().await;
    let status = waited.map_err(|source| EnvironmentError::Files { path: name.clone(), source })?;
    if status.success() {
        return Ok(());
    }
    let (status, tail) = (status.to_string(), tail(&log));
    Err(ProcessError::Died { name, status, tail, log }.into())
}

impl Component {
    /// Starts a private server and waits until it answers. `of`: the URL of the server that it
    /// follows.
    pub(crate) async fn start(
        &self,
        of: Option<&str>,
        data: &DataDirectory,
        guard: &Guard,
    ) -> Result<Started, EnvironmentError> {
        let name = &self.name;
        let of = || of.expect("a topology is checked: it names what the component follows");
        match self.kind {
            ComponentKind::Postgresql => postgresql::start(name, data, guard).await,
            ComponentKind::PostgresqlStandby => {
                postgresql_standby::start(name, of(), data, guard).await
            }
            ComponentKind::Pgbouncer => {
                let pool = self.pool.expect("a topology is checked: a pooler has a pool");
                pgbouncer::start(name, of(), pool, data, guard).await
            }
            ComponentKind::Redis => redis::start(name, redis::DURABLE, data, guard).await,
            ComponentKind::RedisCache => redis::start(name, redis::CACHE, data, guard).await,
            ComponentKind::Rabbitmq => rabbitmq::start(name, data, guard).await,
        }
    }
}

impl ComponentKind {
    /// The programs of a native server.
    pub(crate) fn programs(self) -> &'static [Wanted] {
        match self {
            Self::Postgresql => &[postgresql::INITDB, postgresql::POSTGRES],
            Self::PostgresqlStandby => &[postgresql_standby::BASEBACKUP],
            Self::Pgbouncer => &[pgbouncer::PGBOUNCER],
            Self::Redis | Self::RedisCache => &[redis::REDIS],
            Self::Rabbitmq => &[rabbitmq::RABBITMQ, rabbitmq::EPMD],
        }
    }

    /// Its container; `None` if only the native environment has servers of this kind.
    #[cfg_attr(not(feature = "containers"), expect(dead_code, reason = "only containers call it"))]
    pub(crate) fn container(self, password: &str) -> Option<Container> {
        match self {
            Self::Postgresql => Some(postgresql::container(password)),
            Self::PostgresqlStandby | Self::Pgbouncer => None,
            Self::Redis => Some(redis::container(&redis::DURABLE, password)),
            Self::RedisCache => Some(redis::container(&redis::CACHE, password)),
            Self::Rabbitmq => Some(rabbitmq::container(password)),
        }
    }

    /// Where a URL of this kind points.
    pub(crate) fn address(self, url: &str) -> Option<Address> {
        let (schemes, port) = match self {
            Self::Postgresql | Self::PostgresqlStandby | Self::Pgbouncer => {
                (postgresql::SCHEMES, postgresql::PORT)
            }
            Self::Redis | Self::RedisCache => (redis::SCHEMES, redis::PORT),
            Self::Rabbitmq => (rabbitmq::SCHEMES, rabbitmq::PORT),
        };
        Address::parse(url, schemes, port)
    }

    /// The scheme that its URLs begin with.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Postgresql | Self::PostgresqlStandby | Self::Pgbouncer => postgresql::SCHEMES[0],
            Self::Redis | Self::RedisCache => redis::SCHEMES[0],
            Self::Rabbitmq => rabbitmq::SCHEMES[0],
        }
    }

    /// Asks a server whether it answers, and what it is.
    pub(crate) async fn probe(self, url: &str) -> Result<ServerBlock, String> {
        let address = self.address(url).ok_or_else(|| format!("not a {} URL", self.scheme()))?;
        match self {
            Self::Postgresql => postgresql::probe(url).await,
            Self::PostgresqlStandby => postgresql_standby::probe(url).await,
            Self::Pgbouncer => pgbouncer::probe(url).await,
            Self::Redis => redis::probe("redis", &address).await,
            Self::RedisCache => redis::probe("redis_cache", &address).await,
            Self::Rabbitmq => rabbitmq::probe(&address).await,
        }
    }
}
