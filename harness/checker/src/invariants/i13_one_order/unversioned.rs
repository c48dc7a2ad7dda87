//! I13 with an audit log, for answers that carry no version: each must have a place in the order of
//! the log.
//!
//! A place is the slot after so many records. The answers with versions, and those to changes that
//! have a record, have their places. Each other one needs a place at which what it says is true:
//! not before any answer that had returned when it was sent, and not after any that was sent when
//! it had returned. In the order of sending each takes the first place that is left to it. Later
//! places for some would only leave fewer for others, so if one finds none there is none.

use std::{cmp::Reverse, collections::BinaryHeap};

use foldhash::HashMap;
use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::{BookingStatus, Outcome, Witness};

use super::{
    super::{Count, Evidence, i10_session_order::versions, witness},
    by_log::{change_of, wrote},
};
use crate::{audit::SlotLedger, slot_evidence::SlotEvidence};

/// An answer whose place the log gives.
#[derive(Debug, Clone, Copy)]
struct Fixed {
    sent_ns: u64,
    returned_ns: u64,
    /// Records before it, its own included.
    place: usize,
    /// Whether one of them is its own.
    wrote: bool,
}

/// What an answer without a version says of the slot.
#[derive(Debug, Clone, Copy)]
enum Says {
    FewerThan(i64),
    Numbers { available: Option<i64>, pending: Option<i64>, confirmed: Option<i64> },
}

pub(super) fn check(
    evidence: &Evidence<'_>,
    slot: &SlotEvidence<'_>,
    log: Option<&SlotLedger<'_>>,
    count: &mut Count,
) {
    let here =
        |operation: &OperationRef<'_>| operation.moves_to().is_none_or(|to| *to == *slot.name);
    let unversioned = || {
        slot.operations.iter().filter(|(_, operation)| {
            operation.seen.version.is_none()
                && slot.freshness.is_fresh(operation)
                && here(operation)
        })
    };
    let answers = unversioned().filter(|(_, operation)| change_of(operation).is_none());
    let mut answers: Vec<(usize, u64, Says)> = answers
        .filter_map(|(index, operation)| {
            Some((index, operation.sent_ns, says(evidence, index, operation)?))
        })
        .collect();
    if answers.is_empty() {
        return;
    }
    let fixed = fixed(slot, log, unversioned());
    let bounds = Bounds::of(fixed);
    answers.sort_by_key(|(_, sent_ns, _)| *sent_ns);
    // Answers that have a place, by their return; and the last place of those that had returned.
    let mut placed: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut after = 0;
    let last = log.map_or(0, SlotLedger::len);
    for (index, _, says) in answers {
        let operation = evidence.case.history.operations.at(index);
        count.examine();
        while let Some(Reverse((returned_ns, place))) = placed.peek().copied() {
            if returned_ns >= operation.sent_ns {
                break;
            }
            after = after.max(place);
            placed.pop();
        }
        let from = bounds.not_before(operation.sent_ns).max(after);
        let to = bounds.not_after(operation.returned_ns).min(last);
        match (from..=to).find(|place| is_true(slot, log, *place, operation, says)) {
            Some(place) => placed.push(Reverse((operation.returned_ns, place))),
            None => count.violation(|| Witness {
                operations: evidence.show([index]),
                ..witness(
                    slot.name,
                    format!(
                        "line {}: what the answer says of the slot is true at no place of the audit \
                         log that fits its call",
                        evidence.written.line_of(index)
                    ),
                )
            }),
        }
    }
}

fn says(evidence: &Evidence<'_>, index: usize, operation: OperationRef<'_>) -> Option<Says> {
    let seen = &operation.seen;
    let numbers = [seen.available, seen.pending, seen.confirmed];
    match (operation.action, operation.outcome) {
        (_, Outcome::SoldOut) if evidence.elsewhere.excused.contains(&index) => None,
        (ActionRef::Reserve { seats, .. }, Outcome::SoldOut) if seen.available.is_none() => {
            let wanted = evidence.elsewhere.wanted.get(&index).copied();
            Some(Says::FewerThan(wanted.map_or(i64::from(seats), i64::from)))
        }
        _ if numbers == [None; 3] => None,
        _ => {
            let [available, pending, confirmed] = numbers;
            Some(Says::Numbers { available, pending, confirmed })
        }
    }
}

/// The answers whose places are known: those with versions, and those to changes on record.
fn fixed<'a>(
    slot: &SlotEvidence<'_>,
    log: Option<&SlotLedger<'_>>,
    unversioned: impl Iterator<Item = (usize, OperationRef<'a>)>,
) -> Vec<Fixed> {
    let Some(log) = log else { return Vec::new() };
    let at = |operation: &OperationRef<'_>, place: usize, wrote: bool| Fixed {
        sent_ns: operation.sent_ns,
        returned_ns: operation.returned_ns,
        place,
        wrote,
    };
    let versioned = versions(slot).map(|(_, operation, version)| {
        let own = log.at_version(version).is_some_and(|entry| wrote(&operation, entry.record));
        at(&operation, log.records_through(version), own)
    });
    let mut fixed: Vec<Fixed> = versioned.collect();
    let mut changes = unversioned.filter(|(_, it)| change_of(it).is_some()).peekable();
    if changes.peek().is_none() {
        return fixed;
    }
    let mut places: HashMap<(&str, BookingStatus), usize> = HashMap::default();
    for (place, entry) in log.entries().enumerate() {
        let made = entry.record.from.is_none() && entry.record.to.takes_seats();
        let to = if made { BookingStatus::Pending } else { entry.record.to };
        places.insert((&entry.record.booking, to), place + 1);
    }
    let on_record = |(_, operation): (usize, OperationRef<'_>)| {
        let place = places.get(&change_of(&operation)?)?;
        Some(at(&operation, *place, true))
    };
    fixed.extend(changes.filter_map(on_record));
    fixed
}

/// The places that answers leave to others.
struct Bounds {
    /// By return: the last place of those that had returned.
    returned: Vec<(u64, usize)>,
    /// By sending: the first place that those sent later leave.
    sent: Vec<(u64, usize)>,
}

impl Bounds {
    fn of(fixed: Vec<Fixed>) -> Self {
        let mut returned: Vec<_> = fixed.iter().map(|it| (it.returned_ns, it.place)).collect();
        let leaves = |it: &Fixed| (it.sent_ns, it.place - usize::from(it.wrote));
        let mut sent: Vec<_> = fixed.iter().map(leaves).collect();
        returned.sort_unstable();
        sent.sort_unstable();
        let mut last = 0;
        for (_, place) in &mut returned {
            last = last.max(*place);
            *place = last;
        }
        let mut first = usize::MAX;
        for (_, place) in sent.iter_mut().rev() {
            first = first.min(*place);
            *place = first;
        }
        Self { returned, sent }
    }

    /// No earlier place is left to an answer that was sent at an instant.
    fn not_before(&self, sent_ns: u64) -> usize {
        let known = self.returned.partition_point(|(returned_ns, _)| *returned_ns < sent_ns);
        known.checked_sub(1).map_or(0, |known| self.returned[known].1)
    }

    /// No later place is left to an answer that returned at an instant.
    fn not_after(&self, returned_ns: u64) -> usize {
        let known = self.sent.partition_point(|(sent_ns, _)| *sent_ns <= returned_ns);
        self.sent.get(known).map_or(usize::MAX, |(_, place)| *place)
    }
}

/// Whether an answer is true of the slot after so many records.
fn is_true(
    slot: &SlotEvidence<'_>,
    log: Option<&SlotLedger<'_>>,
    records: usize,
    operation: OperationRef<'_>,
    says: Says,
) -> bool {
    let (record, taken, confirmed) = log.map_or((None, 0, 0), |log| log.after(records));
    let left = record.map_or(slot.capacity.at_first(), |record| record.available);
    let (from_ns, to_ns) = (operation.sent_ns, operation.returned_ns);
    match says {
        Says::FewerThan(seats) => {
            // A resize that the log does not show may have left fewer.
            let fewest = slot.capacity.within(from_ns, to_ns).0 - taken;
            left < seats || (slot.capacity.may_change() && fewest < seats)
        }
        Says::Numbers { available, pending, confirmed: said } => {
            let fits = |free: i64| {
                free == left
                    || (left < 0 && free == 0)
                    || (slot.capacity.may_change()
                        && slot.capacity.may_be(free + taken, from_ns, to_ns))
            };
            available.is_none_or(fits)
                && pending.is_none_or(|seats| seats == taken - confirmed)
                && said.is_none_or(|seats| seats == confirmed)
        }
    }
}
