//! The `native` environment: private PostgreSQL, Redis and RabbitMQ servers as child processes.
//!
//! Free loopback ports, directories of their own under the run directory, passwords of their own,
//! and an unprivileged user when we are root. Parallel runs never meet: nothing is shared but the
//! programs.

mod data;
mod postgres;
mod programs;
mod rabbitmq;
mod redis;

pub(crate) use data::DataDirectory;
pub(crate) use programs::{Program, find_all, find_each};

use std::{net::TcpListener, path::Path};

use super::{
    Endpoints, Environment, EnvironmentError, Held, calibration,
    guard::Guard,
    process::{Process, ProcessError},
};
use slotproof_reports::run_report::ServerBlock;

/// A port is free when we look and may be taken when the server looks: so often is another one
/// tried.
const STARTS_MAX: u32 = 3;

/// A server that is up.
struct Started {
    process: Process,
    block: ServerBlock,
    url: String,
}

pub(super) async fn start(
    directory: &Path,
    guard: &Guard,
) -> Result<Environment, EnvironmentError> {
    let programs = find_all()?;
    let data = DataDirectory::make(directory)?;
    let fsync = calibration::calibrate(data.path()).map_err(|source| EnvironmentError::Files {
        path: data.path().display().to_string(),
        source,
    })?;
    // All three at once: RabbitMQ takes as long as the other two together. If one fails the others
    // are dropped, and end.
    let (postgres, redis, rabbitmq) = tokio::try_join!(
        on_a_free_port(async || postgres::start(&programs, &data, guard).await),
        on_a_free_port(async || redis::start(&programs, &data, guard).await),
        on_a_free_port(async || rabbitmq::start(&programs, &data, guard).await),
    )?;
    let (epmd, rabbitmq) = rabbitmq;
    Ok(Environment {
        kind: "native",
        endpoints: Endpoints {
            postgres_url: postgres.url,
            redis_url: Some(redis.url),
            amqp_url: Some(rabbitmq.url),
        },
        processes: vec![
            ("postgresql", postgres.process.pid()),
            ("redis", redis.process.pid()),
            ("rabbitmq", rabbitmq.process.pid()),
        ],
        servers: vec![postgres.block, redis.block, rabbitmq.block],
        fsync: Some(fsync),
        durable_commit: None,
        held: Held::Processes {
            servers: vec![epmd, postgres.process, redis.process, rabbitmq.process],
            data,
        },
    })
}

/// Starts a server, once more on another port when somebody else was quicker to take it.
async fn on_a_free_port<T>(
    start: impl AsyncFn() -> Result<T, EnvironmentError>,
) -> Result<T, EnvironmentError> {
    let mut tried = 1;
    loop {
        match start().await {
            Err(error) if tried < STARTS_MAX && port_was_taken(&error) => tried += 1,
            result => return result,
        }
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> Result<u16, EnvironmentError> {
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

/// Words that nobody guesses.
fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
