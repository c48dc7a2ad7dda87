//! I6: a booking's lifecycle is lawful: pending, then confirmed or expired; cancelled from pending
//! or confirmed; and it ends once.
//!
//! Exact on the audit log: each record must start from the status in which the booking's last
//! record left it, in the same slot and with the same seats.

use slotproof_vocabulary::{AuditRecord, BookingStatus, Finding, Invariant, Witness};

use super::{Count, Evidence, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let ledger = evidence.ledger.as_ref()?;
    let mut count = Count::new(Invariant::LawfulLifecycle);
    for slot in ledger.slots() {
        for entry in slot.entries() {
            count.examine();
            let Some(fault) = fault(entry.before, entry.record) else { continue };
            count.violation(|| Witness {
                records: entry.before.into_iter().chain([entry.record]).cloned().collect(),
                ..witness(slot.name(), format!("booking {}: {fault}", entry.record.booking))
            });
        }
    }
    check_answers(evidence, &mut count);
    Some(count.finding(
        |examined| format!("all {examined} state transitions are legal"),
        |violations, examined| format!("{violations} of {examined} state transitions are illegal"),
    ))
}

/// What is wrong with a record that follows another one of its booking.
fn fault(before: Option<&AuditRecord>, record: &AuditRecord) -> Option<String> {
    let was = before.map(|before| before.to);
    if !allowed(was, record.to) {
        return Some(format!("illegal transition {} -> {}", name(was), record.to.name()));
    }
    if record.from != was {
        return Some(format!(
            "its record says {} -> {}, and it was {}",
            name(record.from),
            record.to.name(),
            name(was)
        ));
    }
    if record.seats <= 0 {
        return Some(format!("its record says {} seats", record.seats));
    }
    let before = before?;
    if before.seats != record.seats {
        return Some(format!("its seats change from {} to {}", before.seats, record.seats));
    }
    (before.slot != record.slot)
        .then(|| format!("its slot changes from {} to {}", before.slot, record.slot))
}

fn name(status: Option<BookingStatus>) -> &'static str {
    status.map_or("new", BookingStatus::name)
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
                    format!(
                        "booking {}: a confirm was sent after its cancel had been acknowledged, \
                         and was acknowledged too",
                        held.booking
                    ),
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
        fixture::{case, only, record},
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
