//! What each strategy costs: bookings per second over HTTP, on one hot slot and spread over many,
//! in one environment.
//!
//! Every service process runs from the beginning to the end. A round visits all cells in random
//! order, pgbench among them; before each cell the tables are emptied and made anew, so that none
//! inherits from another.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use hdrhistogram::Histogram;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use slotproof_reports::{
    Document,
    bench::strategies::{BASE, Layout, Measurement, PgbenchCell, StrategyBench, StrategyCell},
    estimate::Estimate,
};
use slotproof_vocabulary::{FsyncCalibration, Outcome, RunContext, Span, StrategyKind};

use super::{
    pgbench,
    reserves::{self, Order},
    write_bench,
};
use slotproof_evidence::{
    ReferenceDatabase, RunDirectory,
    reference::bench::{BenchCounters, BenchSlots, SeatRows, month},
};
use slotproof_scenarios::{
    Connections,
    target::{OperationKind, Place, Scope, Session, reference},
};
use slotproof_stack::{
    Directed, Environment, Replicas, ServiceSpec, StackSpec, guard::Guard, proc,
};

use crate::{progress::Progress, spec::ExperimentSpec, statistics::estimate, trial};

/// Seats of the hot slot, and of all others together: more than any cell can sell.
const SEATS: i32 = 300_000;
/// Database connections of each service process.
const CONNECTIONS: u32 = 16;
/// Slots over which the load is spread.
const SPREAD_SLOTS: u32 = 1_000;
/// A hold outlives every cell, so that the sweeper has nothing to do.
const HOLD: Duration = Duration::from_secs(3_600);
/// PostgreSQL's own is a second.
const STATISTICS_INTERVAL: Duration = Duration::from_millis(1_050);
/// Numbers of connections with which pgbench is tried; the better one is the ceiling.
const PGBENCH_CONNECTIONS: [u32; 2] = [16, 64];
/// How much is measured.
#[derive(Debug, Clone)]
pub struct BenchSpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// What is measured.
    pub strategies: Vec<StrategyKind>,
    /// Numbers of clients.
    pub clients: Vec<usize>,
    /// How often each cell is measured.
    pub rounds: u32,
    /// Load before the measured time of a cell.
    pub warm_up: Duration,
    /// The measured time of a cell.
    pub measure: Duration,
    /// Of the order of the cells.
    pub seed: u64,
}

/// The bench as a document.
pub fn document(report: &StrategyBench) -> Document {
    report.document(CONNECTIONS)
}

/// One place of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Strategy { kind: StrategyKind, layout: Layout, clients: usize },
    Pgbench { layout: Layout, connections: u32 },
}

/// Measures everything and writes `bench.json` and `bench.md`.
///
/// # Errors
/// An environment or a service that does not start, or a load that breaks.
#[boxed_future]
pub async fn bench(
    spec: &BenchSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, StrategyBench)> {
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create_named(&spec.experiment.runs, "bench-strategies", now)?;
    progress.line(&format!("bench {}", run.path().display()));
    let environment = slotproof_stack::provision(&spec.experiment.stack, run.path(), guard).await?;
    let pgbench = slotproof_stack::pgbench()?;
    let mut services = Vec::new();
    for kind in &spec.strategies {
        services.push((*kind, start(*kind, &environment, &run, guard).await?));
    }
    let mut bench = Bench {
        spec,
        environment: &environment,
        services: &services,
        pgbench,
        run: &run,
        cells: Vec::new(),
    };
    bench.cells = bench.all_cells();
    let mut durable_commit_by_round = Vec::new();
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let begun = Instant::now();
    for round in 1..=spec.rounds {
        durable_commit_by_round
            .push(slotproof_stack::durable_commit(environment.endpoints.postgres_url()).await);
        let mut order: Vec<usize> = (0..bench.cells.len()).collect();
        order.shuffle(&mut rng);
        for index in order {
            bench.measure(index, round).await?;
        }
        progress.line(&format!(
            "  round {round} of {} is done ({} s)",
            spec.rounds,
            begun.elapsed().as_secs()
        ));
    }
    let context = trial::run_context(&environment, &spec.experiment, now)?;
    let report = bench.report(context, durable_commit_by_round);
    for (_, service) in services {
        service.stop().await;
    }
    environment.stop().await;
    run.write_json("bench.json", &report)?;
    write_bench(&run, &document(&report))?;
    Ok((run, report))
}

async fn start(
    kind: StrategyKind,
    environment: &Environment,
    run: &RunDirectory,
    guard: &Guard,
) -> Result<Replicas> {
    let service = ServiceSpec {
        strategy: kind,
        endpoints: environment.endpoints.clone(),
        hold: HOLD,
        connections: CONNECTIONS,
        replicas: 1,
        port: None,
        lock_ttl: StackSpec::LOCK_TTL_DEFAULT,
        announces: false,
        directed: Directed::No,
        replaceable: false,
    };
    Ok(Replicas::start(&service, &run.logs(), guard).await?)
}

/// A cell and what was measured of it.
struct Measured {
    cell: Cell,
    rounds: Vec<Measurement>,
    latency_us: Histogram<u64>,
}

struct Bench<'a> {
    spec: &'a BenchSpec,
    environment: &'a Environment,
    services: &'a [(StrategyKind, Replicas)],
    pgbench: PathBuf,
    run: &'a RunDirectory,
    cells: Vec<Measured>,
}

impl Bench<'_> {
    fn all_cells(&self) -> Vec<Measured> {
        let layouts = [Layout::Hot, Layout::Spread];
        let mut cells = Vec::new();
        for layout in layouts {
            for kind in &self.spec.strategies {
                let clients = self.spec.clients.iter();
                cells.extend(clients.map(|clients| Cell::Strategy {
                    kind: *kind,
                    layout,
                    clients: *clients,
                }));
            }
            cells.extend(
                PGBENCH_CONNECTIONS.map(|connections| Cell::Pgbench { layout, connections }),
            );
        }
        let empty = || Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        cells
            .into_iter()
            .map(|cell| Measured { cell, rounds: Vec::new(), latency_us: empty() })
            .collect()
    }

    async fn measure(&mut self, index: usize, round: u32) -> Result<()> {
        let mut database =
            ReferenceDatabase::connect(self.environment.endpoints.postgres_url()).await?;
        match self.cells[index].cell {
            Cell::Strategy { kind, layout, clients } => {
                let seat_rows = match kind {
                    StrategyKind::SeatRows => SeatRows::Made,
                    _ => SeatRows::Left,
                };
                let slots = make_slots(&mut database, layout, seat_rows).await?;
                let (measurement, latency_us) =
                    self.measure_strategy(&mut database, kind, slots, clients, round).await?;
                self.cells[index].rounds.push(measurement);
                self.cells[index].latency_us.add(latency_us)?;
            }
            Cell::Pgbench { layout, connections } => {
                let slots = make_slots(&mut database, layout, SeatRows::Left).await?;
                let first = &slots[0];
                let script =
                    pgbench::script(&first[..24], &month().first_day().to_string(), 1, slots.len());
                self.run.write("pgbench.sql", script.as_bytes())?;
                let bookings_per_s = pgbench::bookings_per_second(
                    &self.pgbench,
                    self.environment.endpoints.postgres_url(),
                    &self.run.file("pgbench.sql"),
                    connections,
                    self.spec.measure,
                )
                .await?;
                self.cells[index].rounds.push(Measurement::of_rate(round, bookings_per_s));
            }
        }
        database.close().await?;
        Ok(())
    }

    async fn measure_strategy(
        &self,
        database: &mut ReferenceDatabase,
        kind: StrategyKind,
        slots: Vec<String>,
        clients: usize,
        round: u32,
    ) -> Result<(Measurement, Histogram<u64>)> {
        let service = self
            .services
            .iter()
            .find(|(candidate, _)| *candidate == kind)
            .map(|(_, service)| service);
        let service = service.context("every strategy of the bench has a service")?;
        let order = Order {
            target: service.addresses()[0],
            slots: Arc::new(slots),
            clients,
            warm_up: self.spec.warm_up,
            measure: self.spec.measure,
            nonce: rand::random(),
        };
        let postgresql = self.environment.processes.iter().find(|(name, _)| name == "postgresql");
        let postgresql =
            postgresql.map(|(_, leader)| leader.pid()).context("PostgreSQL is a child of ours")?;
        let cpu_ms = || (service.pids().map(proc::cpu_ms).sum::<u64>(), proc::cpu_ms(postgresql));
        let target = &service.targets()[0];
        let processes = service.metrics_targets().await;

        let before = (Counters::read(database, &processes).await?, cpu_ms());
        let reserves = reserves::reserve(&order).await?;
        let cpu_after = cpu_ms();
        flush_statistics(target, &order.slots[0]).await?;
        let after = (Counters::read(database, &processes).await?, cpu_after);

        // Counters also saw the warm-up: so did all bookings, whose number is the database's.
        let all = (after.0.database.bookings - before.0.database.bookings).max(1.0);
        let measurement = Measurement {
            round,
            bookings_per_s: reserves.booked as f64 / reserves.measured.as_secs_f64(),
            latency_us_p50: reserves.latency_us.value_at_quantile(0.5),
            latency_us_p99: reserves.latency_us.value_at_quantile(0.99),
            refused: reserves.refused,
            retries_per_booking: (after.0.retries - before.0.retries) / all,
            rollbacks_per_booking: (after.0.database.rollbacks - before.0.database.rollbacks) / all,
            bookings_per_wal_sync: all
                / (after.0.database.wal_syncs - before.0.database.wal_syncs).max(1.0),
            service_cpu_us_per_booking: (after.1.0 - before.1.0) as f64 * 1_000.0 / all,
            postgresql_cpu_us_per_booking: (after.1.1 - before.1.1) as f64 * 1_000.0 / all,
        };
        Ok((measurement, reserves.latency_us))
    }

    fn report(
        &self,
        context: RunContext,
        durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    ) -> StrategyBench {
        let mut cells = Vec::new();
        let mut ceilings = Vec::new();
        for Measured { cell, rounds, latency_us } in &self.cells {
            let rates: Vec<f64> = rounds.iter().map(|round| round.bookings_per_s).collect();
            let Some(bookings_per_s) = estimate(&rates) else { continue };
            match *cell {
                Cell::Pgbench { layout, connections } => {
                    ceilings.push(PgbenchCell {
                        layout,
                        connections,
                        bookings_per_s,
                        rounds: rates,
                    });
                }
                Cell::Strategy { kind, layout, clients } => cells.push(StrategyCell {
                    strategy: kind,
                    layout,
                    clients,
                    bookings_per_s,
                    ratio_to_pessimistic: self.ratio(&rates, layout, clients),
                    latency_us_p50: latency_us.value_at_quantile(0.5),
                    latency_us_p99: latency_us.value_at_quantile(0.99),
                    rounds: rounds.clone(),
                }),
            }
        }
        StrategyBench {
            schema_version: StrategyBench::SCHEMA_VERSION,
            context,
            rounds: self.spec.rounds,
            measured_ms: Span(self.spec.measure).ms(),
            seed: self.spec.seed,
            durable_commit_by_round,
            cells,
            pgbench: ceilings,
        }
    }

    /// The median of the ratios of each round, not the ratio of medians: what slows a round slows
    /// both.
    fn ratio(&self, rates: &[f64], layout: Layout, clients: usize) -> Option<Estimate> {
        let base = self
            .cells
            .iter()
            .find(|measured| measured.cell == Cell::Strategy { kind: BASE, layout, clients })?;
        let ratios: Vec<f64> = rates
            .iter()
            .zip(&base.rounds)
            .map(|(rate, base)| rate / base.bookings_per_s.max(0.1))
            .collect();
        estimate(&ratios)
    }
}

/// Makes every connection of the service's pool tell the database what it has counted: a backend
/// does so at the end of a statement, if it has not done so for a second.
async fn flush_statistics(target: &str, slot: &str) -> Result<()> {
    tokio::time::sleep(STATISTICS_INTERVAL).await;
    let http = Connections::default();
    let (file, place) = (reference::target(target), Place::of_id(slot).names());
    let session = Session::default();
    let scope = Scope::of(target, &place, &session);
    let request = || file.first_request(OperationKind::Read, scope).map_err(anyhow::Error::msg);
    let requests: Vec<_> = (0..CONNECTIONS * 4).map(|_| request()).collect::<Result<_>>()?;
    let read = |request| file.send_first(&http, OperationKind::Read, request);
    for answer in futures::future::join_all(requests.into_iter().map(read)).await {
        anyhow::ensure!(answer.outcome == Outcome::Ok, "a read was not answered: {answer:?}");
    }
    Ok(())
}

/// What the database and the service count.
struct Counters {
    database: BenchCounters,
    retries: f64,
}

impl Counters {
    async fn read(database: &mut ReferenceDatabase, targets: &[String]) -> Result<Self> {
        let http = reqwest::Client::new();
        let mut retries = 0.0;
        for target in targets {
            retries += reference::reserve_retries(&http, target).await? as f64;
        }
        Ok(Self { database: database.bench_counters().await?, retries })
    }
}

/// Empties the tables and makes the slots anew, numbered from 1.
async fn make_slots(
    database: &mut ReferenceDatabase,
    layout: Layout,
    seat_rows: SeatRows,
) -> Result<Vec<String>> {
    let count = match layout {
        Layout::Hot => 1,
        Layout::Spread => SPREAD_SLOTS,
    };
    let capacity = SEATS / i32::try_from(count)?;
    Ok(database.make_bench_slots(BenchSlots { count, capacity, seat_rows }).await?)
}
