//! The capacity of a slot at each record of its log, where clients may have resized the slot.
//!
//! The log has records of bookings and none of resizes, so it does not say at which version the
//! capacity changed. Three facts bound it.
//!
//! 1. *When a record was committed.* The record that made a booking was committed during the
//!    reserve that was told of it. Versions are in the order of commits, so every record was
//!    committed after the latest reserve before it was sent, and before the earliest one after it
//!    had returned. That is the record's span. (If a span ends before it begins the log contradicts
//!    real time, which I13 reports; then nothing is known of any span in the slot.)
//! 2. *Which capacities were possible then.* `capacity.rs` says which capacity the slot can have
//!    had at each instant. In every order of events, the capacity at a record is one that was
//!    possible at some instant of its span.
//! 3. *What the record claims.* It says how many seats were available; with the seats taken, that
//!    is a capacity. Each time the claimed capacity changes, a resize to the new one took effect
//!    between the two records, and a resize takes effect once. Resizes are assigned to changes in
//!    the order of versions, each time the one that returned first of those that are possible. Both
//!    ends of the spans only rise, so this assigns all changes whenever any assignment does.
//!
//! A claim is accepted if its capacity was possible during the span and its change has a resize.
//!
//! *No false alarm.* A lawful log claims the true capacity at each record. That one was possible
//! during the span, and the resizes that took effect are an assignment, so every claim is accepted.
//!
//! *No wrong upheld.* The capacity at a record whose claim is accepted is the claimed one: there is
//! an order of resizes and records with it, in the sense in which I13 accepts an order. A record
//! whose claim is not accepted violates I7. For I2 its capacity is only known to lie between the
//! fewest and the most seats that were possible during the span: more taken than the most is an
//! overbooking in every order; more than the fewest is not decided, and makes the finding unknown.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use slotproof_history::ActionRef;
use slotproof_vocabulary::{AuditRecord, Outcome};

use crate::slot_evidence::SlotEvidence;

/// What is known of the capacity at a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CapacityClaim {
    /// The claimed capacity is possible.
    Possible,
    /// It is not; the true one lies between these.
    Impossible {
        /// The fewest seats that the slot can have had.
        least: i64,
        /// The most.
        most: i64,
    },
}

/// The claim of each record of a slot, given with the seats taken after it.
pub(super) fn capacity_claims<'a>(
    slot: &SlotEvidence<'_>,
    changes: impl Iterator<Item = (&'a AuditRecord, i64)> + Clone,
) -> Vec<CapacityClaim> {
    let spans = spans(slot, changes.clone().map(|(record, _)| record));
    let mut resizes = Resizes::of(slot);
    let mut current = slot.capacity.at_first();
    let mut previous_from_ns = 0;
    let claims = changes.zip(spans).map(|((record, taken), Span { from_ns, to_ns })| {
        let claimed = record.available + taken;
        let possible = slot.capacity.may_be(claimed, from_ns, to_ns)
            && (claimed == current || resizes.use_one(claimed, previous_from_ns, to_ns));
        previous_from_ns = from_ns;
        if possible {
            current = claimed;
            return CapacityClaim::Possible;
        }
        let (least, most) = slot.capacity.within(from_ns, to_ns);
        CapacityClaim::Impossible { least, most }
    });
    claims.collect()
}

/// When a record was committed: at some instant of [from, to].
#[derive(Debug, Clone, Copy)]
struct Span {
    from_ns: u64,
    to_ns: u64,
}

impl Span {
    const UNKNOWN: Self = Self { from_ns: 0, to_ns: u64::MAX };
}

fn spans<'a>(slot: &SlotEvidence<'_>, records: impl Iterator<Item = &'a AuditRecord>) -> Vec<Span> {
    let reserves: HashMap<&str, Span> = slot
        .held_intervals
        .iter()
        .map(|held| {
            let (from_ns, to_ns) = held.reserved_within();
            (held.booking.text(), Span { from_ns, to_ns })
        })
        .collect();
    let own = |record: &AuditRecord| {
        let made = reserves.get(record.booking.as_str()).filter(|_| record.from.is_none());
        made.copied().unwrap_or(Span::UNKNOWN)
    };
    let mut spans: Vec<Span> = records.map(own).collect();
    let mut latest_ns = 0;
    for span in &mut spans {
        latest_ns = span.from_ns.max(latest_ns);
        span.from_ns = latest_ns;
    }
    let mut earliest_ns = u64::MAX;
    for span in spans.iter_mut().rev() {
        earliest_ns = span.to_ns.min(earliest_ns);
        span.to_ns = earliest_ns;
    }
    if spans.iter().any(|span| span.from_ns > span.to_ns) {
        spans.fill(Span::UNKNOWN);
    }
    spans
}

/// Resizes that have not been assigned to a change of the capacity: for each capacity, by when they
/// returned.
struct Resizes(BTreeMap<i64, BTreeSet<ResizeCall>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ResizeCall {
    returned_ns: u64,
    sent_ns: u64,
    index: usize,
}

impl Resizes {
    fn of(slot: &SlotEvidence<'_>) -> Self {
        let mut resizes: BTreeMap<i64, BTreeSet<ResizeCall>> = BTreeMap::new();
        for (index, operation) in slot.operations.iter() {
            let ActionRef::Resize { capacity } = operation.action else { continue };
            let returned_ns = match operation.outcome {
                Outcome::Ok => operation.returned_ns,
                Outcome::Unknown => u64::MAX,
                Outcome::SoldOut | Outcome::Rejected | Outcome::Throttled => continue,
            };
            let call = ResizeCall { returned_ns, sent_ns: operation.sent_ns, index };
            resizes.entry(capacity.into()).or_default().insert(call);
        }
        Self(resizes)
    }

    /// Assigns the resize to a capacity that returned first of those in flight at some instant of
    /// [from, to].
    fn use_one(&mut self, capacity: i64, from_ns: u64, to_ns: u64) -> bool {
        let Some(calls) = self.0.get_mut(&capacity) else { return false };
        let earliest = ResizeCall { returned_ns: from_ns, sent_ns: 0, index: 0 };
        let call = calls.range(earliest..).find(|call| call.sent_ns <= to_ns).copied();
        call.is_some_and(|call| calls.remove(&call))
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus::Pending, Operation};

    use super::*;
    use crate::{
        audit::Ledger,
        fixture::{case, left, record, reserve, resize, unknown},
        slot_evidence,
    };

    /// For each record of bookings of one seat: the capacity that the slot can have had, and
    /// whether the record adds up.
    fn capacities(
        at_first: i64,
        operations: Vec<Operation>,
        available: &[i64],
    ) -> Vec<(i64, i64, bool)> {
        let case = case(at_first, operations);
        let log: Vec<AuditRecord> = (1..)
            .zip(available)
            .map(|(version, available)| {
                left(record(version, &format!("b{version}"), None, Pending, 1), *available)
            })
            .collect();
        let evidence = slot_evidence::of(&case);
        let ledger = Ledger::of_slots(&log, &evidence, |name| case.capacity_of(name));
        let entries = ledger.slots()[0].entries();
        entries
            .map(|entry| (*entry.capacity.start(), *entry.capacity.end(), entry.adds_up))
            .collect()
    }

    #[test]
    fn a_claim_of_a_capacity_that_was_asked_for_is_accepted() {
        let grown = vec![reserve("b1", 1, 0, 10), resize(3, 20, 30), reserve("b2", 1, 15, 40)];
        assert_eq!(capacities(2, grown.clone(), &[1, 1]), [(2, 2, true), (3, 3, true)]);
        assert_eq!(
            capacities(2, grown, &[1, 0]),
            [(2, 2, true), (2, 2, true)],
            "the reserve may have come before the resize"
        );
        let shrunk = vec![reserve("b1", 1, 0, 10), resize(2, 20, 30), reserve("b2", 1, 15, 40)];
        assert_eq!(capacities(5, shrunk, &[4, 0]), [(5, 5, true), (2, 2, true)]);
    }

    #[test]
    fn a_claim_of_another_capacity_or_at_another_time_is_not() {
        let grown = |sent_ns, returned_ns| {
            vec![reserve("b1", 1, 0, 10), resize(3, 20, 30), reserve("b2", 1, sent_ns, returned_ns)]
        };
        assert_eq!(capacities(2, grown(15, 40), &[1, 2])[1], (2, 3, false), "4 seats");
        assert_eq!(capacities(1, grown(15, 40), &[0, 0])[1], (1, 3, false), "2 of 1 or 3");
        assert_eq!(capacities(2, grown(12, 18), &[1, 1])[1], (2, 2, false), "not asked for yet");
        assert_eq!(capacities(2, grown(35, 40), &[1, 0])[1], (3, 3, false), "no longer in force");
    }

    #[test]
    fn each_change_of_the_claimed_capacity_needs_a_resize_of_its_own() {
        let reserves = |count| (1..=count).map(|n| reserve(&format!("b{n}"), 1, 0, 100));
        let operations = |resizes: Vec<Operation>| reserves(4).chain(resizes).collect::<Vec<_>>();
        let swinging = [4, 4, 2, 2];
        let claims = |resizes| -> Vec<bool> {
            capacities(5, operations(resizes), &swinging).iter().map(|claim| claim.2).collect()
        };
        assert_eq!(
            claims(vec![resize(6, 0, 90), resize(5, 0, 90)]),
            [true, true, true, false],
            "5, 6, 5, and 6 again"
        );
        assert_eq!(
            claims(vec![resize(6, 0, 90), resize(5, 0, 90), unknown(resize(6, 0, 90))]),
            [true; 4]
        );
    }

    #[test]
    fn a_log_that_contradicts_real_time_says_nothing_of_when_its_records_were_committed() {
        let operations = vec![reserve("b1", 1, 60, 70), reserve("b2", 1, 0, 10), resize(3, 20, 30)];
        assert_eq!(capacities(2, operations, &[1, 1]), [(2, 2, true), (3, 3, true)]);
    }
}
