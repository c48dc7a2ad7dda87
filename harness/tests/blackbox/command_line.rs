//! The command line: what it refuses, with which exit code, and what it says then.

use std::process::Output;

use serde_json::Value;

use crate::stack::{output, slotproof};

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
    refused(
        &["run", "--strategy", "optimistic", "--clients", "0", "--runs", runs],
        64,
        "`--clients` must be 1 to 10000, not 0",
    );
    refused(
        &["run", "--strategy", "optimistic", "--clients", "10001", "--runs", runs],
        64,
        "`--clients` must be 1 to 10000, not 10001",
    );
    refused(
        &["run", "--strategy", "optimistic", "--capacity", "0", "--runs", runs],
        64,
        "`--capacity` must be",
    );
    refused(&["run", "--strategy", "optimistic", "--duration", "15", "--runs", runs], 64, "15s");
    refused(
        &["run", "--strategy", "optimistic", "--duration", "0s", "--runs", runs],
        64,
        "`--duration` must be",
    );
    refused(
        &["run", "--strategy", "optimistic", "--replicas", "0", "--runs", runs],
        64,
        "replicas",
    );
    refused(
        &["run", "--strategy", "optimistic", "--environment", "external", "--runs", runs],
        64,
        "--postgres-url",
    );
    refused(&["fly"], 64, "fly");
    assert_eq!(std::fs::read_dir(runs).expect("it is there").count(), 0, "nothing was made");
}

#[test]
fn a_plan_that_contradicts_itself_is_64_and_names_the_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let runs = directory.path().join("runs");
    let runs = runs.to_str().expect("plain");
    let steady = |more: &[&str], says| {
        let words = ["run", "--strategy", "optimistic", "--scenario", "steady", "--runs", runs];
        refused(&[&words[..], more].concat(), 64, says);
    };
    steady(&["--rate", "800/s", "--think", "1s"], "--think");
    steady(&["--rate", "-5/s"], "-5/s");
    steady(&["--rate", "100/s..-5/s"], "is not a rate");
    steady(&["--clients", "unlimited"], "unlimited");
    steady(&["--arrivals", "poisson"], "--arrivals");
    steady(&["--stages", "5s@1/s", "--rate", "1/s"], "--rate");
    steady(&["--zipf", "1"], "--zipf");
    refused(
        &["run", "--strategy", "optimistic", "--rate", "5/s", "--runs", runs],
        64,
        "flash_sale",
    );
    refused(&["run", "--schedule", "--scenario", "steady"], 64, "--rate");
    let faulty = ["run", "--strategy", "optimistic", "--duration", "3s", "--runs", runs];
    let covered = [&faulty[..], &["--until", "covered"]].concat();
    refused(&[&covered[..], &["--fault", "crash-postgres@1s"]].concat(), 64, "crash-postgres@1s");
    let open = [&covered[..], &["--scenario", "steady", "--rate", "5/s"]].concat();
    refused(&open, 64, "--rate");
    let long = ["run", "--strategy", "optimistic", "--duration", "2h", "--until", "covered"];
    refused(&[&long[..], &["--runs", runs]].concat(), 64, "--duration");
    refused(&[&faulty[..], &["--until", "done"]].concat(), 64, "covered");
    refused(
        &[&faulty[..], &["--fault", "pause-service:100h@1s"]].concat(),
        64,
        "ends after the load",
    );
    refused(&[&faulty[..], &["--lock-ttl", "0s"]].concat(), 64, "--lock-ttl");

    let plan = directory.path().join("plan.toml");
    std::fs::write(&plan, "scenario = \"steady\"\nrate = \"5/s\"\nusers = 7\n")
        .expect("it can be written");
    let plan = plan.to_str().expect("plain");
    refused(
        &["run", "--strategy", "optimistic", "--plan", plan, "--runs", runs],
        64,
        "unknown field `users`",
    );
    refused(
        &["run", "--strategy", "optimistic", "--plan", "no-such-file", "--runs", runs],
        64,
        "no-such-file",
    );
    assert!(!std::path::Path::new(runs).exists(), "nothing was made");
}

#[test]
fn a_plan_is_printed_whole_and_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = [
        "run",
        "--dry-run",
        "--scenario",
        "steady",
        "--stages",
        "2s@5/s,3s@5/s..9/s",
        "--warm-up",
        "1s",
    ];
    let printed = output(&words).stdout;
    let path = directory.path().join("plan.toml");
    std::fs::write(&path, &printed).expect("it can be written");
    let again = output(&["run", "--dry-run", "--plan", path.to_str().expect("plain")]).stdout;
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&printed));
    assert!(String::from_utf8_lossy(&printed).contains("warm_up = \"1s\""));
}

#[test]
fn what_is_not_a_run_is_64() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("plain");
    for given in [path, "no-such-directory"] {
        refused(&["check", given], 64, "is not a run");
        refused(&["report", "--from-history", given], 64, "is not a run");
    }
    refused(&["report", path], 64, "holds no reports");
    refused(&["report", "no-such-directory"], 64, "cannot be read");
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
    let scenarios = help(&["run", "--list"]);
    for scenario in slotproof_vocabulary::ScenarioKind::ALL {
        assert!(scenarios.contains(scenario.name()), "{scenarios}");
    }
}

/// Every text of the command line in one file, so that a change of voice shows in one diff.
#[test]
fn the_help_of_every_command_is_pinned() {
    let commands = [
        "up",
        "run",
        "compare",
        "capacity",
        "gate",
        "check",
        "history convert",
        "report",
        "target init",
        "target try",
        "target schema",
        "serve",
        "model",
        "replay",
        "selftest",
        "bench strategies",
        "bench engine",
        "bench checker",
        "bench comparison",
        "bench history",
        "dead-letters list",
        "dead-letters replay",
        "months list",
        "months archive",
        "months restore",
        "migrate",
        "rebalance",
        "doctor",
        "completions",
        "man",
    ];
    let helps = commands.map(|command| {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let Output { status, stdout, .. } = output(&words);
        assert_eq!(status.code(), Some(0), "{command}");
        format!("== slotproof {command}\n{}", String::from_utf8(stdout).expect("text"))
    });
    insta::assert_snapshot!(helps.join("\n"));
}

#[test]
fn completions_and_man_pages_are_made_from_the_command_line() {
    let completions = output(&["completions", "bash"]);
    assert!(completions.status.success());
    assert!(String::from_utf8_lossy(&completions.stdout).contains("_slotproof()"));

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a plain path");
    assert!(output(&["man", path]).status.success());
    let page = std::fs::read_to_string(directory.path().join("slotproof-run.1")).expect("a page");
    assert!(page.contains("slotproof\\-run") && page.contains("\\-\\-strategy"), "{page}");
    assert!(directory.path().join("slotproof.1").is_file());
    assert!(!directory.path().join("slotproof-guard.1").exists(), "hidden commands have no page");
}

/// No server is started and nothing is written: the table and the exit code are all.
#[test]
fn a_selftest_on_simulated_services_convicts_the_bugs_and_no_lawful_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let simulated = slotproof()
        .args(["selftest", "--simulated", "--json"])
        .current_dir(directory.path())
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&simulated.stderr);
    assert_eq!(simulated.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&simulated.stdout).expect("JSON");
    assert!(report["lawful"]["runs"].as_u64() >= Some(300), "{report}");
    assert_eq!(report["lawful"]["convicted"], 0, "{report}");
    let bugs = report["bugs"].as_array().expect("bugs");
    assert!(bugs.len() >= 12, "{report}");
    let struck = |bug: &Value| bug["with_versions"]["struck"].as_u64() > Some(0);
    assert!(bugs.iter().all(struck), "{report}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
    refused(&["selftest", "--simulated", "--seeds", "1,2"], 64, "--seeds");
}
