//! Where the stack comes from: the arguments that `run` and `up` share.

use clap::ValueEnum;
use slotproof_stack::{
    EnvironmentSpec, External, Images, Remote, StackSpec, Topology, spec::ComponentNeed,
};
use slotproof_vocabulary::{Pooling, Span, StrategyKind, UsageError};

/// Kinds of environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Private servers as child processes, with the programs of this machine.
    Native,
    /// Private servers in containers; needs a build with `--features containers`.
    Containers,
    /// Servers that are running already.
    External,
}

/// Arguments that say where the stack comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StackArgs {
    /// The servers and how the service uses them: a name that `slotproof topologies` lists, or a
    /// TOML file [default: single; `run` uses without_queue unless the strategy or a fault needs
    /// RabbitMQ]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) topology: Option<String>,

    /// Where the servers come from.
    #[arg(long, value_enum, default_value = "native")]
    pub(crate) environment: Kind,

    /// Service processes to spread the load over.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) replicas: u32,

    /// Database connections of each service process.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,

    /// Lifetime of a lock in Redis unless its owner frees it; for the strategies that lock there.
    #[arg(long, default_value = "5s")]
    pub(crate) lock_ttl: Span,

    /// containers: the PostgreSQL image [default: the one that ci/images/build made, else
    /// postgres:15]
    #[arg(long, env = "SLOTPROOF_POSTGRES_IMAGE", value_name = "IMAGE")]
    postgres_image: Option<String>,

    /// containers: the Redis image [default: the one that ci/images/build made, else redis:7.0]
    #[arg(long, env = "SLOTPROOF_REDIS_IMAGE", value_name = "IMAGE")]
    redis_image: Option<String>,

    /// containers: the RabbitMQ image [default: the one that ci/images/build made, else
    /// rabbitmq:3.10]
    #[arg(long, env = "SLOTPROOF_RABBITMQ_IMAGE", value_name = "IMAGE")]
    rabbitmq_image: Option<String>,

    /// external: the database, postgres://user:password@host:port/name; it must be empty or
    /// Slotproof's own.
    #[arg(long, env = "SLOTPROOF_POSTGRES_URL", value_name = "URL", hide_env_values = true)]
    postgres_url: Option<String>,

    /// external: Redis, redis://:password@host:port/
    #[arg(long, env = "SLOTPROOF_REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis_url: Option<String>,

    /// external: RabbitMQ, amqp://user:password@host:port/
    #[arg(long, env = "SLOTPROOF_AMQP_URL", value_name = "URL", hide_env_values = true)]
    amqp_url: Option<String>,

    /// external: allow servers that are not on this machine, because you own them.
    #[arg(long)]
    allow_remote: bool,
}

impl StackArgs {
    /// # Errors
    /// No such topology, one that the environment cannot have, an external environment without a
    /// database, or a lock that would not live at all.
    pub(crate) fn spec(&self) -> Result<StackSpec, UsageError> {
        self.on(self.topology.as_deref().unwrap_or("single"))
    }

    fn on(&self, topology: &str) -> Result<StackSpec, UsageError> {
        if self.lock_ttl.ms() == 0 {
            return Err(UsageError("--lock-ttl must be greater than 0".to_owned()));
        }
        let spec = StackSpec {
            topology: find_topology(topology)?,
            environment: self.environment()?,
            replicas: self.replicas,
            connections: self.connections,
            lock_ttl: self.lock_ttl.0,
        };
        let cannot = |error| UsageError(format!("--topology {topology}: {error}"));
        spec.can_be_had().map_err(cannot)?;
        Ok(spec)
    }

    /// The same, after a look at whether every strategy has the servers that it needs: refused
    /// before anything is begun, and not in the middle of a series.
    ///
    /// # Errors
    /// As [`Self::spec`], or a stack without Redis or RabbitMQ and a strategy that needs it.
    pub(crate) fn spec_for(
        &self,
        strategies: impl IntoIterator<Item = StrategyKind>,
    ) -> Result<StackSpec, UsageError> {
        let spec = self.spec()?;
        has_servers_for(&spec, strategies)?;
        Ok(spec)
    }

    /// The same on another topology, by name or file.
    ///
    /// # Errors
    /// As [`Self::spec_for`].
    pub(crate) fn spec_on(
        &self,
        topology: &str,
        strategies: impl IntoIterator<Item = StrategyKind>,
    ) -> Result<StackSpec, UsageError> {
        let spec = self.on(topology)?;
        has_servers_for(&spec, strategies)?;
        Ok(spec)
    }

    fn environment(&self) -> Result<EnvironmentSpec, UsageError> {
        match (self.environment, &self.postgres_url) {
            (Kind::Native, _) => Ok(EnvironmentSpec::Native),
            (Kind::Containers, _) => Ok(EnvironmentSpec::Containers(Images {
                postgres: self.postgres_image.clone(),
                redis: self.redis_image.clone(),
                rabbitmq: self.rabbitmq_image.clone(),
            })),
            (Kind::External, Some(postgres_url)) => Ok(EnvironmentSpec::External(External {
                postgres_url: postgres_url.clone(),
                redis_url: self.redis_url.clone(),
                amqp_url: self.amqp_url.clone(),
                remote: if self.allow_remote { Remote::Allowed } else { Remote::Refused },
            })),
            (Kind::External, None) => {
                Err(UsageError("--environment external needs --postgres-url".to_owned()))
            }
        }
    }
}

/// The topology that a word on the command line names.
///
/// # Errors
/// There is none, or its file is wrong.
pub(crate) fn find_topology(name_or_file: &str) -> Result<Topology, UsageError> {
    Topology::find(name_or_file)
        .map_err(|error| UsageError(format!("--topology {name_or_file}: {error}")))
}

/// # Errors
/// A strategy needs a server that the stack does not have.
pub(crate) fn has_servers_for(
    spec: &StackSpec,
    strategies: impl IntoIterator<Item = StrategyKind>,
) -> Result<(), UsageError> {
    let strategies: Vec<_> = strategies.into_iter().collect();
    if let Some(only) = spec.topology.service.strategy
        && let Some(other) = strategies.iter().find(|it| **it != only)
    {
        return Err(UsageError(format!(
            "the topology `{}` decides by {only} and not by {other}; use another topology or strategy",
            spec.topology.name
        )));
    }
    let pooling = spec.topology.service.pooling;
    let other = strategies.iter().find(|it| **it != StrategyKind::Conditional);
    if let Some(other) = other.filter(|_| pooling != Pooling::Requests) {
        return Err(UsageError(format!(
            "the topology `{}` has pooling = \"{pooling}\", which writes reservations by \
             conditional and not by {other}; use another topology or strategy",
            spec.topology.name
        )));
    }
    let missing = strategies.into_iter().find_map(|it| Some((it, spec.missing_for(it)?)));
    let Some((strategy, need)) = missing else { return Ok(()) };
    let service = &spec.topology.service;
    let (wired, flag, role) = match need {
        ComponentNeed::Redis => (service.locks.is_some(), "--redis-url", "locks"),
        ComponentNeed::Rabbitmq => (service.queue.is_some(), "--amqp-url", "queue"),
    };
    Err(UsageError(match wired {
        true => format!("{strategy} needs {flag} in the environment `external`"),
        false => format!(
            "{strategy} needs [service] {role}, which the topology `{}` does not have; use another \
             topology or strategy",
            spec.topology.name
        ),
    }))
}

/// The arguments that repeat a stack, without URLs and passwords.
pub(crate) fn repeat(stack: &StackSpec) -> String {
    stack.arguments().join(" ")
}
