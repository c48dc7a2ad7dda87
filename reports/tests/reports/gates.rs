//! Gates: what CI shows beside a merge.

use slotproof_reports::gate::{Check, GateOutcome};

use crate::several::{check, gate, not_run};

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
}

#[test]
fn of_errors_the_violations_come_first_and_ten_are_taken() {
    let all = checks(GateOutcome::Unknown, 11).chain(checks(GateOutcome::Violated, 1));
    let lines = gate(all.collect()).annotations();
    assert!(lines[0].contains("Violated-1"), "{lines:#?}");
    assert_eq!(lines.len(), 10, "{lines:#?}");
}

#[test]
fn a_check_that_passed_has_no_annotation_and_one_that_was_not_run_is_an_error() {
    let lines = gate(vec![check("fine", GateOutcome::Passed), not_run("late")]).annotations();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("::error") && lines[0].contains("budget was spent"), "{lines:#?}");
}
