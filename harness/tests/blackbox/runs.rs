//! Whole runs on the shared database: verdicts, and what can be repeated from a run directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use slotproof_vocabulary::{Span, StrategyKind};

use crate::{
    broker::fresh_virtual_host,
    stack::{endpoints, fresh_database, slotproof},
};

/// Loads within which a negative control has to show.
const LOADS_MAX: usize = 5;

/// A short run of many clients for few seats; answers with its exit code and its directory.
pub(crate) async fn run(strategy: &str, more: &[&str]) -> (i32, PathBuf, tempfile::TempDir) {
    let runs = tempfile::tempdir().expect("a directory");
    let database_url = fresh_database().await;
    let mut command = slotproof();
    command.args(["run", "--strategy", strategy]);
    let usual =
        [("--clients", "150"), ("--duration", "4s"), ("--hold", "1s"), ("--capacity", "20")];
    for (flag, value) in usual.into_iter().filter(|(flag, _)| !more.contains(flag)) {
        command.args([flag, value]);
    }
    command.args(["--environment", "external", "--runs"]).arg(runs.path()).args(more);
    command
        .env("SLOTPROOF_POSTGRES_URL", database_url)
        .env("SLOTPROOF_REDIS_URL", &endpoints().await.redis_url);
    let kind: StrategyKind = strategy.parse().expect("a strategy");
    // Without a broker nothing is announced.
    if kind.needs_rabbitmq() || kind == StrategyKind::AnnounceApart {
        command.env("SLOTPROOF_AMQP_URL", fresh_virtual_host().await);
    }
    let output = command.output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let last =
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let said: Option<Value> = serde_json::from_str(&last).ok();
    let path = said.and_then(|event| Some(event["run"].as_str()?.to_owned())).unwrap_or(last);
    let path = PathBuf::from(path);
    assert!(path.is_dir(), "no run directory: {stderr}");
    (output.status.code().expect("it ended by itself"), path, runs)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file is there")).expect("it is JSON")
}

fn verdict_of(run: &Path, invariant: &str) -> Value {
    let verdict = json(&run.join("verdict.json"));
    let findings = verdict["findings"].as_array().expect("findings");
    findings
        .iter()
        .find(|finding| finding["invariant"] == invariant)
        .expect("it was judged")
        .clone()
}

fn check(run: &Path) -> Output {
    slotproof().arg("check").arg(run).output().expect("the binary runs")
}

with_safe_strategies!(one_test_each a_safe_strategy_is_upheld);

async fn a_safe_strategy_is_upheld(strategy: &str) {
    assert_upheld(strategy, &[]).await;
}

/// A machine that does little in a second gets a longer load.
async fn assert_upheld(strategy: &str, more: &[&str]) {
    let until_covered = [more, &["--until", "covered"]].concat();
    let (code, run, _runs) = run(strategy, &until_covered).await;
    let verdict = json(&run.join("verdict.json"));
    assert_eq!(code, 0, "{strategy} {more:?}: {verdict:#}");
    assert_eq!(verdict["verdict"], "upheld");
}

#[tokio::test]
async fn a_run_that_is_too_short_to_be_covered_goes_on_until_it_is() {
    // Three clients with a pause cannot buy thirty seats in 300 ms; in some seconds they do.
    let words = "--scenario steady --mix buy=1 --clients 3 --slots 1 --capacity 30 --think 100ms \
                 --duration 300ms --hold 500ms";
    let more: Vec<&str> = words.split_whitespace().collect();
    let (code, alone, _runs) = run("conditional", &more).await;
    let report = json(&alone.join("run.json"));
    assert_eq!((code, &report["verdict"]["verdict"]), (2, &Value::from("unknown")));

    let covered = [&more[..], &["--until", "covered"]].concat();
    let (code, last, _runs) = run("conditional", &covered).await;
    let report = json(&last.join("run.json"));
    assert_eq!(code, 0, "{:#}", report["verdict"]);
    let shorter = report["shorter"].as_array().expect("loads before it");
    assert_eq!(report["plan"]["duration"], Span::of_ms(300 << shorter.len()).to_string());
    let first = last.parent().expect("the runs").join(shorter[0]["run"].as_str().expect("a name"));
    assert_eq!(verdict_of(&first, "I15")["verdict"], "unknown", "a run of its own, kept");
    assert_eq!(check(&last).status.code(), Some(0), "it names its shorter loads and is whole");
    let page = fs::read_to_string(last.join("report.md")).expect("it is there");
    assert!(page.contains("that did not reach what I15 asks for"), "{page}");
}

/// Every scenario is upheld by a safe strategy, and worth judging.
mod a_scenario_is_upheld {
    use super::assert_upheld;

    #[tokio::test]
    async fn steady() {
        let more = ["--scenario", "steady", "--think", "100ms", "--slots", "2"];
        assert_upheld("conditional", &more).await;
    }

    #[tokio::test]
    async fn hot_and_cold() {
        let more = ["--scenario", "hot_and_cold", "--think", "100ms", "--slots", "50"];
        assert_upheld("conditional", &more).await;
    }

    #[tokio::test]
    async fn abandoned_holds() {
        let more = ["--scenario", "abandoned_holds", "--think", "100ms", "--hold", "500ms"];
        assert_upheld("conditional", &more).await;
    }

    /// A patience of a few milliseconds, so that some of the answers come too late for it; and so
    /// few seats that a busy machine, which answers few of the calls, sells them out too.
    #[tokio::test]
    async fn retry_storm() {
        let scenario =
            ["--scenario", "retry_storm", "--slots", "1", "--capacity", "5", "--clients", "60"];
        let more = ["--think", "20ms", "--resend", "3ms", "--warm-up", "1s"];
        assert_upheld("conditional", &[&scenario[..], &more].concat()).await;
    }
}

#[tokio::test]
async fn an_open_load_is_upheld_and_every_arrival_is_made() {
    let more = [
        "--scenario",
        "steady",
        "--rate",
        "60/s",
        "--arrivals",
        "poisson",
        "--slots",
        "2",
        "--capacity",
        "10",
        "--lag-limit",
        "10s",
    ];
    let (code, run, _runs) = run("grouped", &more).await;
    assert_eq!(code, 0, "{:#}", json(&run.join("verdict.json")));
    let arrivals = json(&run.join("run.json"))["totals"]["arrivals"].clone();
    assert_eq!((&arrivals["asked"], &arrivals["made"]), (&Value::from(240), &Value::from(240)));
    let log = fs::read_to_string(run.join("latency.hlog")).expect("there is one");
    assert!(log.contains("Tag=reserve.ok.response,"), "{log}");
}

#[tokio::test]
async fn a_generator_that_cannot_keep_its_schedule_is_unknown_and_not_a_slow_service() {
    let more = [
        "--scenario",
        "steady",
        "--rate",
        "500/s",
        "--clients",
        "1",
        "--duration",
        "2s",
        "--slots",
        "1",
    ];
    let (code, run, _runs) = run("conditional", &more).await;
    assert_eq!(code, 2);
    let worth = verdict_of(&run, "I15");
    assert!(
        worth["summary"].as_str().expect("a sentence").contains("load generator saturated"),
        "{worth:#}"
    );
}

#[tokio::test]
async fn a_program_is_told_what_happens_as_lines_of_json_and_the_verdict_last() {
    let (code, run, _runs) = run("conditional", &["--json", "--until", "covered"]).await;
    assert_eq!(code, 0);
    assert!(run.join("report.html").is_file());
}

with_controls_shown_by_load!(one_test_each a_negative_control_is_convicted);

async fn a_negative_control_is_convicted(strategy: &str) {
    // A race need not be run by every load: the next one has another seed and lasts twice as long.
    let mut codes = Vec::new();
    while codes.len() < LOADS_MAX && codes.last() != Some(&1) {
        let seed = (codes.len() + 1).to_string();
        let duration = format!("{}s", 4 << codes.len());
        // Enough seats for both calls of a double click to find one, too few for everybody.
        let more = ["--capacity", "60", "--seed", &seed, "--duration", &duration];
        codes.push(run(strategy, &more).await.0);
    }
    assert_eq!(codes.last(), Some(&1), "{codes:?}");
}

#[tokio::test]
async fn an_announcement_of_what_was_not_committed_is_convicted() {
    let (code, run, _runs) = run("announce_apart", &[]).await;
    assert_eq!(code, 1);
    let announced = verdict_of(&run, "I14");
    assert_eq!(announced["verdict"], "violated", "{announced:#}");
}

one_test_each! { (the_witness_of_an_overbooking_can_be_counted) off_by_one one_seat_check }

async fn the_witness_of_an_overbooking_can_be_counted(strategy: &str) {
    let (code, run, _runs) = run(strategy, &[]).await;
    assert_eq!(code, 1);
    let promised = verdict_of(&run, "I1");
    assert_eq!(promised["verdict"], "violated");
    let operations = promised["witness"]["operations"].as_array().expect("operations");
    let instant = promised["witness"]["instant_ns"].as_u64().expect("an instant");
    let seats: u64 =
        operations.iter().map(|shown| shown["operation"]["seats"].as_u64().expect("seats")).sum();
    assert!(seats > 20, "{seats} seats are no more than the slot has");
    for shown in operations {
        assert!(shown["operation"]["returned_ns"].as_u64().expect("an instant") <= instant);
    }
    let html = fs::read_to_string(run.join("report.html")).expect("there is a report");
    assert!(html.contains("violated") && html.contains("I1"));
    assert!(fs::read_to_string(run.join("junit.xml")).expect("there is one").contains("<failure"));
}

#[tokio::test]
async fn everything_after_the_load_is_repeated_from_the_run_directory() {
    let (_, run, _runs) = run("off_by_one", &[]).await;
    let names =
        ["verdict.json", "run.json", "report.html", "report.md", "junit.xml", "latency.hgrm"];
    let read = || names.map(|name| fs::read(run.join(name)).expect("the file is there"));
    let first = read();
    assert_eq!(check(&run).status.code(), Some(1));
    for arguments in [vec!["report"], vec!["report", "--from-history"]] {
        for name in ["report.html", "report.md"] {
            fs::remove_file(run.join(name)).expect("it is there");
        }
        let status =
            slotproof().args(arguments).arg(&run).output().expect("the binary runs").status;
        assert_eq!(status.code(), Some(0));
        for ((name, first), second) in names.iter().zip(&first).zip(read()) {
            assert!(*first == second, "{name} is not the same");
        }
    }
}

/// The history of a run, one JSON object a line.
fn lines(run: &Path) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("history.jsonl");
    let mut convert = slotproof();
    convert.args(["history", "convert"]).arg(run.join("history.sph")).arg(&file);
    let output = convert.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(file).expect("it was written")
}

#[tokio::test]
async fn a_history_that_breaks_off_upholds_nothing_and_a_damaged_one_is_refused() {
    let (code, run, _runs) = run("conditional", &["--until", "covered"]).await;
    assert_eq!(code, 0);
    // What a run leaves that is killed before its end.
    for name in ["manifest.json", "load.json"] {
        fs::remove_file(run.join(name)).expect("it is there");
    }
    let text = lines(&run).into_bytes();
    let history = run.join("history.sph");
    let whole = fs::read(&history).expect("it is there");

    fs::write(&history, &whole[..whole.len() / 2]).expect("it can be written");
    assert_eq!(check(&run).status.code(), Some(2), "half of the file");
    assert!(
        verdict_of(&run, "I1")["summary"]
            .as_str()
            .expect("a sentence")
            .contains("breaks off after line")
    );

    let mut damaged = whole.clone();
    *damaged.last_mut().expect("it is not empty") ^= 1;
    fs::write(&history, &damaged).expect("it can be written");
    let refused = check(&run);
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is damaged: its checksum differs"));

    // A run of an older version has lines of JSON.
    fs::remove_file(&history).expect("it is there");
    let history = run.join("history.jsonl.zst");
    let whole = zstd::encode_all(&text[..], 1).expect("it compresses");

    let first_lines = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(99)
        .expect("a hundred lines")
        .0
        + 1;
    fs::write(&history, zstd::encode_all(&text[..first_lines], 1).expect("it compresses"))
        .expect("it can be written");
    assert_eq!(check(&run).status.code(), Some(2), "whole lines, but not all of them");

    let mut damaged = text.clone();
    damaged[10] = b'\x07';
    fs::write(&history, zstd::encode_all(&damaged[..], 1).expect("it compresses"))
        .expect("it can be written");
    let refused = check(&run);
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 1 is not an operation"));

    fs::write(&history, &whole).expect("it can be written");
    fs::write(run.join("audit.jsonl"), "{}\n").expect("it can be written");
    let refused = check(&run);
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 1 of"));
}

#[tokio::test]
async fn the_final_rows_are_read_after_the_last_operation_has_returned() {
    let (_, run, _runs) = run("conditional", &["--duration", "1s"]).await;
    let operations = lines(&run);
    let operations = operations.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let returned = operations.map(|it: Value| it["returned_ns"].as_u64().expect("an instant"));
    let last_ns = returned.max().expect("operations");
    let read_ns = json(&run.join("end_state.json"))["read_ns"].as_u64().expect("an instant");
    let later = read_ns.checked_sub(last_ns).expect("the rows are read later");
    assert!(later < 60_000_000_000, "on another clock: {later} ns later");
}

#[tokio::test]
async fn a_finished_run_is_judged_only_as_it_was_recorded() {
    let (code, run, _runs) = run("conditional", &["--until", "covered"]).await;
    assert_eq!(code, 0);
    let verdict = fs::read(run.join("verdict.json")).expect("it is there");
    let refused = |arguments: &[&str], name: &str| {
        let output = slotproof().args(arguments).arg(&run).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?} without {name}: {said}");
        assert!(said.contains(name), "{arguments:?} does not say {name}: {said}");
        said
    };
    let manifest = json(&run.join("manifest.json"));
    let listed = manifest["files"].as_object().expect("files").keys();
    let names: Vec<&str> = listed.map(String::as_str).chain(["manifest.json"]).collect();
    for judged in ["plan.json", "history.sph", "audit.jsonl", "end_state.json", "load.json"] {
        assert!(names.contains(&judged), "{names:?}");
    }
    for name in names {
        let path = run.join(name);
        let whole = fs::read(&path).expect("it is there");
        fs::remove_file(&path).expect("it is there");
        for arguments in [&["check"][..], &["report"], &["report", "--from-history"]] {
            refused(arguments, name);
        }
        if name != "manifest.json" {
            let mut edited = whole.clone();
            *edited.last_mut().expect("it is not empty") ^= 1;
            fs::write(&path, edited).expect("it can be written");
            assert!(refused(&["check"], name).contains("its SHA-256 is"));
        }
        fs::write(&path, whole).expect("it can be written");
    }
    assert_eq!(check(&run).status.code(), Some(0));
    assert_eq!(fs::read(run.join("verdict.json")).expect("it is there"), verdict);
}

#[tokio::test]
async fn a_run_that_was_never_sold_out_is_unknown() {
    let runs = tempfile::tempdir().expect("a directory");
    let mut command = slotproof();
    command.args([
        "run",
        "--strategy",
        "conditional",
        "--clients",
        "2",
        "--capacity",
        "1000",
        "--duration",
        "1s",
        "--hold",
        "1s",
    ]);
    command.args(["--environment", "external", "--runs"]).arg(runs.path());
    let output = command
        .env("SLOTPROOF_POSTGRES_URL", fresh_database().await)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no client was told sold_out"));
}

#[tokio::test]
async fn a_database_that_is_not_ours_is_left_alone() {
    use sqlx::{Connection, PgConnection};
    let url = fresh_database().await;
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    sqlx::query("create table bookings (id integer primary key, guest text)")
        .execute(&mut database)
        .await
        .expect("a table");
    sqlx::query("insert into bookings values (1, 'somebody')")
        .execute(&mut database)
        .await
        .expect("a row");

    let runs = tempfile::tempdir().expect("a directory");
    let mut command = slotproof();
    command
        .args(["run", "--strategy", "conditional", "--environment", "external", "--runs"])
        .arg(runs.path());
    let output = command.env("SLOTPROOF_POSTGRES_URL", &url).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("nothing was changed"), "{stderr}");

    let tables: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.tables where table_schema = 'public'",
    )
    .fetch_one(&mut database)
    .await
    .expect("a count");
    let guest: String = sqlx::query_scalar("select guest from bookings")
        .fetch_one(&mut database)
        .await
        .expect("the row");
    assert_eq!((tables, guest.as_str()), (1, "somebody"));
}
