//! The operations of a history, slot by slot: slots are independent, and most properties are judged
//! for one slot at a time. A change that moves a booking is an operation of both slots.

use slotproof_history::{Gathered, OperationRef};

use crate::History;

/// The operations of one slot, in the order of the history.
pub(crate) struct SlotOperations<'a> {
    history: &'a History,
    places: Vec<u32>,
    gathered: Gathered<'a>,
}

impl<'a> SlotOperations<'a> {
    fn of(history: &'a History, places: Vec<u32>) -> Self {
        let gathered = history.operations.gathered(&places);
        Self { history, places, gathered }
    }

    /// With their indexes in the history.
    #[inline]
    pub(crate) fn iter(
        &self,
    ) -> impl Iterator<Item = (usize, OperationRef<'a>)> + Clone + use<'a, '_> {
        self.places.iter().map(|place| *place as usize).zip(self.just())
    }

    /// The line of an operation of the history.
    pub(crate) fn line_of(&self, index: usize) -> usize {
        self.history.line_of(index)
    }

    /// Without their indexes.
    #[inline]
    pub(crate) fn just(&self) -> impl Iterator<Item = OperationRef<'a>> + Clone + use<'a, '_> {
        self.gathered.iter()
    }
}

/// The places of the operations of every slot that the history names, in the order of the slots'
/// names. Four bytes each, because a history may have millions.
pub(crate) struct Places<'a> {
    history: &'a History,
    slots: Vec<(&'a str, Vec<u32>)>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let names = history.operations.slots();
        let mut slots: Vec<_> = names.iter().map(|name| (name.text(), Vec::new())).collect();
        for (index, operation) in history.indexed() {
            let index = u32::try_from(index).expect("four billion operations do not fit in memory");
            for slot in [Some(operation.slot), operation.moves_to()].into_iter().flatten() {
                slots[slot.id() as usize].1.push(index);
            }
        }
        slots.retain(|(_, places)| !places.is_empty());
        slots.sort_unstable_by_key(|(name, _)| *name);
        Self { history, slots }
    }

    /// The slots, one after the other.
    pub(crate) fn into_slots(self) -> impl Iterator<Item = (&'a str, SlotOperations<'a>)> {
        let history = self.history;
        let slots = self.slots.into_iter();
        slots.map(move |(name, places)| (name, SlotOperations::of(history, places)))
    }

    /// How many operations the slot with most of them has.
    pub(crate) fn most(&self) -> usize {
        self.slots.iter().map(|(_, places)| places.len()).max().unwrap_or_default()
    }

    /// Neighbouring slots together, so that each part has so many operations or more.
    pub(crate) fn into_parts(self, operations: usize) -> Vec<Self> {
        let Self { history, slots } = self;
        let mut parts: Vec<Self> = Vec::new();
        let mut last = operations;
        for slot in slots {
            if last >= operations {
                parts.push(Self { history, slots: Vec::new() });
                last = 0;
            }
            last += slot.1.len();
            parts.last_mut().expect("there is one").slots.push(slot);
        }
        parts
    }
}

/// The operations of every slot that the history names, in the order of the slots' names.
pub(crate) fn by_slot(history: &History) -> impl Iterator<Item = (&str, SlotOperations<'_>)> {
    Places::of(history).into_slots()
}
