//! Models and the real service: counterexamples on a real database, every edge of a model, audit
//! logs against models.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::{
    runs::run,
    stack::{eventually, output, slotproof},
};

/// What a command left and said.
struct Asked {
    code: Option<i32>,
    said: String,
    json: Value,
    folder: tempfile::TempDir,
}

fn replay(arguments: &[&str]) -> Asked {
    let folder = tempfile::tempdir().expect("a directory");
    let runs = folder.path().to_str().expect("plain");
    let output = output(&[&["replay", "--json", "--runs", runs], arguments].concat());
    Asked {
        code: output.status.code(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        folder,
    }
}

fn schedules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/schedules")
}

#[test]
fn the_shortest_way_to_overbook_does_so_on_a_real_database_twenty_times_of_twenty() {
    let asked = replay(&["--counterexample", "unprotected", "--times", "20"]);
    assert_eq!(asked.code, Some(1), "{}", asked.said);
    assert!(asked.said.contains("violated 20 times of 20"), "{}", asked.said);
    assert!(asked.said.contains("service and model agree after each step"), "{}", asked.said);
    assert!(asked.said.contains("2 acknowledged seats were held at once"), "{}", asked.said);
}

#[test]
fn a_replay_is_a_run_that_can_be_checked_again_and_has_a_diagram() {
    let path = schedules().join("unprotected.json");
    let asked = replay(&["--schedule", path.to_str().expect("plain"), "--strategy", "pessimistic"]);
    assert_eq!(asked.code, Some(0), "{}", asked.said);
    assert!(
        asked.said.contains(
            "blocked at step 4: client 2's call begins, locks the slot and reads its seats"
        ),
        "{}",
        asked.said
    );
    let run = fs::read_dir(asked.folder.path())
        .expect("a folder")
        .next()
        .expect("a run")
        .expect("a run")
        .path();
    for file in ["replay.json", "schedule.json", "report.html", "verdict.json"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let diagram = fs::read_to_string(run.join("replay.svg")).expect("it is drawn");
    assert!(diagram.contains("waits: ") && diagram.contains("PostgreSQL"), "{diagram}");
    let again = output(&["check", run.to_str().expect("plain")]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
}

/// The kept counterexamples: each convicts the control that it is of, every time, and no strategy
/// that claims to be safe; all of them do what their models do, step by step.
#[test]
fn every_kept_counterexample_convicts_its_control_and_nobody_else() {
    let asked = replay(&["--regressions", schedules().to_str().expect("plain")]);
    assert_eq!(asked.code, Some(0), "{}", asked.said);
    let outcomes = asked.json.as_array().expect("outcomes");
    let kept = fs::read_dir(schedules()).expect("a folder").count();
    assert_eq!(outcomes.len(), kept * 8, "seven strategies that claim to be safe, and its own");
    let of = |schedule: &str, strategy: &str| {
        let is_it =
            |outcome: &&Value| outcome["schedule"] == schedule && outcome["strategy"] == strategy;
        outcomes.iter().find(is_it).expect("it was played").clone()
    };
    assert_eq!(of("unprotected", "pessimistic")["stopped"]["by"], "waited");
    assert_eq!(of("unprotected", "optimistic")["stopped"]["by"], "wrote_nothing");
    assert_eq!(of("redis_lock_unfenced", "redis_lock_unfenced")["verdict"], "violated");
    assert_eq!(of("redis_lock_unfenced", "redis_lock")["stopped"]["at"], 9, "the fencing token");
}

#[test]
fn the_service_does_what_its_models_do_along_every_edge() {
    assert_led_along_every_edge(&["--losses", "0"]);
}

#[test]
fn the_service_does_what_its_model_does_along_every_edge_on_which_answers_are_lost() {
    assert_led_along_every_edge(&["--losses", "1", "--strategy", "conditional"]);
}

fn assert_led_along_every_edge(more: &[&str]) {
    let asked = replay(&[&["--every-edge"], more].concat());
    assert_eq!(asked.code, Some(0), "{}", asked.said);
    for coverage in asked.json.as_array().expect("strategies") {
        let edges = coverage["edges"].as_u64().expect("a number");
        assert!(edges > 100, "{coverage}");
        assert_eq!(coverage["edges_reached"], coverage["edges"]);
        assert_eq!(coverage["waits_reached"], coverage["waits"]);
    }
}

#[test]
fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("schedule.json");
    let name = path.to_str().expect("plain");
    let refused = |text: &str, says: &str| {
        fs::write(&path, text).expect("it can be written");
        let asked = replay(&["--schedule", name]);
        assert!(
            asked.code == Some(64) && asked.said.contains(says),
            "{:?}: {}",
            asked.code,
            asked.said
        );
    };
    let kept = fs::read_to_string(schedules().join("unprotected.json")).expect("it is kept");
    refused("nonsense", "line 1");
    refused(&kept.replace("\"schema_version\": 1", "\"schema_version\": 9"), "schema version 9");
    refused(&kept.replace("\"clients\": 2", "\"clients\": 200"), "200 clients");
    refused(&kept.replacen("\"client\": 2", "\"client\": 3", 1), "client 3");
    refused(&kept.replacen("\"client\": 2", "\"client\": 0", 1), "client 0");
    refused(&kept.replacen("\"call\": \"1.1\"", "\"call\": \"1.9\"", 1), "1.9");
    for (arguments, says) in [
        (&["--schedule", name, "--strategy", "queue"][..], "queue cannot be replayed"),
        (&["--counterexample", "pessimistic"], "no counterexample"),
        (&["--regressions", folder.path().join("nowhere").to_str().expect("plain")], "nowhere"),
        (&[], "--schedule"),
    ] {
        fs::write(&path, &kept).expect("it can be written");
        let asked = replay(arguments);
        assert!(
            asked.code == Some(64) && asked.said.contains(says),
            "{:?}: {}",
            asked.code,
            asked.said
        );
    }
}

#[test]
fn a_counterexample_is_told_drawn_and_written() {
    let folder = tempfile::tempdir().expect("a directory");
    let (schedule, diagram) = (folder.path().join("s.json"), folder.path().join("s.svg"));
    let output = slotproof()
        .args(["model", "lost_update", "--write"])
        .arg(&schedule)
        .arg("--diagram")
        .arg(&diagram)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("6. client 2's call writes the booking, and one seat less than it read"),
        "{said}"
    );
    let kept = fs::read_to_string(schedules().join("lost_update.json")).expect("it is kept");
    assert_eq!(fs::read_to_string(&schedule).expect("it is written"), kept);
    assert!(fs::read_to_string(&diagram).expect("it is drawn").starts_with("<svg"));
}

/// A process that ends with its test, whatever way that goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_model_can_be_walked_through_in_a_browser() {
    let port =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let mut command = slotproof();
    command.args(["model", "pessimistic", "--explore", &port.to_string()]);
    let _explorer = Running(
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs"),
    );
    let states = format!("http://127.0.0.1:{port}/.states/");
    let ask = async |path: &str| -> Value {
        match reqwest::get(format!("{states}{path}")).await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    };
    eventually("the explorer shows where it begins", async || {
        ask("").await[0]["fingerprint"].is_string()
    })
    .await;
    // Paths are the numbers of the steps that were taken; the first number is that of the
    // beginning.
    let next = ask("0").await;
    assert_eq!(next[0]["action"], "client 1 sends reserve", "{next}");
}

#[test]
fn a_director_is_let_in_on_loopback_only() {
    let arguments =
        ["serve", "--strategy", "conditional", "--database-url", "postgres://nobody@127.0.0.1:1/x"];
    let output = output(&[&arguments[..], &["--director", "0.0.0.0:0"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("loopback"), "{said}");
}

/// The log of a broken strategy is one that its own model explains and that no other model does.
#[tokio::test]
async fn an_audit_log_is_explained_by_the_model_of_who_wrote_it() {
    let load = ["--duration", "2s", "--hold", "500ms"];
    let (code, run, _runs) = run("off_by_one", &load).await;
    assert_eq!(code, 1, "it is overbooked");
    let check = || {
        let output = output(&["check", run.to_str().expect("plain"), "--against-model"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check();
    assert_eq!(code, Some(1), "it is overbooked: {said}");
    assert!(
        said.contains("kinds of change that the model has") && !said.contains("not explained"),
        "{said}"
    );

    // The plan of a finished run cannot be edited; that of a run that was cut off can.
    for name in ["manifest.json", "load.json"] {
        fs::remove_file(run.join(name)).expect("it is there");
    }
    let plan = run.join("plan.json");
    let text = fs::read_to_string(&plan).expect("a plan").replace("off_by_one", "conditional");
    fs::write(&plan, text).expect("it can be written");
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not explained: ") && said.contains("in the model"), "{said}");
}
