//! The strategies that decide many requests in one transaction, beyond what all strategies promise.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use slotproof_vocabulary::{SlotId, reference_api::SlotBody};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};

use crate::stack::{Service, eventually, fresh_database, problem};

/// Calls a macro with arguments and every strategy whose requests wait in lanes.
macro_rules! with_lanes {
    ($then:ident $($arguments:tt)*) => {
        $then! { ($($arguments)*) grouped batched }
    };
}

pub(crate) async fn with_database(strategy: &str) -> (Service, PgConnection) {
    let url = fresh_database().await;
    let service = Service::start_with(strategy, &[("SLOTPROOF_DATABASE_URL", &url)]).await;
    (service, PgConnection::connect(&url).await.expect("the server answers"))
}

/// A service on a database that does `what` to a booking with the key `poison`.
async fn with_poison(strategy: &str, when: &str, what: &str) -> (Service, PgConnection) {
    let (service, mut database) = with_database(strategy).await;
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

with_lanes!(one_test_each requests_that_wait_together_are_decided_together);

/// A batch that miscounts is refused by the database's constraint and decided one by one, rightly:
/// only the counters tell.
async fn requests_that_wait_together_are_decided_together(strategy: &str) {
    let service = Service::start(strategy, "1m").await;
    let slot = service.slot(10).await;
    let keys: Vec<String> = (0..60).map(|n| format!("key-{n}")).collect();
    let statuses = join_all(
        keys.iter().map(async |key| service.reserve(&slot, 1, key).await.status().as_u16()),
    )
    .await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 10);
    let metrics = service.get("/metrics").await.text().await.expect("text");
    let counter = format!("batch_requests_total{{strategy=\"{strategy}\"}} ");
    let shared = metrics.lines().find_map(|line| line.strip_prefix(&counter)?.parse::<u32>().ok());
    assert!(shared.is_some_and(|shared| shared >= 20), "{shared:?} of 60 shared a transaction");
}

with_lanes!(one_test_each a_request_that_the_database_refuses_takes_no_other_of_its_batch_with_it);

async fn a_request_that_the_database_refuses_takes_no_other_of_its_batch_with_it(strategy: &str) {
    let (service, mut database) =
        with_poison(strategy, "", "raise exception 'no such patient';").await;
    let (mut booked, poison) = reserve_all(&service).await;
    assert_eq!((booked.len(), poison), (59, 500));
    booked.sort();
    assert_eq!(rows(&mut database).await, booked);
}

with_lanes!(one_test_each a_connection_lost_at_commit_acknowledges_nobody_whose_booking_is_not_there);

async fn a_connection_lost_at_commit_acknowledges_nobody_whose_booking_is_not_there(
    strategy: &str,
) {
    let dies = "perform pg_terminate_backend(pg_backend_pid());";
    let (service, mut database) =
        with_poison(strategy, "deferrable initially deferred", dies).await;
    let (booked, poison) = reserve_all(&service).await;
    assert_eq!(poison, 500, "nobody knows");
    let rows = rows(&mut database).await;
    assert!(
        booked.iter().all(|key| rows.contains(key)),
        "{booked:?} were told 201, and there are {rows:?}"
    );
    assert!(!rows.contains(&"poison".to_owned()));
}

/// Another process that holds the row of a slot until its transaction ends.
pub(crate) async fn hold_row(database: &mut PgConnection, slot: &SlotBody) {
    let begin = format!(
        "begin; select from appointment_slots where slot_id = '{}' for no key update",
        slot.id
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(database).await.expect("the row is free");
}

pub(crate) async fn give_back(database: &mut PgConnection) {
    sqlx::raw_sql("commit").execute(database).await.expect("it is committed");
}

/// The connections that wait for a row. A transaction sees the activity as it first looked.
pub(crate) async fn waiters(database: &mut PgConnection) -> Vec<i32> {
    let look_again = "select pg_stat_clear_snapshot()";
    sqlx::query(look_again).execute(&mut *database).await.expect("it is forgotten");
    let query = "
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' order by pid
    ";
    sqlx::query_scalar(query).fetch_all(database).await.expect("rows")
}

/// Reserves one seat with each key, all at once; the status of each.
async fn reserve_each(service: &Service, slot: &SlotBody, keys: &[String]) -> Vec<u16> {
    let reserve = async |key: &String| service.reserve(slot, 1, key).await.status().as_u16();
    join_all(keys.iter().map(reserve)).await
}

pub(crate) fn count(statuses: &[u16], wanted: u16) -> usize {
    statuses.iter().filter(|status| **status == wanted).count()
}

/// The service counts seats as its rows do, and no key has two bookings.
async fn assert_conserved(service: &Service, database: &mut PgConnection, slot: &SlotBody) {
    let query = "select idempotency_key from bookings where slot_id = $1::uuid";
    let keys: Vec<String> =
        sqlx::query_scalar(query).bind(slot.id.as_uuid()).fetch_all(database).await.expect("rows");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{keys:?}");
    let left = service.read(slot).await.available_seats;
    assert_eq!(left, slot.capacity - i64::try_from(keys.len()).expect("few"));
}

with_lanes!(one_test_each a_lane_whose_connection_dies_serves_those_who_wait_by_another_one);

async fn a_lane_whose_connection_dies_serves_those_who_wait_by_another_one(strategy: &str) {
    let (service, mut database) = with_database(strategy).await;
    let slot = service.slot(100).await;
    let keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    hold_row(&mut database, &slot).await;
    let first = reserve_each(&service, &slot, &keys[..1]);
    let others = async {
        let mut waits = Vec::new();
        eventually("the lane waits", async || {
            waits = waiters(&mut database).await;
            !waits.is_empty()
        })
        .await;
        let kill = async {
            let query = "select pg_terminate_backend($1)";
            let gone: bool = sqlx::query_scalar(query)
                .bind(waits[0])
                .fetch_one(&mut database)
                .await
                .expect("an answer");
            assert!(gone);
            eventually("the lane waits again", async || {
                waiters(&mut database).await.iter().any(|pid| *pid != waits[0])
            })
            .await;
            give_back(&mut database).await;
        };
        tokio::join!(reserve_each(&service, &slot, &keys[1..]), kill).0
    };
    let (first, others) = tokio::join!(first, others);
    assert_eq!((first, count(&others, 201)), (vec![500], 39), "{others:?}");
    assert_eq!(count(&reserve_each(&service, &slot, &keys).await, 201), 40, "by their keys");
    assert_conserved(&service, &mut database, &slot).await;
}

with_lanes!(one_test_each clients_that_go_away_while_they_wait_take_nothing_from_others);

async fn clients_that_go_away_while_they_wait_take_nothing_from_others(strategy: &str) {
    let (service, mut database) = with_database(strategy).await;
    let slot = service.slot(60).await;
    hold_row(&mut database, &slot).await;
    let keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    let go_away = async {
        let address = service.url("");
        let address = address.strip_prefix("http://").expect("a target").trim_end_matches('/');
        for key in &keys[..20] {
            let body = r#"{"seats":1}"#;
            let request = format!(
                "POST /v1/slots/{}/bookings HTTP/1.1\r\nhost: {address}\r\n\
                 idempotency-key: {key}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                slot.id,
                body.len()
            );
            let mut client = TcpStream::connect(address).await.expect("it listens");
            client.write_all(request.as_bytes()).await.expect("it reads");
        }
        eventually("a lane waits", async || !waiters(&mut database).await.is_empty()).await;
        give_back(&mut database).await;
    };
    let (statuses, ()) = tokio::join!(reserve_each(&service, &slot, &keys[20..]), go_away);
    assert_eq!(count(&statuses, 201), 20, "{statuses:?}");
    // They may have been heard or not; with their keys they come back.
    assert_eq!(count(&reserve_each(&service, &slot, &keys).await, 201), 40);
    assert_conserved(&service, &mut database, &slot).await;
}

with_lanes!(one_test_each ten_thousand_requests_at_once_are_decided_or_told_to_come_later);

/// While a row is held, 4,096 requests wait for it and those that find them are told so.
async fn ten_thousand_requests_at_once_are_decided_or_told_to_come_later(strategy: &str) {
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let (service, mut database) = with_database(strategy).await;
    let (hot, cold) = (service.slot(3_000).await, service.slot(10).await);
    hold_row(&mut database, &hot).await;
    let keys: Vec<String> = (0..10_000).map(|n| format!("key-{n}")).collect();
    let refused = std::cell::Cell::new(0_usize);
    let started = Semaphore::new(0);
    let reserve = async |key: &String| {
        started.acquire().await.expect("it stays open").forget();
        let answer = service.reserve(&hot, 1, key).await;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(problem(answer).await.1, "retry_later");
            refused.set(refused.get() + 1);
            return 503;
        }
        answer.status().as_u16()
    };
    let cold_key = ["cold".to_owned()];
    let release = async {
        // A connection that is answered is behind all earlier ones: none waits too long for the
        // service to accept it.
        for _ in 0..keys.len() / 500 {
            started.add_permits(500);
            let answer = reqwest::get(service.url("/readyz")).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
        }
        // One batch may have been taken, and the lane is full.
        eventually("the lane is full", async || refused.get() >= 10_000 - 4_096 - 256).await;
        let cold = reserve_each(&service, &cold, &cold_key);
        tokio::join!(cold, give_back(&mut database)).0
    };
    let all = join_all(keys.iter().map(reserve));
    let (statuses, cold_status) = tokio::join!(all, release);
    assert_eq!(cold_status, [201], "a full slot fills no other one");
    assert_eq!(count(&statuses, 201), 3_000);
    assert_eq!(count(&statuses, 201) + count(&statuses, 409) + count(&statuses, 503), 10_000);
    assert_conserved(&service, &mut database, &hot).await;
}

/// A slot of the same doctor and month.
pub(crate) async fn neighbour(service: &Service, slot: &SlotBody) -> SlotBody {
    let request =
        json!({"doctor_id": slot.doctor_id, "starts_at": "2027-03-01T10:00:00Z", "capacity": 100});
    service.post("/v1/admin/slots", &request).await.json().await.expect("a slot")
}

/// With one connection there is one lane, in which all of them wait.
#[tokio::test]
async fn a_slot_that_is_not_there_or_sold_out_fails_no_other_slot_of_its_batch() {
    let url = fresh_database().await;
    let variables = [("SLOTPROOF_DATABASE_URL", url.as_str()), ("SLOTPROOF_CONNECTIONS", "1")];
    let service = Service::start_with("batched", &variables).await;
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let (busy, full) = (service.slot(100).await, service.slot(5).await);
    let free = neighbour(&service, &busy).await;
    let missing =
        SlotBody { id: SlotId::new(full.id.doctor(), full.id.month(), 1), ..full.clone() };
    let keys = |of: &str| (0..20).map(|n| format!("{of}-{n}")).collect::<Vec<_>>();
    let (of_busy, of_full) = (keys("busy"), keys("full"));
    let (of_free, of_missing) = (keys("free"), keys("missing"));
    let one_key = ["for-two-slots".to_owned()];

    hold_row(&mut database, &busy).await;
    let release = async {
        eventually("the lane waits", async || !waiters(&mut database).await.is_empty()).await;
        give_back(&mut database).await;
    };
    let (busy_, full_, free_, missing_, here, there, ()) = tokio::join!(
        reserve_each(&service, &busy, &of_busy),
        reserve_each(&service, &full, &of_full),
        reserve_each(&service, &free, &of_free),
        reserve_each(&service, &missing, &of_missing),
        reserve_each(&service, &busy, &one_key),
        reserve_each(&service, &free, &one_key),
        release,
    );
    assert_eq!((count(&busy_, 201), count(&free_, 201), count(&missing_, 404)), (20, 20, 20));
    assert_eq!((count(&full_, 201), count(&full_, 409)), (5, 15));
    let mut shared = [here, there].concat();
    shared.sort_unstable();
    assert_eq!(shared, [201, 422], "a key belongs to one request");
    for slot in [&busy, &full, &free] {
        assert_conserved(&service, &mut database, slot).await;
    }
}

#[tokio::test]
async fn a_row_that_another_process_holds_stops_its_lane_only() {
    let (service, mut database) = with_database("batched").await;
    let held = service.slot(10).await;
    let mut others = Vec::new();
    for _ in 0..32 {
        others.push(service.slot(10).await);
    }
    hold_row(&mut database, &held).await;
    let answered = std::cell::Cell::new(0);
    let stopped = async { service.reserve(&held, 1, "held").await.status() };
    let go_on = join_all(others.iter().map(async |slot| {
        let status = service.reserve(slot, 1, "free").await.status();
        answered.set(answered.get() + 1);
        status
    }));
    let release = async {
        eventually("a slot of another lane is answered", async || answered.get() > 0).await;
        give_back(&mut database).await;
    };
    let (status, statuses, ()) = tokio::join!(stopped, go_on, release);
    assert_eq!(status, StatusCode::CREATED);
    assert!(statuses.iter().all(|status| *status == StatusCode::CREATED), "{statuses:?}");
}

/// The deadlocks of a database whose services have ended: a connection may tell of its last ones only
/// when it is closed.
pub(crate) async fn deadlocks(url: &str) -> i64 {
    let mut database = PgConnection::connect(url).await.expect("the server answers");
    let others = "
        select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
    ";
    eventually("their connections are closed", async || {
        let others: i64 = sqlx::query_scalar(others).fetch_one(&mut database).await.expect("a row");
        others == 0
    })
    .await;
    let query = "select deadlocks from pg_stat_database where datname = current_database()";
    sqlx::query_scalar(query).fetch_one(&mut database).await.expect("a row")
}

/// Two processes whose batches have slots in common lock them in one order.
#[tokio::test]
async fn processes_that_share_their_slots_do_not_wait_for_each_other() {
    let url = fresh_database().await;
    let variables = [("SLOTPROOF_DATABASE_URL", url.as_str())];
    let one = Service::start_with("batched", &variables).await;
    let other = Service::start_with("batched", &variables).await;
    let mut slots = Vec::new();
    for _ in 0..16 {
        slots.push(one.slot(100).await);
    }
    let reserves = (0..640).map(async |number| {
        let service = if number % 2 == 0 { &one } else { &other };
        let slot = &slots[number * 7 % slots.len()];
        service.reserve(slot, 1, &format!("key-{number}")).await.status().as_u16()
    });
    let statuses = join_all(reserves).await;
    assert_eq!(count(&statuses, 201), 640);
    for slot in &slots {
        assert_eq!(one.read(slot).await.available_seats, 60);
    }
    drop((one, other));
    assert_eq!(deadlocks(&url).await, 0);
}
