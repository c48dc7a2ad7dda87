//! I6: a booking's lifecycle is lawful: pending, then confirmed or expired; cancelled from pending
//! or confirmed; it ends once, and it does not expire before its hold has run out.
//!
//! Exact on the audit log: each record must start from the status in which the booking's last
//! record left it, in the same slot and with the same seats unless a client changed them. A hold
//! may be logged as expired, or stand so in the final rows, only if there is an instant for it at
//! which the hold had run out. A hold must last as long as the plan says, if it says so.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use slotproof_history::{ActionRef, Name};
use slotproof_vocabulary::{
    AuditRecord, BookingRow, BookingStatus, Finding, Invariant, Outcome, Witness,
};

use super::{Count, Evidence, witness};
use crate::{
    audit::{Instants, SlotLedger},
    held_interval::HeldInterval,
    slot_evidence::SlotEvidence,
};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut count = Count::new(Invariant::LawfulLifecycle);
    check_log(evidence, &mut count);
    check_rows(evidence, &mut count);
    check_answers(evidence, &mut count);
    check_holds(evidence, &mut count);
    finding(count, evidence)
}

/// What the answers of some slots say, and then what they say of holds.
pub(super) fn tally(evidence: &Evidence<'_>) -> [Count; 2] {
    let mut counts = [(); 2].map(|()| Count::new(Invariant::LawfulLifecycle));
    check_answers(evidence, &mut counts[0]);
    check_holds(evidence, &mut counts[1]);
    counts
}

pub(super) fn finding(count: Count, evidence: &Evidence<'_>) -> Option<Finding> {
    if count.examined == 0 && evidence.ledger.is_none() {
        return None;
    }
    Some(count.finding(
        |examined| format!("all {examined} state transitions and holds are legal"),
        |violations, examined| {
            format!("{violations} of {examined} state transitions and holds are illegal")
        },
    ))
}

fn check_log(evidence: &Evidence<'_>, count: &mut Count) {
    let Some(ledger) = &evidence.ledger else { return };
    let operations = evidence.case.history.operations.iter();
    let changed: HashSet<&str> = operations
        .filter(|operation| matches!(operation.action, ActionRef::Change { .. }))
        .filter_map(|it| it.names_booking())
        .map(Name::text)
        .collect();
    for slot in ledger.slots() {
        for entry in slot.entries() {
            count.examine();
            let may_change = changed.contains(entry.record.booking.as_str());
            let Some(fault) = fault(entry.before, entry.record, may_change) else { continue };
            count.violation(|| Witness {
                records: entry.before.into_iter().chain([entry.record]).cloned().collect(),
                ..witness(slot.name(), format!("booking {}: {fault}", entry.record.booking))
            });
        }
        if let Some(evidence_of_slot) = evidence.slot(slot.name()) {
            check_expiries(evidence, slot, evidence_of_slot, count);
        }
    }
}

/// The records that say that a hold ran out.
fn check_expiries(
    evidence: &Evidence<'_>,
    log: &SlotLedger<'_>,
    slot: &SlotEvidence<'_>,
    count: &mut Count,
) {
    let expired = |record: &AuditRecord| record.to == BookingStatus::Expired;
    if !log.entries().any(|entry| expired(entry.record)) {
        return;
    }
    let operations = &evidence.case.history.operations;
    // An acknowledged reserve wrote the version in its answer.
    let wrote = |index: usize| {
        let operation = operations.at(index);
        matches!(operation.action, ActionRef::Reserve { .. }) && operation.outcome == Outcome::Ok
    };
    let instants = Instants::of(slot, wrote);
    let holds: HashMap<&str, &HeldInterval<'_>> = slot
        .held_intervals
        .iter()
        .filter(|held| held.pieces.is_none() && held.is_hold)
        .map(|held| (held.booking.text(), held))
        .collect();
    let mut made: HashMap<&str, i64> = HashMap::default();
    for entry in log.entries() {
        let record = entry.record;
        if record.from.is_none() {
            made.insert(&record.booking, record.version);
        }
        if !expired(record) {
            continue;
        }
        let Some(held) = holds.get(record.booking.as_str()) else { continue };
        let Some(version) = made.get(record.booking.as_str()) else { continue };
        count.examine();
        // The log may say that the booking was made later than its own call shows.
        let made_ns = instants.not_before(*version).max(held.reserve_sent_ns);
        let over_ns = held.hold_over_ns.max(made_ns.saturating_add(held.hold_ns));
        let latest_ns = instants.not_after(record.version);
        if latest_ns < over_ns {
            count.violation(|| Witness {
                operations: evidence.show([held.reserve]),
                records: vec![record.clone()],
                ..witness(
                    slot.name,
                    format!(
                        "booking {}: it expired by {}, and its hold lasted until {}",
                        record.booking,
                        evidence.instant(latest_ns),
                        evidence.instant(over_ns)
                    ),
                )
            });
        }
    }
}

/// Rows that are expired before the hold can have run out.
fn check_rows(evidence: &Evidence<'_>, count: &mut Count) {
    let Some(end) = &evidence.case.end else { return };
    let rows: BTreeMap<&str, &BookingRow> = end
        .bookings
        .iter()
        .filter(|row| row.status == BookingStatus::Expired)
        .map(|row| (row.booking.as_str(), row))
        .collect();
    if rows.is_empty() {
        return;
    }
    let read_ns = end.read_ns.unwrap_or(u64::MAX);
    for held in evidence.bookings().filter(|held| held.pieces.is_none()) {
        let Some(row) = rows.get(held.booking.text()) else { continue };
        count.examine();
        let reason = if !held.is_hold {
            "its row is expired, and it was acknowledged without a hold".to_owned()
        } else if read_ns < held.hold_over_ns {
            format!(
                "its row is expired at {}, and its hold lasts until {}",
                evidence.instant(read_ns),
                evidence.instant(held.hold_over_ns)
            )
        } else {
            continue;
        };
        count.violation(|| Witness {
            operations: evidence.show([held.reserve]),
            rows: vec![(*row).clone()],
            ..witness(held.slot, format!("booking {}: {reason}", held.booking))
        });
    }
}

/// What clients are told of holds, against what the plan says.
fn check_holds(evidence: &Evidence<'_>, count: &mut Count) {
    let Some(plan_ms) = evidence.case.hold_ms else { return };
    for slot in &evidence.slots {
        for (index, operation) in slot.operations.iter() {
            let (ActionRef::Reserve { .. }, Some(hold_ms)) =
                (operation.action, operation.seen.hold_ms)
            else {
                continue;
            };
            if !slot.freshness.is_fresh(&operation) || operation.outcome != Outcome::Ok {
                continue;
            }
            count.examine();
            if hold_ms < plan_ms {
                count.violation(|| Witness {
                    operations: evidence.show([index]),
                    ..witness(
                        slot.name,
                        format!(
                            "the answer grants a hold of {hold_ms} ms; the plan says {plan_ms} ms"
                        ),
                    )
                });
            }
        }
    }
}

/// What is wrong with a record that follows another one of its booking.
fn fault(before: Option<&AuditRecord>, record: &AuditRecord, may_change: bool) -> Option<String> {
    let was = before.map(|before| before.to);
    let changed = may_change && was == Some(record.to) && record.to.takes_seats();
    if !allowed(was, record.to) && !changed {
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
    let before = before.filter(|_| !may_change)?;
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
    for held in evidence.bookings() {
        let (Some(confirmed), Some(cancelled)) = (held.confirmed, held.cancelled) else {
            continue;
        };
        count.examine();
        if operations.at(confirmed).sent_ns > operations.at(cancelled).returned_ns {
            count.violation(|| Witness {
                operations: evidence.show([cancelled, confirmed]),
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
