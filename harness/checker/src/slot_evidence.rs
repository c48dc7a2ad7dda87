//! The evidence of one slot: its operations, and what several invariants derive from them.

use foldhash::HashMap;
use slotproof_history::OperationRef;

use crate::{
    Case, History,
    availability::{AvailabilityBounds, WindowExtremes},
    basket,
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
    pub(crate) freshness: Freshness,
}

/// The evidence of every slot that the history names, in the order of the slots' names.
pub(crate) fn of(case: &Case) -> Vec<SlotEvidence<'_>> {
    of_bookings(case, held_interval::by_slot(&case.history))
}

/// The evidence of slots whose bookings are known.
pub(crate) fn of_bookings<'a>(case: &Case, slots: Vec<SlotBookings<'a>>) -> Vec<SlotEvidence<'a>> {
    let slots = slots.into_iter();
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

/// What the slots of baskets say about each other: a refused basket lacked seats in at least one of
/// its slots. Where that can have been one slot only, it was that one; otherwise the refusal is not
/// held against any of them alone.
pub(crate) fn refused_baskets(history: &History, slots: &[SlotEvidence<'_>]) -> Elsewhere {
    let calls = basket::calls(history);
    let mut elsewhere =
        Elsewhere { basket_calls: basket::call_of_line(&calls), ..Elsewhere::default() };
    let mut free: HashMap<&str, WindowExtremes<'_>> = HashMap::default();
    for call in &calls {
        let parts = elsewhere.refused_parts(history, call);
        let mut was_free = Vec::with_capacity(parts.len());
        for (name, (index, seats)) in parts {
            let Ok(place) = slots.binary_search_by_key(&name, |slot| slot.name) else { continue };
            let available = &slots[place].available.at_least;
            let free = free.entry(name).or_insert_with(|| WindowExtremes::smallest(available));
            let OperationRef { sent_ns, returned_ns, .. } = history.operations.at(index);
            was_free.push((index, free.within(sent_ns, returned_ns) >= seats));
        }
        let lacking = was_free.iter().filter(|(_, was_free)| !was_free).count();
        // If none lacked seats the refusal was wrong, and each part of it shows that.
        let judged = |was_free: bool| lacking == 0 || (lacking == 1 && !was_free);
        let excused = was_free.into_iter().filter(|(_, was_free)| !judged(*was_free));
        elsewhere.excused.extend(excused.map(|(index, _)| index));
    }
    elsewhere
}
