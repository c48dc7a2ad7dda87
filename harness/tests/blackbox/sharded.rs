//! Doctors divided among several databases: runs and negative controls, buckets that move under
//! load, moves that were interrupted, and shards that do not fit together.

use std::{collections::BTreeSet, fs, path::Path, process::Output};

use serde_json::{Value, json};
use slotproof_vocabulary::reference_api::{DoctorBody, DoctorList, SlotBody, SlotList};
use sqlx::{Connection, PgConnection};

use crate::{
    stack::{Service, endpoints, fresh_database, problem, slotproof},
    topologies::{Ended, convicted_by, refused, run_until},
};

/// Clients of many doctors.
const DOCTORS: &str = "--scenario steady --mix browse=2,book=1,cancel=3,give_up=3 --think 20ms \
                       --clients 40 --slots 24 --capacity 6 --hold 3s";

/// The right topology, and buckets that take as long to be copied as large ones; the first process
/// reads its map again only when it is refused.
fn with_large_buckets(directory: &Path) -> String {
    let text = include_str!("../../stack/topologies/sharded.toml")
        .replace("name = \"sharded\"", "name = \"sharded_slowly\"");
    let file = directory.join("sharded_slowly.toml");
    fs::write(&file, format!("{text}copy_delay_ms = 200\n")).expect("it is written");
    file.to_str().expect("plain").to_owned()
}

fn is_judged_the_same_again(ended: &Ended) {
    let verdict = fs::read(ended.path.join("verdict.json")).expect("it is there");
    let check = slotproof().arg("check").arg(&ended.path).output().expect("the binary runs");
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
    assert_eq!(fs::read(ended.path.join("verdict.json")).expect("it is there"), verdict);
}

#[test]
fn doctors_move_to_other_shards_under_load_and_no_booking_is_lost_or_doubled() {
    let directory = tempfile::tempdir().expect("a directory");
    let topology = with_large_buckets(directory.path());
    let ended = run_until(0, &topology, DOCTORS, 6, &["--fault", "rebalance:shard-2@1s"]);
    let fault = &ended.json("faults.json")[0];
    assert_eq!(
        (&fault["fault"], &fault["problem"]),
        (&"rebalance:shard-2@1s".into(), &Value::Null)
    );
    let said = fault["said"].as_str().expect("it says what it moved");
    assert!(said.starts_with("moved ") && !said.contains(" 0 of them with doctors"), "{said}");
    let slots = ended.json("end_state.json")["slots"].as_array().expect("slots").len();
    assert_eq!(slots, 24, "each slot has one row");
    let again = ended.json("run.json")["repeat_command"].to_string();
    assert!(again.contains("sharded_slowly.toml --fault rebalance:shard-2@1s"), "{again}");
    is_judged_the_same_again(&ended);
}

#[test]
fn a_bucket_with_two_owners_is_convicted_by_a_log_that_forks() {
    let fault = ["--fault", "rebalance:shard-2@1s"];
    let ended = convicted_by("I13", "two_owners", DOCTORS, 6, &fault);
    assert!(ended.said.contains("negative control"), "{}", ended.said);
}

#[test]
fn a_bucket_that_moves_without_its_tail_loses_bookings() {
    convicted_by("I3", "move_without_tail", DOCTORS, 6, &["--fault", "rebalance:shard-2@1s"]);
}

#[test]
fn a_hash_function_with_a_seed_of_its_own_loses_bookings() {
    let load = DOCTORS.replace("give_up=3", "give_up=3,watch=2");
    convicted_by("I3", "default_hasher", &load, 5, &[]);
}

#[test]
fn shards_that_cannot_be_had_are_refused_before_anything_is_begun() {
    let on = ["run", "--strategy", "conditional", "--topology"];
    refused(
        &[&on[..], &["sharded", "--fault", "rebalance:redis@1s"]].concat(),
        "the topology `sharded` has no such shard; it has shard-1, shard-2, shard-3",
    );
    refused(
        &[&on[..], &["single", "--fault", "rebalance:shard-1@1s"]].concat(),
        "the topology `single` has no shards",
    );
    refused(
        &["run", "--strategy", "queue", "--topology", "sharded"],
        "queue needs [service] queue, which the topology `sharded` does not have",
    );
}

/// Databases of shards a, b, ..., and how the service is told of them.
struct Databases {
    urls: Vec<String>,
    argument: String,
}

impl Databases {
    async fn fresh(number: usize) -> Self {
        let mut urls = Vec::new();
        for _ in 0..number {
            urls.push(fresh_database().await);
        }
        let argument = Self::named(&urls);
        Self { urls, argument }
    }

    fn named(urls: &[String]) -> String {
        let named = ('a'..).zip(urls).map(|(name, url)| format!("{name}={url}"));
        named.collect::<Vec<_>>().join(",")
    }

    /// It reads its map again only when it is refused: no test passes because a second went by.
    async fn service(&self, strategy: &str) -> Service {
        let redis = &endpoints().await.redis_url;
        let variables = [
            ("SLOTPROOF_SHARDS", self.argument.as_str()),
            ("SLOTPROOF_KEEP_SHARD_MAP", "true"),
            ("SLOTPROOF_REDIS_URL", redis.as_str()),
        ];
        Service::start_with(strategy, &variables).await
    }

    async fn connect(&self, shard: usize) -> PgConnection {
        PgConnection::connect(&self.urls[shard]).await.expect("the server answers")
    }

    /// The shard that has a row of the slot and owns it.
    async fn owner_of(&self, slot: &SlotBody) -> usize {
        let mut owners = Vec::new();
        for shard in 0..self.urls.len() {
            let owns = "select count(*) from appointment_slots join shard_buckets
                on bucket = shard_bucket(doctor_id) and state = 'owned' where slot_id = $1";
            let owns = sqlx::query_scalar::<_, i64>(owns).bind(slot.id.as_uuid());
            if owns.fetch_one(&mut self.connect(shard).await).await.expect("a count") == 1 {
                owners.push(shard);
            }
        }
        assert_eq!(owners.len(), 1, "{slot:?}");
        owners[0]
    }

    fn rebalance(&self, words: &[&str]) -> Output {
        let mut command = slotproof();
        command.arg("rebalance").args(words).env("SLOTPROOF_SHARDS", &self.argument);
        command.output().expect("the binary runs")
    }

    /// Moves the slot's doctor to another shard.
    async fn move_on(&self, slot: &SlotBody) -> (usize, usize) {
        let from = self.owner_of(slot).await;
        let to = (from + 1) % self.urls.len();
        let name = char::from(b'a' + u8::try_from(to).expect("few")).to_string();
        let doctor = slot.doctor_id.0.to_string();
        let moved = self.rebalance(&["--doctor", &doctor, "--to", &name]);
        let said = String::from_utf8_lossy(&moved.stderr);
        assert_eq!(moved.status.code(), Some(0), "{said}");
        let moved: Value = serde_json::from_slice(&moved.stdout).expect("it is JSON");
        assert_eq!((&moved["buckets"], &moved["with_doctors"]), (&1.into(), &1.into()), "{moved}");
        assert_eq!(self.owner_of(slot).await, to);
        (from, to)
    }
}

#[tokio::test]
async fn the_database_and_the_service_compute_the_same_bucket() {
    let databases = Databases::fresh(2).await;
    let _service = databases.service("conditional").await;
    let buckets = "select array_agg(shard_bucket(id)) from unnest($1::integer[]) id";
    let buckets = sqlx::query_scalar::<_, Vec<i32>>(buckets);
    let buckets = buckets.bind([0, 1, 2, 3, 1_000_000, i32::MAX].to_vec());
    let buckets = buckets.fetch_one(&mut databases.connect(0).await).await.expect("buckets");
    assert_eq!(buckets, [0, 632, 241, 874, 1_010, 903], "as src/sharding/bucket.rs says");
    let owned = "select count(*) from shard_buckets where state = 'owned' and epoch = 1";
    let mut all = 0;
    for shard in 0..2 {
        let owned = sqlx::query_scalar::<_, i64>(owned);
        all += owned.fetch_one(&mut databases.connect(shard).await).await.expect("a count");
    }
    assert_eq!(all, 1_024);
}

#[tokio::test]
async fn a_booking_goes_with_its_doctor_and_every_process_finds_it() {
    let databases = Databases::fresh(3).await;
    let (one, other) =
        (databases.service("conditional").await, databases.service("pessimistic").await);
    let slot = one.slot(3).await;
    let booked = one.hold(&slot, 1, "first").await;
    let held = other.hold(&slot, 1, "second").await;
    let (from, to) = databases.move_on(&slot).await;

    // Neither process was told.
    assert_eq!(one.confirm(&booked).await.status(), 200);
    assert_eq!(other.cancel(&held).await.status(), 200);
    assert_eq!(other.hold(&slot, 1, "first").await.id, booked.id, "its receipt moved along");
    let after = other.read(&slot).await;
    assert_eq!((after.available_seats, after.confirmed_seats, after.version), (2, 1, 4));
    let log = "select array_agg(slot_version order by slot_version) from booking_audit";
    let log = sqlx::query_scalar::<_, Vec<i64>>(log);
    let log = log.fetch_one(&mut databases.connect(to).await).await.expect("a log");
    assert_eq!(log, [1, 2, 3, 4]);
    for table in ["doctors", "appointment_slots", "bookings", "booking_audit", "idempotency_keys"] {
        let left = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!(
            "select count(*) from {table}"
        )));
        let left = left.fetch_one(&mut databases.connect(from).await).await.expect("a count");
        assert_eq!(left, 0, "{table} of the shard that it left");
    }
    databases.move_on(&slot).await;
    assert_eq!(one.read(&slot).await, after);
    let no_booking = format!("/v1/bookings/{}0000", &booked.id.to_string()[..32]);
    assert_eq!(problem(one.get(&no_booking).await).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_a_shard_does_not_own_is_refused_there_whatever_the_writer_believes() {
    let databases = Databases::fresh(2).await;
    let service = databases.service("conditional").await;
    let slot = service.slot(3).await;
    let owner = databases.owner_of(&slot).await;
    let mut stranger = databases.connect(1 - owner).await;
    let mut codes = BTreeSet::new();
    // Of eight doctors some belong elsewhere.
    for _ in 0..8 {
        let insert = sqlx::query("insert into doctors (name, specialty) values ('a', 'b')");
        if let Err(sqlx::Error::Database(error)) = insert.execute(&mut stranger).await {
            codes.insert(error.code().expect("a code").into_owned());
        }
    }
    assert_eq!(codes, BTreeSet::from(["SP001".to_owned()]));

    let mut database = databases.connect(owner).await;
    let state = |state: &'static str, to: Option<&'static str>| {
        sqlx::query(
            "update shard_buckets set state = $1, to_shard = $2 where bucket = shard_bucket($3)",
        )
        .bind(state)
        .bind(to)
        .bind(slot.doctor_id.0.cast_signed())
    };
    let other = if owner == 0 { "b" } else { "a" };
    state("moving", Some(other)).execute(&mut database).await.expect("it is moving");
    let refused = service.reserve(&slot, 1, "while-it-moves").await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(problem(refused).await, (503, "retry_later".to_owned()));
    assert_eq!(service.read(&slot).await.available_seats, 3, "it is read meanwhile");
    let others = service.slot(3).await;
    service.hold(&others, 1, "another-doctor").await;

    // A mover that died: the next one goes on.
    let ended = databases.rebalance(&["--drain", if owner == 0 { "b" } else { "a" }]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    service.hold(&slot, 1, "while-it-moves").await;
}

#[tokio::test]
async fn a_mover_that_died_between_two_shards_is_followed_by_one_that_ends_its_work() {
    let databases = Databases::fresh(2).await;
    let service = databases.service("grouped").await;
    let slot = service.slot(3).await;
    let booked = service.hold(&slot, 1, "before").await;
    let (_, to) = databases.move_on(&slot).await;
    // Everything has been copied and given away, and the new owner was not told.
    let doctor = slot.doctor_id.0.cast_signed();
    sqlx::query("delete from shard_buckets where bucket = shard_bucket($1)")
        .bind(doctor)
        .execute(&mut databases.connect(to).await)
        .await
        .expect("it is forgotten");
    for refused in [
        service.reserve(&slot, 1, "nobody-has-it").await,
        service.get(&format!("/v1/slots/{}", slot.id)).await,
        service.confirm(&booked).await,
    ] {
        assert_eq!(problem(refused).await, (503, "retry_later".to_owned()));
    }
    let ended = databases.rebalance(&[]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(service.confirm(&booked).await.status(), 200);
}

#[tokio::test]
async fn lists_are_gathered_from_all_shards() {
    let databases = Databases::fresh(3).await;
    let service = databases.service("conditional").await;
    let mut made = Vec::new();
    for _ in 0..9 {
        made.push(service.slot(1).await);
    }
    let mut owners = BTreeSet::new();
    for slot in &made {
        owners.insert(databases.owner_of(slot).await);
    }
    assert!(owners.len() > 1, "nine doctors are in more than one shard");
    databases.move_on(&made[0]).await;
    let list: SlotList = service.get("/v1/slots").await.json().await.expect("a list");
    let mut expected: Vec<_> = made.iter().map(|slot| slot.id).collect();
    let mut listed: Vec<_> = list.items.iter().map(|slot| slot.id).collect();
    expected.sort();
    listed.sort();
    assert_eq!(listed, expected);
    let of_one = format!("/v1/slots?doctor_id={}", made[0].doctor_id.0);
    let of_one: SlotList = service.get(&of_one).await.json().await.expect("a list");
    assert_eq!(of_one.items.iter().map(|slot| slot.id).collect::<Vec<_>>(), [made[0].id]);
    let doctors: DoctorList = service.get("/v1/doctors").await.json().await.expect("a list");
    let ids: Vec<_> = doctors.items.iter().map(|doctor: &DoctorBody| doctor.id).collect();
    assert_eq!(ids.len(), 9);
    assert!(ids.is_sorted());
    let none = json!({"doctor_id": 4_000_000, "starts_at": "2027-03-01T09:00:00Z", "capacity": 1});
    let none = service.post("/v1/admin/slots", &none).await;
    assert_eq!(problem(none).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_shard_that_is_added_gets_its_share_and_one_that_is_drained_keeps_nothing() {
    let mut databases = Databases::fresh(2).await;
    drop(databases.service("conditional").await);
    databases.urls.push(fresh_database().await);
    databases.argument = Databases::named(&databases.urls);
    let service = databases.service("conditional").await;
    let count = async |shard: usize| {
        let owned = "select count(*) from shard_buckets where state = 'owned'";
        let owned = sqlx::query_scalar::<_, i64>(owned);
        owned.fetch_one(&mut databases.connect(shard).await).await.expect("a count")
    };
    assert_eq!(count(2).await, 0, "it is new");
    let slot = service.slot(2).await;
    assert_eq!(databases.rebalance(&[]).status.code(), Some(0));
    let share = count(2).await;
    assert!((290..=390).contains(&share), "{share} of 1,024 buckets");
    assert_eq!(databases.rebalance(&["--drain", "c"]).status.code(), Some(0));
    assert_eq!(count(2).await, 0);
    assert_eq!(count(0).await + count(1).await, 1_024);
    service.hold(&slot, 1, "after-all-that").await;
}

/// What the service says that does not start with these shards.
fn says(argument: &str) -> String {
    let words = ["serve", "--strategy", "conditional", "--listen", "127.0.0.1:0"];
    let mut command = slotproof();
    let ended = command.args(words).env("SLOTPROOF_SHARDS", argument).output();
    let ended = ended.expect("the binary runs");
    assert_ne!(ended.status.code(), Some(0));
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[tokio::test]
async fn shards_that_do_not_fit_together_are_refused_by_name() {
    let databases = Databases::fresh(3).await;
    let service = databases.service("conditional").await;
    let slot = service.slot(1).await;
    drop(service);
    let [a, b, c] = [0, 1, 2].map(|shard| databases.urls[shard].as_str());

    let one = says(&format!("a={a}"));
    assert!(one.contains("shards must be two or more"), "{one}");
    let missing = says(&format!("a={a},b={b}"));
    assert!(missing.contains("no shard owns bucket"), "{missing}");
    let mixed = says(&format!("a={a},b={c},c={b}"));
    assert!(mixed.contains("the database of shard b is that of shard c"), "{mixed}");
    let alone = slotproof()
        .args(["serve", "--strategy", "conditional", "--database-url", a])
        .output()
        .expect("the binary runs");
    let alone = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.contains("the database is a shard, and --shard is not given"), "{alone}");

    // A shard from a backup has what has moved since.
    let (from, _) = databases.move_on(&slot).await;
    let restore = "update shard_buckets set state = 'owned', to_shard = null where state = 'moved'";
    sqlx::query(restore).execute(&mut databases.connect(from).await).await.expect("restored");
    let two = says(&databases.argument);
    assert!(two.contains("(epoch 2) and by shard") && two.contains("(epoch 1)"), "{two}");

    let empty = Databases::fresh(2).await;
    let moved = empty.rebalance(&[]);
    let said = String::from_utf8_lossy(&moved.stderr).into_owned();
    assert_eq!(moved.status.code(), Some(64), "{said}");
    assert!(said.contains("has no shards; start a service with --shard on it first"), "{said}");
    let unknown = databases.rebalance(&["--drain", "z"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(64), "{said}");
    assert!(said.contains("no shard is named z; there are a, b, c"), "{said}");
}
