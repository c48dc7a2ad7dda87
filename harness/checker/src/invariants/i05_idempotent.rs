//! I5: one effect per idempotency key.
//!
//! Every acknowledgement of one key names one booking, and no two rows have one key.
//!
//! Keys that are sent again after their answer show a service that forgets them; only keys that are
//! in flight twice at once show one that looks a key up and books later. The finding counts them.

use foldhash::HashMap;
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::{BookingRow, Finding, Invariant, Outcome, Witness};

use super::{Count, Evidence, counted, witness};
use crate::History;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::Idempotent);
    let repeated = repeated_keys(&evidence.case.history);
    let mut acknowledged: HashMap<Name<'_>, usize> = HashMap::default();
    for (index, operation) in evidence.case.history.indexed() {
        let (ActionRef::Reserve { key, .. }, Outcome::Ok) = (operation.action, operation.outcome)
        else {
            continue;
        };
        // Seats that were set aside and given back are no effect.
        if operation.is_provisional() {
            continue;
        }
        if !repeated.contains_key(&key) {
            count.examine();
            continue;
        }
        let first = *acknowledged.entry(key).or_insert_with(|| {
            count.examined += 1;
            index
        });
        let before = evidence.case.history.operations.at(first);
        let same = before.seen.booking == operation.seen.booking
            && before.slot == operation.slot
            && before.action == operation.action;
        if !same {
            count.violation(|| Witness {
                operations: evidence.show([first, index]),
                ..witness(
                    &operation.slot,
                    format!(
                        "key {key} was acknowledged with two bookings, or for two different \
                         requests"
                    ),
                )
            });
        }
    }
    let mut rows: HashMap<&str, &BookingRow> = HashMap::default();
    for row in evidence.case.end.iter().flat_map(|end| &end.bookings) {
        let Some(key) = row.key.as_deref() else { continue };
        count.examine();
        if let Some(first) = rows.insert(key, row) {
            count.violation(|| Witness {
                rows: vec![first.clone(), row.clone()],
                ..witness(&row.slot, format!("key {key} has two final rows"))
            });
        }
    }
    let twice = in_flight_twice(repeated);
    Some(count.finding(
        |examined| {
            format!(
                "one effect per key, in {examined} acknowledged keys and final rows; {} in flight \
                 twice at once",
                were(twice)
            )
        },
        |violations, examined| {
            format!(
                "{} in {examined} acknowledged keys and final rows",
                counted(violations, "extra effect")
            )
        },
    ))
}

/// `1 key was`, `2 keys were`.
pub(super) fn were(keys: u64) -> String {
    if keys == 1 { "1 key was".to_owned() } else { format!("{keys} keys were") }
}

/// Keys of which two reserves were in flight at once, and one got seats.
pub(super) fn keys_in_flight_twice(history: &History) -> u64 {
    in_flight_twice(repeated_keys(history))
}

/// The reserves of every key that was sent more than once.
fn repeated_keys(history: &History) -> HashMap<Name<'_>, Vec<OperationRef<'_>>> {
    let reserves = || {
        history.operations.iter().filter_map(|operation| match operation.action {
            ActionRef::Reserve { key, .. } => Some((key, operation)),
            _ => None,
        })
    };
    let mut repeated: HashMap<Name<'_>, Vec<OperationRef<'_>>> = HashMap::default();
    let mut once = vec![false; history.operations.names().len()];
    for (key, _) in reserves() {
        if std::mem::replace(&mut once[key.id() as usize], true) {
            repeated.entry(key).or_default();
        }
    }
    if !repeated.is_empty() {
        for (key, operation) in reserves() {
            if let Some(sent) = repeated.get_mut(&key) {
                sent.push(operation);
            }
        }
    }
    repeated
}

fn in_flight_twice(mut repeated: HashMap<Name<'_>, Vec<OperationRef<'_>>>) -> u64 {
    let in_flight_twice = |sent: &mut Vec<OperationRef<'_>>| {
        let granted = sent.iter().any(|it| it.outcome == Outcome::Ok && !it.is_provisional());
        sent.sort_unstable_by_key(|it| it.sent_ns);
        let mut latest_ns = 0;
        granted
            && sent.iter().any(|it| {
                let overlaps = it.sent_ns < latest_ns;
                latest_ns = latest_ns.max(it.returned_ns);
                overlaps
            })
    };
    repeated.values_mut().map(in_flight_twice).filter(|twice| *twice).count() as u64
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, only, reserve, row},
    };

    #[test]
    fn a_key_that_is_told_of_one_booking_twice_had_one_effect() {
        let operations = vec![reserve("a", 1, 0, 10), reserve("a", 1, 20, 30)];
        assert_eq!(only(&case(9, operations), Invariant::Idempotent).verdict, Verdict::Upheld);
    }

    #[test]
    fn a_key_that_is_told_of_two_bookings_had_two_effects() {
        let mut second = reserve("b", 1, 20, 30);
        second.action = reserve("a", 1, 0, 0).action;
        assert_eq!(
            only(&case(9, vec![reserve("a", 1, 0, 10), second]), Invariant::Idempotent).verdict,
            Verdict::Violated
        );
    }

    #[test]
    fn a_key_with_two_rows_had_two_effects() {
        let mut twin = row("b", BookingStatus::Pending, 1);
        twin.key = Some("key-a".to_owned());
        let rows = vec![row("a", BookingStatus::Pending, 1), twin];
        let judged = Case { end: Some(end(9, 7, rows)), ..case(9, vec![reserve("a", 1, 0, 10)]) };
        assert_eq!(only(&judged, Invariant::Idempotent).verdict, Verdict::Violated);
    }
}
