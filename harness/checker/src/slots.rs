//! A history slot by slot: slots are independent, and most of what is judged is judged of one.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use slotproof_vocabulary::{Action, Operation};

use crate::{
    Case, History,
    free::{Capacity, Free},
    occupancy::Occupancy,
    tenure::{self, Tenure},
};

/// What clients did in one slot, and what several invariants derive from it.
pub(crate) struct Slot<'a> {
    pub(crate) name: &'a str,
    pub(crate) operations: Operations<'a>,
    pub(crate) tenures: Vec<Tenure<'a>>,
    pub(crate) capacity: Capacity,
    pub(crate) free: Free,
    /// Keys that were sent more than once: an acknowledgement of one may be a receipt.
    pub(crate) repeated_keys: HashSet<&'a str>,
    /// Bookings for which more than one confirm, or more than one cancel, was sent.
    pub(crate) repeated_changes: HashSet<(&'static str, &'a str)>,
}

/// Some operations of a history, in its order. In few bytes each, for there may be millions.
pub(crate) struct Operations<'a> {
    history: &'a History,
    places: Vec<u32>,
}

impl<'a> Operations<'a> {
    /// With their places in the history.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a Operation)> + use<'a, '_> {
        self.places.iter().map(|place| (*place as usize, &self.history.operations[*place as usize]))
    }

    fn just(&self) -> impl Iterator<Item = &'a Operation> + use<'a, '_> {
        self.iter().map(|(_, operation)| operation)
    }
}

/// Operations by their slots, in the order of names.
pub(crate) fn operations_by_slot(history: &History) -> Vec<(&str, Operations<'_>)> {
    let mut places: HashMap<&str, usize> = HashMap::default();
    let mut slots: Vec<(&str, Operations<'_>)> = Vec::new();
    for (index, operation) in history.indexed() {
        let index =
            u32::try_from(index).expect("four thousand million operations would not be in memory");
        let place = *places.entry(&operation.slot).or_insert_with(|| {
            slots.push((&operation.slot, Operations { history, places: Vec::new() }));
            slots.len() - 1
        });
        slots[place].1.places.push(index);
    }
    slots.sort_unstable_by_key(|(name, _)| *name);
    slots
}

/// Every slot that the history names, in the order of names.
pub(crate) fn of(case: &Case) -> Vec<Slot<'_>> {
    let (mut bookings, strays) = bookings(&case.history);
    give_back(&mut bookings, &strays, &case.history);
    let slots = bookings.into_iter().map(|Bookings { name, operations, tenures }| {
        let capacity = Capacity::of(case.capacity_of(name), operations.just());
        let free = Free::of(&capacity, &Occupancy::of(&tenures, operations.just()));
        let (repeated_keys, repeated_changes) =
            (repeated_keys(&operations), repeated_changes(&operations));
        Slot { name, operations, tenures, capacity, free, repeated_keys, repeated_changes }
    });
    slots.collect()
}

/// How many seats were taken in each slot, at least and at most, for those who draw it.
pub fn occupancies(history: &History) -> BTreeMap<&str, Occupancy> {
    let (mut bookings, strays) = bookings(history);
    give_back(&mut bookings, &strays, history);
    let slots = bookings.into_iter().map(|Bookings { name, operations, tenures }| {
        (name, Occupancy::of(&tenures, operations.just()))
    });
    slots.collect()
}

struct Bookings<'a> {
    name: &'a str,
    operations: Operations<'a>,
    tenures: Vec<Tenure<'a>>,
}

/// The bookings of each slot, and the operations that change a booking that another slot must have
/// made.
fn bookings(history: &History) -> (Vec<Bookings<'_>>, Vec<usize>) {
    let last_returned = tenure::last_returned(history);
    let mut strays = Vec::new();
    let slots = operations_by_slot(history).into_iter().map(|(name, operations)| {
        let (tenures, strange) = tenure::tenures(&operations, &last_returned);
        strays.extend(strange);
        Bookings { name, operations, tenures }
    });
    (slots.collect(), strays)
}

/// A cancel that names another slot than its booking's is a cancel all the same.
fn give_back(slots: &mut [Bookings<'_>], strays: &[usize], history: &History) {
    if strays.is_empty() {
        return;
    }
    let mut tenures: HashMap<&str, Vec<&mut Tenure<'_>>> = HashMap::default();
    for tenure in slots.iter_mut().flat_map(|slot| &mut slot.tenures) {
        tenures.entry(tenure.booking).or_default().push(tenure);
    }
    for index in strays {
        let operation = &history.operations[*index];
        let (Action::Confirm { booking } | Action::Cancel { booking }) = &operation.action else {
            continue;
        };
        for tenure in tenures.get_mut(&**booking).into_iter().flatten() {
            tenure.change(*index, operation);
        }
    }
}

/// Keys that were sent more than once: an acknowledgement of one may be a receipt.
fn repeated_keys<'a>(operations: &Operations<'a>) -> HashSet<&'a str> {
    let mut sent: HashSet<&str> = HashSet::default();
    let keys = operations.just().filter_map(|operation| match &operation.action {
        Action::Reserve { key, .. } => Some(&**key),
        Action::Confirm { .. } | Action::Cancel { .. } | Action::Read | Action::Resize { .. } => {
            None
        }
    });
    keys.filter(|key| !sent.insert(key)).collect()
}

/// Bookings for which more than one confirm, or more than one cancel, was sent.
fn repeated_changes<'a>(operations: &Operations<'a>) -> HashSet<(&'static str, &'a str)> {
    let mut sent: HashSet<(&str, &str)> = HashSet::default();
    let changes = operations.just().filter_map(|operation| match &operation.action {
        Action::Confirm { booking } | Action::Cancel { booking } => {
            Some((operation.action.name(), &**booking))
        }
        Action::Reserve { .. } | Action::Read | Action::Resize { .. } => None,
    });
    changes.filter(|change| !sent.insert(*change)).collect()
}
