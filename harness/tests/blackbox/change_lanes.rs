//! Confirms and cancels that are made together, beyond what all strategies promise.

use std::{collections::BTreeSet, net::SocketAddr};

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slotproof_vocabulary::{
    BookingId,
    reference_api::{BookingBody, SlotBody},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use uuid::Uuid;

use crate::{
    lanes::{count, deadlocks, give_back, hold_row, neighbour, waiters, with_database},
    stack::{Service, eventually, fresh_database, problem},
};

async fn hold_each(service: &Service, slot: &SlotBody, bookings: usize) -> Vec<BookingBody> {
    let seats = |number: usize| number as i64 % 3 + 1;
    let hold = async |number: usize| {
        service.hold(slot, seats(number), &format!("{}-{number}", slot.id)).await
    };
    join_all((0..bookings).map(hold)).await
}

async fn confirm_each(service: &Service, bookings: &[BookingBody]) -> Vec<u16> {
    let confirm = async |booking| service.confirm(booking).await.status().as_u16();
    join_all(bookings.iter().map(confirm)).await
}

/// Gives the row back when a change waits for it.
async fn release(database: &mut PgConnection) {
    eventually("a change waits", async || !waiters(database).await.is_empty()).await;
    give_back(database).await;
}

/// The audit records of a slot that do not follow from the ones before, and how many there are.
async fn audit(database: &mut PgConnection, slot: &SlotBody) -> (i64, i64) {
    let query = "
        select count(*) filter (where available_seats <> expected or slot_version <> number
                or from_status is distinct from status_before), count(*)
        from (
            select available_seats, slot_version, from_status,
                row_number() over (order by slot_version) as number,
                lag(to_status) over (partition by booking_id order by slot_version) as status_before,
                $2 - sum(case to_status when 'pending' then seats when 'confirmed' then 0 else -seats end)
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

/// Whether an answer says what the audit record of its version says.
async fn is_on_record(database: &mut PgConnection, answer: &BookingBody) -> bool {
    let query = "
        select booking_id, to_status, seats::bigint, available_seats::bigint
        from booking_audit where slot_id = $1 and slot_version = $2
    ";
    let record: (Uuid, String, i64, i64) = sqlx::query_as(query)
        .bind(answer.slot_id.as_uuid())
        .bind(answer.slot_version)
        .fetch_one(database)
        .await
        .expect("a row");
    let BookingBody { id, status, seats, available_seats, .. } = answer;
    record == (id.as_uuid(), status.name().to_owned(), *seats, *available_seats)
}

/// From now on the database does `what` whenever this booking is confirmed.
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

/// Changes that a common statement was asked to make.
async fn batched(service: &Service) -> u32 {
    let metrics = service.get("/metrics").await.text().await.expect("text");
    let counter = |line: &str| line.strip_prefix("change_batch_requests_total ")?.parse().ok();
    metrics.lines().find_map(counter).unwrap_or(0)
}

#[tokio::test]
async fn changes_that_wait_together_are_made_together_and_each_is_told_its_own() {
    changes_are_made_together(&[]).await;
}

#[tokio::test]
async fn changes_of_partitioned_tables_are_made_together() {
    changes_are_made_together(&[("SLOTPROOF_MONTHS_AHEAD", "13")]).await;
}

async fn changes_are_made_together(variables: &[(&str, &str)]) {
    let url = fresh_database().await;
    let database_url = [("SLOTPROOF_DATABASE_URL", url.as_str())];
    let service = Service::start_with("batched", &[&database_url, variables].concat()).await;
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let hot = service.slot(200).await;
    let cold = neighbour(&service, &hot).await;
    let (of_hot, of_cold) =
        (hold_each(&service, &hot, 60).await, hold_each(&service, &cold, 10).await);
    let unknown = BookingBody { id: BookingId::new(hot.id, 7), ..of_hot[0].clone() };
    // Some that are cancelled were confirmed, and some holds have run out.
    assert_eq!(count(&confirm_each(&service, &of_hot[40..45]).await, 200), 5);
    let run_out: Vec<_> = of_cold[..3].iter().map(|booking| booking.id.as_uuid()).collect();
    let query = "update bookings set expires_at = clock_timestamp() where booking_id = any($1)";
    hold_row(&mut database, &hot).await;
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
    let (confirmed, cancelled, of_cold, too_late, nobody, ()) = tokio::join!(
        answers(&of_hot[..40], true),
        answers(&of_hot[40..], false),
        answers(&of_cold[3..], true),
        confirm_each(&service, &of_cold[..3]),
        service.confirm(&unknown),
        async {
            sqlx::query(query).bind(&run_out).execute(&mut database).await.expect("rows");
            release(&mut database).await;
        },
    );
    assert_eq!(problem(nobody).await, (404, "not_found".to_owned()));
    assert!(too_late.iter().all(|status| [200, 409].contains(status)), "{too_late:?}");
    for answer in confirmed.iter().chain(&cancelled).chain(&of_cold) {
        assert!(is_on_record(&mut database, answer).await, "{answer:?}");
    }
    let ids = |bookings: &[BookingBody]| bookings.iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&confirmed), ids(&of_hot[..40]));
    assert_eq!(ids(&cancelled), ids(&of_hot[40..]));
    let versions: BTreeSet<i64> =
        confirmed.iter().chain(&cancelled).map(|body| body.slot_version).collect();
    assert_eq!(versions, (66..=125).collect(), "one for each change");
    let taken: i64 = confirmed.iter().map(|body| body.seats).sum();
    let read = service.read(&hot).await;
    assert_eq!(
        (read.available_seats, read.pending_seats, read.confirmed_seats),
        (200 - taken, 0, taken)
    );
    assert_eq!(audit(&mut database, &hot).await, (0, 125));
    assert_eq!(audit(&mut database, &cold).await.0, 0);
    let batched = batched(&service).await;
    assert!(batched >= 20, "{batched} of 71 shared a statement");
}

#[tokio::test]
async fn of_changes_of_one_booking_that_arrive_at_once_each_is_answered() {
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(10).await;
    let bookings = hold_each(&service, &slot, 2).await;
    hold_row(&mut database, &slot).await;
    let confirm = async || service.confirm(&bookings[0]).await.status().as_u16();
    let cancel = async || service.cancel(&bookings[1]).await.status().as_u16();
    let (confirms, cancels, ()) = tokio::join!(
        join_all((0..20).map(|_| confirm())),
        join_all((0..20).map(|_| cancel())),
        release(&mut database),
    );
    assert_eq!((count(&confirms, 200), count(&cancels, 200)), (20, 20));
    let read = service.read(&slot).await;
    assert_eq!((read.available_seats, read.confirmed_seats, read.version), (9, 1, 4));
    assert_eq!(audit(&mut database, &slot).await, (0, 4));
}

#[tokio::test]
async fn a_change_that_the_database_refuses_takes_no_other_of_its_batch_with_it() {
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(200).await;
    let bookings = hold_each(&service, &slot, 60).await;
    trap(&mut database, &bookings[30], "", "raise exception 'no such patient';").await;
    hold_row(&mut database, &slot).await;
    let (statuses, ()) = tokio::join!(confirm_each(&service, &bookings), release(&mut database));
    assert_eq!((statuses[30], count(&statuses, 200)), (500, 59));
    assert_eq!(audit(&mut database, &slot).await, (0, 119));
}

/// A way to the database that can be cut after it has done what it was asked to do.
struct Cable {
    address: SocketAddr,
    /// Once the database answers, every connection is closed and the answer is lost.
    loses_answers: watch::Sender<bool>,
}

impl Cable {
    async fn to(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (loses_answers, loses) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(database).await.expect("the server listens");
                tokio::spawn(Self::carry(client, server, loses.clone()));
            }
        });
        Self { address, loses_answers }
    }

    async fn carry(mut client: TcpStream, mut server: TcpStream, loses: watch::Receiver<bool>) {
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.split(), server.split());
        let answers = async {
            let mut answer = vec![0; 1 << 16];
            loop {
                let bytes = from_server.read(&mut answer).await.unwrap_or(0);
                if bytes == 0 || *loses.borrow() {
                    return;
                }
                if to_client.write_all(&answer[..bytes]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = answers => {}
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        }
    }
}

/// The changes are committed, and nobody is told so, nor that they were refused. Threads: the cable
/// carries while this waits for the service to say that it has started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_whose_answer_is_lost_have_no_outcome_and_are_done_when_they_are_asked_again() {
    let url = fresh_database().await;
    let mut parts = reqwest::Url::parse(&url).expect("a URL");
    let server = (parts.host_str().expect("a host"), parts.port().expect("a port"));
    let server = tokio::net::lookup_host(server).await.expect("it is known").next();
    let cable = Cable::to(server.expect("an address")).await;
    parts.set_port(Some(cable.address.port())).expect("it has ports");
    let variables = [("SLOTPROOF_DATABASE_URL", parts.as_str())];
    let service = Service::start_with("batched", &variables).await;
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let slot = service.slot(200).await;
    let bookings = hold_each(&service, &slot, 60).await;
    hold_row(&mut database, &slot).await;
    let mut next = PgConnection::connect(&url).await.expect("the server answers");
    let cut = async {
        eventually("a change waits", async || !waiters(&mut database).await.is_empty()).await;
        // The first one waits alone; what gathers behind it will wait for this.
        let stand_behind = hold_row(&mut next, &slot);
        let give_back_first = async {
            eventually("it waits, too", async || waiters(&mut database).await.len() == 2).await;
            give_back(&mut database).await;
        };
        tokio::join!(stand_behind, give_back_first);
        eventually("a batch waits", async || !waiters(&mut next).await.is_empty()).await;
        cable.loses_answers.send_replace(true);
        give_back(&mut next).await;
        eventually("it is committed", async || {
            let query = "select count(*) from bookings where status = 'confirmed'";
            let confirmed: i64 =
                sqlx::query_scalar(query).fetch_one(&mut database).await.expect("a row");
            confirmed >= 3
        })
        .await;
        cable.loses_answers.send_replace(false);
    };
    let (statuses, ()) = tokio::join!(confirm_each(&service, &bookings), cut);
    assert!(statuses.iter().all(|status| [200, 500, 503].contains(status)), "{statuses:?}");
    assert!(count(&statuses, 500) >= 2, "{statuses:?}");
    let again = confirm_each(&service, &bookings).await;
    assert_eq!(count(&again, 200), 60, "{again:?}");
    assert_eq!(audit(&mut database, &slot).await, (0, 120), "each was made once");
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
    let confirm = async |booking| one.confirm(booking).await.status().as_u16();
    let cancel = async |booking| other.cancel(booking).await.status().as_u16();
    // While some bookings are held, batches of both processes stand half-way, with locks on others.
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let held: Vec<String> =
        bookings.iter().skip(7).step_by(10).map(|it| format!("'{}'", it.id)).collect();
    let hold = format!(
        "begin; select from bookings where booking_id in ({}) for no key update",
        held.join(", ")
    );
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut database).await.expect("they are free");
    let release = async {
        eventually("both wait", async || waiters(&mut database).await.len() >= 4).await;
        give_back(&mut database).await;
    };
    let (confirms, cancels, ()) = tokio::join!(
        join_all(bookings.iter().map(confirm)),
        join_all(bookings.iter().map(cancel)),
        release,
    );
    drop(database);
    assert_eq!(count(&confirms, 200) + count(&confirms, 409), 320, "{confirms:?}");
    assert_eq!(count(&cancels, 200), 320, "{cancels:?}");
    for slot in &slots {
        assert_eq!(one.read(slot).await.available_seats, 100);
    }
    drop((one, other));
    assert_eq!(deadlocks(&url).await, 0);
}

/// While a row is held, 4,096 changes wait and those that find them are told so.
#[tokio::test]
async fn more_changes_than_a_lane_holds_are_told_to_come_later() {
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let (service, mut database) = with_database("batched").await;
    let slot = service.slot(10).await;
    let booking = &hold_each(&service, &slot, 1).await[0];
    // All of the lane of that doctor, and none of them there but the first.
    let bookings: Vec<BookingBody> = (0..5_000)
        .map(|number| match number {
            0 => booking.clone(),
            number => BookingBody { id: BookingId::new(slot.id, number), ..booking.clone() },
        })
        .collect();
    hold_row(&mut database, &slot).await;
    let refused = std::cell::Cell::new(0_usize);
    let started = Semaphore::new(0);
    let confirm = async |booking| {
        started.acquire().await.expect("it stays open").forget();
        let answer = service.confirm(booking).await;
        if answer.status() == 503 {
            assert_eq!(problem(answer).await.1, "retry_later");
            refused.set(refused.get() + 1);
            return 503;
        }
        answer.status().as_u16()
    };
    let release = async {
        started.add_permits(1);
        eventually("a change waits", async || !waiters(&mut database).await.is_empty()).await;
        // A connection that is answered is behind all earlier ones: none waits too long for the
        // service to accept it.
        for _ in 0..10 {
            started.add_permits(500);
            assert_eq!(service.get("/readyz").await.status(), 200);
        }
        eventually("the lane is full", async || refused.get() >= 5_000 - 4_096 - 256).await;
        give_back(&mut database).await;
    };
    let (statuses, ()) = tokio::join!(join_all(bookings.iter().map(confirm)), release);
    assert_eq!(count(&statuses, 200), 1, "the one that is there");
    assert_eq!(count(&statuses, 404) + count(&statuses, 503), 4_999);
    assert_eq!(service.read(&slot).await.version, 2);
}
