//! What no run should leave, and some will: nothing, one of everything, zero, and numbers beyond
//! all sense.

use slotproof_reports::{Format, RunReport, render};
use slotproof_vocabulary::Verdict;

use crate::fixtures;

/// A report that travels by mail and opens on a phone.
const HTML_BYTES_MAX: usize = 5_000_000;
/// What fits into a comment on a pull request.
const MARKDOWN_CHARACTERS_MAX: usize = 60_000;

/// Renders every format and gives the page back.
fn check(report: &RunReport) -> String {
    let text = |format| {
        let bytes = render(report, format).expect("renders");
        String::from_utf8(bytes).expect("reports are UTF-8")
    };
    text(Format::Json);
    text(Format::Junit);
    let (markdown, html) = (text(Format::Markdown), text(Format::Html));
    assert!(markdown.chars().count() < MARKDOWN_CHARACTERS_MAX, "{}", markdown.len());
    assert!(html.len() < HTML_BYTES_MAX, "{}", html.len());
    html
}

#[test]
fn one_point_of_everything_is_drawn() {
    let mut report = fixtures::violated();
    report.timeline.truncate(1);
    report.seats[0].points.truncate(1);
    for latency in &mut report.latency {
        latency.response.curve.truncate(1);
        latency.service.curve.clear();
    }
    for resource in &mut report.resources {
        resource.cpu_ms_by_second.truncate(1);
    }
    let witness = report.verdict.findings[0].witness.as_mut().expect("the fixture has one");
    witness.operations.truncate(1);
    assert!(!check(&report).contains("could not be drawn"));
}

#[test]
fn zero_everywhere_is_drawn() {
    let mut report = fixtures::violated();
    for second in &mut report.timeline {
        (
            second.response_us_p50,
            second.response_us_p99,
            second.service_us_p50,
            second.service_us_p99,
        ) = (0, 0, 0, 0);
    }
    for latency in &mut report.latency {
        latency.response.curve = vec![(0.0, 0), (1.0, 0)];
        latency.service.curve = vec![(0.0, 0), (1.0, 0)];
    }
    for resource in &mut report.resources {
        resource.cpu_ms_by_second = vec![(0, 0), (1, 0)];
    }
    report.seats[0].capacity = 0;
    report.seats[0].points = vec![(0.0, 0), (0.0, 0)];
    let witness = report.verdict.findings[0].witness.as_mut().expect("the fixture has one");
    witness.instant_ns = Some(0);
    for found in &mut witness.operations {
        (found.operation.sent_ns, found.operation.returned_ns) = (0, 0);
    }
    assert!(!check(&report).contains("could not be drawn"));
}

#[test]
fn numbers_beyond_all_sense_are_drawn() {
    let mut report = fixtures::violated();
    report.totals.operations = u64::MAX;
    report.totals.window_ms = u64::MAX;
    report.totals.reserved_per_s = f64::INFINITY;
    report.totals.operations_per_s = f64::MAX;
    report.environment.memory_bytes = u64::MAX;
    report.environment.cpus = u32::MAX;
    for second in &mut report.timeline {
        second.second = u32::MAX - second.second;
        second.response_us_p99 = u64::MAX;
        second.outcomes.insert("ok".into(), u64::MAX);
    }
    for latency in &mut report.latency {
        latency.count = u64::MAX;
        latency.response.us_max = u64::MAX;
        latency.response.curve.extend([(1.0, u64::MAX), (2.0, 1), (f64::NAN, 1)]);
    }
    for resource in &mut report.resources {
        resource.cpu_ms = u64::MAX;
        resource.cpu_ms_by_second.push((u32::MAX, u64::MAX));
    }
    report.seats[0].capacity = i64::MAX;
    report.seats[0].points.extend([
        (f64::INFINITY, 1),
        (f64::NAN, 1),
        (1e300, i64::MIN),
        (-5.0, i64::MAX),
    ]);
    let witness = report.verdict.findings[0].witness.as_mut().expect("the fixture has one");
    witness.instant_ns = Some(u64::MAX);
    witness.operations[0].operation.client = u64::MAX;
    witness.operations[0].operation.returned_ns = u64::MAX;
    check(&report);
}

#[test]
fn a_day_of_load_and_a_witness_of_thousands_stay_small() {
    let mut report = fixtures::violated();
    let second = report.timeline[7].clone();
    report.timeline = (0..86_400)
        .map(|at| slotproof_reports::run_report::Second { second: at, ..second.clone() })
        .collect();
    for resource in &mut report.resources {
        resource.cpu_ms_by_second = (0..86_400).map(|second| (second, 700)).collect();
    }
    report.seats = vec![report.seats[0].clone(); RunReport::SEATS_SERIES_MAX + 2];
    for series in &mut report.seats {
        series.points =
            (0..40_000).map(|at| (f64::from(at) * 2_000.0, 40 - i64::from(at % 47))).collect();
    }
    let mut finding = report.verdict.findings[0].clone();
    let witness = finding.witness.as_mut().expect("the fixture has one");
    let operations = witness.operations.clone();
    witness.operations = operations.into_iter().cycle().take(3_000).collect();
    for (index, found) in witness.operations.iter_mut().enumerate() {
        found.operation.client = index as u64;
        found.operation.reason = Some("x".repeat(300).into());
    }
    report.verdict.findings = slotproof_vocabulary::Invariant::ALL
        .iter()
        .map(|invariant| slotproof_vocabulary::Finding { invariant: *invariant, ..finding.clone() })
        .collect();
    let html = check(&report);
    for note in [
        "2950 more rows are in verdict.json",
        "more rows are in the download",
        "run.json has all of them",
    ] {
        assert!(html.contains(note), "{note}");
    }
    assert!(html.contains("at worst 6 too many"), "thinning lost the overbooking");
}

#[test]
fn a_negative_number_of_seats_is_called_what_it_is() {
    let mut report = fixtures::upheld();
    report.seats[0].capacity = 1_000;
    report.seats[0].points = vec![(0.0, 1_000), (400.0, 0), (401.0, -1), (402.0, 0)];
    report.verdict.verdict = Verdict::Violated;
    let html = check(&report);
    assert!(html.contains("overbooked") && html.contains("1 too many at 0.40 s"));
}
