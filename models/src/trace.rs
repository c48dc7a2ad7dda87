//! From the service to the model: can the audit log of a real run be explained by the strategy's
//! model?
//!
//! The log says what was committed, in order, and not what was read, tried in vain or waited for.
//! So the model is walked with a set of everything that calls may have in hand: at each version of
//! the slot every call may have begun, read, and stalled. A record is explained if one of them can
//! go on from there to commit exactly that change; the first one that none of them can is reported,
//! with what could have happened instead.
//!
//! Calls are anonymous and as many as it takes, so the world of one slot is a single call on the
//! slot as the log has left it. A booking of `k` seats is that of one seat in a slot that has `k -
//! 1` seats less: a page asks for one seat in the model.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use slotproof_vocabulary::{AuditRecord, BookingStatus, StrategyKind};

use crate::{
    database::{CallId, Change, Database},
    exploration::{Losses, Size},
    modelled::{Ask, ask},
    step::Step,
    strategy::{Next, Strategy},
    symmetry::fingerprint,
    world::World,
};

/// The one call that stands for all.
const ANYBODY: CallId = CallId { client: 0, call: 0 };
/// A call that runs alone is over after fewer steps.
const STEPS_MAX: usize = 32;

/// What came of walking an audit log through a model.
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

/// Walks an audit log, sorted by slot and version, through the model of the strategy that is said
/// to have written it.
pub fn explain(kind: StrategyKind, capacity: i32, log: &[AuditRecord]) -> Explained {
    struct Explain<'a>(i32, &'a [AuditRecord]);
    impl Ask for Explain<'_> {
        type Answer = Explained;

        fn of<S: Strategy>(self) -> Explained {
            explain_by::<S>(self.0, self.1)
        }
    }
    ask(kind, Explain(capacity, log))
}

fn explain_by<S: Strategy>(capacity: i32, log: &[AuditRecord]) -> Explained {
    let mut explained = Explained {
        records: 0,
        unexplained: None,
        reached: BTreeSet::new(),
        possible: kinds_of::<S>(),
    };
    for records in log.chunk_by(|left, right| left.slot == right.slot) {
        let mut slot = Slot::<S>::new(capacity, records);
        for record in records {
            match slot.take(record) {
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

/// A slot as its log has left it, and what calls may have in hand.
struct Slot<S> {
    capacity: i32,
    available: i32,
    version: u32,
    fence: u32,
    /// Seats of bookings that are live by the log.
    taken: i32,
    bookings: BTreeMap<String, BookingStatus>,
    /// Whether some booking has ended.
    ended: bool,
    /// For each number of seats that somebody books, where the calls that want so many may stand.
    standing: BTreeMap<i32, HashSet<S>>,
}

impl<S: Strategy> Slot<S> {
    fn new(capacity: i32, records: &[AuditRecord]) -> Self {
        let seats = records.iter().filter_map(|record| i32::try_from(record.seats).ok());
        Self {
            capacity,
            available: capacity,
            version: 0,
            fence: 0,
            taken: 0,
            bookings: BTreeMap::new(),
            ended: false,
            standing: seats.map(|seats| (seats, HashSet::new())).collect(),
        }
    }

    /// The database as a call of so many seats finds it.
    fn database(&self, seats: i32) -> Database {
        Database::as_left(
            self.capacity - (seats - 1),
            self.available - (seats - 1),
            self.version,
            self.fence,
            self.taken,
        )
    }

    /// Takes the change that a record tells of; answers its kind.
    fn take(&mut self, record: &AuditRecord) -> Result<String, Box<Unexplained>> {
        let seats = i32::try_from(record.seats).unwrap_or(i32::MAX);
        let known = self.bookings.get(&record.booking).copied();
        let lawful = known == record.from && record.version == i64::from(self.version) + 1;
        let possible = match (lawful, record.from) {
            (false, _) => BTreeMap::new(),
            (true, None) => self.takings(seats),
            (true, Some(from)) => self.changes(seats, from, record.to),
        };
        let available = i32::try_from(record.available).unwrap_or(i32::MIN);
        let Some(fence) = possible.get(&available).copied() else {
            return Err(Box::new(self.unexplained(record, known, &possible)));
        };
        let kind = kind(record.from, record.to, self.available, available, self.ended);
        match (record.from.is_some_and(BookingStatus::takes_seats), record.to.takes_seats()) {
            (false, true) => self.taken += seats,
            (true, false) => self.taken -= seats,
            _ => {}
        }
        self.ended |= !record.to.takes_seats();
        self.bookings.insert(record.booking.clone(), record.to);
        (self.available, self.version, self.fence) = (available, self.version + 1, fence);
        Ok(kind)
    }

    /// The counters that some call could leave behind by booking now, each with the fence; and all
    /// that happens without a trace.
    fn takings(&mut self, seats: i32) -> BTreeMap<i32, u32> {
        let wanted: Vec<i32> = self.standing.keys().copied().collect();
        let mut possible = BTreeMap::new();
        for other in wanted {
            let database = self.database(other);
            let mut standing = self.standing.remove(&other).unwrap_or_default();
            let left = let_all_run(&database, &mut standing);
            self.standing.insert(other, standing);
            if other == seats {
                possible = left;
            }
        }
        possible
    }

    /// The counters that a change of a booking could leave behind.
    fn changes(&self, seats: i32, from: BookingStatus, to: BookingStatus) -> BTreeMap<i32, u32> {
        let mut database =
            Database::as_left(self.capacity, self.available, self.version, self.fence, self.taken);
        database.with_booking(ANYBODY, seats, from, to == BookingStatus::Expired);
        let change = match to {
            BookingStatus::Confirmed => S::confirm(ANYBODY, &mut database),
            BookingStatus::Cancelled => S::cancel(ANYBODY, &mut database),
            BookingStatus::Expired => database.expire(ANYBODY),
            BookingStatus::Pending | BookingStatus::Failed => Change::Refused,
        };
        match change {
            Change::Done => BTreeMap::from([(database.slot.available, database.slot.fence)]),
            Change::Waits | Change::Refused => BTreeMap::new(),
        }
    }

    fn unexplained(
        &self,
        record: &AuditRecord,
        known: Option<BookingStatus>,
        possible: &BTreeMap<i32, u32>,
    ) -> Unexplained {
        let status = known.map_or("not there", BookingStatus::name);
        let mut instead: Vec<String> = possible
            .keys()
            .map(|available| format!("the same change, leaving {available} seats"))
            .collect();
        if record.version != i64::from(self.version) + 1 {
            instead.push(format!("a change with version {}", self.version + 1));
        }
        if known != record.from {
            instead.push(format!("a change of booking {}, which was {status}", record.booking));
        }
        Unexplained {
            record: record.clone(),
            before: format!(
                "version {}, {} of {} seats said to be free, {} taken; the booking was {status}",
                self.version, self.available, self.capacity, self.taken
            ),
            instead,
        }
    }
}

/// Lets every call that may be under way go on as far as it leaves no trace; answers the counters
/// that those leave behind that commit. A try that has failed is over.
fn let_all_run<S: Strategy>(database: &Database, standing: &mut HashSet<S>) -> BTreeMap<i32, u32> {
    let mut left = BTreeMap::new();
    let mut open: Vec<S> = S::BEGINNINGS.iter().copied().chain(standing.drain()).collect();
    while let Some(at) = open.pop() {
        if standing.contains(&at) {
            continue;
        }
        let mut after = database.clone();
        match at.step(ANYBODY, &mut after) {
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

/// Runs a call alone that has changed something, a lock at least, until it has committed; answers
/// the counter and the fence that it leaves.
fn commits<S: Strategy>(
    mut next: Next<S>,
    mut database: Database,
    version: u32,
) -> Option<(i32, u32)> {
    for _ in 0..STEPS_MAX {
        if database.slot.version != version {
            return Some((database.slot.available, database.slot.fence));
        }
        let Next::Goes(at) = next else { return None };
        next = at.step(ANYBODY, &mut database);
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
    let again = if some_have_ended { ", after some had come back" } else { "" };
    match (from, to) {
        (None, _) if after == 0 => format!("reserve of the last seats{again}"),
        (None, _) => format!("reserve that leaves seats{again}"),
        (Some(from), to) => {
            let full = if before == 0 { "full slot" } else { "slot with free seats" };
            format!("{} to {} in a {full}", from.name(), to.name())
        }
    }
}

/// The kinds of change that the model has, with two clients of one seat and of two, who lose
/// nothing.
fn kinds_of<S: Strategy>() -> BTreeSet<String> {
    [1, 2].into_iter().flat_map(|capacity| kinds_in::<S>(Size { clients: 2, capacity })).collect()
}

fn kinds_in<S: Strategy>(size: Size) -> BTreeSet<String> {
    let begin = World::<S>::with_losses(size, Losses::AtMost(0));
    let mut kinds = BTreeSet::new();
    let mut seen = HashSet::from([fingerprint(&begin)]);
    let mut open = vec![begin];
    while let Some(world) = open.pop() {
        let mut steps = Vec::new();
        Step::offer(&world, &mut steps);
        for step in steps {
            let mut next = world.clone();
            if step.take(&mut next).is_none() {
                continue;
            }
            kinds.extend(kind_of_step(&world, &next));
            if seen.insert(fingerprint(&next)) {
                open.push(next);
            }
        }
    }
    kinds
}

/// The kind of the change that a step has committed, if it has one.
fn kind_of_step<S: Strategy>(before: &World<S>, after: &World<S>) -> Option<String> {
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

    fn a_life() -> Vec<AuditRecord> {
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
            let explained = explain(*kind, 2, &a_life());
            assert_eq!((explained.records, explained.unexplained), (6, None), "{kind}");
            assert!(
                explained.reached.is_subset(&explained.possible),
                "{kind}: {:?}",
                explained.reached
            );
        }
    }

    #[test]
    fn a_seat_too_many_is_explained_by_those_who_sell_it_and_by_nobody_else() {
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
            let mut log = a_life();
            log[index] = record;
            first_unexplained(StrategyKind::Conditional, &log)
        };
        assert_eq!(with(1, record(3, "b", "pending", 0)), Some(3), "a gap");
        assert_eq!(with(2, record(3, "z", "pending>confirmed", 0)), Some(3), "nobody's booking");
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
