//! Gates: what CI shows beside a merge.

use slotproof_reports::gate::{Check, GateOutcome, Performance, Undecided};

use slotproof_vocabulary::Verdict;

use crate::several::{check, estimate, gate, not_run, performance};

fn checks(outcome: GateOutcome, number: usize) -> impl Iterator<Item = Check> {
    (1..=number).map(move |index| check(&format!("{outcome:?}-{index}"), outcome))
}

#[test]
fn warnings_never_push_an_error_out_of_the_annotations() {
    let mut all: Vec<Check> = checks(GateOutcome::Missed, 12).collect();
    all.extend(checks(GateOutcome::Unknown, 1));
    all.extend(checks(GateOutcome::Violated, 1));
    let lines = gate(all).annotations();
    let place = |part: &str| lines.iter().position(|line| line.contains(part));
    assert_eq!((place("Violated-1"), place("Unknown-1")), (Some(0), Some(1)), "{lines:#?}");
    let warnings = lines.iter().filter(|line| line.starts_with("::warning"));
    assert_eq!(warnings.count(), 10, "{lines:#?}");
    assert!(lines[11].contains("%0A2 more checks missing an objective"), "{lines:#?}");
}

#[test]
fn of_errors_the_violations_come_first_and_ten_are_taken() {
    let all = checks(GateOutcome::Unknown, 11).chain(checks(GateOutcome::Violated, 1));
    let lines = gate(all.collect()).annotations();
    assert!(lines[0].contains("Violated-1"), "{lines:#?}");
    assert_eq!(lines.len(), 10, "{lines:#?}");
    let counts = |line: &&String| line.contains("more check");
    assert_eq!(lines.iter().filter(counts).count(), 1, "{lines:#?}");
    assert!(lines[9].contains("%0A2 more checks violated or unknown"), "{lines:#?}");
}

#[test]
fn ten_annotations_leave_nothing_out() {
    let lines = gate(checks(GateOutcome::Missed, 10).collect()).annotations();
    assert_eq!(lines.len(), 10, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("more check")), "{lines:#?}");
}

#[test]
fn the_summary_says_the_verdict_first_and_what_needs_a_look_before_the_rest() {
    let mut all: Vec<Check> = checks(GateOutcome::Passed, 2).collect();
    all.extend(checks(GateOutcome::Missed, 1));
    all.extend(checks(GateOutcome::Unknown, 1));
    all.extend(checks(GateOutcome::Violated, 2));
    let text = gate(all).document().markdown();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let (title, headline) = (lines.next().expect("a title"), lines.next().expect("a headline"));
    assert!(title.contains("violated"), "{text}");
    assert!(
        headline.starts_with("2 of 6 checks: violated. The first is Violated-1 with"),
        "{text}"
    );
    let rows: Vec<&str> = text.lines().filter(|line| line.contains(" | lost_update | ")).collect();
    let order: Vec<&str> =
        rows.iter().take(6).map(|row| row.split(" | ").nth(1).expect("a name")).collect();
    let worst_first = ["Violated-1", "Violated-2", "Unknown-1", "Missed-1", "Passed-1", "Passed-2"];
    assert_eq!(order, worst_first, "{text}");
}

#[test]
fn an_undecided_comparison_passes_and_is_named_unless_a_decision_is_required() {
    let mut undecided = gate(vec![check("fine", GateOutcome::Passed)]);
    let measured = performance(Some(estimate(0.9, 0.5, 1.4)));
    undecided.performance = Some(measured.clone());
    assert_eq!(undecided.outcome(), GateOutcome::Passed);
    let text = undecided.document().markdown();
    assert!(text.contains("undecided; undecided does not fail this gate."), "{text}");
    assert_eq!(undecided.annotations(), [""; 0]);

    undecided.performance = Some(Performance { undecided: Undecided::Fails, ..measured });
    assert_eq!(undecided.outcome(), GateOutcome::Unknown);
    let lines = undecided.annotations();
    assert!(lines[0].starts_with("::error title=slotproof%3A performance::"), "{lines:#?}");
    assert!(lines[0].contains("is undecided"), "{lines:#?}");
}

#[test]
fn a_head_that_is_only_slower_is_a_warning() {
    let mut slower = gate(vec![check("fine", GateOutcome::Passed)]);
    slower.performance = Some(performance(Some(estimate(0.75, 0.7, 0.8))));
    assert_eq!(slower.outcome(), GateOutcome::Missed);
    let lines = slower.annotations();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("::warning title=slotproof%3A performance::"), "{lines:#?}");
    assert!(lines[0].contains("slower than the base"), "{lines:#?}");

    slower.checks.extend(checks(GateOutcome::Missed, 12));
    let lines = slower.annotations();
    assert_eq!(lines.len(), 10, "{lines:#?}");
    assert!(lines[0].contains("slower than the base"), "{lines:#?}");
    assert!(lines[9].contains("%0A3 more checks missing an objective"), "{lines:#?}");

    slower.performance = Some(performance(Some(estimate(1.0, 0.9, 1.1))));
    assert!(!slower.annotations().iter().any(|line| line.contains("slower")), "as fast");
}

#[test]
fn names_break_no_line_of_an_annotation() {
    let mut violated = check("a", GateOutcome::Violated);
    let findings = &mut violated.ran.as_mut().expect("it ran").verdict.findings;
    let finding = findings.iter_mut().find(|finding| finding.verdict == Verdict::Violated);
    finding.expect("one convicts").summary = "slot m\u{1b}[2J\n::error::x".to_owned();
    let lines = gate(vec![violated]).annotations();
    assert!(lines[0].contains("slot m\\u001b[2J\\n::error::x%0Arepeat: "), "{lines:#?}");
}

#[test]
fn every_suite_and_case_of_junit_has_a_time_and_they_add_up() {
    let mut timed = gate(vec![check("slow", GateOutcome::Missed), not_run("late")]);
    timed.performance = Some(performance(None));
    let xml = String::from_utf8(timed.junit().expect("XML")).expect("UTF-8");
    let timed_elements = |element: &str| {
        let elements: Vec<&str> = xml.split('<').filter(|it| it.starts_with(element)).collect();
        let time = |it: &&str| {
            let (_, time) = it.split_once(" time=\"").unwrap_or_else(|| panic!("no time: <{it}"));
            time.split('"').next().expect("it ends").parse::<f64>().expect("seconds")
        };
        elements.iter().map(time).collect::<Vec<f64>>()
    };
    assert_eq!(timed_elements("testsuites"), [12.3]);
    assert_eq!(timed_elements("testsuite "), [6.0, 0.0, 9.0]);
    let cases = timed_elements("testcase");
    let sum: f64 = cases.iter().sum();
    assert!((sum - 15.0).abs() < 0.01, "{sum}: {cases:?}");
}

#[test]
fn a_check_that_passed_has_no_annotation_and_one_that_was_not_run_is_an_error() {
    let lines = gate(vec![check("fine", GateOutcome::Passed), not_run("late")]).annotations();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("::error") && lines[0].contains("budget was spent"), "{lines:#?}");
}
