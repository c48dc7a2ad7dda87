//! Where the stack comes from: the arguments that `run` and `up` share.

use clap::ValueEnum;
use slotproof_vocabulary::{Span, StrategyKind};

use crate::{
    environment::{EnvironmentSpec, External, Images, Remote},
    exit_code::UsageError,
};

/// Kinds of environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnvironmentKind {
    /// Private servers as child processes, with the programs of this machine.
    Native,
    /// Private servers in containers.
    Containers,
    /// Servers that are there already.
    External,
}

/// What repeats without being said.
const LOCK_TTL_DEFAULT_MS: u64 = 5_000;

/// Arguments that say where the stack comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StackArgs {
    /// Where the servers come from.
    #[arg(long, value_enum, default_value = "native")]
    pub(crate) environment: EnvironmentKind,

    /// Service processes to spread the load over.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) replicas: u32,

    /// Database connections of each service process.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,

    /// How long a lock in Redis lives that nobody frees; for the strategies that lock there.
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
    /// An external environment without a database, or database URLs without an external
    /// environment.
    pub(crate) fn spec(&self) -> Result<EnvironmentSpec, UsageError> {
        if self.lock_ttl.ms() == 0 {
            return Err(UsageError("--lock-ttl must be longer than nothing".to_owned()));
        }
        match (self.environment, &self.postgres_url) {
            (EnvironmentKind::Native, _) => Ok(EnvironmentSpec::Native),
            (EnvironmentKind::Containers, _) => Ok(EnvironmentSpec::Containers(Images {
                postgres: self.postgres_image.clone(),
                redis: self.redis_image.clone(),
                rabbitmq: self.rabbitmq_image.clone(),
            })),
            (EnvironmentKind::External, Some(postgres_url)) => {
                Ok(EnvironmentSpec::External(External {
                    postgres_url: postgres_url.clone(),
                    redis_url: self.redis_url.clone(),
                    amqp_url: self.amqp_url.clone(),
                    remote: if self.allow_remote { Remote::Allowed } else { Remote::Refused },
                }))
            }
            (EnvironmentKind::External, None) => {
                Err(UsageError("--environment external needs --postgres-url".to_owned()))
            }
        }
    }

    /// Whether every one of some strategies has the servers that it needs: said before anything is
    /// begun, and not in the middle of a series.
    ///
    /// # Errors
    /// An external environment without Redis or RabbitMQ, and a strategy that cannot do without.
    pub(crate) fn can_serve(
        &self,
        strategies: impl IntoIterator<Item = StrategyKind>,
    ) -> Result<(), UsageError> {
        if self.environment != EnvironmentKind::External {
            return Ok(());
        }
        for strategy in strategies {
            let missing = if strategy.needs_redis() && self.redis_url.is_none() {
                "--redis-url"
            } else if strategy.needs_rabbitmq() && self.amqp_url.is_none() {
                "--amqp-url"
            } else {
                continue;
            };
            return Err(UsageError(format!(
                "{strategy} cannot be served by --environment external without {missing}"
            )));
        }
        Ok(())
    }

    /// The arguments that repeat this, without passwords.
    pub(crate) fn repeat(&self) -> String {
        let kind = match self.environment {
            EnvironmentKind::Native => "native",
            EnvironmentKind::Containers => "containers",
            EnvironmentKind::External => "external",
        };
        let mut text = format!(
            "--environment {kind} --replicas {} --connections {}",
            self.replicas, self.connections
        );
        if self.lock_ttl.ms() != LOCK_TTL_DEFAULT_MS {
            text.push_str(&format!(" --lock-ttl {}", self.lock_ttl));
        }
        let images = [
            ("--postgres-image", &self.postgres_image),
            ("--redis-image", &self.redis_image),
            ("--rabbitmq-image", &self.rabbitmq_image),
        ];
        for (flag, image) in images {
            if let (EnvironmentKind::Containers, Some(image)) = (self.environment, image) {
                text.push_str(&format!(" {flag} {image}"));
            }
        }
        text
    }
}
