//! The native environment: whatever way a run ends, nothing of it is left.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::stack::{eventually, slotproof, start};

/// Processes that have the run's directory in their arguments, environment or open files: its
/// servers and services.
pub(crate) fn left_of(runs: &Path) -> Vec<String> {
    let needle = runs.to_str().expect("plain");
    let holds = |path: &Path| {
        fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(needle))
    };
    let opens = |path: &Path| {
        let files = fs::read_dir(path.join("fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.starts_with(runs))
    };
    let entries = fs::read_dir("/proc").expect("this is Linux").flatten();
    let pids = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    let own = std::process::id().to_string();
    pids.filter(|entry| entry.file_name().to_str() != Some(own.as_str()))
        .filter(|entry| {
            let path = entry.path();
            holds(&path.join("cmdline")) || holds(&path.join("environ")) || opens(&path)
        })
        .map(|entry| {
            let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&cmdline).replace('\0', " ")
        })
        .collect()
}

fn begin(runs: &Path, duration: &str) -> Child {
    let mut command = slotproof();
    command.args([
        "run",
        "--strategy",
        "pessimistic",
        "--clients",
        "50",
        "--capacity",
        "5",
        "--hold",
        "1s",
    ]);
    command.args(["--duration", duration, "--until", "covered", "--runs"]).arg(runs);
    start(command.stderr(Stdio::piped()))
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).expect("a pid"), signal).expect("it runs");
}

/// Reads what a run says until it says `words`.
pub(crate) fn wait_until_it_says(
    child: &mut Child,
    words: &str,
) -> BufReader<std::process::ChildStderr> {
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut said = String::new();
    while !said.contains(words) {
        assert!(lines.read_line(&mut said).expect("it speaks") > 0, "it ended early: {said}");
    }
    lines
}

#[tokio::test]
async fn after_an_interrupt_in_the_middle_of_the_load_nothing_is_left_but_the_logs() {
    assert_only_logs_are_left_after(Signal::INT).await;
}

#[tokio::test]
async fn after_a_termination_in_the_middle_of_the_load_nothing_is_left_but_the_logs() {
    assert_only_logs_are_left_after(Signal::TERM).await;
}

async fn assert_only_logs_are_left_after(by: Signal) {
    let runs = tempfile::tempdir().expect("a directory");
    let mut child = begin(runs.path(), "60s");
    let _stderr = wait_until_it_says(&mut child, "  load ");
    assert!(left_of(runs.path()).len() > 5, "the servers run: {:?}", left_of(runs.path()));
    signal(&child, by);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    eventually("every process has ended", async || left_of(runs.path()).is_empty()).await;
    let run = fs::read_dir(runs.path())
        .expect("it is there")
        .next()
        .expect("one run")
        .expect("readable")
        .path();
    assert!(run.join("logs/postgresql.log").is_file() && !run.join("servers").exists());
}

#[tokio::test]
async fn after_an_interrupt_at_the_start_nothing_is_left() {
    let runs = tempfile::tempdir().expect("a directory");
    let mut child = begin(runs.path(), "60s");
    let _stderr = wait_until_it_says(&mut child, "run /");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    eventually("every process has ended", async || left_of(runs.path()).is_empty()).await;
}

#[tokio::test]
async fn after_a_kill_that_nobody_can_catch_the_guard_ends_everything() {
    let runs = tempfile::tempdir().expect("a directory");
    let mut child = begin(runs.path(), "60s");
    let _stderr = wait_until_it_says(&mut child, "  load ");
    signal(&child, Signal::KILL);
    child.wait().expect("it ends");
    eventually("every process has ended", async || left_of(runs.path()).is_empty()).await;
}

#[tokio::test]
async fn two_runs_at_once_never_meet() {
    let runs =
        [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let children = runs.each_ref().map(|runs| begin(runs.path(), "5s"));
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for runs in &runs {
        assert_eq!(left_of(runs.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_is_named_with_its_log_and_nothing_is_left() {
    // A `redis-server` that dies at once, found before the real one.
    let programs = tempfile::tempdir().expect("a directory");
    let fake = programs.path().join("redis-server");
    fs::write(&fake, "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'Redis server v=7.0.0'; exit; }\necho 'no room at the inn'\nexit 3\n")
        .expect("it can be written");
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it is ours");
    fs::set_permissions(programs.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it is ours");
    let runs = tempfile::tempdir().expect("a directory");
    let path =
        format!("{}:{}", programs.path().display(), std::env::var("PATH").expect("there is one"));
    let mut command = slotproof();
    command.args(["run", "--strategy", "pessimistic", "--runs"]).arg(runs.path()).env("PATH", path);
    let output = command.output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(
        stderr.contains("redis ended at its start") && stderr.contains("no room at the inn"),
        "{stderr}"
    );
    eventually("every process has ended", async || left_of(runs.path()).is_empty()).await;
}

#[test]
fn a_missing_program_is_named_with_the_way_to_get_it() {
    let runs = tempfile::tempdir().expect("a directory");
    let mut command = slotproof();
    command.args(["run", "--strategy", "pessimistic", "--runs"]).arg(runs.path());
    let output = command.env("SLOTPROOF_PROGRAMS", "/nowhere").output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("initdb is not installed") && stderr.contains("ci/setup"), "{stderr}");
}

#[test]
fn the_selftest_tells_a_safe_strategy_from_broken_ones_and_from_those_that_need_a_fault() {
    let runs = tempfile::tempdir().expect("a directory");
    let output = slotproof()
        .args([
            "selftest",
            "--strategies",
            "off_by_one,conditional,commit_not_durable",
            "--seeds",
            "1",
            "--json",
        ])
        .arg("--runs")
        .arg(runs.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let rows: Vec<_> = report["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            (row["strategy"].clone(), row["needs"].clone(), row["trials"][0]["verdict"].clone())
        })
        .collect();
    let row = |strategy: &str, needs: Option<&str>, verdict: &str| {
        (serde_json::json!(strategy), serde_json::json!(needs), serde_json::json!(verdict))
    };
    let expected = [
        row("off_by_one", Some("load"), "violated"),
        row("conditional", None, "upheld"),
        row("commit_not_durable", Some("a crash"), "upheld"),
    ];
    assert_eq!(rows, expected, "{said}");
}
