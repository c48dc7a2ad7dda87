//! A streaming standby of a PostgreSQL server: a copy of it that replays its log and serves reads.
//!
//! The copy is made by `pg_basebackup`, which also writes how the standby finds its primary. The
//! primary keeps the log that the standby has not read, by a replication slot.

use std::time::Duration;

use slotproof_vocabulary::ServerBlock;
use sqlx::{Connection, PgConnection};

use super::{
    Started,
    postgresql::{self, Launched},
};
use crate::{
    EnvironmentError,
    address::{Address, within},
    data::{DataDirectory, Ends},
    guard::Guard,
    native::free_port,
    programs::Wanted,
};

/// The programs of a native standby, beside the server itself.
pub(crate) const BASEBACKUP: Wanted = Wanted {
    name: "pg_basebackup",
    package: "postgresql-client",
    least: 14,
    asks: Some("--version"),
};

/// A copy of a cluster that has just been made takes a second; it is replayed in less.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether the replay stands still.
const POLL: Duration = Duration::from_millis(10);
/// What a copy must not have of its primary, and faults that show within a second and not ten.
const SETTINGS: [&str; 4] = [
    // Copied with the primary's files: promoted, it would wait for standbys that it does not have.
    "synchronous_standby_names=",
    "hot_standby=on",
    "wal_receiver_status_interval=1s",
    "wal_retrieve_retry_interval=200ms",
];

/// Copies the primary and starts a private standby of it.
pub(crate) async fn start(
    name: &str,
    primary: &str,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh(name)?;
    let port = free_port()?;
    let primary = Address::parse(primary, postgresql::SCHEMES, postgresql::PORT)
        .expect("it is the URL of a server that was started");
    let (user, password) =
        (primary.user.clone().unwrap_or_default(), primary.password.clone().unwrap_or_default());

    let mut command = data.command(&BASEBACKUP.find()?.path);
    let connection =
        format!("host={} port={} user={user} application_name={name}", primary.host, primary.port);
    command.arg("--dbname").arg(connection).arg("--pgdata").arg(directory.join("data"));
    // Not an argument: those can be read by everybody.
    command.env("PGPASSWORD", &password);
    // A slot of its own for each try: one that failed leaves its slot behind.
    command.args(["--create-slot", "--slot", &format!("standby_{port}")]);
    // Without `fast` it waits for the next checkpoint, which may be minutes away.
    command.args([
        "--write-recovery-conf",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-sync",
    ]);
    let ends = Ends { stop: rustix::process::Signal::TERM, abandon: rustix::process::Signal::KILL };
    let log = format!("{name}-copy");
    super::run_to_its_end(data.launch(&log, command, ends), guard).await?;

    let launched = Launched { name, directory: &directory, port, settings: &SETTINGS };
    let mut process = postgresql::launch(launched, data, guard)?;
    let url = postgresql::url(&password, port);
    let block = process.wait_ready(READY_WITHIN, || probe(&url)).await?;
    Ok(Started { processes: vec![process], block, url })
}

/// Stops the replay, waits until it stands still, and lets it go on after this time. The standby goes
/// on answering all the while.
pub(crate) async fn pause_replay(url: &str, pause: Duration) -> Result<(), String> {
    let text = |error: sqlx::Error| error.to_string();
    let mut standby = PgConnection::connect(url).await.map_err(text)?;
    // The request alone says nothing: the standby stops at its next record.
    within(async {
        sqlx::query("select pg_wal_replay_pause()").execute(&mut standby).await.map_err(text)?;
        let state = "select pg_get_wal_replay_pause_state()";
        while sqlx::query_scalar::<_, String>(state).fetch_one(&mut standby).await.map_err(text)?
            != "paused"
        {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    })
    .await
    .map_err(|reason| format!("the replay was not paused: {reason}"))?;
    tokio::time::sleep(pause).await;
    sqlx::query("select pg_wal_replay_resume()").execute(&mut standby).await.map_err(text)?;
    standby.close().await.map_err(text)
}

/// Asks a standby whether it streams, and what it is.
pub(crate) async fn probe(url: &str) -> Result<ServerBlock, String> {
    let block = postgresql::probe(url).await?;
    within(async {
        let text = |error: sqlx::Error| error.to_string();
        let mut connection = PgConnection::connect(url).await.map_err(text)?;
        let streams: bool = sqlx::query_scalar(
            "select pg_is_in_recovery() and exists (select from pg_stat_wal_receiver where status = 'streaming')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(text)?;
        connection.close().await.map_err(text)?;
        match streams {
            true => Ok(()),
            false => Err("it does not stream the log of its primary".to_owned()),
        }
    })
    .await?;
    Ok(ServerBlock { name: "postgresql_standby".to_owned(), ..block })
}
