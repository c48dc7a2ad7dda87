//! `comparison.json`: variants side by side.
//!
//! A variant is whatever is compared: a strategy, a topology, a target, or a plan of its own. Every
//! variant is measured in every setting (a load and a number of clients), in rounds that visit all
//! variants in random order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{FsyncCalibration, Invariant, StrategyKind, TopologyBlock, Verdict};

use super::{
    contrast::Contrast,
    load::{Load, Offered},
    metric::Metric,
};
use crate::{estimate::Estimate, header::ReportHeader};

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version, name, origin and environment.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// What was compared, in the order in which it was asked for.
    pub variants: Vec<Variant>,
    /// How often each cell was measured at least.
    pub rounds: u32,
    /// The difference that does not matter: 0.1 is 10 %.
    pub margin: f64,
    /// The time after which no round was added.
    pub budget_ms: u64,
    /// Of the order of cells, and of every load.
    pub seed: u64,
    /// How long each load began new operations for.
    pub duration_ms: u64,
    /// A calibration of durable commits before each round.
    pub durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    /// Every variant in every setting, under each load that was offered there.
    pub cells: Vec<Cell>,
    /// Every ranked variant beside the best of its setting, for each aspect.
    pub contrasts: Vec<Contrast>,
    /// The same cells of an earlier comparison beside these; empty unless one was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<Against>,
}

/// Something that is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name: that of the strategy, the topology or the target, or of the plan's file.
    pub name: String,
    /// The strategy that decides; absent of a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyKind>,
    /// What its service runs on, where variants differ in that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<TopologyBlock>,
}

impl Variant {
    /// Whether it is broken on purpose.
    pub fn is_negative_control(&self) -> bool {
        self.strategy.is_some_and(|strategy| strategy.is_negative_control())
            || self.topology.as_ref().is_some_and(|topology| topology.negative_control)
    }
}

/// A cell beside the same cell of an earlier comparison. The two were not measured in the same
/// rounds, so their difference is also that of two days of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The directory of the earlier comparison.
    pub comparison: String,
    /// The setting's load.
    pub load: Load,
    /// The setting's clients.
    pub clients: u32,
    /// Which variant.
    pub variant: String,
    /// What was measured.
    pub metric: Metric,
    /// The median now divided by the median then, with a bootstrap interval of both lists.
    pub ratio: Estimate,
}

/// One variant in one setting, under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which variant.
    pub variant: String,
    /// The setting's load.
    pub load: Load,
    /// The setting's clients.
    pub clients: u32,
    /// How much load was offered.
    pub offered: Offered,
    /// Visits per second that were offered; absent of clients that never pause.
    pub offered_per_s: Option<f64>,
    /// The worst verdict of its rounds.
    pub verdict: Verdict,
    /// Operations that its verdicts rest on, over all rounds.
    pub operations: u64,
    /// Invariants that convicted it in any round.
    pub convicted_by: BTreeSet<Invariant>,
    /// Invariants that were not decided in some round. I15 alone means that nothing was at stake in
    /// this setting.
    pub unknown_by: BTreeSet<Invariant>,
    /// What the deciding finding says, unless all was upheld.
    pub reason: Option<String>,
    /// Medians over the rounds; a metric that was not measured is absent.
    pub estimates: BTreeMap<Metric, Estimate>,
    /// The rounds one by one.
    pub rounds: Vec<BTreeMap<Metric, f64>>,
    /// The runs' directories, beside the comparison's own file.
    pub runs: Vec<String>,
}

impl Cell {
    /// Its load and its number of clients.
    pub fn setting(&self) -> Setting {
        (self.load, self.clients)
    }

    /// A metric of each round.
    pub fn of_rounds(&self, metric: Metric) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(&metric).copied()).collect()
    }
}

/// A load and a number of clients.
pub type Setting = (Load, u32);

impl Comparison {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 3;
}
