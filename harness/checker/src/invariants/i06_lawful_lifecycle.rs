//! I6: a booking lives one life: pending, then confirmed or expired; cancelled from pending or
//! confirmed; and never two ends.
//!
//! Exact on the audit log: each record must start where the booking's last one ended, in the same
//! slot and with its seats.

use std::collections::BTreeMap;

use slotproof_vocabulary::{AuditRecord, BookingStatus, Finding, Invariant, Witness};

use super::{Count, Evidence, i02_no_overbooking_stored::by_slot, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    evidence.case.audit.as_ref()?;
    let mut count = Count::new(Invariant::LawfulLifecycle);
    let mut lives: BTreeMap<&str, &AuditRecord> = BTreeMap::new();
    for (slot, records) in by_slot(evidence) {
        for record in records {
            count.examine();
            let last = lives.insert(&record.booking, record);
            let same_seats =
                last.is_none_or(|last| last.seats == record.seats && last.slot == record.slot);
            let steps = record.from == last.map(|last| last.to) && allowed(record.from, record.to);
            let lawful = steps && same_seats && record.seats > 0;
            if !lawful {
                count.violation(|| Witness {
                    records: last.into_iter().chain([record]).cloned().collect(),
                    ..witness(slot, format!("booking {} cannot go this way", record.booking))
                });
            }
        }
    }
    check_answers(evidence, &mut count);
    Some(count.finding(
        |examined| format!("all {examined} changes of state were lawful"),
        |violations, examined| {
            format!("{violations} of {examined} changes of state were not lawful")
        },
    ))
}

/// A confirm that was sent after a cancel had been acknowledged cannot be acknowledged.
fn check_answers(evidence: &Evidence<'_>, count: &mut Count) {
    let operations = &evidence.case.history.operations;
    for held in evidence.held_intervals() {
        let (Some(confirmed), Some(cancelled)) = (held.confirmed, held.cancelled) else {
            continue;
        };
        count.examine();
        if operations[confirmed].sent_ns > operations[cancelled].returned_ns {
            count.violation(|| Witness {
                operations: evidence.case.history.show([cancelled, confirmed]),
                ..witness(
                    held.slot,
                    format!("booking {} was confirmed after it had been cancelled", held.booking),
                )
            });
        }
    }
}

fn allowed(from: Option<BookingStatus>, to: BookingStatus) -> bool {
    use BookingStatus::{Cancelled, Confirmed, Expired, Failed, Pending};
    match (from, to) {
        (None, Pending | Failed) => true,
        (Some(Pending), Confirmed | Cancelled | Expired | Failed) => true,
        (Some(Confirmed), Cancelled) => true,
        (_, Pending | Confirmed | Cancelled | Expired | Failed) => false,
    }
}

#[cfg(test)]
mod tests {
    use BookingStatus::{Cancelled, Confirmed, Expired, Pending};
    use slotproof_vocabulary::Verdict;

    use super::*;
    use crate::{
        Case,
        fixture::{case, record},
        invariants::only,
    };

    fn life(steps: &[(Option<BookingStatus>, BookingStatus)]) -> Verdict {
        let records = steps
            .iter()
            .zip(1..)
            .map(|((from, to), version)| record(version, "a", *from, *to, 1))
            .collect();
        only(&Case { audit: Some(records), ..case(9, vec![]) }, Invariant::LawfulLifecycle).verdict
    }

    #[test]
    fn a_booking_lives_one_life() {
        assert_eq!(
            life(&[(None, Pending), (Some(Pending), Confirmed), (Some(Confirmed), Cancelled)]),
            Verdict::Upheld
        );
        assert_eq!(life(&[(None, Pending), (Some(Pending), Expired)]), Verdict::Upheld);
    }

    #[test]
    fn two_ends_a_second_birth_and_a_jump_are_not_lawful() {
        assert_eq!(
            life(&[(None, Pending), (Some(Pending), Expired), (Some(Pending), Confirmed)]),
            Verdict::Violated
        );
        assert_eq!(
            life(&[(None, Pending), (Some(Pending), Cancelled), (Some(Cancelled), Cancelled)]),
            Verdict::Violated
        );
        assert_eq!(life(&[(None, Pending), (None, Pending)]), Verdict::Violated);
        assert_eq!(life(&[(None, Confirmed)]), Verdict::Violated);
        assert_eq!(
            life(&[(None, Pending), (Some(Pending), Confirmed), (Some(Confirmed), Expired)]),
            Verdict::Violated
        );
    }
}
