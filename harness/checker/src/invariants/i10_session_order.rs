//! I10: a client reads its own writes, and never goes back in versions.
//!
//! Every answer carries the slot's version: the one that it wrote, or the one that it saw. An
//! operation that was sent after another one of the same client had returned must not carry an
//! older version of that slot. An acknowledgement of a key that was acknowledged before repeats its
//! receipt with the old version, and says nothing about now.

use std::collections::BTreeMap;

use slotproof_history::OperationRef;
use slotproof_vocabulary::{Finding, Invariant, Witness};

use super::{Count, Evidence, witness};
use crate::slot_evidence::SlotEvidence;

/// An answer with the version in it.
type Versioned<'a> = (usize, OperationRef<'a>, i64);

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    finding(tally(evidence))
}

/// What was found in some slots.
pub(super) fn tally(evidence: &Evidence<'_>) -> Count {
    let mut count = Count::new(Invariant::SessionOrder);
    for slot in &evidence.slots {
        for (client, mut session) in sessions(slot) {
            session.sort_by_key(|answer| answer.sent_ns);
            for pair in session.windows(2) {
                let [earlier, later] = [pair[0], pair[1]];
                let (seen, sees) = (earlier.version, later.version);
                count.examine();
                if sees < seen && later.sent_ns > earlier.returned_ns {
                    count.violation(|| Witness {
                        operations: evidence.show([earlier.index, later.index]),
                        ..witness(
                            slot.name,
                            format!("client {client} saw version {seen}, and later version {sees}"),
                        )
                    });
                }
            }
        }
    }
    count
}

pub(super) fn finding(count: Count) -> Option<Finding> {
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| format!("no client goes back in versions, in {examined} steps"),
        |violations, examined| {
            format!("clients go back in versions in {violations} of {examined} steps")
        },
    ))
}

/// An answer of a session: what is compared, because a slot may have millions.
#[derive(Debug, Clone, Copy)]
struct Answer {
    index: usize,
    sent_ns: u64,
    returned_ns: u64,
    version: i64,
}

/// The versions that each client saw of a slot.
fn sessions(slot: &SlotEvidence<'_>) -> BTreeMap<u64, Vec<Answer>> {
    let mut sessions: BTreeMap<u64, Vec<Answer>> = BTreeMap::new();
    for (index, operation, version) in versions(slot) {
        let OperationRef { sent_ns, returned_ns, .. } = operation;
        let answer = Answer { index, sent_ns, returned_ns, version };
        sessions.entry(operation.client).or_default().push(answer);
    }
    sessions
}

/// Answers that say which version of their slot was true during the call. One that may repeat an
/// older acknowledgement says nothing about now, and is left out; so is one about another slot.
pub(super) fn versions<'a>(slot: &SlotEvidence<'a>) -> impl Iterator<Item = Versioned<'a>> {
    slot.operations.iter().filter_map(move |(index, operation)| {
        let here = operation.moves_to().is_none_or(|to| *to == *slot.name);
        let version = operation.seen.version.filter(|_| here);
        let version = version.filter(|_| slot.freshness.is_fresh(&operation))?;
        Some((index, operation, version))
    })
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::fixture::{case, only, read, reserve, versioned as at};

    fn verdict(operations: Vec<Operation>) -> Verdict {
        only(&case(9, operations), Invariant::SessionOrder).verdict
    }

    #[test]
    fn a_client_goes_forward_or_stays() {
        assert_eq!(
            verdict(vec![
                at(3, reserve("a", 1, 0, 10)),
                at(3, read(8, 20, 30)),
                at(5, read(7, 40, 50))
            ]),
            Verdict::Upheld
        );
    }

    #[test]
    fn a_client_that_goes_back_does_not_read_its_own_writes() {
        assert_eq!(
            verdict(vec![at(3, reserve("a", 1, 0, 10)), at(2, read(9, 20, 30))]),
            Verdict::Violated
        );
    }

    #[test]
    fn a_receipt_that_is_shown_again_is_old_and_lawful() {
        let again = at(3, reserve("a", 1, 40, 50));
        let run = vec![
            at(3, reserve("a", 1, 0, 10)),
            at(9, read(8, 20, 30)),
            again,
            at(9, read(8, 60, 70)),
        ];
        assert_eq!(verdict(run), Verdict::Upheld);
    }
}
