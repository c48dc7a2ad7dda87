//! JUnit XML: one test case for each invariant and objective. A violation fails, and what is not known is an
//! error, never a failure.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use slotproof_vocabulary::{Finding, Invariant, Verdict, Witness};

use crate::{
    evidence, objective::Objective, printable::one_line, quantity, render_error::RenderError,
    run_context, run_report::RunReport, verdict_text,
};

/// Rows of each of a witness's tables; CI shows the text in a box, and all of it is in
/// `verdict.json`.
const WITNESS_ROWS_MAX: usize = 50;

pub(crate) fn render(report: &RunReport) -> Result<Vec<u8>, RenderError> {
    let suite_name = format!("{}.{}", report.plan.scenario, verdict_text::strategy(report));
    let mut suite = TestSuite::new(suite_name.as_str());
    for (name, value) in properties(report) {
        suite.add_property((name, one_line(&value).as_str()));
    }
    for (invariant, finding) in verdict_text::invariants(report) {
        suite.add_test_case(test_case(&suite_name, invariant, finding));
    }
    for objective in &report.objectives {
        suite.add_test_case(objective_case(&suite_name, objective));
    }
    let took =
        Duration::from_millis(report.totals.window_ms.saturating_add(report.totals.drain_ms));
    set_time(&mut suite, took);
    let mut junit = Report::new("slotproof");
    junit.set_time(took);
    junit.add_test_suite(suite);
    xml(&junit)
}

/// The document. quick-junit counts skipped cases in the root too, and no schema of Jenkins has that
/// attribute there.
pub(crate) fn xml(report: &Report) -> Result<Vec<u8>, RenderError> {
    let text = report.to_string()?;
    let Some((before, after)) = text.split_once(" skipped=\"") else {
        return Ok(text.into_bytes());
    };
    let (_, after) = after.split_once('"').expect("an attribute ends");
    Ok([before, after].concat().into_bytes())
}

/// The cases of a suite are judged from one load. Each has an equal part of its time, for tools add
/// up the times of cases.
pub(crate) fn set_time(suite: &mut TestSuite, took: Duration) {
    let skipped = |case: &TestCase| matches!(case.status, TestCaseStatus::Skipped { .. });
    let judged = suite.test_cases.iter().filter(|case| !skipped(case)).count();
    let part = took / u32::try_from(judged.max(1)).unwrap_or(u32::MAX);
    for case in &mut suite.test_cases {
        case.set_time(if skipped(case) { Duration::ZERO } else { part });
    }
    suite.set_time(took);
}

fn properties(report: &RunReport) -> [(&'static str, String); 6] {
    let fsync = report.environment.fsync.map(|fsync| quantity::duration_us(fsync.us_p50));
    [
        ("run", report.run.clone()),
        ("verdict", report.verdict.verdict.name().to_owned()),
        ("seed", report.plan.seed.to_string()),
        ("fsync_p50", fsync.unwrap_or_else(|| "not measured".to_owned())),
        ("environment", run_context::environment_line(&report.environment)),
        ("repeat_command", report.repeat_command.clone()),
    ]
}

pub(crate) fn test_case(
    suite_name: &str,
    invariant: Invariant,
    finding: Option<&Finding>,
) -> TestCase {
    let name = format!("{invariant} {}", invariant.claim());
    let mut case = TestCase::new(name, finding.map_or_else(TestCaseStatus::skipped, status));
    case.set_classname(suite_name);
    case
}

fn status(finding: &Finding) -> TestCaseStatus {
    let kind = match finding.verdict {
        Verdict::Upheld => return TestCaseStatus::success(),
        Verdict::Violated => NonSuccessKind::Failure,
        Verdict::Unknown => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(finding.verdict.name()).set_message(one_line(&finding.summary));
    status.set_description(match &finding.witness {
        None => one_line(&finding.summary),
        Some(witness) => witness_text(witness),
    });
    status
}

fn witness_text(witness: &Witness) -> String {
    let explanation = verdict_text::sentence(&witness.explanation);
    let mut text = format!("slot {}\n{}\n", one_line(&witness.slot), one_line(&explanation));
    text.extend(evidence::instant(witness).map(|sentence| sentence + "\n"));
    for (title, table) in
        evidence::tables(witness).iter().filter(|(_, table)| !table.rows.is_empty())
    {
        text.push_str(&format!("\n{title}\n{}", table.text(WITNESS_ROWS_MAX)));
    }
    text
}

/// An objective as a test case. Missing it fails the case.
pub(crate) fn objective_case(classname: &str, objective: &Objective) -> TestCase {
    let status = if objective.met {
        TestCaseStatus::success()
    } else {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_type("objective")
            .set_message(format!("measured {}, limit {}", objective.measured, objective.limit));
        status
    };
    let mut case = TestCase::new(format!("{} {}", objective.name, objective.limit), status);
    case.set_classname(classname);
    case
}
