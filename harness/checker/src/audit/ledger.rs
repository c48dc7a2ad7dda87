//! The ledger: the audit log, folded once.
//!
//! Each record of the log is one change of one booking. Replayed in the order of the slot's
//! versions, the records say which bookings take seats at each version, and how many seats that is.
//! What the slot's capacity was at each version is argued in `capacity_claims.rs`.

use std::{collections::BTreeMap, ops::RangeInclusive};

use foldhash::HashMap;
use slotproof_vocabulary::{AuditRecord, BookingStatus};

use super::capacity_claims::{CapacityClaim, capacity_claims};
use crate::slot_evidence::SlotEvidence;

/// The audit log of every slot.
#[derive(Debug)]
pub struct Ledger<'a> {
    /// In the order of the slots' names.
    slots: Vec<SlotLedger<'a>>,
}

/// The audit log of one slot.
#[derive(Debug)]
pub struct SlotLedger<'a> {
    name: &'a str,
    /// In the order of versions.
    changes: Vec<LoggedChange<'a>>,
    capacity: Capacity,
}

/// A record, and what the replay adds to it. Small, because a log may have millions.
#[derive(Debug, Clone, Copy)]
struct LoggedChange<'a> {
    record: &'a AuditRecord,
    before: Option<&'a AuditRecord>,
    taken: i64,
    confirmed: i64,
}

#[derive(Debug)]
enum Capacity {
    /// The slot was not resized.
    Fixed(i64),
    /// One for each record.
    Resized(Vec<CapacityClaim>),
}

/// One change of the log, with the slot as the log leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The record.
    pub record: &'a AuditRecord,
    /// The record before it of the same booking; `None` if this is the booking's first.
    pub before: Option<&'a AuditRecord>,
    /// Seats taken by the bookings of the slot that are live after this change.
    pub taken: i64,
    /// The seats that the slot can have had when this change was committed: one number, unless a
    /// resize may have been in flight and the record does not decide it.
    pub capacity: RangeInclusive<i64>,
    /// Whether available + taken is a capacity that the slot can have had.
    pub adds_up: bool,
}

impl Entry<'_> {
    /// The capacity that the record claims: the seats that it says were available, and those that
    /// its bookings take.
    pub fn claimed_capacity(&self) -> i64 {
        self.record.available + self.taken
    }

    /// Whether more seats are taken than the slot can have had.
    pub fn is_overbooked(&self) -> bool {
        self.taken > *self.capacity.end()
    }

    /// Whether it is not decided if more seats are taken than the slot had.
    pub fn may_be_overbooked(&self) -> bool {
        self.taken > *self.capacity.start()
    }
}

impl<'a> Ledger<'a> {
    /// Folds a log, in any order, of slots whose capacity never changes.
    pub fn of_log(log: &'a [AuditRecord], capacity_of: impl Fn(&str) -> i64) -> Self {
        Self::fold(log, |name, _| Capacity::Fixed(capacity_of(name)))
    }

    /// Folds a log of slots whose capacity clients may have changed. `evidence` is in the order of
    /// the slots' names.
    pub(crate) fn of_slots(
        log: &'a [AuditRecord],
        evidence: &[SlotEvidence<'a>],
        capacity_of: impl Fn(&str) -> i64,
    ) -> Self {
        Self::fold(log, |name, changes| {
            let place = evidence.binary_search_by_key(&name, |slot| slot.name);
            match place.map(|place| &evidence[place]) {
                Ok(slot) if slot.capacity.may_change() => {
                    let changes = changes.iter().map(|change| (change.record, change.taken));
                    Capacity::Resized(capacity_claims(slot, changes))
                }
                _ => Capacity::Fixed(capacity_of(name)),
            }
        })
    }

    fn fold(
        log: &'a [AuditRecord],
        capacity: impl Fn(&'a str, &[LoggedChange<'a>]) -> Capacity,
    ) -> Self {
        let mut by_slot: BTreeMap<&str, Vec<&AuditRecord>> = BTreeMap::new();
        for record in log {
            by_slot.entry(&record.slot).or_default().push(record);
        }
        // A booking has one lifecycle, even if its records name several slots.
        let mut last: HashMap<&str, &AuditRecord> = HashMap::default();
        let slots = by_slot.into_iter().map(|(name, mut records)| {
            records.sort_by_key(|record| record.version);
            let mut live: HashMap<&str, &AuditRecord> = HashMap::default();
            let is_confirmed = |record: &AuditRecord| record.to == BookingStatus::Confirmed;
            let (mut taken, mut confirmed) = (0, 0);
            let changes: Vec<_> = records
                .into_iter()
                .map(|record| {
                    if let Some(was) = live.remove(record.booking.as_str()) {
                        taken -= was.seats;
                        confirmed -= if is_confirmed(was) { was.seats } else { 0 };
                    }
                    if record.to.takes_seats() {
                        live.insert(&record.booking, record);
                        taken += record.seats;
                        confirmed += if is_confirmed(record) { record.seats } else { 0 };
                    }
                    let before = last.insert(&record.booking, record);
                    LoggedChange { record, before, taken, confirmed }
                })
                .collect();
            SlotLedger { name, capacity: capacity(name, &changes), changes }
        });
        Self { slots: slots.collect() }
    }

    /// The slots of the log, in the order of their names.
    pub fn slots(&self) -> &[SlotLedger<'a>] {
        &self.slots
    }

    /// The log of a slot, if it has any.
    pub fn slot(&self, name: &str) -> Option<&SlotLedger<'a>> {
        let place = self.slots.binary_search_by_key(&name, |slot| slot.name).ok()?;
        Some(&self.slots[place])
    }

    /// The last record of each booking.
    pub(crate) fn at_the_end(&self) -> BookingsAtTheEnd<'a> {
        let changes = self.slots.iter().flat_map(|slot| &slot.changes);
        changes.map(|change| (change.record.booking.as_str(), change.record)).collect()
    }
}

/// The last record of each booking, by the booking.
pub(crate) type BookingsAtTheEnd<'a> = BTreeMap<&'a str, &'a AuditRecord>;

impl<'a> SlotLedger<'a> {
    /// The slot.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Every change of the log, in the order of versions.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        (0..self.changes.len()).map(|place| self.entry(place))
    }

    /// The change that wrote a version.
    pub fn at_version(&self, version: i64) -> Option<Entry<'a>> {
        let place = self.changes.binary_search_by_key(&version, |change| change.record.version);
        place.ok().map(|place| self.entry(place))
    }

    /// Seats taken when the slot had a version, which a record need not have written.
    pub fn taken_at(&self, version: i64) -> i64 {
        let after = self.changes.partition_point(|change| change.record.version <= version);
        after.checked_sub(1).map_or(0, |place| self.changes[place].taken)
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// The slot after this many records: the record that left it so, and the seats taken and
    /// confirmed.
    pub(crate) fn after(&self, records: usize) -> (Option<&'a AuditRecord>, i64, i64) {
        let last = records.checked_sub(1).map(|place| self.changes[place]);
        last.map_or((None, 0, 0), |it| (Some(it.record), it.taken, it.confirmed))
    }

    /// The last version that a record wrote; 0 if there is none.
    pub fn last_version(&self) -> i64 {
        self.changes.last().map_or(0, |change| change.record.version)
    }

    /// How many records wrote a version up to this one.
    pub(crate) fn records_through(&self, version: i64) -> usize {
        self.changes.partition_point(|change| change.record.version <= version)
    }

    /// The bookings that take seats after the change at this place, each with its last record, in
    /// the order of their ids. It replays the log: meant for a witness, not for every record.
    pub fn live_after(&self, place: usize) -> Vec<&'a AuditRecord> {
        let mut live: BTreeMap<&str, &AuditRecord> = BTreeMap::new();
        for LoggedChange { record, .. } in &self.changes[..=place] {
            live.remove(record.booking.as_str());
            if record.to.takes_seats() {
                live.insert(&record.booking, record);
            }
        }
        live.into_values().collect()
    }

    fn entry(&self, place: usize) -> Entry<'a> {
        let LoggedChange { record, before, taken, .. } = self.changes[place];
        let (capacity, adds_up) = match &self.capacity {
            Capacity::Fixed(seats) => (*seats..=*seats, record.available + taken == *seats),
            Capacity::Resized(claims) => match claims[place] {
                CapacityClaim::Possible => {
                    let claimed = record.available + taken;
                    (claimed..=claimed, true)
                }
                CapacityClaim::Impossible { least, most } => (least..=most, false),
            },
        };
        Entry { record, before, taken, capacity, adds_up }
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::BookingStatus::{Cancelled, Confirmed, Pending};

    use super::*;
    use crate::fixture::{left, record};

    fn log() -> Vec<AuditRecord> {
        vec![
            left(record(3, "a", Some(Confirmed), Cancelled, 2), 2),
            left(record(1, "a", None, Pending, 2), 1),
            left(record(2, "a", Some(Pending), Confirmed, 2), 1),
            left(record(4, "b", None, Pending, 1), 2),
        ]
    }

    #[test]
    fn a_log_is_replayed_in_the_order_of_versions() {
        let log = log();
        let ledger = Ledger::of_log(&log, |_| 3);
        let slot = ledger.slot("s").expect("the log names it");
        let taken: Vec<_> =
            slot.entries().map(|entry| (entry.record.version, entry.taken)).collect();
        assert_eq!(taken, [(1, 2), (2, 2), (3, 0), (4, 1)]);
        let before = |version| slot.at_version(version).expect("a record").before;
        assert_eq!(before(1), None);
        assert_eq!(before(3).map(|record| record.version), Some(2));
        assert_eq!((slot.taken_at(0), slot.taken_at(2), slot.taken_at(99)), (0, 2, 1));
        let live = |place| -> Vec<&str> {
            slot.live_after(place).iter().map(|record| record.booking.as_str()).collect()
        };
        assert_eq!((live(1), live(3)), (vec!["a"], vec!["b"]));
        assert_eq!(ledger.at_the_end()["a"].to, Cancelled);
    }

    #[test]
    fn a_counter_that_does_not_fit_the_bookings_does_not_add_up() {
        let log = log();
        let adds_up = |capacity| -> Vec<bool> {
            let ledger = Ledger::of_log(&log, |_| capacity);
            ledger.slots()[0].entries().map(|entry| entry.adds_up).collect()
        };
        assert_eq!(adds_up(3), [true, true, false, true], "version 3 leaves 2 of 3 seats");
        assert_eq!(adds_up(4), [false; 4]);
    }

    #[test]
    fn a_booking_whose_records_name_two_slots_takes_seats_in_both_and_has_one_lifecycle() {
        let mut elsewhere = record(1, "a", Some(Pending), Confirmed, 2);
        elsewhere.slot = "t".to_owned();
        let log = [record(1, "a", None, Pending, 2), elsewhere];
        let ledger = Ledger::of_log(&log, |_| 3);
        let entry = |slot: &str| ledger.slot(slot).and_then(|slot| slot.at_version(1));
        assert_eq!(entry("s").expect("a record").taken, 2);
        let moved = entry("t").expect("a record");
        assert_eq!((moved.taken, moved.before.map(|record| record.slot.as_str())), (2, Some("s")));
    }
}
