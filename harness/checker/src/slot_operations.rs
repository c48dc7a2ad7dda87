//! The operations of a history, slot by slot: slots are independent, and most properties are judged
//! for one slot at a time. A change that moves a booking is an operation of both slots.

use foldhash::HashMap;
use slotproof_vocabulary::Operation;

use crate::History;

/// The operations of one slot, in the order of the history. Four bytes each, because a history may
/// have millions.
pub(crate) struct SlotOperations<'a> {
    history: &'a History,
    places: Vec<u32>,
}

impl<'a> SlotOperations<'a> {
    /// With their indexes in the history.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a Operation)> + use<'a, '_> {
        self.places.iter().map(|place| (*place as usize, &self.history.operations[*place as usize]))
    }

    /// The line of an operation of the history.
    pub(crate) fn line_of(&self, index: usize) -> usize {
        self.history.line_of(index)
    }

    /// Without their indexes.
    pub(crate) fn just(&self) -> impl Iterator<Item = &'a Operation> + use<'a, '_> {
        self.iter().map(|(_, operation)| operation)
    }
}

/// The operations of every slot that the history names, in the order of the slots' names.
pub(crate) fn by_slot(history: &History) -> Vec<(&str, SlotOperations<'_>)> {
    let mut places: HashMap<&str, usize> = HashMap::default();
    let mut slots: Vec<(&str, SlotOperations<'_>)> = Vec::new();
    for (index, operation) in history.indexed() {
        let index =
            u32::try_from(index).expect("more than four billion operations do not fit in memory");
        for name in [Some(&operation.slot), operation.moves_to()].into_iter().flatten() {
            let place = *places.entry(name).or_insert_with(|| {
                slots.push((name, SlotOperations { history, places: Vec::new() }));
                slots.len() - 1
            });
            slots[place].1.places.push(index);
        }
    }
    slots.sort_unstable_by_key(|(name, _)| *name);
    slots
}
