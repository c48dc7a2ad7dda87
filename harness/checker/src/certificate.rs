//! Tier A: the order that the service itself claims, checked and not trusted.
//!
//! Each answer carries the slot's version: the one that it wrote, or the one that it saw. In the
//! order of versions, the writer of each before those that saw it, the answers must be possible one
//! after the other (`spec.rs`), and no answer may come after one that was sent after it had
//! returned. An order that passes is a linearization, wherever it comes from, because the clients
//! measured what they were told and when. Linear after the sort. An order that does not pass proves
//! nothing, and the next tier decides.

use foldhash::HashMap;

use crate::{
    slot_history::{Observation, SlotHistory},
    spec::{Change, SlotState, Step},
};

/// The result of checking the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// The claimed order is one.
    Proved,
    /// Nothing is proved: some answer carries no version, some version has no writer, or the
    /// answers in the order of the versions are not possible one after the other. The last may be
    /// because the service counts other changes too; only the next tier can convict.
    Incomplete,
    /// Versions go back in real time, at this operation of the history.
    Refuted {
        /// The operation's index.
        index: usize,
    },
}

/// Checks the claim of one slot.
pub fn check(slot_history: &SlotHistory, capacity: i64) -> Certificate {
    let mut claimed = claims(slot_history);
    claimed.sort_by_key(|claim| (claim.version, claim.observed.returned_ns));
    if let Some(index) = out_of_time(&claimed) {
        return Certificate::Refuted { index };
    }
    let mut observations = slot_history.observations.iter();
    // Versions do not say that the parts of a basket happened at once.
    let unclaimed = |it: &Observation| it.joined || (it.sure && it.version.is_none());
    if observations.any(unclaimed) || slot_history.unsearchable.is_some() {
        return Certificate::Incomplete;
    }
    let mut slot = SlotState::new(capacity);
    let mut latest_sent_ns = 0;
    let mut before: Option<i64> = None;
    for same in claimed.chunk_by(|left, right| left.version == right.version) {
        let version = same[0].version;
        // The writer is the one whose step changes the slot; it is first, and the others saw what
        // it left. A version without a writer, or a missing one, was written by an operation that
        // is not in the history: then the claim is incomplete.
        let moves = |Claimed { observed, .. }: &Claimed<'_>| {
            slot.moves_seats(&observed.step)
                || matches!(observed.step, Step::Resize { .. }) && slot.changes(&observed.step)
        };
        let changes = |claim: &Claimed<'_>| slot.changes(&claim.observed.step);
        let writer = same.iter().position(moves).or_else(|| same.iter().position(changes));
        if before.is_some_and(|before| version != before + 1 || writer.is_none()) {
            return Certificate::Incomplete;
        }
        before = Some(version);
        let order =
            writer.into_iter().chain((0..same.len()).filter(|place| Some(*place) != writer));
        for (place, claim) in order.map(|index| &same[index]).enumerate() {
            let observed = claim.observed;
            let Some((change, moves_seats)) = slot.step_with(&observed.step, &observed.claim)
            else {
                return Certificate::Incomplete;
            };
            // Some services do not count a confirm as a change.
            let confirmed = matches!(observed.step, Step::Confirm { .. }) && !moves_seats;
            let seen_only = change == Change::None || confirmed;
            if (place > 0 && !seen_only) || observed.returned_ns < latest_sent_ns {
                return Certificate::Incomplete;
            }
            latest_sent_ns = latest_sent_ns.max(claim.sent_ns);
        }
    }
    Certificate::Proved
}

/// An answer with a version. Small, because a history may have millions.
#[derive(Clone, Copy)]
struct Claimed<'a> {
    observed: &'a Observation,
    version: i64,
    /// Not before this instant, as far as all attempts are known.
    sent_ns: u64,
}

/// Answers with a version. If several reserves were told of one booking, the decision lies between
/// the first sending, answered or not, and the first return; the others may be receipts, as old as
/// that.
fn claims(slot_history: &SlotHistory) -> Vec<Claimed<'_>> {
    let mut claims: Vec<Claimed<'_>> = Vec::new();
    let mut made: HashMap<u32, usize> = HashMap::default();
    for observed in slot_history.observations.iter().filter(|observed| observed.sure) {
        let Some(version) = observed.version else { continue };
        let claim = Claimed { observed, version, sent_ns: observed.sent_ns };
        let Step::Reserve { booking, .. } = observed.step else {
            claims.push(claim);
            continue;
        };
        match made.get(&booking) {
            None => {
                made.insert(booking, claims.len());
                claims.push(claim);
            }
            Some(place) if observed.returned_ns < claims[*place].observed.returned_ns => {
                claims[*place] = claim;
            }
            Some(_) => {}
        }
    }
    for observed in &slot_history.observations {
        if let Step::Reserve { booking, .. } = observed.step
            && let Some(place) = made.get(&booking)
        {
            claims[*place].sent_ns = claims[*place].sent_ns.min(observed.sent_ns);
        }
    }
    claims
}

/// An answer that had returned before one of an earlier version was sent: versions only rise, so
/// that one was stale. Answers that may repeat an older acknowledgement are left out.
fn out_of_time(claimed: &[Claimed<'_>]) -> Option<usize> {
    let mut latest_sent_ns = 0;
    for same in claimed.chunk_by(|left, right| left.version == right.version) {
        let fresh = || same.iter().filter(|claim| claim.observed.fresh);
        if let Some(stale) = fresh().find(|claim| claim.observed.returned_ns < latest_sent_ns) {
            return Some(stale.observed.index as usize);
        }
        latest_sent_ns = fresh().map(|claim| claim.sent_ns).fold(latest_sent_ns, u64::max);
    }
    None
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        fixture::{cancel, history, read, reserve, sold_out, unknown, versioned},
        slot_history::by_slot,
    };

    fn checked(capacity: i64, operations: Vec<(i64, Operation)>) -> Certificate {
        let operations = operations.into_iter();
        let operations = operations.map(|(version, operation)| versioned(version, operation));
        let history = history(operations.collect());
        check(&by_slot(&history)["s"], capacity)
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
        assert_eq!(check(&by_slot(&history)["s"], 9), Certificate::Incomplete);
    }

    #[test]
    fn versions_that_go_back_in_time_are_refuted_even_where_some_are_missing() {
        let stale = vec![(5, reserve("a", 1, 0, 10)), (3, read(1, 20, 30))];
        assert_eq!(checked(2, stale), Certificate::Refuted { index: 0 });
    }

    #[test]
    fn receipts_and_versions_without_a_writer_refute_nothing() {
        let again = (1, reserve("a", 1, 100, 110));
        let sold = vec![(1, reserve("a", 1, 0, 10)), (2, cancel("a", 20, 30)), again];
        assert_eq!(checked(1, sold), Certificate::Proved, "a receipt is as old as its booking");
        let expired = vec![(1, reserve("a", 1, 0, 10)), (2, read(1, 20, 30))];
        assert_eq!(checked(1, expired), Certificate::Incomplete, "version 2 has no writer");
        assert_eq!(
            checked(1, vec![(7, read(0, 0, 10))]),
            Certificate::Incomplete,
            "the versions before are missing"
        );
    }

    #[test]
    fn what_may_have_happened_is_not_in_the_way() {
        let operations = vec![(1, reserve("a", 1, 0, 10)), (0, unknown(reserve("b", 1, 0, 10)))];
        assert_eq!(checked(1, operations), Certificate::Proved);
    }
}
