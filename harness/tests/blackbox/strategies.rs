//! What single strategies promise beyond what all of them do.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::{
    broker::fresh_virtual_host,
    stack::{Service, endpoints, eventually, fresh_database, problem, slotproof},
};

#[tokio::test]
async fn an_urgent_request_is_decided_before_those_that_wait_longer() {
    let (database_url, amqp_url) = (fresh_database().await, fresh_virtual_host().await);
    let urls = [
        ("SLOTPROOF_DATABASE_URL", database_url.as_str()),
        ("SLOTPROOF_AMQP_URL", amqp_url.as_str()),
    ];
    let edge = Service::start_with("queue", &[urls[0], urls[1], ("SLOTPROOF_WORKERS", "0")]).await;
    eventually("the edge is ready", async || edge.get("/readyz").await.status() == 200).await;
    let slot = edge.slot(20).await;
    let path = edge.url(&format!("/v1/slots/{}/bookings", slot.id));
    for number in 0..100 {
        let key = format!("normal-{number}");
        let request =
            edge.http.post(&path).header("idempotency-key", key).json(&json!({"seats": 1}));
        assert_eq!(request.send().await.expect("an answer").status(), 202);
    }
    let request = edge
        .http
        .post(&path)
        .header("idempotency-key", "urgent")
        .json(&json!({"seats": 1, "urgent": true}));
    assert_eq!(request.send().await.expect("an answer").status(), 202);

    let _worker =
        Service::start_with("queue", &[urls[0], urls[1], ("SLOTPROOF_WORKERS", "1")]).await;
    let ask = async |key: &str| {
        let question = edge.http.get(format!("{path}?seats=1")).header("idempotency-key", key);
        question.send().await.expect("an answer").status().as_u16()
    };
    eventually("the last one is decided", async || ask("normal-99").await != 202).await;
    assert_eq!((ask("normal-99").await, ask("urgent").await), (409, 201));
}

#[tokio::test]
async fn a_policy_says_which_path_a_hybrid_takes() {
    let directory = tempfile::tempdir().expect("a directory");
    let policy = directory.path().join("policy.toml");
    let text = "optimistic_tries = 3\nhigh_value_seats = 4\nurgent_is_high_value = true\nmulti_region = true\n";
    std::fs::write(&policy, text).expect("it is written");
    let policy = policy.to_str().expect("plain");
    let (database_url, amqp_url) = (fresh_database().await, fresh_virtual_host().await);
    let urls = [
        ("SLOTPROOF_DATABASE_URL", database_url.as_str()),
        ("SLOTPROOF_AMQP_URL", amqp_url.as_str()),
        ("SLOTPROOF_POLICY", policy),
    ];

    let everywhere = Service::start_with(
        "hybrid",
        &[urls[0], urls[1], urls[2], ("SLOTPROOF_REDIS_URL", &endpoints().await.redis_url)],
    )
    .await;
    let here = Service::start_with("hybrid", &urls[..2]).await;
    let slot = here.slot(50).await;
    for (service, seats, path) in
        [(&everywhere, 1, "redis_lock"), (&here, 1, "optimistic"), (&here, 4, "pessimistic")]
    {
        service.hold(&slot, seats, path).await;
        let metrics = service.get("/metrics").await.text().await.expect("text");
        assert!(
            metrics.contains(&format!("reserves_by_path_total{{path=\"{path}\"}} 1")),
            "{path}: {metrics}"
        );
    }

    let mut command = slotproof();
    command.args(["serve", "--strategy", "hybrid", "--listen", "127.0.0.1:0"]).envs(urls);
    let refused = command.output().expect("it runs");
    assert_eq!(refused.status.code(), Some(69), "several regions need a Redis");
    std::fs::write(directory.path().join("policy.toml"), format!("{text}retries = 3\n"))
        .expect("it is written");
    assert_eq!(command.output().expect("it runs").status.code(), Some(64), "an unknown word");
    assert_eq!(
        problem(here.reserve(&slot, 101, "many").await).await,
        (422, "invalid_field".to_owned())
    );
}

/// Requests hand connections to each other, and what asks the pool itself still gets its turn.
#[tokio::test]
async fn one_connection_serves_many_reserves_at_once_and_everything_else_meanwhile() {
    let url = fresh_database().await;
    let variables = [("SLOTPROOF_DATABASE_URL", url.as_str()), ("SLOTPROOF_CONNECTIONS", "1")];
    let service = Service::start_with("conditional", &variables).await;
    let slot = service.slot(400).await;
    let keys: Vec<String> = (0..400).map(|number| format!("key-{number}")).collect();
    let reserving = join_all(
        keys.iter().map(async |key| service.reserve(&slot, 1, key).await.status().as_u16()),
    );
    let listing = async {
        for _ in 0..5 {
            assert_eq!(service.get("/v1/slots").await.status(), 200);
        }
    };
    let abandoning = async {
        for number in 0..20 {
            let key = format!("abandoned-{number}");
            let reserve = service.reserve(&slot, 1, &key);
            let _ = tokio::time::timeout(Duration::from_millis(3), reserve).await;
        }
    };
    let (statuses, (), ()) = tokio::join!(reserving, listing, abandoning);
    // A request that was given up on may have got a seat before.
    let booked = statuses.iter().filter(|status| **status == 201).count();
    assert!(booked >= 380 && statuses.iter().all(|status| [201, 409].contains(status)));
    let read = service.read(&slot).await;
    assert_eq!((read.available_seats, read.pending_seats), (0, 400));
}
