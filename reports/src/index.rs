//! The index of a folder: every run, comparison, capacity search and gate in it, the newest first.

use crate::{
    document::{Document, Section},
    quantity,
    table::{Table, TableCell, words},
    tone::Tone,
    verdict_text,
};

/// One report of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its directory's name.
    pub name: String,
    /// `run`, `comparison`, `capacity` or `gate`.
    pub kind: &'static str,
    /// When it began.
    pub started_at: String,
    /// What it is about.
    pub about: String,
    /// Its outcome, in a word.
    pub outcome: String,
    /// How to take the outcome.
    pub tone: Tone,
    /// What stands behind that.
    pub headline: String,
}

impl Entry {
    /// An entry of a document.
    pub fn of(kind: &'static str, document: &Document) -> Self {
        let origin = document.origin.as_ref();
        Self {
            name: origin.map(|origin| origin.name.clone()).unwrap_or_default(),
            kind,
            started_at: origin.map(|origin| origin.started_at.clone()).unwrap_or_default(),
            about: document.title.clone(),
            outcome: document.outcome.clone(),
            tone: document.tone,
            headline: document.headline.clone(),
        }
    }

    /// An entry of a run.
    pub fn of_run(report: &crate::run_report::RunReport) -> Self {
        Self {
            name: report.run.clone(),
            kind: "run",
            started_at: report.started_at.clone(),
            about: format!("{} on {}", verdict_text::strategy(report), report.plan.scenario),
            outcome: verdict_text::outcome(report).to_owned(),
            tone: verdict_text::tone(report),
            headline: verdict_text::headline(report),
        }
    }
}

/// The page of a folder.
pub fn document(mut entries: Vec<Entry>, unreadable: &[String]) -> Document {
    entries.sort_by(|left, right| {
        right.started_at.cmp(&left.started_at).then(right.name.cmp(&left.name))
    });
    let mut table = Table::new(&[
        words("report"),
        words("kind"),
        words("outcome"),
        words("about"),
        words("finding"),
        words("started"),
    ]);
    for entry in &entries {
        table.push(vec![
            TableCell::page_of(&entry.name),
            entry.kind.into(),
            TableCell::outcome(entry.tone, &entry.outcome),
            entry.about.clone().into(),
            entry.headline.clone().into(),
            entry.started_at.clone().into(),
        ]);
    }
    let convicted = entries.iter().filter(|entry| entry.tone == Tone::Bad).count() as u64;
    let mut sections = vec![Section::new("reports", "Reports").table("", table)];
    if !unreadable.is_empty() {
        let section = Section::new("unreadable", "Unreadable")
            .paragraph("This version cannot read these reports:");
        sections.push(section.list(unreadable.iter().cloned()));
    }
    Document {
        kicker: "Slotproof",
        title: "Reports in this folder".to_owned(),
        subtitle: String::new(),
        tone: if convicted > 0 { Tone::Bad } else { Tone::Good },
        outcome: quantity::counted(entries.len() as u64, "report"),
        headline: match convicted {
            0 => "No report has a violation.".to_owned(),
            some => {
                format!("{} with a violation.", quantity::counted(some, "report"))
            }
        },
        facts: Vec::new(),
        origin: None,
        sections,
        data_file: "index.html",
        made_by: format!("Made by slotproof {}.", env!("CARGO_PKG_VERSION")),
    }
}
