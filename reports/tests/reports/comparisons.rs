//! Comparisons: what they claim, and what they must not.

use std::collections::BTreeMap;

use slotproof_reports::{
    comparison::{Aspect, Cell, Comparison, Contrast, Decision, Load, Metric, Offered},
    estimate::Estimate,
};
use slotproof_vocabulary::{StrategyKind, Verdict};

use crate::several::{comparison, estimate};

#[test]
fn what_is_within_the_margin_is_equal_and_what_crosses_it_is_undecided() {
    let beside = |own| {
        comparison(&[
            (StrategyKind::Conditional, Verdict::Upheld, estimate(900.0, 890.0, 910.0)),
            (StrategyKind::Pessimistic, Verdict::Upheld, own),
        ])
        .document()
        .markdown()
    };
    let equal = beside(estimate(870.0, 860.0, 880.0));
    assert!(
        equal.contains("| pessimistic | upheld | 3,000 | equal: 0.97 (0.95 to 0.99) |"),
        "{equal}"
    );
    // The noisiest strategy wins nothing by its noise.
    let noisy = beside(estimate(850.0, 300.0, 1_500.0));
    assert!(
        noisy.contains("| pessimistic | upheld | 3,000 | undecided: 0.94 (0.33 to 1.69) |"),
        "{noisy}"
    );
    assert!(noisy.contains("Use conditional"), "{noisy}");
    assert!(noisy.contains("These rounds do not tell it from pessimistic."), "{noisy}");
    assert!(!noisy.contains("significan"), "{noisy}");
}

#[test]
fn a_strategy_whose_interval_lies_apart_is_given_its_share_of_the_first() {
    let text = comparison(&[
        (StrategyKind::Conditional, Verdict::Upheld, estimate(1_000.0, 900.0, 1_100.0)),
        (StrategyKind::Pessimistic, Verdict::Upheld, estimate(500.0, 400.0, 600.0)),
    ])
    .document()
    .markdown();
    assert!(text.contains("| pessimistic | upheld | 3,000 | 0.50 (0.36 to 0.67) |"), "{text}");
    assert!(!text.contains("do not tell it from"), "{text}");
}

#[test]
fn what_was_violated_is_never_recommended_however_fast_it_is() {
    let text = comparison(&[
        (StrategyKind::LostUpdate, Verdict::Violated, estimate(9_000.0, 8_000.0, 9_900.0)),
        (StrategyKind::Conditional, Verdict::Upheld, estimate(1_000.0, 900.0, 1_100.0)),
    ])
    .document()
    .markdown();
    assert!(text.contains("Disqualified: lost_update. Use conditional"), "{text}");
    assert!(text.contains("| lost_update | violated | disqualified |"), "{text}");
}

#[test]
fn one_variant_is_a_variant_and_two_are_variants() {
    let upheld = |kind| (kind, Verdict::Upheld, estimate(1.0, 1.0, 1.0));
    let one = comparison(&[upheld(StrategyKind::Conditional)]).document().markdown();
    let two = [upheld(StrategyKind::Conditional), upheld(StrategyKind::Pessimistic)];
    let two = comparison(&two).document().markdown();
    assert!(one.contains(": 1 variant\n") && two.contains(": 2 variants\n"), "{one}{two}");
}

#[test]
fn what_was_not_decided_is_not_ranked_however_fast_it_is() {
    let text = comparison(&[
        (StrategyKind::Optimistic, Verdict::Unknown, estimate(9_000.0, 8_000.0, 9_900.0)),
        (StrategyKind::Conditional, Verdict::Upheld, estimate(1_000.0, 900.0, 1_100.0)),
    ])
    .document()
    .markdown();
    assert!(text.contains("Use conditional"), "{text}");
    assert!(text.contains("| optimistic | unknown | not ranked: undecided |"), "{text}");
}

/// Two upheld variants: the first is faster, the second quicker and cheaper.
fn fast_and_cheap() -> Comparison {
    let mut comparison = comparison(&[
        (StrategyKind::Grouped, Verdict::Upheld, estimate(1_000.0, 990.0, 1_010.0)),
        (StrategyKind::Conditional, Verdict::Upheld, estimate(500.0, 490.0, 510.0)),
    ]);
    let mut equal_load = Vec::new();
    for (cell, (cost, p99)) in comparison.cells.iter_mut().zip([(900.0, 9_000.0), (600.0, 3_000.0)])
    {
        cell.estimates.insert(Metric::CpuUsPerBooking, estimate(cost, cost, cost));
        equal_load.push(Cell {
            offered: Offered::OfSlowest,
            offered_per_s: Some(350.0),
            estimates: BTreeMap::from([(Metric::ResponseUsP99, estimate(p99, p99, p99))]),
            ..cell.clone()
        });
    }
    comparison.cells.extend(equal_load);
    let beside_conditional = |aspect, ratio| Contrast {
        load: Load::HotSlot,
        clients: 100,
        aspect,
        variant: "grouped".to_owned(),
        best: "conditional".to_owned(),
        ratio: Some(ratio),
    };
    comparison.contrasts.push(beside_conditional(Aspect::Latency, estimate(3.0, 2.5, 3.6)));
    comparison.contrasts.push(beside_conditional(Aspect::Cost, estimate(1.5, 1.0, 2.2)));
    comparison
}

#[test]
fn the_recommendation_names_where_another_variant_would_win_and_what_is_not_decided() {
    let text = fast_and_cheap().document().markdown();
    for said in [
        "Use grouped: of 2 ranked variants",
        "The runner-up is conditional, with 0; it is the better one in hot_slot, 100 clients (p99 at equal load).",
        "conditional is better: grouped has 3.00 (2.50 to 3.60) times the response p99 at equal load",
        "conditional may be better: grouped has 1.50 (1.00 to 2.20) times the CPU per booking",
        "Not decided in these rounds, CPU per booking: hot_slot, 100 clients: grouped.",
        "350 visits/s: 70 % of the throughput of the slowest upheld variant that",
    ] {
        assert!(text.contains(said), "{said}\nis not in\n{text}");
    }
}

#[test]
fn a_variant_that_is_worse_in_one_aspect_and_better_in_none_is_off_the_front() {
    let both = fast_and_cheap().document().markdown();
    assert!(both.matches("| in 1 of 1 |").count() == 2, "each is better in something: {both}");
    let mut dominated = fast_and_cheap();
    for cell in dominated.cells.iter_mut().filter(|cell| cell.variant == "conditional") {
        let worse = |of: &mut Estimate| *of = estimate(9_900.0, 9_900.0, 9_900.0);
        cell.estimates.get_mut(&Metric::CpuUsPerBooking).map(worse);
        if cell.offered == Offered::OfSlowest {
            cell.estimates.get_mut(&Metric::ResponseUsP99).map(worse);
        }
    }
    let text = dominated.document().markdown();
    let line = text.lines().find(|line| line.starts_with("| conditional | upheld | runner-up"));
    assert!(line.is_some_and(|line| line.ends_with("in 0 of 1 |")), "{text}");
}

#[test]
fn a_decision_rests_on_the_whole_interval_and_on_what_is_better() {
    let decided = |aspect, ratio| {
        let contrast = Contrast {
            load: Load::HotSlot,
            clients: 100,
            aspect,
            variant: "one".to_owned(),
            best: "other".to_owned(),
            ratio,
        };
        contrast.decision(0.1)
    };
    let ratio = |median, low, high| Some(estimate(median, low, high));
    let (more, less) = (Aspect::Throughput, Aspect::Latency);
    assert_eq!(decided(more, ratio(0.7, 0.6, 0.8)), Decision::Worse);
    assert_eq!(decided(more, ratio(0.7, 0.4, 1.2)), Decision::Undecided, "the median is no proof");
    assert_eq!(decided(less, ratio(1.5, 1.2, 1.9)), Decision::Worse, "a longer p99 is worse");
    assert_eq!(decided(less, ratio(1.5, 0.9, 2.4)), Decision::Undecided);
    assert_eq!(decided(less, ratio(0.7, 0.6, 0.8)), Decision::Undecided, "no best is beaten so");
    for aspect in [more, less, Aspect::Cost] {
        assert_eq!(decided(aspect, ratio(1.0, 0.95, 1.05)), Decision::Equal);
        assert_eq!(decided(aspect, None), Decision::Undecided, "one round");
    }
}
