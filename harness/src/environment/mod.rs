//! Environments: the servers that the service runs on.
//!
//! Data goes in ([`EnvironmentSpec`]), a handle comes out ([`Environment`]), and the rest of the
//! harness sees endpoints only.

mod calibration;
mod containers;
mod external;
pub(crate) mod guard;
mod native;
mod probe;
pub(crate) mod process;

use std::{path::Path, time::Duration};

use slotproof_reports::run_report::{FsyncCalibration, ServerBlock};

use guard::Guard;
use process::{Process, ProcessError};

/// How long a server may take to come back after it was killed: RabbitMQ on a busy machine.
const RESTART_WITHIN: Duration = Duration::from_secs(90);
/// How long a server may take to stop in order before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What to start, or what is there already.
#[derive(Debug, Clone)]
pub(crate) enum EnvironmentSpec {
    /// Private servers as child processes, with the programs of this machine.
    Native,
    /// Private servers in containers.
    Containers(Images),
    /// Servers that somebody else runs.
    External(External),
}

/// Images of the `containers` environment. `None`: the local image that `ci/images/build` makes if
/// it is there, else the official one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Images {
    pub(crate) postgres: Option<String>,
    pub(crate) redis: Option<String>,
    pub(crate) rabbitmq: Option<String>,
}

/// Servers that somebody else runs.
#[derive(Debug, Clone)]
pub(crate) struct External {
    pub(crate) postgres_url: String,
    pub(crate) redis_url: Option<String>,
    pub(crate) amqp_url: Option<String>,
    /// An address that is not loopback is refused without this.
    pub(crate) remote: Remote,
}

/// Whether load may leave this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remote {
    Refused,
    Allowed,
}

/// Where the servers are. Redis and RabbitMQ may be absent in an external environment: no strategy
/// needs them yet.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    pub(crate) postgres_url: String,
    pub(crate) redis_url: Option<String>,
    pub(crate) amqp_url: Option<String>,
}

/// Running servers. Dropping it ends them; [`Environment::stop`] ends them in order.
pub(crate) struct Environment {
    pub(crate) kind: &'static str,
    pub(crate) endpoints: Endpoints,
    pub(crate) servers: Vec<ServerBlock>,
    /// Durable writes where the database keeps its data; `None` where the harness cannot write
    /// there.
    pub(crate) fsync: Option<FsyncCalibration>,
    /// Durable commits as a client of the database sees them.
    pub(crate) durable_commit: Option<FsyncCalibration>,
    /// Process groups to account CPU and memory to: (group, pid of its root).
    pub(crate) processes: Vec<(&'static str, i32)>,
    held: Held,
}

/// What keeps the servers alive.
enum Held {
    Processes { servers: Vec<Process>, data: native::DataDirectory },
    Containers(containers::Containers),
    Nothing,
}

impl Environment {
    /// Whether its servers were started for this, and end with it.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind != "external"
    }

    /// Whether its servers may be killed: those that it started as processes.
    pub(crate) fn takes_faults(&self) -> bool {
        matches!(self.held, Held::Processes { .. })
    }

    /// Kills a server and starts it again on its data and port.
    ///
    /// # Errors
    /// The environment does not own its servers as processes, or the server does not come back.
    pub(crate) async fn restart(&mut self, name: &str) -> Result<(), EnvironmentError> {
        let unreachable = |reason: &str| EnvironmentError::NotOurs {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let Held::Processes { servers, .. } = &mut self.held else {
            return Err(unreachable("faults need the native environment"));
        };
        let url = match name {
            "postgresql" => Some(&self.endpoints.postgres_url),
            "redis" => self.endpoints.redis_url.as_ref(),
            _ => self.endpoints.amqp_url.as_ref(),
        };
        let address = url.and_then(|url| url.rsplit('@').next()?.split('/').next());
        let address = address.ok_or_else(|| unreachable("it has no address"))?.to_owned();
        let server = servers.iter_mut().find(|server| server.name() == name);
        let server = server.ok_or_else(|| unreachable("it was not started"))?;
        let listens = async || match tokio::net::TcpStream::connect(&address).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        Ok(server.restart(RESTART_WITHIN, listens).await?)
    }

    /// Ends the servers in order: those that were started last first.
    pub(crate) async fn stop(self) {
        match self.held {
            Held::Processes { servers, data } => {
                for server in servers.into_iter().rev() {
                    server.stop(STOP_WITHIN).await;
                }
                drop(data);
            }
            Held::Containers(containers) => containers.stop().await,
            Held::Nothing => {}
        }
    }
}

/// Why there is no environment. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A program is not installed.
    #[error(
        "{program} is not installed; `ci/setup` installs it, or your package manager does ({package})"
    )]
    MissingProgram {
        /// The program.
        program: String,
        /// The package that has it.
        package: &'static str,
    },
    /// A program is too old.
    #[error("{program} is version {found}, and {needed} or later is needed")]
    TooOld {
        /// The program.
        program: String,
        /// Its version.
        found: String,
        /// The least version.
        needed: u32,
    },
    /// A server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A server that should be there does not answer.
    #[error("{name} at {address} does not answer: {reason}")]
    Unreachable {
        /// `postgresql`, `redis` or `rabbitmq`.
        name: &'static str,
        /// Its address, without the password.
        address: String,
        /// What was tried and what happened.
        reason: String,
    },
    /// A server on another machine, and no leave to load it.
    #[error(
        "{address} is not on this machine; load goes to loopback only, unless you pass --allow-remote because you own it"
    )]
    NotLoopback {
        /// The address, without the password.
        address: String,
    },
    /// The text is not a URL of the right kind.
    #[error("{text:?} is not a {scheme} URL")]
    BadUrl {
        /// The text, without the password.
        text: String,
        /// The scheme that was expected.
        scheme: &'static str,
    },
    /// A fault that cannot be injected.
    #[error("{name} cannot be restarted: {reason}")]
    NotOurs {
        /// `postgresql`, `redis` or `rabbitmq`.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Root, and nobody to become.
    #[error(
        "the servers must not run as root, and this machine has neither a user `postgres` nor `nobody`"
    )]
    NobodyToBecome,
    /// A container did not start.
    #[error("failed to start the {name} container from image {image}: {reason}\n{remedy}")]
    Container {
        /// `postgresql`, `redis` or `rabbitmq`.
        name: &'static str,
        /// The image.
        image: String,
        /// What happened.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// A file or directory could not be made.
    #[error("failed to prepare {path}: {source}")]
    Files {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

pub(crate) use calibration::durable_commit;

/// pgbench, which lies beside PostgreSQL's own programs.
///
/// # Errors
/// PostgreSQL is not installed, or came without it.
pub(crate) fn pgbench() -> Result<std::path::PathBuf, EnvironmentError> {
    let path = native::find_all()?.postgres.path.with_file_name("pgbench");
    match path.is_file() {
        true => Ok(path),
        false => Err(EnvironmentError::MissingProgram {
            program: "pgbench".to_owned(),
            package: "postgresql-contrib",
        }),
    }
}

/// Starts or finds the servers, checks that each answers, and measures how long a durable write
/// takes.
///
/// # Errors
/// See [`EnvironmentError`]. What had been started is ended; logs stay in `logs`.
///
/// # Cancel safety
/// Dropping the future ends what was started.
pub(crate) async fn provision(
    spec: &EnvironmentSpec,
    directory: &Path,
    guard: &Guard,
) -> Result<Environment, EnvironmentError> {
    let mut environment = match spec {
        EnvironmentSpec::Native => native::start(directory, guard).await,
        EnvironmentSpec::Containers(images) => containers::start(images, directory, guard).await,
        EnvironmentSpec::External(external) => external::find(external).await,
    }?;
    environment.durable_commit = durable_commit(&environment.endpoints.postgres_url).await;
    Ok(environment)
}

/// The programs of the native environment, each found or with what to do about it.
pub(crate) fn programs() -> Vec<Result<native::Program, EnvironmentError>> {
    native::find_each()
}

/// The images of the containers environment, and whether each is on this machine.
pub(crate) fn images() -> Vec<(String, bool)> {
    containers::images()
}
