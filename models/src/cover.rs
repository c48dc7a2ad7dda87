//! Ways through a model that together take every edge of its graph, so that a director can lead the
//! service along all of them.
//!
//! The graph is that of the representatives: an edge that differs from another one only by the
//! numbers of the clients is the same edge. A step that waits is an edge too, from a state to
//! itself: there the service must be seen to wait.

use std::collections::{HashMap, HashSet, VecDeque, hash_map::Entry};

use slotproof_vocabulary::StrategyKind;
use stateright::Representative;

use crate::{
    exploration::{Losses, Size},
    modelled::{Ask, ask},
    schedule::Happening,
    step::Step,
    strategy::Strategy,
    symmetry::fingerprint,
    walk::Place,
    world::World,
};

/// A way ends after so many steps, so that a difference costs few edges.
const LENGTH_MAX: usize = 60;
/// Where all edges of a state have been taken, so many states around it are searched for one that
/// has not.
const LOOK_AROUND: usize = 64;

/// Every edge of a model, and ways that take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// States, up to the numbers of the clients.
    pub states: usize,
    /// Whether those are all that can be reached.
    pub complete: bool,
    /// Edges: steps that change something.
    pub edges: usize,
    /// Steps that wait for somebody else, and lead nowhere.
    pub waits: usize,
    /// The ways, each from the beginning.
    pub ways: Vec<Vec<Leg>>,
}

/// A step of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// What happens.
    pub what: Happening,
    /// The edges that no earlier leg of any way has taken.
    pub new: Edges,
}

/// Numbers of edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edges {
    /// Steps that change something.
    pub steps: usize,
    /// Steps that wait.
    pub waits: usize,
}

/// Ways that take every edge. A graph with more states than `states_max` is covered as far as they
/// go.
pub fn cover(kind: StrategyKind, size: Size, losses: Losses, states_max: usize) -> Cover {
    struct CoverAll(Size, Losses, usize);
    impl Ask for CoverAll {
        type Answer = Cover;

        fn of<S: Strategy>(self) -> Cover {
            Graph::<S>::explore(self.0, self.1, self.2).cover()
        }
    }
    ask(kind, CoverAll(size, losses, states_max))
}

/// What makes an edge that edge, whoever takes it: where it begins, what happens, and where it
/// ends.
type EdgeKey = u64;

struct Graph<S> {
    begin: World<S>,
    index: HashMap<u64, usize>,
    complete: bool,
    /// For each state the edges out of it, and the steps that wait in it.
    edges: Vec<Vec<EdgeKey>>,
    waits: Vec<Vec<EdgeKey>>,
    /// The edge by which each state was reached first.
    parents: Vec<Option<(usize, EdgeKey)>>,
}

impl<S: Strategy> Graph<S> {
    fn explore(size: Size, losses: Losses, states_max: usize) -> Self {
        let begin = World::with_losses(size, losses);
        let mut graph = Self {
            index: HashMap::from([(orbit(&begin), 0)]),
            complete: true,
            edges: Vec::new(),
            waits: Vec::new(),
            parents: vec![None],
            begin: begin.clone(),
        };
        let mut worlds = VecDeque::from([begin]);
        while let Some(world) = worlds.pop_front() {
            let from = graph.edges.len();
            let (mut edges, mut waits) = (Vec::new(), Vec::new());
            for (step, next) in successors(&world) {
                let Some(next) = next else {
                    waits.push(key(&world, step, None));
                    continue;
                };
                let key = key(&world, step, Some(&next));
                let known = graph.index.len();
                if let Entry::Vacant(entry) = graph.index.entry(orbit(&next)) {
                    if known >= states_max {
                        graph.complete = false;
                        continue;
                    }
                    entry.insert(known);
                    graph.parents.push(Some((from, key)));
                    worlds.push_back(next);
                }
                edges.push(key);
            }
            edges.sort_unstable();
            edges.dedup();
            waits.sort_unstable();
            waits.dedup();
            graph.edges.push(edges);
            graph.waits.push(waits);
        }
        graph
    }

    fn cover(self) -> Cover {
        let mut open = Open {
            steps: self.edges.iter().flatten().copied().collect(),
            waits: self.waits.iter().flatten().copied().collect(),
        };
        let (edges, waits) = (open.steps.len(), open.waits.len());
        let mut ways = Vec::new();
        for state in 0..self.edges.len() {
            // Most edges are taken in passing.
            while self.is_open(state, &open) {
                let before = open.len();
                ways.push(self.way(state, &mut open));
                if open.len() == before {
                    // What cannot be taken from here is not taken twice.
                    break;
                }
            }
        }
        Cover { states: self.edges.len(), complete: self.complete, edges, waits, ways }
    }

    fn is_open(&self, state: usize, open: &Open) -> bool {
        self.edges[state].iter().any(|key| open.steps.contains(key))
            || self.waits[state].iter().any(|key| open.waits.contains(key))
    }

    /// A way to this state by its shortest path, and on from there for as long as there is
    /// something new.
    fn way(&self, state: usize, open: &mut Open) -> Vec<Leg> {
        let mut path = VecDeque::new();
        let mut at = state;
        while let Some((parent, key)) = self.parents[at] {
            path.push_front(key);
            at = parent;
        }
        let mut way = Way { place: Place::of(self.begin.clone()), legs: Vec::new() };
        for edge in path {
            let Some((step, _)) = successors(&way.place.world).find(|(step, next)| {
                next.as_ref().is_some_and(|next| key(&way.place.world, *step, Some(next)) == edge)
            }) else {
                return way.legs;
            };
            way.go(step, open);
        }
        while way.legs.len() < LENGTH_MAX {
            if let Some(step) = way.open_step(open) {
                way.go(step, open);
            } else if let Some((step, towards)) = way.open_wait(open) {
                way.go(step, open);
                towards.into_iter().for_each(|step| way.go(step, open));
            } else if let Some(steps) = self.towards_something_open(&way.place.world, open) {
                steps.into_iter().for_each(|step| way.go(step, open));
            } else {
                break;
            }
        }
        way.legs
    }

    /// Steps from here to a near state that has an edge to take.
    fn towards_something_open(&self, from: &World<S>, open: &Open) -> Option<Vec<Step<S>>> {
        let mut seen = HashSet::from([orbit(from)]);
        let mut queue = VecDeque::from([(from.clone(), Vec::new())]);
        while let Some((world, steps)) = queue.pop_front() {
            for (step, next) in successors(&world) {
                let Some(next) = next else { continue };
                let orbit = orbit(&next);
                let Some(index) = self.index.get(&orbit) else { continue };
                if !seen.insert(orbit) {
                    continue;
                }
                let mut steps = steps.clone();
                steps.push(step);
                if self.is_open(*index, open) {
                    return Some(steps);
                }
                if seen.len() > LOOK_AROUND {
                    return None;
                }
                queue.push_back((next, steps));
            }
        }
        None
    }
}

/// The edges that no way has taken.
struct Open {
    steps: HashSet<EdgeKey>,
    waits: HashSet<EdgeKey>,
}

impl Open {
    fn len(&self) -> usize {
        self.steps.len() + self.waits.len()
    }
}

/// A way while it is made: the place that a director will be in, waiting calls and all.
struct Way<S> {
    place: Place<S>,
    legs: Vec<Leg>,
}

impl<S: Strategy> Way<S> {
    /// Takes a step, and notes which edges that took. What goes on after it by itself takes edges
    /// too.
    fn go(&mut self, step: Step<S>, open: &mut Open) {
        let mut new = Edges::default();
        let what = Happening::from(step);
        if step.waits(&self.place.world) {
            new.waits += usize::from(open.waits.remove(&key(&self.place.world, step, None)));
        }
        self.place.take_noting(&what, |before, step, after| {
            new.steps += usize::from(open.steps.remove(&key(before, step, Some(after))));
        });
        self.legs.push(Leg { what, new });
    }

    fn open_step(&self, open: &Open) -> Option<Step<S>> {
        let world = &self.place.world;
        successors(world)
            .find(|(step, next)| {
                next.as_ref()
                    .is_some_and(|next| open.steps.contains(&key(world, *step, Some(next))))
            })
            .map(|(step, _)| step)
    }

    /// A step that waits, and the steps of others after which it goes on.
    fn open_wait(&self, open: &Open) -> Option<(Step<S>, Vec<Step<S>>)> {
        let world = &self.place.world;
        successors(world)
            .filter(|(step, next)| next.is_none() && open.waits.contains(&key(world, *step, None)))
            .find_map(|(step, _)| Some((step, until_it_goes_on(world, step)?)))
    }
}

/// The steps of other calls after which a step that waits goes on. Nothing else happens meanwhile:
/// it may have locked other rows.
fn until_it_goes_on<S: Strategy>(world: &World<S>, waiting: Step<S>) -> Option<Vec<Step<S>>> {
    let mut queue = VecDeque::from([(world.clone(), Vec::new())]);
    let mut seen = HashSet::from([fingerprint(world)]);
    while let Some((world, steps)) = queue.pop_front() {
        if !waiting.waits(&world) {
            return Some(steps);
        }
        for (step, next) in successors(&world) {
            let others =
                matches!(step, Step::Call { .. } | Step::LockExpires { .. }) && step != waiting;
            let Some(next) = next.filter(|next| others && seen.insert(fingerprint(next))) else {
                continue;
            };
            let mut steps = steps.clone();
            steps.push(step);
            queue.push_back((next, steps));
        }
    }
    None
}

/// What can happen in a world: the world after it, or nothing for a step that waits.
fn successors<S: Strategy>(world: &World<S>) -> impl Iterator<Item = (Step<S>, Option<World<S>>)> {
    let mut steps = Vec::new();
    Step::offer(world, &mut steps);
    steps.into_iter().filter_map(|step| {
        let mut next = world.clone();
        match step.take(&mut next) {
            Some(()) => Some((step, Some(next))),
            None => step.waits(world).then_some((step, None)),
        }
    })
}

fn orbit<S: Strategy>(world: &World<S>) -> u64 {
    fingerprint(&world.representative())
}

fn key<S: Strategy>(from: &World<S>, step: Step<S>, to: Option<&World<S>>) -> EdgeKey {
    let what = Happening::from(step);
    fingerprint(&(orbit(from), what.kind(), to.map(orbit)))
}
