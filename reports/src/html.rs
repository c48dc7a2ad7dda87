//! HTML: the whole report as one file that needs no network, no font and no script.

use askama::Template;
use slotproof_vocabulary::{Finding, Invariant, Witness, Workload};

use crate::{
    evidence, measurements,
    measurements::LatencyLine,
    plots::{self, Figure},
    quantity,
    render_error::RenderError,
    run_context,
    run_report::RunReport,
    run_report::ServerBlock,
    table::{Table, words},
    verdict_text,
};

/// Rows of a witness's table; the others are in `verdict.json`.
const WITNESS_ROWS_MAX: usize = 50;

pub(crate) fn render(report: &RunReport) -> Result<Vec<u8>, RenderError> {
    Ok(Page::new(report).render()?.into_bytes())
}

/// What the template writes.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a RunReport,
    style: &'static str,
    headline: String,
    strategy: &'a str,
    mechanism: String,
    facts: Vec<(&'static str, String)>,
    outcome: &'static str,
    tone: &'static str,
    invariants: Vec<Line>,
    seats: Figure,
    witnesses: Vec<Section<'a>>,
    figures: [Figure; 4],
    latency_kinds: &'static str,
    latency: Vec<LatencyLine<'a>>,
    fault_times: &'static str,
    faults: Table,
    totals: Table,
    resources: Table,
    environment: Table,
    topology: Option<Figure>,
    servers: Vec<(&'a ServerBlock, Table)>,
    plan: Table,
}

/// An invariant in the table of verdicts.
struct Line {
    id: String,
    claim: &'static str,
    verdict: &'static str,
    summary: String,
    examined: String,
    violations: String,
    witnessed: bool,
}

/// A finding with its witness.
struct Section<'a> {
    finding: &'a Finding,
    witness: &'a Witness,
    explanation: String,
    instant: String,
    tables: Vec<Evidence>,
    timeline: Option<Figure>,
}

/// The first rows of one kind of evidence.
struct Evidence {
    title: &'static str,
    table: Table,
    left_out: usize,
}

impl<'a> Page<'a> {
    fn new(report: &'a RunReport) -> Self {
        Self {
            report,
            style: include_str!("../templates/report.css"),
            headline: verdict_text::headline(report),
            strategy: verdict_text::strategy(report),
            mechanism: verdict_text::mechanism(report),
            facts: facts(report),
            outcome: verdict_text::outcome(report),
            tone: verdict_text::tone(report).class(),
            invariants: verdict_text::invariants(report).into_iter().map(Line::new).collect(),
            seats: plots::seats_left::figure(report),
            witnesses: verdict_text::witnessed(report).filter_map(Section::new).collect(),
            figures: [
                plots::latency_percentiles::figure(report),
                plots::latency_over_time::figure(report),
                plots::throughput::figure(report),
                plots::cpu::figure(report),
            ],
            latency_kinds: measurements::LATENCY_KINDS,
            latency: measurements::latency_lines(report),
            fault_times: measurements::FAULT_TIMES,
            faults: measurements::faults(report),
            totals: measurements::totals(report),
            resources: measurements::resources(report),
            environment: run_context::environment(report),
            topology: plots::topology::figure(&report.environment),
            servers: report
                .environment
                .servers
                .iter()
                .map(|server| (server, settings(server)))
                .collect(),
            plan: run_context::plan(report),
        }
    }
}

impl Line {
    fn new((invariant, finding): (Invariant, Option<&Finding>)) -> Self {
        let number = |of: fn(&Finding) -> u64| {
            finding.map(|finding| quantity::count(of(finding))).unwrap_or_default()
        };
        Self {
            id: invariant.to_string(),
            claim: invariant.claim(),
            verdict: finding.map_or("not judged", |finding| finding.verdict.name()),
            summary: finding.map(|finding| finding.summary.clone()).unwrap_or_default(),
            examined: number(|finding| finding.examined),
            violations: number(|finding| finding.violations),
            witnessed: finding.is_some_and(|finding| finding.witness.is_some()),
        }
    }
}

impl<'a> Section<'a> {
    fn new(finding: &'a Finding) -> Option<Self> {
        let witness = finding.witness.as_ref()?;
        let tables = evidence::tables(witness).map(|(title, table)| Evidence::new(title, table));
        Some(Self {
            finding,
            witness,
            explanation: verdict_text::sentence(&witness.explanation),
            instant: evidence::instant(witness).unwrap_or_default(),
            tables: tables.into_iter().filter(|evidence| !evidence.table.rows.is_empty()).collect(),
            timeline: plots::witness_timeline::figure(finding),
        })
    }
}

impl Evidence {
    fn new(title: &'static str, mut table: Table) -> Self {
        let left_out = table.rows.len().saturating_sub(WITNESS_ROWS_MAX);
        table.rows.truncate(WITNESS_ROWS_MAX);
        Self { title, table, left_out }
    }
}

/// The few numbers that a reader looks for first.
fn facts(report: &RunReport) -> Vec<(&'static str, String)> {
    let (plan, totals) = (&report.plan, &report.totals);
    let reserve = report
        .latency
        .iter()
        .find(|latency| latency.operation == "reserve" && latency.outcome.is_none());
    let mut facts = vec![
        match plan.workload {
            Workload::Closed { clients, .. } => ("clients", quantity::count(clients.into())),
            Workload::Open { clients, .. } => {
                ("concurrent visits, at most", quantity::count(clients.into()))
            }
        },
        (
            "slots × seats",
            format!(
                "{} × {}",
                quantity::count(plan.slots.into()),
                quantity::count(plan.capacity.into())
            ),
        ),
        ("operations", quantity::count(totals.operations)),
        ("operations / s", quantity::rate(totals.operations_per_s)),
        ("acknowledged reserves / s", quantity::rate(totals.reserved_per_s)),
    ];
    if let Some(arrivals) = totals.arrivals {
        facts.push(("offered visits / s", quantity::rate(arrivals.asked_per_s)));
        facts.push(("achieved visits / s", quantity::rate(arrivals.made_per_s)));
    }
    facts.push(("without a decision", quantity::share(totals.errors.share())));
    if let Some(reserve) = reserve {
        facts.push(("reserve response p99", quantity::duration_us(reserve.response.us_p99)));
        facts.push(("reserve service p99", quantity::duration_us(reserve.service.us_p99)));
    }
    facts
}

/// The settings of a server, by name.
fn settings(server: &ServerBlock) -> Table {
    let mut table = Table::new(&[words("setting"), words("value")]);
    for (name, value) in &server.settings {
        table.push(vec![name.clone(), value.clone()]);
    }
    table
}
