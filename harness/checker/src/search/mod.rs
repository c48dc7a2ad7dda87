//! Tier C: exact search for an order of events that explains everything that clients observed.
//!
//! Depth first: a step may come next if every step that surely happened and had returned before it
//! was sent is already placed (Wing and Gong, 1993). Three things keep the search small. A step
//! that changes nothing and is possible now is placed at once, without a choice: moving it forward
//! makes no other step impossible. Among steps of one label (a booking of k seats is made; a
//! booking of k seats ends) only the one that returns first is tried: if another one came first in
//! some order, the two could change places (`labels.rs`). And a set of steps that was reached
//! before is not searched again: a 128-bit hash of the set and of what else the slot's state
//! depends on is remembered (Lowe, Testing for Linearizability, 2017, remembers the states).
//!
//! **Versions.** A version names one change of the slot's seats, and rises with each. So answers
//! are placed in the order of their versions; one that moves seats writes a version that the slot
//! did not have before; and one that moves seats without saying its version takes one too.
//!
//! **Holds.** A hold runs out no earlier than its length after it was made, and it was made no
//! earlier than the last sending of all that precedes it. The first search is generous: it counts
//! from the sending of its own call. If it finds no order there is none. If it finds one in which
//! holds run out, the instants of that order are worked out, and may fit. If they do not, a second
//! search keeps account of them, and takes the shortcuts all the same: an order that it finds is
//! one. Only if it finds none does a third search decide, without the shortcuts that ignore time.
//!
//! A client may be told that a hold is over as soon as it can have run out, before a sweeper has
//! given its seats back.
//!
//! A hold that is confirmed late may have run out and taken its seats again. That is rare, and
//! makes bookings unlike: an order without it is searched for first.
//!
//! The search takes exponential time where many unlike steps overlap. A budget of steps and of
//! remembered sets, in proportion to the length of the history, ends it; then the slot is
//! undecided. There is no limit of time, because a verdict must be the same when it is repeated.

mod chain;
mod labels;

use foldhash::{HashMap, HashSet};

use self::{
    chain::Chain,
    labels::{Facts, Label, booking_of, label},
};
use crate::{
    slot_history::{Observation, SlotHistory},
    spec::{Change, SlotState, Status, Step},
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
    /// For a history of this many steps: a second or two, and 100 MB, and in proportion to the
    /// length beyond that. A history without traps takes 40 to 60 steps for each of its own.
    pub fn for_length(length: usize) -> Self {
        Self { steps: 20_000_000 + 150 * length as u64, sets: 2_000_000 + length }
    }
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
    let observations = &slot_history.observations;
    let Some(plain) = without_late_confirms(observations) else {
        return search_all(observations, capacity, budget);
    };
    // An order without late confirms is an order.
    let (found, spent) = search_all(&plain, capacity, budget);
    if found != Found::Impossible {
        return (found, spent);
    }
    let left = Budget { steps: budget.steps.saturating_sub(spent), ..budget };
    let (found, steps) = search_all(observations, capacity, left);
    (found, spent + steps)
}

/// The observations in which no hold runs out before a confirm takes its seats again; `None` if
/// that makes no difference.
fn without_late_confirms(observations: &[Observation]) -> Option<Vec<Observation>> {
    let confirmed = |wanted: bool| {
        let confirms = observations.iter().filter(move |observed| observed.sure == wanted);
        confirms.filter_map(|observed| match observed.step {
            Step::Confirm { booking } => Some(booking),
            _ => None,
        })
    };
    let surely: HashSet<u32> = confirmed(true).collect();
    let needless = |observed: &Observation| match observed.step {
        Step::Confirm { .. } => !observed.sure,
        Step::Expire { booking } => surely.contains(&booking),
        _ => false,
    };
    if !observations.iter().any(needless) {
        return None;
    }
    Some(observations.iter().filter(|observed| !needless(observed)).cloned().collect())
}

fn search_all(observations: &[Observation], capacity: i64, budget: Budget) -> (Found, u64) {
    let facts = Facts::of(observations);
    let mut generous = Search::new(observations, &facts, Mode::Generous, capacity, budget);
    let found = generous.find();
    let steps = generous.steps;
    if found != Found::Explained || generous.order_keeps_the_time() {
        return (found, steps);
    }
    drop(generous);
    let mut spent = steps;
    for mode in [Mode::Hasty, Mode::Exact] {
        let left = budget.steps.saturating_sub(spent);
        // What the hasty search cannot find soon it will not find.
        let steps = if mode == Mode::Hasty { left / 4 } else { left };
        let mut search =
            Search::new(observations, &facts, mode, capacity, Budget { steps, ..budget });
        let found = search.find();
        spent += search.steps;
        match (found, mode) {
            (Found::Explained, _) => return (Found::Explained, spent),
            (Found::Impossible, Mode::Exact) => return (Found::Impossible, spent),
            _ => {}
        }
    }
    (Found::Undecided { steps: spent }, spent)
}

/// How a search treats the time of holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A hold counts from the first sending of a call that can have made it: earlier than is
    /// possible.
    Generous,
    /// A hold counts from the instant in the order at which it was made. Shortcuts are taken that
    /// may miss an order.
    Hasty,
    /// The same, without those shortcuts.
    Exact,
}

/// A step in its place, and what it replaced.
struct Placed {
    place: u32,
    /// Whether it says that a hold is over whose seats are still taken.
    unswept: bool,
    change: Change<u32>,
    deadline_ns: u64,
    now_ns: u64,
    version: i64,
}

/// A place in the order at which there was a choice.
struct Choice {
    /// The length of the order when the choice was made.
    placed: usize,
    /// Where the steps that are left to try begin in the stack of them.
    left_from: usize,
}

/// No version is known yet.
const NO_VERSION: i64 = i64::MIN;

struct Search<'a> {
    observations: &'a [Observation],
    facts: &'a Facts,
    mode: Mode,
    labels: Vec<Label>,
    budget: Budget,
    steps: u64,
    slot: SlotState<u32>,
    /// Steps that are not placed yet, by when they were sent.
    open: Chain,
    /// Those of them that surely happened, by when they returned.
    due: Chain,
    /// Those of them that carry a version, in the order of versions.
    versioned: Chain,
    /// The earliest instant at which the last step can have happened.
    now_ns: u64,
    /// The version of the slot after the last step.
    version: i64,
    /// When the hold of each booking can run out at the earliest.
    deadlines_ns: Vec<u64>,
    order: Vec<Placed>,
    hash: u128,
    seen: HashSet<u128>,
}

impl<'a> Search<'a> {
    fn new(
        observations: &'a [Observation],
        facts: &'a Facts,
        mode: Mode,
        capacity: i64,
        budget: Budget,
    ) -> Self {
        let length = observations.len();
        let places = observations.iter().zip(0..);
        Self {
            observations,
            facts,
            mode,
            labels: places.map(|(observed, place)| label(observed, place, facts, mode)).collect(),
            budget,
            steps: 0,
            slot: SlotState::new(capacity),
            open: Chain::of(&facts.by_sending, length),
            due: Chain::of(&facts.by_return, length),
            versioned: Chain::of(&facts.by_version, length),
            now_ns: 0,
            version: NO_VERSION,
            deadlines_ns: vec![0; facts.bookings.len()],
            order: Vec::with_capacity(length),
            hash: 0,
            seen: HashSet::default(),
        }
    }

    fn find(&mut self) -> Found {
        let mut choices: Vec<Choice> = Vec::new();
        let mut left: Vec<u32> = Vec::new();
        loop {
            self.place_what_changes_nothing();
            if self.due.first().is_none() {
                return Found::Explained;
            }
            let left_from = left.len();
            self.add_candidates(&mut left);
            // Where there is only one way to go on, nothing need be remembered.
            if left.len() > left_from + 1 && !self.seen.insert(self.state()) {
                left.truncate(left_from);
            }
            choices.push(Choice { placed: self.order.len(), left_from });
            // Back to the last place where something is left to try.
            loop {
                if self.steps >= self.budget.steps || self.seen.len() >= self.budget.sets {
                    return Found::Undecided { steps: self.steps };
                }
                let Some(choice) = choices.last() else { return Found::Impossible };
                self.take_back_to(choice.placed);
                if left.len() > choice.left_from {
                    let next = left.pop().expect("there is one");
                    if self.put_with_its_parts(next) {
                        break;
                    }
                } else {
                    choices.pop();
                }
            }
        }
    }

    /// Whether a step is one of several in one instant: the parts of a basket.
    fn is_a_part(&self, place: u32) -> bool {
        self.facts.baskets && (self.is_joined(place) || self.is_joined(place + 1))
    }

    fn is_joined(&self, place: u32) -> bool {
        self.observations.get(place as usize).is_some_and(|observed| observed.joined)
    }

    /// Places a step and those that happened in the same instant; `false` if they are not possible
    /// one after the other.
    fn put_with_its_parts(&mut self, first: u32) -> bool {
        self.put(first);
        let mut version = self.observations[first as usize].fresh_version();
        let mut place = first + 1;
        while self.is_joined(place) {
            self.steps += 1;
            let observed = &self.observations[place as usize];
            let said = observed.fresh_version();
            let two_versions = version.zip(said).is_some_and(|(version, said)| version != said);
            if two_versions || !self.allows(observed) || !self.fits_the_versions(observed) {
                return false;
            }
            version = version.or(said);
            self.put(place);
            place += 1;
        }
        true
    }

    /// Whether a booking is made together with the next one: the last one of a basket writes the
    /// version of all.
    fn is_made_with_the_next(&self, place: u32) -> bool {
        self.facts.baskets
            && self.is_joined(place + 1)
            && matches!(self.observations[place as usize + 1].step, Step::Reserve { .. })
    }

    /// The step that comes next was sent before this instant: the first return of a step that
    /// surely happened and is not placed yet.
    fn horizon_ns(&self) -> u64 {
        self.due.first().map_or(u64::MAX, |place| self.observations[place as usize].returned_ns)
    }

    /// The smallest version of an answer that is not placed yet.
    fn next_version(&self) -> Option<i64> {
        self.observations[self.versioned.first()? as usize].fresh_version()
    }

    fn place_what_changes_nothing(&mut self) {
        while self.steps < self.budget.steps {
            let horizon_ns = self.horizon_ns();
            let mut candidate = self.open.first();
            let found = loop {
                let Some(place) = candidate else { break None };
                let observed = &self.observations[place as usize];
                if observed.sent_ns > horizon_ns {
                    break None;
                }
                self.steps += 1;
                if observed.sure
                    && self.is_idle(observed)
                    && self.is_free(observed)
                    && !self.is_a_part(place)
                {
                    break Some(place);
                }
                candidate = self.open.after(place);
            };
            let Some(place) = found else { return };
            self.put(place);
        }
    }

    /// Whether a step changes nothing that another one depends on, now or later.
    fn is_idle(&self, observed: &Observation) -> bool {
        match observed.step {
            // A resize to the capacity that is in force, or a change to the seats that a booking
            // has, changes nothing now, but may restore it later: only a step that stays idle once
            // it is idle may be moved forward.
            Step::Resize { .. } | Step::Change { .. } | Step::Expire { .. } => false,
            // It only keeps a hold from running out, and a hold whose confirm was acknowledged had
            // not run out.
            Step::Confirm { booking }
                if !self.facts.splits && self.facts.booking(booking).confirm_is_idle() =>
            {
                !self.slot.moves_seats(&observed.step)
            }
            Step::Cancel { booking } => match self.slot.booking(&booking) {
                Some((Status::Expired, _)) => self.facts.booking(booking).ends_alike(),
                _ => !self.slot.changes(&observed.step),
            },
            _ => !self.slot.changes(&observed.step),
        }
    }

    /// Whether an idle step that is possible now can be placed without a choice.
    fn is_free(&self, observed: &Observation) -> bool {
        let in_time = self.mode == Mode::Generous || self.earliest_ns(observed) <= self.now_ns;
        let in_order = observed
            .fresh_version()
            .is_none_or(|version| version == self.version && self.next_version() == Some(version));
        in_time && in_order && self.allows(observed)
    }

    /// Whether a step that may not have happened would change nothing that anybody is told: a
    /// confirm of a booking that has its seats.
    fn is_needless(&self, observed: &Observation) -> bool {
        match observed.step {
            Step::Confirm { booking } if !observed.sure && !self.facts.splits => {
                !self.facts.booking(booking).looked_at && !self.slot.moves_seats(&observed.step)
            }
            _ => false,
        }
    }

    /// Whether an answer that a hold is over may be true of a hold that still takes its seats.
    fn is_unswept(&self, observed: &Observation) -> bool {
        let (Step::Gone { booking } | Step::Look { booking, status: Status::Expired }) =
            observed.step
        else {
            return false;
        };
        let pending = matches!(self.slot.booking(&booking), Some((Status::Pending, _)));
        pending && self.facts.booking(booking).expires
    }

    /// Whether a step is possible now, by the spec and by the time that its hold has.
    fn allows(&self, observed: &Observation) -> bool {
        if self.is_unswept(observed) {
            return self.earliest_ns(observed) <= self.horizon_ns()
                && self.slot.allows_with(&Step::Read, &observed.claim);
        }
        self.slot.allows_with(&observed.step, &observed.claim)
    }

    /// Whether a step fits the versions that are told.
    fn fits_the_versions(&self, observed: &Observation) -> bool {
        let next = self.next_version();
        let (Some(next), moves) = (next, self.slot.moves_seats(&observed.step)) else {
            return true;
        };
        match observed.fresh_version() {
            Some(version) => {
                version == next && (self.version < version || (!moves && self.version == version))
            }
            None => !moves || self.version == NO_VERSION || self.version < next,
        }
    }

    /// For each label the step that returns first. The last one that is added is tried first.
    fn add_candidates(&mut self, left: &mut Vec<u32>) {
        let horizon_ns = self.horizon_ns();
        let mut best: Vec<(Label, u64, u32)> = Vec::new();
        let mut candidate = self.open.first();
        while let Some(place) = candidate {
            let observed = &self.observations[place as usize];
            if observed.sent_ns > horizon_ns {
                break;
            }
            self.steps += 1;
            candidate = self.open.after(place);
            let idle = self.is_idle(observed);
            if observed.joined
                || (idle && !observed.sure)
                || self.is_needless(observed)
                || self.earliest_ns(observed) > horizon_ns
                || !self.allows(observed)
                || !self.fits_the_versions(observed)
            {
                continue;
            }
            let label = match (idle, observed.fresh_version()) {
                _ if self.is_a_part(place) => Label::Own(place),
                (false, _) => self.labels[place as usize],
                (true, None) => Label::Idle,
                (true, Some(_)) => Label::Jump,
            };
            let first_by =
                if observed.sure && !idle { observed.returned_ns } else { observed.sent_ns };
            match best.iter_mut().find(|(other, ..)| *other == label) {
                Some(other) if (other.1, other.2) > (first_by, place) => {
                    (other.1, other.2) = (first_by, place);
                }
                Some(_) => {}
                None => best.push((label, first_by, place)),
            }
        }
        // A step that surely happened and returns soonest is tried first.
        best.sort_by_key(|(label, first_by, place)| {
            let observed = &self.observations[*place as usize];
            let idle = matches!(label, Label::Idle | Label::Jump);
            // Where time counts, what is answered late is not asked early.
            let first_by = match self.mode {
                Mode::Generous => *first_by,
                Mode::Hasty | Mode::Exact => observed.returned_ns,
            };
            let idle = idle && self.mode == Mode::Generous;
            // What somebody is told of later did happen, more likely than not.
            let told = booking_of(&observed.step)
                .is_some_and(|booking| self.facts.booking(booking).looked_at);
            // What was not answered happened soon after it was sent, if it did.
            let soonest = if observed.sure { u64::MAX - first_by } else { observed.sent_ns };
            (observed.sure, idle, told && !observed.sure, soonest, *place)
        });
        left.extend(best.into_iter().map(|(_, _, place)| place));
    }

    /// The earliest instant at which a step can happen, whatever is placed before it.
    fn earliest_ns(&self, observed: &Observation) -> u64 {
        match observed.step {
            Step::Expire { booking } => self.deadlines_ns[booking as usize],
            Step::Gone { booking } | Step::Look { booking, .. } if self.is_unswept(observed) => {
                observed.sent_ns.max(self.deadlines_ns[booking as usize])
            }
            _ => observed.sent_ns,
        }
    }

    fn put(&mut self, place: u32) {
        let observed = &self.observations[place as usize];
        let now_ns = self.now_ns.max(self.earliest_ns(observed));
        let booking = booking_of(&observed.step).unwrap_or_default();
        let state_before = self.state_of(booking);
        let unswept = self.is_unswept(observed);
        let step = if unswept { Step::Read } else { observed.step };
        let (change, moves) =
            self.slot.step_with(&step, &observed.claim).expect("a candidate is possible");
        let deadline_ns = self.deadlines_ns.get(booking as usize).copied().unwrap_or_default();
        self.order.push(Placed {
            place,
            unswept,
            change,
            deadline_ns,
            now_ns: self.now_ns,
            version: self.version,
        });
        self.hash ^= name(place.into()) ^ state_before ^ self.state_of(booking);
        self.set_deadline(booking, self.deadline_after(observed, change, deadline_ns, now_ns));
        self.now_ns = now_ns;
        self.version = match observed.fresh_version() {
            Some(version) => version,
            None if moves && self.version != NO_VERSION && !self.is_made_with_the_next(place) => {
                self.version + 1
            }
            None => self.version,
        };
        self.open.take_out(place);
        if observed.sure {
            self.due.take_out(place);
        }
        if observed.fresh_version().is_some() {
            self.versioned.take_out(place);
        }
    }

    fn take_back_to(&mut self, length: usize) {
        while self.order.len() > length {
            let Placed { place, change, deadline_ns, now_ns, version, .. } =
                self.order.pop().expect("there is one");
            let observed = &self.observations[place as usize];
            let booking = booking_of(&observed.step).unwrap_or_default();
            if observed.fresh_version().is_some() {
                self.versioned.put_back(place);
            }
            if observed.sure {
                self.due.put_back(place);
            }
            self.open.put_back(place);
            (self.now_ns, self.version) = (now_ns, version);
            self.set_deadline(booking, deadline_ns);
            let state_after = self.state_of(booking);
            self.slot.undo(change);
            self.hash ^= name(place.into()) ^ state_after ^ self.state_of(booking);
        }
    }

    /// When the hold of a step's booking can run out, after the step.
    fn deadline_after(
        &self,
        observed: &Observation,
        change: Change<u32>,
        before_ns: u64,
        now_ns: u64,
    ) -> u64 {
        match (observed.step, observed.hold_ns) {
            // A receipt makes nothing.
            (Step::Reserve { .. }, _) if change == Change::None => before_ns,
            (Step::Reserve { .. } | Step::Change { .. } | Step::Enter { .. }, Some(hold_ns)) => {
                match self.mode {
                    Mode::Generous => {
                        self.facts.booking(booking_of(&observed.step).unwrap_or_default()).over_ns
                    }
                    Mode::Hasty | Mode::Exact => now_ns.saturating_add(hold_ns),
                }
            }
            (Step::Cancel { .. } | Step::Expire { .. } | Step::Leave { .. }, _) => 0,
            _ => before_ns,
        }
    }

    fn set_deadline(&mut self, booking: u32, at_ns: u64) {
        let Some(deadline_ns) = self.deadlines_ns.get_mut(booking as usize) else { return };
        let before_ns = std::mem::replace(deadline_ns, at_ns);
        let facts = self.facts.booking(booking);
        // Otherwise it follows from the set of steps.
        if before_ns != at_ns && facts.expires && self.mode != Mode::Generous {
            let named = |at_ns: u64| name(u64::from(booking) << 32 ^ at_ns ^ DEADLINES);
            self.hash ^= named(before_ns) ^ named(at_ns);
        }
    }

    /// The state of a booking whose state does not follow from the set of its steps.
    fn state_of(&self, booking: u32) -> u128 {
        let changed = self.facts.bookings.get(booking as usize).is_some_and(|it| it.changed);
        match self.slot.booking(&booking) {
            Some((status, seats)) if changed => {
                let state = (seats as u64) << 8 | status as u64;
                name(u64::from(booking) << 40 ^ state ^ STATES)
            }
            _ => 0,
        }
    }

    /// A random-looking number for everything that the rest of the search depends on.
    fn state(&self) -> u128 {
        let now = match self.mode {
            Mode::Generous => 0,
            Mode::Hasty | Mode::Exact => name(self.now_ns ^ NOW),
        };
        self.hash
            ^ name(self.slot.capacity() as u64 ^ CAPACITIES)
            ^ name(self.version as u64 ^ VERSIONS)
            ^ now
    }

    /// Whether the order that was found leaves each hold its time.
    fn order_keeps_the_time(&self) -> bool {
        let expires = |placed: &Placed| {
            let step = self.observations[placed.place as usize].step;
            placed.unswept || matches!(step, Step::Expire { .. })
        };
        if self.mode != Mode::Generous || !self.order.iter().any(expires) {
            return true;
        }
        let mut deadlines_ns: HashMap<u32, u64> = HashMap::default();
        let mut now_ns = 0;
        self.order.iter().all(|placed| {
            let observed = &self.observations[placed.place as usize];
            let booking = booking_of(&observed.step).unwrap_or_default();
            let deadline_ns = deadlines_ns.get(&booking).copied().unwrap_or_default();
            let earliest_ns = match observed.step {
                Step::Expire { .. } => deadline_ns,
                _ if placed.unswept => observed.sent_ns.max(deadline_ns),
                _ => observed.sent_ns,
            };
            now_ns = earliest_ns.max(now_ns);
            let receipt =
                matches!(observed.step, Step::Reserve { .. }) && placed.change == Change::None;
            if let (false, Some(hold_ns)) = (receipt, observed.hold_ns) {
                deadlines_ns.insert(booking, now_ns.saturating_add(hold_ns));
            }
            now_ns <= observed.returned_ns
        })
    }
}

// Different things get different numbers: there are far fewer steps than these.
const DEADLINES: u64 = 0x1000_0000_0000_0000;
const STATES: u64 = 0x2000_0000_0000_0000;
const CAPACITIES: u64 = 0x3000_0000_0000_0000;
const VERSIONS: u64 = 0x5000_0000_0000_0000;
const NOW: u64 = 0x6000_0000_0000_0000;

/// A random-looking number for each number; the hash of a set is the exclusive or of its members'
/// (Zobrist).
fn name(of: u64) -> u128 {
    let half = |seed: u64| {
        // splitmix64
        let mut word = of.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    u128::from(half(0x5851_f42d_4c95_7f2d)) << 64 | u128::from(half(0x1405_7b7e_f767_814f))
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
        search(&by_slot(&history(operations))["s"], capacity, Budget::for_length(9))
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
