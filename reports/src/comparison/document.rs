//! The page of a comparison.

use std::collections::BTreeSet;

use slotproof_vocabulary::{ComponentBlock, Invariant, Verdict};

use super::{
    contrast::{Aspect, Contrast, Decision},
    data::{Cell, Comparison, Setting, Variant},
    load::{Load, Offered},
    metric::Metric,
    recommendation::{Recommendation, setting_title},
};
use crate::{
    document::{Document, Section},
    plots, quantity, run_context,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

impl Comparison {
    /// The page.
    pub fn document(&self) -> Document {
        let recommendation = self.recommendation();
        let disqualified: Vec<&str> =
            self.names().filter(|name| self.verdict_of(name) == Verdict::Violated).collect();
        let outcome = match self.verdict() {
            Verdict::Violated => "violated",
            Verdict::Unknown => "partly undecided",
            Verdict::Upheld => "compared",
        };
        let headline = match disqualified.as_slice() {
            [] => recommendation.text.clone(),
            names => format!("Disqualified: {}. {}", names.join(", "), recommendation.text),
        };
        let mut sections = vec![self.decision_section(&recommendation)];
        sections.extend(exceptions_section(&recommendation));
        sections.extend(self.settings().into_iter().map(|setting| self.setting_section(setting)));
        sections.extend(self.contention_section());
        sections.extend(self.against_section());
        sections.extend(self.topologies_section());
        sections.push(self.detection_section());
        sections.push(self.method_section());
        sections.push(run_context::section(&self.header.context));
        let settings: Vec<String> = self.settings().into_iter().map(setting_title).collect();
        Document {
            kicker: "Slotproof comparison",
            title: quantity::counted(self.variants.len() as u64, "variant"),
            subtitle: settings.join("; "),
            tone: self.verdict().into(),
            outcome: outcome.to_owned(),
            headline,
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
            ("variants", self.variants.len().to_string()),
            ("settings", self.settings().len().to_string()),
            ("rounds", format!("{} and those added", self.rounds)),
            ("runs judged", quantity::count(runs)),
            ("operations judged", quantity::count(self.cells.iter().map(|it| it.operations).sum())),
            ("durable commit p50 by round", commits),
        ];
        facts.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// A line for each variant.
    fn decision_section(&self, recommendation: &Recommendation) -> Section {
        Section::new("decision", "Decision").table("", self.decision_table(recommendation))
    }

    /// What each variant runs on, where they differ in that.
    fn topologies_section(&self) -> Option<Section> {
        let of = |it: &Variant| Some((it.name.clone(), it.topology.clone()?));
        let topologies: Vec<_> = self.variants.iter().filter_map(of).collect();
        if topologies.is_empty() {
            return None;
        }
        let columns = [
            words("topology"),
            words("what it is"),
            words("reads may be old by"),
            words("servers"),
        ];
        let mut table = Table::new(&columns);
        let queues = |it: &ComponentBlock| it.roles.iter().any(|role| role == "queue");
        let announces = topologies.iter().any(|(_, it)| it.components.iter().any(queues));
        for (name, topology) in topologies {
            let names: Vec<&str> =
                topology.components.iter().map(|component| component.name.as_str()).collect();
            let old = topology.stale_ms.map_or("nothing".to_owned(), quantity::duration_ms);
            table.push(vec![name, topology.summary, old, names.join(", ")]);
        }
        let cpus = self.header.context.environment.cpus;
        let announced = match announces {
            true => "",
            false => " Where one has no queue, none was given one, and nothing was announced.",
        };
        Some(
            Section::new("topologies", "Topologies")
                .paragraph(format!(
                    "The servers of every topology were up at once, and each load had one of them \
                     work. All of them share {} of one machine: what a step costs (CPU per booking, \
                     latency) is measured, and what more machines would buy is not. A component \
                     that takes work from the primary shows here as CPU that it uses itself. On \
                     machines of its own that CPU would be there beside the primary's: the share \
                     of PostgreSQL's CPU per booking that a step takes away is the most that the \
                     primary can gain by it, as long as nothing else is the limit.{announced}",
                    quantity::counted(cpus.into(), "CPU")
                ))
                .table("", table),
        )
    }

    /// How all of it was decided.
    fn method_section(&self) -> Section {
        Section::new("method", "How this was decided").paragraph(self.rules()).paragraph(format!(
            "Variants are compared by the ratio of their figures inside each round: its geometric \
             mean, with a t interval that holds at 95 % for all ratios of this page together; the \
             noise is estimated from all variants of a setting. Equal: the interval lies within \
             {} of 1. Undecided: it crosses that margin. Rounds were added where most was \
             undecided, while the budget lasted. Other intervals are bootstrap 95 % intervals of \
             the median over the rounds. All of this holds for this machine and these loads.",
            quantity::percent(self.margin)
        ))
    }

    fn decision_table(&self, recommendation: &Recommendation) -> Table {
        let mut table = Table::new(&[words("variant"), words("verdict"), words("decision")]);
        let aspects: Vec<Aspect> =
            Aspect::ALL.into_iter().filter(|it| !self.settings_with(*it).is_empty()).collect();
        table.columns.extend(aspects.iter().map(|aspect| words(aspect.name())));
        table.columns.push(words("on the Pareto front"));
        let settings = self.deciding_settings().len();
        let order = &recommendation.order;
        let mut names: Vec<&str> = self.names().collect();
        let place = |name: &str| order.iter().position(|ranked| ranked == name);
        names.sort_by_key(|name| (place(name).unwrap_or(usize::MAX), self.verdict_of(name)));
        for name in names {
            let verdict = self.verdict_of(name);
            let mut row = vec![name.into(), TableCell::verdict(verdict)];
            let ranked = self.is_ranked(name);
            row.push(match (verdict, place(name)) {
                (Verdict::Violated, _) => TableCell::outcome(Tone::Bad, "disqualified"),
                (_, None) => TableCell::outcome(Tone::Uncertain, self.why_not_ranked(name)),
                (_, Some(0)) => TableCell::outcome(Tone::Good, "recommended"),
                (_, Some(1)) => "runner-up".into(),
                (_, Some(_)) => "".into(),
            });
            row.extend(aspects.iter().map(|aspect| match ranked {
                true => self.standing(name, *aspect).into(),
                false => "".into(),
            }));
            row.push(match ranked {
                true => format!("in {} of {settings}", self.fronts(name)).into(),
                false => "".into(),
            });
            table.push(row);
        }
        table
    }

    /// Where a variant leads in an aspect, and how far behind the best it is at worst.
    fn standing(&self, variant: &str, aspect: Aspect) -> String {
        let settings = self.settings_with(aspect);
        let ratios = settings.iter().filter_map(|setting| {
            let contrast = self.contrast(variant, *setting, aspect)?;
            Some(contrast.ratio?.median)
        });
        let worst = match aspect.more_is_better() {
            true => ratios.fold(1.0, f64::min),
            false => ratios.fold(1.0, f64::max),
        };
        let led = format!("leads in {} of {}", self.led(variant, aspect), settings.len());
        if worst == 1.0 { led } else { format!("{led}; {worst:.2} of the best at worst") }
    }

    fn setting_section(&self, setting: Setting) -> Section {
        let (load, clients) = setting;
        let mut section = Section::new(format!("{load}-{clients}"), setting_title(setting));
        let of = |offered: Offered| -> Vec<&Cell> {
            let order = self.order(setting);
            let mut cells: Vec<&Cell> = self
                .cells
                .iter()
                .filter(|cell| cell.setting() == setting && cell.offered == offered)
                .collect();
            let place = |cell: &Cell| order.iter().position(|name| *name == cell.variant);
            cells.sort_by_key(|cell| place(cell).unwrap_or(usize::MAX));
            cells
        };
        let saturating = of(Offered::Saturating);
        section = section.figure(plots::intervals::figure(Metric::Goodput, &saturating));
        section = match load.decides() {
            true => section
                .figure(plots::pareto::figure(self, setting))
                .figure(plots::cost::figure(&saturating)),
            false => section.figure(plots::intervals::figure(Metric::ResponseUsP99, &saturating)),
        };
        section = section.table(table_title(&saturating), self.setting_table(&saturating));
        for offered in [Offered::OfSlowest, Offered::OfBest, Offered::Overload] {
            let cells = of(offered);
            if cells.is_empty() {
                continue;
            }
            section = section
                .figure(plots::intervals::figure(Metric::ResponseUsP99, &cells))
                .table(table_title(&cells), self.setting_table(&cells));
        }
        section
    }

    fn setting_table(&self, cells: &[&Cell]) -> Table {
        let measured =
            |metric: &Metric| cells.iter().any(|cell| cell.estimates.contains_key(metric));
        let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(measured).collect();
        let aspects: Vec<Aspect> = Aspect::ALL
            .into_iter()
            .filter(|aspect| cells.iter().any(|cell| cell.offered == aspect.offered()))
            .filter(|aspect| metrics.contains(&aspect.metric()))
            .filter(|_| cells.iter().all(|it| self.deciding_settings().contains(&it.setting())))
            .collect();
        let mut table = Table::new(&[words("variant"), words("verdict"), numbers("operations")]);
        let relative = |aspect: &Aspect| words(format!("{} beside the best", aspect.name()));
        table.columns.extend(aspects.iter().map(relative));
        let is_open = cells.iter().any(|cell| cell.offered_per_s.is_some());
        if is_open {
            table.columns.push(numbers("offered visits / s"));
        }
        table.columns.extend(metrics.iter().map(|metric| numbers(metric.title())));
        for cell in cells {
            let mut row = vec![
                cell.variant.clone().into(),
                TableCell::verdict(cell.verdict),
                quantity::count(cell.operations).into(),
            ];
            row.extend(aspects.iter().map(|aspect| self.relative(cell, *aspect)));
            if is_open {
                row.push(cell.offered_per_s.map_or(String::new(), quantity::rate).into());
            }
            row.extend(metrics.iter().map(|metric| {
                let estimate = cell.estimates.get(metric);
                let text = estimate.map(|estimate| estimate.text(|value| metric.text(value)));
                text.unwrap_or_default().into()
            }));
            table.push(row);
        }
        table
    }

    fn why_not_ranked(&self, variant: &str) -> &'static str {
        match self.is_control(variant) {
            true => "not ranked: negative control",
            false => "not ranked: undecided",
        }
    }

    /// A variant beside the best of its setting.
    fn relative(&self, cell: &Cell, aspect: Aspect) -> TableCell {
        match self.verdict_of(&cell.variant) {
            Verdict::Violated => TableCell::outcome(Tone::Bad, "disqualified"),
            _ if !self.is_ranked(&cell.variant) => self.why_not_ranked(&cell.variant).into(),
            _ if !cell.estimates.contains_key(&aspect.metric()) => "not measured".into(),
            _ => match self.contrast(&cell.variant, cell.setting(), aspect) {
                Some(contrast) => relation(contrast, self.margin),
                None => "best".into(),
            },
        }
    }

    /// Curves of every load that was measured with several numbers of clients.
    fn contention_section(&self) -> Option<Section> {
        let loads: BTreeSet<Load> = self.cells.iter().map(|cell| cell.load).collect();
        let varied = |load: &Load| {
            let clients = self.cells.iter().filter(|it| it.load == *load).map(|it| it.clients);
            clients.collect::<BTreeSet<u32>>().len() > 1
        };
        let loads: Vec<Load> = loads.into_iter().filter(varied).collect();
        let draw = |section: Section, load: Load| {
            section
                .figure(plots::contention::figure(self, load, Metric::Goodput))
                .figure(plots::contention::figure(self, load, Metric::ResponseUsP99))
        };
        let section = Section::new("contention", "By number of clients");
        (!loads.is_empty()).then(|| loads.into_iter().fold(section, draw))
    }

    /// This comparison beside an earlier one.
    fn against_section(&self) -> Option<Section> {
        let first = self.against.first()?;
        let columns =
            [words("setting"), words("variant"), words("figure"), numbers("now divided by then")];
        let mut table = Table::new(&columns);
        for it in &self.against {
            table.push(vec![
                setting_title((it.load, it.clients)),
                it.variant.clone(),
                it.metric.title().to_owned(),
                it.ratio.text(|value| format!("{value:.2}")),
            ]);
        }
        let section = Section::new("against", format!("Beside {}", first.comparison));
        Some(section.paragraph(
            "Ratios of medians with bootstrap 95 % intervals. The two comparisons were not made \
             in the same rounds, so a difference may be that of two days of the machine: it is a \
             reason to look, and decides nothing here.",
        )
        .table("", table))
    }

    /// What was found of each variant over all settings.
    fn detection_section(&self) -> Section {
        // Said where it is news: variants of strategies have their names, and targets have none.
        let named_otherwise =
            |it: &Variant| it.strategy.is_some_and(|strategy| strategy.name() != it.name);
        let says_strategies = self.variants.iter().any(named_otherwise);
        let mut columns = vec![
            words("variant"),
            words("verdict"),
            numbers("operations judged"),
            words("convicted by"),
            words("finding"),
        ];
        if says_strategies {
            columns.insert(1, words("strategy"));
        }
        let mut table = Table::new(&columns);
        for variant in &self.variants {
            let name = &variant.name;
            let by: BTreeSet<Invariant> =
                self.cells_of(name).flat_map(|cell| cell.convicted_by.iter().copied()).collect();
            let by: Vec<String> = by.iter().map(ToString::to_string).collect();
            let mut row: Vec<TableCell> = vec![
                name.clone().into(),
                TableCell::verdict(self.verdict_of(name)),
                quantity::count(self.cells_of(name).map(|cell| cell.operations).sum()).into(),
                by.join(" ").into(),
                self.finding(name).into(),
            ];
            if says_strategies {
                let strategy = variant.strategy.map_or("-", |strategy| strategy.name());
                row.insert(1, strategy.into());
            }
            table.push(row);
        }
        Section::new("verdicts", "Verdicts")
            .paragraph(
                "The worst verdict over all runs of a variant. Each run has a directory beside \
                 this file, with its history; slotproof check judges it again.",
            )
            .figure(plots::detection_matrix::figure(self))
            .table("", table)
    }

    /// What the deciding finding says; else what was upheld, and how much of it was exercised.
    fn finding(&self, variant: &str) -> String {
        let cells = || self.cells_of(variant);
        let verdict = self.verdict_of(variant);
        let deciding = cells().find(|cell| cell.verdict == verdict && cell.reason.is_some());
        if let Some(reason) = deciding.and_then(|cell| cell.reason.clone()) {
            return reason;
        }
        match cells().filter(|cell| cell.verdict == Verdict::Unknown).count() {
            0 => "every judged invariant held in every run".to_owned(),
            idle => format!(
                "every judged invariant held; {idle} of {} did not exercise them (I15)",
                quantity::counted(cells().count() as u64, "load")
            ),
        }
    }
}

/// Where another variant is better, or may be.
fn exceptions_section(recommendation: &Recommendation) -> Option<Section> {
    let Recommendation { exceptions, .. } = recommendation;
    let section = || Section::new("exceptions", "Where another choice is better, or may be");
    (!exceptions.is_empty()).then(|| section().list(exceptions.iter().cloned()))
}

/// How much load was offered in a table's cells.
fn table_title(cells: &[&Cell]) -> String {
    let Some(cell) = cells.first() else { return String::new() };
    let share = quantity::percent(cell.offered.share().unwrap_or(1.0));
    let rate = cell.offered_per_s.map_or(String::new(), quantity::rate);
    match cell.offered {
        Offered::Saturating => "Clients that never pause, or each variant's plan".to_owned(),
        Offered::OfSlowest => {
            format!(
                "{rate} visits/s: {share} of the throughput of the slowest upheld variant that \
                 makes a tenth of the best's"
            )
        }
        Offered::OfBest => format!("{rate} visits/s: {share} of the throughput of the best"),
        Offered::Overload => format!("Past saturation: {share} of each variant's own throughput"),
    }
}

/// A ratio with its interval, and what it says.
fn relation(contrast: &Contrast, margin: f64) -> TableCell {
    let Some(ratio) = contrast.ratio else { return "one round".into() };
    let ratio = ratio.text(|value| format!("{value:.2}"));
    match contrast.decision(margin) {
        Decision::Equal => format!("equal: {ratio}").into(),
        Decision::Worse => ratio.into(),
        Decision::Undecided => TableCell::outcome(Tone::Uncertain, format!("undecided: {ratio}")),
    }
}
