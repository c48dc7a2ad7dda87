//! Requests and events on their way through RabbitMQ, with processes and servers dying beside them.

use std::{fs, path::PathBuf, process::Output};

use lapin::{BasicProperties, Connection, ConnectionProperties, options::BasicPublishOptions};
use serde_json::{Value, json};

use crate::{
    broker::fresh_virtual_host,
    stack::{Service, eventually, fresh_database, output, problem, slotproof, until},
};

/// A run on servers of its own that ends with this code, or the last one; its directory.
fn run(code: i32, strategy: &str, seconds: u64, more: &str) -> (PathBuf, tempfile::TempDir) {
    let runs = tempfile::tempdir().expect("a directory");
    let load = |length: &str| {
        let mut command = slotproof();
        command.args(["run", "--strategy", strategy, "--duration", length]);
        command.args("--clients 150 --capacity 20 --hold 1s".split(' ')).args(more.split(' '));
        command.arg("--runs").arg(runs.path()).output().expect("the binary runs")
    };
    let ended_with = |ended: &Output| ended.status.code().expect("it ended by itself");
    let output = until(code, seconds, ended_with, load);
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(path.is_dir(), "no run directory: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{:#}", verdicts(&path));
    (path, runs)
}

fn verdicts(run: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("verdict.json")).expect("it was judged"))
        .expect("it is JSON")
}

fn report(run: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("run.json")).expect("it was reported"))
        .expect("it is JSON")
}

/// CPU milliseconds that a group of processes used from this second of the load on.
fn cpu_ms_from(run: &std::path::Path, group: &str, second: u64) -> u64 {
    let report = report(run);
    let groups = report["resources"].as_array().expect("groups");
    let group = groups.iter().find(|it| it["group"] == group).expect("it was accounted for");
    let seconds = group["cpu_ms_by_second"].as_array().expect("seconds");
    let from = seconds.iter().filter(|it| it[0].as_u64().expect("a second") >= second);
    from.map(|it| it[1].as_u64().expect("milliseconds")).sum()
}

#[test]
fn what_workers_retry_and_what_the_broker_computes_is_counted() {
    let (run, _runs) = run(0, "queue", 4, "--errors-max 5%");
    // The processes that answer only publish: whoever tries again is a worker.
    let costs = &report(&run)["costs"];
    assert!(costs["retries"].as_u64().expect("a number") > 0, "{costs:#}");
    // Its launcher only waits; the node that computes is a child of it.
    assert!(cpu_ms_from(&run, "rabbitmq", 0) > 100, "{:#}", report(&run)["resources"]);
}

#[test]
fn a_killed_worker_and_a_broker_that_goes_away_lose_and_double_nothing() {
    // While the broker is away nothing is decided.
    let faults = "--fault kill-worker@2s --fault restart-rabbitmq@4s --errors-max 100%";
    let (run, _runs) = run(0, "queue", 9, faults);
    let injected: Value =
        serde_json::from_slice(&fs::read(run.join("faults.json")).expect("they are noted"))
            .expect("JSON");
    assert_eq!(injected.as_array().map(Vec::len), Some(2));
    assert!(cpu_ms_from(&run, "rabbitmq", 6) > 0, "{:#}", report(&run)["resources"]);
}

#[test]
fn a_lock_that_is_too_short_and_a_redis_that_restarts_do_not_overbook() {
    // While Redis is away nothing is decided: a service that is right and does not answer is neither
    // green nor red.
    let fault = "--lock-ttl 2ms --fault restart-redis@3s --errors-max 0%";
    let (run, _runs) = run(3, "redis_lock", 6, fault);
    assert!(cpu_ms_from(&run, "redis", 4) > 0, "{:#}", report(&run)["resources"]);
    assert_eq!(verdicts(&run)["verdict"], "upheld");
    let objective = &report(&run)["objectives"][0];
    assert_eq!(objective["met"], false, "{objective:#}");
    assert_eq!(
        slotproof().arg("check").arg(&run).output().expect("it runs").status.code(),
        Some(3)
    );
    let page = fs::read_to_string(run.join("report.md")).expect("it is there");
    assert!(page.contains("upheld, objective missed"), "{page}");
    let junit = fs::read_to_string(run.join("junit.xml")).expect("it is there");
    assert!(junit.contains("operations without a decision"), "{junit}");
}

#[tokio::test]
async fn a_message_that_is_not_ours_goes_to_the_dead_letters_and_can_be_sent_again() {
    let (database_url, amqp_url) = (fresh_database().await, &fresh_virtual_host().await);
    let urls =
        [("SLOTPROOF_DATABASE_URL", database_url.as_str()), ("SLOTPROOF_AMQP_URL", amqp_url)];
    let service = Service::start_with("queue", &urls).await;
    eventually("the service is ready", async || service.get("/readyz").await.status() == 200).await;
    let connection =
        Connection::connect(amqp_url, ConnectionProperties::default()).await.expect("the broker");
    let channel = connection.create_channel().await.expect("a channel");
    let options = BasicPublishOptions::default();
    let published = channel.basic_publish(
        "".into(),
        "booking.requests".into(),
        options,
        b"not ours",
        BasicProperties::default(),
    );
    published.await.expect("published").await.expect("taken");

    let list = || output(&["dead-letters", "list", "--amqp-url", amqp_url]);
    let found = |listed: &Output| {
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .collect::<Vec<_>>()
    };
    let expected = json!({"queue": "booking.requests", "reason": "rejected", "body": "not ours"});
    eventually("it is dead", async || found(&list()).contains(&expected)).await;

    let replayed = output(&["dead-letters", "replay", "--amqp-url", amqp_url]);
    assert!(replayed.status.success() && found(&replayed).contains(&expected), "{replayed:?}");
    eventually("it has died again", async || found(&list()).contains(&expected)).await;

    let slot = service.slot(1).await;
    service.hold(&slot, 1, "k").await;
    assert_eq!(problem(service.reserve(&slot, 1, "k2").await).await, (409, "sold_out".to_owned()));
}

#[tokio::test]
async fn without_a_broker_nobody_can_reserve_and_everybody_is_told_why() {
    let nowhere = ("SLOTPROOF_AMQP_URL", "amqp://nobody:nothing@127.0.0.1:1/%2f");
    assert_unavailable("queue", nowhere).await;
}

#[tokio::test]
async fn without_a_redis_nobody_can_reserve_and_everybody_is_told_why() {
    assert_unavailable("redis_lock", ("SLOTPROOF_REDIS_URL", "redis://127.0.0.1:1/")).await;
}

async fn assert_unavailable(strategy: &str, nowhere: (&str, &str)) {
    let unavailable = (503, "unavailable".to_owned());
    let url = fresh_database().await;
    let urls = [("SLOTPROOF_DATABASE_URL", url.as_str()), nowhere];
    let service = Service::start_with(strategy, &urls).await;
    assert_eq!(problem(service.get("/readyz").await).await, unavailable);
    let slot = service.slot(1).await;
    assert_eq!(problem(service.reserve(&slot, 1, "k").await).await, unavailable);
    assert_eq!(service.read(&slot).await.version, 0);
}
