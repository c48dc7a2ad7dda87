//! `slotproof check` on histories of other systems: verdicts, evidence, and what is refused.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::stack::output;

fn histories() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("checker/histories")
}

fn check(arguments: &[&str]) -> (Option<i32>, String, Value) {
    let output = output(&[&["check", "--json"], arguments].concat());
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), verdict)
}

#[test]
fn every_example_is_judged_as_it_says_and_its_evidence_convicts_alone() {
    let text = fs::read_to_string(histories().join("expected.toml")).expect("it is there");
    let expected: toml::Value = toml::from_str(&text).expect("it is TOML");
    for example in expected["history"].as_array().expect("examples") {
        let text = |field: &str| example[field].as_str().expect("text").to_owned();
        let path = histories().join(text("file"));
        let capacity = example["capacity"].to_string();
        let found = tempfile::tempdir().expect("a directory");
        let evidence = found.path().to_str().expect("plain");
        let path = path.to_str().expect("plain");
        let of_slots = example.get("capacities").and_then(toml::Value::as_table);
        let of_slots: Vec<String> = of_slots
            .into_iter()
            .flatten()
            .map(|(slot, seats)| format!("--capacity={slot}={seats}"))
            .collect();
        let mut words = vec![path, "--capacity", &capacity, "--evidence", evidence];
        words.extend(of_slots.iter().map(String::as_str));
        let (code, said, verdict) = check(&words);
        let code_of =
            |verdict: &str| ["upheld", "violated", "unknown"].iter().position(|it| *it == verdict);
        assert_eq!(code.map(|code| code as usize), code_of(&text("verdict")), "{path}: {said}");
        assert_eq!(verdict["verdict"], text("verdict"));
        for file in fs::read_dir(found.path()).expect("a folder") {
            let file = file.expect("an entry").path();
            let mut words = vec![file.to_str().expect("plain"), "--capacity", &capacity];
            words.extend(of_slots.iter().map(String::as_str));
            let (code, said, _) = check(&words);
            assert_eq!(code, Some(1), "{} of {path}: {said}", file.display());
        }
    }
}

#[test]
fn what_is_no_history_is_refused_with_the_line_and_what_is_half_of_one_is_unknown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("history.jsonl");
    let name = path.to_str().expect("plain");
    let of = |text: &str| {
        fs::write(&path, text).expect("it can be written");
        let (code, said, _) = check(&[name, "--capacity", "1"]);
        (code, said)
    };
    let line = r#"{"client":1,"slot":"s","op":"read","available":1,"sent_ns":1,"returned_ns":2,"outcome":"ok"}"#;
    let refused = |text: &str, says: &str| {
        let (code, said) = of(text);
        assert!(code == Some(64) && said.contains(says), "{text}: {code:?}: {said}");
    };
    refused(&format!("{line}\nnonsense\n"), "line 2");
    refused(&line.replace("\"sent_ns\":1", "\"sent_ns\":9").replace("ok\"}", "ok\"}\n"), "line 1");
    refused(&format!("{}\n", line.replace("\"client\"", "\"cleint\"")), "unknown field `cleint`");
    refused(
        &format!("{}\n", line.replace("\"available\":1", "\"available\":9223372036854775807")),
        "line 1",
    );

    let (code, said) = of("");
    assert!(code == Some(2) && said.contains("the history is empty"), "{code:?}: {said}");
    let (code, said) = of(line);
    assert!(code == Some(2) && said.contains("the last line has no newline"), "{code:?}: {said}");
    let cancel = r#"{"client":1,"slot":"s","op":"cancel","booking":"ghost","sent_ns":1,"returned_ns":2,"outcome":"ok"}"#;
    let (code, said) = of(&format!("{cancel}\n"));
    assert!(
        code == Some(2) && said.contains("line 1: no reserve was acknowledged with this booking"),
        "{code:?}: {said}"
    );

    fs::write(&path, format!("{line}\n")).expect("it can be written");
    let (code, said, _) = check(&[name]);
    assert!(code == Some(64) && said.contains("--capacity"), "{code:?}: {said}");
    let (code, said, _) = check(&[name, "--capacity", "t=3"]);
    assert!(code == Some(64) && said.contains("line 1"), "{code:?}: {said}");
    assert_eq!(check(&[name, "--capacity", "s=many"]).0, Some(64));
    let (code, said, _) = check(&[name, "--capacity", "1", "--capacity", "S=3"]);
    assert!(code == Some(64) && said.contains("S=...: no line"), "{code:?}: {said}");
    let (code, said, _) = check(&[name, "--capacity", "1", "--capacity", "2"]);
    assert!(code == Some(64) && said.contains("given twice"), "{code:?}: {said}");
    fs::write(&path, format!("{line}\n{line}\n")).expect("it can be written");
    let (code, said, _) = check(&[name, "--capacity", "1"]);
    assert!(code == Some(64) && said.contains("lines 1 and 2: process 1"), "{code:?}: {said}");
    let (code, said, _) = check(&["no-such-history", "--capacity", "1"]);
    assert!(code == Some(64) && said.contains("does not exist"), "{code:?}: {said}");
}

#[test]
fn names_of_the_service_reach_no_terminal_and_no_ci_runner_as_they_are() {
    let hostile = "m\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}\r\n::error::x";
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("history.jsonl");
    let line = |client: u64, sent_ns: u64| {
        serde_json::json!({
            "client": client, "slot": hostile, "op": "reserve", "seats": 1,
            "key": format!("{hostile}{client}"), "booking": format!("{hostile}{client}"),
            "sent_ns": sent_ns, "returned_ns": sent_ns + 40, "outcome": "ok",
        })
    };
    fs::write(&path, format!("{}\n{}\n", line(1, 100), line(2, 150))).expect("it is written");
    let name = path.to_str().expect("plain");
    let check = |arguments: &[&str]| {
        let output = output(&[&["check", name][..], arguments].concat());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(!said.contains(|it: char| it.is_control() && it != '\n'), "{said:?}");
        assert!(!said.lines().any(|line| line.trim_start().starts_with("::")), "{said}");
        assert!(said.contains("m\\u001b[2J"), "{said}");
        (output.status.code(), said, String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (code, said, _) = check(&[]);
    assert_eq!((code, said.lines().count()), (Some(64), 1), "no capacity is given: {said}");
    let (code, _, verdict) = check(&["--capacity", "1", "--json"]);
    assert_eq!(code, Some(1));
    assert!(!verdict.contains(|it: char| it.is_control() && it != '\n'), "{verdict:?}");
    let verdict: Value = serde_json::from_str(&verdict).expect("it is JSON");
    let convicted = verdict["findings"].as_array().expect("findings").iter();
    let slots: Vec<&Value> =
        convicted.map(|finding| &finding["witness"]["slot"]).filter(|it| !it.is_null()).collect();
    assert!(!slots.is_empty() && slots.iter().all(|slot| **slot == hostile), "{slots:?}");
}

#[test]
fn evidence_is_never_written_over_a_history_or_older_evidence() {
    let directory = tempfile::tempdir().expect("a directory");
    let history = directory.path().join("I1.jsonl");
    fs::copy(histories().join("bad/last_seat_sold_twice.jsonl"), &history).expect("it is there");
    let before = fs::read(&history).expect("it is there");
    let there = directory.path().to_str().expect("plain");
    let (code, said, _) =
        check(&[history.to_str().expect("plain"), "--capacity", "1", "--evidence", there]);
    assert!(code == Some(64) && said.contains("is there already"), "{code:?}: {said}");
    assert_eq!(fs::read(&history).expect("it is there"), before);
}

#[test]
fn nobody_listening_changes_no_verdict() {
    let history = histories().join("bad/last_seat_sold_twice.jsonl");
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has one");
    let status = crate::stack::slotproof()
        .args(["check", "--json", "--capacity", "1"])
        .arg(history)
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .expect("the binary runs");
    assert_eq!(status.code(), Some(1));
}
