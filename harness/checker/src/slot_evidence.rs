//! The evidence of one slot: its operations, and what several invariants derive from them.

use foldhash::HashSet;
use slotproof_vocabulary::Action;

use crate::{
    Case,
    availability::AvailabilityBounds,
    capacity::CapacityBounds,
    held_interval::{self, HeldInterval, SlotBookings},
    occupancy::Occupancy,
    slot_operations::SlotOperations,
};

/// What clients did in one slot, and what several invariants derive from it.
pub(crate) struct SlotEvidence<'a> {
    pub(crate) name: &'a str,
    pub(crate) operations: SlotOperations<'a>,
    pub(crate) held_intervals: Vec<HeldInterval<'a>>,
    pub(crate) capacity: CapacityBounds,
    pub(crate) available: AvailabilityBounds,
    /// Keys that were sent more than once: an acknowledgement of one may be a receipt.
    pub(crate) repeated_keys: HashSet<&'a str>,
    /// Bookings for which more than one confirm, or more than one cancel, was sent.
    pub(crate) repeated_changes: HashSet<(&'static str, &'a str)>,
}

/// The evidence of every slot that the history names, in the order of the slots' names.
pub(crate) fn of(case: &Case) -> Vec<SlotEvidence<'_>> {
    let slots = held_interval::by_slot(&case.history).into_iter();
    let slots = slots.map(|SlotBookings { name, operations, held_intervals }| {
        let capacity = CapacityBounds::of(case.capacity_of(name), operations.just());
        let occupancy = Occupancy::of(&held_intervals, operations.just());
        let available = AvailabilityBounds::of(&capacity, &occupancy);
        let (repeated_keys, repeated_changes) =
            (repeated_keys(&operations), repeated_changes(&operations));
        SlotEvidence {
            name,
            operations,
            held_intervals,
            capacity,
            available,
            repeated_keys,
            repeated_changes,
        }
    });
    slots.collect()
}

fn repeated_keys<'a>(operations: &SlotOperations<'a>) -> HashSet<&'a str> {
    let mut sent: HashSet<&str> = HashSet::default();
    let keys = operations.just().filter_map(|operation| match &operation.action {
        Action::Reserve { key, .. } => Some(&**key),
        Action::Confirm { .. } | Action::Cancel { .. } | Action::Read | Action::Resize { .. } => {
            None
        }
    });
    keys.filter(|key| !sent.insert(key)).collect()
}

fn repeated_changes<'a>(operations: &SlotOperations<'a>) -> HashSet<(&'static str, &'a str)> {
    let mut sent: HashSet<(&str, &str)> = HashSet::default();
    let changes = operations.just().filter_map(|operation| match &operation.action {
        Action::Confirm { booking } | Action::Cancel { booking } => {
            Some((operation.action.name(), &**booking))
        }
        Action::Reserve { .. } | Action::Read | Action::Resize { .. } => None,
    });
    changes.filter(|change| !sent.insert(*change)).collect()
}
