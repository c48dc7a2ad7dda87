//! `junit.xml` is what Jenkins reads, and each of its suites is a report of Maven Surefire: held
//! against the schemas in `tests/schemas`.
//!
//! Needs xmllint, which `ci/setup --browser` installs. With `CI=true` a missing one is a failure;
//! else the tests pass it by, and say so.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use slotproof_reports::{
    Format,
    gate::{GateOutcome, Undecided},
    render,
};

use crate::{fixtures, several};

/// What is wrong with a document, by what xmllint says; `None` without xmllint.
fn wrong(schema: &str, document: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("junit.xml");
    fs::write(&path, document).expect("it can be written");
    let schemas: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    let mut command = Command::new("xmllint");
    command.args(["--noout", "--nonet", "--schema"]).arg(schemas.join(schema)).arg(&path);
    match command.output() {
        Ok(output) if output.status.success() => Some(String::new()),
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(!ci, "no xmllint: run ci/setup --browser");
            eprintln!("no xmllint: junit.xml is not held against its schemas");
            None
        }
        Err(error) => panic!("xmllint: {error}"),
    }
}

/// The suites of a document, each as a document of its own.
fn suites(document: &str) -> Vec<String> {
    let rest = document.split("<testsuite ").skip(1);
    let end = "</testsuite>";
    rest.map(|suite| {
        let end = suite.find(end).map(|at| at + end.len()).expect("a suite has cases, and ends");
        format!("<testsuite {}", &suite[..end])
    })
    .collect()
}

fn assert_valid(what: &str, junit: &[u8]) {
    let document = String::from_utf8(junit.to_vec()).expect("UTF-8");
    let found = wrong("jenkins-junit.xsd", &document).unwrap_or_default();
    assert_eq!(found, "", "{what}\n{document}");
    let suites = suites(&document);
    assert!(!suites.is_empty(), "{document}");
    for suite in suites {
        let found = wrong("surefire-test-report.xsd", &suite).unwrap_or_default();
        assert_eq!(found, "", "{what}\n{suite}");
    }
}

#[test]
fn of_a_run_of_each_verdict() {
    let mut missed = fixtures::upheld();
    missed.objectives.iter_mut().for_each(|objective| objective.met = false);
    assert!(!missed.objectives.is_empty());
    for (what, report) in [
        ("upheld", fixtures::upheld()),
        ("violated", fixtures::violated()),
        ("unknown", fixtures::unknown()),
        ("missed", missed),
    ] {
        assert_valid(what, &render(&report, Format::Junit).expect("it is drawn"));
    }
}

#[test]
fn of_a_gate_of_each_outcome() {
    let passed = || several::check("passed", GateOutcome::Passed);
    let mut slower = several::gate(vec![passed()]);
    slower.performance = Some(several::performance(Some(several::estimate(0.75, 0.7, 0.8))));
    let mut undecided = several::gate(vec![passed()]);
    let measured = several::performance(Some(several::estimate(0.9, 0.5, 1.4)));
    undecided.performance =
        Some(slotproof_reports::gate::Performance { undecided: Undecided::Fails, ..measured });
    let mut recorded = several::gate(vec![passed()]);
    recorded.performance = Some(several::performance(None));
    let of = |outcome| several::gate(vec![several::check("a check: <&\"'>", outcome)]);
    for (what, gate) in [
        ("passed", of(GateOutcome::Passed)),
        ("violated", of(GateOutcome::Violated)),
        ("undecided", of(GateOutcome::Unknown)),
        ("missed objective", of(GateOutcome::Missed)),
        ("not run", several::gate(vec![passed(), several::not_run("late")])),
        ("slower", slower),
        ("undecided performance", undecided),
        ("recorded", recorded),
    ] {
        assert_valid(what, &gate.junit().expect("XML"));
    }
}

/// A schema that refuses nothing would prove nothing.
#[test]
fn what_is_not_a_report_is_refused() {
    let suite = r#"<testsuite name="a" tests="1" failures="0" errors="0" skipped="0" time="1.000"><testcase name="b" time="1.000"/></testsuite>"#;
    let whole = format!("<testsuites>{suite}</testsuites>");
    assert_eq!(wrong("surefire-test-report.xsd", suite).unwrap_or_default(), "");
    assert_eq!(wrong("jenkins-junit.xsd", &whole).unwrap_or_default(), "");
    let without_type = suite.replace("\"/>", "\"><error/></testcase>");
    for (schema, text) in [
        ("surefire-test-report.xsd", suite.replace("name=\"b\" time=\"1.000\"", "name=\"b\"")),
        ("surefire-test-report.xsd", without_type),
        ("surefire-test-report.xsd", suite.replace("1.000", "1 s")),
        ("jenkins-junit.xsd", whole.replace("<testsuites>", "<testsuites skipped=\"0\">")),
        ("jenkins-junit.xsd", whole.replace(" errors=\"0\"", "")),
    ] {
        let found = wrong(schema, &text);
        assert!(found.is_none_or(|found| found.contains("fails to validate")), "{schema}: {text}");
    }
}
