//! Comparisons: what they claim, and what they must not.

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
    assert!(equal.contains("| pessimistic | upheld | equal: 0.97 (0.95 to 0.99) |"), "{equal}");
    // The noisiest strategy wins nothing by its noise.
    let noisy = beside(estimate(850.0, 300.0, 1_500.0));
    assert!(noisy.contains("| pessimistic | upheld | undecided: 0.94 (0.33 to 1.69) |"), "{noisy}");
    assert!(noisy.contains("Use conditional"), "{noisy}");
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
    assert!(text.contains("| pessimistic | upheld | 0.50 (0.36 to 0.67) |"), "{text}");
    assert!(
        text.contains("pessimistic has a response p99 of 5.00 ms, conditional of 10.0 ms"),
        "{text}"
    );
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
fn one_strategy_is_a_strategy_and_two_are_strategies() {
    let upheld = |kind| (kind, Verdict::Upheld, estimate(1.0, 1.0, 1.0));
    let one = comparison(&[upheld(StrategyKind::Conditional)]).document().markdown();
    let two = [upheld(StrategyKind::Conditional), upheld(StrategyKind::Pessimistic)];
    let two = comparison(&two).document().markdown();
    assert!(one.contains(": 1 strategy\n") && two.contains(": 2 strategies\n"), "{one}{two}");
}
