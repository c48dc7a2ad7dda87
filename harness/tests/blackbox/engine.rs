//! The load engine as a process: honest latency, targets that misbehave, loads that are killed, and
//! the same seed twice.

use std::{
    convert::Infallible,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{Method, Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use slotproof_checker::{Case, History};
use slotproof_experiments::totals_of;
use slotproof_reports::run_report::Totals;
use slotproof_vocabulary::{Action, LoadTotals, Operation, Outcome, Plan, PlanArgs};

use crate::stack::{output, slotproof, start};

/// A load that runs, and where its files are.
struct Load {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    directory: tempfile::TempDir,
}

/// A load that has ended in order.
struct Ended {
    totals: LoadTotals,
    operations: Vec<Operation>,
    elapsed: Duration,
}

impl Load {
    fn start(plan: Value, target: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name);
        let slots: Vec<String> = (0..plan["slots"].as_u64().unwrap_or(1))
            .map(|number| format!("slot-{number}"))
            .collect();
        let order = json!({
            "plan": plan, "run": "test", "targets": [target], "slots": slots,
            "history": file("history.jsonl.zst"), "latency": file("latency.hlog"),
        });
        fs::write(file("order.json"), order.to_string()).expect("it can be written");
        fs::write(file("plan.json"), plan.to_string()).expect("it can be written");
        let mut child = start(slotproof().arg("load").arg(file("order.json")));
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, lines, directory }
    }

    /// The next event, if there is one more.
    fn event(&mut self) -> Option<Value> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("it speaks text") > 0 {
            if let Ok(event) = serde_json::from_str::<Value>(&line) {
                return Some(event);
            }
            line.clear();
        }
        None
    }

    /// The first progress of which this holds.
    fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        while let Some(event) = self.event() {
            if event["event"] == "progress" && holds(&event) {
                return event;
            }
        }
        panic!("the load ended before it was so");
    }

    fn end(mut self) -> Ended {
        let begun = Instant::now();
        let mut last = Value::Null;
        while let Some(event) = self.event() {
            last = event;
        }
        assert!(self.child.wait().expect("it ends").success());
        let mut totals = last;
        assert_eq!(totals.as_object_mut().expect("an event").remove("event"), Some(json!("ended")));
        Ended {
            totals: serde_json::from_value(totals).expect("the load's totals"),
            operations: operations(self.directory.path()),
            elapsed: begun.elapsed(),
        }
    }
}

fn operations(directory: &Path) -> Vec<Operation> {
    let file = fs::File::open(directory.join("history.jsonl.zst")).expect("it is there");
    let text = zstd::decode_all(file).expect("whole frames");
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("an operation")).collect()
}

fn response_ms(operation: &Operation) -> u64 {
    (operation.returned_ns - operation.scheduled_ns) / 1_000_000
}

fn service_ms(operation: &Operation) -> u64 {
    (operation.returned_ns - operation.sent_ns) / 1_000_000
}

/// The bench's server that does nothing, in a process of its own.
struct TrivialServer {
    child: Child,
    target: String,
}

impl TrivialServer {
    fn start() -> Self {
        let mut child = start(slotproof().args(["measured", "trivial-server"]));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it speaks");
        let said: Value = serde_json::from_str(&line).expect("it says where it listens");
        let target = format!("http://{}", said["listening"].as_str().expect("an address"));
        Self { child, target }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for TrivialServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops the server in the midst of the load, for a second of the load's own time.
fn through_a_stall(clients: u32) -> Ended {
    let server = TrivialServer::start();
    let plan = json!({
        "scenario": "steady", "mix": "browse=1", "rate": "200/s", "duration": "3s", "clients": clients,
    });
    let mut load = Load::start(plan, &server.target);
    let elapsed_ms = |progress: &Value| progress["elapsed_ms"].as_u64().expect("a time");
    let before = load.until(|progress| elapsed_ms(progress) > 500);
    server.signal(Signal::STOP);
    load.until(|progress| elapsed_ms(progress) >= elapsed_ms(&before) + 1_000);
    server.signal(Signal::CONT);
    load.end()
}

#[test]
fn a_server_that_stands_still_shows_in_the_response_latency_of_everybody_who_arrived_meanwhile() {
    let ended = through_a_stall(1_000);
    let arrivals = ended.totals.arrivals.expect("it is open");
    assert_eq!((arrivals.asked, arrivals.made, ended.operations.len()), (600, 600, 600));
    // Of the two hundred who arrived in that second, each waited for what was left of it.
    let waited = ended.operations.iter().filter(|operation| response_ms(operation) >= 500).count();
    assert!(waited >= 80, "{waited} waited for half a second or more");
    assert!(ended.operations.iter().all(|operation| operation.outcome == Outcome::Ok));
}

#[test]
fn rates_are_those_of_the_window_whatever_the_server_does_in_it_or_after_it() {
    // What is asked for is 200/s for three seconds. How many of them returned inside the window
    // is counted from the history; on a busy machine the last ones return after it.
    let truth = |ended: &Ended| {
        let from_ns = ended.totals.measured_from_ns;
        let window = from_ns..=from_ns + 3_000_000_000;
        let inside = ended.operations.iter().filter(|it| window.contains(&it.returned_ns));
        inside.count() as f64 / 3.0
    };
    let within = |measured: f64, truth: f64| (measured / truth - 1.0).abs() <= 0.02;
    // It stands still for a second in the middle, and catches up.
    let caught_up = through_a_stall(1_000);
    let totals = rates(&caught_up);
    assert_eq!(totals.window_ms, 3_000);
    assert_eq!(totals.operations + totals.drained.values().sum::<u64>(), 600);
    assert!(within(totals.operations_per_s, truth(&caught_up)), "{totals:?}");
    // The second that it stood still is part of the window, and its operations are too.
    assert!(totals.operations_per_s > 150.0, "{totals:?}");
    // It stands still at the end. What it answers afterwards is drain.
    let server = TrivialServer::start();
    let plan = json!({
        "scenario": "steady", "mix": "browse=1", "rate": "200/s", "duration": "3s", "clients": 1_000,
    });
    let mut load = Load::start(plan, &server.target);
    load.until(|progress| progress["elapsed_ms"].as_u64() > Some(2_000));
    server.signal(Signal::STOP);
    load.until(|progress| progress["elapsed_ms"].as_u64() > Some(4_000));
    server.signal(Signal::CONT);
    let ended = load.end();
    let totals = rates(&ended);
    let drained: u64 = totals.drained.values().sum();
    assert_eq!(totals.operations + drained, 600);
    assert!(drained >= 50 && totals.drain_ms >= 900, "{totals:?}");
    assert!(within(totals.operations_per_s, truth(&ended)), "{totals:?}");
}

/// The figures of a load.
fn rates(ended: &Ended) -> Totals {
    let operations = ended.operations.clone();
    let case = Case {
        history: History::of(operations),
        load: Some(ended.totals.clone()),
        ..Case::default()
    };
    totals_of(&case, &Plan::try_from(PlanArgs::default()).expect("a plan"))
}

#[test]
fn a_pool_that_is_too_small_does_not_hide_the_queue() {
    let ended = through_a_stall(4);
    let arrivals = ended.totals.arrivals.expect("it is open");
    assert_eq!((arrivals.made, ended.operations.len()), (600, 600));
    assert!(arrivals.waiting_max >= 100, "{} waited for a client", arrivals.waiting_max);
    let half_a_second = |ms: fn(&Operation) -> u64| {
        ended.operations.iter().filter(|operation| ms(operation) >= 500).count()
    };
    assert!(half_a_second(response_ms) >= 80, "{} by their schedule", half_a_second(response_ms));
    assert!(
        half_a_second(service_ms) <= 4,
        "{} by their sending: one for each client",
        half_a_second(service_ms)
    );
}

#[test]
fn the_same_seed_makes_the_same_visits_at_the_same_instants() {
    let server = TrivialServer::start();
    let plan = json!({
        "scenario": "hot_and_cold", "rate": "300/s", "arrivals": "poisson", "duration": "1s", "slots": 20, "seed": 5,
    });
    let words = [
        "--scenario",
        "hot_and_cold",
        "--rate",
        "300/s",
        "--arrivals",
        "poisson",
        "--duration",
        "1s",
    ];
    let schedule =
        output(&[&["run", "--schedule", "--slots", "20", "--seed", "5"], &words[..]].concat());
    let planned: Vec<Value> = String::from_utf8(schedule.stdout)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("an arrival"))
        .collect();
    assert_eq!(planned.len(), 300);
    for _ in 0..2 {
        let ended = Load::start(plan.clone(), &server.target).end();
        for arrival in &planned {
            let scheduled_ns =
                ended.totals.measured_from_ns + arrival["offset_ns"].as_u64().expect("an offset");
            let visit = ended
                .operations
                .iter()
                .find(|operation| operation.scheduled_ns == scheduled_ns)
                .expect("it was made at its instant");
            assert_eq!(*visit.slot, format!("slot-{}", arrival["slot"]));
            match &visit.action {
                Action::Read => assert_eq!(arrival["visit"], "browse"),
                Action::Reserve { seats, .. } => assert_eq!(arrival["seats"], *seats),
                _ => panic!("no visit begins like this: {visit:?}"),
            }
        }
    }
}

/// A target that treats every connection the same way, on a thread each, until the test ends.
fn target(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = format!("http://{}", listener.local_addr().expect("an address"));
    let treat = Arc::new(treat);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let treat = Arc::clone(&treat);
            std::thread::spawn(move || treat(stream));
        }
    });
    target
}

/// Reads until the end of a request's head; false when there is no request any more.
fn request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// A short closed load of readers with a short patience.
fn readers(target: &str) -> Ended {
    let plan = json!({
        "scenario": "steady", "mix": "browse=1", "clients": 5, "think": "20ms", "duration": "1s", "timeout": "400ms",
    });
    let ended = Load::start(plan, target).end();
    assert!(ended.elapsed < Duration::from_secs(20), "it took {:?}", ended.elapsed);
    assert!(!ended.operations.is_empty());
    ended
}

fn every(ended: &Ended, outcome: Outcome, reason: &str) {
    for operation in &ended.operations {
        assert_eq!((operation.outcome, operation.reason.as_deref()), (outcome, Some(reason)));
    }
}

#[test]
fn a_target_that_is_down_rejects_for_sure() {
    let free =
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    every(&readers(&format!("http://{free}")), Outcome::Rejected, "not_connected");
}

#[test]
fn garbage_silence_and_endless_bodies_are_unknown_and_end_in_time() {
    let garbage = target(|mut stream| {
        if request(&mut stream) {
            let _ = stream.write_all(b"\x00\x01 no HTTP at all\r\n\r\n");
        }
    });
    every(&readers(&garbage), Outcome::Unknown, "connection_lost");

    let byte_by_byte = target(|mut stream| {
        if request(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    every(&readers(&byte_by_byte), Outcome::Unknown, "timeout");

    let silent = target(|mut stream| while request(&mut stream) {});
    every(&readers(&silent), Outcome::Unknown, "timeout");

    let endless = target(|mut stream| {
        if request(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            while stream.write_all(&[b' '; 65_536]).is_ok() {}
        }
    });
    every(&readers(&endless), Outcome::Unknown, "body_too_long");

    let not_json = target(|mut stream| {
        while request(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        }
    });
    every(&readers(&not_json), Outcome::Unknown, "unreadable_200");
}

#[test]
fn a_target_that_dies_in_the_midst_leaves_what_was_answered_and_ends_in_time() {
    let server = TrivialServer::start();
    let plan = json!({
        "scenario": "steady", "mix": "browse=1", "rate": "100/s", "duration": "2s", "timeout": "500ms",
    });
    let mut load = Load::start(plan, &server.target);
    load.until(|progress| progress["outcomes"]["ok"].as_u64() > Some(20));
    drop(server);
    let ended = load.end();
    let count =
        |outcome| ended.operations.iter().filter(|operation| operation.outcome == outcome).count();
    assert!(count(Outcome::Ok) > 20 && count(Outcome::Rejected) > 20, "{:?}", ended.totals);
    assert_eq!(ended.operations.len(), 200, "every arrival was made");
}

#[test]
fn an_operation_that_nobody_answers_is_sent_again_by_the_same_key_and_counted() {
    let sent = Arc::new(AtomicU64::new(0));
    let answers_every_third = {
        let sent = Arc::clone(&sent);
        target(move |mut stream| {
            while request(&mut stream) {
                if sent.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
                    let slot = r#"{"capacity":9,"available_seats":9,"version":0}"#;
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{slot}",
                        slot.len()
                    );
                }
            }
        })
    };
    let plan = json!({
        "scenario": "steady", "mix": "browse=1", "clients": 1, "think": "10ms", "duration": "1s", "timeout": "5s",
        "attempts": 5, "resend": "50ms",
    });
    let ended = Load::start(plan, &answers_every_third).end();
    let attempts: u64 =
        ended.operations.iter().map(|operation| u64::from(operation.attempts)).sum();
    assert_eq!(
        attempts,
        sent.load(Ordering::SeqCst),
        "nothing was sent behind the recorder's back"
    );
    assert!(
        ended
            .operations
            .iter()
            .all(|operation| operation.attempts == 3 && operation.outcome == Outcome::Ok)
    );
}

/// A service without any idea of capacity: every reserve gets what it wants. Runs on a thread of
/// its own, until the test ends.
fn generous_service() -> String {
    let (say, address) = std::sync::mpsc::channel::<SocketAddr>();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            say.send(listener.local_addr().expect("an address")).expect("the test waits");
            let version = Arc::new(AtomicU64::new(0));
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let version = Arc::clone(&version);
                let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let version = version.fetch_add(1, Ordering::SeqCst) + 1;
                    async move { Ok::<_, Infallible>(generous_answer(&request, version)) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
    });
    format!("http://{}", address.recv().expect("it listens"))
}

fn generous_answer(
    request: &Request<hyper::body::Incoming>,
    version: u64,
) -> Response<Full<Bytes>> {
    let booking = request.uri().path().split('/').nth(3).unwrap_or_default();
    let (status, body) = if request.method() == Method::GET {
        (200, json!({"capacity": 3, "available_seats": 3, "version": version}))
    } else if request.uri().path().ends_with("/bookings") {
        (
            201,
            json!({"id": format!("b{version}"), "slot_version": version, "available_seats": 3, "hold_ms": 3_000}),
        )
    } else {
        (200, json!({"id": booking, "slot_version": version, "available_seats": 3}))
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status.try_into().expect("a status");
    response
}

fn check(directory: &Path) -> (Option<i32>, Value) {
    let code = output(&["check", directory.to_str().expect("plain")]).status.code();
    let verdict = fs::read(directory.join("verdict.json")).expect("it was judged");
    (code, serde_json::from_slice(&verdict).expect("it is JSON"))
}

#[test]
fn an_overbooking_is_seen_while_the_load_runs_and_a_load_that_is_killed_is_judged_up_to_its_last_flush()
 {
    let plan = json!({"scenario": "flash_sale", "clients": 50, "capacity": 3, "duration": "60s"});
    let mut load = Load::start(plan, &generous_service());
    let seen = load.until(|progress| {
        progress["overbooked_slots"] == 1 && progress["elapsed_ms"].as_u64() > Some(4_000)
    });
    load.child.kill().expect("it runs");
    load.child.wait().expect("it ends");

    let told: u64 =
        seen["outcomes"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    let (code, verdict) = check(load.directory.path());
    assert_eq!(code, Some(1), "{verdict:#}");
    let finding = |invariant: &str| {
        let findings = verdict["findings"].as_array().expect("findings");
        findings
            .iter()
            .find(|finding| finding["invariant"] == invariant)
            .expect("it was judged")
            .clone()
    };
    let promised = finding("I1");
    assert_eq!(promised["verdict"], "violated");
    assert!(
        promised["summary"].as_str().expect("a sentence").contains("breaks off"),
        "{promised:#}"
    );
    assert_eq!(finding("I5")["verdict"], "unknown", "what is missing may explain it");
    let kept = verdict["operations"].as_u64().expect("a number");
    assert!(kept * 2 > told, "{kept} of {told} operations were kept of four seconds and more");
}

#[test]
fn a_good_history_whose_load_was_killed_upholds_nothing() {
    let server = TrivialServer::start();
    let plan = json!({"scenario": "steady", "mix": "browse=1", "clients": 10, "think": "10ms", "duration": "60s", "capacity": 100, "slots": 1});
    let mut load = Load::start(plan, &server.target);
    load.until(|progress| progress["elapsed_ms"].as_u64() > Some(2_500));
    load.child.kill().expect("it runs");
    load.child.wait().expect("it ends");
    let (code, verdict) = check(load.directory.path());
    assert_eq!(code, Some(2), "{verdict:#}");
    assert!(verdict["operations"].as_u64() > Some(50));
    let text = verdict.to_string();
    assert!(text.contains("breaks off after line"), "{text}");
}

#[test]
fn an_order_that_cannot_be_run_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let order: PathBuf = directory.path().join("order.json");
    let refused = |plan: Value| {
        let text = json!({"plan": plan, "run": "r", "targets": ["http://127.0.0.1:1"], "slots": ["s"], "history": null, "latency": null});
        fs::write(&order, text.to_string()).expect("it can be written");
        let output = output(&["load", order.to_str().expect("plain")]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, says) = refused(json!({"scenario": "steady", "rate": "5/s", "think": "1s"}));
    assert!(code == Some(64) && says.contains("--think"), "{code:?}: {says}");
    let (code, says) = refused(json!({"scenario": "steady", "rat": "5/s"}));
    assert!(code == Some(64) && says.contains("unknown field `rat`"), "{code:?}: {says}");
}
