//! How much of a strategy's model the service has been led through, and where the two differ: every
//! edge of the model's graph, on a real database.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use slotproof_models::{Edges, Leg, Losses, ModelEvent, Size, Walk, cover};
use slotproof_vocabulary::{StrategyKind, Verdict};

use super::{ReplayRig, director::Director};
use slotproof_evidence::RunDirectory;
use slotproof_stack::{Environment, guard::Guard};

/// Slots on which ways are gone at the same time.
const AT_ONCE: usize = 12;
/// SERIALIZABLE transactions on different slots are not independent: PostgreSQL notes what was read
/// by pages of an index, and aborts one of two that share a page (SQLSTATE 40001, "read/write
/// dependencies"). Harmless, and not what the model is about.
const AT_ONCE_SERIALIZABLE: usize = 1;
/// Calls that crash keep a connection each. After so many the service is started anew.
const CRASHES_MAX: usize = 800;
/// Differences that are kept with their whole way; more are only counted.
const DIFFERENCES_MAX: usize = 10;

/// What is covered.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Clients and seats of the model.
    pub size: Size,
    /// Answers that may be lost.
    pub losses: Losses,
    /// States that are looked at.
    pub states: usize,
}

/// One strategy's model, and what the service did of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The strategy.
    pub strategy: StrategyKind,
    /// Clients of the model.
    pub clients: u8,
    /// Seats of the slot.
    pub capacity: u8,
    /// States of the model.
    pub states: usize,
    /// Whether those are all states of the model; else its edges are those between the states that
    /// were looked at.
    pub complete: bool,
    /// Steps that change something: in the model, and those after which service and model agreed.
    pub edges: usize,
    /// Steps that change something, after which service and model agreed.
    pub edges_reached: usize,
    /// Steps that wait: in the model, and those that the service was seen to wait in.
    pub waits: usize,
    /// Steps that the service was seen to wait in.
    pub waits_reached: usize,
    /// Ways from the beginning that were taken.
    pub ways: usize,
    /// Steps of all ways.
    pub steps: usize,
    /// How long it took.
    pub seconds: f64,
    /// Ways on which they differed.
    pub differing: usize,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// A way that ended because service and model differed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The way up to there.
    pub steps: Vec<ModelEvent>,
    /// What differed.
    pub differences: Vec<String>,
}

/// One way that was gone.
struct Gone {
    reached: Edges,
    steps: usize,
    difference: Option<Difference>,
}

/// Leads the service along ways that take every edge of its model.
///
/// # Errors
/// The service or a server failed.
pub async fn cover_strategy(
    strategy: StrategyKind,
    extent: Extent,
    environment: &Environment,
    run: &RunDirectory,
    guard: &Guard,
) -> Result<Coverage> {
    let begun = Instant::now();
    let covered = cover(strategy, extent.size, extent.losses, extent.states);
    let mut coverage = Coverage {
        strategy,
        clients: extent.size.clients,
        capacity: extent.size.capacity,
        states: covered.states,
        complete: covered.complete,
        edges: covered.edges,
        edges_reached: 0,
        waits: covered.waits,
        waits_reached: 0,
        ways: covered.paths.len(),
        steps: 0,
        seconds: 0.0,
        differing: 0,
        differences: Vec::new(),
    };
    for ways in in_portions(&covered.paths) {
        let rig = ReplayRig::start(strategy, environment, run, guard).await?;
        let gone = stream::iter(ways.iter().map(|way| go(&rig, extent.size, way)))
            .buffer_unordered(at_once(strategy));
        let gone: Vec<Result<Gone>> = gone.collect().await;
        rig.teardown().await;
        for gone in gone {
            let gone = gone?;
            coverage.edges_reached += gone.reached.steps;
            coverage.waits_reached += gone.reached.waits;
            coverage.steps += gone.steps;
            coverage.differing += usize::from(gone.difference.is_some());
            if coverage.differences.len() < DIFFERENCES_MAX {
                coverage.differences.extend(gone.difference);
            }
        }
    }
    coverage.seconds = begun.elapsed().as_secs_f64();
    Ok(coverage)
}

fn at_once(strategy: StrategyKind) -> usize {
    match strategy {
        StrategyKind::Serializable => AT_ONCE_SERIALIZABLE,
        _ => AT_ONCE,
    }
}

/// Portions of ways in which so few calls crash that one service bears it.
fn in_portions(ways: &[Vec<Leg>]) -> Vec<&[Vec<Leg>]> {
    let crashes = |way: &Vec<Leg>| {
        way.iter().filter(|leg| matches!(leg.what, ModelEvent::Crash { .. })).count()
    };
    let (mut portions, mut from, mut sum) = (Vec::new(), 0, 0);
    for (index, way) in ways.iter().enumerate() {
        if sum + crashes(way) > CRASHES_MAX {
            portions.push(&ways[from..index]);
            (from, sum) = (index, 0);
        }
        sum += crashes(way);
    }
    portions.push(&ways[from..]);
    portions
}

/// Goes one way on a slot of its own, until service and model differ.
async fn go(rig: &ReplayRig, size: Size, way: &[Leg]) -> Result<Gone> {
    let walk = Walk::begin(rig.strategy, size);
    let slot = rig.slot(size.capacity).await?;
    let steps: Vec<ModelEvent> = way.iter().map(|leg| leg.what.clone()).collect();
    let mut director =
        Director::new(rig, format!("w{}", slot.as_uuid().simple()), slot, walk, &steps);
    let mut gone = Gone { reached: Edges::default(), steps: 0, difference: None };
    for leg in way {
        gone.steps += 1;
        let stepped = director.step(&leg.what).await;
        let differences = match stepped {
            Ok(stepped) => stepped.differences,
            // Stuck is a way of differing.
            Err(error) => vec![format!("{error:#}")],
        };
        if !differences.is_empty() {
            gone.difference = Some(Difference { steps: steps[..gone.steps].to_vec(), differences });
            break;
        }
        gone.reached.steps += leg.new.steps;
        gone.reached.waits += leg.new.waits;
    }
    director.abandon().await?;
    Ok(gone)
}

impl Coverage {
    /// Upheld: the service was led along every edge, and did what its model says. Not all of them,
    /// because the model was cut off, decides nothing.
    pub fn verdict(&self) -> Verdict {
        let everything = self.edges_reached == self.edges && self.waits_reached == self.waits;
        match (self.differing, everything && self.complete) {
            (0, true) => Verdict::Upheld,
            (0, false) => Verdict::Unknown,
            _ => Verdict::Violated,
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Duration::from_secs_f64(self.seconds);
        write!(
            f,
            "{:<20} {:>6} of {:>6} edges, {:>5} of {:>5} waits, {:>6} states, {:>5} ways, {:>6} steps, {:>5.1} s: {}",
            self.strategy.name(),
            self.edges_reached,
            self.edges,
            self.waits_reached,
            self.waits,
            self.states,
            self.ways,
            self.steps,
            time.as_secs_f64(),
            match self.differing {
                0 if self.complete => "agrees".to_owned(),
                0 => "agrees as far as it was led; --states cut its model off".to_owned(),
                differing => format!("DIFFERS on {differing} ways"),
            }
        )
    }
}
