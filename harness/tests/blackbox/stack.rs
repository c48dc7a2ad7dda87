//! What the tests share: one private stack for all of them, and service processes on it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::broker::fresh_virtual_host;
use slotproof_vocabulary::{
    StrategyKind,
    reference_api::{BookingBody, DoctorBody, SlotBody},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where `ci/shared-stack` has written what `up` says of a stack that all test processes share.
const STACK: &str = "SLOTPROOF_TEST_STACK";

/// The program under test.
pub(crate) fn slotproof() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotproof"));
    command.stdin(Stdio::null()).env_remove("DATABASE_URL");
    command
}

/// Runs it to its end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    slotproof().args(arguments).output().expect("the binary runs")
}

/// Makes a load until one ends with this exit code: a machine that does little in a second gets up to
/// five, each twice as long as the one before. What is violated ends it, whatever was expected.
pub(crate) fn until<Ended>(
    expected: i32,
    seconds: u64,
    code: impl Fn(&Ended) -> i32,
    mut load: impl FnMut(&str) -> Ended,
) -> Ended {
    let mut lengths = (0..5).map(|doubled| format!("{}s", seconds << doubled));
    let first = load(&lengths.next().expect("five"));
    lengths.fold(
        first,
        |last, length| {
            if [expected, 1].contains(&code(&last)) { last } else { load(&length) }
        },
    )
}

/// Polls until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends process groups when this test process ends, however it ends: statics are never dropped. It
/// is Slotproof's own guard.
fn guard() -> &'static Mutex<ChildStdin> {
    static GUARD: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    GUARD.get_or_init(|| {
        let mut command = slotproof();
        command
            .arg("guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().expect("the guard starts");
        let pipe = child.stdin.take().expect("it is piped");
        // It ends when the pipe closes, and that is when we end.
        std::thread::spawn(move || child.wait());
        Mutex::new(pipe)
    })
}

/// Starts a child in a group of its own, under guard, with its standard output piped to us.
pub(crate) fn start(command: &mut Command) -> Child {
    let child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("the binary runs");
    let mut guard = guard().lock().expect("nobody panics with it");
    writeln!(guard, "+group {}", child.id()).expect("the guard lives");
    child
}

/// Where the servers of the one private stack are that all tests share.
pub(crate) struct Endpoints {
    pub(crate) postgres_url: String,
    pub(crate) redis_url: String,
    pub(crate) amqp_url: String,
}

pub(crate) async fn endpoints() -> &'static Endpoints {
    tokio::task::spawn_blocking(shared_stack).await.expect("the stack starts")
}

fn shared_stack() -> &'static Endpoints {
    static UP: OnceLock<(Option<Child>, Endpoints)> = OnceLock::new();
    let (_, endpoints) = UP.get_or_init(|| {
        let (up, text) = match std::env::var_os(STACK) {
            Some(path) => {
                (None, std::fs::read_to_string(path).expect("`ci/shared-stack` wrote it"))
            }
            None => own_stack(),
        };
        let endpoints: Value = serde_json::from_str(&text).expect("it speaks JSON");
        let url = |name: &str| endpoints[name].as_str().expect("it says where").to_owned();
        let (postgres_url, redis_url, amqp_url) =
            (url("postgres_url"), url("redis_url"), url("amqp_url"));
        (up, Endpoints { postgres_url, redis_url, amqp_url })
    });
    endpoints
}

/// A stack that ends with this test process, and what `up` says of it.
fn own_stack() -> (Option<Child>, String) {
    let runs = std::env::temp_dir().join(format!("slotproof-tests-{}", std::process::id()));
    let mut command = slotproof();
    let mut up =
        start(command.args(["up", "--replicas", "1", "--runs"]).arg(&runs).stderr(Stdio::null()));
    let mut text = String::new();
    let mut lines = BufReader::new(up.stdout.take().expect("it is piped"));
    while !text.ends_with("}\n") {
        assert!(lines.read_line(&mut text).expect("it speaks") > 0, "`up` ended early: {text}");
    }
    (Some(up), text)
}

/// A service process of one strategy, on a database and a virtual host of its own on the shared
/// servers. Dropping it ends it.
pub(crate) struct Service {
    process: Process,
    pub(crate) target: String,
    pub(crate) http: reqwest::Client,
}

impl Service {
    pub(crate) async fn start(strategy: &str, hold: &str) -> Self {
        let database_url = fresh_database().await;
        let kind: StrategyKind = strategy.parse().expect("a strategy");
        let endpoints = endpoints().await;
        let mut variables = vec![
            ("SLOTPROOF_HOLD", hold),
            ("SLOTPROOF_DATABASE_URL", database_url.as_str()),
            ("SLOTPROOF_REDIS_URL", endpoints.redis_url.as_str()),
        ];
        let amqp_url;
        if kind.needs_rabbitmq() {
            amqp_url = fresh_virtual_host().await;
            variables.push(("SLOTPROOF_AMQP_URL", amqp_url.as_str()));
        }
        let service = Self::start_with(strategy, &variables).await;
        eventually("the service is ready", async || service.get("/readyz").await.status() == 200)
            .await;
        service
    }

    /// Started with these environment variables, and listening; whether it is ready is another
    /// question.
    pub(crate) async fn start_with(strategy: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = slotproof();
        command.args([
            "serve",
            "--strategy",
            strategy,
            "--listen",
            "127.0.0.1:0",
            "--no-announcements",
        ]);
        let mut process = Process(start(command.envs(variables.iter().copied())));
        let stdout = process.0.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it speaks");
        let said: Value = serde_json::from_str(&line).expect("it says where it listens");
        let target = format!("http://{}", said["listening"].as_str().expect("an address"));
        Self { process, target, http: reqwest::Client::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.target)
    }

    /// A doctor with one slot.
    pub(crate) async fn slot(&self, capacity: i64) -> SlotBody {
        let doctor = json!({"name": "Ada Example", "specialty": "cardiology"});
        let doctor: DoctorBody =
            self.post("/v1/admin/doctors", &doctor).await.json().await.expect("a doctor");
        let slot = json!({"doctor_id": doctor.id, "starts_at": "2027-03-01T09:00:00Z", "capacity": capacity});
        let answer = self.post("/v1/admin/slots", &slot).await;
        assert_eq!(answer.status(), 201);
        answer.json().await.expect("a slot")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.http.post(self.url(path)).json(body).send().await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    /// Reserves, and waits for the decision of a request that was accepted.
    pub(crate) async fn reserve(
        &self,
        slot: &SlotBody,
        seats: i64,
        key: &str,
    ) -> reqwest::Response {
        let request = self.http.post(self.url(&format!("/v1/slots/{}/bookings", slot.id)));
        let request = request.header("idempotency-key", key).json(&json!({"seats": seats}));
        let mut answer = request.send().await.expect("an answer");
        let deadline = Instant::now() + PATIENCE;
        while answer.status() == 202 {
            assert!(Instant::now() < deadline, "nobody decided {key}");
            tokio::time::sleep(Duration::from_millis(10)).await;
            let location = answer.headers()["location"].to_str().expect("a path").to_owned();
            let question = self.http.get(self.url(&location)).header("idempotency-key", key);
            answer = question.send().await.expect("an answer");
        }
        answer
    }

    /// Reserves, and expects the seats.
    pub(crate) async fn hold(&self, slot: &SlotBody, seats: i64, key: &str) -> BookingBody {
        let answer = self.reserve(slot, seats, key).await;
        let status = answer.status();
        let body = answer.text().await.expect("a body");
        assert_eq!(status, 201, "{body}");
        serde_json::from_str(&body).expect("a booking")
    }

    pub(crate) async fn confirm(&self, booking: &BookingBody) -> reqwest::Response {
        self.post(&format!("/v1/bookings/{}/confirm", booking.id), &Value::Null).await
    }

    pub(crate) async fn cancel(&self, booking: &BookingBody) -> reqwest::Response {
        self.http
            .delete(self.url(&format!("/v1/bookings/{}", booking.id)))
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn read(&self, slot: &SlotBody) -> SlotBody {
        self.get(&format!("/v1/slots/{}", slot.id)).await.json().await.expect("a slot")
    }
}

/// A child that ends when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A problem's status and code.
pub(crate) async fn problem(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let kind = answer
        .headers()
        .get("content-type")
        .map(|value| value.to_str().unwrap_or_default().to_owned());
    let body: Value = answer.json().await.expect("a body of JSON");
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{body}");
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().expect("a code").to_owned())
}

/// An empty database on the shared server.
pub(crate) async fn fresh_database() -> String {
    use sqlx::{AssertSqlSafe, Connection, PgConnection};
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let url = &endpoints().await.postgres_url;
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut connection)
        .await
        .expect("a database");
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}
