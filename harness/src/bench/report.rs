//! What a bench found, and the tables in which people read it.

use std::fmt::Write as _;

use serde::Serialize;
use slotproof_reports::run_report::FsyncCalibration;
use slotproof_vocabulary::StrategyKind;

use slotproof_reports::estimate::Estimate;

use crate::run_directory::Circumstances;
use crate::statistics::estimate;

/// Database connections of each service process.
pub(crate) const CONNECTIONS: u32 = 16;
/// The strategy to which others are compared.
pub(crate) const BASE: StrategyKind = StrategyKind::Pessimistic;

/// Where the load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layout {
    /// One slot.
    Hot,
    /// A thousand slots, at random.
    Spread,
}

/// One measurement of a cell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) round: u32,
    pub(crate) bookings_per_s: f64,
    pub(crate) latency_us_p50: u64,
    pub(crate) latency_us_p99: u64,
    pub(crate) refused: u64,
    pub(crate) retries_per_booking: f64,
    pub(crate) rollbacks_per_booking: f64,
    pub(crate) bookings_per_wal_sync: f64,
    pub(crate) service_cpu_us_per_booking: f64,
    pub(crate) postgresql_cpu_us_per_booking: f64,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct CellReport {
    pub(crate) strategy: StrategyKind,
    pub(crate) layout: Layout,
    pub(crate) clients: usize,
    pub(crate) bookings_per_s: Estimate,
    /// Against the base strategy in the same round, layout and number of clients.
    pub(crate) ratio_to_pessimistic: Option<Estimate>,
    /// Of all rounds together.
    pub(crate) latency_us_p50: u64,
    pub(crate) latency_us_p99: u64,
    pub(crate) rounds: Vec<Measurement>,
}

/// What pgbench made of it.
#[derive(Debug, Serialize)]
pub(crate) struct Ceiling {
    pub(crate) layout: Layout,
    pub(crate) connections: u32,
    pub(crate) bookings_per_s: Estimate,
    pub(crate) rounds: Vec<f64>,
}

/// The whole bench.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    pub(crate) schema_version: u32,
    pub(crate) circumstances: Circumstances,
    pub(crate) rounds: u32,
    pub(crate) measured_ms: u128,
    pub(crate) seed: u64,
    /// Durable commits, measured before each round.
    pub(crate) durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    pub(crate) cells: Vec<CellReport>,
    pub(crate) pgbench: Vec<Ceiling>,
}

impl Measurement {
    /// pgbench tells nothing else.
    pub(crate) fn of_rate(round: u32, bookings_per_s: f64) -> Self {
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
    pub(crate) fn markdown(&self) -> String {
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
