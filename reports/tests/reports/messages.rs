//! Every text that a reader of a report sees, in one snapshot: a change of wording shows in one
//! diff.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use slotproof_reports::{
    Document, Format, RenderError, RunReport,
    bench::{checker::CheckerBench, engine::EngineBench, strategies::StrategyBench},
    capacity::{Capacity, ClaimVerdict, ProbeOutcome, Scope, SizeMeasured, Violation},
    comparison::Comparison,
    gate::{Gate, GateOutcome},
    index::{self, Entry},
    plots::PlotError,
    render,
};
use slotproof_vocabulary::{
    ArrivalTotals, Invariant, Plan, PlanArgs, Ramp, Rate, ScenarioKind, StrategyKind, Verdict,
};

use crate::{benches, fixtures, several};

/// The texts of a page: what lies between its tags, and the labels of its plots.
fn texts(html: &str) -> Vec<String> {
    let body = html.split_once("<body>").expect("a page has a body").1;
    let mut texts = Vec::new();
    for piece in body.split('<') {
        let Some((tag, text)) = piece.split_once('>') else { continue };
        let label = tag.split_once("aria-label=\"").and_then(|(_, rest)| rest.split('"').next());
        let both = [Some(text), label].into_iter().flatten();
        texts.extend(both.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    texts
}

/// The texts that have a word in them, sorted; of those that differ in a number alone the first.
fn distinct(texts: impl Iterator<Item = String>) -> BTreeSet<String> {
    let has_word = |text: &String| {
        text.split(|character: char| !character.is_alphabetic()).any(|word| word.len() > 3)
    };
    let mut by_form = BTreeMap::new();
    for text in texts.filter(has_word) {
        let form: String = text.chars().filter(|character| !character.is_numeric()).collect();
        by_form.entry(form).or_insert(text);
    }
    by_form.into_values().collect()
}

fn run_page(report: &RunReport) -> String {
    String::from_utf8(render(report, Format::Html).expect("renders")).expect("UTF-8")
}

fn page(document: &Document) -> String {
    String::from_utf8(document.html().expect("renders")).expect("UTF-8")
}

/// A run of an open load against a service that is not ours, with everything that a run can have.
fn open_run() -> RunReport {
    let mut report = fixtures::violated();
    report.plan = Plan::try_from(PlanArgs {
        scenario: Some(ScenarioKind::HotAndCold),
        rate: Rate::of_per_s(100.0).map(Ramp::flat),
        attempts: Some(2),
        ..PlanArgs::default()
    })
    .expect("it can be run");
    report.totals.resends = 3;
    report.totals.arrivals = Some(ArrivalTotals {
        asked: 1_500,
        made: 1_499,
        waiting_max: 4,
        asked_per_s: 100.0,
        made_per_s: 99.9,
    });
    report.costs = Some(slotproof_reports::run_report::Costs {
        retries: 2,
        commits: 900,
        rollbacks: 3,
        wal_syncs: 100,
        lock_waiters: Some(0.5),
        wal_bytes: Some(8),
        slot_reads: Some(slotproof_reports::run_report::SlotReads { standby: 830, primary: 170 }),
        standbys: vec![slotproof_reports::run_report::StandbyLag {
            name: "standby-1".to_owned(),
            looks: 60,
            bytes_mean: 2_048.4,
            bytes_max: 900_000,
        }],
        pooler: Some(slotproof_reports::run_report::PoolerWaits {
            transactions: 1_200,
            waited_us: 300_000,
        }),
        cache_reads: Some(slotproof_reports::run_report::CacheReads {
            hits: 900,
            absent: 60,
            behind: 30,
            stale: 8,
            unavailable: 2,
            fills_refused: 5,
            age_ms_mean: 40,
            age_ms_max: 998,
        }),
        database_bytes: Some(9),
    });
    report.verdict.findings.truncate(1);
    report
}

fn gates() -> Vec<Gate> {
    let slower = Some(several::estimate(0.75, 0.74, 0.76));
    let passed = several::check("sale", GateOutcome::Passed);
    let of = |check| several::gate(vec![check]);
    vec![
        of(several::check("sale", GateOutcome::Passed)),
        of(several::check("sale", GateOutcome::Missed)),
        of(several::check("sale", GateOutcome::Unknown)),
        of(several::check("sale", GateOutcome::Violated)),
        of(several::not_run("sale")),
        of(several::without_evidence("sale")),
        several::gate(Vec::new()),
        Gate {
            performance: Some(several::performance(slower)),
            ..several::gate(vec![passed.clone()])
        },
        Gate { performance: Some(several::performance(None)), ..several::gate(vec![passed]) },
    ]
}

fn comparisons() -> Vec<Comparison> {
    use StrategyKind::{Conditional, LostUpdate, Optimistic, Pessimistic};
    let fast = several::estimate(1_000.0, 900.0, 1_100.0);
    let near = several::estimate(950.0, 850.0, 1_050.0);
    let slow = several::estimate(500.0, 400.0, 600.0);
    vec![
        several::comparison(&[
            (Conditional, Verdict::Upheld, fast),
            (Pessimistic, Verdict::Upheld, near),
            (Optimistic, Verdict::Upheld, slow),
            (LostUpdate, Verdict::Violated, fast),
        ]),
        several::comparison(&[
            (Conditional, Verdict::Upheld, fast),
            (Pessimistic, Verdict::Unknown, slow),
        ]),
        several::comparison(&[(Conditional, Verdict::Violated, fast)]),
        idle_in_one_setting(several::comparison_of(
            &[50, 400],
            &[(Conditional, Verdict::Upheld, slow), (Pessimistic, Verdict::Upheld, fast)],
        )),
    ]
}

/// The first cell did not exercise the invariants.
fn idle_in_one_setting(mut comparison: Comparison) -> Comparison {
    let idle = &mut comparison.cells[0];
    idle.verdict = Verdict::Unknown;
    idle.unknown_by = BTreeSet::from([Invariant::RunCoverage]);
    comparison
}

fn capacities() -> Vec<Capacity> {
    use ClaimVerdict::{NeedsDrill, NotMeasurableHere, Refuted, Supported};
    let mut violated = several::capacity(None, None, Supported);
    violated.probes[0].verdict = Verdict::Violated;
    violated.violation = Some(Violation {
        run: "run-1".to_owned(),
        invariant: Invariant::NoOverbookingObserved,
        summary: "slot a promised 3 seats of 2".to_owned(),
        under: "growth at 1,000 visits/s".to_owned(),
    });
    let mut sized = several::capacity(Some(1_745.0), Some(1_903.0), NotMeasurableHere);
    sized.probes[1].held = ProbeOutcome::Undecided("p99 includes the limit".to_owned());
    sized.claims[0].verdict = NeedsDrill;
    sized.claims[0].scope = Some(Scope::ClaimedMachine);
    sized.size = Some(SizeMeasured {
        filled_bytes: 5_000_000_000,
        bookings: 2_500_000,
        bytes_per_booking: several::estimate(1_980.0, 1_950.0, 2_010.0),
        took_ms: 312_000,
        empty_bytes: 500_000,
        empty: vec![sized.probes[0].clone()],
        filled: vec![sized.probes[1].clone()],
    });
    vec![
        sized,
        several::capacity(Some(1_745.0), Some(1_903.0), Supported),
        several::capacity(Some(1_745.0), None, Refuted),
        several::capacity(None, Some(1_903.0), NotMeasurableHere),
        violated,
    ]
}

fn benches() -> Vec<Document> {
    let tools_missing = EngineBench { tools: Vec::new(), ..benches::engine(None) };
    let strategies = benches::strategies();
    let empty = StrategyBench { cells: Vec::new(), pgbench: Vec::new(), ..strategies.clone() };
    let checker = benches::checker();
    let nothing = CheckerBench { rows: Vec::new(), ..checker.clone() };
    let limit = Duration::from_secs(10);
    vec![
        benches::engine(Some(2_805_600.0)).document(),
        tools_missing.document(),
        strategies.document(16),
        empty.document(16),
        checker.document(400, limit),
        nothing.document(400, limit),
    ]
}

fn indexes() -> [Document; 2] {
    let upheld = Entry::of_run(&fixtures::upheld());
    let violated = Entry::of_run(&fixtures::violated());
    [
        index::document(vec![upheld.clone()], &[]),
        index::document(vec![upheld, violated], &["run-1/run.json is damaged".to_owned()]),
    ]
}

fn errors() -> Vec<String> {
    let json = serde_json::from_str::<u32>("x").expect_err("no number");
    let mut errors = vec![
        PlotError::Refused("no space".to_owned()).to_string(),
        PlotError::Panicked.to_string(),
        RenderError::Json(json).to_string(),
    ];
    errors.extend(["{}", "{\"schema_version\": 7}"].map(|text| {
        RunReport::from_json(text.as_bytes()).expect_err("not of this version").to_string()
    }));
    errors
}

#[test]
fn messages() {
    let mut nothing_judged = fixtures::unknown();
    nothing_judged.verdict = several::nothing_judged();
    nothing_judged.environment.durable_commit = None;
    let runs =
        [fixtures::upheld(), fixtures::violated(), fixtures::unknown(), open_run(), nothing_judged];
    let kinds: [(&str, Vec<String>); 7] = [
        ("run", runs.iter().map(run_page).collect()),
        ("gate", gates().iter().map(|gate| page(&gate.document())).collect()),
        ("comparison", comparisons().iter().map(|it| page(&it.document())).collect()),
        ("capacity", capacities().iter().map(|it| page(&it.document())).collect()),
        ("bench", benches().iter().map(page).collect()),
        (
            "selftest",
            [Verdict::Violated, Verdict::Upheld]
                .map(|verdict| page(&several::selftest(verdict).document()))
                .into(),
        ),
        ("index", indexes().iter().map(page).collect()),
    ];
    let mut all = String::new();
    for (kind, pages) in kinds {
        let texts = distinct(pages.iter().flat_map(|page| texts(page)));
        writeln!(all, "## {kind}\n").expect("a string");
        for text in texts {
            writeln!(all, "{text}").expect("a string");
        }
        all.push('\n');
    }
    let outside = gates().into_iter().flat_map(|gate| {
        let mut lines = gate.annotations();
        lines.push(gate.badge().trim_end().to_owned());
        lines
    });
    let outside: Vec<String> = distinct(outside).into_iter().collect();
    writeln!(all, "## annotations and badges\n\n{}\n", outside.join("\n")).expect("a string");
    writeln!(all, "## errors\n\n{}", errors().join("\n")).expect("a string");
    insta::assert_snapshot!(all);
}
