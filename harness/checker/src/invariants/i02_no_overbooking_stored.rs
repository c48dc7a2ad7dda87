//! I2: never more seats taken than the slot has, at any prefix of the audit log and in the final
//! rows.
//!
//! Exact, and from the service's own mouth: the log's records are replayed in the order of the
//! slot's versions, and the seats of the bookings that then take seats are summed.

use std::collections::BTreeMap;

use slotproof_vocabulary::{AuditRecord, BookingRow, Finding, Invariant, Witness};

use super::{Count, Evidence, fewest_beyond, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    if evidence.case.audit.is_none() && evidence.case.end.is_none() {
        return None;
    }
    let mut count = Count::new(Invariant::NoOverbookingStored);
    let mut most: Option<(i64, i64)> = None;
    for (slot, records) in by_slot(evidence) {
        let capacity = evidence.case.capacity_of(slot);
        replay(slot, &records, capacity, &mut count, &mut most);
    }
    for (slot, rows) in rows_by_slot(evidence) {
        let capacity = evidence.case.capacity_of(slot);
        count.examine();
        let taken: i64 = rows.iter().map(|row| row.seats).sum();
        if taken > capacity {
            most = most.max(Some((taken, capacity)));
            count.violation(|| {
                let fewest =
                    fewest_beyond(rows.iter().map(|row| (row.seats, *row)).collect(), capacity);
                let explanation =
                    format!("these rows take more seats than the {capacity} that the slot has");
                Witness {
                    rows: fewest.into_iter().cloned().collect(),
                    ..witness(slot, explanation)
                }
            });
        }
    }
    Some(count.finding(
        |examined| format!("seats never exceeded the capacity at {examined} records and rows"),
        |violations, examined| {
            let (taken, capacity) = most.unwrap_or_default();
            format!("{taken} seats were taken at once in a slot of {capacity}; {violations} of {examined} records and rows are beyond")
        },
    ))
}

/// The log of each slot, in the order of versions.
pub(super) fn by_slot<'a>(evidence: &Evidence<'a>) -> BTreeMap<&'a str, Vec<&'a AuditRecord>> {
    let mut slots: BTreeMap<&str, Vec<&AuditRecord>> = BTreeMap::new();
    for record in evidence.case.audit.iter().flatten() {
        slots.entry(&record.slot).or_default().push(record);
    }
    for records in slots.values_mut() {
        records.sort_by_key(|record| record.version);
    }
    slots
}

/// The rows that take seats, by slot.
pub(super) fn rows_by_slot<'a>(evidence: &Evidence<'a>) -> BTreeMap<&'a str, Vec<&'a BookingRow>> {
    let mut slots: BTreeMap<&str, Vec<&BookingRow>> = BTreeMap::new();
    for slot in evidence.case.end.iter().flat_map(|end| &end.slots) {
        slots.entry(&slot.slot).or_default();
    }
    for row in evidence
        .case
        .end
        .iter()
        .flat_map(|end| &end.bookings)
        .filter(|row| row.status.takes_seats())
    {
        slots.entry(&row.slot).or_default().push(row);
    }
    slots
}

fn replay(
    slot: &str,
    records: &[&AuditRecord],
    capacity: i64,
    count: &mut Count,
    most: &mut Option<(i64, i64)>,
) {
    let mut live: BTreeMap<&str, &AuditRecord> = BTreeMap::new();
    let mut taken = 0;
    for record in records {
        count.examine();
        let before = live.remove(record.booking.as_str());
        taken -= before.map_or(0, |record| record.seats);
        if record.to.takes_seats() {
            live.insert(&record.booking, record);
            taken += record.seats;
        }
        if taken > capacity && record.to.takes_seats() {
            *most = (*most).max(Some((taken, capacity)));
            count.violation(|| {
                let fewest = fewest_beyond(live.values().map(|record| (record.seats, *record)).collect(), capacity);
                let mut records: Vec<AuditRecord> = fewest.into_iter().cloned().collect();
                records.sort_by_key(|record| record.version);
                let explanation = format!(
                    "by the service's own log these bookings all took seats at version {}; the slot has {capacity}",
                    record.version
                );
                Witness { records, ..witness(slot, explanation) }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, record, row},
        invariants::only,
    };

    fn logged(capacity: i64, records: Vec<AuditRecord>) -> Finding {
        only(
            &Case { audit: Some(records), ..case(capacity, vec![]) },
            Invariant::NoOverbookingStored,
        )
    }

    #[test]
    fn a_log_within_the_capacity_is_upheld() {
        let records = vec![
            record(1, "a", None, BookingStatus::Pending, 1),
            record(2, "a", Some(BookingStatus::Pending), BookingStatus::Confirmed, 1),
            record(3, "a", Some(BookingStatus::Confirmed), BookingStatus::Cancelled, 1),
            record(4, "b", None, BookingStatus::Pending, 1),
        ];
        assert_eq!(logged(1, records).verdict, Verdict::Upheld);
    }

    #[test]
    fn a_prefix_beyond_the_capacity_is_convicted_even_if_the_end_is_not() {
        let records = vec![
            record(3, "a", Some(BookingStatus::Pending), BookingStatus::Cancelled, 1),
            record(1, "a", None, BookingStatus::Pending, 1),
            record(2, "b", None, BookingStatus::Pending, 1),
        ];
        let finding = logged(1, records);
        assert_eq!((finding.verdict, finding.violations), (Verdict::Violated, 1));
        assert_eq!(finding.witness.expect("it is shown").records.len(), 2);
    }

    #[test]
    fn final_rows_beyond_the_capacity_are_convicted() {
        let rows = |status| vec![row("a", BookingStatus::Confirmed, 1), row("b", status, 1)];
        let judged = |status| {
            only(
                &Case { end: Some(end(1, 0, rows(status))), ..case(1, vec![]) },
                Invariant::NoOverbookingStored,
            )
            .verdict
        };
        assert_eq!(judged(BookingStatus::Cancelled), Verdict::Upheld);
        assert_eq!(judged(BookingStatus::Pending), Verdict::Violated);
    }
}
