//! Every ranked variant beside the best of its setting.

use std::collections::BTreeSet;

use slotproof_reports::comparison::{Aspect, Cell, Comparison, Contrast, Setting};

use crate::statistics::ratios_to;

/// The chance that any interval of a comparison misses its true ratio.
const ALPHA: f64 = 0.05;

/// The cells of one setting that an aspect compares.
struct Family<'a> {
    setting: Setting,
    aspect: Aspect,
    cells: Vec<&'a Cell>,
}

/// The contrasts of a comparison from its cells. All of them share one chance of error, by
/// Bonferroni's inequality.
pub(super) fn contrasts(comparison: &Comparison) -> Vec<Contrast> {
    let families = families(comparison);
    // One round has no interval, and so no chance of an error.
    let several =
        families.iter().filter(|family| family.cells.iter().all(|it| it.rounds.len() > 1));
    let count: usize = several.map(|family| family.cells.len() - 1).sum();
    let alpha = ALPHA / count.max(1) as f64;
    families.iter().flat_map(|family| of_family(family, alpha)).collect()
}

fn families(comparison: &Comparison) -> Vec<Family<'_>> {
    let ranked = comparison.ranked();
    let settings: BTreeSet<Setting> =
        comparison.cells.iter().filter(|cell| cell.load.decides()).map(Cell::setting).collect();
    let settings = match settings.is_empty() {
        true => comparison.cells.iter().map(Cell::setting).collect(),
        false => settings,
    };
    let of = |(setting, aspect): (Setting, Aspect)| {
        let cells = comparison.cells.iter().filter(|cell| {
            cell.setting() == setting
                && cell.offered == aspect.offered()
                && ranked.contains(&cell.variant.as_str())
                && cell.estimates.contains_key(&aspect.metric())
        });
        Family { setting, aspect, cells: cells.collect() }
    };
    let all = settings.into_iter().flat_map(|it| Aspect::ALL.map(|aspect| (it, aspect)));
    all.map(of).filter(|family| !family.cells.is_empty()).collect()
}

/// The values of each cell, of the rounds in which every cell has one: what is compared lies in the
/// same round.
fn paired(cells: &[&Cell], aspect: Aspect) -> Vec<Vec<f64>> {
    let rounds = cells.iter().map(|cell| cell.rounds.len()).min().unwrap_or_default();
    let value = |cell: &Cell, round: usize| cell.rounds[round].get(&aspect.metric()).copied();
    let whole: Vec<usize> =
        (0..rounds).filter(|round| cells.iter().all(|it| value(it, *round).is_some())).collect();
    let of = |cell: &&Cell| whole.iter().filter_map(|round| value(cell, *round)).collect();
    cells.iter().map(of).collect()
}

fn of_family(family: &Family<'_>, alpha: f64) -> Vec<Contrast> {
    let Family { setting: (load, clients), aspect, cells } = family;
    let median = |cell: &Cell| cell.estimates[&aspect.metric()].median;
    // The same order in both directions, so that of equals the first is the best.
    let rank = |cell: &Cell| if aspect.more_is_better() { -median(cell) } else { median(cell) };
    let best = (0..cells.len())
        .min_by(|left, right| rank(cells[*left]).total_cmp(&rank(cells[*right])))
        .expect("a family has a cell");
    let ratios = ratios_to(best, &paired(cells, *aspect), alpha);
    let others = cells.iter().zip(ratios).filter(|(cell, _)| cell.variant != cells[best].variant);
    let contrast = |(cell, ratio): (&&Cell, _)| Contrast {
        load: *load,
        clients: *clients,
        aspect: *aspect,
        variant: cell.variant.clone(),
        best: cells[best].variant.clone(),
        ratio,
    };
    others.map(contrast).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use slotproof_reports::{
        ReportHeader,
        comparison::{Load, Metric, Offered, Variant},
        estimate::Estimate,
    };
    use slotproof_vocabulary::{Invariant, StrategyKind, Verdict};

    use super::*;

    fn cell(strategy: StrategyKind, verdict: Verdict, goodput: [f64; 3]) -> Cell {
        let round = |per_s: f64| BTreeMap::from([(Metric::Goodput, per_s)]);
        let [low, median, high] = goodput;
        Cell {
            variant: strategy.name().to_owned(),
            load: Load::HotSlot,
            clients: 100,
            offered: Offered::Saturating,
            offered_per_s: None,
            verdict,
            operations: 1_000,
            convicted_by: BTreeSet::new(),
            unknown_by: match verdict {
                Verdict::Unknown => BTreeSet::from([Invariant::OneOrder]),
                _ => BTreeSet::new(),
            },
            reason: None,
            estimates: BTreeMap::from([(Metric::Goodput, Estimate { median, low, high })]),
            rounds: goodput.map(round).into(),
            runs: Vec::new(),
        }
    }

    fn comparison(cells: Vec<Cell>) -> Comparison {
        let header: ReportHeader =
            serde_json::from_str(include_str!("../../../../reports/examples/comparison.json"))
                .expect("every comparison begins with its header");
        let variant = |cell: &Cell| Variant {
            name: cell.variant.clone(),
            strategy: cell.variant.parse().ok(),
            topology: None,
        };
        Comparison {
            header,
            variants: cells.iter().map(variant).collect(),
            rounds: 3,
            margin: 0.1,
            budget_ms: 0,
            seed: 1,
            duration_ms: 1_000,
            durable_commit_by_round: Vec::new(),
            cells,
            contrasts: Vec::new(),
            against: Vec::new(),
        }
    }

    #[test]
    fn the_best_is_a_ranked_variant_even_if_an_undecided_one_is_faster() {
        let contrasts = contrasts(&comparison(vec![
            cell(StrategyKind::Optimistic, Verdict::Unknown, [900.0, 990.0, 1_100.0]),
            cell(StrategyKind::Conditional, Verdict::Upheld, [400.0, 410.0, 420.0]),
            cell(StrategyKind::Pessimistic, Verdict::Upheld, [200.0, 205.0, 210.0]),
        ]));
        let [contrast] = contrasts.as_slice() else { panic!("{contrasts:?}") };
        assert_eq!(
            (contrast.variant.as_str(), contrast.best.as_str()),
            ("pessimistic", "conditional")
        );
        let ratio = contrast.ratio.expect("three rounds");
        assert!((ratio.median - 0.5).abs() < 1e-6, "{ratio:?}");
    }
}
