//! Each verdict in each format.

use slotproof_reports::{Format, RunReport, render};
use slotproof_vocabulary::Invariant;

use crate::fixtures;

fn text(report: &RunReport, format: Format) -> String {
    String::from_utf8(render(report, format).expect("renders")).expect("reports are UTF-8")
}

#[test]
fn json_markdown_and_junit_of_each_verdict_are_pinned() {
    let reports = [
        ("upheld", fixtures::upheld()),
        ("violated", fixtures::violated()),
        ("unknown", fixtures::unknown()),
    ];
    for (name, report) in reports {
        for (format, kind) in
            [(Format::Json, "json"), (Format::Markdown, "markdown"), (Format::Junit, "junit")]
        {
            insta::assert_snapshot!(format!("{name}_{kind}"), text(&report, format));
        }
    }
}

#[test]
fn what_is_written_as_json_reads_back_the_same() {
    let report = fixtures::violated();
    let read = RunReport::from_json(text(&report, Format::Json).as_bytes()).expect("our own file");
    assert_eq!(read, report);
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    for format in Format::ALL {
        let report = fixtures::violated();
        assert_eq!(text(&report, format), text(&report, format), "{format:?}");
    }
}

#[test]
fn html_needs_nothing_but_itself() {
    for report in [fixtures::upheld(), fixtures::violated(), fixtures::unknown()] {
        let html = text(&report, Format::Html);
        for fetch in ["http://", "https://", "<script", "<link", "@import", "url(", " src="] {
            assert!(!html.contains(fetch), "{fetch} is in the page");
        }
        for target in html.split("href=\"").skip(1) {
            assert!(
                target.starts_with('#') || target.starts_with("data:text/csv"),
                "{}",
                &target[..40]
            );
        }
    }
}

#[test]
fn html_says_the_verdict_and_every_invariant() {
    let reports = [
        ("upheld", fixtures::upheld()),
        ("violated", fixtures::violated()),
        ("unknown", fixtures::unknown()),
    ];
    for (word, report) in reports {
        let html = text(&report, Format::Html);
        assert!(html.contains(&format!("<p class=\"word\">{word}</p>")), "{word}");
        for invariant in Invariant::ALL {
            assert!(
                html.contains(&format!(">{invariant}<")) && html.contains(invariant.claim()),
                "{invariant}"
            );
        }
    }
}

#[test]
fn a_violation_is_shown_with_its_witness_and_what_was_not_judged_is_said() {
    let html = text(&fixtures::violated(), Format::Html);
    let shown = [
        "46 acknowledged seats were held at once in a slot of 40",
        "One more invariant was violated.",
        "href=\"#I1\"",
        "id=\"I1\"",
        "b-45",
        "unknown (timeout)",
        "+6 more clients are not drawn.",
        "6 too many at ",
        ">not judged<",
        "slotproof run --scenario flash_sale --strategy lost_update",
    ];
    for text in shown {
        assert!(html.contains(text), "{text} is missing");
    }
}

#[test]
fn every_plot_of_a_measured_run_is_drawn_with_its_data() {
    let html = text(&fixtures::violated(), Format::Html);
    assert!(!html.contains("could not be drawn"));
    for id in [
        "seats-left",
        "latency-percentiles",
        "latency-over-time",
        "throughput",
        "cpu",
        "witness-I1",
    ] {
        assert!(html.contains(&format!("<figure id=\"{id}\">")), "{id}");
        assert!(html.contains(&format!("download=\"{id}.csv\" href=\"data:text/csv")), "{id}");
    }
    assert!(!html.contains("\"#0"), "a code of the palette was left in a plot");
}

#[test]
fn a_plot_without_data_says_why_and_the_report_goes_on() {
    let html = text(&fixtures::unknown(), Format::Html);
    for reason in [
        "no slot was touched",
        "no operation was recorded",
        "no operation returned",
        "no CPU time was sampled",
    ] {
        assert!(html.contains(&format!("This plot could not be drawn: {reason}.")), "{reason}");
    }
    assert!(
        !html.contains("<figcaption>"),
        "a plot of nothing shows nothing, least of all that no slot was overbooked"
    );
    assert!(html.contains("</html>"));
}

#[test]
fn a_fault_is_in_the_page_with_what_clients_noticed_and_one_that_did_not_take_has_no_figures() {
    let report = fixtures::violated();
    for (format, end_of_row) in [(Format::Html, "</tr>"), (Format::Markdown, "\n")] {
        let page = text(&report, format);
        let row = |fault: &str| {
            let after = page.split(fault).nth(1).expect("it is named");
            after.split(end_of_row).next().unwrap_or_default().to_owned()
        };
        let taken = row("crash-postgres@4s");
        assert!(taken.contains("1.20 s") && taken.contains("31.0 ms"), "{taken}");
        let not_taken = row("rebalance:shard-2@9s");
        assert!(not_taken.contains("did not take: the shard was not there"), "{not_taken}");
        assert!(!not_taken.contains("30.0 ms") && !not_taken.contains("160"), "{not_taken}");
    }
    let html = text(&report, Format::Html);
    let bands = html.matches("fill-opacity=\"0.16\"").count();
    assert!(bands > 0, "the plots over time have a band");
}
