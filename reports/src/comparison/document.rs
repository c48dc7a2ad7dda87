//! The page of a comparison.

use std::collections::BTreeSet;

use slotproof_vocabulary::{Invariant, Verdict};

use super::{
    data::{Cell, Comparison, Metric},
    ranking::Setting,
};
use crate::{
    document::{Document, Section, Tone},
    plots, quantity, run_context,
    table::{Table, numbers, words},
};

impl Comparison {
    /// The page.
    pub fn document(&self) -> Document {
        let (recommendation, exceptions) = self.recommendation();
        let disqualified: Vec<String> = self
            .strategies()
            .into_iter()
            .filter(|strategy| self.verdict_of(*strategy) == Verdict::Violated)
            .map(|strategy| strategy.to_string())
            .collect();
        let (tone, word) = match self.verdict() {
            Verdict::Violated => (Tone::Bad, "violated"),
            Verdict::Unknown => (Tone::Uncertain, "not all decided"),
            Verdict::Upheld => (Tone::Good, "compared"),
        };
        let mut sections = vec![
            Section::new("recommendation", "Recommendation").say(recommendation.clone()).list(exceptions).say(
                "It holds for this machine, these settings and this load; the environment is below. Intervals are bootstrap 95 % intervals of the \
                 median over the rounds; where two overlap the page says \"no significant difference\", and so should you.",
            ),
        ];
        for setting in self.settings() {
            sections.push(self.setting_section(setting));
        }
        let clients: BTreeSet<u32> = self.cells.iter().map(|cell| cell.clients).collect();
        if clients.len() > 1 {
            sections.push(
                Section::new("contention", "As clients grow")
                    .figure(plots::contention::figure(self, Metric::Goodput))
                    .figure(plots::contention::figure(self, Metric::ResponseUsP99)),
            );
        }
        sections.push(self.detection_section());
        sections.push(
            Section::new("environment", "Environment")
                .table("", run_context::environment_of(&self.header.context)),
        );
        Document {
            kicker: "Slotproof comparison",
            title: format!("{} strategies", self.strategies().len()),
            subtitle: self
                .settings()
                .iter()
                .map(|(scenario, clients)| format!("{scenario} × {clients} clients"))
                .collect::<Vec<_>>()
                .join(", "),
            tone,
            word: word.to_owned(),
            headline: match disqualified.as_slice() {
                [] => recommendation,
                names => format!("Disqualified: {}. {recommendation}", names.join(", ")),
            },
            facts: vec![
                ("strategies".to_owned(), self.strategies().len().to_string()),
                ("settings".to_owned(), self.settings().len().to_string()),
                ("rounds".to_owned(), self.rounds.to_string()),
                (
                    "runs judged".to_owned(),
                    quantity::count(self.cells.iter().map(|cell| cell.rounds.len() as u64).sum()),
                ),
                ("durable commit p50, by round".to_owned(), self.commits_text()),
            ],
            name: self.header.name.clone(),
            started_at: self.header.context.started_at.clone(),
            repeat_command: self.header.context.repeat_command.clone(),
            sections,
            made_by: format!(
                "Made by slotproof {} from comparison.json alone, schema version {}.",
                self.header.context.slotproof_version, self.header.schema_version
            ),
        }
    }

    fn commits_text(&self) -> String {
        let commits = self.durable_commit_by_round.iter().flatten();
        let texts: Vec<String> =
            commits.map(|commit| quantity::duration_us(commit.us_p50)).collect();
        if texts.is_empty() { "not measured".to_owned() } else { texts.join(", ") }
    }

    fn setting_section(&self, setting: Setting) -> Section {
        let (scenario, clients) = setting;
        let measured =
            |metric: &Metric| self.cells.iter().any(|cell| cell.estimates.contains_key(metric));
        let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(measured).collect();
        let mut table =
            Table::new(&[words("strategy"), words("verdict"), words("against the first")]);
        table.columns.extend(metrics.iter().map(|metric| numbers(metric.title())));
        let order = self.order(setting);
        let place = |cell: &&Cell| {
            order.iter().position(|(strategy, _)| *strategy == cell.strategy).unwrap_or(usize::MAX)
        };
        let mut cells: Vec<&Cell> =
            self.cells.iter().filter(|cell| (cell.scenario, cell.clients) == setting).collect();
        cells.sort_by_key(place);
        for cell in &cells {
            let against = match (self.verdict_of(cell.strategy), order.first()) {
                (Verdict::Violated, _) => "disqualified".to_owned(),
                (Verdict::Unknown, _) => "not ranked: not decided".to_owned(),
                (Verdict::Upheld, Some((first, _))) if *first == cell.strategy => {
                    "first".to_owned()
                }
                (Verdict::Upheld, Some((_, best))) => match cell.estimates.get(&Metric::Goodput) {
                    Some(own) if own.overlaps(best) => "no significant difference".to_owned(),
                    Some(own) => {
                        format!("{:.0} %", own.median / best.median.max(f64::MIN_POSITIVE) * 100.0)
                    }
                    None => String::new(),
                },
                (Verdict::Upheld, None) => String::new(),
            };
            let mut row = vec![cell.strategy.to_string(), cell.verdict.name().to_owned(), against];
            row.extend(metrics.iter().map(|metric| {
                cell.estimates
                    .get(metric)
                    .map_or(String::new(), |estimate| estimate.text(|value| metric.text(value)))
            }));
            table.push(row);
        }
        let id = format!("{scenario}-{clients}");
        Section::new(id.clone(), format!("{scenario}, {clients} clients"))
            .figure(plots::intervals::figure(&id, Metric::Goodput, &cells))
            .figure(plots::intervals::figure(&id, Metric::ResponseUsP99, &cells))
            .table("", table)
    }

    /// What was found of each strategy over all settings.
    fn detection_section(&self) -> Section {
        let mut table = Table::new(&[
            words("strategy"),
            words("verdict"),
            words("convicted by"),
            words("found"),
        ]);
        for strategy in self.strategies() {
            let cells = || self.cells.iter().filter(move |cell| cell.strategy == strategy);
            let by: BTreeSet<Invariant> =
                cells().flat_map(|cell| cell.convicted_by.iter().copied()).collect();
            let by: Vec<String> = by.iter().map(ToString::to_string).collect();
            let verdict = self.verdict_of(strategy);
            let reason =
                cells().filter(|cell| cell.verdict == verdict).find_map(|cell| cell.reason.clone());
            table.push(vec![
                strategy.to_string(),
                verdict.name().to_owned(),
                by.join(" "),
                reason.unwrap_or_else(|| {
                    let idle = cells().filter(|cell| cell.verdict == Verdict::Unknown).count();
                    match idle {
                        0 => "every invariant that was judged held in every run".to_owned(),
                        some => format!(
                            "every invariant held; in {some} of {} settings nothing was at stake",
                            cells().count()
                        ),
                    }
                }),
            ]);
        }
        Section::new("verdicts", "Verdicts")
            .say("The worst of all runs of a strategy. Each run has its own directory beside this file, with its history, and can be judged again.")
            .figure(plots::detection_matrix::figure(self, &self.strategies()))
            .table("", table)
    }
}
