//! Tier A: the order that the service itself claims, checked and not trusted.
//!
//! Each answer carries the slot's version: the one that it wrote, or the one that it saw. Put in the order of versions, the
//! writer of each before those who saw it, the answers must be possible one after the other (`spec.rs`), and no answer may stand behind
//! one that was sent after it had returned. An order that passes is a linearization, whoever made it up: what was told and when
//! was measured by the clients. Linear after the sort. Where it does not pass nothing is proved, and the next tier decides.

use crate::{
    spec::{Change, Slot},
    story::{Story, Told},
};

/// What became of the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// The claimed order is one.
    Proved,
    /// Some answer carries no version, or some version is nobody's: there is no complete claim.
    Incomplete,
    /// The claim breaks at this operation of the history.
    Refuted {
        /// Its place.
        index: usize,
    },
}

/// Checks the claim of one slot.
pub fn check(story: &Story, capacity: i64) -> Certificate {
    if story.untellable.is_some() || story.told.iter().any(|told| told.sure && told.version.is_none()) {
        return Certificate::Incomplete;
    }
    let mut claimed: Vec<&Told> = story.told.iter().filter(|told| told.sure).collect();
    claimed.sort_by_key(|told| (told.version, told.returned_ns));
    let mut slot = Slot::new(capacity);
    let mut latest_sent_ns = 0;
    let mut version = claimed.first().and_then(|told| told.version).unwrap_or_default();
    let mut started = false;
    for same in claimed.chunk_by(|left, right| left.version == right.version) {
        let now = same[0].version.unwrap_or_default();
        if started && now != version + 1 {
            return Certificate::Incomplete;
        }
        (version, started) = (now, true);
        // The writer is the one whose step changes the slot; it is first, and the others saw what it left.
        let writer = same.iter().position(|told| slot.allows(&told.step) && slot.changes(&told.step));
        let order = writer.into_iter().chain((0..same.len()).filter(|place| Some(*place) != writer));
        for (place, told) in order.map(|index| same[index]).enumerate() {
            let Some(change) = slot.step(&told.step) else {
                return Certificate::Refuted { index: told.index };
            };
            if (place > 0 && change != Change::None) || told.returned_ns < latest_sent_ns {
                return Certificate::Refuted { index: told.index };
            }
            latest_sent_ns = latest_sent_ns.max(told.sent_ns);
        }
    }
    Certificate::Proved
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        fixture::{cancel, history, read, reserve, sold_out, unknown},
        story::stories,
    };

    fn checked(capacity: i64, operations: Vec<(i64, Operation)>) -> Certificate {
        let versioned = operations.into_iter().map(|(version, mut operation)| {
            operation.seen.version = Some(version);
            operation
        });
        let history = history(versioned.collect());
        check(&stories(&history)["s"], capacity)
    }

    #[test]
    fn a_claim_that_fits_is_a_proof_and_one_that_does_not_is_none() {
        let sold = || vec![(1, reserve("a", 1, 0, 10)), (1, sold_out(1, 5, 20)), (0, read(1, 0, 8))];
        assert_eq!(checked(1, sold()), Certificate::Proved);
        let resold = || [sold(), vec![(2, cancel("a", 30, 40)), (3, reserve("b", 1, 35, 50))]].concat();
        assert_eq!(checked(1, resold()), Certificate::Proved);
        let overbooked = vec![(1, reserve("a", 1, 0, 10)), (2, reserve("b", 1, 5, 20))];
        assert_eq!(checked(1, overbooked), Certificate::Refuted { index: 1 });
        let out_of_time = vec![(1, reserve("a", 1, 30, 40)), (2, reserve("b", 1, 5, 20))];
        assert_eq!(checked(2, out_of_time), Certificate::Refuted { index: 1 });
    }

    #[test]
    fn a_claim_with_a_gap_or_without_a_version_proves_nothing() {
        let gap = vec![(1, reserve("a", 1, 0, 10)), (3, reserve("b", 1, 5, 20))];
        assert_eq!(checked(9, gap), Certificate::Incomplete);
        let history = history(vec![reserve("a", 1, 0, 10)]);
        assert_eq!(check(&stories(&history)["s"], 9), Certificate::Incomplete);
    }

    #[test]
    fn what_may_have_happened_is_not_in_the_way() {
        let operations = vec![(1, reserve("a", 1, 0, 10)), (0, unknown(reserve("b", 1, 0, 10)))];
        assert_eq!(checked(1, operations), Certificate::Proved);
    }
}
