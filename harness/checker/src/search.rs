//! Tier C: exact search for an order of events that explains everything that clients observed.
//!
//! Depth first: a step may come next if every step that surely happened and had returned before it
//! was sent is already placed (Wing and Gong, 1993). Three things keep the search small. A step
//! that changes nothing and is possible now is placed at once, without a choice: moving it forward
//! makes no other step impossible. Among steps of one label (a booking of k seats is made; a
//! booking of k seats ends) only the one that returns first is tried: if another one came first in
//! some order, the two could change places. And a set of steps that was reached before is not
//! searched again; the slot's state depends on the set and on the capacity alone, so a 128-bit hash
//! of the two is remembered (Lowe, Testing for Linearizability, 2017, remembers the states).
//!
//! The exchange holds for a booking whose other steps are all sent after its reserve had returned,
//! which is so where a client needs the answer to know its booking; other bookings have a label of
//! their own.
//!
//! The search takes exponential time where many unlike steps overlap. A budget of steps and of
//! remembered sets ends it; then the slot is undecided. There is no limit of time, because a
//! verdict must be the same when it is repeated.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashSet;

use crate::{
    slot_history::{Observation, SlotHistory},
    spec::{Change, SlotState, Step},
};

/// How much may be spent on one slot.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Steps that are examined.
    pub steps: u64,
    /// Sets that are remembered, 16 bytes each.
    pub sets: usize,
}

impl Budget {
    /// A second or two, and 100 MB.
    pub const DEFAULT: Self = Self { steps: 20_000_000, sets: 2_000_000 };
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is an order that explains everything.
    Explained,
    /// There is none.
    Impossible,
    /// The budget ended.
    Undecided {
        /// Steps that had been examined.
        steps: u64,
    },
}

/// Searches for an order of one slot's history.
pub fn search(slot_history: &SlotHistory, capacity: i64, budget: Budget) -> Found {
    search_counted(slot_history, capacity, budget).0
}

/// The same, with the number of steps that were examined.
pub fn search_counted(slot_history: &SlotHistory, capacity: i64, budget: Budget) -> (Found, u64) {
    Search::new(slot_history, capacity, budget).run()
}

/// What interchangeable steps have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Reserve { seats: i64, sure: bool },
    Cancel { seats: i64, sure: bool },
    Own(usize),
}

struct Search<'a> {
    observations: &'a [Observation],
    labels: Vec<Label>,
    budget: Budget,
    steps: u64,
    slot: SlotState<u32>,
    /// Steps that are not placed yet, by when they were sent.
    open: BTreeSet<(u64, usize)>,
    /// Those of them that surely happened, by when they returned.
    due: BTreeSet<(u64, usize)>,
    hash: u128,
    seen: HashSet<u128>,
}

/// A place in the order at which there was a choice.
struct Choice {
    /// The steps placed since the choice before, the chosen step first.
    done: Vec<(usize, Change<u32>)>,
    /// The steps that are left to try here.
    left: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(slot_history: &'a SlotHistory, capacity: i64, budget: Budget) -> Self {
        let observations = &slot_history.observations;
        Self {
            observations,
            labels: labels(observations),
            budget,
            steps: 0,
            slot: SlotState::new(capacity),
            open: observations
                .iter()
                .enumerate()
                .map(|(place, observed)| (observed.sent_ns, place))
                .collect(),
            due: observations
                .iter()
                .enumerate()
                .filter(|(_, observed)| observed.sure)
                .map(|(place, observed)| (observed.returned_ns, place))
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
            self.place_what_changes_nothing(&mut done);
            if self.steps >= self.budget.steps {
                return Found::Undecided { steps: self.steps };
            }
            if self.due.is_empty() {
                return Found::Explained;
            }
            let fresh = self.seen.insert(self.hash ^ capacity_name(self.slot.capacity()));
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

    /// The step that comes next was sent before this instant: the first return of a step that
    /// surely happened and is not placed yet.
    fn horizon_ns(&self) -> u64 {
        self.due.first().map_or(u64::MAX, |(returned_ns, _)| *returned_ns)
    }

    fn place_what_changes_nothing(&mut self, done: &mut Vec<(usize, Change<u32>)>) {
        while self.steps < self.budget.steps {
            let horizon_ns = self.horizon_ns();
            let mut looked = 0;
            let idle = self.open.iter().take_while(|(sent_ns, _)| *sent_ns <= horizon_ns).find(
                |(_, place)| {
                    looked += 1;
                    let observed = &self.observations[*place];
                    // A confirm only keeps a hold from running out, and a hold whose confirm was
                    // acknowledged had not run out.
                    let idle = !self.slot.changes(&observed.step)
                        || matches!(observed.step, Step::Confirm { .. });
                    observed.sure
                        && idle
                        && !resizes(&observed.step)
                        && self.slot.allows(&observed.step)
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
            let observed = &self.observations[*place];
            let idle = !self.slot.changes(&observed.step) && !resizes(&observed.step);
            if idle || !self.slot.allows(&observed.step) {
                continue;
            }
            let first_by = if observed.sure { observed.returned_ns } else { *sent_ns };
            let label = best.entry(self.labels[*place]).or_insert((first_by, *place));
            *label = (*label).min((first_by, *place));
        }
        self.steps += looked;
        let mut candidates: Vec<usize> = best.into_values().map(|(_, place)| place).collect();
        // The last one is tried first: a step that surely happened and returns soonest.
        candidates.sort_by_key(|place| {
            let observed = &self.observations[*place];
            (observed.sure, std::cmp::Reverse(observed.returned_ns))
        });
        candidates
    }

    fn put(&mut self, place: usize) -> Option<Change<u32>> {
        let observed = &self.observations[place];
        let change = self.slot.step(&observed.step)?;
        self.open.remove(&(observed.sent_ns, place));
        self.due.remove(&(observed.returned_ns, place));
        self.hash ^= name(place);
        Some(change)
    }

    fn take_back(&mut self, place: usize, change: Change<u32>) {
        let observed = &self.observations[place];
        self.slot.undo(change);
        self.open.insert((observed.sent_ns, place));
        if observed.sure {
            self.due.insert((observed.returned_ns, place));
        }
        self.hash ^= name(place);
    }
}

/// A resize to the capacity that is in force changes nothing now, but may restore it later: only a
/// step that stays idle once it is idle may be moved forward.
fn resizes(step: &Step<u32>) -> bool {
    matches!(step, Step::Resize { .. })
}

/// A random-looking number for each capacity. It differs from those of all steps, because there are
/// far fewer steps than indexes.
fn capacity_name(seats: i64) -> u128 {
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
struct BookingSteps {
    reserves: usize,
    seats: i64,
    reserved_ns: u64,
    first_other_sent_ns: Option<u64>,
    last_confirm_returned_ns: u64,
    sure_cancels: usize,
    first_cancel_sent_ns: Option<u64>,
}

fn labels(observations: &[Observation]) -> Vec<Label> {
    let mut bookings: BTreeMap<u32, BookingSteps> = BTreeMap::new();
    let earlier =
        |so_far: Option<u64>, at_ns: u64| Some(so_far.map_or(at_ns, |so_far| so_far.min(at_ns)));
    for observed in observations {
        match observed.step {
            Step::Reserve { booking, seats } => {
                let steps = bookings.entry(booking).or_default();
                steps.reserves += 1;
                (steps.seats, steps.reserved_ns) =
                    (seats, steps.reserved_ns.max(observed.returned_ns));
            }
            Step::Confirm { booking } => {
                let steps = bookings.entry(booking).or_default();
                steps.first_other_sent_ns = earlier(steps.first_other_sent_ns, observed.sent_ns);
                steps.last_confirm_returned_ns =
                    steps.last_confirm_returned_ns.max(observed.returned_ns);
            }
            Step::Cancel { booking } => {
                let steps = bookings.entry(booking).or_default();
                steps.first_other_sent_ns = earlier(steps.first_other_sent_ns, observed.sent_ns);
                steps.first_cancel_sent_ns = earlier(steps.first_cancel_sent_ns, observed.sent_ns);
                steps.sure_cancels += usize::from(observed.sure);
            }
            Step::SoldOut { .. } | Step::Read { .. } | Step::Resize { .. } => {}
        }
    }
    let label = |(place, observed): (usize, &Observation)| match observed.step {
        Step::Reserve { booking, seats } => {
            let steps = &bookings[&booking];
            let needs_its_answer =
                steps.first_other_sent_ns.is_none_or(|sent_ns| sent_ns > steps.reserved_ns);
            if steps.reserves == 1 && needs_its_answer {
                Label::Reserve { seats, sure: observed.sure }
            } else {
                Label::Own(place)
            }
        }
        Step::Cancel { booking } => {
            let steps = &bookings[&booking];
            let confirmed_before = steps
                .first_cancel_sent_ns
                .is_some_and(|sent_ns| sent_ns > steps.last_confirm_returned_ns);
            let last_cancel =
                if observed.sure { steps.sure_cancels == 1 } else { steps.sure_cancels == 0 };
            if confirmed_before && last_cancel && steps.reserves > 0 {
                Label::Cancel { seats: steps.seats, sure: observed.sure }
            } else {
                Label::Own(place)
            }
        }
        Step::Confirm { .. } | Step::SoldOut { .. } | Step::Read { .. } | Step::Resize { .. } => {
            Label::Own(place)
        }
    };
    observations.iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        fixture::{cancel, confirm, history, ms, read, reserve, sold_out, unknown},
        slot_history::by_slot,
    };

    fn found(capacity: i64, operations: Vec<Operation>) -> Found {
        search(&by_slot(&history(operations))["s"], capacity, Budget::DEFAULT)
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
    fn a_history_that_no_single_call_refutes_is_refuted_by_search() {
        // Each answer alone is possible at some instant of its call; together they are not: the two
        // reads see the seats change twice.
        let operations =
            vec![reserve("a", 1, 0, 100), read(1, 10, 20), read(2, 30, 40), read(1, 50, 60)];
        assert_eq!(found(2, operations), Found::Impossible);
    }

    #[test]
    fn a_search_that_runs_out_of_budget_is_undecided() {
        let operations = (0..40).map(|n| reserve(&format!("b{n}"), 1 + n % 3, 0, 100)).collect();
        let history = history(operations);
        let found = search(&by_slot(&history)["s"], 60, Budget { steps: 200, sets: 1_000 });
        assert!(matches!(found, Found::Undecided { steps } if steps >= 200), "{found:?}");
    }
}
