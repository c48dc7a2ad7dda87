//! What few operations have, or what many have alike: kept once for each distinct value.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{BookingStatus, Terms};

/// Everything about an operation that its row has no place for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Extra {
    /// Numbers that do not fit in their places in the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wide: Option<Box<Wide>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terms: Option<Box<Terms>>,
    /// The slot that a change moves to, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_slot: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_seats: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<BookingStatus>,
}

/// The numbers of an operation of which at least one is too large for its place in a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wide {
    pub(crate) client: u64,
    pub(crate) process: u64,
    pub(crate) scheduled_ns: u64,
    pub(crate) attempts: u32,
    pub(crate) version: Option<i64>,
    pub(crate) available: Option<i64>,
}

/// Distinct extras. Number 0 is the empty one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras {
    /// Number `i` at place `i - 1`.
    kept: Vec<Extra>,
    numbers: HashTable<u32>,
}

const HASHER: FixedState = FixedState::with_seed(0);

impl Extras {
    /// The number of an extra, which is kept from now on.
    pub(crate) fn intern(&mut self, extra: Extra) -> u32 {
        if extra == Extra::default() {
            return 0;
        }
        let Self { kept, numbers } = self;
        let hash = HASHER.hash_one(&extra);
        if let Some(number) = numbers.find(hash, |number| kept[*number as usize - 1] == extra) {
            return *number;
        }
        kept.push(extra);
        let number = u32::try_from(kept.len()).expect("four billion do not fit in memory");
        numbers.insert_unique(hash, number, |it| HASHER.hash_one(&kept[*it as usize - 1]));
        number
    }

    /// The extra of a number; `None` for the empty one.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Extra> {
        number.checked_sub(1).map(|place| &self.kept[place as usize])
    }

    /// All but the empty one, in the order of their numbers.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Extra> {
        self.kept.iter()
    }
}
