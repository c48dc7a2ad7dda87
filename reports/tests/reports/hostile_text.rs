//! Text from a service under test is not to be trusted: it must stay text in every format.

use slotproof_reports::{Format, RunReport, plots, render};
use slotproof_vocabulary::Outcome;

use crate::fixtures;

const HOSTILE: &str = "<script>alert(1)</script>\"'|`]]>\n\u{1}\u{202e}</svg>--%>{{7*7}}";

fn hostile() -> RunReport {
    let mut report = fixtures::violated();
    report.run = HOSTILE.into();
    report.started_at = HOSTILE.into();
    report.repeat_command = HOSTILE.into();
    report.environment.kernel = HOSTILE.into();
    report.environment.servers[0].name = HOSTILE.into();
    report.environment.servers[0].settings.insert(HOSTILE.into(), HOSTILE.into());
    report.seats[0].slot = HOSTILE.into();
    report.resources[0].group = HOSTILE.into();
    report.latency[0].operation = HOSTILE.into();
    report.timeline[0].outcomes.insert(HOSTILE.into(), 7);
    report.totals.outcomes.insert(HOSTILE.into(), 7);
    let finding = &mut report.verdict.findings[0];
    finding.summary = HOSTILE.into();
    let witness = finding.witness.as_mut().expect("the fixture has one");
    witness.slot = HOSTILE.into();
    witness.explanation = HOSTILE.into();
    witness.rows[0].key = Some(HOSTILE.into());
    let operation = &mut witness.operations[0].operation;
    operation.outcome = Outcome::Unknown;
    operation.reason = Some(HOSTILE.into());
    report
}

#[test]
fn hostile_text_stays_text_in_every_format() {
    for format in [Format::Markdown, Format::Html, Format::Junit] {
        let bytes = render(&hostile(), format).expect("renders");
        let text = String::from_utf8(bytes).expect("reports are UTF-8");
        let text = if format == Format::Markdown { outside_fences(&text) } else { text };
        assert!(!text.contains("<script"), "{format:?}");
        assert!(text.contains("&lt;script"), "{format:?} lost the text");
    }
}

#[test]
fn control_characters_are_escaped_in_markdown_and_junit() {
    for format in [Format::Markdown, Format::Junit] {
        let bytes = render(&hostile(), format).expect("renders");
        let text = String::from_utf8(bytes).expect("reports are UTF-8");
        assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{format:?}");
        assert!(!text.contains('\u{202e}'), "{format:?}");
        assert!(text.contains("u202e"), "{format:?} lost the text");
    }
}

#[test]
fn hostile_text_stays_text_in_a_plot() {
    let svg = plots::seats_left::draw(&hostile()).expect("draws");
    assert!(!svg.as_str().contains("<script"), "{svg}");
    assert!(svg.as_str().contains("&lt;script"), "{svg}");
    assert_eq!(svg.as_str().matches("</svg>").count(), 1);
}

#[test]
fn hostile_text_reads_back_from_json() {
    let bytes = render(&hostile(), Format::Json).expect("renders");
    assert_eq!(RunReport::from_json(&bytes).expect("our own file"), hostile());
}

/// Markdown escapes nothing inside of a fence or a code span, and nothing gets out of one.
fn outside_fences(text: &str) -> String {
    let text = text.replace("\\`", "");
    let fenced =
        text.split("```").enumerate().filter(|(index, _)| index % 2 == 0).map(|(_, part)| part);
    let lines: String = fenced.collect();
    lines.split('`').enumerate().filter(|(index, _)| index % 2 == 0).map(|(_, part)| part).collect()
}
