//! The index of a folder: every run, comparison, capacity search and gate in it, the newest first.

use crate::{
    document::{Document, Section, Tone},
    quantity,
    table::{Table, words},
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
    /// What it came to, in a word.
    pub outcome: String,
    /// What stands behind that.
    pub headline: String,
}

impl Entry {
    /// An entry of a document.
    pub fn of(kind: &'static str, document: &Document) -> Self {
        Self {
            name: document.name.clone(),
            kind,
            started_at: document.started_at.clone(),
            about: document.title.clone(),
            outcome: document.word.clone(),
            headline: document.headline.clone(),
        }
    }

    /// An entry of a run.
    pub fn of_run(report: &crate::run_report::RunReport) -> Self {
        Self {
            name: report.run.clone(),
            kind: "run",
            started_at: report.started_at.clone(),
            about: format!("{} on {}", crate::verdict_text::strategy(report), report.plan.scenario),
            outcome: report.verdict.verdict.name().to_owned(),
            headline: crate::verdict_text::headline(report),
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
        words("what"),
        words("outcome"),
        words("about"),
        words("found"),
        words("started"),
    ]);
    for entry in &entries {
        table.push(vec![
            format!("{}/report.html", entry.name),
            entry.kind.to_owned(),
            entry.outcome.clone(),
            entry.about.clone(),
            entry.headline.clone(),
            entry.started_at.clone(),
        ]);
    }
    let convicted = entries.iter().filter(|entry| entry.outcome == "violated").count() as u64;
    let mut sections = vec![Section::new("reports", "Reports").table("", table)];
    if !unreadable.is_empty() {
        let section = Section::new("unreadable", "Not readable")
            .say("These have no report that this version reads:");
        sections.push(section.list(unreadable.iter().cloned()));
    }
    Document {
        kicker: "Slotproof",
        title: "Reports of this folder".to_owned(),
        subtitle: String::new(),
        tone: if convicted > 0 { Tone::Bad } else { Tone::Good },
        word: quantity::counted(entries.len() as u64, "report"),
        headline: match convicted {
            0 => "None of them was violated.".to_owned(),
            some => format!(
                "{} violated.",
                if some == 1 {
                    "One of them was".to_owned()
                } else {
                    format!("{some} of them were")
                }
            ),
        },
        facts: Vec::new(),
        name: String::new(),
        started_at: String::new(),
        repeat_command: String::new(),
        sections,
        made_by: format!("Made by slotproof {}.", env!("CARGO_PKG_VERSION")),
    }
}
