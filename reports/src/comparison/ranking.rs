//! Who is ranked, in which order, and which strategy is recommended.
//!
//! A strategy that violated anything anywhere is disqualified: it is shown, and never ranked.

use slotproof_vocabulary::{Invariant, ScenarioKind, StrategyKind, Verdict};

use super::data::{Cell, Comparison, Metric};
use crate::{estimate::Estimate, quantity};

/// A scenario and a number of clients.
pub(super) type Setting = (ScenarioKind, u32);

impl Comparison {
    /// The worst verdict among strategies that claim to be safe.
    pub fn verdict(&self) -> Verdict {
        let safe = self.strategies().into_iter().filter(|strategy| !strategy.is_negative_control());
        safe.map(|strategy| self.verdict_of(strategy)).max().unwrap_or(Verdict::Unknown)
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<_> =
            self.cells.iter().map(|cell| (cell.scenario, cell.clients)).collect();
        settings.sort_unstable();
        settings.dedup();
        settings
    }

    pub(super) fn strategies(&self) -> Vec<StrategyKind> {
        let mut strategies = Vec::new();
        for cell in &self.cells {
            if !strategies.contains(&cell.strategy) {
                strategies.push(cell.strategy);
            }
        }
        strategies
    }

    /// Over all settings. Where nothing was at stake a run proves nothing, and takes nothing from
    /// what others prove.
    pub(super) fn verdict_of(&self, strategy: StrategyKind) -> Verdict {
        let cells = || self.cells.iter().filter(move |cell| cell.strategy == strategy);
        let undecided = |cell: &Cell| {
            cell.unknown_by.iter().any(|invariant| *invariant != Invariant::RunCoverage)
        };
        if cells().any(|cell| cell.verdict == Verdict::Violated) {
            Verdict::Violated
        } else if cells().any(undecided) || !cells().any(|cell| cell.verdict == Verdict::Upheld) {
            Verdict::Unknown
        } else {
            Verdict::Upheld
        }
    }

    /// Strategies that nothing speaks against, and that were upheld where something was at stake.
    pub(super) fn ranked(&self) -> Vec<StrategyKind> {
        let upheld = |strategy: &StrategyKind| self.verdict_of(*strategy) == Verdict::Upheld;
        self.strategies().into_iter().filter(upheld).collect()
    }

    pub(super) fn goodput(&self, strategy: StrategyKind, setting: Setting) -> Option<Estimate> {
        let cell = self
            .cells
            .iter()
            .find(|cell| cell.strategy == strategy && (cell.scenario, cell.clients) == setting)?;
        cell.estimates.get(&Metric::Goodput).copied()
    }

    /// The ranked strategies of a setting, the one with the highest goodput first.
    pub(super) fn order(&self, setting: Setting) -> Vec<(StrategyKind, Estimate)> {
        let mut order: Vec<_> = self
            .ranked()
            .into_iter()
            .filter_map(|strategy| Some((strategy, self.goodput(strategy, setting)?)))
            .collect();
        order.sort_by(|left, right| right.1.median.total_cmp(&left.1.median));
        order
    }

    /// In how many settings a ranked strategy was first, or not significantly behind.
    pub(super) fn settings_led(&self, strategy: StrategyKind) -> usize {
        let first_or_tied = |setting: &Setting| {
            let order = self.order(*setting);
            let own = order.iter().find(|(candidate, _)| *candidate == strategy);
            own.is_some_and(|(_, own)| own.median >= order[0].1.median || own.overlaps(&order[0].1))
        };
        self.settings().iter().filter(|setting| first_or_tied(setting)).count()
    }

    /// The strategy to take, and why; then the conditions under which that is wrong.
    pub(super) fn recommendation(&self) -> (String, Vec<String>) {
        let settings = self.settings();
        let mean = |strategy: StrategyKind| {
            let shares = settings.iter().filter_map(|setting| {
                let best = self.order(*setting).first()?.1.median;
                Some(self.goodput(strategy, *setting)?.median / best.max(f64::MIN_POSITIVE))
            });
            shares.sum::<f64>()
        };
        let best = self.ranked().into_iter().max_by(|left, right| {
            self.settings_led(*left)
                .cmp(&self.settings_led(*right))
                .then(mean(*left).total_cmp(&mean(*right)))
        });
        let Some(best) = best else {
            return ("No strategy was upheld, so none is recommended.".to_owned(), Vec::new());
        };
        let text = format!(
            "Take {best}: of the {} that were upheld it confirmed the most bookings per second, or was not significantly behind, in {} of {}.",
            quantity::counted(self.ranked().len() as u64, "strategy")
                .replace("strategys", "strategies"),
            self.settings_led(best),
            quantity::counted(settings.len() as u64, "setting"),
        );
        (text, self.exceptions(best))
    }

    pub(super) fn exceptions(&self, best: StrategyKind) -> Vec<String> {
        let mut exceptions = Vec::new();
        for setting in self.settings() {
            let (scenario, clients) = setting;
            let order = self.order(setting);
            let (Some((first, theirs)), Some(own)) = (order.first(), self.goodput(best, setting))
            else {
                continue;
            };
            if *first != best && !theirs.overlaps(&own) {
                exceptions.push(format!(
                    "{scenario} with {clients} clients: {first} confirms {:.0} % more per second.",
                    (theirs.median / own.median.max(f64::MIN_POSITIVE) - 1.0) * 100.0
                ));
            } else if let Some(tied) =
                order.iter().find(|(strategy, them)| *strategy != best && them.overlaps(&own))
            {
                exceptions.push(format!(
                    "{scenario} with {clients} clients: no significant difference to {}; choose by what else matters to you.",
                    tied.0
                ));
            }
            let p99 = |strategy: StrategyKind| {
                let cell = self.cells.iter().find(|cell| {
                    cell.strategy == strategy && (cell.scenario, cell.clients) == setting
                })?;
                cell.estimates.get(&Metric::ResponseUsP99).copied()
            };
            let quickest = self
                .ranked()
                .into_iter()
                .filter_map(|strategy| Some((strategy, p99(strategy)?)))
                .min_by(|left, right| left.1.median.total_cmp(&right.1.median));
            if let (Some((quickest, theirs)), Some(own)) = (quickest, p99(best))
                && quickest != best
                && !theirs.overlaps(&own)
            {
                exceptions.push(format!(
                    "{scenario} with {clients} clients, if the slowest answers matter more than bookings per second: {quickest} answers 99 % of reserves within {}, {best} within {}.",
                    Metric::ResponseUsP99.text(theirs.median),
                    Metric::ResponseUsP99.text(own.median)
                ));
            }
        }
        exceptions
    }
}
