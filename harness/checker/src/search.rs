//! Tier C: exact search for an order of events that explains everything that was told.
//!
//! Depth first: something may come next if nothing that surely happened had returned before it was
//! sent (Wing and Gong, 1993). Three things keep it small. What changes nothing and is possible now
//! is put next at once, without a choice: moving it forward hurts nobody. Among steps of one label
//! (a booking of so many seats is made; a booking of so many seats is over) only the one that
//! returns first is tried: if another one came first in some order, the two could change places.
//! And a set of steps that was reached before is not looked at again; the slot's state depends on
//! the set and on the number of seats alone, so a 128-bit hash of the two is remembered (Lowe,
//! Testing for Linearizability, 2017, remembers the states).
//!
//! The exchange holds for a booking whose other steps are all sent after its reserve had returned,
//! which is so where a client needs the answer to know its booking; other bookings have a label of
//! their own.
//!
//! It costs exponential time where many unlike steps overlap. A budget of steps and of remembered
//! sets ends it; then nothing is known. There is no limit of time, because a verdict must be the
//! same when it is repeated.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashSet;

use crate::{
    spec::{Change, Slot, Step},
    story::Story,
};

/// How much may be spent on one slot.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Steps that are looked at.
    pub steps: u64,
    /// Sets that are remembered, of 16 bytes each.
    pub sets: usize,
}

impl Budget {
    /// A second or two, and 100 MB.
    pub const DEFAULT: Self = Self { steps: 20_000_000, sets: 2_000_000 };
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is an order that explains everything.
    Explained,
    /// There is none.
    Impossible,
    /// The budget ended.
    Undecided {
        /// Steps that had been looked at.
        steps: u64,
    },
}

/// Searches one slot's story.
pub fn search(story: &Story, capacity: i64, budget: Budget) -> Found {
    search_counted(story, capacity, budget).0
}

/// The same, with the number of steps that were looked at.
pub fn search_counted(story: &Story, capacity: i64, budget: Budget) -> (Found, u64) {
    Search::new(story, capacity, budget).run()
}

/// What steps have in common that need not be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Take { seats: i64, sure: bool },
    Give { seats: i64, sure: bool },
    Own(usize),
}

struct Search<'a> {
    story: &'a Story,
    labels: Vec<Label>,
    budget: Budget,
    steps: u64,
    slot: Slot<u32>,
    /// Steps that have not been put in order, by when they were sent.
    open: BTreeSet<(u64, usize)>,
    /// Those of them that surely happened, by when they returned.
    due: BTreeSet<(u64, usize)>,
    hash: u128,
    seen: HashSet<u128>,
}

/// A place in the order at which there was a choice.
struct Choice {
    /// What was put in order since the choice before, the chosen step first.
    done: Vec<(usize, Change<u32>)>,
    /// What can be tried here.
    left: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(story: &'a Story, capacity: i64, budget: Budget) -> Self {
        let told = &story.told;
        Self {
            story,
            labels: labels(story),
            budget,
            steps: 0,
            slot: Slot::new(capacity),
            open: told.iter().enumerate().map(|(place, told)| (told.sent_ns, place)).collect(),
            due: told
                .iter()
                .enumerate()
                .filter(|(_, told)| told.sure)
                .map(|(place, told)| (told.returned_ns, place))
                .collect(),
            hash: 0,
            seen: HashSet::default(),
        }
    }

    fn run(mut self) -> (Found, u64) {
        let found = self.find();
        (found, self.steps)
    }

    fn find(&mut self) -> Found {
        let mut done = Vec::new();
        let mut choices: Vec<Choice> = Vec::new();
        loop {
            self.put_what_changes_nothing(&mut done);
            if self.steps >= self.budget.steps {
                return Found::Undecided { steps: self.steps };
            }
            if self.due.is_empty() {
                return Found::Explained;
            }
            let fresh = self.seen.insert(self.hash ^ seats_name(self.slot.capacity()));
            let left = if fresh { self.candidates() } else { Vec::new() };
            choices.push(Choice { done: std::mem::take(&mut done), left });
            // Back to the last place where something is left to try.
            let next = loop {
                if self.steps >= self.budget.steps || self.seen.len() >= self.budget.sets {
                    return Found::Undecided { steps: self.steps };
                }
                let Some(choice) = choices.last_mut() else { return Found::Impossible };
                if let Some(next) = choice.left.pop() {
                    break next;
                }
                let choice = choices.pop().expect("there is one");
                for (place, change) in choice.done.into_iter().rev() {
                    self.take_back(place, change);
                }
            };
            let change = self.put(next).expect("a candidate is possible");
            done.push((next, change));
        }
    }

    /// The instant before which whatever comes next was sent: the first return of what surely
    /// happened and is not in order yet.
    fn horizon_ns(&self) -> u64 {
        self.due.first().map_or(u64::MAX, |(returned_ns, _)| *returned_ns)
    }

    fn put_what_changes_nothing(&mut self, done: &mut Vec<(usize, Change<u32>)>) {
        while self.steps < self.budget.steps {
            let horizon_ns = self.horizon_ns();
            let mut looked = 0;
            let idle = self.open.iter().take_while(|(sent_ns, _)| *sent_ns <= horizon_ns).find(
                |(_, place)| {
                    looked += 1;
                    let told = &self.story.told[*place];
                    // A confirm only keeps a hold from running out, and one that was acknowledged
                    // had not.
                    let idle =
                        !self.slot.changes(&told.step) || matches!(told.step, Step::Keep { .. });
                    told.sure && idle && !resizes(&told.step) && self.slot.allows(&told.step)
                },
            );
            let idle = idle.map(|(_, place)| *place);
            self.steps += looked;
            let Some(place) = idle else { return };
            let change = self.put(place).expect("it is possible");
            done.push((place, change));
        }
    }

    /// For each label the step that returns first, the sure ones tried first.
    fn candidates(&mut self) -> Vec<usize> {
        let horizon_ns = self.horizon_ns();
        let mut best: BTreeMap<Label, (u64, usize)> = BTreeMap::new();
        let mut looked = 0;
        for (sent_ns, place) in self.open.iter().take_while(|(sent_ns, _)| *sent_ns <= horizon_ns) {
            looked += 1;
            let told = &self.story.told[*place];
            let idle = !self.slot.changes(&told.step) && !resizes(&told.step);
            if idle || !self.slot.allows(&told.step) {
                continue;
            }
            let first_by = if told.sure { told.returned_ns } else { *sent_ns };
            let label = best.entry(self.labels[*place]).or_insert((first_by, *place));
            *label = (*label).min((first_by, *place));
        }
        self.steps += looked;
        let mut candidates: Vec<usize> = best.into_values().map(|(_, place)| place).collect();
        // The last one is tried first: what surely happened and returns soonest.
        candidates.sort_by_key(|place| {
            let told = &self.story.told[*place];
            (told.sure, std::cmp::Reverse(told.returned_ns))
        });
        candidates
    }

    fn put(&mut self, place: usize) -> Option<Change<u32>> {
        let told = &self.story.told[place];
        let change = self.slot.step(&told.step)?;
        self.open.remove(&(told.sent_ns, place));
        self.due.remove(&(told.returned_ns, place));
        self.hash ^= name(place);
        Some(change)
    }

    fn take_back(&mut self, place: usize, change: Change<u32>) {
        let told = &self.story.told[place];
        self.slot.undo(change);
        self.open.insert((told.sent_ns, place));
        if told.sure {
            self.due.insert((told.returned_ns, place));
        }
        self.hash ^= name(place);
    }
}

/// A number that is there already may be put back later by the same call: only what stays true once
/// it is true may be moved forward.
fn resizes(step: &Step<u32>) -> bool {
    matches!(step, Step::Resize { .. })
}

/// A random-looking number for each number of seats: there are not so many steps as to have the
/// same.
fn seats_name(seats: i64) -> u128 {
    name(usize::MAX - seats as usize)
}

/// A random-looking number for each step; the hash of a set is the exclusive or of its members'
/// (Zobrist).
fn name(place: usize) -> u128 {
    let half = |seed: u64| {
        // splitmix64
        let mut word =
            (place as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    u128::from(half(0x5851_f42d_4c95_7f2d)) << 64 | u128::from(half(0x1405_7b7e_f767_814f))
}

/// What is known of one booking's steps.
#[derive(Default)]
struct Steps {
    takes: usize,
    seats: i64,
    taken_ns: u64,
    first_other_sent_ns: Option<u64>,
    last_keep_returned_ns: u64,
    sure_gives: usize,
    first_give_sent_ns: Option<u64>,
}

fn labels(story: &Story) -> Vec<Label> {
    let mut bookings: BTreeMap<u32, Steps> = BTreeMap::new();
    let earlier =
        |so_far: Option<u64>, at_ns: u64| Some(so_far.map_or(at_ns, |so_far| so_far.min(at_ns)));
    for told in &story.told {
        match told.step {
            Step::Take { booking, seats } => {
                let steps = bookings.entry(booking).or_default();
                steps.takes += 1;
                (steps.seats, steps.taken_ns) = (seats, steps.taken_ns.max(told.returned_ns));
            }
            Step::Keep { booking } => {
                let steps = bookings.entry(booking).or_default();
                steps.first_other_sent_ns = earlier(steps.first_other_sent_ns, told.sent_ns);
                steps.last_keep_returned_ns = steps.last_keep_returned_ns.max(told.returned_ns);
            }
            Step::Give { booking } => {
                let steps = bookings.entry(booking).or_default();
                steps.first_other_sent_ns = earlier(steps.first_other_sent_ns, told.sent_ns);
                steps.first_give_sent_ns = earlier(steps.first_give_sent_ns, told.sent_ns);
                steps.sure_gives += usize::from(told.sure);
            }
            Step::Refuse { .. } | Step::Look { .. } | Step::Resize { .. } => {}
        }
    }
    let label = |(place, told): (usize, &crate::story::Told)| match told.step {
        Step::Take { booking, seats } => {
            let steps = &bookings[&booking];
            let needs_its_answer =
                steps.first_other_sent_ns.is_none_or(|sent_ns| sent_ns > steps.taken_ns);
            if steps.takes == 1 && needs_its_answer {
                Label::Take { seats, sure: told.sure }
            } else {
                Label::Own(place)
            }
        }
        Step::Give { booking } => {
            let steps = &bookings[&booking];
            let kept_before = steps
                .first_give_sent_ns
                .is_some_and(|sent_ns| sent_ns > steps.last_keep_returned_ns);
            let last_word = if told.sure { steps.sure_gives == 1 } else { steps.sure_gives == 0 };
            if kept_before && last_word && steps.takes > 0 {
                Label::Give { seats: steps.seats, sure: told.sure }
            } else {
                Label::Own(place)
            }
        }
        Step::Keep { .. } | Step::Refuse { .. } | Step::Look { .. } | Step::Resize { .. } => {
            Label::Own(place)
        }
    };
    story.told.iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        fixture::{cancel, confirm, history, ms, read, reserve, sold_out, unknown},
        story::stories,
    };

    fn found(capacity: i64, operations: Vec<Operation>) -> Found {
        search(&stories(&history(operations))["s"], capacity, Budget::DEFAULT)
    }

    #[test]
    fn an_order_is_found_where_there_is_one() {
        let overlapping = vec![
            reserve("a", 1, 0, 30),
            cancel("a", 40, 90),
            reserve("b", 1, 45, 80),
            sold_out(1, 35, 44),
            read(1, 41, 85),
        ];
        assert_eq!(found(1, overlapping), Found::Explained);
        assert_eq!(
            found(1, vec![unknown(reserve("a", 1, 0, 9)), sold_out(1, 20, 30)]),
            Found::Explained
        );
        let mut hold = reserve("a", 1, 0, 10);
        hold.seen.hold_ms = Some(1);
        let later = reserve("b", 1, ms(2), ms(3));
        assert_eq!(
            found(1, vec![hold.clone(), later.clone()]),
            Found::Explained,
            "the hold ran out"
        );
        assert_eq!(
            found(1, vec![hold, confirm("a", 20, 30), later]),
            Found::Impossible,
            "it was confirmed"
        );
    }

    #[test]
    fn what_no_window_shows_is_refuted_by_search() {
        // Each answer alone is possible at some instant of its call; together they are not: the two
        // reads see the seats change twice.
        let operations =
            vec![reserve("a", 1, 0, 100), read(1, 10, 20), read(2, 30, 40), read(1, 50, 60)];
        assert_eq!(found(2, operations), Found::Impossible);
    }

    #[test]
    fn a_budget_that_ends_decides_nothing() {
        let operations = (0..40).map(|n| reserve(&format!("b{n}"), 1 + n % 3, 0, 100)).collect();
        let story = &stories(&history(operations)).into_values().next().expect("a slot");
        let found = search(story, 60, Budget { steps: 200, sets: 1_000 });
        assert!(matches!(found, Found::Undecided { steps } if steps >= 200), "{found:?}");
    }
}
