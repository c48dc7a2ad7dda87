//! Names, each kept once: keys, bookings, reasons and slots of a history.
//!
//! Two names are equal if and only if their ids are, so the checker compares and hashes four bytes
//! where the text may have forty.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    hint,
    ops::Deref,
};

use foldhash::fast::FixedState;

/// Texts that are numbered from 0, in the order in which they were first named.
#[derive(Clone, Default)]
pub struct Names {
    text: String,
    /// Where each name ends in the text; it begins where the one before it ends.
    ends: Vec<usize>,
    ids: Ids,
}

/// Fixed, so that a run is repeated in every detail.
const HASHER: FixedState = FixedState::with_seed(0);

/// The ids of names by their hashes: open addressing, with the hash beside the id, so that it grows
/// without looking at any text.
#[derive(Clone, Default)]
struct Ids {
    /// A hash, and an id and one more; 0 where there is none. As many as a power of two, or none.
    places: Vec<u64>,
}

impl Ids {
    fn place_of(&self, hash: u32) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.place_of(hash);
        loop {
            let (kept, id) = ((self.places[place] >> 32) as u32, self.places[place] as u32);
            if id == 0 {
                return None;
            }
            if kept == hash && is_it(id - 1) {
                return Some(id - 1);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }

    /// Makes room for so many ids: at most three quarters of the places are taken.
    fn reserve(&mut self, ids: usize) {
        let wanted = (ids + ids / 3 + 1).next_power_of_two().max(16);
        if wanted > self.places.len() {
            let before = std::mem::replace(&mut self.places, vec![0; wanted]);
            before.into_iter().filter(|kept| *kept != 0).for_each(|kept| self.put(kept));
        }
    }

    fn put(&mut self, kept: u64) {
        let mut place = self.place_of((kept >> 32) as u32);
        while self.places[place] != 0 {
            place = (place + 1) & (self.places.len() - 1);
        }
        self.places[place] = kept;
    }

    /// Looks at the places of hashes, all at once: they are in the cache when they are needed.
    fn warm(&self, hashes: &[u32]) {
        let looked = hashes.iter().fold(0, |sum, hash| sum ^ self.places[self.place_of(*hash)]);
        hint::black_box(looked);
    }
}

fn hash_of(name: &str) -> u32 {
    let hash = HASHER.hash_one(name);
    (hash ^ (hash >> 32)) as u32
}

impl Names {
    /// The id of a name, which is kept from now on.
    ///
    /// # Panics
    /// At more than four billion names, which do not fit in memory.
    pub fn intern(&mut self, name: &str) -> u32 {
        self.ids.reserve(self.ends.len() + 1);
        self.intern_hashed(name, hash_of(name))
    }

    /// The ids of some names, which are kept from now on.
    ///
    /// # Panics
    /// At more than four billion names, which do not fit in memory.
    pub fn intern_all<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone) -> Vec<u32> {
        let hashes: Vec<u32> = names.clone().map(hash_of).collect();
        self.ids.reserve(self.ends.len() + hashes.len());
        self.ids.warm(&hashes);
        names.zip(hashes).map(|(name, hash)| self.intern_hashed(name, hash)).collect()
    }

    fn intern_hashed(&mut self, name: &str, hash: u32) -> u32 {
        let Self { text, ends, ids } = self;
        if let Some(id) = ids.find(hash, |id| of(text, ends, id) == name) {
            return id;
        }
        let id = u32::try_from(ends.len() + 1).expect("four billion names do not fit in memory");
        text.push_str(name);
        ends.push(text.len());
        ids.put(u64::from(hash) << 32 | u64::from(id));
        id - 1
    }

    /// The id of a name; `None` if it is not known.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.ids.find(hash_of(name), |id| self.text(id) == name)
    }

    /// The text of an id.
    ///
    /// # Panics
    /// For an id that this table has not given.
    #[inline]
    pub fn text(&self, id: u32) -> &str {
        of(&self.text, &self.ends, id)
    }

    /// A name of this table.
    #[inline]
    pub fn name(&self, id: u32) -> Name<'_> {
        Name { id, names: self }
    }

    /// How many there are: ids are less than this.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all names.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// All names, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = Name<'_>> + Clone {
        (0..self.len()).map(|id| self.name(id as u32))
    }
}

#[inline]
fn of<'a>(text: &'a str, ends: &[usize], id: u32) -> &'a str {
    let id = id as usize;
    let begin = id.checked_sub(1).map_or(0, |before| ends[before]);
    &text[begin..ends[id]]
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A name of a table, by its id. Names of different tables must not be compared.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    id: u32,
    names: &'a Names,
}

impl<'a> Name<'a> {
    /// The number of the name in its table.
    #[inline]
    pub fn id(self) -> u32 {
        self.id
    }

    /// What it is.
    #[inline]
    pub fn text(self) -> &'a str {
        self.names.text(self.id)
    }
}

impl Deref for Name<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.text()
    }
}

impl PartialEq for Name<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        debug_assert!(std::ptr::eq(self.names, other.names), "names of two tables");
        self.id == other.id
    }
}

impl Eq for Name<'_> {}

impl Hash for Name<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_comes_back_byte_for_byte() {
        let mut names = Names::default();
        let texts = ["", "a", "ä\u{0}\n", "00000001-0142-8200-8000-000000000001", "a"];
        let ids = texts.map(|text| names.intern(text));
        assert_eq!(ids, [0, 1, 2, 3, 1]);
        assert_eq!(ids.map(|id| names.text(id)), texts);
        assert_eq!((names.find("a"), names.find("b"), names.len()), (Some(1), None, 4));
    }

    #[test]
    fn many_names_keep_their_ids_while_the_table_grows() {
        let mut names = Names::default();
        let text = |number: u32| format!("name-{number}");
        assert!((0..50_000).all(|number| names.intern(&text(number)) == number));
        assert!((0..50_000).all(|number| names.find(&text(number)) == Some(number)));
        let again: Vec<String> = (49_000..51_000).map(text).collect();
        let ids = names.intern_all(again.iter().chain(&again).map(String::as_str));
        assert!(ids.iter().copied().eq((49_000..51_000).chain(49_000..51_000)));
    }
}
