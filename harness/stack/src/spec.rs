//! What a stack is made of: which topology, where its servers come from, and how the service is
//! spread over it. Every experiment holds one of these.

use std::time::Duration;

use slotproof_vocabulary::StrategyKind;

use crate::{ComponentKind, EnvironmentError, PoolMode, Topology, replicas::WORKER_PROCESSES};

/// A stack to be started.
#[derive(Debug, Clone)]
pub struct StackSpec {
    /// The components and their wiring.
    pub topology: Topology,
    /// Where the components come from.
    pub environment: EnvironmentSpec,
    /// Service processes that answer requests.
    pub replicas: u32,
    /// Database connections of each service process.
    pub connections: u32,
    /// How long a lock in Redis lives unless its owner frees it.
    pub lock_ttl: Duration,
}

impl StackSpec {
    /// Service processes of a stack unless it says otherwise.
    pub const REPLICAS_DEFAULT: u32 = 2;
    /// Database connections of each service process unless the stack says otherwise.
    pub const CONNECTIONS_DEFAULT: u32 = 16;
    /// Lifetime of a lock in Redis unless the stack says otherwise.
    pub const LOCK_TTL_DEFAULT: Duration = Duration::from_secs(5);

    /// The built-in topology `single` in an environment, with the default sizes.
    pub fn single(environment: EnvironmentSpec) -> Self {
        Self {
            topology: Topology::single(),
            environment,
            replicas: Self::REPLICAS_DEFAULT,
            connections: Self::CONNECTIONS_DEFAULT,
            lock_ttl: Self::LOCK_TTL_DEFAULT,
        }
    }

    /// The arguments of `run` that say this again, without URLs and passwords: what `run` does without a
    /// topology depends on its strategy.
    pub fn run_arguments(&self) -> Vec<String> {
        let mut words = self.arguments();
        if self.topology == Topology::single() {
            words.extend(["--topology".to_owned(), self.topology.argument().to_owned()]);
        }
        words
    }

    /// The arguments of other commands that say this again, without URLs and passwords.
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec![
            "--environment".to_owned(),
            self.environment.kind().name().to_owned(),
            "--replicas".to_owned(),
            self.replicas.to_string(),
            "--connections".to_owned(),
            self.connections.to_string(),
        ];
        if self.topology != Topology::single() {
            words.extend(["--topology".to_owned(), self.topology.argument().to_owned()]);
        }
        if self.lock_ttl != Self::LOCK_TTL_DEFAULT {
            let span = slotproof_vocabulary::Span(self.lock_ttl);
            words.extend(["--lock-ttl".to_owned(), span.to_string()]);
        }
        if let EnvironmentSpec::Containers(images) = &self.environment {
            let flags = [
                ("--postgres-image", &images.postgres),
                ("--redis-image", &images.redis),
                ("--rabbitmq-image", &images.rabbitmq),
            ];
            for (flag, image) in flags {
                words.extend(image.iter().flat_map(|image| [flag.to_owned(), image.clone()]));
            }
        }
        words
    }

    /// Whether the environment has servers of every kind of the topology, and its pool enough
    /// connections for the service.
    ///
    /// # Errors
    /// [`EnvironmentError::OnlyNative`], [`EnvironmentError::PoolTooSmall`].
    pub fn can_be_had(&self) -> Result<(), EnvironmentError> {
        let mut components = self.topology.components.iter();
        let native = self.environment.kind() == EnvironmentKind::Native;
        let is_only_native = |kind| match kind {
            ComponentKind::PostgresqlStandby | ComponentKind::Pgbouncer => true,
            // A cache is none of what an external environment is given.
            ComponentKind::RedisCache => self.environment.kind() == EnvironmentKind::External,
            ComponentKind::Postgresql | ComponentKind::Redis | ComponentKind::Rabbitmq => false,
        };
        let shards = self.topology.service.shards.len();
        if shards > 0 && self.environment.kind() == EnvironmentKind::External {
            return Err(EnvironmentError::ExternalShards(shards));
        }
        match components.find(|it| is_only_native(it.kind) && !native) {
            Some(it) => {
                Err(EnvironmentError::OnlyNative { name: it.name.clone(), kind: it.kind.name() })
            }
            None => self.pool_suffices(),
        }
    }

    /// A client of a pooler in mode `session` that gets no connection waits until another one goes,
    /// and the service keeps its connections.
    fn pool_suffices(&self) -> Result<(), EnvironmentError> {
        let Some(pool) = self.topology.pool().filter(|pool| pool.mode == PoolMode::Session) else {
            return Ok(());
        };
        let workers = if self.topology.service.queue.is_some() { WORKER_PROCESSES } else { 0 };
        let (processes, size) = (self.replicas.saturating_add(workers), pool.size.get());
        let needed = processes.saturating_mul(self.connections);
        match needed > size {
            true => Err(EnvironmentError::PoolTooSmall { size, processes, needed }),
            false => Ok(()),
        }
    }

    /// The server that a strategy needs and this stack does not have.
    pub fn missing_for(&self, strategy: StrategyKind) -> Option<ComponentNeed> {
        let service = &self.topology.service;
        let (mut locks, mut queue) = (service.locks.is_some(), service.queue.is_some());
        if let EnvironmentSpec::External(external) = &self.environment {
            locks &= external.redis_url.is_some();
            queue &= external.amqp_url.is_some();
        }
        if strategy.needs_redis() && !locks {
            Some(ComponentNeed::Redis)
        } else if strategy.needs_rabbitmq() && !queue {
            Some(ComponentNeed::Rabbitmq)
        } else {
            None
        }
    }
}

/// A server that some strategies cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentNeed {
    /// Redis, for strategies that lock there.
    Redis,
    /// RabbitMQ, for strategies with a queue.
    Rabbitmq,
}

/// The kinds of environments, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentKind {
    /// Private servers as child processes, with the programs of this machine.
    Native,
    /// Private servers in containers.
    Containers,
    /// Servers that are running already.
    External,
}

impl EnvironmentKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Native, Self::Containers, Self::External];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Containers => "containers",
            Self::External => "external",
        }
    }
}

/// Where the servers come from.
#[derive(Debug, Clone)]
pub enum EnvironmentSpec {
    /// Private servers as child processes, with the programs of this machine.
    Native,
    /// Private servers in containers.
    Containers(Images),
    /// Servers that are running already.
    External(External),
}

impl EnvironmentSpec {
    /// Its kind.
    pub fn kind(&self) -> EnvironmentKind {
        match self {
            Self::Native => EnvironmentKind::Native,
            Self::Containers(_) => EnvironmentKind::Containers,
            Self::External(_) => EnvironmentKind::External,
        }
    }
}

/// Images of the `containers` environment. `None`: the local image that `ci/images/build` makes, if
/// it exists, else the official one.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// Of PostgreSQL.
    pub postgres: Option<String>,
    /// Of Redis.
    pub redis: Option<String>,
    /// Of RabbitMQ.
    pub rabbitmq: Option<String>,
}

/// Servers that are running already.
#[derive(Debug, Clone)]
pub struct External {
    /// The database, `postgres://user:password@host:port/name`.
    pub postgres_url: String,
    /// Redis, `redis://:password@host:port/`.
    pub redis_url: Option<String>,
    /// RabbitMQ, `amqp://user:password@host:port/vhost`.
    pub amqp_url: Option<String>,
    /// An address that is not loopback is refused without this.
    pub remote: Remote,
}

/// Whether load may leave this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// Loopback only.
    Refused,
    /// The user owns the servers.
    Allowed,
}
