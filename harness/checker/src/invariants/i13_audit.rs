//! I13: the audit log has no gap, and replays to the final rows.
//!
//! The versions of a slot's records are 1, 2, 3 and so on; the last one is the version in the slot's row; and each booking's
//! last record agrees with its row. That the log also respects real time is not judged yet.

use std::collections::BTreeMap;

use slotproof_vocabulary::{AuditRecord, Finding, Invariant, Witness};

use super::{Count, Evidence, i02_taken::by_slot, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    evidence.case.audit.as_ref()?;
    let mut count = Count::new(Invariant::I13);
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
    Some(count.finding(
        |examined| format!("{examined} records and rows agree, and no version is missing"),
        |violations, examined| format!("{violations} of {examined} records and rows disagree"),
    ))
}

fn check_rows(evidence: &Evidence<'_>, slots: &BTreeMap<&str, Vec<&AuditRecord>>, count: &mut Count) {
    let Some(end) = &evidence.case.end else { return };
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
                    format!("the slot's row is at version {}, and its log ends at {last}", row.version),
                )
            });
        }
    }
    let mut last: BTreeMap<&str, &AuditRecord> =
        slots.values().flatten().map(|record| (record.booking.as_str(), *record)).collect();
    for row in &end.bookings {
        count.examine();
        let record = last.remove(row.booking.as_str());
        if record.is_none_or(|record| record.to != row.status || record.seats != row.seats) {
            count.violation(|| Witness {
                records: record.cloned().into_iter().collect(),
                rows: vec![row.clone()],
                ..witness(&row.slot, format!("the log of booking {} does not end in its row", row.booking))
            });
        }
    }
    if let Some(record) = last.into_values().next() {
        count.violation(|| Witness {
            records: vec![record.clone()],
            ..witness(&record.slot, format!("booking {} is in the log and has no row", record.booking))
        });
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingRow, BookingStatus, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, record, row},
        invariants::only,
    };

    fn verdict(records: Vec<AuditRecord>, version: i64, rows: Vec<BookingRow>) -> Verdict {
        let mut end = end(9, 8, rows);
        end.slots[0].version = version;
        only(&Case { audit: Some(records), end: Some(end), ..case(9, vec![]) }, Invariant::I13).verdict
    }

    fn life() -> Vec<AuditRecord> {
        vec![
            record(1, "a", None, BookingStatus::Pending, 1),
            record(2, "a", Some(BookingStatus::Pending), BookingStatus::Confirmed, 1),
        ]
    }

    #[test]
    fn a_log_without_gaps_that_ends_in_the_rows_is_upheld() {
        assert_eq!(verdict(life(), 2, vec![row("a", BookingStatus::Confirmed, 1)]), Verdict::Upheld);
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
        assert_eq!(verdict(life(), 2, row(BookingStatus::Cancelled)), Verdict::Violated, "another end");
        assert_eq!(verdict(life(), 2, vec![]), Verdict::Violated, "no row");
        assert_eq!(verdict(vec![], 0, row(BookingStatus::Pending)), Verdict::Violated, "no record");
    }
}
