//! The command line: what it refuses, with which exit code, and what it says then.

use std::process::Output;

use crate::stack::output;

fn refused(arguments: &[&str], code: i32, says: &str) {
    let output = output(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(says), "{arguments:?} does not say {says:?}: {stderr}");
}

#[test]
fn wrong_usage_is_64_and_names_what_is_wrong() {
    let runs = tempfile::tempdir().expect("a directory");
    let runs = runs.path().to_str().expect("plain");
    refused(&["run", "--strategy", "optimstic"], 64, "optimistic");
    refused(&["run", "--strategy", "optimistic", "--scenario", "flush_sale"], 64, "flash_sale");
    refused(&["run"], 64, "--strategy");
    refused(&["run", "--strategy", "optimistic", "--clients", "0", "--runs", runs], 64, "clients is 0");
    refused(
        &["run", "--strategy", "optimistic", "--clients", "10001", "--runs", runs],
        64,
        "clients is 10001",
    );
    refused(&["run", "--strategy", "optimistic", "--capacity", "0", "--runs", runs], 64, "capacity is 0");
    refused(&["run", "--strategy", "optimistic", "--duration", "15", "--runs", runs], 64, "15s");
    refused(&["run", "--strategy", "optimistic", "--duration", "0s", "--runs", runs], 64, "duration_ms is 0");
    refused(&["run", "--strategy", "optimistic", "--replicas", "0", "--runs", runs], 64, "replicas");
    refused(
        &["run", "--strategy", "optimistic", "--environment", "external", "--runs", runs],
        64,
        "--postgres-url",
    );
    refused(&["fly"], 64, "fly");
    assert_eq!(std::fs::read_dir(runs).expect("it is there").count(), 0, "nothing was made");
}

#[test]
fn what_is_not_a_run_is_64() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("plain");
    for command in ["check", "report"] {
        refused(&[command, path], 64, "is not a run");
        refused(&[command, "no-such-directory"], 64, "is not a run");
    }
}

#[test]
fn an_environment_that_is_not_there_is_69() {
    let runs = tempfile::tempdir().expect("a directory");
    let runs = runs.path().to_str().expect("plain");
    let external = |url| {
        [
            "run",
            "--strategy",
            "optimistic",
            "--runs",
            runs,
            "--environment",
            "external",
            "--postgres-url",
            url,
        ]
    };
    refused(&external("postgres://me:secret@127.0.0.1:1/none"), 69, "127.0.0.1:1 does not answer");
    refused(&external("postgres://me@192.0.2.1/none"), 64, "--allow-remote");
    refused(&external("mysql://me@127.0.0.1/none"), 64, "is not a postgres URL");
}

#[test]
fn help_is_an_answer_and_not_a_mistake() {
    let help = |arguments: &[&str]| {
        let Output { status, stdout, .. } = output(arguments);
        assert_eq!(status.code(), Some(0));
        String::from_utf8(stdout).expect("text")
    };
    insta::assert_snapshot!(help(&["--help"]));
    assert!(help(&["run", "--help"]).contains("Examples:"));
    assert!(help(&["serve", "--list"]).contains("negative control"));
}
