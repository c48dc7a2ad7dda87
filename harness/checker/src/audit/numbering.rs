//! The versions of a slot: 1, 2, 3, ... without a gap, each written by one record of the log or by
//! one resize.
//!
//! A resize is a change of the slot, and takes a version, if the service counts it; the log has no
//! record of it. So a version without a record is lawful if a resize wrote it. An acknowledged
//! resize whose answer carries the version proves that. A resize without an answer, or without a
//! version in it, may have written any one version: then it is not decided whether the log has a
//! gap.

use std::collections::BTreeMap;

use slotproof_history::ActionRef;
use slotproof_vocabulary::Outcome;

use super::SlotLedger;
use crate::slot_evidence::SlotEvidence;

/// Which versions of a slot have a record, and which a resize wrote, or may have.
#[derive(Debug)]
pub(crate) struct Numbering<'l, 'a> {
    log: Option<&'l SlotLedger<'a>>,
    /// The capacity that an acknowledged resize set, by the version in its answer.
    resized: BTreeMap<i64, i64>,
    /// Those of them that have no record: a resize that changes nothing sees a version of another
    /// change.
    written_by_resizes: Vec<i64>,
    /// Resizes whose version is not known.
    unplaced: i64,
}

/// Whether versions without a record are lawful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// There are none, or resizes wrote all of them.
    None,
    /// Resizes may have written all of them.
    Undecided,
    /// Resizes cannot have written all of them.
    Missing,
}

impl<'l, 'a> Numbering<'l, 'a> {
    pub(crate) fn of(log: Option<&'l SlotLedger<'a>>, evidence: Option<&SlotEvidence<'_>>) -> Self {
        let (mut resized, mut unplaced) = (BTreeMap::new(), 0);
        for operation in evidence.into_iter().flat_map(|slot| slot.operations.just()) {
            let ActionRef::Resize { capacity } = operation.action else { continue };
            match (operation.outcome, operation.seen.version) {
                (Outcome::Ok, Some(version)) => {
                    resized.insert(version, i64::from(capacity));
                }
                (Outcome::Ok, None) | (Outcome::Unknown, _) => unplaced += 1,
                (Outcome::SoldOut | Outcome::Rejected | Outcome::Throttled, _) => {}
            }
        }
        let recorded = |version: i64| log.is_some_and(|log| log.at_version(version).is_some());
        let unrecorded = resized.keys().copied().filter(|at| *at >= 1 && !recorded(*at));
        Self { log, written_by_resizes: unrecorded.collect(), resized, unplaced }
    }

    /// Whether each of the versions 1 to `version` has a record, or a resize wrote it. (A version
    /// that has two records is another violation.)
    pub(crate) fn gap(&self, version: i64) -> Gap {
        let records = self.log.map_or(0, |log| log.records_through(version));
        let resizes = self.written_by_resizes.partition_point(|at| *at <= version);
        let known = i64::try_from(records + resizes).unwrap_or(i64::MAX);
        match version.saturating_sub(known) {
            i64::MIN..=0 => Gap::None,
            missing if missing <= self.unplaced => Gap::Undecided,
            _ => Gap::Missing,
        }
    }

    /// Whether any version has no record because a resize wrote it, as far as its answer says.
    pub(crate) fn counts_resizes(&self) -> bool {
        !self.written_by_resizes.is_empty()
    }

    /// The capacity that a resize set when it wrote a version.
    pub(crate) fn resized_to(&self, version: i64) -> Option<i64> {
        self.resized.get(&version).copied()
    }

    /// The last version that a record wrote; 0 if there is none.
    pub(crate) fn last_version(&self) -> i64 {
        self.log.map_or(0, SlotLedger::last_version)
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{AuditRecord, BookingStatus::Pending, Operation};

    use super::*;
    use crate::{
        audit::Ledger,
        fixture::{case, record, resize, unknown, versioned as at},
        slot_evidence,
    };

    /// Whether a log of these versions has a gap.
    fn gap(versions: &[i64], resizes: Vec<Operation>) -> Gap {
        let case = case(9, resizes);
        let record = |version: &i64| record(*version, &format!("b{version}"), None, Pending, 1);
        let log: Vec<AuditRecord> = versions.iter().map(record).collect();
        let evidence = slot_evidence::of(&case);
        let ledger = Ledger::of_slots(&log, &evidence, |name| case.capacity_of(name));
        let last = *versions.last().expect("a record");
        Numbering::of(ledger.slot("s"), evidence.first()).gap(last)
    }

    #[test]
    fn a_version_without_a_record_is_lawful_where_a_resize_wrote_it() {
        assert_eq!(gap(&[1, 2], vec![]), Gap::None);
        assert_eq!(gap(&[1, 3], vec![]), Gap::Missing);
        assert_eq!(gap(&[1, 3], vec![at(2, resize(5, 0, 10))]), Gap::None);
        assert_eq!(gap(&[1, 4], vec![at(2, resize(5, 0, 10))]), Gap::Missing, "version 3");
        assert_eq!(gap(&[1, 3], vec![at(1, resize(9, 0, 10))]), Gap::Missing, "it changed nothing");
    }

    #[test]
    fn a_resize_without_a_version_leaves_one_version_undecided() {
        assert_eq!(gap(&[1, 3], vec![resize(5, 0, 10)]), Gap::Undecided);
        assert_eq!(gap(&[1, 3], vec![unknown(resize(5, 0, 10))]), Gap::Undecided);
        assert_eq!(gap(&[1, 4], vec![unknown(resize(5, 0, 10))]), Gap::Missing, "two are missing");
        assert_eq!(gap(&[1, 2], vec![unknown(resize(5, 0, 10))]), Gap::None, "none is missing");
    }
}
