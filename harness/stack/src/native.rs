//! The `native` environment: private servers as child processes, with the programs of this machine.
//!
//! Free loopback ports, directories of their own under the run directory, random passwords, and an
//! unprivileged user when we are root. Parallel runs share nothing but the programs.

use std::{net::TcpListener, path::Path};

use tokio::sync::Mutex;

use crate::{
    Component, Endpoints, EnvironmentError, EnvironmentKind, Synchronous, Topology, calibration,
    components::{Started, postgresql},
    data::DataDirectory,
    environment::{Environment, Held, Server},
    guard::Guard,
    process::ProcessError,
};

/// A port that is free when it is looked up may be taken when the server binds it: so often another
/// one is tried.
const STARTS_MAX: u32 = 3;

/// Starts every component at once but those that follow another one: RabbitMQ takes as long as the
/// others together. If one fails, the others are dropped, and end.
pub(crate) async fn start(
    topology: &Topology,
    directory: &Path,
    guard: &Guard,
) -> Result<Environment, EnvironmentError> {
    let kinds = topology.components.iter().map(|component| component.kind);
    for program in kinds.flat_map(|kind| kind.programs()) {
        program.find()?;
    }
    let data = DataDirectory::make(directory)?;
    let fsync = calibration::calibrate(data.path()).map_err(|source| EnvironmentError::Files {
        path: data.path().display().to_string(),
        source,
    })?;
    let first = topology.components.iter().filter(|component| component.of.is_none());
    let starts = first.map(|component| start_with_followers(topology, component, &data, guard));
    let started = futures::future::try_join_all(starts).await?;
    let started: Vec<(&Component, Started)> = started.into_iter().flatten().collect();
    let urls = started.iter().map(|(component, it)| (component.name.clone(), it.url.clone()));
    let mut environment = Environment {
        kind: EnvironmentKind::Native,
        endpoints: Endpoints::new(urls.collect(), topology.service.clone()),
        servers: Vec::new(),
        fsync: Some(fsync),
        durable_commit: None,
        processes: Vec::new(),
        held: Held::Nothing,
    };
    let mut servers = Vec::new();
    for (component, mut started) in started {
        let server = started.processes.last().expect("a component is at least one process");
        environment.processes.push((component.name.clone(), server.leader()));
        environment.servers.push(started.block);
        servers.extend(started.processes.drain(..).map(|process| Server {
            name: process.name().to_owned(),
            process: Mutex::new(process),
        }));
    }
    environment.held = Held::Processes { servers, data };
    Ok(environment)
}

/// Starts a component, then all that follow it at once: a standby is a copy of what runs.
async fn start_with_followers<'a>(
    topology: &'a Topology,
    component: &'a Component,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Vec<(&'a Component, Started)>, EnvironmentError> {
    let primary = start_one(component, None, data, guard).await?;
    let followers: Vec<_> = topology.followers_of(&component.name).collect();
    let starts = followers.iter().map(|it| start_one(it, Some(&primary.url), data, guard));
    let started = futures::future::try_join_all(starts).await?;
    if component.name == topology.service.database {
        wait_for_standbys(topology, &primary.url).await?;
    }
    Ok([(component, primary)].into_iter().chain(followers.into_iter().zip(started)).collect())
}

/// Lets commits wait for standbys, if the topology says so; not sooner, because none would end.
async fn wait_for_standbys(topology: &Topology, primary: &str) -> Result<(), EnvironmentError> {
    let synchronous = topology.replication.synchronous;
    if synchronous == Synchronous::None {
        return Ok(());
    }
    let database = &topology.service.database;
    let names = topology.standbys_of(database).map(|standby| standby.name.as_str());
    let set = postgresql::wait_for_standbys(primary, &synchronous.setting(names)).await;
    set.map_err(|reason| EnvironmentError::Replication { name: database.clone(), reason })
}

/// Starts a server, once more on another port when another process was quicker to take it.
async fn start_one(
    component: &Component,
    of: Option<&str>,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let mut tried = 1;
    loop {
        // On the heap: the future of a start holds the probes of every protocol.
        match Box::pin(component.start(of, data, guard)).await {
            Err(error) if tried < STARTS_MAX && port_was_taken(&error) => tried += 1,
            result => return result,
        }
    }
}

/// A port that is free at this moment.
pub(crate) fn free_port() -> Result<u16, EnvironmentError> {
    let failed =
        |source| EnvironmentError::Files { path: "a free loopback port".to_owned(), source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
    listener.local_addr().map(|address| address.port()).map_err(failed)
}

/// Whether a failed start is worth another port.
fn port_was_taken(error: &EnvironmentError) -> bool {
    let EnvironmentError::Process(ProcessError::Died { tail, .. }) = error else { return false };
    ["already in use", "eaddrinuse", "could not bind"]
        .iter()
        .any(|sign| tail.to_lowercase().contains(sign))
}

/// A random password.
pub(crate) fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
