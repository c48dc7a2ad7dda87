//! Tier A: the order that the service itself claims, checked and not trusted.
//!
//! Each answer carries the slot's version: the one that it wrote, or the one that it saw. Put in
//! the order of versions, the writer of each before those who saw it, the answers must be possible
//! one after the other (`spec.rs`), and no answer may stand behind one that was sent after it had
//! returned. An order that passes is a linearization, whoever made it up: what was told and when
//! was measured by the clients. Linear after the sort. Where it does not pass nothing is proved,
//! and the next tier decides.

use foldhash::HashMap;

use crate::{
    spec::{Change, Slot, Step},
    story::{Story, Told},
};

/// What became of the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// The claimed order is one.
    Proved,
    /// Nothing is proved: some answer carries no version, some version is nobody's, or the answers
    /// in the order of the versions are not possible one after the other. The last may be because
    /// the service counts other changes than these; only the next tier can convict.
    Incomplete,
    /// Versions go back in real time, at this operation of the history.
    Refuted {
        /// Its place.
        index: usize,
    },
}

/// Checks the claim of one slot.
pub fn check(story: &Story, capacity: i64) -> Certificate {
    let mut claimed = claims(story);
    claimed.sort_by_key(|told| (told.version, told.returned_ns));
    if let Some(index) = out_of_time(&claimed, story) {
        return Certificate::Refuted { index };
    }
    let unclaimed = story.told.iter().any(|told| told.sure && told.version.is_none());
    if unclaimed || story.untellable.is_some() {
        return Certificate::Incomplete;
    }
    let mut slot = Slot::new(capacity);
    let mut latest_sent_ns = 0;
    let mut before: Option<i64> = None;
    for same in claimed.chunk_by(|left, right| left.version == right.version) {
        let version = same[0].version.unwrap_or_default();
        // The writer is the one whose step changes the slot; it is first, and the others saw what
        // it left. A version that nobody here wrote, and one that is missing, were written by
        // somebody who was not asked: then the claim is not complete.
        let seats = same.iter().position(|told| moves_seats(told) && slot.changes(&told.step));
        let writer = seats.or_else(|| same.iter().position(|told| slot.changes(&told.step)));
        if before.is_some_and(|before| version != before + 1 || writer.is_none()) {
            return Certificate::Incomplete;
        }
        before = Some(version);
        let order =
            writer.into_iter().chain((0..same.len()).filter(|place| Some(*place) != writer));
        for (place, told) in order.map(|index| &same[index]).enumerate() {
            let Some(change) = slot.step(&told.step) else {
                return Certificate::Incomplete;
            };
            // Not everybody counts a confirm as a change.
            let seen_only = matches!(change, Change::None | Change::Kept(_));
            if (place > 0 && !seen_only) || told.returned_ns < latest_sent_ns {
                return Certificate::Incomplete;
            }
            latest_sent_ns = latest_sent_ns.max(told.sent_ns);
        }
    }
    Certificate::Proved
}

fn moves_seats(told: &Told) -> bool {
    matches!(told.step, Step::Take { .. } | Step::Give { .. } | Step::Resize { .. })
}

/// Answers with a version. Of several that were told of one booking the decision lies between the
/// first sending, answered or not, and the first return; the others may be receipts, as old as
/// that.
fn claims(story: &Story) -> Vec<Told> {
    let mut claims: Vec<Told> = Vec::new();
    let mut made: HashMap<u32, usize> = HashMap::default();
    for told in story.told.iter().filter(|told| told.sure && told.version.is_some()) {
        let Step::Take { booking, .. } = told.step else {
            claims.push(told.clone());
            continue;
        };
        match made.get(&booking) {
            None => {
                made.insert(booking, claims.len());
                claims.push(told.clone());
            }
            Some(place) => {
                let first = &mut claims[*place];
                if told.returned_ns < first.returned_ns {
                    (first.returned_ns, first.version, first.index) =
                        (told.returned_ns, told.version, told.index);
                }
            }
        }
    }
    for told in &story.told {
        if let Step::Take { booking, .. } = told.step
            && let Some(place) = made.get(&booking)
        {
            claims[*place].sent_ns = claims[*place].sent_ns.min(told.sent_ns);
        }
    }
    claims
}

/// An answer that had returned before one of an earlier version was sent: versions only rise, so
/// that one was stale. What may repeat an older acknowledgement is left out.
fn out_of_time(claimed: &[Told], story: &Story) -> Option<usize> {
    let fresh = |told: &&Told| match told.step {
        Step::Keep { booking } | Step::Give { booking } => !story.contested.contains(&booking),
        Step::Take { .. } | Step::Refuse { .. } | Step::Look { .. } | Step::Resize { .. } => true,
    };
    let claimed: Vec<&Told> = claimed.iter().filter(fresh).collect();
    let mut latest_sent_ns = 0;
    for same in claimed.chunk_by(|left, right| left.version == right.version) {
        if let Some(overtaken) = same.iter().find(|told| told.returned_ns < latest_sent_ns) {
            return Some(overtaken.index);
        }
        latest_sent_ns = same.iter().map(|told| told.sent_ns).fold(latest_sent_ns, u64::max);
    }
    None
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
        let sold =
            || vec![(1, reserve("a", 1, 0, 10)), (1, sold_out(1, 5, 20)), (0, read(1, 0, 8))];
        assert_eq!(checked(1, sold()), Certificate::Proved);
        let resold =
            || [sold(), vec![(2, cancel("a", 30, 40)), (3, reserve("b", 1, 35, 50))]].concat();
        assert_eq!(checked(1, resold()), Certificate::Proved);
        let overbooked = vec![(1, reserve("a", 1, 0, 10)), (2, reserve("b", 1, 5, 20))];
        assert_eq!(checked(1, overbooked), Certificate::Incomplete);
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
    fn versions_that_go_back_in_time_are_refuted_even_where_some_are_missing() {
        let stale = vec![(5, reserve("a", 1, 0, 10)), (3, read(1, 20, 30))];
        assert_eq!(checked(2, stale), Certificate::Refuted { index: 0 });
    }

    #[test]
    fn receipts_and_what_nobody_here_wrote_refute_nothing() {
        let again = (1, reserve("a", 1, 100, 110));
        let sold = vec![(1, reserve("a", 1, 0, 10)), (2, cancel("a", 20, 30)), again];
        assert_eq!(checked(1, sold), Certificate::Proved, "a receipt is as old as its booking");
        let expired = vec![(1, reserve("a", 1, 0, 10)), (2, read(1, 20, 30))];
        assert_eq!(checked(1, expired), Certificate::Incomplete, "somebody else wrote version 2");
        assert_eq!(
            checked(1, vec![(7, read(0, 0, 10))]),
            Certificate::Incomplete,
            "nobody knows what was before"
        );
    }

    #[test]
    fn what_may_have_happened_is_not_in_the_way() {
        let operations = vec![(1, reserve("a", 1, 0, 10)), (0, unknown(reserve("b", 1, 0, 10)))];
        assert_eq!(checked(1, operations), Certificate::Proved);
    }
}
