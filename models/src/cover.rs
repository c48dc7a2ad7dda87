//! Paths through a model that together take every edge of its graph, so that a director can lead
//! the service along all of them.
//!
//! The graph is that of the representatives: an edge that differs from another one only by the
//! numbers of the clients is the same edge. A step that waits is an edge too, from a state to
//! itself: there the service must be seen to wait.

use std::collections::{HashMap, HashSet, VecDeque, hash_map::Entry};

use slotproof_vocabulary::StrategyKind;
use stateright::Representative;

use crate::{
    event::ModelEvent,
    page::page_of,
    size::{Losses, Size},
    symmetry::fingerprint,
    transition::Transition,
    walk::Walk,
    world::World,
};

/// Legs of a path, at most. A difference ends its path, so short paths lose few edges to one.
const LENGTH_MAX: usize = 60;
/// States that are searched for an edge to take, around one whose edges have all been taken.
const LOOK_AROUND: usize = 64;

/// Every edge of a model, and paths that take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// States; those that differ by the numbers of the clients count once.
    pub states: usize,
    /// Whether those are all that can be reached.
    pub complete: bool,
    /// Edges: steps that change something.
    pub edges: usize,
    /// Steps that wait for another call, and change nothing.
    pub waits: usize,
    /// The paths, each from the beginning.
    pub paths: Vec<Vec<Leg>>,
}

/// An event of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// What happens.
    pub what: ModelEvent,
    /// The edges that no earlier leg of any path has taken.
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

/// Paths that take every edge. A graph with more states than `states_max` is covered as far as they
/// go.
pub fn cover(kind: StrategyKind, size: Size, losses: Losses, states_max: usize) -> Cover {
    Graph::explore(World::with_losses(page_of(kind), size, losses), states_max).cover()
}

/// What identifies an edge, whichever client takes it: where it begins, what happens, and where it
/// ends.
type EdgeKey = u64;

struct Graph {
    begin: World,
    index: HashMap<u64, usize>,
    complete: bool,
    /// For each state the edges out of it, and the steps that wait in it.
    edges: Vec<Vec<EdgeKey>>,
    waits: Vec<Vec<EdgeKey>>,
    /// The edge by which each state was reached first.
    parents: Vec<Option<(usize, EdgeKey)>>,
}

impl Graph {
    fn explore(begin: World, states_max: usize) -> Self {
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
        let mut paths = Vec::new();
        for state in 0..self.edges.len() {
            // Most edges are taken in passing.
            while self.is_open(state, &open) {
                let before = open.len();
                paths.push(self.path_to(state, &mut open));
                if open.len() == before {
                    // What cannot be taken from here is not taken twice.
                    break;
                }
            }
        }
        Cover { states: self.edges.len(), complete: self.complete, edges, waits, paths }
    }

    fn is_open(&self, state: usize, open: &Open) -> bool {
        self.edges[state].iter().any(|key| open.steps.contains(key))
            || self.waits[state].iter().any(|key| open.waits.contains(key))
    }

    /// A path that reaches this state the shortest way, and goes on from there for as long as it
    /// finds edges to take.
    fn path_to(&self, state: usize, open: &mut Open) -> Vec<Leg> {
        let mut edges = VecDeque::new();
        let mut at = state;
        while let Some((parent, key)) = self.parents[at] {
            edges.push_front(key);
            at = parent;
        }
        let mut path = Path { walk: Walk::of(self.begin.clone()), legs: Vec::new() };
        for edge in edges {
            let Some((step, _)) = successors(&path.walk.world).find(|(step, next)| {
                next.as_ref().is_some_and(|next| key(&path.walk.world, *step, Some(next)) == edge)
            }) else {
                return path.legs;
            };
            path.go(step, open);
        }
        while path.legs.len() < LENGTH_MAX {
            if let Some(step) = path.open_step(open) {
                path.go(step, open);
            } else if let Some((step, towards)) = path.open_wait(open) {
                path.go(step, open);
                towards.into_iter().for_each(|step| path.go(step, open));
            } else if let Some(steps) = self.towards_something_open(&path.walk.world, open) {
                steps.into_iter().for_each(|step| path.go(step, open));
            } else {
                break;
            }
        }
        path.legs
    }

    /// Steps from here to a near state that has an edge to take.
    fn towards_something_open(&self, from: &World, open: &Open) -> Option<Vec<Transition>> {
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

/// The edges that no path has taken.
struct Open {
    steps: HashSet<EdgeKey>,
    waits: HashSet<EdgeKey>,
}

impl Open {
    fn len(&self) -> usize {
        self.steps.len() + self.waits.len()
    }
}

/// A path while it is made: a walk as a director will make it, with the calls that wait.
struct Path {
    walk: Walk,
    legs: Vec<Leg>,
}

impl Path {
    /// Makes a transition, and notes which edges that took. What goes on after it by itself takes
    /// edges too.
    fn go(&mut self, step: Transition, open: &mut Open) {
        let mut new = Edges::default();
        let what = ModelEvent::from(step);
        if step.waits(&self.walk.world) {
            new.waits += usize::from(open.waits.remove(&key(&self.walk.world, step, None)));
        }
        self.walk.attempt(&what, &mut |before, step, after| {
            new.steps += usize::from(open.steps.remove(&key(before, step, Some(after))));
        });
        self.legs.push(Leg { what, new });
    }

    fn open_step(&self, open: &Open) -> Option<Transition> {
        let world = &self.walk.world;
        successors(world)
            .find(|(step, next)| {
                next.as_ref()
                    .is_some_and(|next| open.steps.contains(&key(world, *step, Some(next))))
            })
            .map(|(step, _)| step)
    }

    /// A transition that waits, and the steps of others after which it goes on.
    fn open_wait(&self, open: &Open) -> Option<(Transition, Vec<Transition>)> {
        let world = &self.walk.world;
        successors(world)
            .filter(|(step, next)| next.is_none() && open.waits.contains(&key(world, *step, None)))
            .find_map(|(step, _)| Some((step, until_it_goes_on(world, step)?)))
    }
}

/// The steps of other calls after which a transition that waits goes on. Only calls go on
/// meanwhile: the waiting one may have locked other rows.
fn until_it_goes_on(world: &World, waiting: Transition) -> Option<Vec<Transition>> {
    let mut queue = VecDeque::from([(world.clone(), Vec::new())]);
    let mut seen = HashSet::from([fingerprint(world)]);
    while let Some((world, steps)) = queue.pop_front() {
        if !waiting.waits(&world) {
            return Some(steps);
        }
        for (step, next) in successors(&world) {
            let others = matches!(step, Transition::Call { .. } | Transition::LockExpires { .. })
                && step != waiting;
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

/// What can happen in a world: the world after it, or `None` for a transition that waits.
fn successors(world: &World) -> impl Iterator<Item = (Transition, Option<World>)> {
    let mut steps = Vec::new();
    Transition::offer(world, &mut steps);
    steps.into_iter().filter_map(|step| {
        let mut next = world.clone();
        match step.take(&mut next) {
            Some(()) => Some((step, Some(next))),
            None => step.waits(world).then_some((step, None)),
        }
    })
}

fn orbit(world: &World) -> u64 {
    fingerprint(&world.representative())
}

fn key(from: &World, step: Transition, to: Option<&World>) -> EdgeKey {
    let what = ModelEvent::from(step);
    fingerprint(&(orbit(from), what.kind(), to.map(orbit)))
}
