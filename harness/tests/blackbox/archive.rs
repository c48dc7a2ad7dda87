//! Months of a partitioned database that go to files and come back.

use std::{fs, path::Path};

use serde_json::Value;
use slotproof_vocabulary::Month;
use sqlx::PgConnection;

use crate::{
    partitioned::{connect, month, partitioned, slot},
    stack::{fresh_database, problem, slotproof},
};

/// The exit code of `slotproof months`, what it wrote to standard output, and what it said.
fn months(arguments: &[&str], database: &str) -> (i32, String, String) {
    let mut command = slotproof();
    command.arg("months").args(arguments).env("SLOTPROOF_DATABASE_URL", database);
    let output = command.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it ended"), text(&output.stdout), text(&output.stderr))
}

fn done(arguments: &[&str], database: &str) -> Value {
    let (code, wrote, said) = months(arguments, database);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    serde_json::from_str(&wrote).expect("it is JSON")
}

fn refused(arguments: &[&str], database: &str, says: &str) {
    let (code, _, said) = months(arguments, database);
    assert_eq!(code, 64, "{arguments:?}: {said}");
    assert!(said.contains(says), "{arguments:?} does not say {says}: {said}");
}

/// Every row of the month, as text.
async fn rows(database: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "
        select slot::text from appointment_slots slot where slot_month = $1
        union all select seat::text from slot_seats seat where slot_month = $1
        union all select booking::text from bookings booking where slot_month = $1
        order by 1
        ",
    )
    .bind(month(1))
    .fetch_all(database)
    .await
    .expect("the rows")
}

async fn execute(database: &mut PgConnection, sql: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(database).await.expect("it is done");
}

#[tokio::test]
async fn a_month_goes_to_files_and_comes_back_row_by_row_and_is_read_only_from_then_on() {
    let database = fresh_database().await;
    let service = partitioned("seat_rows", &database, "3").await;
    let (mut admin, directory) = (connect(&database).await, tempfile::tempdir().expect("a place"));
    let slot = slot(&service, month(1)).await;
    let into = directory.path().to_str().expect("plain");
    let name = slot.id.month().to_string();
    let archive = ["archive", &name, "--into", into, "--closed"];

    let kept = service.hold(&slot, 2, "kept").await;
    assert_eq!(service.confirm(&kept).await.status(), 200);
    let hold = service.hold(&slot, 1, "hold").await;
    refused(&archive[..4], &database, "is not over (UTC)");
    refused(&archive, &database, "has 1 holds, which an archive would lose");
    assert_eq!(service.cancel(&hold).await.status(), 200, "the month is still open");
    let (before, read_before) = (rows(&mut admin).await, service.read(&slot).await);

    let manifest = done(&archive, &database);
    let counts: Vec<_> = manifest["tables"].as_array().expect("tables").iter().collect();
    let counts: Vec<_> = counts.iter().map(|it| it["rows"].as_u64().expect("a count")).collect();
    assert_eq!(counts, [1, 5, 2], "slots, seats, bookings");
    assert_eq!(rows(&mut admin).await, Vec::<String>::new());
    let closed = (409, "month_closed".to_owned());
    for answer in [
        service.reserve(&slot, 1, "late").await,
        service.cancel(&kept).await,
        service.get(&format!("/v1/bookings/{}", kept.id)).await,
        service.get(&format!("/v1/slots/{}", slot.id)).await,
    ] {
        assert_eq!(problem(answer).await, closed);
    }
    let (_, listed, _) = months(&["list"], &database);
    let of_month = listed.lines().find(|line| line.contains(&name)).expect("it is listed");
    assert!(of_month.contains("\"state\":\"archived\",\"slots\":0"), "{listed}");
    refused(&archive, &database, "is archived already");

    let archived = directory.path().join(&name);
    let restore = ["restore", archived.to_str().expect("plain")];
    let bookings = archived.join("bookings.csv.zst");
    let whole = fs::read(&bookings).expect("it is there");
    fs::write(&bookings, &whole[..whole.len() - 1]).expect("it is written");
    refused(&restore, &database, "bookings.csv.zst is damaged");
    fs::write(&bookings, &whole).expect("it is written");
    assert_eq!(done(&restore, &database), manifest);
    assert_eq!(rows(&mut admin).await, before);
    assert_eq!(service.read(&slot).await, read_before);
    assert_eq!(problem(service.reserve(&slot, 1, "late").await).await, closed);
    assert_eq!(problem(service.cancel(&kept).await).await, closed);
    refused(&restore, &database, "is closed in this database");

    let again = directory.path().join("again");
    let again = ["archive", &name, "--into", again.to_str().expect("plain")];
    assert_eq!(done(&again, &database), manifest, "the same rows make the same files");
    // What is not over is not made anew, because it is known.
    assert_eq!(problem(service.get(&format!("/v1/slots/{}", slot.id)).await).await, closed);
}

#[tokio::test]
async fn an_archive_that_was_interrupted_goes_on_with_its_files_and_with_no_others() {
    let database = fresh_database().await;
    let service = partitioned("conditional", &database, "3").await;
    let (mut admin, directory) = (connect(&database).await, tempfile::tempdir().expect("a place"));
    let slot = slot(&service, month(1)).await;
    let kept = service.hold(&slot, 2, "kept").await;
    assert_eq!(service.confirm(&kept).await.status(), 200);
    let name = slot.id.month().to_string();
    let place = |of: &str| directory.path().join(of).to_str().expect("plain").to_owned();
    let (first, other) = (place("first"), place("other"));
    let first = ["archive", &name, "--into", &first, "--closed"];
    let other = ["archive", &name, "--into", &other, "--closed"];
    let manifest = done(&first, &database);
    let archived = Path::new(&place("first")).join(&name);
    let restore = ["restore", archived.to_str().expect("plain")];
    done(&restore, &database);

    // As if it had been killed when the bookings were detached, and the slots were not.
    let partition = format!("bookings_{}", name.replace('-', "_"));
    let date = slot.id.month().first_day();
    execute(
        &mut admin,
        format!(
            "update months set state = 'archived' where slot_month = '{date}';
            alter table bookings detach partition {partition}"
        ),
    )
    .await;
    refused(&restore, &database, "was interrupted; run slotproof months archive again");
    refused(&other, &database, "was interrupted; run slotproof months archive again");
    assert_eq!(done(&first, &database), manifest);
    let left: i64 = sqlx::query_scalar("select count(*) from pg_class where relname like $1")
        .bind(format!("%{}", name.replace('-', "_")))
        .fetch_one(&mut admin)
        .await
        .expect("a count");
    assert_eq!(left, 0, "both partitions are gone");
    done(&restore, &database);
    assert_eq!(service.read(&slot).await.confirmed_seats, 2);
}

#[tokio::test]
async fn what_is_no_month_and_no_partitioned_database_is_refused() {
    let database = fresh_database().await;
    let _service = partitioned("conditional", &database, "2").await;
    let far = "7461-04".parse::<Month>().expect("a month").to_string();
    refused(&["archive", &far, "--into", "x"], &database, "7461-04 has no partition");
    let (code, _, said) = months(&["archive", "2026-13", "--into", "x"], &database);
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("is not a month"), "{said}");
    refused(&["list"], &fresh_database().await, "is not partitioned by month");
}
