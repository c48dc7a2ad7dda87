//! A run as a document: what is posted as a comment on a pull request.
//!
//! The page of a run has a template of its own (`html.rs`), with icons, a witness as it happened
//! and a latency table of two header rows.

use slotproof_vocabulary::Finding;

use crate::{
    document::{Document, Origin, Section},
    evidence, measurements, quantity, run_context,
    run_report::RunReport,
    verdict_text,
};

/// Rows of each table of a witness.
const WITNESS_ROWS_MAX: usize = 20;
/// Witnesses that are shown, in the order of the invariants.
const WITNESSES_MAX: usize = 3;

pub(crate) fn document(report: &RunReport) -> Document {
    let totals = &report.totals;
    let mut sections = vec![
        Section::new("verdicts", "Verdict by invariant").table("", verdict_text::table(report)),
    ];
    sections.extend(verdict_text::witnessed(report).take(WITNESSES_MAX).filter_map(witness));
    if !report.faults.is_empty() {
        let faults = Section::new("faults", "Faults and moves under load");
        let table = measurements::faults(report);
        sections.push(faults.paragraph(measurements::FAULT_TIMES).table("", table));
    }
    sections.push(latency(report));
    sections.push(run_context::environment_section(
        run_context::environment(report),
        &report.environment,
    ));
    Document {
        kicker: "Slotproof run",
        title: format!("{} on {}", verdict_text::strategy(report), report.plan.scenario),
        subtitle: format!(
            "{}, {} of {}, {} in {}, {} reserves acknowledged per second.",
            quantity::counted(report.plan.clients().into(), "client"),
            quantity::counted(report.plan.slots.into(), "slot"),
            quantity::counted(report.plan.capacity.into(), "seat"),
            quantity::counted(totals.operations, "operation"),
            quantity::duration_ms(totals.window_ms),
            quantity::rate(totals.reserved_per_s),
        ),
        tone: verdict_text::tone(report),
        outcome: verdict_text::outcome(report).to_owned(),
        headline: verdict_text::headline(report),
        facts: measurements::shorter(report)
            .map(|(name, text)| (name.to_owned(), text))
            .into_iter()
            .collect(),
        origin: Some(Origin {
            name: report.run.clone(),
            started_at: report.started_at.clone(),
            repeat_command: report.repeat_command.clone(),
        }),
        sections,
        data_file: "verdict.json",
        made_by: format!(
            "Made by slotproof {} from run.json, schema version {}.",
            report.slotproof_version, report.schema_version
        ),
    }
}

fn witness(finding: &Finding) -> Option<Section> {
    let witness = finding.witness.as_ref()?;
    let id = finding.invariant.to_string();
    let mut section = Section::new(&*id, format!("Witness of {id}")).paragraph(format!(
        "Slot {}. {}",
        witness.slot,
        verdict_text::sentence(&witness.explanation)
    ));
    section.paragraphs.extend(evidence::instant(witness));
    Some(evidence::tables(witness).into_iter().fold(section, |section, (title, table)| {
        section.first_rows(title, table, WITNESS_ROWS_MAX)
    }))
}

fn latency(report: &RunReport) -> Section {
    let section = Section::new("latency", "Latency");
    if report.latency.is_empty() {
        return section.paragraph("No operation was recorded.");
    }
    section.paragraph(measurements::LATENCY_KINDS).table("", measurements::latency_table(report))
}
