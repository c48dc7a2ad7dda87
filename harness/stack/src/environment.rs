//! A running environment: the components of a topology, started or found.
//!
//! Data goes in ([`StackSpec`]), a handle comes out ([`Environment`]), and the rest of the harness
//! sees endpoints only.

use std::{path::Path, time::Duration};

use async_recursion::async_recursion as boxed_future;
use slotproof_vocabulary::{FsyncCalibration, ServerBlock};

use tokio::sync::Mutex;

use crate::{
    ComponentKind, Endpoints, EnvironmentKind, EnvironmentSpec, StackSpec,
    calibration::durable_commit,
    containers,
    data::DataDirectory,
    external,
    guard::Guard,
    native,
    process::{Leader, Process, ProcessError},
};

/// How long a server may take to come back after it was killed: RabbitMQ on a busy machine.
const RESTART_WITHIN: Duration = Duration::from_secs(90);
/// How long a server may take to stop in order before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Running servers. Dropping it ends them; [`Environment::stop`] ends them in order.
pub struct Environment {
    /// Where they come from.
    pub kind: EnvironmentKind,
    /// Where they answer.
    pub endpoints: Endpoints,
    /// What each is: name, version, settings.
    pub servers: Vec<ServerBlock>,
    /// Durable writes where the database keeps its data; `None` where the harness cannot write
    /// there.
    pub fsync: Option<FsyncCalibration>,
    /// Durable commits as a client of the database sees them.
    pub durable_commit: Option<FsyncCalibration>,
    /// Process groups to account CPU and memory to: (component, its root).
    pub processes: Vec<(String, Leader)>,
    pub(crate) held: Held,
}

/// What keeps the servers alive.
pub(crate) enum Held {
    Processes {
        servers: Vec<Server>,
        data: DataDirectory,
    },
    #[cfg_attr(not(feature = "containers"), expect(dead_code, reason = "see containers_absent"))]
    Containers(containers::Containers),
    Nothing,
}

/// A server that can be restarted while others are.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) process: Mutex<Process>,
}

impl Environment {
    /// Whether its servers were started for this run, and end with it.
    pub fn is_ours(&self) -> bool {
        self.kind != EnvironmentKind::External
    }

    /// Whether its servers may be killed: those that it started as processes.
    pub fn takes_faults(&self) -> bool {
        matches!(self.held, Held::Processes { .. })
    }

    /// Kills a component and starts it again on its data and port after it was `down` for this time.
    ///
    /// # Errors
    /// The environment does not own its servers as processes, or the server does not come back.
    #[boxed_future]
    pub async fn restart(&self, component: &str, down: Duration) -> Result<(), EnvironmentError> {
        let refused = |reason: &str| EnvironmentError::NotOurs {
            name: component.to_owned(),
            reason: reason.to_owned(),
        };
        let Held::Processes { servers, .. } = &self.held else {
            return Err(refused("faults need the native environment"));
        };
        let url = self.endpoints.get(component).ok_or_else(|| refused("it has no address"))?;
        let mut addresses = ComponentKind::ALL.iter().filter_map(|kind| kind.address(url));
        let address = addresses.next().ok_or_else(|| refused("it has no address"))?;
        let server = servers.iter().find(|server| server.name == component);
        let server = server.ok_or_else(|| refused("it was not started"))?;
        let listens = async || address.connect().await.map(drop);
        Ok(server.process.lock().await.restart(down, RESTART_WITHIN, listens).await?)
    }

    /// Ends the servers in order: those that were started last first.
    #[boxed_future]
    pub async fn stop(self) {
        match self.held {
            Held::Processes { servers, data } => {
                for server in servers.into_iter().rev() {
                    server.process.into_inner().stop(STOP_WITHIN).await;
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
        /// The component.
        name: String,
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
        /// The component.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A primary does not take its standbys.
    #[error("failed to let {name} wait for its standbys: {reason}")]
    Replication {
        /// The primary.
        name: String,
        /// Why.
        reason: String,
    },
    /// A component that only the native environment has.
    #[error(
        "the component {name} is a {kind}, which only the native environment can start; use \
         --environment native, or a topology without it"
    )]
    OnlyNative {
        /// The component.
        name: String,
        /// Its kind.
        kind: &'static str,
    },
    /// Several databases, and an environment that is one.
    #[error(
        "the topology has {0} shards, and the external environment one database; use --environment \
         native, or a topology without shards"
    )]
    ExternalShards(usize),
    /// A pool from which some connections of the service would get nothing.
    #[error(
        "the pool has {size} connections in mode `session`, and {processes} service processes keep \
         {needed}, workers included: lower --replicas or --connections, or give the pool a larger \
         `size`"
    )]
    PoolTooSmall {
        /// Connections of the pool.
        size: u32,
        /// Processes of the service.
        processes: u32,
        /// Connections that they keep.
        needed: u32,
    },
    /// We are root, and there is no unprivileged user.
    #[error(
        "PostgreSQL and PgBouncer refuse to run as root, and this machine has no user `postgres` or `nobody`; \
         add one"
    )]
    NoUnprivilegedUser,
    /// This build has no Docker client.
    #[error(
        "this build has no `containers` environment; \
         build it with `cargo build --release --features containers`"
    )]
    WithoutContainers,
    /// A container did not start.
    #[error("failed to start the {name} container from image {image}: {reason}\n{remedy}")]
    Container {
        /// The component.
        name: String,
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

/// Starts or finds the servers of a stack, checks that each answers, and measures how long a
/// durable write takes. Logs are written to `logs` in `directory`.
///
/// # Errors
/// See [`EnvironmentError`]. What had been started is ended; the logs stay.
///
/// # Cancel safety
/// Dropping the future ends what was started.
#[boxed_future]
pub async fn provision(
    spec: &StackSpec,
    directory: &Path,
    guard: &Guard,
) -> Result<Environment, EnvironmentError> {
    let topology = &spec.topology;
    spec.can_be_had()?;
    let mut environment = match &spec.environment {
        EnvironmentSpec::Native => native::start(topology, directory, guard).await,
        EnvironmentSpec::Containers(images) => {
            containers::start(topology, images, directory, guard).await
        }
        EnvironmentSpec::External(external) => external::find(topology, external).await,
    }?;
    environment.durable_commit = durable_commit(environment.endpoints.postgres_url()).await;
    Ok(environment)
}
