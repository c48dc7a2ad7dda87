//! Who is ranked, in which order, and who is dominated.
//!
//! A variant that violated anything anywhere is disqualified: it is shown, and never ranked.
//!
//! Variants are compared by ratios inside a round, because what a round has of good or bad luck of
//! the machine all variants have of it. A difference below the margin does not matter; where the
//! interval crosses a margin nothing is claimed.

use std::collections::BTreeSet;

use slotproof_vocabulary::{Invariant, Verdict};

use super::{
    contrast::{Aspect, Contrast, Decision},
    data::{Cell, Comparison, Setting, Variant},
    load::{Load, Offered},
    metric::Metric,
};
use crate::estimate::Estimate;

impl Comparison {
    /// The worst verdict among variants that claim to be safe. Where seats never run out, nothing
    /// dangerous was tried, and all stay undecided.
    pub fn verdict(&self) -> Verdict {
        let runs_out = self.cells.iter().any(|cell| !cell.load.has_seats_to_spare());
        let safe = self.variants.iter().filter(|it| !it.is_negative_control());
        let worst = safe.map(|it| self.verdict_of(&it.name)).max().unwrap_or(Verdict::Unknown);
        if worst == Verdict::Upheld && !runs_out { Verdict::Unknown } else { worst }
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<_> = self.cells.iter().map(Cell::setting).collect();
        settings.sort_unstable();
        settings.dedup();
        settings
    }

    /// The variants' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variants.iter().map(|variant| variant.name.as_str())
    }

    pub(crate) fn cells_of(&self, variant: &str) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.variant == variant)
    }

    /// Over all settings. A run that is unknown by I15 alone exercised nothing: it proves nothing,
    /// and weakens nothing that other runs prove.
    pub(super) fn verdict_of(&self, variant: &str) -> Verdict {
        let undecided = |cell: &Cell| {
            cell.unknown_by.iter().any(|invariant| *invariant != Invariant::RunCoverage)
        };
        if self.cells_of(variant).any(|cell| cell.verdict == Verdict::Violated) {
            Verdict::Violated
        } else if self.cells_of(variant).any(undecided)
            || !self.cells_of(variant).any(|cell| cell.verdict == Verdict::Upheld)
        {
            Verdict::Unknown
        } else {
            Verdict::Upheld
        }
    }

    /// Variants that were upheld over all settings. A plan need not reach what I15 asks for: it is
    /// ranked, and its verdict stays unknown. A negative control that was not convicted is no
    /// choice either.
    pub fn ranked(&self) -> Vec<&str> {
        self.names().filter(|name| self.is_ranked(name)).collect()
    }

    pub(super) fn is_control(&self, variant: &str) -> bool {
        let variant = self.variants.iter().find(|it| it.name == variant);
        variant.is_some_and(Variant::is_negative_control)
    }

    pub(super) fn is_ranked(&self, variant: &str) -> bool {
        let idle_plan = |cell: &Cell| {
            cell.load == Load::Plan && cell.unknown_by == BTreeSet::from([Invariant::RunCoverage])
        };
        if self.is_control(variant) {
            return false;
        }
        match self.verdict_of(variant) {
            Verdict::Upheld => true,
            Verdict::Violated => false,
            Verdict::Unknown => self.cells_of(variant).all(idle_plan),
        }
    }

    pub(crate) fn cell(&self, variant: &str, setting: Setting, offered: Offered) -> Option<&Cell> {
        self.cells_of(variant).find(|cell| cell.setting() == setting && cell.offered == offered)
    }

    fn estimate(
        &self,
        variant: &str,
        setting: Setting,
        offered: Offered,
        metric: Metric,
    ) -> Option<Estimate> {
        self.cell(variant, setting, offered)?.estimates.get(&metric).copied()
    }

    /// What an aspect is of a variant, by its median.
    pub(super) fn value(&self, variant: &str, setting: Setting, aspect: Aspect) -> Option<f64> {
        let estimate = self.estimate(variant, setting, aspect.offered(), aspect.metric())?;
        Some(estimate.median)
    }

    /// The ranked variants of a setting, the one with the highest goodput first.
    pub(super) fn order(&self, setting: Setting) -> Vec<&str> {
        let goodput = |name: &str| self.value(name, setting, Aspect::Throughput);
        let mut order: Vec<_> =
            self.ranked().into_iter().filter_map(|name| Some((name, goodput(name)?))).collect();
        order.sort_by(|left, right| right.1.total_cmp(&left.1));
        order.into_iter().map(|(name, _)| name).collect()
    }

    /// The contrast of a variant with the best of a setting; `None` for the best itself.
    pub(super) fn contrast(
        &self,
        variant: &str,
        setting: Setting,
        aspect: Aspect,
    ) -> Option<&Contrast> {
        self.contrasts.iter().find(|it| {
            it.variant == variant && (it.load, it.clients) == setting && it.aspect == aspect
        })
    }

    /// The settings that decide which variant is recommended.
    pub(super) fn deciding_settings(&self) -> Vec<Setting> {
        let settings = self.settings();
        let decide: Vec<_> = settings.iter().filter(|(load, _)| load.decides()).copied().collect();
        if decide.is_empty() { settings } else { decide }
    }

    /// The deciding settings in which an aspect was measured.
    pub(super) fn settings_with(&self, aspect: Aspect) -> Vec<Setting> {
        let measured = |setting: &Setting| {
            self.ranked().iter().any(|name| self.value(name, *setting, aspect).is_some())
        };
        self.deciding_settings().into_iter().filter(measured).collect()
    }

    /// Whether a variant is the best of a setting, or its equal.
    pub(super) fn leads(&self, variant: &str, setting: Setting, aspect: Aspect) -> bool {
        match self.contrast(variant, setting, aspect) {
            Some(contrast) => contrast.decision(self.margin) == Decision::Equal,
            None => self.value(variant, setting, aspect).is_some(),
        }
    }

    /// A variant that is better by more than the margin in one aspect, and worse by more than it in
    /// none, all by medians. Variants without one are the Pareto front of the setting.
    pub(crate) fn dominated_by(&self, variant: &str, setting: Setting) -> Option<&str> {
        let beats = |other: &str| {
            let gains: Vec<f64> = Aspect::ALL
                .iter()
                .filter_map(|aspect| self.gain(other, variant, setting, *aspect))
                .collect();
            let most = 1.0 + self.margin;
            gains.iter().all(|gain| *gain >= 1.0 / most) && gains.iter().any(|gain| *gain > most)
        };
        self.ranked().into_iter().find(|other| *other != variant && beats(other))
    }

    /// By how much a variant is better than another: 2 is twice as good.
    fn gain(&self, variant: &str, other: &str, setting: Setting, aspect: Aspect) -> Option<f64> {
        let own = self.value(variant, setting, aspect)?;
        let theirs = self.value(other, setting, aspect)?;
        let gain = if aspect.more_is_better() { own / theirs } else { theirs / own };
        (!gain.is_nan()).then_some(gain)
    }
}
