//! From the service to the model: does the strategy's model explain the audit log of a real run?
//!
//! The log says what was committed, in order, and not what was read, tried in vain or waited for.
//! So the model is walked with a set of all steps that calls may have come to: at each version of
//! the slot every call may have begun, read, and paused. A record is explained if one of them can
//! go on from there to commit exactly that change; the first record that none of them can commit is
//! reported, with what could have been committed instead.
//!
//! Calls are anonymous and unlimited in number, so the world of one slot is a single call on the
//! slot as the log has left it. A booking of `k` seats is that of one seat in a slot that has `k -
//! 1` seats less: a page asks for one seat in the model.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use slotproof_checker::audit::{Entry, Ledger, SlotLedger};
use slotproof_vocabulary::{AuditRecord, BookingStatus, StrategyKind};

use crate::{
    call_id::CallId,
    database::{Database, StateChange},
    page::{Page, PageStep, page_of},
    size::{Losses, Size},
    strategy::Next,
    symmetry::fingerprint,
    transition::Transition,
    world::World,
};

/// The one call that stands for all.
const ANY_CALL: CallId = CallId { client: 0, call: 0 };
/// A call that runs alone ends within fewer steps.
const STEPS_MAX: usize = 32;

/// What a walk of an audit log through a model came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Records that the model explains.
    pub records: usize,
    /// The first that it does not.
    pub unexplained: Option<Unexplained>,
    /// The kinds of change that the log has.
    pub reached: BTreeSet<String>,
    /// The kinds that the model has.
    pub possible: BTreeSet<String>,
}

/// A record that no state of the model explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexplained {
    /// The record.
    pub record: AuditRecord,
    /// The slot as the log had left it.
    pub before: String,
    /// What the model could have done there instead.
    pub instead: Vec<String>,
}

/// Walks an audit log through the model of the strategy that is said to have written it, slot by
/// slot and in the order of versions.
pub fn explain(kind: StrategyKind, capacity: i32, log: &[AuditRecord]) -> Explained {
    let page = page_of(kind);
    let mut explained = Explained {
        records: 0,
        unexplained: None,
        reached: BTreeSet::new(),
        possible: kinds_of(page),
    };
    // The same fold of the log that the verdict rests on.
    let ledger = Ledger::of_log(log, |_| i64::from(capacity));
    for logged in ledger.slots() {
        let mut slot = SlotTrace::new(page, capacity, logged);
        for entry in logged.entries() {
            match slot.take(&entry) {
                Ok(kind) => {
                    explained.records += 1;
                    explained.reached.insert(kind);
                }
                Err(unexplained) => {
                    explained.unexplained = Some(*unexplained);
                    return explained;
                }
            }
        }
    }
    explained
}

/// A slot as an entry of its ledger has left it, in the numbers of a model.
struct SlotState {
    available: i32,
    version: u32,
    /// Seats of live bookings.
    taken: i32,
    /// Whether some booking has ended.
    some_have_ended: bool,
}

impl SlotState {
    /// After an entry that writes the next version.
    fn after(&self, entry: &Entry<'_>) -> Self {
        Self {
            available: i32::try_from(entry.record.available).unwrap_or(i32::MIN),
            version: self.version + 1,
            taken: i32::try_from(entry.taken).unwrap_or(i32::MAX),
            some_have_ended: self.some_have_ended || !entry.record.to.takes_seats(),
        }
    }
}

fn seats_of(record: &AuditRecord) -> i32 {
    i32::try_from(record.seats).unwrap_or(i32::MAX)
}

/// A slot as its log has left it, and the steps that calls may have come to.
struct SlotTrace {
    page: &'static Page,
    capacity: i32,
    state: SlotState,
    fence: u32,
    /// For each number of seats in the log, the steps that calls for that many may have come to.
    standing: BTreeMap<i32, HashSet<PageStep>>,
}

impl SlotTrace {
    fn new(page: &'static Page, capacity: i32, logged: &SlotLedger<'_>) -> Self {
        let seats = logged.entries().filter_map(|entry| i32::try_from(entry.record.seats).ok());
        Self {
            page,
            capacity,
            state: SlotState { available: capacity, version: 0, taken: 0, some_have_ended: false },
            fence: 0,
            standing: seats.map(|seats| (seats, HashSet::new())).collect(),
        }
    }

    /// The database as a call for this many seats finds it.
    fn database(&self, seats: i32) -> Database {
        let SlotState { available, version, taken, .. } = self.state;
        Database::as_left(
            self.capacity - (seats - 1),
            available - (seats - 1),
            version,
            self.fence,
            taken,
        )
    }

    /// Takes the change of an entry, and returns its kind.
    fn take(&mut self, entry: &Entry<'_>) -> Result<String, Box<Unexplained>> {
        let record = entry.record;
        let known = entry.before.map(|before| before.to);
        let lawful = known == record.from && record.version == i64::from(self.state.version) + 1;
        let possible = match (lawful, record.from) {
            (false, _) => BTreeMap::new(),
            (true, None) => self.reserves(seats_of(record)),
            (true, Some(from)) => self.changes(seats_of(record), from, record.to),
        };
        let after = self.state.after(entry);
        let Some(fence) = possible.get(&after.available).copied() else {
            return Err(Box::new(self.unexplained(record, known, &possible)));
        };
        let SlotState { available: before, some_have_ended, .. } = self.state;
        let kind = kind(record.from, record.to, before, after.available, some_have_ended);
        self.state = after;
        self.fence = fence;
        Ok(kind)
    }

    /// The counters that some call could leave behind by booking now, each with the fence; and
    /// everything that happens without a trace.
    fn reserves(&mut self, seats: i32) -> BTreeMap<i32, u32> {
        let wanted: Vec<i32> = self.standing.keys().copied().collect();
        let mut possible = BTreeMap::new();
        for other in wanted {
            let database = self.database(other);
            let mut standing = self.standing.remove(&other).unwrap_or_default();
            let left = let_all_run(self.page, &database, &mut standing);
            self.standing.insert(other, standing);
            if other == seats {
                possible = left;
            }
        }
        possible
    }

    /// The counters that a change of a booking could leave behind.
    fn changes(&self, seats: i32, from: BookingStatus, to: BookingStatus) -> BTreeMap<i32, u32> {
        let mut database = self.database(1);
        database.with_booking(ANY_CALL, seats, from, to == BookingStatus::Expired);
        let change = match to {
            BookingStatus::Confirmed => (self.page.confirm)(ANY_CALL, &mut database),
            BookingStatus::Cancelled => (self.page.cancel)(ANY_CALL, &mut database),
            BookingStatus::Expired => database.expire(ANY_CALL),
            BookingStatus::Pending | BookingStatus::Failed => StateChange::Refused,
        };
        match change {
            StateChange::Done => BTreeMap::from([(database.slot.available, database.slot.fence)]),
            StateChange::Waits | StateChange::Refused => BTreeMap::new(),
        }
    }

    fn unexplained(
        &self,
        record: &AuditRecord,
        known: Option<BookingStatus>,
        possible: &BTreeMap<i32, u32>,
    ) -> Unexplained {
        let SlotState { available, version, taken, .. } = self.state;
        let capacity = self.capacity;
        let status = known.map_or("absent", BookingStatus::name);
        let mut instead: Vec<String> = possible
            .keys()
            .map(|available| format!("the same change with available {available}"))
            .collect();
        if record.version != i64::from(version) + 1 {
            instead.push(format!("a change with version {}", version + 1));
        }
        if known != record.from {
            instead.push(format!("a change of booking {} from {status}", record.booking));
        }
        Unexplained {
            record: record.clone(),
            before: format!(
                "version {version}, available {available} of {capacity}, {taken} seats taken, \
                 booking {status}"
            ),
            instead,
        }
    }
}

/// Lets every call that may be under way go on as far as it leaves no trace, and returns the
/// counters that are left by those that commit. A try that has failed is over.
fn let_all_run(
    page: &Page,
    database: &Database,
    standing: &mut HashSet<PageStep>,
) -> BTreeMap<i32, u32> {
    let mut left = BTreeMap::new();
    let mut open: Vec<PageStep> = page.beginnings().chain(standing.drain()).collect();
    while let Some(at) = open.pop() {
        if standing.contains(&at) {
            continue;
        }
        let mut after = database.clone();
        match at.step(ANY_CALL, &mut after) {
            Next::Goes(next) if after == *database => {
                standing.insert(at);
                open.push(next);
            }
            Next::Waits | Next::Nothing | Next::Answered(_) | Next::Ended => {}
            next => {
                standing.insert(at);
                left.extend(commits(next, after, database.slot.version));
            }
        }
    }
    left
}

/// Runs a call alone that has changed something, a lock at least, until it has committed, and
/// returns the counter and the fence that it leaves.
fn commits(mut next: Next<PageStep>, mut database: Database, version: u32) -> Option<(i32, u32)> {
    for _ in 0..STEPS_MAX {
        if database.slot.version != version {
            return Some((database.slot.available, database.slot.fence));
        }
        let Next::Goes(at) = next else { return None };
        next = at.step(ANY_CALL, &mut database);
    }
    None
}

/// What a change is, as far as models of different sizes have it in common.
fn kind(
    from: Option<BookingStatus>,
    to: BookingStatus,
    before: i32,
    after: i32,
    some_have_ended: bool,
) -> String {
    let again = if some_have_ended { ", after seats were returned" } else { "" };
    match (from, to) {
        (None, _) if after == 0 => format!("reserve of the last seats{again}"),
        (None, _) => format!("reserve that leaves seats{again}"),
        (Some(from), to) => {
            let full = if before == 0 { "full slot" } else { "slot with free seats" };
            format!("{} to {} in a {full}", from.name(), to.name())
        }
    }
}

/// The kinds of change that the model has, with two clients and one seat or two, without lost
/// answers.
fn kinds_of(page: &'static Page) -> BTreeSet<String> {
    [1, 2].into_iter().flat_map(|capacity| kinds_in(page, Size { clients: 2, capacity })).collect()
}

fn kinds_in(page: &'static Page, size: Size) -> BTreeSet<String> {
    let begin = World::with_losses(page, size, Losses::AtMost(0));
    let mut kinds = BTreeSet::new();
    let mut seen = HashSet::from([fingerprint(&begin)]);
    let mut open = vec![begin];
    while let Some(world) = open.pop() {
        let mut offered = Vec::new();
        Transition::offer(&world, &mut offered);
        for transition in offered {
            let mut next = world.clone();
            if transition.take(&mut next).is_none() {
                continue;
            }
            kinds.extend(kind_of_transition(&world, &next));
            if seen.insert(fingerprint(&next)) {
                open.push(next);
            }
        }
    }
    kinds
}

/// The kind of the change that a transition has committed, if it has one.
fn kind_of_transition(before: &World, after: &World) -> Option<String> {
    let (was, is) = (&before.database, &after.database);
    let ended = was.bookings().any(|(_, row)| !row.status.takes_seats());
    is.bookings().find_map(|(booking, row)| {
        let from = was.booking(booking).map(|row| row.status);
        (from != Some(row.status))
            .then(|| kind(from, row.status, was.slot.available, is.slot.available, ended))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: i64, booking: &str, change: &str, available: i64) -> AuditRecord {
        let (from, to) = match change.split_once('>') {
            Some((from, to)) => (Some(from.parse().expect("a status")), to),
            None => (None, change),
        };
        AuditRecord {
            slot: "monday-9".to_owned(),
            version,
            booking: booking.to_owned(),
            from,
            to: to.parse().expect("a status"),
            seats: 1,
            available,
        }
    }

    fn first_unexplained(kind: StrategyKind, log: &[AuditRecord]) -> Option<i64> {
        explain(kind, 2, log).unexplained.map(|unexplained| unexplained.record.version)
    }

    fn ordinary_log() -> Vec<AuditRecord> {
        vec![
            record(1, "a", "pending", 1),
            record(2, "b", "pending", 0),
            record(3, "a", "pending>confirmed", 0),
            record(4, "b", "pending>expired", 1),
            record(5, "c", "pending", 0),
            record(6, "a", "confirmed>cancelled", 1),
        ]
    }

    #[test]
    fn an_ordinary_log_is_explained_by_every_strategy_that_claims_to_be_safe() {
        for kind in StrategyKind::SAFE {
            let explained = explain(*kind, 2, &ordinary_log());
            assert_eq!((explained.records, explained.unexplained), (6, None), "{kind}");
            assert!(
                explained.reached.is_subset(&explained.possible),
                "{kind}: {:?}",
                explained.reached
            );
        }
    }

    #[test]
    fn a_seat_too_many_is_explained_by_the_strategies_that_oversell_and_by_no_other() {
        let overbooked = [
            record(1, "a", "pending", 1),
            record(2, "b", "pending", 0),
            record(3, "c", "pending", 0),
        ];
        for kind in StrategyKind::SAFE {
            assert_eq!(first_unexplained(*kind, &overbooked), Some(3), "{kind}");
        }
        for kind in [StrategyKind::Unprotected, StrategyKind::LostUpdate, StrategyKind::OffByOne] {
            assert_eq!(first_unexplained(kind, &overbooked), None, "{kind}");
        }
        // It writes back what it read before: the counter of a stale read, which no subtraction
        // leaves.
        let lost = [record(1, "a", "pending", 1), record(2, "b", "pending", 1)];
        assert_eq!(first_unexplained(StrategyKind::LostUpdate, &lost), None);
        assert_eq!(first_unexplained(StrategyKind::Unprotected, &lost), Some(2));
    }

    #[test]
    fn what_does_not_follow_from_the_log_before_it_is_not_explained() {
        let with = |index: usize, record: AuditRecord| {
            let mut log = ordinary_log();
            log[index] = record;
            first_unexplained(StrategyKind::Conditional, &log)
        };
        assert_eq!(with(1, record(3, "b", "pending", 0)), Some(3), "a gap");
        assert_eq!(with(2, record(3, "z", "pending>confirmed", 0)), Some(3), "an unknown booking");
        assert_eq!(with(3, record(4, "a", "pending>expired", 1)), Some(4), "it was confirmed");
        assert_eq!(
            with(3, record(4, "b", "pending>expired", 0)),
            Some(4),
            "a seat that does not come back"
        );
    }

    #[test]
    fn bookings_of_several_seats_are_explained_too() {
        let mut log = vec![record(1, "a", "pending", 0), record(2, "a", "pending>cancelled", 2)];
        log.iter_mut().for_each(|record| record.seats = 2);
        assert_eq!(first_unexplained(StrategyKind::Serializable, &log), None);
        log[0].available = 1;
        assert_eq!(first_unexplained(StrategyKind::Serializable, &log), Some(1));
    }
}
