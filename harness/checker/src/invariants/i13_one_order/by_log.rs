//! I13 with an audit log: the log has no gap, replays to the final rows, and respects real time.
//!
//! The log is the service's own account of what happened in which order. It need not be trusted,
//! because every part of it can be checked. The versions of a slot are 1, 2, 3 and so on, each with
//! one record (or a resize, `audit/numbering.rs`); the last one is the version in the slot's row;
//! each booking's last record agrees with its row. Every answer that carries a version is placed
//! after the record of that version: the seats that it says were left must be the record's, and no
//! answer may have returned before one was sent that the log places before it; an acknowledged
//! change must be the record of its own booking. Every answer without a version must have a place
//! too (`unversioned.rs`). A log that passes is a possible order of events that explains every
//! answer.

use std::collections::{BTreeMap, BTreeSet};

use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::{
    AuditRecord, BookingStatus, EndState, Finding, Invariant, Outcome, SlotRow, Witness,
};

use super::{
    super::{Count, Evidence, i10_session_order::versions, witness},
    unversioned,
};
use crate::{
    audit::{BookingsAtTheEnd, Gap, Ledger, Numbering, SlotLedger},
    slot_evidence::SlotEvidence,
};

pub(super) fn check(evidence: &Evidence<'_>, ledger: &Ledger<'_>) -> Finding {
    let mut count = Count::new(Invariant::OneOrder);
    for log in ledger.slots() {
        let numbering = Numbering::of(Some(log), evidence.slot(log.name()));
        check_numbering(log, &numbering, &mut count);
    }
    check_slot_rows(evidence, ledger, &mut count);
    check_booking_rows(evidence, ledger.at_the_end(), &mut count);
    for slot in &evidence.slots {
        check_answers(evidence, slot, ledger.slot(slot.name), &mut count);
        unversioned::check(evidence, slot, ledger.slot(slot.name), &mut count);
    }
    count.finding(
        |examined| {
            format!(
                "{examined} records, final rows and answers fit one order, without a gap and in \
                 real time"
            )
        },
        |violations, examined| {
            format!(
                "{violations} of {examined} records, final rows and answers contradict the order \
                 of the audit log"
            )
        },
    )
}

fn check_numbering(log: &SlotLedger<'_>, numbering: &Numbering<'_, '_>, count: &mut Count) {
    let mut before = 0;
    for entry in log.entries() {
        count.examine();
        let version = entry.record.version;
        let fault = if version <= before {
            Some(format!("the audit log has version {version} twice"))
        } else if version == before + 1 {
            None
        } else {
            let missing = format!("the audit log goes from version {before} to {version}");
            match numbering.gap(version) {
                Gap::None => None,
                Gap::Missing => Some(missing),
                Gap::Undecided => {
                    count.undecided(|| gap_or_resize(log.name(), &missing));
                    None
                }
            }
        };
        if let Some(fault) = fault {
            let records = vec![entry.record.clone()];
            count.violation(|| Witness { records, ..witness(log.name(), fault) });
            break;
        }
        before = version;
    }
}

fn gap_or_resize(slot: &str, missing: &str) -> String {
    format!(
        "slot {slot}: {missing}; a resize may have written what is missing, and its answer carries \
         no version"
    )
}

/// The final rows, if they and the log are of one moment and one schema. Those of another API are
/// not: it may keep no row of a slot or of an ended booking, or end a hold in the row alone.
fn own_rows<'a>(evidence: &Evidence<'a>) -> Option<&'a EndState> {
    evidence.case.end.as_ref().filter(|end| end.foreign.is_none())
}

fn check_slot_rows(evidence: &Evidence<'_>, ledger: &Ledger<'_>, count: &mut Count) {
    let Some(end) = own_rows(evidence) else { return };
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &end.slots {
        *rows.entry(&row.slot).or_default() += 1;
    }
    let mut expected: BTreeSet<&str> = ledger.slots().iter().map(SlotLedger::name).collect();
    expected.extend(evidence.slots.iter().map(|slot| slot.name));
    for slot in expected {
        count.examine();
        let rows = rows.get(slot).copied().unwrap_or_default();
        if rows != 1 {
            count.violation(|| witness(slot, format!("the slot has {rows} final rows, not 1")));
        }
    }
    for SlotRow { slot, version, .. } in &end.slots {
        count.examine();
        let numbering = Numbering::of(ledger.slot(slot), evidence.slot(slot));
        let last = numbering.last_version();
        let apart =
            format!("the slot's final row has version {version}, and its audit log ends at {last}");
        if *version < last {
            count.violation(|| witness(slot, apart));
        } else if *version > last {
            match numbering.gap(*version) {
                Gap::None => {}
                Gap::Missing => count.violation(|| witness(slot, apart)),
                Gap::Undecided => count.undecided(|| gap_or_resize(slot, &apart)),
            }
        }
    }
}

fn check_booking_rows(
    evidence: &Evidence<'_>,
    mut logged: BookingsAtTheEnd<'_>,
    count: &mut Count,
) {
    let Some(end) = own_rows(evidence) else { return };
    for row in &end.bookings {
        count.examine();
        let record = logged.remove(row.booking.as_str());
        let ends_in_row = record.is_some_and(|record| {
            record.to == row.status && record.seats == row.seats && record.slot == row.slot
        });
        if !ends_in_row {
            count.violation(|| Witness {
                records: record.cloned().into_iter().collect(),
                rows: vec![row.clone()],
                ..witness(
                    &row.slot,
                    match record {
                        None => format!("booking {} has a final row and no record", row.booking),
                        Some(_) => format!(
                            "booking {}: its last record and its final row differ",
                            row.booking
                        ),
                    },
                )
            });
        }
    }
    if let Some(record) = logged.into_values().next() {
        count.violation(|| Witness {
            records: vec![record.clone()],
            ..witness(
                &record.slot,
                format!("booking {} is in the audit log and has no final row", record.booking),
            )
        });
    }
}

/// An answer with its place in the order of the log.
#[derive(Debug, Clone, Copy)]
struct Placed {
    index: usize,
    version: i64,
    /// Answers that only saw the version come after the one that wrote it.
    saw: bool,
}

fn check_answers(
    evidence: &Evidence<'_>,
    slot: &SlotEvidence<'_>,
    log: Option<&SlotLedger<'_>>,
    count: &mut Count,
) {
    let operations = &evidence.case.history.operations;
    let record_of = |version| Some(log?.at_version(version)?.record);
    let numbering = Numbering::of(log, Some(slot));
    let placed = |(index, operation, version): (usize, OperationRef<'_>, i64)| {
        let saw = record_of(version).is_none_or(|record| !wrote(&operation, record));
        Placed { index, version, saw }
    };
    let mut answers: Vec<Placed> = versions(slot).map(placed).collect();
    answers.sort_by_key(|placed| {
        (placed.version, placed.saw, operations.at(placed.index).returned_ns)
    });
    // The answer that was sent last among those of earlier versions, and among those up to now.
    let (mut before, mut so_far): (Option<usize>, Option<usize>) = (None, None);
    let mut version = None;
    for placed in answers {
        count.examine();
        let operation = operations.at(placed.index);
        if version != Some((placed.version, placed.saw)) {
            version = Some((placed.version, placed.saw));
            before = so_far;
        }
        match seats_left(slot, log, &numbering, operation, placed.version) {
            Left::AsSaid => {}
            Left::Undecided => count.undecided(|| {
                let missing = format!("the audit log has no record of version {}", placed.version);
                gap_or_resize(slot.name, &missing)
            }),
            left @ (Left::NoSuchVersion | Left::Other(_) | Left::Split { .. }) => {
                count.violation(|| Witness {
                    operations: evidence.show([placed.index]),
                    records: record_of(placed.version).cloned().into_iter().collect(),
                    ..witness(slot.name, contradiction(operation, placed.version, left))
                })
            }
        }
        if placed.saw && claims_another_record(log, operation, placed.version) {
            count.violation(|| Witness {
                operations: evidence.show([placed.index]),
                records: record_of(placed.version).cloned().into_iter().collect(),
                ..witness(
                    slot.name,
                    format!(
                        "the {} was acknowledged with version {}, which the audit log has for \
                         another change",
                        operation.action.name(),
                        placed.version
                    ),
                )
            });
        }
        if let Some(earlier) =
            before.filter(|earlier| operations.at(*earlier).sent_ns > operation.returned_ns)
        {
            count.violation(|| Witness {
                operations: evidence.show([earlier, placed.index]),
                ..witness(
                    slot.name,
                    format!(
                        "line {} returned before line {} was sent, and the audit log places it \
                         after",
                        evidence.written.line_of(placed.index),
                        evidence.written.line_of(earlier)
                    ),
                )
            });
        }
        if so_far.is_none_or(|last| operations.at(last).sent_ns < operation.sent_ns) {
            so_far = Some(placed.index);
        }
    }
}

/// The seats that were left at the version of an answer, against what the answer says.
#[derive(Debug, Clone, Copy)]
enum Left {
    AsSaid,
    /// Other numbers of pending and confirmed seats.
    Split {
        pending: i64,
        confirmed: i64,
    },
    /// A resize may have written the version.
    Undecided,
    NoSuchVersion,
    Other(i64),
}

fn seats_left(
    slot: &SlotEvidence<'_>,
    log: Option<&SlotLedger<'_>>,
    numbering: &Numbering<'_, '_>,
    operation: OperationRef<'_>,
    version: i64,
) -> Left {
    let taken = log.map_or(0, |log| log.taken_at(version));
    let entry = log.and_then(|log| log.at_version(version));
    let left = match (&entry, version) {
        (Some(entry), _) => Some(entry.record.available),
        (None, 0) => Some(slot.capacity.at_first()),
        (None, version) => numbering.resized_to(version).map(|capacity| capacity - taken),
    };
    let said = operation.seen.available;
    if entry.is_some()
        && let Some(split) = split_at(log, operation, version)
    {
        return split;
    }
    // What the answer says, if the slot has another capacity than at the record of this version.
    let after_a_resize = || {
        said.is_none_or(|said| {
            slot.capacity.may_be(said + taken, operation.sent_ns, operation.returned_ns)
        })
    };
    match left {
        Some(left) if said.is_none_or(|said| said == left) => Left::AsSaid,
        // A service need not count a resize as a version.
        Some(_)
            if slot.capacity.may_change() && !numbering.counts_resizes() && after_a_resize() =>
        {
            Left::AsSaid
        }
        Some(left) => Left::Other(left),
        None if version > 0 && numbering.gap(version) == Gap::Undecided && after_a_resize() => {
            Left::Undecided
        }
        None => Left::NoSuchVersion,
    }
}

/// The pending and confirmed seats at a version, if an answer says others.
fn split_at(
    log: Option<&SlotLedger<'_>>,
    operation: OperationRef<'_>,
    version: i64,
) -> Option<Left> {
    let seen = &operation.seen;
    if seen.pending.is_none() && seen.confirmed.is_none() {
        return None;
    }
    let log = log?;
    let (_, taken, confirmed) = log.after(log.records_through(version));
    let pending = taken - confirmed;
    let as_said = seen.pending.is_none_or(|said| said == pending)
        && seen.confirmed.is_none_or(|said| said == confirmed);
    (!as_said).then_some(Left::Split { pending, confirmed })
}

fn contradiction(operation: OperationRef<'_>, version: i64, left: Left) -> String {
    match (left, operation.seen.available) {
        (Left::Other(left), Some(said)) => format!(
            "the answer says {said} seats were available at version {version}, the audit log {left}"
        ),
        (Left::Split { pending, confirmed }, _) => format!(
            "the answer says {} pending and {} confirmed seats at version {version}, the audit log \
             {pending} and {confirmed}",
            operation.seen.pending.unwrap_or(pending),
            operation.seen.confirmed.unwrap_or(confirmed)
        ),
        _ => format!("the answer carries version {version}, and the audit log has no such version"),
    }
}

/// Whether the version of an acknowledged change is that of another change's record. A booking that
/// had expired may be cancelled, and one that was made as confirmed may be confirmed, without a
/// record of their own; a change without any record is I3's.
fn claims_another_record(
    log: Option<&SlotLedger<'_>>,
    operation: OperationRef<'_>,
    version: i64,
) -> bool {
    let (Some(log), Some((booking, to))) = (log, change_of(&operation)) else { return false };
    if log.at_version(version).is_none() {
        return false;
    }
    let own = log.entries().filter(|entry| entry.record.booking == booking);
    let mut has_its_own = false;
    for entry in own {
        let excused = match to {
            BookingStatus::Cancelled => entry.record.to == BookingStatus::Expired,
            BookingStatus::Confirmed => {
                entry.record.from.is_none() && entry.record.to == BookingStatus::Confirmed
            }
            _ => false,
        };
        if excused {
            return false;
        }
        has_its_own |= wrote(&operation, entry.record);
    }
    has_its_own
}

/// Whether a fresh answer is that of the operation which wrote a record, and did not only see its
/// version.
pub(super) fn wrote(operation: &OperationRef<'_>, record: &AuditRecord) -> bool {
    change_of(operation).is_some_and(|(booking, to)| {
        // A booking may be confirmed as it is made.
        let fits = if to == BookingStatus::Pending {
            record.from.is_none() && record.to.takes_seats()
        } else {
            record.to == to
        };
        *record.booking == *booking && fits
    })
}

/// The change of a booking's status that an acknowledged operation made.
pub(super) fn change_of<'a>(operation: &OperationRef<'a>) -> Option<(&'a str, BookingStatus)> {
    if operation.outcome != Outcome::Ok {
        return None;
    }
    match operation.action {
        ActionRef::Reserve { .. } => Some((operation.seen.booking?.text(), BookingStatus::Pending)),
        ActionRef::Confirm { booking } => Some((booking.text(), BookingStatus::Confirmed)),
        ActionRef::Cancel { booking } => Some((booking.text(), BookingStatus::Cancelled)),
        ActionRef::Change { .. }
        | ActionRef::Booking { .. }
        | ActionRef::Read
        | ActionRef::Resize { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingRow, Verdict};

    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, left, only, read, record, reserve, resize, row, sold_out, versioned},
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
        let log = vec![
            left(record(1, "a", None, BookingStatus::Pending, 1), 1),
            left(record(2, "b", None, BookingStatus::Pending, 1), 0),
        ];
        let operations = operations.into_iter();
        let operations =
            operations.map(|(version, operation)| versioned(version, operation)).collect();
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

    /// A booking at version 1, a resize from 2 to 3 seats at version 2, and another booking.
    fn resized(resize_version: Option<i64>, reads: Vec<(i64, Operation)>) -> Verdict {
        let log = vec![
            left(record(1, "a", None, BookingStatus::Pending, 1), 1),
            left(record(3, "b", None, BookingStatus::Pending, 1), 1),
        ];
        let mut operations =
            vec![reserve("a", 1, 0, 10), resize(3, 20, 30), reserve("b", 1, 40, 50)];
        operations[1].seen.version = resize_version;
        operations.extend(reads.into_iter().map(|(version, read)| versioned(version, read)));
        only(&Case { audit: Some(log), ..case(2, operations) }, Invariant::OneOrder).verdict
    }

    #[test]
    fn a_version_that_a_resize_wrote_is_no_gap() {
        assert_eq!(resized(Some(2), vec![]), Verdict::Upheld);
        assert_eq!(resized(None, vec![]), Verdict::Unknown, "the answer carries no version");
        assert_eq!(resized(Some(1), vec![]), Verdict::Violated, "it wrote no version");
    }

    #[test]
    fn a_read_of_the_version_that_a_resize_wrote_sees_the_seats_that_it_left() {
        assert_eq!(resized(Some(2), vec![(2, read(2, 22, 38))]), Verdict::Upheld);
        assert_eq!(resized(Some(2), vec![(2, read(1, 22, 38))]), Verdict::Violated);
        assert_eq!(resized(Some(2), vec![(1, read(2, 22, 38))]), Verdict::Violated, "version 1");
        assert_eq!(resized(Some(2), vec![(4, read(2, 22, 38))]), Verdict::Violated, "no version 4");
        assert_eq!(resized(None, vec![(2, read(2, 22, 38))]), Verdict::Unknown);
        assert_eq!(resized(None, vec![(2, read(7, 22, 38))]), Verdict::Violated, "8 seats");
    }

    #[test]
    fn a_service_need_not_count_a_resize_as_a_version() {
        let judged = |available| {
            let log = vec![left(record(1, "a", None, BookingStatus::Pending, 1), 1)];
            let operations = [reserve("a", 1, 0, 10), resize(3, 20, 30), read(available, 40, 50)];
            let operations = operations.map(|operation| versioned(1, operation)).to_vec();
            only(&Case { audit: Some(log), ..case(2, operations) }, Invariant::OneOrder).verdict
        };
        assert_eq!(judged(2), Verdict::Upheld, "3 seats, and one is taken");
        assert_eq!(judged(0), Verdict::Violated);
    }

    #[test]
    fn the_last_version_may_be_that_of_a_resize() {
        let judged = |resize_version, row_version| {
            let log = vec![left(record(1, "a", None, BookingStatus::Pending, 1), 1)];
            let mut resize = resize(3, 20, 30);
            resize.seen.version = resize_version;
            let mut end = end(3, 2, vec![row("a", BookingStatus::Pending, 1)]);
            end.slots[0].version = row_version;
            let operations = vec![reserve("a", 1, 0, 10), resize];
            let case = Case { audit: Some(log), end: Some(end), ..case(2, operations) };
            only(&case, Invariant::OneOrder).verdict
        };
        assert_eq!(judged(Some(2), 2), Verdict::Upheld);
        assert_eq!(judged(None, 2), Verdict::Unknown);
        assert_eq!(judged(Some(2), 3), Verdict::Violated, "version 3 has no record");
        assert_eq!(judged(Some(2), 0), Verdict::Violated, "the row is older than the log");
    }
}
