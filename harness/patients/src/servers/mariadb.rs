//! MariaDB: a private server on a free loopback port, with its data in the patient's directory.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use slotproof_stack::process::{Launch, Process, ProcessError, Stdout, tail};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySqlConnection, mysql::MySqlConnectOptions};
use tokio::process::Command;

use super::{Database, Held};
use crate::patient::{Place, secret};

/// Making the system tables takes seconds on a slow disk.
const READY_WITHIN: Duration = Duration::from_secs(60);
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Another process may take a free port before the server binds it: so often another one is tried.
const STARTS_MAX: u32 = 3;
/// Where programs are looked for beside PATH, as in `slotproof_stack`.
const PLACES: [&str; 5] =
    ["/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/bin", "/opt/homebrew/bin"];
const PROGRAMS: &str = "SLOTPROOF_PROGRAMS";
/// Users that the server may run as when we are root, best first.
const UNPRIVILEGED: [&str; 2] = ["mysql", "nobody"];

/// Starts a private server and says the URL of a role that may do anything.
pub(super) async fn start(place: &Place<'_>) -> Result<(String, Held)> {
    let server = find("mariadbd")?;
    let directory = place.directory.join("mariadb");
    std::fs::create_dir(&directory)?;
    // The server's user goes through, and its own directory is closed to everybody else.
    for path in [place.directory, &directory] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))?;
    }
    // Not the system's: a server deletes at its start what looks like leftovers of another one.
    let temporary = directory.join("tmp");
    std::fs::create_dir(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o1777))?;
    let user = user()?;
    let data = directory.join("data");
    let mut install = Command::new(find("mariadb-install-db")?);
    install.env("TMPDIR", &temporary);
    make_system_tables(install, &data, user, place).await?;
    let password = secret();
    let first = directory.join("first.sql");
    // Read once, by the server itself, before it accepts anybody.
    std::fs::write(
        &first,
        format!(
            "create user slotproof@'127.0.0.1' identified by '{password}';\n\
             grant all on *.* to slotproof@'127.0.0.1' with grant option;\n"
        ),
    )?;
    std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o644))?;
    let mut tried = 1;
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let url = format!("mysql://slotproof:{password}@127.0.0.1:{port}/mysql");
        let mut command = Command::new(&server);
        command
            .env("TMPDIR", &temporary)
            .arg("--no-defaults")
            .args(user.map(|user| format!("--user={user}")))
            .arg(option("datadir", &data))
            .arg(option("socket", &data.join("server.sock")))
            .arg(option("pid-file", &data.join("server.pid")))
            .arg(option("init-file", &first))
            .arg(format!("--port={port}"))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=300"])
            // Durability, stated: no distribution's default can change what a run means.
            .args(["--innodb-flush-log-at-trx-commit=1", "--skip-log-bin"]);
        let mut process = Process::start(launch("mariadbd", command, place), place.guard)?;
        let ready = async || {
            let options = MySqlConnectOptions::from_str(&url).map_err(|error| error.to_string())?;
            options.connect().await.map(drop).map_err(|error| error.to_string())
        };
        match process.wait_ready(READY_WITHIN, ready).await {
            Ok(()) => {
                std::fs::remove_file(&first)?;
                return Ok((url, Held::PrivateMariadb(Box::new(process))));
            }
            Err(ProcessError::Died { tail, .. })
                if tried < STARTS_MAX && tail.contains("already in use") =>
            {
                tried += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn make_system_tables(
    mut command: Command,
    data: &Path,
    user: Option<&str>,
    place: &Place<'_>,
) -> Result<()> {
    command
        .arg("--no-defaults")
        .args(user.map(|user| format!("--user={user}")))
        .arg(option("datadir", data))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    let launch = launch("mariadb-install-db", command, place);
    let log = launch.log.clone();
    let status = Process::start(launch, place.guard)?.wait().await?;
    ensure!(status.success(), "mariadb-install-db failed ({status}):\n{}", tail(&log));
    Ok(())
}

fn launch<'a>(name: &'a str, command: Command, place: &Place<'_>) -> Launch<'a> {
    Launch {
        name,
        command,
        log: place.directory.join(format!("{name}.log")),
        stdout: Stdout::ToLog,
        stop: Signal::TERM,
        abandon: Signal::KILL,
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// `None`: we are not root, and the server runs as we do.
fn user() -> Result<Option<&'static str>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let there = |name: &&&str| passwd.lines().any(|line| line.split(':').next() == Some(**name));
    match UNPRIVILEGED.iter().find(there) {
        Some(name) => Ok(Some(name)),
        None => bail!("MariaDB must not run as root, and there is no user `mysql` or `nobody`"),
    }
}

fn find(name: &str) -> Result<PathBuf> {
    let directories: Vec<PathBuf> = match std::env::var_os(PROGRAMS) {
        Some(chosen) => std::env::split_paths(&chosen).collect(),
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .chain(PLACES.map(PathBuf::from))
            .collect(),
    };
    let mut paths = directories.into_iter().map(|directory| directory.join(name));
    paths.find(|path| path.is_file()).with_context(|| {
        format!("{name} is not installed; `ci/setup` installs it, or your package manager does")
    })
}

pub(super) async fn database(
    patient: &str,
    given: Option<&str>,
    place: &Place<'_>,
) -> Result<Database<MySqlConnectOptions>> {
    let (url, private) = match given {
        Some(url) => (url.to_owned(), None),
        None => start(place).await.map(|(url, held)| (url, Some(held)))?,
    };
    let admin = MySqlConnectOptions::from_str(&url).context("read the database URL")?;
    let name = format!("patient_{patient}_{}", &secret()[..8]);
    let password = secret();
    let held = private.unwrap_or_else(|| Held::GivenMariadb {
        admin: Box::new(admin.clone()),
        name: name.clone(),
    });
    let mut server = admin.connect().await.context("connect to MariaDB")?;
    for statement in [
        format!("create database {name} character set utf8mb4"),
        format!("create user {name}_r@'%' identified by '{password}'"),
        format!("grant select on {name}.* to {name}_r@'%'"),
    ] {
        execute(&mut server, statement).await?;
    }
    let (host, port) = (admin.get_host(), admin.get_port());
    let reader_url = format!("mysql://{name}_r:{password}@{host}:{port}/{name}");
    Ok(Database { owner: admin.database(&name), reader_url, held })
}

pub(super) async fn drop_database(admin: &MySqlConnectOptions, name: &str) {
    let dropped = async {
        let mut server = admin.connect().await?;
        execute(&mut server, format!("drop database {name}")).await?;
        execute(&mut server, format!("drop user {name}_r@'%'")).await
    };
    if let Err(error) = dropped.await {
        tracing::warn!(%error, name, "failed to drop the patient's database");
    }
}

/// Names and passwords are ours, of letters and digits: statements of this kind take no parameters.
async fn execute(connection: &mut MySqlConnection, statement: String) -> Result<()> {
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}
