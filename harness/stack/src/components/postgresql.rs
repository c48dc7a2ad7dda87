//! PostgreSQL: durable, on a loopback port, with a random password.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rustix::process::Signal;
use slotproof_vocabulary::ServerBlock;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Container, Started};
use crate::{
    EnvironmentError,
    address::within,
    data::{DataDirectory, Ends},
    guard::Guard,
    native::{free_port, password},
    process::Process,
    programs::Wanted,
};

/// The programs of a native server.
pub(crate) const INITDB: Wanted =
    Wanted { name: "initdb", package: "postgresql", least: 14, asks: Some("--version") };
pub(crate) const POSTGRES: Wanted =
    Wanted { name: "postgres", package: "postgresql", least: 14, asks: Some("--version") };

/// URL schemes, and the port that a URL means unless it says one.
pub(crate) const SCHEMES: &[&str] = &["postgres", "postgresql"];
pub(crate) const PORT: u16 = 5432;

/// `initdb` writes some forty megabytes; a slow disk takes its time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether a setting has been taken.
const POLL: Duration = Duration::from_millis(20);
/// For the service's replicas, the evidence, and a person who looks.
const CONNECTIONS_MAX: u32 = 300;
/// Durability, stated: no distribution's default can change what a run means.
const DURABLE: [&str; 3] = ["fsync=on", "synchronous_commit=on", "full_page_writes=on"];

/// What standbys need, stated likewise.
const REPLICATES: [&str; 4] = [
    "wal_level=replica",
    "max_wal_senders=10",
    "max_replication_slots=10",
    // The checkpoint at the start of one copy may recycle the log that another copy is about to
    // stream: its slot does not hold it yet, and is then invalidated.
    "wal_keep_size=256MB",
];

/// PostgreSQL settings that a figure depends on.
const POSTGRES_SETTINGS: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_connections",
    "wal_sync_method",
];

/// Starts a private server.
pub(crate) async fn start(
    name: &str,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh(name)?;
    let password = password();
    initdb(&directory, data, &password, guard).await?;

    let port = free_port()?;
    let launched = Launched { name, directory: &directory, port, settings: &REPLICATES };
    let mut process = launch(launched, data, guard)?;
    let url = url(&password, port);
    let block = process.wait_ready(READY_WITHIN, || probe(&url)).await?;
    Ok(Started { processes: vec![process], block, url })
}

/// A server to be launched on a cluster that is there.
pub(super) struct Launched<'a> {
    pub(super) name: &'a str,
    /// The cluster is in its `data`.
    pub(super) directory: &'a Path,
    pub(super) port: u16,
    /// Beside those that every server has.
    pub(super) settings: &'a [&'a str],
}

pub(super) fn launch(
    Launched { name, directory, port, settings }: Launched<'_>,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Process, EnvironmentError> {
    let mut command = data.command(&POSTGRES.find()?.path);
    command.arg("-D").arg(directory.join("data"));
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS_MAX}"),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=2GB".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    for setting in DURABLE.iter().chain(settings) {
        command.arg("-c").arg(setting);
    }
    // SIGINT is the fast shutdown, SIGQUIT the immediate one.
    let ends = Ends { stop: Signal::INT, abandon: Signal::QUIT };
    Ok(Process::start(data.launch(name, command, ends), guard)?)
}

/// The URL of a private server on this port.
pub(super) fn url(password: &str, port: u16) -> String {
    format!("postgres://slotproof:{password}@127.0.0.1:{port}/postgres")
}

async fn initdb(
    directory: &Path,
    data: &DataDirectory,
    password: &str,
    guard: &Guard,
) -> Result<(), EnvironmentError> {
    let password_file = directory.join("password");
    data.write(&password_file, password)?;
    let mut command = data.command(&INITDB.find()?.path);
    command.arg("--pgdata").arg(directory.join("data")).arg("--pwfile").arg(&password_file);
    command.args([
        "--username=slotproof",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]);
    // Only the making of the empty cluster is not synced; the server itself is durable.
    command.arg("--no-sync");
    let ends = Ends { stop: Signal::TERM, abandon: Signal::KILL };
    super::run_to_its_end(data.launch("initdb", command, ends), guard).await
}

/// The same server in a container.
pub(crate) fn container(password: &str) -> Container {
    Container {
        local: "slotproof/postgres:15",
        official: "postgres:15",
        port: PORT,
        variables: vec![
            ("POSTGRES_USER", "slotproof".to_owned()),
            ("POSTGRES_PASSWORD", password.to_owned()),
            ("POSTGRES_DB", "slotproof".to_owned()),
        ],
        arguments: [format!("max_connections={CONNECTIONS_MAX}")]
            .into_iter()
            .chain(DURABLE.map(str::to_owned))
            .flat_map(|setting| ["-c".to_owned(), setting])
            .collect(),
        url: |password, port| format!("postgres://slotproof:{password}@127.0.0.1:{port}/slotproof"),
    }
}

/// Lets every commit wait for standbys from now on, also after a restart.
pub(crate) async fn wait_for_standbys(url: &str, names: &str) -> Result<(), String> {
    within(async {
        let text = |error: sqlx::Error| error.to_string();
        let mut connection = PgConnection::connect(url).await.map_err(text)?;
        // Names of components have no quotes. `alter system` takes no parameters.
        let statement = format!("alter system set synchronous_standby_names = '{names}'");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.map_err(text)?;
        sqlx::query("select pg_reload_conf()").execute(&mut connection).await.map_err(text)?;
        let taken = "select exists (select from pg_stat_replication where sync_state in ('sync', 'quorum'))";
        while !sqlx::query_scalar::<_, bool>(taken)
            .fetch_one(&mut connection)
            .await
            .map_err(text)?
        {
            tokio::time::sleep(POLL).await;
        }
        connection.close().await.map_err(text)
    })
    .await
}

/// Connects, and reads version and settings.
pub(crate) async fn probe(url: &str) -> Result<ServerBlock, String> {
    within(async {
        let text = |error: sqlx::Error| error.to_string();
        let mut connection = PgConnection::connect(url).await.map_err(text)?;
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select name, current_setting(name) from pg_settings where name = any($1) or name = 'server_version'",
        )
        .bind(POSTGRES_SETTINGS.map(str::to_owned).to_vec())
        .fetch_all(&mut connection)
        .await
        .map_err(text)?;
        connection.close().await.map_err(text)?;
        let mut settings: BTreeMap<_, _> = rows.into_iter().collect();
        let version = settings.remove("server_version").unwrap_or_default();
        Ok(ServerBlock { name: "postgresql".to_owned(), version, settings })
    })
    .await
}
