//! Data that does not fit on the disk is an error: who reads the file must not take a part for the
//! whole. All commands write through one place; `capacity`, which takes a minute, is left out.

use std::{
    fs::File,
    process::{Command, Output},
};

use crate::{outcomes::question, stack::slotproof};

const GATE: &str = r#"
[[check]]
name = "flash sale"
strategies = ["conditional"]
[check.plan]
clients = 60
capacity = 20
duration = "1s"
hold = "600ms"
"#;

fn onto_a_full_disk(mut command: Command) -> Output {
    let full = File::options().write(true).open("/dev/full").expect("this is Linux");
    command.stdout(full).output().expect("the binary runs")
}

fn assert_an_error(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    let message = "slotproof: failed to write to standard output: No space left on device";
    assert!(said.contains(message), "{said}");
    assert_eq!(output.status.code(), Some(70), "{said}");
}

/// A command on the shared servers.
async fn asked(words: &str, file: Option<(&str, &str)>) {
    let words: Vec<&str> = words.split_whitespace().collect();
    let (command, _folder) = question(&words, file).await;
    assert_an_error(&onto_a_full_disk(command));
}

#[tokio::test]
async fn of_a_run() {
    asked("run --strategy conditional --clients 60 --capacity 20 --duration 1s --json", None).await;
}

#[tokio::test]
async fn of_a_gate() {
    asked("gate --json", Some(("--config", GATE))).await;
}

#[tokio::test]
async fn of_a_comparison() {
    let words = "compare --strategies conditional,pessimistic --loads flash_sale --clients 50 \
                 --rounds 1 --duration 500ms --warm-up 0s --json";
    asked(words, None).await;
}

/// On servers of its own: a replay has no others.
#[test]
fn of_a_replay() {
    let runs = tempfile::tempdir().expect("a directory");
    let mut command = slotproof();
    command
        .args(["replay", "--counterexample", "unprotected", "--json", "--runs"])
        .arg(runs.path());
    assert_an_error(&onto_a_full_disk(command));
}

#[test]
fn of_a_check_and_a_selftest_and_a_schedule() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/checker/histories/good/sold_out_once.jsonl");
    for words in [
        vec!["check", good, "--capacity", "1", "--json"],
        vec!["selftest", "--simulated", "--json"],
        vec!["run", "--schedule", "--scenario", "steady", "--rate", "5/s"],
        vec!["completions", "bash"],
    ] {
        let mut command = slotproof();
        command.args(&words);
        assert_an_error(&onto_a_full_disk(command));
    }
}

/// A reader that has gone away has all that it wanted.
#[test]
fn a_closed_pipe_is_no_error() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/checker/histories/good/sold_out_once.jsonl");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = slotproof();
    command.args(["check", good, "--capacity", "1", "--json"]).stdout(writer);
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
