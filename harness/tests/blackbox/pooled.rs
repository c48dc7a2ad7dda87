//! Topologies with a pooler: what goes through it, what it may not mix up, and what is refused.

use std::{fs, path::PathBuf};

use crate::{
    stack::{output, slotproof},
    topologies::{FLASH_SALE, convicted_by, refused, run, run_until},
};

const POOLED: &str = include_str!("../../stack/topologies/pooled.toml");

/// A topology file of its own name, kept as long as the directory.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mine.toml");
    fs::write(&path, text.replace("name = \"pooled\"", "name = \"mine\"")).expect("it is written");
    (directory, path)
}

#[test]
fn requests_go_through_a_pooler_and_the_run_is_upheld() {
    let ended = run_until(0, "pooled", FLASH_SALE, 2, &[]);
    let costs = ended.json("costs.json");
    let reserved = ended.json("run.json")["totals"]["reserved"].as_u64().expect("a count");
    let pooled = costs["pooler"]["transactions"].as_u64().expect("they are counted");
    assert!(pooled >= reserved, "{costs:#}");
    let environment = ended.json("environment.json");
    let servers = environment["environment"]["servers"].as_array().expect("a list").clone();
    let pooler = servers.iter().find(|it| it["name"] == "pgbouncer").expect("it was started");
    assert_eq!(pooler["settings"]["pool_mode"], "session", "{environment:#}");
}

#[test]
fn prepared_statements_that_a_pooler_mixes_up_are_found_before_the_first_request() {
    let shares = "mode = \"transaction\", size = 4";
    let (_kept, path) = file(&POOLED.replace("mode = \"session\", size = 100", shares));
    let said = String::from_utf8_lossy(&output(&["doctor"]).stdout).into_owned();
    let version = said.lines().find(|line| line.contains("/pgbouncer ")).expect("it is installed");
    let version = version.split_whitespace().last().expect("a version");
    let mut numbers = version.split('.').map(|it| it.parse::<u32>().expect("a number"));
    let keeps_apart = (numbers.next(), numbers.next()) >= (Some(1), Some(21));
    let ended = run(path.to_str().expect("plain"), FLASH_SALE, &["--duration", "2s"]);
    assert_eq!(ended.code == 69, !keeps_apart, "{version}: {}", ended.said);
    let found = ended.said.contains("mixes up the prepared statements of its clients");
    assert_eq!(found, !keeps_apart, "{version}: {}", ended.said);
}

#[test]
fn sweepers_take_turns_by_a_lock_of_the_transaction_and_never_again_by_one_of_the_session() {
    let load = "--scenario steady --mix browse=1,abandon=1 --think 10ms --clients 60 --slots 2 \
                --capacity 10 --hold 600ms";
    run_until(0, "pooled_transactions", load, 3, &[]);
    convicted_by("I11", "pgbouncer_session_lock", load, 4, &[]);
}

#[test]
fn a_pooler_that_is_not_installed_is_named_with_the_way_to_get_it() {
    // First in the file, so that it is the first one that is missing.
    let pooler = "[[components]]\nname = \"pgbouncer\"\nkind = \"pgbouncer\"\nof = \"postgresql\"\n\
                  pool = { mode = \"session\", size = 100 }\n";
    let others = POOLED.replace(pooler, "");
    assert_ne!(others, POOLED);
    let first = others.replacen("[[components]]", &format!("{pooler}\n[[components]]"), 1);
    let (kept, path) = file(&first);
    let mut command = slotproof();
    command.args(["run", "--strategy", "conditional", "--topology"]).arg(path);
    command.arg("--runs").arg(kept.path());
    let output = command.env("SLOTPROOF_PROGRAMS", "/nowhere").output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("pgbouncer is not installed") && said.contains("ci/setup"), "{said}");
}

#[test]
fn a_pool_that_is_too_small_and_a_strategy_that_does_not_go_through_it_are_refused() {
    let on = ["run", "--strategy", "conditional", "--topology", "pooled"];
    let more = [&on[..], &["--connections", "30"]].concat();
    refused(&more, "100 connections in mode `session`, and 4 service processes keep 120");
    let other = ["run", "--strategy", "advisory", "--topology", "pooled_transactions"];
    refused(&other, "writes reservations by conditional and not by advisory");
}

#[test]
fn statements_without_a_name_that_a_pooler_mixes_up_are_convicted_by_impossible_reads() {
    // Seats come back and are taken again for as long as the load lasts: at each instant some slots
    // are sold out and some are free, on any machine.
    let load = "--scenario steady --mix browse=20,abandon=1 --think 10ms --clients 60 --slots 40 \
                --capacity 1 --hold 600ms";
    convicted_by("I9", "pgbouncer_unnamed", load, 3, &[]);
}
