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

    /// Over all settings. A run that is unknown by I15 alone exercised nothing: it proves nothing,
    /// and weakens nothing that other runs prove.
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

    /// Strategies that were upheld over all settings.
    fn ranked(&self) -> Vec<StrategyKind> {
        let upheld = |strategy: &StrategyKind| self.verdict_of(*strategy) == Verdict::Upheld;
        self.strategies().into_iter().filter(upheld).collect()
    }

    fn goodput(&self, strategy: StrategyKind, setting: Setting) -> Option<Estimate> {
        self.estimate(strategy, setting, Metric::Goodput)
    }

    fn estimate(
        &self,
        strategy: StrategyKind,
        setting: Setting,
        metric: Metric,
    ) -> Option<Estimate> {
        let in_setting = |cell: &&Cell| (cell.scenario, cell.clients) == setting;
        let cell = self.cells.iter().filter(in_setting).find(|cell| cell.strategy == strategy)?;
        cell.estimates.get(&metric).copied()
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

    /// In how many settings a ranked strategy was first, or its interval overlaps that of the
    /// first.
    fn settings_led(&self, strategy: StrategyKind) -> usize {
        let first_or_tied = |setting: &Setting| {
            let order = self.order(*setting);
            let own = order.iter().find(|(candidate, _)| *candidate == strategy);
            own.is_some_and(|(_, own)| own.median >= order[0].1.median || own.overlaps(&order[0].1))
        };
        self.settings().iter().filter(|setting| first_or_tied(setting)).count()
    }

    /// The strategy to use, and why; then the settings in which another one may be better.
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
            return ("No strategy is recommended: none was upheld.".to_owned(), Vec::new());
        };
        let text = match self.ranked().len() {
            1 => format!("Use {best}: it is the only strategy that was upheld."),
            ranked => format!(
                "Use {best}: among {} that were upheld it has the highest goodput, or an interval \
                 that overlaps the highest, in {} of {}.",
                quantity::counted(ranked as u64, "strategy"),
                self.settings_led(best),
                quantity::counted(settings.len() as u64, "setting"),
            ),
        };
        (text, self.exceptions(best))
    }

    /// The settings in which another strategy is faster, or may be.
    fn exceptions(&self, best: StrategyKind) -> Vec<String> {
        let of_setting =
            |setting: Setting| [self.faster_than(best, setting), self.quicker_than(best, setting)];
        self.settings().into_iter().flat_map(of_setting).flatten().collect()
    }

    /// Another strategy that confirms more bookings per second, or whose interval overlaps.
    fn faster_than(&self, best: StrategyKind, setting: Setting) -> Option<String> {
        let (scenario, clients) = setting;
        let own = self.goodput(best, setting)?;
        let order = self.order(setting);
        let (first, theirs) = order.first()?;
        if *first != best && !theirs.overlaps(&own) {
            let more = theirs.median / own.median.max(f64::MIN_POSITIVE) - 1.0;
            return Some(format!(
                "{scenario}, {clients} clients: {first} confirms {} more bookings per second.",
                quantity::percent(more)
            ));
        }
        let tied = order.iter().find(|(strategy, them)| *strategy != best && them.overlaps(&own));
        tied.map(|(tied, _)| {
            format!(
                "{scenario}, {clients} clients: the 95 % intervals of {best} and {tied} overlap; \
                 these rounds do not separate them."
            )
        })
    }

    /// Another strategy whose slow answers are faster.
    fn quicker_than(&self, best: StrategyKind, setting: Setting) -> Option<String> {
        let (scenario, clients) = setting;
        let p99 = |strategy| self.estimate(strategy, setting, Metric::ResponseUsP99);
        let (quickest, theirs) = self
            .ranked()
            .into_iter()
            .filter_map(|strategy| Some((strategy, p99(strategy)?)))
            .min_by(|left, right| left.1.median.total_cmp(&right.1.median))?;
        let own = p99(best)?;
        let text = |estimate: Estimate| Metric::ResponseUsP99.text(estimate.median);
        (quickest != best && !theirs.overlaps(&own)).then(|| {
            format!(
                "{scenario}, {clients} clients: {quickest} has a response p99 of {}, {best} of {}.",
                text(theirs),
                text(own)
            )
        })
    }
}
