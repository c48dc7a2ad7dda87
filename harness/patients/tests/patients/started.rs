//! A started program: its variables, and its end.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

/// A private server takes up to ten seconds to stop, and is killed then.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
pub(crate) const HAPPENS_WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Started {
    child: Child,
    variables: HashMap<String, String>,
}

impl Started {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self::of(program().args(arguments))
    }

    /// Waits for the last of the lines that it prints when it is ready.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut variables = HashMap::new();
        for line in lines.map_while(Result::ok) {
            let Some(variable) = line.strip_prefix("export ") else {
                return Self { child, variables };
            };
            let (name, value) = variable.split_once('=').expect("a name and a value");
            variables.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
        panic!("it ended before it was ready: {:?}", child.wait());
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.variables))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// The exit code, once it has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        code_of(&mut self.child)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::TERM);
            if !std::thread::panicking() {
                self.wait();
            }
        }
    }
}

pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a pid"), signal);
}

/// Waits for the end of a child. `None`: a signal ended it.
pub(crate) fn code_of(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + ENDS_WITHIN;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code();
        }
        std::thread::sleep(POLL);
    }
    let _ = child.kill();
    panic!("it did not end within {} s", ENDS_WITHIN.as_secs());
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_slotproof-patients"))
}

/// A connection to the database of a patient, as the owner of the server.
pub(crate) async fn owner_of(server: &Started, reader_url: &str) -> PgConnection {
    let (_, database) = reader_url.rsplit_once('/').expect("a URL with a database");
    let options = PgConnectOptions::from_str(server.get("DATABASE_URL")).expect("a URL");
    options.database(database).connect().await.expect("the owner may connect")
}

/// Asks until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + HAPPENS_WITHIN;
    while !so().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", HAPPENS_WITHIN.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// Keeps everybody else from changing a table.
pub(crate) async fn close(owner: &mut PgConnection, table: &str) {
    let lock = format!("begin; lock table {table} in share row exclusive mode");
    let locked = sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(owner).await;
    locked.expect("the lock is given");
}

/// Lets the others go on, once so many of them wait for a lock.
pub(crate) async fn release(owner: &mut PgConnection, number: i64) {
    until("they wait for the lock", async || {
        // Within a transaction the view would say for ever what it has said once.
        let cleared = sqlx::query("select pg_stat_clear_snapshot()").execute(&mut *owner).await;
        cleared.expect("the owner is there");
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *owner)
        .await
        .expect("the owner sees everybody");
        waiting == number
    })
    .await;
    sqlx::raw_sql("commit").execute(owner).await.expect("the owner is there");
}
