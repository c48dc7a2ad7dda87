//! The command line: a command's exit code is ours, and nothing is left running.

use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, test_kill_process};

use sqlx::{Connection, PgConnection};

use crate::started::{Started, code_of, program, send, until};

#[test]
fn the_command_sees_the_variables_and_its_exit_code_is_ours() {
    let script = "test -n \"$MAPS_URL\" && test -n \"$MAPS_PASSWORD\" && exit 7";
    let status = program().args(["maps", "--", "sh", "-c", script]).status().expect("it runs");
    assert_eq!(status.code(), Some(7));
    let status = program().args(["maps", "--", "/nowhere"]).status().expect("it runs");
    assert_eq!(status.code(), Some(69), "a command that is not there");
}

#[test]
fn told_to_stop_it_ends_well() {
    let mut maps = Started::new(&["maps"]);
    maps.signal(Signal::TERM);
    assert_eq!(maps.wait(), Some(0));
}

#[tokio::test]
async fn told_to_stop_it_ends_its_command_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    let script = format!("echo $$ > {0}.new && mv {0}.new {0} && exec sleep 600", file.display());
    let mut maps = program().args(["maps", "--", "sh", "-c", &script]).spawn().expect("it runs");
    until("the command runs", async || file.exists()).await;
    let pid = std::fs::read_to_string(&file).expect("its pid");
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a pid");
    assert!(test_kill_process(pid).is_ok(), "it is on this machine");
    send(&maps, Signal::TERM);
    assert_eq!(code_of(&mut maps), Some(130));
    assert!(test_kill_process(pid).is_err(), "it has ended");
}

#[tokio::test]
async fn a_killed_one_leaves_no_server_behind() {
    // It cannot delete its files any more: they are here. The server's user goes through.
    let directory = tempfile::tempdir().expect("a directory");
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(directory.path(), open).expect("it is ours");
    let mut command = program();
    command.args(["server", "postgresql"]).env("TMPDIR", directory.path());
    let mut server = Started::of(&mut command);
    let url = server.get("DATABASE_URL").to_owned();
    let mut connection = connect(&url).await.expect("it runs");
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut connection)
        .await
        .expect("it answers");
    let pid = Pid::from_raw(pid).expect("a pid");
    assert!(test_kill_process(pid).is_ok(), "it is on this machine");
    server.signal(Signal::KILL);
    server.wait();
    until("the server is gone", async || connect(&url).await.is_err()).await;
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(url).await
}
