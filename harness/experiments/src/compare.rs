//! A comparison: strategies side by side, in one environment, in rounds that visit every cell in
//! random order.
//!
//! Each visit of a cell is a whole trial: a fresh service on empty tables, a load, a settling, a
//! verdict. What a round has of good or bad luck of the machine, all cells have of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use slotproof_checker::Case;
use slotproof_reports::{
    ReportHeader, RunReport,
    comparison::{Cell, Comparison, Contrast, Load, Metric},
    estimate::Estimate,
};
use slotproof_vocabulary::{
    Action, Invariant, Mix, Outcome, Plan, PlanArgs, ScenarioKind, Span, StrategyKind, Verdict,
    VerdictReport,
};

use slotproof_evidence::RunDirectory;
use slotproof_stack::guard::Guard;

use crate::{
    progress::Progress,
    series::{Extended, Series, Tried, lacks_coverage},
    spec::ExperimentSpec,
    statistics::{estimate, ratios_to},
    trial::TrialSpec,
};

/// What is compared.
#[derive(Debug, Clone)]
pub struct CompareSpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// What is compared.
    pub strategies: Vec<StrategyKind>,
    /// The loads.
    pub loads: Vec<Load>,
    /// Numbers of clients of each load.
    pub clients: Vec<u32>,
    /// How often each cell is visited.
    pub rounds: u32,
    /// Load before the measured time: judged, and left out of the figures.
    pub warm_up: Span,
    /// The measured time of each load.
    pub duration: Span,
    /// Of the order of cells, and of every load.
    pub seed: u64,
}

/// Holds run out soon: a trial has settled only when all of them have.
const HOLD: Span = Span::of_ms(600);

/// More than any strategy sells in a load of some seconds, and few enough for a row each.
const SPARE_SEATS: u32 = 50_000;
/// Slots of a load that is spread and has seats to spare.
const MANY_SLOTS: u32 = 100;
/// Slots of a load that is spread, and the seats of each: the hot ones sell out within a second.
const SLOTS: u32 = 30;
const SEATS: u32 = 25;

/// A strategy in a setting, and what its rounds gave.
struct Visited {
    strategy: StrategyKind,
    load: Load,
    clients: u32,
    rounds: Vec<Round>,
}

struct Round {
    report: RunReport,
    metrics: BTreeMap<Metric, f64>,
}

/// Visits every cell in every round; writes `comparison.json`, `report.html` and `report.md`.
///
/// # Errors
/// What kept a trial from being made.
#[boxed_future]
pub async fn compare(
    spec: &CompareSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, Comparison)> {
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create_named(&spec.experiment.runs, "compare", now)?;
    progress.line(&format!("compare {}", run.path().display()));
    let mut series = Series::begin(run.clone(), &spec.experiment, guard).await?;
    let mut cells = all_cells(spec);
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let mut durable_commit_by_round = Vec::new();
    let has_spare = spec.loads.iter().any(|load| load.has_seats_to_spare());
    let begun = Instant::now();
    for round in 1..=spec.rounds {
        let commit =
            slotproof_stack::durable_commit(series.environment.endpoints.postgres_url()).await;
        durable_commit_by_round.push(commit);
        // What is violated is violated in the first round; more rounds are for the figures.
        let visited = |cell: &Visited| round == 1 || cell.load.has_seats_to_spare() || !has_spare;
        let mut order: Vec<usize> =
            (0..cells.len()).filter(|index| visited(&cells[*index])).collect();
        order.shuffle(&mut rng);
        for index in order {
            let trial = trial(spec, &cells[index], round)?;
            let spare = cells[index].load.has_seats_to_spare();
            // Where seats run out, the load goes on until they have.
            let open = |report: &RunReport| !spare && lacks_coverage(report);
            let Extended { tried: Tried { case, mut report }, .. } =
                series.trial_until_decided(&trial, None, open).await?;
            if spare {
                // Nobody is refused, on purpose: whether the load was dangerous is not asked here.
                report.verdict = without_coverage(report.verdict);
            }
            if report.verdict.verdict != Verdict::Upheld {
                progress.line(&format!("  {}: {}", report.run, report.verdict.verdict));
            }
            cells[index].rounds.push(Round { metrics: measure(&case, &report), report });
        }
        progress.line(&format!(
            "  round {round} of {} is done ({} s)",
            spec.rounds,
            begun.elapsed().as_secs()
        ));
    }
    let context = series.run_context(&spec.experiment, now)?;
    series.end().await;
    let mut comparison = Comparison {
        header: ReportHeader {
            schema_version: Comparison::SCHEMA_VERSION,
            name: run.name(),
            context,
        },
        rounds: spec.rounds,
        seed: spec.seed,
        duration_ms: spec.duration.ms(),
        durable_commit_by_round,
        cells: cells.iter().map(Visited::summed_up).collect(),
        contrasts: Vec::new(),
    };
    comparison.contrasts = contrasts(&comparison);
    run.write_json("comparison.json", &comparison)?;
    run.write_document(&comparison.document())?;
    Ok((run, comparison))
}

fn all_cells(spec: &CompareSpec) -> Vec<Visited> {
    let mut cells = Vec::new();
    for load in &spec.loads {
        for clients in &spec.clients {
            for strategy in &spec.strategies {
                cells.push(Visited {
                    strategy: *strategy,
                    load: *load,
                    clients: *clients,
                    rounds: Vec::new(),
                });
            }
        }
    }
    cells
}

fn trial(spec: &CompareSpec, cell: &Visited, round: u32) -> Result<TrialSpec> {
    // Nobody thinks: else the clients' pace would be measured, and not the service's.
    let think = Some(Span::of_ms(0));
    let spare = PlanArgs {
        scenario: Some(ScenarioKind::Steady),
        mix: Some(Mix { buy: 1, ..Mix::default() }),
        think,
        ..PlanArgs::default()
    };
    let words = match cell.load {
        Load::HotSlot => PlanArgs { slots: Some(1), capacity: Some(SPARE_SEATS), ..spare },
        Load::ManySlots => {
            PlanArgs { slots: Some(MANY_SLOTS), capacity: Some(SPARE_SEATS / MANY_SLOTS), ..spare }
        }
        // Fewer seats than clients, or no reserve is ever refused.
        Load::Scenario(scenario @ ScenarioKind::FlashSale) => PlanArgs {
            scenario: Some(scenario),
            capacity: Some((cell.clients / 2).max(1)),
            ..PlanArgs::default()
        },
        Load::Scenario(scenario) => PlanArgs {
            scenario: Some(scenario),
            slots: Some(SLOTS),
            capacity: Some(SEATS),
            think,
            ..PlanArgs::default()
        },
    };
    let plan = Plan::try_from(PlanArgs {
        strategy: Some(cell.strategy),
        clients: Some(cell.clients),
        warm_up: Some(spec.warm_up),
        duration: Some(spec.duration),
        hold: Some(HOLD),
        seed: Some(spec.seed + u64::from(round)),
        ..words
    })?;
    Ok(spec.experiment.trial(plan, cell.strategy, Vec::new()))
}

impl Visited {
    fn summed_up(&self) -> Cell {
        let verdicts = || self.rounds.iter().map(|round| &round.report.verdict);
        let verdict = verdicts().map(|report| report.verdict).max().unwrap_or(Verdict::Unknown);
        let deciding = verdicts()
            .flat_map(|report| &report.findings)
            .find(|finding| finding.verdict == verdict);
        let values = |metric: Metric| -> Vec<f64> {
            self.rounds.iter().filter_map(|round| round.metrics.get(&metric).copied()).collect()
        };
        let estimates =
            Metric::ALL.into_iter().filter_map(|metric| Some((metric, estimate(&values(metric))?)));
        Cell {
            strategy: self.strategy,
            load: self.load,
            clients: self.clients,
            verdict,
            convicted_by: verdicts()
                .flat_map(|report| &report.findings)
                .filter(|finding| finding.verdict == Verdict::Violated)
                .map(|finding| finding.invariant)
                .collect(),
            unknown_by: verdicts()
                .flat_map(|report| &report.findings)
                .filter(|finding| finding.verdict == Verdict::Unknown)
                .map(|finding| finding.invariant)
                .collect(),
            reason: deciding
                .filter(|_| verdict != Verdict::Upheld)
                .map(|finding| format!("{}: {}", finding.invariant, finding.summary)),
            estimates: estimates.collect(),
            rounds: self.rounds.iter().map(|round| round.metrics.clone()).collect(),
            runs: self.rounds.iter().map(|round| round.report.run.clone()).collect(),
        }
    }
}

/// Without the finding on coverage.
fn without_coverage(verdict: VerdictReport) -> VerdictReport {
    let findings = verdict.findings.into_iter().filter(|it| it.invariant != Invariant::RunCoverage);
    VerdictReport::new(verdict.operations, findings.collect())
}

/// Every ranked strategy beside the best ranked one of its setting.
fn contrasts(comparison: &Comparison) -> Vec<Contrast> {
    let strategies = comparison.ranked();
    let ranked: Vec<&Cell> =
        comparison.cells.iter().filter(|cell| strategies.contains(&cell.strategy)).collect();
    let settings: BTreeSet<(Load, u32)> =
        ranked.iter().map(|cell| (cell.load, cell.clients)).collect();
    let alpha = 0.05 / (ranked.len() - settings.len()).max(1) as f64;
    let goodput = |cell: &Cell| cell.estimates.get(&Metric::Goodput).map_or(0.0, |it| it.median);
    let of_setting = |setting: (Load, u32)| -> Vec<Contrast> {
        let here = ranked.iter().filter(|cell| (cell.load, cell.clients) == setting);
        let here: Vec<&Cell> = here.copied().collect();
        let best = (0..here.len())
            .max_by(|left, right| goodput(here[*left]).total_cmp(&goodput(here[*right])))
            .expect("a setting has a cell");
        let made = |round: &BTreeMap<Metric, f64>| round.get(&Metric::Goodput).copied();
        let rounds: Vec<Vec<f64>> =
            here.iter().map(|cell| cell.rounds.iter().filter_map(made).collect()).collect();
        let contrast = |(cell, ratio): (&&Cell, Option<Estimate>)| Contrast {
            load: cell.load,
            clients: cell.clients,
            strategy: cell.strategy,
            best: here[best].strategy,
            ratio,
        };
        let all = here.iter().zip(ratios_to(best, &rounds, alpha)).map(contrast);
        all.filter(|it| it.strategy != it.best).collect()
    };
    settings.into_iter().flat_map(of_setting).collect()
}

/// The numbers of one trial.
fn measure(case: &Case, report: &RunReport) -> BTreeMap<Metric, f64> {
    let totals = &report.totals;
    let mut metrics = BTreeMap::new();
    metrics.insert(Metric::Goodput, totals.confirmed_per_s);
    let reserve =
        report.latency.iter().find(|it| it.operation == "reserve" && it.outcome.is_none());
    if let Some(reserve) = reserve {
        metrics.insert(Metric::ResponseUsP50, reserve.response.us_p50 as f64);
        metrics.insert(Metric::ResponseUsP99, reserve.response.us_p99 as f64);
        metrics.insert(Metric::ResponseUsP999, reserve.response.us_p999 as f64);
    }
    let refused = report
        .verdict
        .findings
        .iter()
        .find(|finding| finding.invariant == Invariant::HonestSoldOut);
    if let Some(refused) = refused.filter(|finding| finding.examined > 0) {
        let wrong = refused.violations as f64 / refused.examined as f64;
        metrics.insert(Metric::SoldOutAccuracy, 1.0 - wrong);
    }
    metrics.insert(
        Metric::WronglyRefusedSeatSeconds,
        slotproof_checker::wrongly_refused_seat_seconds(case),
    );
    metrics.extend(jain(case, report.plan.clients()).map(|index| (Metric::Fairness, index)));
    if let Some(costs) = report.costs {
        // Of all that the run reserved, the warm-up included: so much was counted too.
        let reserved = reserved_by_client(case).values().sum::<u64>().max(1) as f64;
        metrics.insert(Metric::RetriesPerBooking, costs.retries as f64 / reserved);
        metrics.insert(Metric::RollbacksPerBooking, costs.rollbacks as f64 / reserved);
        metrics
            .insert(Metric::CommitsPerFsync, costs.commits as f64 / costs.wal_syncs.max(1) as f64);
        metrics.extend(costs.lock_waiters.map(|waiters| (Metric::LockWaiters, waiters)));
    }
    let groups = [
        ("load", Metric::CpuUsLoad),
        ("service", Metric::CpuUsService),
        ("postgresql", Metric::CpuUsPostgresql),
        ("redis", Metric::CpuUsRedis),
        ("rabbitmq", Metric::CpuUsRabbitmq),
    ];
    for (group, metric) in groups {
        if let Some(resource) = report.resources.iter().find(|resource| resource.group == group) {
            metrics.insert(metric, resource.cpu_ms as f64 * 1e3 / totals.errors.of.max(1) as f64);
        }
    }
    metrics
}

fn reserved_by_client(case: &Case) -> BTreeMap<u64, u64> {
    let mut reserved = BTreeMap::new();
    for operation in &case.history.operations {
        let booked =
            matches!(operation.action, Action::Reserve { .. }) && operation.outcome == Outcome::Ok;
        if booked && Some(operation.client) != case.prober {
            *reserved.entry(operation.client).or_insert(0) += 1;
        }
    }
    reserved
}

/// Jain's index over the acknowledged reserves of all clients, those without any included; nothing
/// if nobody got any.
fn jain(case: &Case, clients: u32) -> Option<f64> {
    let reserved = reserved_by_client(case);
    let sum: f64 = reserved.values().map(|count| *count as f64).sum();
    let squares: f64 = reserved.values().map(|count| (*count as f64).powi(2)).sum();
    (squares > 0.0).then(|| sum * sum / (f64::from(clients) * squares))
}

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_vocabulary::Operation;

    use super::*;

    #[test]
    fn fairness_is_one_when_all_have_the_same_and_a_share_when_one_has_all() {
        let case = |clients: &[u64]| {
            let reserve = |client: &u64| {
                let action = Action::Reserve { seats: 1, key: "k".into() };
                Operation::new(*client, "s", action, 1, 2)
            };
            let operations = clients.iter().map(reserve).collect();
            Case { history: History { operations, ..History::default() }, ..Case::default() }
        };
        assert_eq!(jain(&case(&[1, 2, 3, 4]), 4), Some(1.0));
        assert_eq!(jain(&case(&[1, 1, 1, 1]), 4), Some(0.25));
        assert_eq!(jain(&case(&[]), 4), None);
    }
}
