//! What single strategies promise beyond what all of them do.

use futures::future::join_all;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    broker::fresh_virtual_host,
    stack::{Service, endpoints, eventually, fresh_database, problem, slotproof},
};

/// A `grouped` service on a database that does `what` to a booking with the key `poison`.
async fn grouped_with_poison(when: &str, what: &str) -> (Service, PgConnection) {
    let database_url = fresh_database().await;
    let service =
        Service::start_with("grouped", &[("SLOTPROOF_DATABASE_URL", &database_url)]).await;
    let mut database = PgConnection::connect(&database_url).await.expect("the server answers");
    let trap = format!(
        "
        create function trap() returns trigger language plpgsql as $$
        begin
            if new.idempotency_key = 'poison' then {what} end if;
            return new;
        end $$;
        create constraint trigger trap after insert on bookings {when} for each row execute function trap();
        "
    );
    sqlx::raw_sql(AssertSqlSafe(trap)).execute(&mut database).await.expect("a trigger");
    (service, database)
}

/// Reserves by many at once, so that they share transactions; the keys that were told 201, and the
/// status of `poison`.
async fn reserve_all(service: &Service) -> (Vec<String>, u16) {
    let slot = service.slot(1_000).await;
    let keys: Vec<String> =
        (0..60).map(|n| if n == 30 { "poison".to_owned() } else { format!("key-{n}") }).collect();
    let statuses = join_all(
        keys.iter().map(async |key| service.reserve(&slot, 1, key).await.status().as_u16()),
    )
    .await;
    let booked = keys
        .iter()
        .zip(&statuses)
        .filter(|(_, status)| **status == 201)
        .map(|(key, _)| key.clone());
    (booked.collect(), statuses[30])
}

async fn rows(database: &mut PgConnection) -> Vec<String> {
    let query = "select idempotency_key from bookings order by idempotency_key";
    sqlx::query_scalar(query).fetch_all(database).await.expect("rows")
}

/// A batch that miscounts is refused by the database's constraint and decided one by one, rightly:
/// only the counters tell.
#[tokio::test]
async fn requests_that_wait_together_are_decided_together() {
    let service = Service::start("grouped", "1m").await;
    let slot = service.slot(10).await;
    let keys: Vec<String> = (0..60).map(|n| format!("key-{n}")).collect();
    let statuses = join_all(
        keys.iter().map(async |key| service.reserve(&slot, 1, key).await.status().as_u16()),
    )
    .await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 10);
    let metrics = service.get("/metrics").await.text().await.expect("text");
    let shared = metrics
        .lines()
        .find_map(|line| line.strip_prefix("grouped_requests_total ")?.parse::<u32>().ok());
    assert!(shared.is_some_and(|shared| shared >= 20), "{shared:?} of 60 shared a transaction");
}

#[tokio::test]
async fn a_request_that_the_database_refuses_takes_no_other_of_its_batch_with_it() {
    let (service, mut database) =
        grouped_with_poison("", "raise exception 'no such patient';").await;
    let (mut booked, poison) = reserve_all(&service).await;
    assert_eq!((booked.len(), poison), (59, 500));
    booked.sort();
    assert_eq!(rows(&mut database).await, booked);
}

#[tokio::test]
async fn a_connection_lost_at_commit_acknowledges_nobody_whose_booking_is_not_there() {
    let dies = "perform pg_terminate_backend(pg_backend_pid());";
    let (service, mut database) = grouped_with_poison("deferrable initially deferred", dies).await;
    let (booked, poison) = reserve_all(&service).await;
    assert_eq!(poison, 500, "nobody knows");
    let rows = rows(&mut database).await;
    assert!(
        booked.iter().all(|key| rows.contains(key)),
        "{booked:?} were told 201, and there are {rows:?}"
    );
    assert!(!rows.contains(&"poison".to_owned()));
}

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
