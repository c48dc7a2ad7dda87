//! Tables partitioned by month: runs and negative controls, months that are missing or over, and
//! queries that visit one partition.

use std::{fs, path::Path};

use serde_json::{Value, json};
use slotproof_vocabulary::{
    StrategyKind,
    reference_api::{DoctorBody, SlotBody},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::{Date, Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    stack::{Service, endpoints, eventually, fresh_database, problem, slotproof},
    topologies::{refused, run},
};

/// Clients that come back to what they bought.
const BUYERS: &str = "--scenario steady --mix buy=1,watch=1 --think 10ms --clients 30 --slots 1 \
                      --capacity 40 --hold 4s";

#[test]
fn slots_of_two_months_are_booked_and_the_run_is_upheld_and_judged_the_same_again() {
    let load = "--clients 60 --slots 4 --capacity 5 --hold 600ms";
    let ended = run("partitioned", load, &["--duration", "2s", "--until", "covered"]);
    assert_eq!(ended.code, 0, "{}", ended.said);
    let slots = ended.json("end_state.json")["slots"].as_array().expect("slots").clone();
    let month = |slot: &Value| {
        let id = slot["slot"].as_str().expect("an id").parse();
        let id: slotproof_vocabulary::SlotId = id.expect("an id of the service");
        id.month().to_string()
    };
    let mut months: Vec<_> = slots.iter().map(month).collect();
    months.sort();
    months.dedup();
    assert_eq!(months.len(), 2, "{slots:#?}");

    let verdict = fs::read(ended.path.join("verdict.json")).expect("it is there");
    let check = slotproof().arg("check").arg(&ended.path).output().expect("the binary runs");
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
    assert_eq!(fs::read(ended.path.join("verdict.json")).expect("it is there"), verdict);
}

#[test]
fn a_month_by_local_time_is_convicted_by_a_client_that_does_not_find_its_booking() {
    let load = &["--duration", "3s", "--until", "covered"];
    let ended = run("partition_local_time", BUYERS, load);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert_eq!(ended.verdict_of("I3"), "violated");
    assert!(ended.said.contains("negative control"), "{}", ended.said);
    let ended = run("partitioned", BUYERS, load);
    assert_eq!(ended.code, 0, "{}", ended.said);
}

#[test]
fn a_month_that_is_archived_with_holds_in_it_is_convicted_by_what_was_acknowledged() {
    let ended = run("archive_live_month", BUYERS, &["--duration", "9s", "--until", "covered"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert_eq!(ended.verdict_of("I3"), "violated");
}

#[test]
fn a_strategy_that_needs_what_the_topology_does_not_have_is_refused_by_name() {
    let queue = ["run", "--strategy", "queue", "--topology", "partitioned"];
    refused(&queue, "queue needs [service] queue, which the topology `partitioned` does not have");
    let claims = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/claims/system-design.toml");
    let fill = ["capacity", "--claims", claims, "--topology", "partitioned", "--fill", "1GB"];
    refused(&fill, "has partitions of the months to come");
}

/// The first day of a month, so many months from now.
pub(crate) fn month(number: i32) -> Date {
    let this = OffsetDateTime::now_utc().date().replace_day(1).expect("a first day");
    let step = |month: Date, days: i64| {
        (month + Duration::days(days)).replace_day(1).expect("a first day")
    };
    match number {
        0.. => (0..number).fold(this, |month, _| step(month, 31)),
        _ => (number..0).fold(this, |month, _| step(month, -1)),
    }
}

pub(crate) async fn partitioned(strategy: &str, database: &str, ahead: &str) -> Service {
    let redis = &endpoints().await.redis_url;
    let variables = [
        ("SLOTPROOF_DATABASE_URL", database),
        ("SLOTPROOF_MONTHS_AHEAD", ahead),
        ("SLOTPROOF_REDIS_URL", redis.as_str()),
    ];
    Service::start_with(strategy, &variables).await
}

/// The answer to the creation of a slot in this month.
async fn create(service: &Service, month: Date) -> reqwest::Response {
    let doctor = json!({"name": "Ada Example", "specialty": "cardiology"});
    let doctor = service.post("/v1/admin/doctors", &doctor).await;
    let doctor: DoctorBody = doctor.json().await.expect("a doctor");
    let starts_at = (month.midnight().assume_utc() + Duration::days(8)).format(&Rfc3339);
    let starts_at = starts_at.expect("a text");
    let slot = json!({"doctor_id": doctor.id, "starts_at": starts_at, "capacity": 5});
    service.post("/v1/admin/slots", &slot).await
}

pub(crate) async fn slot(service: &Service, month: Date) -> SlotBody {
    let answer = create(service, month).await;
    assert_eq!(answer.status(), 201);
    answer.json().await.expect("a slot")
}

pub(crate) async fn connect(database: &str) -> PgConnection {
    PgConnection::connect(database).await.expect("the server answers")
}

async fn months_ahead(service: &Service) -> String {
    let metrics = service.get("/metrics").await.text().await.expect("a text");
    let line = metrics.lines().find(|line| line.starts_with("months_ahead "));
    line.expect("it is measured").to_owned()
}

#[tokio::test]
async fn a_slot_in_a_month_without_a_partition_is_refused_and_created_when_there_is_one() {
    let database = fresh_database().await;
    let near = partitioned("conditional", &database, "1").await;
    assert_eq!(months_ahead(&near).await, "months_ahead 1");
    slot(&near, month(1)).await;
    let refusal = create(&near, month(2)).await;
    assert_eq!(problem(refusal).await, (409, "month_not_open".to_owned()));
    let doctor = json!({"doctor_id": 4_000_000, "capacity": 5,
        "starts_at": (month(1).midnight().assume_utc()).format(&Rfc3339).expect("a text")});
    let no_doctor = near.post("/v1/admin/slots", &doctor).await;
    assert_eq!(problem(no_doctor).await, (404, "not_found".to_owned()), "the constraint's name");

    let far = partitioned("conditional", &database, "13").await;
    assert_eq!(months_ahead(&far).await, "months_ahead 13");
    slot(&far, month(13)).await;
    slot(&near, month(2)).await;
}

#[tokio::test]
async fn processes_that_make_a_month_at_once_make_it_once() {
    let database = fresh_database().await;
    let _service = partitioned("conditional", &database, "2").await;
    let (mut one, mut other) = (connect(&database).await, connect(&database).await);
    let make = "select make_month(date '2090-01-01')";
    for _ in 0..2 {
        let (one, other): (bool, bool) = tokio::try_join!(
            sqlx::query_scalar(make).fetch_one(&mut one),
            sqlx::query_scalar(make).fetch_one(&mut other),
        )
        .expect("neither fails");
        let made: i64 = sqlx::query_scalar(
            "select count(*) from pg_inherits where inhrelid::regclass::text like '%_2090_01'
                and inhparent in ('bookings'::regclass, 'appointment_slots'::regclass)",
        )
        .fetch_one(&mut connect(&database).await)
        .await
        .expect("a count");
        assert_eq!((one && other, made), (false, 2));
    }
}

#[tokio::test]
async fn every_strategy_books_in_open_months_and_is_refused_in_a_closed_one() {
    let kinds = StrategyKind::SAFE.iter().filter(|kind| !kind.needs_rabbitmq());
    for kind in kinds {
        let database = fresh_database().await;
        let service = partitioned(kind.name(), &database, "3").await;
        eventually("the service is ready", async || service.get("/readyz").await.status() == 200)
            .await;
        let slot = slot(&service, month(1)).await;
        let (kept, given_back) =
            (service.hold(&slot, 2, "kept").await, service.hold(&slot, 1, "given-back").await);
        let mut admin = connect(&database).await;
        let mut close = async || -> bool {
            let close = sqlx::query_scalar("select close_month($1)").bind(month(1));
            close.fetch_one(&mut admin).await.expect("an answer")
        };
        assert!(!close().await, "{kind}: it has holds");
        assert_eq!(service.confirm(&kept).await.status(), 200, "{kind}");
        assert_eq!(service.cancel(&given_back).await.status(), 200, "{kind}");
        assert!(close().await && !close().await, "{kind}: it is closed once");

        let closed = (409, "month_closed".to_owned());
        assert_eq!(problem(service.reserve(&slot, 1, "late").await).await, closed, "{kind}");
        assert_eq!(problem(service.cancel(&kept).await).await, closed, "{kind}");
        assert_eq!(problem(create(&service, month(1)).await).await, closed, "{kind}");
        let read = service.read(&slot).await;
        assert_eq!((read.available_seats, read.confirmed_seats), (3, 2), "{kind}");
    }
}

#[tokio::test]
async fn a_month_that_is_over_is_closed_by_the_service() {
    let database = fresh_database().await;
    let _service = partitioned("conditional", &database, "2").await;
    let mut admin = connect(&database).await;
    let make = sqlx::query("select make_month($1)").bind(month(-1));
    make.execute(&mut admin).await.expect("it is made");
    eventually("last month is closed", async || {
        let state = sqlx::query_scalar("select state from months where slot_month = $1");
        let state: String = state.bind(month(-1)).fetch_one(&mut admin).await.expect("a state");
        state == "closed"
    })
    .await;
    let open = "select min(slot_month) from months where state = 'open'";
    let open: Date = sqlx::query_scalar(open).fetch_one(&mut admin).await.expect("a month");
    assert_eq!(open, month(0));
}

#[tokio::test]
async fn a_database_is_not_taken_for_one_of_the_other_schema() {
    for (first, second, says) in [
        (Some("2"), None, "the database is partitioned by month, and --months-ahead is not given"),
        (None, Some("2"), "the tables hold slots already"),
    ] {
        let database = fresh_database().await;
        let mut variables = vec![("SLOTPROOF_DATABASE_URL", database.as_str())];
        variables.extend(first.map(|ahead| ("SLOTPROOF_MONTHS_AHEAD", ahead)));
        let service = Service::start_with("conditional", &variables).await;
        slot(&service, month(1)).await;
        drop(service);
        let mut command = slotproof();
        command.args(["serve", "--strategy", "conditional", "--listen", "127.0.0.1:0"]);
        command.env("SLOTPROOF_DATABASE_URL", &database);
        command.envs(second.map(|ahead| ("SLOTPROOF_MONTHS_AHEAD", ahead)));
        let output = command.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

/// Queries that visit partitions of more than one month, by words of theirs, and why.
const OF_MANY_MONTHS: [(&str, &str); 3] = [
    ("order by expires_at", "the sweeper: holds run out in every month"),
    ("order by starts_at, slot_id", "a list of a doctor's slots, or of all"),
    ("as changed (doctor_id", "`batched` writes slots of any months; the planner may join all"),
];

#[tokio::test]
async fn every_query_of_the_service_visits_one_partition_or_is_known_to_visit_more() {
    let database = fresh_database().await;
    let service = partitioned("conditional", &database, "13").await;
    let slot = slot(&service, month(1)).await;
    let mut connection = connect(&database).await;
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan")
        .execute(&mut connection)
        .await
        .expect("it is set");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target-service/.sqlx");
    let (mut explained, mut of_many) = (0, Vec::new());
    for file in fs::read_dir(kept).expect("the queries are kept") {
        let text = fs::read(file.expect("a file").path()).expect("it is readable");
        let query: Value = serde_json::from_slice(&text).expect("it is JSON");
        let sql = query["query"].as_str().expect("a text").to_owned();
        if !sql.contains("appointment_slots") && !sql.contains("bookings") {
            continue;
        }
        let visited = months_visited(&mut connection, &query, &slot).await;
        explained += 1;
        let known = OF_MANY_MONTHS.iter().position(|(words, _)| sql.contains(words));
        match known {
            None => assert!(visited.len() <= 1, "it visits {visited:?}:\n{sql}"),
            Some(number) => {
                assert!(visited.len() > 1, "it needs no place in the list:\n{sql}");
                of_many.push(number);
            }
        }
    }
    of_many.sort_unstable();
    assert_eq!(of_many, (0..OF_MANY_MONTHS.len()).collect::<Vec<_>>(), "each entry is of a query");
    assert!(explained > 20, "{explained} queries were explained");
}

/// The months whose partitions a generic plan of the query reads, in a transaction that is rolled
/// back.
async fn months_visited(
    connection: &mut PgConnection,
    query: &Value,
    slot: &SlotBody,
) -> Vec<String> {
    let types: Vec<String> = query["describe"]["parameters"]["Left"]
        .as_array()
        .expect("types")
        .iter()
        .map(|it| it.as_str().expect("a name").to_lowercase())
        .collect();
    let value = |name: &str| match name {
        "date" => format!("date '{}'", slot.id.month().first_day()),
        "uuid" => format!("uuid '{}'", slot.id),
        "text" => "text 'pending'".to_owned(),
        "bool" => "false".to_owned(),
        "timestamptz" => "clock_timestamp()".to_owned(),
        "int4" => format!("{}", slot.doctor_id),
        _ => "1".to_owned(),
    };
    let argument = |name: &String| match name.strip_suffix("array") {
        Some(of) => format!("array[{}]", value(of)),
        None => value(name),
    };
    let declared: Vec<String> = types
        .iter()
        .map(|it| it.strip_suffix("array").map_or_else(|| it.clone(), |of| format!("{of}[]")))
        .collect();
    let arguments: Vec<String> = types.iter().map(argument).collect();
    let sql = query["query"].as_str().expect("a text");
    let mut transaction = connection.begin().await.expect("it begins");
    let prepare = format!("prepare explained ({}) as {sql}", declared.join(", "));
    let of = |error: sqlx::Error| panic!("{error}: {sql}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *transaction).await.unwrap_or_else(of);
    // A statement that creates a slot scans nothing, and the slot is there already.
    let analyze = if sql.contains("insert into appointment_slots") { "" } else { "analyze, " };
    let explain =
        format!("explain ({analyze}format json) execute explained ({})", arguments.join(", "));
    let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *transaction).await;
    let plan: Value = sqlx::Row::get(&plan.unwrap_or_else(|error| panic!("{error}: {sql}")), 0);
    sqlx::raw_sql("deallocate explained").execute(&mut *transaction).await.unwrap_or_else(of);
    transaction.rollback().await.expect("it is rolled back");
    let mut months = Vec::new();
    visited(&plan[0]["Plan"], &mut months);
    months.sort();
    months.dedup();
    months
}

/// The months of partitions that a plan reads. What was pruned when it started is not in it, and what
/// was pruned later has run in no loop.
fn visited(node: &Value, months: &mut Vec<String>) {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    let scans = node["Node Type"].as_str().is_some_and(|it| it.ends_with("Scan"));
    let ran = node["Actual Loops"].as_f64().is_none_or(|loops| loops > 0.0);
    for table in ["appointment_slots_", "bookings_"] {
        months.extend(relation.strip_prefix(table).filter(|_| scans && ran).map(str::to_owned));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        visited(child, months);
    }
}
