//! Runs with rows and an audit log that must be convicted: `histories/runs`.

use std::{fs, path::PathBuf};

use slotproof_checker::{Case, History, judge};
use slotproof_vocabulary::{Invariant, Verdict};

fn run(name: &str, capacity: i64) -> Case {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("histories/runs").join(name);
    let text = |file: &str| fs::read_to_string(folder.join(file)).expect(file);
    let log = text("audit.jsonl");
    Case {
        history: History::read(text("history.jsonl").as_bytes()).expect("operations"),
        capacity,
        audit: Some(
            log.lines().map(|line| serde_json::from_str(line).expect("a record")).collect(),
        ),
        end: Some(serde_json::from_str(&text("end_state.json")).expect("rows")),
        prober: Some(1_000),
        ..Case::default()
    }
}

fn convicted_by(case: &Case) -> Vec<Invariant> {
    let findings = judge(case).findings.into_iter();
    findings.filter(|it| it.verdict == Verdict::Violated).map(|it| it.invariant).collect()
}

#[test]
fn a_booking_that_no_client_confirmed_is_a_phantom() {
    assert_eq!(convicted_by(&run("confirmed_by_nobody", 1)), [Invariant::NoPhantom]);
}

#[test]
fn an_acknowledgement_must_be_the_record_of_its_own_booking() {
    assert_eq!(convicted_by(&run("two_acks_claim_one_version", 2)), [Invariant::OneOrder]);
}

#[test]
fn a_log_does_not_excuse_answers_without_versions() {
    let case = run("unversioned_reads_that_no_order_explains", 3);
    assert_eq!(convicted_by(&case), [Invariant::OneOrder]);
    let without = Case { audit: None, end: None, prober: None, ..case };
    assert_eq!(convicted_by(&without), [Invariant::OneOrder], "nor does it convict less without");
}
