//! I2: never more seats taken than the slot has, at any prefix of the audit log and in the final
//! rows.
//!
//! Exact where the capacity does not change, and from what the service itself stored: at each
//! record of the ledger, the seats of the bookings that are live then are at most the capacity.
//! Where clients resized the slot, `audit/capacity_claims.rs` says what the capacity was.

use foldhash::HashSet;
use slotproof_history::ActionRef;
use slotproof_vocabulary::{
    AuditRecord, BookingRow, BookingStatus, Finding, Invariant, SlotRow, Witness,
};

use super::{Count, Evidence, counted, fewest_beyond, seats_between, witness};
use crate::audit::{Entry, SlotLedger};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    if evidence.case.audit.is_none() && evidence.case.end.is_none() {
        return None;
    }
    let mut count = Count::new(Invariant::NoOverbookingStored);
    let mut worst = Worst::default();
    check_log(evidence, &mut count, &mut worst);
    check_rows(evidence, &mut count, &mut worst);
    Some(count.finding(
        |examined| {
            format!("at each of {examined} records and final rows, seats taken are within capacity")
        },
        |violations, examined| {
            let Worst { taken, capacity, slot } = worst;
            format!(
                "{violations} of {examined} records and final rows exceed the capacity; at worst \
                 {taken} seats of {capacity} are taken in slot {slot}"
            )
        },
    ))
}

/// Where the most seats were taken of those that are too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Worst<'a> {
    taken: i64,
    capacity: i64,
    slot: &'a str,
}

fn check_log<'a>(evidence: &Evidence<'a>, count: &mut Count, worst: &mut Worst<'a>) {
    for slot in evidence.ledger.iter().flat_map(|ledger| ledger.slots()) {
        let mut taken_before = 0;
        for (place, entry) in slot.entries().enumerate() {
            count.examine();
            let capacity = *entry.capacity.end() + sold_beyond(evidence, slot.name());
            // Only a record that takes seats overbooks a slot: one that gives seats back does not,
            // and a resize takes nobody's seat.
            let adds = entry.taken > taken_before;
            taken_before = entry.taken;
            if entry.taken > capacity && adds {
                *worst = (*worst).max(Worst { taken: entry.taken, capacity, slot: slot.name() });
                count.violation(|| overbooked(slot, place, &entry));
            } else if entry.may_be_overbooked() && entry.taken <= capacity && adds {
                count.undecided(|| {
                    format!(
                        "slot {}, version {}: {} seats are taken, and the capacity was {}; no \
                         resize explains the seats that the record says were available",
                        slot.name(),
                        entry.record.version,
                        entry.taken,
                        seats_between(&entry.capacity)
                    )
                });
            }
        }
    }
}

fn overbooked(slot: &SlotLedger<'_>, place: usize, entry: &Entry<'_>) -> Witness {
    let capacity = *entry.capacity.end();
    let live = slot.live_after(place).into_iter().map(|record| (record.seats, record)).collect();
    let mut records: Vec<AuditRecord> =
        fewest_beyond(live, capacity).into_iter().cloned().collect();
    records.sort_by_key(|record| record.version);
    let seats: i64 = records.iter().map(|record| record.seats).sum();
    let explanation = format!(
        "at version {} of the audit log, {} take {seats} seats of {capacity}",
        entry.record.version,
        counted(records.len() as u64, "booking")
    );
    Witness { records, ..witness(slot.name(), explanation) }
}

/// Pending rows of another API whose hold may have run out: many APIs leave them as they are, and
/// count them no more. So do rows that no client knows: nothing says when they run out.
fn run_out<'a>(evidence: &Evidence<'a>) -> HashSet<&'a str> {
    let Some(end) = evidence.case.end.as_ref().filter(|end| end.foreign.is_some()) else {
        return HashSet::default();
    };
    let read_ns = end.read_ns.unwrap_or(u64::MAX);
    let lasting = evidence.held_intervals().filter(|held| held.hold_over_ns > read_ns);
    let lasting: HashSet<&str> = lasting.map(|held| held.booking.text()).collect();
    let pending = end.bookings.iter().filter(|row| row.status == BookingStatus::Pending);
    let over = pending.map(|row| row.booking.as_str()).filter(|it| !lasting.contains(it));
    over.collect()
}

fn check_rows<'a>(evidence: &Evidence<'a>, count: &mut Count, worst: &mut Worst<'a>) {
    let slot_rows = evidence.case.end.iter().flat_map(|end| &end.slots);
    let slot_rows: std::collections::BTreeMap<&str, &SlotRow> =
        slot_rows.map(|row| (row.slot.as_str(), row)).collect();
    let may_be_over = run_out(evidence);
    for (slot, mut rows) in evidence.rows_that_take_seats() {
        count.examine();
        rows.retain(|row| !may_be_over.contains(row.booking.as_str()));
        let taken: i64 = rows.iter().map(|row| row.seats).sum();
        // The row says which of the possible capacities it is.
        let said = slot_rows.get(slot).map(|row| row.capacity);
        let said = said.filter(|capacity| evidence.may_end_with(slot, *capacity));
        let (least, most) =
            said.map_or_else(|| evidence.capacity_at_the_end(slot), |said| (said, said));
        // Bookings that were made before the capacity fell keep their seats.
        let before_it_fell = capacity_since(evidence, slot, &rows, said);
        let most = most.max(before_it_fell) + sold_beyond(evidence, slot);
        if taken > most {
            *worst = (*worst).max(Worst { taken, capacity: most, slot });
            count.violation(|| overbooked_rows(slot, rows, most));
        } else if taken > least.max(before_it_fell) {
            count.undecided(|| {
                format!(
                    "slot {slot}: the final rows take {taken} seats, and the capacity is \
                     {least} to {most}"
                )
            });
        }
    }
}

/// Seats that sellers may have sold beyond the capacity on purpose.
fn sold_beyond(evidence: &Evidence<'_>, slot: &str) -> i64 {
    let operations = evidence.slot(slot).into_iter().flat_map(|slot| slot.operations.just());
    let sold = operations.filter(|it| it.may_overbook()).map(|operation| match operation.action {
        ActionRef::Reserve { seats, .. } => i64::from(seats),
        _ => 0,
    });
    sold.sum()
}

/// The most seats that a slot can have had since the last of these bookings was asked for: together
/// they had to fit when it was made.
fn capacity_since(
    evidence: &Evidence<'_>,
    slot: &str,
    rows: &[&BookingRow],
    said: Option<i64>,
) -> i64 {
    let Some(slot) = evidence.slot(slot).filter(|slot| slot.capacity.may_change()) else {
        return i64::MIN;
    };
    // A capacity that nobody asked for was there all the time.
    let asked = slot.operations.just().any(|it| match it.action {
        ActionRef::Resize { capacity } => Some(i64::from(capacity)) == said,
        _ => false,
    });
    if said.is_none() || !asked {
        return i64::MIN;
    }
    let bookings: HashSet<&str> = rows.iter().map(|row| row.booking.as_str()).collect();
    let held = slot.held_intervals.iter().filter(|held| bookings.contains(held.booking.text()));
    let last_ns = held.map(|held| held.reserve_sent_ns).max().unwrap_or_default();
    slot.capacity.within(last_ns, u64::MAX).1
}

fn overbooked_rows(slot: &str, rows: Vec<&BookingRow>, capacity: i64) -> Witness {
    let fewest = fewest_beyond(rows.into_iter().map(|row| (row.seats, row)).collect(), capacity);
    let seats: i64 = fewest.iter().map(|row| row.seats).sum();
    let explanation = format!(
        "in the final rows, {} take {seats} seats of {capacity}",
        counted(fewest.len() as u64, "booking")
    );
    Witness { rows: fewest.into_iter().cloned().collect(), ..witness(slot, explanation) }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{BookingStatus, Verdict};

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, foreign_end, left, only, record, reserve, resize, row, unknown},
    };

    fn logged(capacity: i64, records: Vec<AuditRecord>) -> Finding {
        only(
            &Case { audit: Some(records), ..case(capacity, vec![]) },
            Invariant::NoOverbookingStored,
        )
    }

    #[test]
    fn a_pending_row_of_another_api_counts_while_its_hold_lasts() {
        let judged = |hold_ms| {
            let mut hold = reserve("a", 1, 0, 10);
            hold.seen.hold_ms = Some(hold_ms);
            let rows = ["a", "b"].map(|booking| row(booking, BookingStatus::Pending, 1));
            let rows = vec![
                rows[0].clone(),
                BookingRow { status: BookingStatus::Confirmed, ..rows[1].clone() },
            ];
            let end = Some(foreign_end(rows));
            let operations = vec![hold, reserve("b", 1, 20, 30)];
            only(&Case { end, ..case(1, operations) }, Invariant::NoOverbookingStored).verdict
        };
        assert_eq!(judged(1), Verdict::Upheld, "it is left as it is, and counts no more");
        assert_eq!(judged(600_000), Verdict::Violated);
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

    /// Two bookings of one seat each, and a resize between the two or while the second is made.
    fn resized(at_first: i64, wanted: u32, available: [i64; 2]) -> Finding {
        let operations =
            vec![reserve("a", 1, 0, 10), resize(wanted, 20, 30), reserve("b", 1, 25, 40)];
        let log = vec![
            left(record(1, "a", None, BookingStatus::Pending, 1), available[0]),
            left(record(2, "b", None, BookingStatus::Pending, 1), available[1]),
        ];
        let case = Case { audit: Some(log), ..case(at_first, operations) };
        only(&case, Invariant::NoOverbookingStored)
    }

    #[test]
    fn a_seat_that_a_resize_added_may_be_taken() {
        assert_eq!(resized(1, 2, [0, 0]).verdict, Verdict::Upheld);
        assert_eq!(resized(0, 2, [-1, 0]).verdict, Verdict::Violated, "before it was added");
    }

    #[test]
    fn a_seat_that_a_resize_took_away_may_be_taken_before_and_not_after() {
        assert_eq!(resized(2, 1, [1, 0]).verdict, Verdict::Upheld, "before the resize");
        let finding = resized(2, 1, [1, -1]);
        assert_eq!(finding.verdict, Verdict::Violated, "the record says that it came after");
        assert_eq!(finding.witness.expect("it is shown").records.len(), 2);
    }

    #[test]
    fn a_capacity_that_no_resize_explains_is_not_decided() {
        let finding = resized(2, 1, [1, 5]);
        assert_eq!(finding.verdict, Verdict::Unknown, "{}", finding.summary);
        assert!(finding.summary.contains("version 2"), "{}", finding.summary);
    }

    #[test]
    fn final_rows_are_held_against_the_capacity_that_they_name_if_a_resize_can_have_set_it() {
        let judged = |capacity, operations| {
            let rows = ["a", "b"].map(|id| row(id, BookingStatus::Confirmed, 1)).to_vec();
            let end = end(capacity, 0, rows);
            only(&Case { end: Some(end), ..case(1, operations) }, Invariant::NoOverbookingStored)
                .verdict
        };
        let unanswered = || vec![unknown(resize(2, 20, 30))];
        assert_eq!(judged(2, vec![resize(2, 20, 30)]), Verdict::Upheld);
        assert_eq!(judged(2, unanswered()), Verdict::Upheld);
        assert_eq!(judged(1, unanswered()), Verdict::Violated, "the resize had no effect");
        assert_eq!(judged(7, unanswered()), Verdict::Unknown, "the row names an impossible number");
        assert_eq!(judged(2, vec![]), Verdict::Violated, "no resize was sent");
    }
}
