//! I10: a client reads its own writes, and never goes back in versions.
//!
//! Every answer carries the slot's version: the one that it wrote, or the one that it saw. An operation that was sent after
//! another one of the same client had returned must not carry an older version of that slot. An acknowledgement of a key that
//! was acknowledged before repeats its receipt, old version included, and says nothing about now.

use std::collections::{HashMap, HashSet};

use slotproof_vocabulary::{Action, Finding, Invariant, Outcome, Witness};

use super::{Count, Evidence, i13_audit::repeated_changes, witness};

/// What one client saw of one slot: the places of its answers, and the versions in them.
type Session<'a> = ((u64, &'a str), Vec<(usize, i64)>);

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    // In the order in which they begin, so that the first violation is the same each time.
    let mut sessions: Vec<Session<'_>> = Vec::new();
    let mut places: HashMap<(u64, &str), usize> = HashMap::new();
    let repeated = repeated_changes(&evidence.case.history.operations);
    for (index, version) in versions(evidence) {
        let operation = &evidence.case.history.operations[index];
        // What may repeat an older acknowledgement says nothing of now.
        if let Action::Confirm { booking } | Action::Cancel { booking } = &operation.action
            && repeated.contains(&(operation.action.name(), booking.as_str()))
        {
            continue;
        }
        let whose = (operation.client, operation.slot.as_str());
        let place = *places.entry(whose).or_insert_with(|| {
            sessions.push((whose, Vec::new()));
            sessions.len() - 1
        });
        sessions[place].1.push((index, version));
    }
    let mut count = Count::new(Invariant::I10);
    let operations = &evidence.case.history.operations;
    for ((client, slot), mut session) in sessions {
        session.sort_by_key(|(index, _)| operations[*index].sent_ns);
        for pair in session.windows(2) {
            let ((before, seen), (after, sees)) = (pair[0], pair[1]);
            count.examine();
            if sees < seen && operations[after].sent_ns > operations[before].returned_ns {
                count.violation(|| Witness {
                    operations: evidence.case.history.show([before, after]),
                    ..witness(
                        slot,
                        format!("client {client} had seen version {seen}, and then saw version {sees}"),
                    )
                });
            }
        }
    }
    if count.examined == 0 {
        return None;
    }
    Some(count.finding(
        |examined| format!("no client went back in versions, in {examined} steps"),
        |violations, examined| format!("clients went back in versions in {violations} of {examined} steps"),
    ))
}

/// Answers that say which version of their slot was true during the call, by index.
///
/// The acknowledgement of a key that was sent more than once may be a receipt, as old as the first of them: it is left out.
pub(super) fn versions<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = (usize, i64)> + 'a {
    let repeated = repeated_keys(evidence);
    evidence.case.history.indexed().filter_map(move |(index, operation)| {
        let receipt = match (&operation.action, operation.outcome) {
            (_, Outcome::Unknown) => return None,
            (Action::Reserve { key, .. }, Outcome::Ok) => repeated.contains(key.as_str()),
            _ => false,
        };
        operation.seen.version.filter(|_| !receipt).map(|version| (index, version))
    })
}

/// Keys that were sent more than once: an acknowledgement of one may be a receipt.
pub(super) fn repeated_keys<'a>(evidence: &'a Evidence<'_>) -> HashSet<&'a str> {
    let mut sent: HashSet<&str> = HashSet::new();
    let keys = evidence.case.history.operations.iter().filter_map(|operation| match &operation.action {
        Action::Reserve { key, .. } => Some(key.as_str()),
        Action::Confirm { .. } | Action::Cancel { .. } | Action::Read => None,
    });
    keys.filter(|key| !sent.insert(key)).collect()
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::{
        fixture::{case, read, reserve},
        invariants::only,
    };

    fn at(version: i64, mut operation: Operation) -> Operation {
        operation.seen.version = Some(version);
        operation
    }

    fn verdict(operations: Vec<Operation>) -> Verdict {
        only(&case(9, operations), Invariant::I10).verdict
    }

    #[test]
    fn a_client_goes_forward_or_stays() {
        assert_eq!(
            verdict(vec![at(3, reserve("a", 1, 0, 10)), at(3, read(8, 20, 30)), at(5, read(7, 40, 50))]),
            Verdict::Upheld
        );
    }

    #[test]
    fn a_client_that_goes_back_does_not_read_its_own_writes() {
        assert_eq!(verdict(vec![at(3, reserve("a", 1, 0, 10)), at(2, read(9, 20, 30))]), Verdict::Violated);
    }

    #[test]
    fn a_receipt_that_is_shown_again_is_old_and_lawful() {
        let again = at(3, reserve("a", 1, 40, 50));
        let run = vec![at(3, reserve("a", 1, 0, 10)), at(9, read(8, 20, 30)), again, at(9, read(8, 60, 70))];
        assert_eq!(verdict(run), Verdict::Upheld);
    }
}
