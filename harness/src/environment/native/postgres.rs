//! A private PostgreSQL: durable, on a loopback port, with a password that nobody else knows.

use std::time::Duration;

use rustix::process::Signal;

use super::{DataDirectory, EnvironmentError, Started, free_port, password, programs::Programs};
use crate::environment::{
    guard::Guard,
    probe,
    process::{Launch, Process, ProcessError, Stdout, tail},
};

/// `initdb` writes some forty megabytes; a slow disk takes its time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// For the service's replicas, the collector, and a person who looks.
const CONNECTIONS_MAX: u32 = 300;

pub(super) async fn start(
    programs: &Programs,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh("postgresql")?;
    let password = password();
    initdb(programs, data, &password, guard).await?;

    let port = free_port()?;
    let mut command = data.command(&programs.postgres.path);
    command.arg("-D").arg(directory.join("data"));
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS_MAX}"),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=2GB".to_owned(),
        // Durable, said aloud: no distribution's default can change what a run means.
        "fsync=on".to_owned(),
        "synchronous_commit=on".to_owned(),
        "full_page_writes=on".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    let mut process = Process::start(
        Launch {
            name: "postgresql",
            command,
            log: data.log("postgresql"),
            stdout: Stdout::ToLog,
            // SIGINT is the fast shutdown, SIGQUIT the immediate one.
            stop: Signal::INT,
            abandon: Signal::QUIT,
        },
        guard,
    )?;
    let url = format!("postgres://slotproof:{password}@127.0.0.1:{port}/postgres");
    let block = process.wait_ready(READY_WITHIN, || probe::postgres(&url)).await?;
    Ok(Started { process, block, url })
}

async fn initdb(
    programs: &Programs,
    data: &DataDirectory,
    password: &str,
    guard: &Guard,
) -> Result<(), EnvironmentError> {
    let directory = data.path().join("postgresql");
    let password_file = directory.join("password");
    data.write(&password_file, password)?;
    let log = data.log("postgresql");
    let mut command = data.command(&programs.initdb.path);
    command.arg("--pgdata").arg(directory.join("data")).arg("--pwfile").arg(&password_file);
    command.args([
        "--username=slotproof",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]);
    // Only the making of the empty cluster is not synced; the server itself is durable.
    command.arg("--no-sync");
    let launch = Launch {
        name: "initdb",
        command,
        log: log.clone(),
        stdout: Stdout::ToLog,
        stop: Signal::TERM,
        abandon: Signal::KILL,
    };
    let mut process = Process::start(launch, guard)?;
    let status = process
        .wait()
        .await
        .map_err(|source| EnvironmentError::Files { path: "initdb".to_owned(), source })?;
    if status.success() {
        Ok(())
    } else {
        Err(ProcessError::Died {
            name: "initdb".to_owned(),
            status: status.to_string(),
            tail: tail(&log),
            log,
        }
        .into())
    }
}
