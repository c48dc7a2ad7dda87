//! Slot histories: what clients observed of one slot, as steps of the spec with the intervals in
//! which they happened.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::{
    History,
    slot_operations::{self, SlotOperations},
    spec::Step,
};

/// A step that a client observed, and when it happened.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What happened.
    pub step: Step<u32>,
    /// Not before this instant.
    pub sent_ns: u64,
    /// Not after this one, if it happened at all.
    pub returned_ns: u64,
    /// Whether it surely happened.
    pub sure: bool,
    /// The operation's index in the history.
    pub index: usize,
    /// The slot's version that the answer carried.
    pub version: Option<i64>,
}

/// Everything that clients observed of one slot. Bookings are numbered.
#[derive(Debug, Clone, Default)]
pub struct SlotHistory {
    /// In the order of the history.
    pub observations: Vec<Observation>,
    /// Why an order cannot be searched for, if it cannot: some operation is no step of the spec.
    pub unsearchable: Option<String>,
    /// Bookings that were confirmed, or cancelled, by more than one call, answered or not: an
    /// acknowledgement may repeat an older one.
    pub contested: HashSet<u32>,
}

/// Numbers of bookings, by their ids, and by the keys of requests that were not answered.
#[derive(Default)]
struct Names<'a> {
    by_id: HashMap<&'a str, u32>,
    by_key: HashMap<&'a str, u32>,
    /// Keys of requests that were not answered: only those need a name.
    unanswered: HashSet<&'a str>,
    next: u32,
}

impl<'a> Names<'a> {
    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The booking that an acknowledged reserve was told of.
    fn made(&mut self, key: &'a str, id: &'a str) -> u32 {
        let number = match self.by_id.get(id) {
            Some(number) => *number,
            None => {
                let number = self.fresh();
                self.by_id.insert(id, number);
                number
            }
        };
        if self.unanswered.contains(key) {
            self.by_key.entry(key).or_insert(number);
        }
        number
    }

    /// The booking that an unanswered reserve may have made.
    fn perhaps(&mut self, key: &'a str) -> u32 {
        match self.by_key.get(key) {
            Some(number) => *number,
            None => {
                let number = self.fresh();
                self.by_key.insert(key, number);
                number
            }
        }
    }
}

/// The history of every slot, one after the other: all of them at once would need as much memory as
/// the whole history.
pub fn each_slot(history: &History) -> impl Iterator<Item = (&str, SlotHistory)> {
    slot_operations::by_slot(history)
        .into_iter()
        .map(|(slot, operations)| (slot, of_slot(&operations)))
}

/// The history of every slot, by the slot's name.
pub fn by_slot(history: &History) -> BTreeMap<&str, SlotHistory> {
    each_slot(history).collect()
}

/// The history of one slot.
pub(crate) fn of_slot(operations: &SlotOperations<'_>) -> SlotHistory {
    let mut names = Names::default();
    for (_, operation) in operations.iter() {
        if let (Action::Reserve { key, .. }, Outcome::Unknown) =
            (&operation.action, operation.outcome)
        {
            names.unanswered.insert(key);
        }
    }
    for (_, operation) in operations.iter() {
        if let (Action::Reserve { key, .. }, Outcome::Ok, Some(id)) =
            (&operation.action, operation.outcome, &operation.seen.booking)
        {
            names.made(key, id);
        }
    }
    let mut slot_history =
        SlotHistory { contested: contested(operations, &names), ..SlotHistory::default() };
    for (index, operation) in operations.iter() {
        match step(operation, &mut names) {
            Ok(Some(step)) => slot_history.observations.push(observation(operation, index, step)),
            Ok(None) => {}
            Err(reason) => {
                slot_history.unsearchable.get_or_insert(format!("line {}: {reason}", index + 1));
            }
        }
    }
    slot_history.observations.extend(expiries(operations, &names));
    slot_history
}

fn contested(operations: &SlotOperations<'_>, names: &Names<'_>) -> HashSet<u32> {
    let mut sent = HashSet::default();
    let changes = operations.iter().filter_map(|(_, operation)| match &operation.action {
        Action::Confirm { booking } | Action::Cancel { booking } => {
            Some((operation.action.name(), &**booking))
        }
        Action::Reserve { .. } | Action::Read | Action::Resize { .. } => None,
    });
    let again = changes.filter(|change| !sent.insert(*change));
    again.filter_map(|(_, booking)| names.by_id.get(booking).copied()).collect()
}

fn observation(operation: &Operation, index: usize, step: Step<u32>) -> Observation {
    let sure = operation.outcome != Outcome::Unknown;
    Observation {
        step,
        sent_ns: operation.sent_ns,
        returned_ns: if sure { operation.returned_ns } else { u64::MAX },
        sure,
        index,
        version: operation.seen.version.filter(|_| sure),
    }
}

/// `None` for an operation that says nothing about the slot's seats.
fn step<'a>(
    operation: &'a Operation,
    names: &mut Names<'a>,
) -> Result<Option<Step<u32>>, &'static str> {
    let known = |names: &Names<'a>, booking: &str| {
        names.by_id.get(booking).copied().ok_or("no reserve was acknowledged with this booking")
    };
    Ok(match (&operation.action, operation.outcome) {
        (_, Outcome::Rejected | Outcome::Throttled) => None,
        (Action::Reserve { seats, .. }, Outcome::SoldOut) => {
            Some(Step::SoldOut { seats: (*seats).into() })
        }
        (Action::Reserve { seats, key }, outcome) => {
            let booking = match (&operation.seen.booking, outcome) {
                (Some(id), Outcome::Ok) => names.made(key, id),
                _ => names.perhaps(key),
            };
            Some(Step::Reserve { booking, seats: (*seats).into() })
        }
        // An unknown confirm changes nothing that a client must have seen.
        (Action::Confirm { .. }, Outcome::Unknown) => None,
        (Action::Confirm { booking }, _) => Some(Step::Confirm { booking: known(names, booking)? }),
        (Action::Cancel { booking }, Outcome::Unknown) => {
            names.by_id.get(&**booking).map(|booking| Step::Cancel { booking: *booking })
        }
        (Action::Cancel { booking }, _) => Some(Step::Cancel { booking: known(names, booking)? }),
        (Action::Read, Outcome::Ok) => {
            operation.seen.available.map(|available| Step::Read { available })
        }
        (Action::Read, _) => None,
        (Action::Resize { capacity }, _) => Some(Step::Resize { capacity: (*capacity).into() }),
    })
}

/// Bookings that may have given their seats back by themselves: holds that were not confirmed, from
/// when they can have run out at the earliest, and bookings made by unanswered calls, whose hold
/// time is unknown. (A hold that a cancel ended may have run out before: a service may answer `ok`
/// to a cancel of an expired booking.)
fn expiries(operations: &SlotOperations<'_>, names: &Names<'_>) -> Vec<Observation> {
    let runs_out = |operation: &Operation| {
        operation.seen.hold_ms.is_some() || operation.outcome == Outcome::Unknown
    };
    if !operations.iter().any(|(_, operation)| runs_out(operation)) {
        return Vec::new();
    }
    // An unanswered call may have made the booking that a later one by the same key was told of.
    let mut first_sent: HashMap<&str, u64> = HashMap::default();
    let mut answered: HashSet<&str> = HashSet::default();
    for (_, operation) in operations.iter() {
        if let Action::Reserve { key, .. } = &operation.action {
            let sent_ns = first_sent.entry(key).or_insert(operation.sent_ns);
            *sent_ns = operation.sent_ns.min(*sent_ns);
            if operation.outcome == Outcome::Ok {
                answered.insert(key);
            }
        }
    }
    let mut holds: BTreeMap<u32, Observation> = BTreeMap::new();
    for (index, operation) in operations.iter() {
        let Action::Reserve { key, .. } = &operation.action else { continue };
        let (booking, hold_ms) =
            match (operation.outcome, &operation.seen.booking, operation.seen.hold_ms) {
                (Outcome::Ok, Some(id), Some(hold_ms)) => (names.by_id[&**id], hold_ms),
                (Outcome::Unknown, _, _) if !answered.contains(&**key) => (names.by_key[&**key], 0),
                _ => continue,
            };
        let over_ns = first_sent[&**key].saturating_add(hold_ms.saturating_mul(1_000_000));
        let expiry = Observation {
            step: Step::Cancel { booking },
            sent_ns: over_ns,
            returned_ns: u64::MAX,
            sure: false,
            index,
            version: None,
        };
        let hold = holds.entry(booking).or_insert(expiry);
        hold.sent_ns = hold.sent_ns.min(over_ns);
    }
    for (_, operation) in operations.iter() {
        if let (Action::Confirm { booking }, Outcome::Ok) = (&operation.action, operation.outcome)
            && let Some(booking) = names.by_id.get(&**booking)
        {
            holds.remove(booking);
        }
    }
    holds.into_values().collect()
}
