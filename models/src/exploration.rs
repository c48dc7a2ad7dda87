//! Exploring a model, and saying what was found.
//!
//! One search sees every state, up to the numbers of the clients, and finds which properties fail.
//! Each property that fails is searched for once more alone: that search ends at its first failure
//! and, with one thread and breadth first, no shorter path exists. (Together they could not be:
//! stateright keeps the last path that it found to a failure, not the first.)

use std::time::Duration;

use slotproof_vocabulary::{StrategyKind, Verdict};
use stateright::{Model, Property};

use crate::{
    budget::{Budget, Timer},
    modelled::{Ask, ask},
    properties::{FENCED_OFF, properties},
    protocol::Protocol,
    schedule::{Schedule, Scheduled},
    search::{search_all, search_shortest},
    sentences::told,
    strategy::Strategy,
};

/// How large the modelled world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Clients, each of which reserves one seat.
    pub clients: u8,
    /// Seats of the slot.
    pub capacity: u8,
}

impl Size {
    /// More clients make too many states to see them all.
    pub const CLIENTS_MAX: u8 = 4;
    /// More seats than clients are never fought for.
    pub const SEATS_MAX: u8 = 4;

    /// Answers that may be lost, unless somebody says otherwise.
    ///
    /// A loss sets a second call of the client running, often beside its first one. With three
    /// clients that may all lose answers there are millions of states, so that with more than two
    /// clients only one answer is lost.
    pub fn losses(self) -> Losses {
        if self.clients > 2 { Losses::AtMost(1) } else { Losses::Any }
    }
}

/// How many answers may be lost in one history, by a crash or by a client that waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// Each of them.
    Any,
    /// So many.
    AtMost(u8),
}

/// Where an exploration stops. A property that is undecided by then is `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Different states whose successors are looked at.
    pub states: usize,
    /// Time for everything together.
    pub time: Duration,
}

impl Default for Limits {
    /// About 2 GiB of memory at worst, and a patient person.
    fn default() -> Self {
        Self { states: 5_000_000, time: Duration::from_secs(120) }
    }
}

/// In how many states a property has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// In every state: a claim of safety.
    Always,
    /// In some state: a sign that the claims of safety were put to the test.
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
    /// A shortest way to break an `always` property, or to see a fencing token at work.
    pub shortest: Option<Vec<Scheduled>>,
}

/// What an exploration found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exploration {
    /// Each property, the `always` ones first.
    pub properties: Vec<PropertyResult>,
    /// Different states that were seen, up to the numbers of the clients.
    pub unique_states: usize,
    /// Steps of the longest path that was followed without repeating a state.
    pub depth: usize,
    /// Whether every state that can be reached was seen.
    pub complete: bool,
}

/// Explores the model of a strategy.
pub fn explore(kind: StrategyKind, size: Size, limits: Limits) -> Exploration {
    struct Explore(Size, Limits);
    impl Ask for Explore {
        type Answer = Exploration;

        fn of<S: Strategy>(self) -> Exploration {
            explore_strategy::<S>(self.0, self.1)
        }
    }
    ask(kind, Explore(size, limits))
}

impl Exploration {
    /// A counterexample as a schedule: of the property that matters most, of those that are
    /// violated.
    pub fn counterexample(&self, kind: StrategyKind, size: Size) -> Option<Schedule> {
        let (property, steps) = self.story()?;
        (property.verdict == Verdict::Violated)
            .then(|| Schedule::new(kind, size, Some(property.name), steps.to_vec()))
    }

    /// What is worth telling: the counterexample of the property that matters most, or how a
    /// fencing token works.
    pub fn story(&self) -> Option<(&PropertyResult, &[Scheduled])> {
        let told = |property: &&PropertyResult| property.shortest.is_some();
        let overbooked = |property: &&PropertyResult| property.name == "never overbooked";
        let mut all = self.properties.iter().filter(told);
        let property = all.clone().find(overbooked).or_else(|| all.next())?;
        Some((property, property.shortest.as_deref()?))
    }
}

/// Serves stateright's explorer at a port of loopback, until the process ends.
pub fn browse(kind: StrategyKind, size: Size, port: u16) {
    struct Browse(Size, u16);
    impl Ask for Browse {
        type Answer = ();

        fn of<S: Strategy>(self) {
            let (timer, _guard) = Timer::start(Limits::default().time);
            let budget = Budget::new(Limits::default().states, &timer);
            // Whoever walks by hand is never stopped.
            budget.lift();
            let model = Protocol::<S>::new(self.0, budget.into(), properties());
            model.checker().serve((std::net::Ipv4Addr::LOCALHOST, self.1));
        }
    }
    ask(kind, Browse(size, port));
}

/// Explores one model: a search through every state, and one more for each property that fails in
/// it.
pub(crate) fn explore_strategy<S: Strategy>(size: Size, limits: Limits) -> Exploration {
    let (timer, _guard) = Timer::start(limits.time);
    let budget = || Budget::new(limits.states, &timer);

    let mut everything = search_all::<S>(size, budget(), with_one_that_holds(properties()));
    let properties = properties::<S>().into_iter().map(|property| {
        let found = everything.paths.remove(property.name);
        let verdict = verdict(expectation(&property), found.is_some(), everything.complete);
        let wanted = verdict == Verdict::Violated || property.name == FENCED_OFF;
        let shortest = found.filter(|_| wanted).map(|found| {
            let shortest = search_shortest::<S>(size, budget(), vec![property.clone()])
                .paths
                .remove(property.name);
            told(shortest.unwrap_or(found))
        });
        PropertyResult {
            name: property.name,
            expectation: expectation(&property),
            verdict,
            shortest,
        }
    });
    Exploration {
        properties: properties.collect(),
        unique_states: everything.unique_states,
        depth: everything.depth,
        complete: everything.complete,
    }
}

/// A search ends once it has found something about each property. This one makes it go on to the
/// last state.
fn with_one_that_holds<S: Strategy>(
    mut properties: Vec<Property<Protocol<S>>>,
) -> Vec<Property<Protocol<S>>> {
    properties.push(Property::always("every state is seen", |_, _| true));
    properties
}

fn expectation<S: Strategy>(property: &Property<Protocol<S>>) -> Expectation {
    match property.expectation.discovery_is_failure() {
        true => Expectation::Always,
        false => Expectation::Sometimes,
    }
}

/// What is found decides at once. What is not found decides only when there was nowhere left to
/// look.
fn verdict(expectation: Expectation, found: bool, complete: bool) -> Verdict {
    match (expectation, found, complete) {
        (Expectation::Always, true, _) | (Expectation::Sometimes, false, true) => Verdict::Violated,
        (Expectation::Always, false, true) | (Expectation::Sometimes, true, _) => Verdict::Upheld,
        (_, false, false) => Verdict::Unknown,
    }
}
