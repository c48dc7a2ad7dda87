//! How much of a strategy's model the service has been led through, and where the two differ: every
//! edge of the model's graph, on a real database.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use slotproof_models::{Edges, Happening, Leg, Losses, Size, begin, cover};
use slotproof_vocabulary::{StrategyKind, Verdict};

use super::{Stage, director::Director};
use crate::{
    environment::{Environment, guard::Guard},
    run_directory::RunDirectory,
};

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
pub(crate) struct Extent {
    pub(crate) size: Size,
    pub(crate) losses: Losses,
    /// States that are looked at.
    pub(crate) states: usize,
}

/// One strategy's model, and what the service did of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    pub(crate) strategy: StrategyKind,
    pub(crate) clients: u8,
    pub(crate) capacity: u8,
    pub(crate) states: usize,
    /// Whether those are all states of the model; else its edges are those between the states that
    /// were looked at.
    pub(crate) complete: bool,
    /// Steps that change something: in the model, and those after which service and model agreed.
    pub(crate) edges: usize,
    pub(crate) edges_reached: usize,
    /// Steps that wait: in the model, and those that the service was seen to wait in.
    pub(crate) waits: usize,
    pub(crate) waits_reached: usize,
    pub(crate) ways: usize,
    pub(crate) steps: usize,
    pub(crate) seconds: f64,
    /// Ways on which they differed.
    pub(crate) differing: usize,
    /// The first of them.
    pub(crate) differences: Vec<Difference>,
}

/// A way that ended because service and model differed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// The way up to there.
    pub(crate) steps: Vec<Happening>,
    pub(crate) differences: Vec<String>,
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
pub(crate) async fn cover_strategy(
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
        ways: covered.ways.len(),
        steps: 0,
        seconds: 0.0,
        differing: 0,
        differences: Vec::new(),
    };
    for ways in in_portions(&covered.ways) {
        let stage = Stage::set(strategy, environment, run, guard).await?;
        let gone = stream::iter(ways.iter().map(|way| go(&stage, extent.size, way)))
            .buffer_unordered(at_once(strategy));
        let gone: Vec<Result<Gone>> = gone.collect().await;
        stage.strike().await;
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
        way.iter().filter(|leg| matches!(leg.what, Happening::Crash { .. })).count()
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
async fn go(stage: &Stage, size: Size, way: &[Leg]) -> Result<Gone> {
    let walk = begin(stage.strategy, size);
    let slot = stage.slot(size.capacity).await?;
    let steps: Vec<Happening> = way.iter().map(|leg| leg.what.clone()).collect();
    let mut director =
        Director::new(stage, format!("w{}", slot.as_uuid().simple()), slot, walk, &steps);
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
    pub(crate) fn verdict(&self) -> Verdict {
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
