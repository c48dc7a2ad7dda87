//! Confirms and cancels that are made together, beyond what all strategies promise.

use std::collections::BTreeSet;

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slotproof_vocabulary::{
    BookingId,
    reference_api::{BookingBody, SlotBody},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    lanes::{count, give_back, hold_row, neighbour, waiters, with_database},
    stack::{Service, eventually, fresh_database, problem},
};

async fn hold_each(service: &Service, slot: &SlotBody, bookings: usize) -> Vec<BookingBody> {
    let keys: Vec<String> = (0..bookings).map(|n| format!("{}-{n}", slot.id)).collect();
    join_all(keys.iter().map(async |key| service.hold(slot, 1, key).await)).await
}

async fn confirm_each(service: &Service, bookings: &[BookingBody]) -> Vec<u16> {
    let confirm = async |booking| service.confirm(booking).await.status().as_u16();
    join_all(bookings.iter().map(confirm)).await
}

/// The audit records of a slot that do not follow from the ones before, and how many there are.
async fn audit(database: &mut PgConnection, slot: &SlotBody) -> (i64, i64) {
    let query = "
        select count(*) filter (where available_seats <> expected or slot_version <> number), count(*)
        from (
            select available_seats, slot_version,
                row_number() over (order by slot_version) as number,
                $2 - sum(case to_status when 'pending' then seats when 'cancelled' then -seats else 0 end)
                    over (order by slot_version) as expected
            from booking_audit where slot_id = $1
        ) record
    ";
    sqlx::query_as(query)
        .bind(slot.id.as_uuid())
        .bind(slot.capacity)
        .fetch_one(database)
        .await
        .expect("a row")
}

/// A database that does `what` whenever this booking is confirmed.
async fn trap(database: &mut PgConnection, booking: &BookingBody, when: &str, what: &str) {
    let trap = format!(
        "
        create function trap() returns trigger language plpgsql as $$
        begin
            if new.booking_id = '{}' and new.status = 'confirmed' then {what} end if;
            return new;
        end $$;
        create constraint trigger trap after update on bookings {when} for each row execute function trap();
        ",
        booking.id
    );
    sqlx::raw_sql(AssertSqlSafe(trap)).execute(database).await.expect("a trigger");
}

#[tokio::test]
async fn changes_that_wait_together_are_made_together_and_each_has_a_version_of_its_own() {
    let (service, mut database) = with_database("batched").await;
    let hot = service.slot(100).await;
    let cold = neighbour(&service, &hot).await;
    let (of_hot, of_cold) =
        (hold_each(&service, &hot, 60).await, hold_each(&service, &cold, 10).await);
    let unknown = BookingBody { id: BookingId::new(hot.id, 7), ..of_hot[0].clone() };

    hold_row(&mut database, &hot).await;
    let release = async {
        eventually("a change waits", async || !waiters(&mut database).await.is_empty()).await;
        give_back(&mut database).await;
    };
    let answers = async |bookings: &[BookingBody], confirms: bool| {
        let answer = async |booking: &BookingBody| {
            let answer = match confirms {
                true => service.confirm(booking).await,
                false => service.cancel(booking).await,
            };
            answer.json::<BookingBody>().await.expect("a booking")
        };
        join_all(bookings.iter().map(answer)).await
    };
    let (confirmed, cancelled, of_cold, nobody, ()) = tokio::join!(
        answers(&of_hot[..40], true),
        answers(&of_hot[40..], false),
        answers(&of_cold, true),
        service.confirm(&unknown),
        release,
    );
    assert_eq!(problem(nobody).await, (404, "not_found".to_owned()));

    let versions: BTreeSet<i64> =
        confirmed.iter().chain(&cancelled).map(|body| body.slot_version).collect();
    assert_eq!(versions, (61..=120).collect(), "one for each change");
    let versions: BTreeSet<i64> = of_cold.iter().map(|body| body.slot_version).collect();
    assert_eq!(versions, (11..=20).collect());
    let read = service.read(&hot).await;
    assert_eq!((read.available_seats, read.pending_seats, read.confirmed_seats), (60, 0, 40));
    assert_eq!(audit(&mut database, &hot).await, (0, 120));
    assert_eq!(audit(&mut database, &cold).await, (0, 20));

    let metrics = service.get("/metrics").await.text().await.expect("text");
    let shared = metrics
        .lines()
        .find_map(|line| line.strip_prefix("change_batch_requests_total ")?.parse::<u32>().ok());
    assert!(shared.is_some_and(|shared| shared >= 20), "{shared:?} of 71 shared a statement");
}

#[tokio::test]
async fn of_changes_of_one_booking_that_arrive_at_once_each_is_answered() {
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(10).await;
    let bookings = hold_each(&service, &slot, 2).await;
    hold_row(&mut database, &slot).await;
    let release = async {
        eventually("a change waits", async || !waiters(&mut database).await.is_empty()).await;
        give_back(&mut database).await;
    };
    let confirm = async || service.confirm(&bookings[0]).await.status().as_u16();
    let cancel = async || service.cancel(&bookings[1]).await.status().as_u16();
    let (confirms, cancels, ()) = tokio::join!(
        join_all((0..20).map(|_| confirm())),
        join_all((0..20).map(|_| cancel())),
        release
    );
    assert_eq!((count(&confirms, 200), count(&cancels, 200)), (20, 20));
    let read = service.read(&slot).await;
    assert_eq!((read.available_seats, read.confirmed_seats, read.version), (9, 1, 4));
    assert_eq!(audit(&mut database, &slot).await, (0, 4));
}

#[tokio::test]
async fn a_change_that_the_database_refuses_takes_no_other_of_its_batch_with_it() {
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(100).await;
    let bookings = hold_each(&service, &slot, 60).await;
    trap(&mut database, &bookings[30], "", "raise exception 'no such patient';").await;
    let statuses = confirm_each(&service, &bookings).await;
    assert_eq!((statuses[30], count(&statuses, 200)), (500, 59));
    assert_eq!(service.read(&slot).await.confirmed_seats, 59);
    assert_eq!(audit(&mut database, &slot).await, (0, 119));
}

#[tokio::test]
async fn a_connection_lost_at_commit_confirms_nobody_whose_booking_is_not_confirmed() {
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(100).await;
    let bookings = hold_each(&service, &slot, 60).await;
    let dies = "perform pg_terminate_backend(pg_backend_pid());";
    trap(&mut database, &bookings[30], "deferrable initially deferred", dies).await;
    let statuses = confirm_each(&service, &bookings).await;
    let told = count(&statuses, 200);
    assert_eq!((statuses[30], told + count(&statuses, 500)), (500, 60), "{statuses:?}");
    let confirmed = service.read(&slot).await.confirmed_seats;
    assert_eq!(confirmed, i64::try_from(told).expect("few"), "{statuses:?}");
    let again = confirm_each(&service, &bookings[31..]).await;
    assert_eq!(count(&again, 200), 29, "by another connection");
}

/// Two processes whose batches have bookings and slots in common lock them in one order.
#[tokio::test]
async fn processes_that_share_their_bookings_do_not_wait_for_each_other() {
    let url = fresh_database().await;
    let variables = [("SLOTPROOF_DATABASE_URL", url.as_str())];
    let one = Service::start_with("batched", &variables).await;
    let other = Service::start_with("batched", &variables).await;
    let (mut slots, mut bookings) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        let slot = one.slot(100).await;
        bookings.extend(hold_each(&one, &slot, 20).await);
        slots.push(slot);
    }
    let scattered = |step: usize| (0..bookings.len()).map(move |n| n * step % 320);
    let confirm = async |n: usize| one.confirm(&bookings[n]).await.status().as_u16();
    let cancel = async |n: usize| other.cancel(&bookings[n]).await.status().as_u16();
    let (confirms, cancels) =
        tokio::join!(join_all(scattered(7).map(confirm)), join_all(scattered(11).map(cancel)));
    assert_eq!(count(&confirms, 200) + count(&confirms, 409), 320, "{confirms:?}");
    assert_eq!(count(&cancels, 200), 320, "{cancels:?}");
    for slot in &slots {
        assert_eq!(one.read(slot).await.available_seats, 100);
    }
    drop((one, other));
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let query = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(query).fetch_one(&mut database).await.expect("a row");
    assert_eq!(deadlocks, 0);
}

/// While a row is held, 4,096 changes wait and those that find them are told so.
#[tokio::test]
async fn more_changes_than_a_lane_holds_are_told_to_come_later() {
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(10).await;
    let booking = &hold_each(&service, &slot, 1).await[0];
    hold_row(&mut database, &slot).await;
    let refused = std::cell::Cell::new(0_usize);
    let confirm = async |_| {
        let answer = service.confirm(booking).await;
        if answer.status() == 503 {
            assert_eq!(problem(answer).await.1, "retry_later");
            refused.set(refused.get() + 1);
            return 503;
        }
        answer.status().as_u16()
    };
    let release = async {
        // One batch may have been taken, and the lane is full.
        eventually("the lane is full", async || refused.get() >= 5_000 - 4_096 - 256).await;
        give_back(&mut database).await;
    };
    let (statuses, ()) = tokio::join!(join_all((0..5_000).map(confirm)), release);
    assert_eq!(count(&statuses, 200) + count(&statuses, 503), 5_000);
    assert_eq!(service.read(&slot).await.version, 2, "it was confirmed once");
}
