//! Topologies with real servers: standbys that serve reads, what breaks them, and files that are
//! refused.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::{
    native::{left_of, signal, wait_until_it_says},
    stack::{Service, eventually, fresh_database, slotproof, start, until},
};

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) path: PathBuf,
    pub(crate) said: String,
    _runs: tempfile::TempDir,
}

/// A flash sale that sells out and resells within a second on any machine that runs these tests.
pub(crate) const FLASH_SALE: &str = "--clients 60 --capacity 10 --hold 600ms";
/// Slots that are left alone for long enough to be read from standbys.
const MANY_SLOTS: &str = "--scenario steady --think 50ms --clients 40 --slots 20 --capacity 3 \
                          --hold 600ms";
/// Clients that buy, and look at what they bought.
const BUYERS: &str = "--scenario steady --mix browse=1,buy=1 --think 10ms --clients 30 --slots 1 \
                      --capacity 300 --hold 600ms";

pub(crate) fn run(topology: &str, load: &str, more: &[&str]) -> Ended {
    let runs = tempfile::tempdir().expect("a directory");
    let output = slotproof()
        .args(["run", "--strategy", "conditional", "--topology", topology])
        .args(load.split_whitespace())
        .args(more)
        .arg("--runs")
        .arg(runs.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().into();
    Ended { code: output.status.code().expect("it ended by itself"), path, said, _runs: runs }
}

/// A run that ends with this code, or the last of the longer ones.
pub(crate) fn run_until(
    code: i32,
    topology: &str,
    load: &str,
    seconds: u64,
    more: &[&str],
) -> Ended {
    let load = |length: &str| run(topology, load, &[more, &["--duration", length]].concat());
    let ended = until(code, seconds, |ended: &Ended| ended.code, load);
    assert_eq!(ended.code, code, "{}", ended.said);
    ended
}

/// A run of a negative control which this invariant convicts, or the last of the longer ones: a race
/// that one load shows to one invariant another load shows to another.
pub(crate) fn convicted_by(
    invariant: &str,
    topology: &str,
    load: &str,
    seconds: u64,
    more: &[&str],
) -> Ended {
    let load = |length: &str| run(topology, load, &[more, &["--duration", length]].concat());
    let convicted = |ended: &Ended| i32::from(ended.verdict_of(invariant) == "violated");
    let ended = until(1, seconds, convicted, load);
    assert_eq!(ended.verdict_of(invariant), "violated", "{}", ended.said);
    assert_eq!(ended.code, 1, "{}", ended.said);
    ended
}

impl Ended {
    pub(crate) fn json(&self, name: &str) -> Value {
        let text = fs::read(self.path.join(name)).unwrap_or_else(|_| panic!("{}", self.said));
        serde_json::from_slice(&text).expect("it is JSON")
    }

    pub(crate) fn verdict_of(&self, invariant: &str) -> Value {
        let verdict = self.json("verdict.json");
        let findings = verdict["findings"].as_array().expect("findings");
        let finding = findings.iter().find(|it| it["invariant"] == invariant);
        finding.expect("it was judged")["verdict"].clone()
    }

    fn reads_from(&self, source: &str) -> u64 {
        self.json("costs.json")["slot_reads"][source].as_u64().expect("they are counted")
    }
}

#[test]
fn reads_are_served_by_standbys_and_the_run_is_upheld_and_judged_the_same_again() {
    let ended = run_until(0, "replicas", MANY_SLOTS, 2, &[]);
    assert!(ended.reads_from("standby") > 0, "{:#}", ended.json("costs.json"));
    let environment = &ended.json("run.json")["environment"];
    assert_eq!(environment["topology"]["name"], "replicas");
    assert_eq!(environment["topology"]["stale_ms"], 1_000);
    let again = ended.json("run.json")["repeat_command"].to_string();
    assert!(again.contains("--topology replicas"), "{again}");
    let page = fs::read_to_string(ended.path.join("report.html")).expect("it is there");
    for says in ["reads may be 1000 ms old, as declared", "reads of slots from standbys"] {
        assert!(page.contains(says), "{page}");
    }

    let verdict = fs::read(ended.path.join("verdict.json")).expect("it is there");
    let check = slotproof().arg("check").arg(&ended.path).output().expect("the binary runs");
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
    assert_eq!(fs::read(ended.path.join("verdict.json")).expect("it is there"), verdict);
}

#[test]
fn a_standby_that_answers_whatever_its_client_has_seen_is_convicted_by_the_order_of_sessions() {
    let fault = ["--fault", "pause-replay:standby-1@100ms for 1s"];
    let ended = convicted_by("I10", "replica_read_no_token", BUYERS, 3, &fault);
    assert!(ended.said.contains("negative control"), "{}", ended.said);
}

#[test]
fn a_standby_that_stands_still_is_not_asked_for_longer_than_is_declared() {
    let fault = ["--fault", "pause-replay:standby-1@200ms for 3s"];
    let ended = run_until(0, "replicas", FLASH_SALE, 5, &fault);
    let faults = ended.json("faults.json");
    assert_eq!(faults[0]["fault"], "pause-replay:standby-1@200ms for 3s");
    // It was so far behind, and the other one was not.
    let lags = &ended.json("costs.json")["standbys"];
    let mean = |at: usize| lags[at]["bytes_mean"].as_f64().expect("it was looked at");
    assert_eq!((&lags[0]["name"], &lags[1]["name"]), (&"standby-1".into(), &"standby-2".into()));
    assert!(mean(0) > mean(1), "{lags:#}");
    let (began, over) = (faults[0]["began_ms"].as_u64(), faults[0]["ended_ms"].as_u64());
    assert!(over >= began.map(|began| began + 3_000), "{faults:#}");
    assert!(ended.reads_from("primary") > 0, "{:#}", ended.json("costs.json"));
}

#[test]
fn commits_wait_for_a_standby_and_reads_do_without_one_that_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let replicas = include_str!("../../stack/topologies/replicas.toml");
    let text = replicas
        .replace("name = \"replicas\"", "name = \"any_of_two\"")
        .replace("synchronous = \"none\"", "synchronous = \"any 1\"");
    let file = directory.path().join("any_of_two.toml");
    fs::write(&file, text).expect("it is written");
    let topology = file.to_str().expect("plain");
    let fault = ["--fault", "kill:standby-2@200ms for 1s"];
    let ended = run_until(0, topology, MANY_SLOTS, 4, &fault);
    assert!(ended.reads_from("standby") > 0, "{:#}", ended.json("costs.json"));
    let again = ended.json("run.json")["repeat_command"].to_string();
    let topology = format!("--topology {}", file.display());
    assert!(again.contains(&topology) && again.contains("kill:standby-2"), "{again}");
}

#[tokio::test]
async fn a_killed_run_leaves_no_standby_behind() {
    let runs = tempfile::tempdir().expect("a directory");
    let words = "run --strategy conditional --clients 5 --duration 60s --topology replicas --runs";
    let mut command = slotproof();
    command.args(words.split(' ')).arg(runs.path()).stderr(Stdio::piped());
    let mut child = start(&mut command);
    let _stderr = wait_until_it_says(&mut child, "  load ");
    let standbys = |left: Vec<String>| left.iter().any(|it| it.contains("servers/standby-2"));
    assert!(standbys(left_of(runs.path())), "{:?}", left_of(runs.path()));
    signal(&child, Signal::KILL);
    child.wait().expect("it ends");
    eventually("every process has ended", async || left_of(runs.path()).is_empty()).await;
}

#[tokio::test]
async fn a_row_is_shown_if_its_transaction_is_in_the_snapshot_also_after_a_wraparound() {
    let url = fresh_database().await;
    let variables = [("SLOTPROOF_DATABASE_URL", url.as_str())];
    let _service = Service::start_with("conditional", &variables).await;
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let around = "4294967300:4294967310:4294967305";
    for (row, snapshot, expected) in [
        ("5", "10:20:12", true),
        ("12", "10:20:12", false),
        ("13", "10:20:12", true),
        ("20", "10:20:12", false),
        ("25", "10:20:12", false),
        ("4294967290", around, true),
        ("8", around, true),
        ("9", around, false),
        ("14", around, false),
    ] {
        let shown = sqlx::query_scalar("select is_shown($1::text::xid, $2::text::pg_snapshot)");
        let shown: bool =
            shown.bind(row).bind(snapshot).fetch_one(&mut database).await.expect("an answer");
        assert_eq!(shown, expected, "{row} in {snapshot}");
    }
}

/// Exit code 64 and the reason, before anything is begun.
pub(crate) fn refused(arguments: &[&str], says: &str) {
    let runs = tempfile::tempdir().expect("a directory");
    let output =
        slotproof().args(arguments).arg("--runs").arg(runs.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
    assert!(said.contains(says), "{arguments:?} does not say {says}: {said}");
    assert_eq!(fs::read_dir(runs.path()).expect("it is there").count(), 0, "{arguments:?}");
}

#[test]
fn a_topology_that_cannot_be_had_is_refused_before_anything_is_begun() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.toml");
    let path = file.to_str().expect("plain");
    let standby = "[[components]]\nname = \"s\"\nkind = \"postgresql_standby\"\nof = \"db\"\n";
    let text = |more: &str| {
        let head = "name = \"bad\"\nsummary = \"s\"\n[[components]]\nname = \"db\"\nkind = \"postgresql\"\n";
        format!("{head}{more}")
    };
    let on = ["run", "--strategy", "conditional", "--topology"];
    for (more, says) in [
        (standby.replace("of = \"db\"", ""), "`s` follows no component"),
        (format!("{standby}[service]\ndatabase = \"db\"\nreads = [\"r\"]\n"), "reads = \"r\""),
        (format!("{standby}[service]\ndatabase = \"db\"\ncache = \"r\"\n"), "cache = \"r\""),
    ] {
        let service =
            if more.contains("[service]") { "" } else { "[service]\ndatabase = \"db\"\n" };
        write(&file, &text(&format!("{more}{service}")));
        refused(&[&on[..], &[path]].concat(), says);
    }
    write(&file, &text("[service]\ndatabase = \"db\"\n"));
    let needy = ["run", "--strategy", "queue", "--topology", path];
    refused(&needy, "queue needs [service] queue, which the topology `bad` does not have");

    refused(
        &[&on[..], &["replica"]].concat(),
        "single, without_queue, replicas, replicas_synchronous",
    );
    let url = "postgres://u@127.0.0.1:1/x";
    let external = ["replicas", "--environment", "external", "--postgres-url", url];
    for elsewhere in [&["replicas", "--environment", "containers"][..], &external] {
        refused(&[&on[..], elsewhere].concat(), "only the native environment can start");
    }
    let fault = ["single", "--fault", "pause-replay:standby-1@1s for 1s"];
    refused(&[&on[..], &fault].concat(), "`single` has no component that it can act on");
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("it is written");
}

#[test]
fn the_topologies_are_listed_with_their_components() {
    let output = slotproof().args(["topologies", "--json"]).output().expect("the binary runs");
    let listed: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let replicas = listed.as_array().expect("a list").iter().find(|it| it["name"] == "replicas");
    let replicas = replicas.expect("it is listed");
    assert_eq!(replicas["components"][1]["name"], "standby-1");
    assert_eq!(replicas["components"][1]["of"], "postgresql");
    assert_eq!(replicas["negative_control"], false);
    let output = slotproof().arg("topologies").output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("standby-2    postgresql_standby of postgresql"), "{said}");
}
