//! What each strategy costs: durable reserves of one seat over HTTP, beside pgbench on the same
//! database.

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{FsyncCalibration, RunContext, StrategyKind};

use super::{DATA_FILE, made_by};
use crate::{
    document::{Document, Section},
    estimate::{Estimate, median},
    quantity, run_context,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

/// The strategy that the others are compared with.
pub const BASE: StrategyKind = StrategyKind::Pessimistic;

/// A bench of strategies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StrategyBench {
    /// Version of this shape: [`StrategyBench::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When, with which version and where it was made, and how to repeat it.
    #[serde(rename = "circumstances")]
    pub context: RunContext,
    /// Rounds of each cell.
    pub rounds: u32,
    /// Measured time of a round.
    pub measured_ms: u64,
    /// The seed of the order of cells, and of every load.
    pub seed: u64,
    /// Durable commits, measured before each round.
    pub durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    /// Every strategy in every layout with every number of clients.
    pub cells: Vec<StrategyCell>,
    /// The same statement run by pgbench, without HTTP.
    pub pgbench: Vec<PgbenchCell>,
}

/// Where the load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One slot.
    Hot,
    /// A thousand slots, at random.
    Spread,
}

/// One strategy in one layout with one number of clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StrategyCell {
    /// The strategy.
    pub strategy: StrategyKind,
    /// The layout.
    pub layout: Layout,
    /// Clients, each with one request in flight.
    pub clients: usize,
    /// Acknowledged reserves per second.
    pub bookings_per_s: Estimate,
    /// Against [`BASE`] in the same round, layout and number of clients.
    pub ratio_to_pessimistic: Option<Estimate>,
    /// Latency of a reserve over all rounds, median.
    pub latency_us_p50: u64,
    /// The same, 99th percentile.
    pub latency_us_p99: u64,
    /// The rounds one by one.
    pub rounds: Vec<Measurement>,
}

/// One round of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which round.
    pub round: u32,
    /// Acknowledged reserves per second.
    pub bookings_per_s: f64,
    /// Latency of a reserve, median.
    pub latency_us_p50: u64,
    /// The same, 99th percentile.
    pub latency_us_p99: u64,
    /// Reserves that were refused.
    pub refused: u64,
    /// Tries of a reserve beyond the first, per booking.
    pub retries_per_booking: f64,
    /// Transactions rolled back, per booking.
    pub rollbacks_per_booking: f64,
    /// Bookings that each flush of the write-ahead log made durable.
    pub bookings_per_wal_sync: f64,
    /// CPU of the service's processes per booking.
    pub service_cpu_us_per_booking: f64,
    /// CPU of PostgreSQL per booking.
    pub postgresql_cpu_us_per_booking: f64,
}

impl Measurement {
    /// A round of which only the rate is known, as pgbench tells it.
    pub fn of_rate(round: u32, bookings_per_s: f64) -> Self {
        Self {
            round,
            bookings_per_s,
            latency_us_p50: 0,
            latency_us_p99: 0,
            refused: 0,
            retries_per_booking: 0.0,
            rollbacks_per_booking: 0.0,
            bookings_per_wal_sync: 0.0,
            service_cpu_us_per_booking: 0.0,
            postgresql_cpu_us_per_booking: 0.0,
        }
    }
}

/// pgbench in one layout with one number of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PgbenchCell {
    /// The layout.
    pub layout: Layout,
    /// Connections to the database.
    pub connections: u32,
    /// Transactions per second, each of them a booking.
    pub bookings_per_s: Estimate,
    /// The rounds one by one.
    pub rounds: Vec<f64>,
}

impl StrategyBench {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The page, and the tables of `bench.md`. `connections` are those of the service process to
    /// the database.
    pub fn document(&self, connections: u32) -> Document {
        let cpus = self.context.environment.cpus;
        let method = Section::new("method", "Method").paragraph(format!(
            "Durable reserves of one seat over HTTP, {} of {} per cell, interleaved in random \
             order (seed {}). One service process with {}; load and servers share {}. Medians with \
             bootstrap 95 % intervals over the rounds; ratios are medians of the ratio of each \
             round. CPU covers the service and PostgreSQL; that of RabbitMQ and Redis is left out.",
            quantity::counted(self.rounds.into(), "round"),
            quantity::duration_ms(self.measured_ms),
            self.seed,
            quantity::counted(connections.into(), "connection"),
            quantity::counted(cpus.into(), "CPU"),
        ));
        let sections = vec![
            method,
            Section::new("hot", "One hot slot").table("", self.table(Layout::Hot)),
            Section::new("spread", "1,000 slots").table("", self.table(Layout::Spread)),
            run_context::section(&self.context),
        ];
        let commits = self.durable_commit_by_round.iter().map(|commit| {
            commit.map_or("not measured".to_owned(), |commit| quantity::duration_us(commit.us_p50))
        });
        let commits: Vec<String> = commits.collect();
        Document {
            kicker: "Slotproof bench",
            title: "The cost of each strategy".to_owned(),
            subtitle: run_context::environment_line(&self.context.environment),
            tone: Tone::Neutral,
            outcome: "measured".to_owned(),
            headline: self.headline(),
            facts: vec![("durable commit p50 by round".to_owned(), commits.join(", "))],
            origin: Some((&self.context).into()),
            sections: sections.into_iter().filter(|section| !section.is_empty()).collect(),
            data_file: DATA_FILE,
            made_by: made_by(self.schema_version),
        }
    }

    fn headline(&self) -> String {
        let hot = self.cells.iter().filter(|cell| cell.layout == Layout::Hot);
        let rate = |cell: &&StrategyCell| cell.bookings_per_s.median;
        let Some(best) = hot.max_by(|left, right| rate(left).total_cmp(&rate(right))) else {
            return "No strategy was measured on one hot slot.".to_owned();
        };
        let ratio =
            best.ratio_to_pessimistic.map(|ratio| format!(", {:.2} times {BASE}", ratio.median));
        format!(
            "On one hot slot {} is the fastest: {} bookings/s with {}{}.",
            best.strategy,
            quantity::rate(best.bookings_per_s.median),
            quantity::counted(best.clients as u64, "client"),
            ratio.unwrap_or_default()
        )
    }

    /// The best of pgbench's numbers of connections.
    fn ceiling(&self, layout: Layout) -> Option<f64> {
        let rates = self.pgbench.iter().filter(|ceiling| ceiling.layout == layout);
        rates.map(|ceiling| ceiling.bookings_per_s.median).max_by(f64::total_cmp)
    }

    fn table(&self, layout: Layout) -> Table {
        let columns = [
            words("strategy"),
            numbers("clients"),
            numbers("bookings / s"),
            numbers("ratio to pessimistic"),
            numbers("ratio to pgbench"),
            numbers("p50"),
            numbers("p99"),
            numbers("retries per booking"),
            numbers("rollbacks per booking"),
            numbers("bookings per WAL flush"),
            numbers("service CPU per booking"),
            numbers("PostgreSQL CPU per booking"),
        ];
        let mut table = Table::new(&columns);
        let ceiling = self.ceiling(layout);
        for cell in self.cells.iter().filter(|cell| cell.layout == layout) {
            table.push(row(cell, ceiling));
        }
        for cell in self.pgbench.iter().filter(|cell| cell.layout == layout) {
            let mut row: Vec<TableCell> = vec![
                "pgbench, the statement of conditional".into(),
                quantity::counted(cell.connections.into(), "connection").into(),
                cell.bookings_per_s.text(quantity::rate).into(),
            ];
            row.resize_with(columns.len(), || "".into());
            table.push(row);
        }
        table
    }
}

fn row(cell: &StrategyCell, ceiling: Option<f64>) -> Vec<TableCell> {
    let of = |value: fn(&Measurement) -> f64| median(cell.rounds.iter().map(value));
    let cpu = |us: f64| quantity::duration_us(us.round().max(0.0) as u64);
    let ratio = cell.ratio_to_pessimistic.map(|ratio| ratio.text(|value| format!("{value:.2}")));
    let of_ceiling =
        ceiling.map(|ceiling| format!("{:.2}", cell.bookings_per_s.median / ceiling.max(0.1)));
    vec![
        cell.strategy.name().into(),
        quantity::count(cell.clients as u64).into(),
        cell.bookings_per_s.text(quantity::rate).into(),
        ratio.unwrap_or_default().into(),
        of_ceiling.unwrap_or_default().into(),
        quantity::duration_us(cell.latency_us_p50).into(),
        quantity::duration_us(cell.latency_us_p99).into(),
        quantity::rate(of(|round| round.retries_per_booking)).into(),
        quantity::rate(of(|round| round.rollbacks_per_booking)).into(),
        quantity::rate(of(|round| round.bookings_per_wal_sync)).into(),
        cpu(of(|round| round.service_cpu_us_per_booking)).into(),
        cpu(of(|round| round.postgresql_cpu_us_per_booking)).into(),
    ]
}
