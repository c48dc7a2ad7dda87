//! Topologies with a cache, on real servers: what is right, what is broken on purpose, and a cache
//! that is full or gone.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command},
};

use slotproof_vocabulary::reference_api::{DoctorBody, SlotList};

use crate::{
    stack::{Service, eventually, fresh_database, problem, slotproof, start},
    topologies::{Ended, convicted_by, run, run_until},
};

/// Clients that look more often than they buy, and come back to holds that have run out.
const VISITS: &str = "--scenario steady --mix browse=8,buy=1,watch=1,give_up=1 --think 10ms \
                      --clients 30 --slots 6 --capacity 6 --hold 600ms";
/// Clients that take and give back the seats of one slot, and look in between.
const TURNOVER: &str = "--scenario steady --mix browse=3,give_up=1 --think 10ms --clients 30 \
                        --slots 1 --capacity 12 --hold 600ms";

fn cache_reads(ended: &Ended, what: &str) -> u64 {
    ended.json("costs.json")["cache_reads"][what].as_u64().expect("they are counted")
}

#[test]
fn reads_are_answered_by_the_cache_and_the_run_is_upheld_and_judged_the_same_again() {
    let ended = run_until(0, "cached", VISITS, 3, &[]);
    assert!(cache_reads(&ended, "hits") > 0, "{:#}", ended.json("costs.json"));
    assert!(cache_reads(&ended, "age_ms_max") <= 1_000, "{:#}", ended.json("costs.json"));
    let topology = &ended.json("run.json")["environment"]["topology"];
    assert_eq!(
        (&topology["stale_ms"], &topology["booking_stale_ms"]),
        (&1_000.into(), &1_000.into())
    );
    let page = fs::read_to_string(ended.path.join("report.html")).expect("it is there");
    assert!(page.contains("reads answered by the cache"), "{page}");

    let verdict = fs::read(ended.path.join("verdict.json")).expect("it is there");
    let check = slotproof().arg("check").arg(&ended.path).output().expect("the binary runs");
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
    assert_eq!(fs::read(ended.path.join("verdict.json")).expect("it is there"), verdict);
}

#[test]
fn a_late_fill_is_convicted_and_with_versions_it_is_refused() {
    let ended = run_until(1, "cache_aside_race", TURNOVER, 3, &[]);
    // The order of sessions (I10), that of the log (I13), or both: the first load that shows one
    // of them is the last.
    let orders = ["I10", "I13"].map(|order| ended.verdict_of(order));
    assert!(orders.contains(&"violated".into()), "{orders:?}");
    assert!(ended.said.contains("negative control"), "{}", ended.said);

    let directory = tempfile::tempdir().expect("a directory");
    let text = include_str!("../../stack/topologies/cached.toml")
        .replace("name = \"cached\"", "name = \"cached_late\"");
    let file = directory.path().join("cached_late.toml");
    fs::write(&file, format!("{text}cache_delay_ms = 1500\n")).expect("it is written");
    let ended = run_until(0, file.to_str().expect("plain"), TURNOVER, 3, &[]);
    assert!(cache_reads(&ended, "fills_refused") > 0, "{:#}", ended.json("costs.json"));
}

#[test]
fn a_cache_that_is_killed_and_comes_back_changes_no_answer() {
    let fault = ["--duration", "6s", "--fault", "kill:cache@1s for 2s"];
    let ended = run("cached", VISITS, &fault);
    let verdict = ended.json("verdict.json");
    for finding in verdict["findings"].as_array().expect("findings") {
        // A slow machine may sell no slot out within the load that the fault has its time in.
        if finding["invariant"] != "I15" {
            assert_eq!(finding["verdict"], "upheld", "{finding:#}");
        }
    }
    assert!(cache_reads(&ended, "unavailable") > 0, "{:#}", ended.json("costs.json"));
}

/// A Redis of its own without a password, which writes nothing to disk.
struct Redis {
    process: Child,
    url: String,
}

impl Redis {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port().to_string();
        drop(listener);
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        let redis =
            Self { process: start(&mut command), url: format!("redis://127.0.0.1:{port}/") };
        eventually("Redis answers", async || redis.connection().await.is_ok()).await;
        redis
    }

    async fn connection(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url.as_str())?.get_multiplexed_async_connection().await
    }

    async fn config(&self, name: &str, value: &str) {
        let mut connection = self.connection().await.expect("it answers");
        let mut command = redis::cmd("config");
        command.arg("set").arg(name).arg(value);
        command.exec_async(&mut connection).await.expect("it is set");
    }

    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

#[tokio::test]
async fn a_cache_that_is_full_or_gone_leaves_every_answer_to_the_database() {
    let (mut redis, database) = (Redis::start().await, fresh_database().await);
    let variables = [
        ("SLOTPROOF_DATABASE_URL", database.as_str()),
        ("SLOTPROOF_CACHE_URL", redis.url.as_str()),
        // So that it is not the age of an entry that makes an answer right.
        ("SLOTPROOF_STALENESS_MS", "3600000"),
        ("SLOTPROOF_BOOKING_STALENESS_MS", "3600000"),
    ];
    let service = Service::start_with("conditional", &variables).await;
    eventually("the service is ready", async || service.get("/readyz").await.status() == 200).await;
    let hits = async || {
        let metrics = service.get("/metrics").await.text().await.expect("a text");
        let hit = |line: &&str| line.starts_with("cache_reads_total{") && line.contains("\"hit\"");
        metrics.lines().filter(hit).count()
    };
    let slot = service.slot(5).await;
    eventually("the cache answers", async || {
        assert_eq!(service.read(&slot).await.available_seats, 5);
        hits().await > 0
    })
    .await;

    redis.config("maxmemory-policy", "noeviction").await;
    redis.config("maxmemory", "1").await;
    let booking = service.hold(&slot, 1, "full").await;
    assert_eq!(service.read(&slot).await.available_seats, 4, "its entry was deleted");
    assert_eq!(service.confirm(&booking).await.status(), 200);
    assert_eq!(service.read(&slot).await.confirmed_seats, 1);

    redis.kill();
    service.hold(&slot, 2, "gone").await;
    assert_eq!(service.read(&slot).await.available_seats, 2);
    assert_eq!(service.cancel(&booking).await.status(), 200);
    assert_eq!(service.read(&slot).await.available_seats, 3);
}

#[tokio::test]
async fn doctors_and_slots_with_seats_left_are_cached_under_the_keys_of_the_design() {
    let (redis, database) = (Redis::start().await, fresh_database().await);
    let variables = [
        ("SLOTPROOF_DATABASE_URL", database.as_str()),
        ("SLOTPROOF_CACHE_URL", redis.url.as_str()),
        ("SLOTPROOF_STALENESS_MS", "3600000"),
    ];
    let service = Service::start_with("conditional", &variables).await;
    let slot = service.slot(1).await;
    let lifetime_ms = async |key: String| {
        let mut connection = redis.connection().await.expect("it answers");
        let lives: i64 =
            redis::cmd("pttl").arg(key).query_async(&mut connection).await.expect("it is told");
        lives
    };
    let doctor = async || {
        let path = format!("/v1/doctors/{}", slot.doctor_id);
        service.get(&path).await.json::<DoctorBody>().await.expect("a doctor")
    };
    let available = async || {
        let list: SlotList =
            service.get("/v1/slots?available=true").await.json().await.expect("a list");
        list.items.len()
    };
    eventually("the doctor is cached", async || {
        assert_eq!(doctor().await.name, "Ada Example");
        lifetime_ms(format!("doctor:{}", slot.doctor_id)).await > 50 * 60 * 1_000
    })
    .await;
    eventually("the list is cached", async || {
        assert_eq!(available().await, 1);
        (50_000..=60_000).contains(&lifetime_ms("slots:available".to_owned()).await)
    })
    .await;
    service.hold(&slot, 1, "the-last-seat").await;
    assert_eq!(available().await, 1, "as old as is declared");
    let list: SlotList =
        service.get("/v1/slots?available=false").await.json().await.expect("a list");
    assert_eq!(list.items.len(), 1, "what has no seats left is not cached");
    let nobody = service.get("/v1/doctors/4000000").await;
    assert_eq!(problem(nobody).await, (404, "not_found".to_owned()));
}

#[test]
fn a_cache_that_is_written_behind_is_right_for_reads_and_never_for_bookings() {
    let ended = run_until(0, "cached_behind", VISITS, 3, &[]);
    assert!(cache_reads(&ended, "hits") > 0, "{:#}", ended.json("costs.json"));
    let buyers = "--scenario steady --mix buy=1,watch=1 --think 10ms --clients 30 --slots 1 \
                  --capacity 40 --hold 4s";
    convicted_by("I3", "cache_behind_bookings", buyers, 4, &[]);
}
