//! Exploring a model.
//!
//! One search sees every state, up to the numbers of the clients, and finds which properties fail.
//! Each property that fails is searched for once more alone: that search ends at its first failure
//! and, with one thread and breadth first, no shorter path exists. (Together they could not be:
//! stateright keeps the last path that it found to a failure, not the first.)

use slotproof_vocabulary::{StrategyKind, Verdict};
use stateright::{Model, Property};

use crate::{
    budget::{Budget, Limits, Timer},
    page::{Page, page_of},
    properties::{FENCED_OFF, NO_OVERBOOKING, properties},
    protocol::Protocol,
    schedule::{Schedule, ScheduledEvent},
    search::{search_all, search_shortest},
    sentences::scheduled,
    size::Size,
};

/// In how many states a property has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// In every state: a claim of safety.
    Always,
    /// In some state: a sign that the claims of safety were tested.
    Sometimes,
}

/// What was found about one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyResult {
    /// The property, in a few words.
    pub name: &'static str,
    /// In how many states it has to hold.
    pub expectation: Expectation,
    /// Whether it did.
    pub verdict: Verdict,
    /// A shortest path that breaks an `always` property, or that shows a fencing token at work.
    pub shortest: Option<Vec<ScheduledEvent>>,
}

/// What an exploration found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exploration {
    /// Each property, the `always` ones first.
    pub properties: Vec<PropertyResult>,
    /// Different states that were seen; states that differ by the numbers of the clients count
    /// once.
    pub unique_states: usize,
    /// Steps of the longest path that was followed without repeating a state.
    pub depth: usize,
    /// Whether every state that can be reached was seen.
    pub complete: bool,
}

/// Explores the model of a strategy.
pub fn explore(kind: StrategyKind, size: Size, limits: Limits) -> Exploration {
    explore_page(page_of(kind), size, limits)
}

impl Exploration {
    /// A counterexample as a schedule: of the property that matters most, of those that are
    /// violated.
    pub fn counterexample(&self, kind: StrategyKind, size: Size) -> Option<Schedule> {
        let (property, steps) = self.path_to_show()?;
        (property.verdict == Verdict::Violated)
            .then(|| Schedule::new(kind, size, Some(property.name), steps.to_vec()))
    }

    /// The counterexample of the property that matters most, or a path that shows a fencing token
    /// at work.
    pub fn path_to_show(&self) -> Option<(&PropertyResult, &[ScheduledEvent])> {
        let has_path = |property: &&PropertyResult| property.shortest.is_some();
        let overbooked = |property: &&PropertyResult| property.name == NO_OVERBOOKING;
        let mut all = self.properties.iter().filter(has_path);
        let property = all.clone().find(overbooked).or_else(|| all.next())?;
        Some((property, property.shortest.as_deref()?))
    }
}

/// Serves stateright's explorer at a port of loopback, until the process ends.
pub fn browse(kind: StrategyKind, size: Size, port: u16) {
    let (timer, _guard) = Timer::start(Limits::default().time);
    let budget = Budget::new(Limits::default().states, &timer);
    // The explorer has no limit: a person picks each step.
    budget.lift();
    let page = page_of(kind);
    let model = Protocol::new(page, size, budget.into(), properties(page));
    model.checker().serve((std::net::Ipv4Addr::LOCALHOST, port));
}

/// Explores one model: a search through every state, and one more for each property that fails in
/// it.
fn explore_page(page: &'static Page, size: Size, limits: Limits) -> Exploration {
    let (timer, _guard) = Timer::start(limits.time);
    let budget = || Budget::new(limits.states, &timer);

    let judged_by = with_one_that_holds(properties(page));
    let mut everything = search_all(page, size, budget(), judged_by);
    let results = properties(page).into_iter().map(|property| {
        let found = everything.paths.remove(property.name);
        let verdict = verdict(expectation(&property), found.is_some(), everything.complete);
        let wanted = verdict == Verdict::Violated || property.name == FENCED_OFF;
        let shortest = found.filter(|_| wanted).map(|found| {
            let shortest = search_shortest(page, size, budget(), vec![property.clone()])
                .paths
                .remove(property.name);
            scheduled(shortest.unwrap_or(found))
        });
        PropertyResult {
            name: property.name,
            expectation: expectation(&property),
            verdict,
            shortest,
        }
    });
    Exploration {
        properties: results.collect(),
        unique_states: everything.unique_states,
        depth: everything.depth,
        complete: everything.complete,
    }
}

/// A search ends once it has found something about each property. This one makes it go on to the
/// last state.
fn with_one_that_holds(mut properties: Vec<Property<Protocol>>) -> Vec<Property<Protocol>> {
    properties.push(Property::always("every state is seen", |_, _| true));
    properties
}

fn expectation(property: &Property<Protocol>) -> Expectation {
    match property.expectation.discovery_is_failure() {
        true => Expectation::Always,
        false => Expectation::Sometimes,
    }
}

/// What is found decides at once. What is not found decides only when every state was seen.
fn verdict(expectation: Expectation, found: bool, complete: bool) -> Verdict {
    match (expectation, found, complete) {
        (Expectation::Always, true, _) | (Expectation::Sometimes, false, true) => Verdict::Violated,
        (Expectation::Always, false, true) | (Expectation::Sometimes, true, _) => Verdict::Upheld,
        (_, false, false) => Verdict::Unknown,
    }
}

/// A property that cannot fail proves nothing when it holds.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broken::{
            AnswersBeforeItCommits, FencedWritesOnly, GrantsByItsSnapshot, KeepsItsLock,
            LeaksASeat, LocksInOrderOfArrival, NeverGoesOn, WithoutLock, WithoutUniqueKey,
        },
        page::PageStep,
        strategy::Strategy,
    };

    fn check_violated<S: Strategy + Into<PageStep>>(size: Size, name: &str) {
        let found = explore_page(Page::of::<S>(), size, Limits::untimed());
        let property = found
            .properties
            .into_iter()
            .find(|property| property.name == name)
            .expect("it is judged");
        assert_eq!(property.verdict, Verdict::Violated, "{name}");
        assert!(property.shortest.is_some_and(|steps| !steps.is_empty()), "{name}");
    }

    const SMALL: Size = Size { clients: 2, capacity: 1 };
    const TWO_SEATS: Size = Size { clients: 2, capacity: 2 };

    #[test]
    fn pessimistic_overbooks_without_its_lock() {
        check_violated::<WithoutLock>(SMALL, NO_OVERBOOKING);
    }

    #[test]
    fn fencing_the_writes_alone_does_not_stop_a_decision_by_a_stale_read() {
        check_violated::<FencedWritesOnly>(SMALL, NO_OVERBOOKING);
    }

    #[test]
    fn batches_that_lock_their_slots_in_order_of_arrival_wait_for_each_other() {
        check_violated::<LocksInOrderOfArrival>(SMALL, "no deadlock");
    }

    #[test]
    fn a_batch_that_grants_by_what_it_read_before_it_waited_for_a_row_overbooks() {
        check_violated::<GrantsByItsSnapshot>(SMALL, NO_OVERBOOKING);
    }

    #[test]
    fn a_key_has_two_effects_without_its_unique_constraint() {
        check_violated::<WithoutUniqueKey>(TWO_SEATS, "one effect per key");
    }

    #[test]
    fn an_answer_before_the_commit_loses_the_booking() {
        check_violated::<AnswersBeforeItCommits>(SMALL, "no lost booking");
    }

    #[test]
    fn a_seat_that_leaks_makes_sold_out_a_lie() {
        check_violated::<LeaksASeat>(TWO_SEATS, "honest sold-out");
        check_violated::<LeaksASeat>(TWO_SEATS, "seats conserved");
    }

    #[test]
    fn a_lock_that_outlives_its_call_is_a_leak() {
        check_violated::<KeepsItsLock>(SMALL, "nothing leaked");
    }

    #[test]
    fn a_call_that_never_goes_on_is_a_deadlock() {
        check_violated::<NeverGoesOn>(SMALL, "no deadlock");
    }
}
