//! I13: the audit log has no gap, replays to the final rows, and respects real time. (Without a
//! log: `i13_told.rs`.)
//!
//! The log is the service's own story of what happened in which order, and need not be trusted,
//! because every part of it can be checked. The versions of a slot's records are 1, 2, 3 and so on;
//! the last one is the version in the slot's row; each booking's last record agrees with its row.
//! Every answer that carries a version is placed behind the record of that version: the seats that
//! it says were left must be the record's, and no answer may have returned before one was sent that
//! the story places in front of it. A story that passes is a possible order of events that explains
//! every versioned answer.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashSet;
use slotproof_vocabulary::{
    Action, AuditRecord, BookingStatus, Finding, Invariant, Operation, Outcome, Witness,
};

use super::super::{
    Count, Evidence, i02_no_overbooking_stored::by_slot, i10_session_order::versions, witness,
};

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut count = Count::new(Invariant::OneOrder);
    let slots = by_slot(evidence);
    for (slot, records) in &slots {
        for (record, expected) in records.iter().zip(1_i64..) {
            count.examine();
            if record.version != expected {
                count.violation(|| Witness {
                    records: vec![(*record).clone()],
                    ..witness(
                        slot,
                        format!("version {expected} of the slot is missing in its log, or is there twice"),
                    )
                });
                break;
            }
        }
    }
    check_rows(evidence, &slots, &mut count);
    check_answers(evidence, &slots, &mut count);
    count.finding(
        |examined| {
            format!("{examined} records, rows and answers tell one story, without a gap and in real time")
        },
        |violations, examined| {
            format!("{violations} of {examined} records, rows and answers contradict the rest")
        },
    )
}

fn check_rows(
    evidence: &Evidence<'_>,
    slots: &BTreeMap<&str, Vec<&AuditRecord>>,
    count: &mut Count,
) {
    let Some(end) = &evidence.case.end else { return };
    let mut expected: BTreeSet<&str> = slots.keys().copied().collect();
    expected.extend(evidence.slots.iter().map(|slot| slot.name));
    for slot in expected {
        count.examine();
        let rows = end.slots.iter().filter(|row| row.slot == slot).count();
        if rows != 1 {
            count.violation(|| {
                witness(slot, format!("the slot has {rows} rows, and must have one"))
            });
        }
    }
    for row in &end.slots {
        count.examine();
        let last = slots
            .get(row.slot.as_str())
            .and_then(|records| records.last())
            .map_or(0, |record| record.version);
        if last != row.version {
            count.violation(|| {
                witness(
                    &row.slot,
                    format!(
                        "the slot's row is at version {}, and its log ends at {last}",
                        row.version
                    ),
                )
            });
        }
    }
    let mut last: BTreeMap<&str, &AuditRecord> =
        slots.values().flatten().map(|record| (record.booking.as_str(), *record)).collect();
    for row in &end.bookings {
        count.examine();
        let record = last.remove(row.booking.as_str());
        if record.is_none_or(|record| {
            record.to != row.status || record.seats != row.seats || record.slot != row.slot
        }) {
            count.violation(|| Witness {
                records: record.cloned().into_iter().collect(),
                rows: vec![row.clone()],
                ..witness(
                    &row.slot,
                    format!("the log of booking {} does not end in its row", row.booking),
                )
            });
        }
    }
    if let Some(record) = last.into_values().next() {
        count.violation(|| Witness {
            records: vec![record.clone()],
            ..witness(
                &record.slot,
                format!("booking {} is in the log and has no row", record.booking),
            )
        });
    }
}

/// An answer with its place in the story.
#[derive(Debug, Clone, Copy)]
struct Placed {
    index: usize,
    version: i64,
    /// Whether it wrote the version; those that only saw it come behind.
    saw: bool,
}

fn check_answers<'a>(
    evidence: &Evidence<'a>,
    slots: &BTreeMap<&'a str, Vec<&'a AuditRecord>>,
    count: &mut Count,
) {
    let operations = &evidence.case.history.operations;
    for told in &evidence.slots {
        let (slot, capacity) = (told.name, evidence.case.capacity_of(told.name));
        let placed = |(index, operation, version): (usize, &Operation, i64)| {
            let record = record_of(slots, slot, version);
            let saw = record.is_none_or(|record| !wrote(operation, record, &told.repeated_changes));
            Placed { index, version, saw }
        };
        let mut story: Vec<Placed> = versions(told).map(placed).collect();
        story.sort_by_key(|placed| {
            (placed.version, placed.saw, operations[placed.index].returned_ns)
        });
        // The answer that was sent last among those of earlier versions, and among those up to now.
        let (mut before, mut so_far): (Option<usize>, Option<usize>) = (None, None);
        let mut version = None;
        for placed in story {
            count.examine();
            let operation = &operations[placed.index];
            if version != Some((placed.version, placed.saw)) {
                version = Some((placed.version, placed.saw));
                before = so_far;
            }
            let left = match placed.version {
                0 => Some(capacity),
                version => record_of(slots, slot, version).map(|record| record.available),
            };
            if left.is_none() || operation.seen.available.is_some_and(|seen| Some(seen) != left) {
                count.violation(|| Witness {
                    operations: evidence.case.history.show([placed.index]),
                    records: record_of(slots, slot, placed.version).cloned().into_iter().collect(),
                    ..witness(
                        slot,
                        format!(
                            "the log of version {} does not say what this answer says",
                            placed.version
                        ),
                    )
                });
            }
            if let Some(earlier) =
                before.filter(|earlier| operations[*earlier].sent_ns > operation.returned_ns)
            {
                count.violation(|| Witness {
                    operations: evidence.case.history.show([earlier, placed.index]),
                    ..witness(
                        slot,
                        format!(
                            "the log places line {} before line {}, which had returned before the other was sent",
                            earlier + 1,
                            placed.index + 1
                        ),
                    )
                });
            }
            if so_far.is_none_or(|last| operations[last].sent_ns < operation.sent_ns) {
                so_far = Some(placed.index);
            }
        }
    }
}

/// The log without gaps has version v at place v - 1; one with gaps has been convicted of them
/// already.
fn record_of<'a>(
    slots: &BTreeMap<&str, Vec<&'a AuditRecord>>,
    slot: &str,
    version: i64,
) -> Option<&'a AuditRecord> {
    let records = slots.get(slot)?;
    let place = records.binary_search_by_key(&version, |record| record.version).ok()?;
    records.get(place).copied()
}

/// Whether an operation surely made a record, and did not only see the version that somebody else
/// had written. A booking that was confirmed or cancelled more than once may owe it to any of those
/// calls: then none of them counts as its author.
fn wrote(operation: &Operation, record: &AuditRecord, repeated: &HashSet<(&str, &str)>) -> bool {
    if operation.outcome != Outcome::Ok {
        return false;
    }
    let name = operation.action.name();
    match &operation.action {
        Action::Reserve { .. } => {
            operation.seen.booking.as_deref() == Some(record.booking.as_str())
                && record.from.is_none()
        }
        Action::Confirm { booking } => {
            **booking == *record.booking
                && record.to == BookingStatus::Confirmed
                && !repeated.contains(&(name, booking))
        }
        Action::Cancel { booking } => {
            **booking == *record.booking
                && record.to == BookingStatus::Cancelled
                && !repeated.contains(&(name, booking))
        }
        Action::Read | Action::Resize { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingRow, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, read, record, reserve, row, sold_out},
        invariants::only,
    };

    fn verdict(records: Vec<AuditRecord>, version: i64, rows: Vec<BookingRow>) -> Verdict {
        let mut end = end(9, 8, rows);
        end.slots[0].version = version;
        only(&Case { audit: Some(records), end: Some(end), ..case(9, vec![]) }, Invariant::OneOrder)
            .verdict
    }

    fn life() -> Vec<AuditRecord> {
        vec![
            record(1, "a", None, BookingStatus::Pending, 1),
            record(2, "a", Some(BookingStatus::Pending), BookingStatus::Confirmed, 1),
        ]
    }

    #[test]
    fn a_log_without_gaps_that_ends_in_the_rows_is_upheld() {
        assert_eq!(
            verdict(life(), 2, vec![row("a", BookingStatus::Confirmed, 1)]),
            Verdict::Upheld
        );
    }

    #[test]
    fn gaps_missing_ends_and_disagreeing_rows_are_convicted() {
        let row = |status| vec![row("a", status, 1)];
        assert_eq!(
            verdict(life(), 3, row(BookingStatus::Confirmed)),
            Verdict::Violated,
            "the end is missing"
        );
        assert_eq!(
            verdict(life()[1..].to_vec(), 2, row(BookingStatus::Confirmed)),
            Verdict::Violated,
            "a gap"
        );
        assert_eq!(
            verdict(life(), 2, row(BookingStatus::Cancelled)),
            Verdict::Violated,
            "another end"
        );
        assert_eq!(verdict(life(), 2, vec![]), Verdict::Violated, "no row");
        assert_eq!(verdict(vec![], 0, row(BookingStatus::Pending)), Verdict::Violated, "no record");
    }

    /// Two bookings of a slot of two seats, and what clients were told about it.
    fn told(operations: Vec<(i64, Operation)>) -> Verdict {
        let left = |mut record: AuditRecord, available| {
            record.available = available;
            record
        };
        let log = vec![
            left(record(1, "a", None, BookingStatus::Pending, 1), 1),
            left(record(2, "b", None, BookingStatus::Pending, 1), 0),
        ];
        let versioned = |(version, mut operation): (i64, Operation)| {
            operation.seen.version = Some(version);
            operation
        };
        let operations = operations.into_iter().map(versioned).collect();
        only(&Case { audit: Some(log), ..case(2, operations) }, Invariant::OneOrder).verdict
    }

    #[test]
    fn answers_that_fit_the_log_in_real_time_are_upheld() {
        let (a, b) = ((1, reserve("a", 1, 0, 10)), (2, reserve("b", 1, 5, 20)));
        assert_eq!(
            told(vec![a.clone(), b.clone(), (2, sold_out(1, 15, 30)), (0, read(2, 0, 4))]),
            Verdict::Upheld
        );
        assert_eq!(
            told(vec![a.clone(), b.clone(), (1, read(1, 2, 90))]),
            Verdict::Upheld,
            "it overlaps both"
        );
        assert_eq!(told(vec![a, b.clone(), b]), Verdict::Upheld, "a receipt that is shown again");
    }

    #[test]
    fn answers_that_contradict_the_log_or_real_time_are_convicted() {
        let (a, b) = ((1, reserve("a", 1, 0, 10)), (2, reserve("b", 1, 5, 20)));
        assert_eq!(
            told(vec![a.clone(), (1, read(2, 15, 30))]),
            Verdict::Violated,
            "other seats than the log's"
        );
        assert_eq!(
            told(vec![a.clone(), (3, read(0, 15, 30))]),
            Verdict::Violated,
            "a version that is not in the log"
        );
        assert_eq!(
            told(vec![a.clone(), b.clone(), (1, read(1, 25, 30))]),
            Verdict::Violated,
            "a stale read"
        );
        assert_eq!(
            told(vec![(1, reserve("a", 1, 50, 60)), b]),
            Verdict::Violated,
            "the log turns two reserves round"
        );
    }
}
