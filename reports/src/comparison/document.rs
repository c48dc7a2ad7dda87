//! The page of a comparison.

use std::collections::BTreeSet;

use slotproof_vocabulary::{Invariant, StrategyKind, Verdict};

use super::{
    data::{Cell, Comparison, Contrast, Decision, Metric},
    ranking::Setting,
};
use crate::{
    document::{Document, Section},
    estimate::Estimate,
    plots, quantity, run_context,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

impl Comparison {
    /// The page.
    pub fn document(&self) -> Document {
        let (recommendation, exceptions) = self.recommendation();
        let disqualified: Vec<&str> = self
            .strategies()
            .into_iter()
            .filter(|strategy| self.verdict_of(*strategy) == Verdict::Violated)
            .map(StrategyKind::name)
            .collect();
        let outcome = match self.verdict() {
            Verdict::Violated => "violated",
            Verdict::Unknown => "partly undecided",
            Verdict::Upheld => "compared",
        };
        let mut sections = vec![recommendation_section(recommendation.clone(), exceptions)];
        sections.extend(self.settings().into_iter().map(|setting| self.setting_section(setting)));
        sections.extend(self.contention_section());
        sections.push(self.detection_section());
        sections.push(run_context::section(&self.header.context));
        let settings: Vec<String> = self.settings().into_iter().map(setting_title).collect();
        Document {
            kicker: "Slotproof comparison",
            title: quantity::counted(self.strategies().len() as u64, "strategy"),
            subtitle: settings.join("; "),
            tone: self.verdict().into(),
            outcome: outcome.to_owned(),
            headline: match disqualified.as_slice() {
                [] => recommendation,
                names => format!("Disqualified: {}. {recommendation}", names.join(", ")),
            },
            facts: self.facts(),
            origin: Some((&self.header).into()),
            sections,
            data_file: "comparison.json",
            made_by: self.header.made_by("comparison.json"),
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let commits = self.durable_commit_by_round.iter().flatten();
        let commits: Vec<String> =
            commits.map(|commit| quantity::duration_us(commit.us_p50)).collect();
        let commits =
            if commits.is_empty() { "not measured".to_owned() } else { commits.join(", ") };
        let runs = self.cells.iter().map(|cell| cell.rounds.len() as u64).sum();
        let facts = [
            ("strategies", self.strategies().len().to_string()),
            ("settings", self.settings().len().to_string()),
            ("rounds", self.rounds.to_string()),
            ("runs judged", quantity::count(runs)),
            ("durable commit p50 by round", commits),
        ];
        facts.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn setting_section(&self, setting: Setting) -> Section {
        let mut cells: Vec<&Cell> =
            self.cells.iter().filter(|cell| (cell.load, cell.clients) == setting).collect();
        let order = self.order(setting);
        cells.sort_by_key(|cell| {
            order.iter().position(|(strategy, _)| *strategy == cell.strategy).unwrap_or(usize::MAX)
        });
        let (load, clients) = setting;
        let id = format!("{load}-{clients}");
        Section::new(id.clone(), setting_title(setting))
            .figure(plots::intervals::figure(&id, Metric::Goodput, &cells))
            .figure(plots::intervals::figure(&id, Metric::ResponseUsP99, &cells))
            .table("", self.setting_table(&cells, order.first().copied()))
    }

    fn setting_table(&self, cells: &[&Cell], first: Option<(StrategyKind, Estimate)>) -> Table {
        let measured =
            |metric: &Metric| self.cells.iter().any(|cell| cell.estimates.contains_key(metric));
        let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(measured).collect();
        let mut table =
            Table::new(&[words("strategy"), words("verdict"), words("relative to the first")]);
        table.columns.extend(metrics.iter().map(|metric| numbers(metric.title())));
        for cell in cells {
            let mut row = vec![
                cell.strategy.name().into(),
                TableCell::verdict(cell.verdict),
                self.relative(cell, first),
            ];
            row.extend(metrics.iter().map(|metric| {
                let estimate = cell.estimates.get(metric);
                let text = estimate.map(|estimate| estimate.text(|value| metric.text(value)));
                text.unwrap_or_default().into()
            }));
            table.push(row);
        }
        table
    }

    /// The goodput of a strategy beside that of the first in its setting.
    fn relative(&self, cell: &Cell, first: Option<(StrategyKind, Estimate)>) -> TableCell {
        match (self.verdict_of(cell.strategy), first) {
            (Verdict::Violated, _) => TableCell::outcome(Tone::Bad, "disqualified"),
            (Verdict::Unknown, _) => "not ranked: undecided".into(),
            (Verdict::Upheld, Some((first, _))) if first == cell.strategy => "first".into(),
            (Verdict::Upheld, Some(_)) => {
                match self.contrast(cell.strategy, (cell.load, cell.clients)) {
                    Some(contrast) => relation(contrast),
                    None => "".into(),
                }
            }
            (Verdict::Upheld, None) => "".into(),
        }
    }

    fn contention_section(&self) -> Option<Section> {
        let clients: BTreeSet<u32> = self.cells.iter().map(|cell| cell.clients).collect();
        let section = || {
            Section::new("contention", "By number of clients")
                .figure(plots::contention::figure(self, Metric::Goodput))
                .figure(plots::contention::figure(self, Metric::ResponseUsP99))
        };
        (clients.len() > 1).then(section)
    }

    /// What was found of each strategy over all settings.
    fn detection_section(&self) -> Section {
        let columns =
            [words("strategy"), words("verdict"), words("convicted by"), words("finding")];
        let mut table = Table::new(&columns);
        for strategy in self.strategies() {
            let cells = self.cells.iter().filter(|cell| cell.strategy == strategy);
            let by: BTreeSet<Invariant> =
                cells.flat_map(|cell| cell.convicted_by.iter().copied()).collect();
            let by: Vec<String> = by.iter().map(ToString::to_string).collect();
            table.push(vec![
                strategy.name().into(),
                TableCell::verdict(self.verdict_of(strategy)),
                by.join(" ").into(),
                self.finding(strategy).into(),
            ]);
        }
        Section::new("verdicts", "Verdicts")
            .paragraph(
                "The worst verdict over all runs of a strategy. Each run has a directory beside \
                 this file, with its history; slotproof check judges it again.",
            )
            .figure(plots::detection_matrix::figure(self, &self.strategies()))
            .table("", table)
    }

    /// What the deciding finding says; else what was upheld, and how much of it was exercised.
    fn finding(&self, strategy: StrategyKind) -> String {
        let cells = || self.cells.iter().filter(move |cell| cell.strategy == strategy);
        let verdict = self.verdict_of(strategy);
        let deciding = cells().find(|cell| cell.verdict == verdict && cell.reason.is_some());
        if let Some(reason) = deciding.and_then(|cell| cell.reason.clone()) {
            return reason;
        }
        match cells().filter(|cell| cell.verdict == Verdict::Unknown).count() {
            0 => "every judged invariant held in every run".to_owned(),
            idle => format!(
                "every judged invariant held; {idle} of {} did not exercise them (I15)",
                quantity::counted(cells().count() as u64, "setting")
            ),
        }
    }
}

/// A ratio with its interval, and what it says.
fn relation(contrast: &Contrast) -> TableCell {
    let Some(ratio) = contrast.ratio else { return "one round".into() };
    let ratio = ratio.text(|value| format!("{value:.2}"));
    match contrast.decision() {
        Decision::Equal => format!("equal: {ratio}").into(),
        Decision::Worse => ratio.into(),
        Decision::Undecided => TableCell::outcome(Tone::Uncertain, format!("undecided: {ratio}")),
    }
}

fn recommendation_section(recommendation: String, exceptions: Vec<String>) -> Section {
    let section =
        Section::new("recommendation", "Recommendation").paragraph(recommendation).paragraph(
            "This holds for this machine, these settings and this load; the environment is below. \
         In hot_slot and many_slots there are seats for everybody: goodput is what a strategy can \
         do, and these settings decide. In the other loads seats run out: they show whether a \
         strategy is right. Strategies are compared by the ratio of their goodput inside each \
         round: its geometric mean, with a t interval that holds at 95 % for all ratios of this \
         page together; the noise is estimated from all strategies of a setting. Equal: the interval lies within 10 % of 1. Undecided: it crosses that \
         margin. Intervals of medians are bootstrap 95 % intervals over the rounds.",
        );
    match exceptions.as_slice() {
        [] => section,
        _ => section.paragraph("Where another choice may be better:").list(exceptions),
    }
}

fn setting_title((load, clients): Setting) -> String {
    format!("{load}, {}", quantity::counted(clients.into(), "client"))
}
