//! `slotproof migrate`: the service moves from one topology to another under load.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::stack::{output, slotproof, until};

/// A migration that has ended.
struct Migrated {
    code: i32,
    path: PathBuf,
    said: String,
    _runs: tempfile::TempDir,
}

/// From one database to another topology; longer loads follow until one is decided and has shown what
/// is looked for.
fn migrated(to: &str, shows: impl Fn(&Migrated) -> bool) -> Migrated {
    let load = "--scenario steady --think 50ms --clients 40 --slots 20 --capacity 3 --hold 600ms";
    let migrate = |length: &str| {
        let runs = tempfile::tempdir().expect("a directory");
        let output = slotproof()
            .args(["migrate", "--from", "single", "--to", to, "--at", "1s", "--duration", length])
            .args(load.split_whitespace())
            .arg("--runs")
            .arg(runs.path())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let path = String::from_utf8_lossy(&output.stdout).trim().into();
        let code = output.status.code().expect("it ended by itself");
        Migrated { code, path, said, _runs: runs }
    };
    let unknown = 2;
    let code = |ended: &Migrated| match ended.code {
        0 if !shows(ended) => unknown,
        code => code,
    };
    let ended = until(0, 5, code, migrate);
    assert_eq!(ended.code, 0, "{}", ended.said);
    ended
}

impl Migrated {
    fn json(&self, name: &str) -> Value {
        let text = fs::read(self.path.join(name)).unwrap_or_else(|_| panic!("{}", self.said));
        serde_json::from_slice(&text).expect("it is JSON")
    }

    /// What the report says of the one move.
    fn the_move(&self) -> Value {
        let faults = &self.json("run.json")["faults"];
        assert_eq!(faults.as_array().map(Vec::len), Some(1), "{faults:#}");
        assert_eq!(faults[0]["problem"], Value::Null, "{faults:#}");
        assert!(faults[0]["operations"].as_u64() > Some(0), "{faults:#}");
        let page = fs::read_to_string(self.path.join("report.html")).expect("it is there");
        assert!(page.contains("Faults and moves under load"));
        faults[0].clone()
    }
}

#[test]
fn workers_of_a_queue_decide_after_the_move_and_every_change_is_announced() {
    let ended = migrated("queued", |_| true);
    assert_eq!(ended.the_move()["said"], "every process was replaced, and queue decides");
    assert!(ended.path.join("logs/queue-worker-0.log").is_file(), "{}", ended.said);
    let verdict = ended.json("verdict.json");
    let findings = verdict["findings"].as_array().expect("findings");
    let announced = findings.iter().find(|finding| finding["invariant"] == "I14");
    assert_eq!(announced.expect("it was judged")["verdict"], "upheld", "{verdict:#}");
}

#[test]
fn reads_come_from_standbys_after_the_move() {
    // A load that ended with the move has no read after it.
    let from_standbys = |ended: &Migrated| {
        ended.json("costs.json")["slot_reads"]["standby"].as_u64().unwrap_or_default()
    };
    let ended = migrated("replicas", |ended| from_standbys(ended) > 0);
    assert_eq!(ended.the_move()["said"], "every process was replaced");
    assert!(from_standbys(&ended) > 0, "{}", ended.said);
}

#[test]
fn a_move_that_cannot_be_made_is_refused_before_anything_is_begun() {
    for (arguments, says) in [
        (["--to", "queued", "--strategy", "seat_rows"], "use --strategy conditional"),
        (["--to", "partitioned", "--strategy", "conditional"], "do not partition the same tables"),
    ] {
        let output = output(&[&["migrate", "--from", "single"], &arguments[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(says), "{said}");
    }
}
