//! What a bench found, and the tables in which people read it.

use std::fmt::Write as _;

use serde::Serialize;
use slotproof_vocabulary::FsyncCalibration;
use slotproof_vocabulary::StrategyKind;

use slotproof_reports::estimate::Estimate;

use crate::statistics::estimate;
use slotproof_vocabulary::RunContext;

/// Database connections of each service process.
pub const CONNECTIONS: u32 = 16;
/// The strategy to which others are compared.
pub const BASE: StrategyKind = StrategyKind::Pessimistic;

/// Where the load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One slot.
    Hot,
    /// A thousand slots, at random.
    Spread,
}

/// One measurement of a cell.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// Number of the round, from 1.
    pub round: u32,
    /// Acknowledged bookings per second.
    pub bookings_per_s: f64,
    /// Median latency.
    pub latency_us_p50: u64,
    /// 99th percentile of latency.
    pub latency_us_p99: u64,
    /// Answers that were no booking.
    pub refused: u64,
    /// Tries of the service beyond the first.
    pub retries_per_booking: f64,
    /// Transactions that were rolled back.
    pub rollbacks_per_booking: f64,
    /// Bookings that share a flush of the log.
    pub bookings_per_wal_sync: f64,
    /// CPU of the service.
    pub service_cpu_us_per_booking: f64,
    /// CPU of PostgreSQL.
    pub postgresql_cpu_us_per_booking: f64,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub struct CellReport {
    /// The strategy.
    pub strategy: StrategyKind,
    /// One hot slot, or many.
    pub layout: Layout,
    /// Clients.
    pub clients: usize,
    /// Acknowledged bookings per second.
    pub bookings_per_s: Estimate,
    /// Against the base strategy in the same round, layout and number of clients.
    pub ratio_to_pessimistic: Option<Estimate>,
    /// Of all rounds together.
    pub latency_us_p50: u64,
    /// 99th percentile of latency.
    pub latency_us_p99: u64,
    /// The rounds.
    pub rounds: Vec<Measurement>,
}

/// What pgbench made of it.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    /// One hot slot, or many.
    pub layout: Layout,
    /// Connections.
    pub connections: u32,
    /// Acknowledged bookings per second.
    pub bookings_per_s: Estimate,
    /// The rounds.
    pub rounds: Vec<f64>,
}

/// The whole bench.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    /// Version of this shape.
    pub schema_version: u32,
    /// What the figures rest on.
    pub circumstances: RunContext,
    /// The rounds.
    pub rounds: u32,
    /// The measured time of each cell.
    pub measured_ms: u128,
    /// Of the order of the cells.
    pub seed: u64,
    /// Durable commits, measured before each round.
    pub durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    /// The strategies.
    pub cells: Vec<CellReport>,
    /// The ceilings.
    pub pgbench: Vec<Ceiling>,
}

impl Measurement {
    /// pgbench tells nothing else.
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

impl BenchReport {
    /// The best of pgbench's numbers of connections.
    fn ceiling(&self, layout: Layout) -> Option<f64> {
        let rates = self.pgbench.iter().filter(|ceiling| ceiling.layout == layout);
        rates.map(|ceiling| ceiling.bookings_per_s.median).max_by(f64::total_cmp)
    }

    /// Tables that people read, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let environment = &self.circumstances.environment;
        let _ = writeln!(
            text,
            "# What each strategy costs\n\nDurable reserves of one seat over HTTP, {} rounds of {} ms per cell, interleaved in random order (seed {}), one service \
             process with {CONNECTIONS} connections, load and servers on the same {} CPUs. Medians with bootstrap 95 % intervals over the rounds; \
             ratios are medians of each round's ratio to `{BASE}`. Retries and rollbacks are per booking; CPU is of the service's processes and of PostgreSQL, \
             RabbitMQ and Redis are not in it.\n",
            self.rounds, self.measured_ms, self.seed, environment.cpus,
        );
        let servers: Vec<_> = environment
            .servers
            .iter()
            .map(|server| format!("{} {}", server.name, server.version))
            .collect();
        let commits: Vec<_> = self
            .durable_commit_by_round
            .iter()
            .map(|round| round.map_or("?".to_owned(), |commit| commit.us_p50.to_string()))
            .collect();
        let _ = writeln!(
            text,
            "{}, {}. Durable commit p50 before each round: {} us.\n",
            environment.kernel,
            servers.join(", "),
            commits.join(", "),
        );
        for (layout, title) in [(Layout::Hot, "One hot slot"), (Layout::Spread, "1,000 slots")] {
            self.layout(&mut text, layout, title);
        }
        text
    }

    fn layout(&self, text: &mut String, layout: Layout, title: &str) {
        let ceiling = self.ceiling(layout);
        let _ = writeln!(
            text,
            "## {title}\n\n| strategy | clients | bookings/s | ratio | of pgbench | p50 ms | p99 ms | retries | rollbacks | per WAL sync | CPU us service | CPU us PostgreSQL |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        );
        for cell in self.cells.iter().filter(|cell| cell.layout == layout) {
            let median = |of: fn(&Measurement) -> f64| {
                let values: Vec<f64> = cell.rounds.iter().map(of).collect();
                estimate(&values).map_or(0.0, |estimate| estimate.median)
            };
            let Estimate { median: rate, low, high } = cell.bookings_per_s;
            let ratio = cell.ratio_to_pessimistic.map_or("-".to_owned(), |ratio| {
                format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high)
            });
            let of_ceiling =
                ceiling.map_or("-".to_owned(), |ceiling| format!("{:.2}", rate / ceiling.max(0.1)));
            let _ = writeln!(
                text,
                "| {} | {} | {rate:.0} ({low:.0} to {high:.0}) | {ratio} | {of_ceiling} | {:.1} | {:.1} | {:.2} | {:.2} | {:.1} | {:.0} | {:.0} |",
                cell.strategy,
                cell.clients,
                cell.latency_us_p50 as f64 / 1_000.0,
                cell.latency_us_p99 as f64 / 1_000.0,
                median(|round| round.retries_per_booking),
                median(|round| round.rollbacks_per_booking),
                median(|round| round.bookings_per_wal_sync),
                median(|round| round.service_cpu_us_per_booking),
                median(|round| round.postgresql_cpu_us_per_booking),
            );
        }
        for ceiling in self.pgbench.iter().filter(|ceiling| ceiling.layout == layout) {
            let Estimate { median: rate, low, high } = ceiling.bookings_per_s;
            let _ = writeln!(
                text,
                "| *pgbench, the statement of `conditional`* | {} connections | {rate:.0} ({low:.0} to {high:.0}) | | | | | | | | | |",
                ceiling.connections
            );
        }
        let _ = writeln!(text);
    }
}
