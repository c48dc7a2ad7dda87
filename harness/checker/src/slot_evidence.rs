//! The evidence of one slot: its operations, and what several invariants derive from them.

use foldhash::HashMap;
use slotproof_vocabulary::{Action, Outcome};

use crate::{
    Case,
    availability::{AvailabilityBounds, WindowExtremes},
    capacity::CapacityBounds,
    freshness::Freshness,
    held_interval::{self, HeldInterval, SlotBookings},
    occupancy::Occupancy,
    overbooking::{self, Overbooking},
    slot_history::Elsewhere,
    slot_operations::SlotOperations,
};

/// What clients did in one slot, and what several invariants derive from it.
pub(crate) struct SlotEvidence<'a> {
    pub(crate) name: &'a str,
    pub(crate) operations: SlotOperations<'a>,
    pub(crate) held_intervals: Vec<HeldInterval<'a>>,
    pub(crate) capacity: CapacityBounds,
    pub(crate) available: AvailabilityBounds,
    pub(crate) overbooking: Option<Overbooking>,
    /// Which answers are of now.
    pub(crate) freshness: Freshness<'a>,
}

/// The evidence of every slot that the history names, in the order of the slots' names.
pub(crate) fn of(case: &Case) -> Vec<SlotEvidence<'_>> {
    let slots = held_interval::by_slot(&case.history).into_iter();
    let slots = slots.map(|SlotBookings { name, operations, mut held_intervals }| {
        let capacity = CapacityBounds::of(case.capacity_of(name), operations.just());
        held_interval::begin_when_seats_were_free(&mut held_intervals, &capacity.most);
        let occupancy = Occupancy::of(&held_intervals, operations.just());
        let available = AvailabilityBounds::of(&capacity, &occupancy);
        let overbooking = overbooking::overbooking(&held_intervals, &capacity, &available);
        let freshness = Freshness::of(&operations);
        SlotEvidence {
            name,
            operations,
            held_intervals,
            capacity,
            available,
            overbooking,
            freshness,
        }
    });
    slots.collect()
}

/// A basket that was refused, in one slot.
#[derive(Debug, Clone, Copy)]
struct RefusedPart {
    /// Its first operation in the slot.
    index: usize,
    /// Seats that it wanted there.
    seats: i64,
    /// Whether they were surely free at every instant of the call.
    was_free: bool,
}

/// What the slots of baskets say about each other: a refused basket lacked seats in at least one of
/// its slots. Where that can have been one slot only, it was that one; otherwise the refusal is not
/// held against any of them alone.
pub(crate) fn refused_baskets(slots: &[SlotEvidence<'_>]) -> Elsewhere {
    let mut elsewhere = Elsewhere::default();
    let mut baskets: HashMap<&str, Vec<RefusedPart>> = HashMap::default();
    for slot in slots {
        let mut here: HashMap<&str, (RefusedPart, u64, u64)> = HashMap::default();
        for (index, operation) in slot.operations.iter() {
            let (Some(basket), Action::Reserve { seats, .. }, Outcome::SoldOut) =
                (operation.basket(), &operation.action, operation.outcome)
            else {
                continue;
            };
            let wanted = i64::from(*seats);
            match here.get_mut(basket) {
                Some((part, ..)) => {
                    part.seats += wanted;
                    // Its seats count with the first part of the slot.
                    elsewhere.excused.insert(index);
                }
                None => {
                    let part = RefusedPart { index, seats: wanted, was_free: false };
                    here.insert(basket, (part, operation.sent_ns, operation.returned_ns));
                }
            }
        }
        if here.is_empty() {
            continue;
        }
        let free = WindowExtremes::smallest(&slot.available.at_least);
        for (basket, (part, sent_ns, returned_ns)) in here {
            let was_free = free.within(sent_ns, returned_ns) >= part.seats;
            elsewhere.wanted.insert(part.index, part.seats as i32);
            baskets.entry(basket).or_default().push(RefusedPart { was_free, ..part });
        }
    }
    for parts in baskets.values() {
        let lacking = parts.iter().filter(|part| !part.was_free).count();
        // If none lacked seats the refusal was wrong, and each part of it shows that.
        let judged = |part: &&RefusedPart| lacking == 0 || (lacking == 1 && !part.was_free);
        let excused = parts.iter().filter(|part| !judged(part));
        elsewhere.excused.extend(excused.map(|part| part.index));
    }
    elsewhere
}
