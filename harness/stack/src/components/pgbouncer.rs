//! PgBouncer: stands before a PostgreSQL server, and gives its connections to clients in turn.
//!
//! Before 1.21 it knows nothing of prepared statements: in mode `transaction` the statement that one
//! client has prepared is not there, or is another client's, on the connection that it gets next.

use std::time::Duration;

use rustix::process::Signal;
use slotproof_vocabulary::ServerBlock;
use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

use super::{Started, postgresql};
use crate::{
    EnvironmentError,
    address::{Address, within},
    data::{DataDirectory, Ends},
    guard::Guard,
    native::free_port,
    process::Process,
    programs::Wanted,
    topology::Pool,
};

/// The program of a native pooler.
pub(crate) const PGBOUNCER: Wanted =
    Wanted { name: "pgbouncer", package: "pgbouncer", least: 1, asks: Some("--version") };

const READY_WITHIN: Duration = Duration::from_secs(20);
/// More than any stack has service processes times connections.
const CLIENTS_MAX: u32 = 10_000;
/// Its own database, in which it answers questions about itself. It takes simple queries only.
const CONSOLE: &str = "pgbouncer";
/// PgBouncer settings that a figure depends on.
const SETTINGS: [&str; 3] = ["pool_mode", "default_pool_size", "max_prepared_statements"];

/// Starts a private pooler before the server of this URL.
pub(crate) async fn start(
    name: &str,
    server: &str,
    pool: Pool,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh(name)?;
    let port = free_port()?;
    let server = Address::parse(server, postgresql::SCHEMES, postgresql::PORT)
        .expect("it is the URL of a server that was started");
    let (user, password) =
        (server.user.clone().unwrap_or_default(), server.password.clone().unwrap_or_default());

    // It logs in to the server with the password of its client, which it must have in the clear.
    let users = directory.join("users");
    data.write(&users, &format!("\"{user}\" \"{password}\"\n"))?;
    let settings = directory.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n\
         * = host={host} port={server_port}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {users}\n\
         admin_users = {user}\n\
         pool_mode = {mode}\n\
         default_pool_size = {size}\n\
         max_client_conn = {CLIENTS_MAX}\n\
         ; A server that was killed is back within a second: by default it would be waited for 15 s.\n\
         server_login_retry = 0.2\n\
         ; What the driver always sends, and the server has by default. Anything else is refused.\n\
         ignore_startup_parameters = extra_float_digits\n",
        host = server.host,
        server_port = server.port,
        users = users.display(),
        mode = pool.mode.name(),
        size = pool.size,
    );
    data.write(&settings, &text)?;
    let mut command = data.command(&PGBOUNCER.find()?.path);
    command.arg("--quiet").arg(&settings);
    let ends = Ends { stop: Signal::TERM, abandon: Signal::KILL };
    let mut process = Process::start(data.launch(name, command, ends), guard)?;
    let url = postgresql::url(&password, port);
    let block = process.wait_ready(READY_WITHIN, || probe(&url)).await?;
    Ok(Started { processes: vec![process], block, url })
}

/// Asks whether the server answers through it, and what it is.
pub(crate) async fn probe(url: &str) -> Result<ServerBlock, String> {
    within(async { block(url).await.map_err(|error| error.to_string()) }).await
}

async fn block(url: &str) -> sqlx::Result<ServerBlock> {
    let mut server = PgConnection::connect(url).await?;
    server.execute(sqlx::raw_sql("select 1")).await?;
    server.close().await?;
    let mut console = console(url).await?;
    let version: String =
        console.fetch_one(sqlx::raw_sql("show version")).await?.try_get("version")?;
    let mut settings = std::collections::BTreeMap::new();
    for row in console.fetch_all(sqlx::raw_sql("show config")).await? {
        let key: String = row.try_get("key")?;
        if SETTINGS.contains(&key.as_str()) {
            settings.insert(key, row.try_get("value")?);
        }
    }
    console.close().await?;
    let version = version.trim_start_matches("PgBouncer ").to_owned();
    Ok(ServerBlock { name: "pgbouncer".to_owned(), version, settings })
}

async fn console(url: &str) -> sqlx::Result<PgConnection> {
    PgConnection::connect_with(&url.parse::<PgConnectOptions>()?.database(CONSOLE)).await
}
