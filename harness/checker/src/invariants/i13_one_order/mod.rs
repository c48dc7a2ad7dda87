//! I13: one order explains everything: the audit log has no gap, replays to the final rows, and
//! every answer fits it in real time (`by_log.rs`); without a log, an order is found by the
//! versions in the answers or by search (`by_search.rs`). A basket is one step of that order: an
//! answer that acknowledges one part of it and refuses another fits none.

mod by_log;
pub(super) mod by_search;
mod unversioned;

use std::collections::BTreeSet;

use slotproof_vocabulary::{Finding, Invariant, Outcome, Verdict, Witness};

use super::{Evidence, counted, witness};
use crate::basket;

/// What is known of the order of a run.
pub(super) struct OneOrder {
    order: Order,
    /// The slots of which one order explains every answer.
    pub(super) explained: BTreeSet<String>,
}

/// Where the order comes from.
enum Order {
    Logged(Finding),
    /// `None` if there was nothing to search.
    Searched(Option<by_search::Tally>),
}

impl OneOrder {
    fn finding(&self) -> Option<Finding> {
        match &self.order {
            Order::Logged(finding) => Some(finding.clone()),
            Order::Searched(tally) => by_search::finding(tally.clone()?),
        }
    }

    /// What was found by search.
    pub(super) fn searched(&self) -> Option<by_search::Tally> {
        match &self.order {
            Order::Logged(_) => None,
            Order::Searched(tally) => tally.clone(),
        }
    }
}

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let finding = evidence.one_order().finding();
    match half_baskets(evidence) {
        (0, _) => finding,
        (halves, shown) => {
            let examined = finding.as_ref().map_or(0, |finding| finding.examined) + halves;
            let before = finding.filter(|finding| finding.verdict == Verdict::Violated);
            let summary = format!("{} acknowledged in part", counted(halves, "basket"));
            Some(Finding {
                invariant: Invariant::OneOrder,
                verdict: Verdict::Violated,
                summary: before
                    .as_ref()
                    .map_or(summary.clone(), |before| format!("{}; {summary}", before.summary)),
                examined,
                violations: halves + before.as_ref().map_or(0, |before| before.violations),
                witness: before.and_then(|before| before.witness).or(shown),
            })
        }
    }
}

pub(super) fn decide(evidence: &Evidence<'_>) -> OneOrder {
    match &evidence.ledger {
        Some(ledger) => {
            let finding = by_log::check(evidence, ledger);
            let upheld = finding.verdict == Verdict::Upheld;
            let slots = evidence.slots.iter().filter(|_| upheld);
            let explained = slots.map(|slot| slot.name.to_owned()).collect();
            OneOrder { order: Order::Logged(finding), explained }
        }
        None => {
            let mut tally = by_search::tally(evidence);
            let explained = tally.as_mut().map(by_search::Tally::take_explained);
            OneOrder { order: Order::Searched(tally), explained: explained.unwrap_or_default() }
        }
    }
}

/// Baskets of which one part was acknowledged and another refused, and the first of them.
fn half_baskets(evidence: &Evidence<'_>) -> (u64, Option<Witness>) {
    let (mut halves, mut shown) = (0, None);
    let operations = &evidence.case.history.operations;
    for parts in basket::calls(&evidence.case.history) {
        let outcomes: BTreeSet<Outcome> =
            parts.iter().map(|index| operations.at(*index).outcome).collect();
        let refused = [Outcome::SoldOut, Outcome::Rejected, Outcome::Throttled];
        if !outcomes.contains(&Outcome::Ok) || refused.iter().all(|it| !outcomes.contains(it)) {
            continue;
        }
        halves += 1;
        let first = operations.at(parts[0]);
        let basket = first.basket().unwrap_or_default();
        shown.get_or_insert_with(|| Witness {
            operations: evidence.show(parts.iter().copied()),
            ..witness(
                &first.slot,
                format!("basket {basket}: some of its parts were acknowledged, others refused"),
            )
        });
    }
    (halves, shown)
}
