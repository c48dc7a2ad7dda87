//! I13: one order explains everything: the audit log has no gap, replays to the final rows, and
//! every answer fits it in real time (`by_log.rs`); without a log, an order is found by the
//! versions in the answers or by search (`by_search.rs`).

mod by_log;
mod by_search;

use slotproof_vocabulary::Finding;

use super::Evidence;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    match &evidence.ledger {
        Some(ledger) => Some(by_log::check(evidence, ledger)),
        None => by_search::check(evidence),
    }
}
