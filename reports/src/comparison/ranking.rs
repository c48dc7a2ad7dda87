//! Who is ranked, in which order, and which strategy is recommended.
//!
//! A strategy that violated anything anywhere is disqualified: it is shown, and never ranked.
//!
//! Strategies are compared by ratios inside a round, because what a round has of good or bad luck
//! of the machine all strategies have of it. A difference below the margin does not matter; where
//! the interval crosses a margin nothing is claimed.

use std::collections::BTreeSet;

use slotproof_vocabulary::{Invariant, StrategyKind, Verdict};

use super::{
    data::{Cell, Comparison, Contrast, Decision, Metric},
    load::Load,
};
use crate::{estimate::Estimate, quantity};

/// A load and a number of clients.
pub(super) type Setting = (Load, u32);

impl Comparison {
    /// The worst verdict among strategies that claim to be safe.
    pub fn verdict(&self) -> Verdict {
        let safe = self.strategies().into_iter().filter(|strategy| !strategy.is_negative_control());
        safe.map(|strategy| self.verdict_of(strategy)).max().unwrap_or(Verdict::Unknown)
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<_> =
            self.cells.iter().map(|cell| (cell.load, cell.clients)).collect();
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
    pub fn ranked(&self) -> Vec<StrategyKind> {
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
        let in_setting = |cell: &&Cell| (cell.load, cell.clients) == setting;
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

    /// The contrast of a strategy with the best of a setting; `None` for the best itself.
    pub(super) fn contrast(&self, strategy: StrategyKind, setting: Setting) -> Option<&Contrast> {
        self.contrasts.iter().find(|it| it.strategy == strategy && (it.load, it.clients) == setting)
    }

    /// The settings that decide which strategy is recommended: those with seats to spare, if there
    /// are any. Where seats run out, goodput is how fast seats come back, and every strategy that
    /// hands them out at all has about the same.
    fn deciding_settings(&self) -> Vec<Setting> {
        let settings = self.settings();
        let spare: Vec<_> =
            settings.iter().filter(|(load, _)| load.has_seats_to_spare()).copied().collect();
        if spare.is_empty() { settings } else { spare }
    }

    /// Whether a strategy is the best of a setting, or its equal.
    fn leads(&self, strategy: StrategyKind, setting: Setting) -> bool {
        match self.contrast(strategy, setting) {
            Some(contrast) => contrast.decision() == Decision::Equal,
            None => self.goodput(strategy, setting).is_some(),
        }
    }

    /// The strategy to use, and why; then the settings in which another one is better, and what was
    /// not decided.
    pub(super) fn recommendation(&self) -> (String, Vec<String>) {
        let settings = self.deciding_settings();
        let led = |strategy: StrategyKind| {
            settings.iter().filter(|setting| self.leads(strategy, **setting)).count()
        };
        // Where they lead in as many, the one that makes the larger share of the best's bookings.
        let share = |strategy: StrategyKind| -> f64 {
            let shares = settings.iter().map(|setting| {
                let best = self.order(*setting).first().map_or(1.0, |(_, best)| best.median);
                let own = self.goodput(strategy, *setting).map_or(0.0, |own| own.median);
                own / best.max(f64::MIN_POSITIVE)
            });
            shares.sum()
        };
        let mut ranked = self.ranked();
        ranked.sort_by(|left, right| {
            led(*right).cmp(&led(*left)).then(share(*right).total_cmp(&share(*left)))
        });
        let Some(best) = ranked.first().copied() else {
            return ("No strategy is recommended: none was upheld.".to_owned(), Vec::new());
        };
        let text = match ranked.get(1) {
            None => format!("Use {best}: it is the only strategy that was upheld."),
            Some(runner_up) => format!(
                "Use {best}: among {} that were upheld it makes the most bookings per second, or \
                 within {} of it, in {} of {}. The runner-up is {runner_up}, with {}.",
                quantity::counted(ranked.len() as u64, "strategy"),
                quantity::percent(Contrast::MARGIN),
                led(best),
                quantity::counted(settings.len() as u64, "setting"),
                led(*runner_up),
            ),
        };
        (text, self.exceptions(best))
    }

    /// The settings in which another strategy is better, or may be.
    fn exceptions(&self, best: StrategyKind) -> Vec<String> {
        let of_setting =
            |setting: Setting| [self.faster_than(best, setting), self.quicker_than(best, setting)];
        let mut exceptions: Vec<String> =
            self.deciding_settings().into_iter().flat_map(of_setting).flatten().collect();
        let undecided: BTreeSet<&str> = self
            .contrasts
            .iter()
            .filter(|it| it.load.has_seats_to_spare() && it.decision() == Decision::Undecided)
            .map(|it| it.strategy.name())
            .collect();
        if !undecided.is_empty() {
            let names: Vec<&str> = undecided.into_iter().collect();
            exceptions.push(format!(
                "Not decided in some setting, in these rounds: {}. More --rounds would decide.",
                names.join(", ")
            ));
        }
        exceptions
    }

    /// Another strategy that confirms more bookings per second.
    fn faster_than(&self, best: StrategyKind, setting: Setting) -> Option<String> {
        let (load, clients) = setting;
        let contrast = self.contrast(best, setting)?;
        let ratio = contrast.ratio?;
        let text = match contrast.decision() {
            Decision::Equal => return None,
            Decision::Worse => format!(
                "{} makes {:.2} times the bookings of {best} (interval {:.2} to {:.2}).",
                contrast.best,
                1.0 / ratio.median,
                1.0 / ratio.high,
                1.0 / ratio.low
            ),
            Decision::Undecided => format!(
                "{} and {best} are not separated: {best} makes {:.2} times its bookings (interval \
                 {:.2} to {:.2}).",
                contrast.best, ratio.median, ratio.low, ratio.high
            ),
        };
        Some(format!("{load}, {clients} clients: {text}"))
    }

    /// Another strategy whose slow answers are faster.
    fn quicker_than(&self, best: StrategyKind, setting: Setting) -> Option<String> {
        let (load, clients) = setting;
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
                "{load}, {clients} clients: {quickest} has a response p99 of {}, {best} of {}.",
                text(theirs),
                text(own)
            )
        })
    }
}
