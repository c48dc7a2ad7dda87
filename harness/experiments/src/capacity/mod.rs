//! Capacity: the highest rate that keeps an objective, what saturates there, how throughput scales,
//! and what that says of somebody's estimates.
//!
//! The search is by an open load: visits arrive on schedule, however slow the service becomes.
//! Every probe is a whole trial, judged like any other.

pub mod claims;
mod judge;
mod usl;

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use slotproof_checker::Case;
use slotproof_reports::{
    ReportHeader, RunReport,
    capacity::{Bracket, Capacity, Objective, Probe, ProbeOutcome, Rates, Scaling},
    quantity,
};
use slotproof_scenarios::Durations;
use slotproof_vocabulary::{Plan, PlanArgs, Rate, Span, StrategyKind, UsageError, Verdict};

use self::claims::Claims;
use slotproof_evidence::RunDirectory;
use slotproof_stack::{faults::Fault, guard::Guard};

use crate::{
    progress::Progress,
    series::{Series, Tried},
    spec::ExperimentSpec,
    summary::Window,
    trial::TrialSpec,
};

/// What is measured.
#[derive(Debug, Clone)]
pub struct CapacitySpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// What is claimed, and the load by which it is judged.
    pub claims: Claims,
    /// How much is spent.
    pub effort: Effort,
    /// The rate with which the search begins.
    pub start: Rate,
}

/// How much is spent.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Load before the measured time of a probe.
    pub warm_up: Span,
    /// The measured time of a probe; a confirmation takes twice as long.
    pub window: Span,
    /// The bracket is halved until its ends are no further apart than this.
    pub precision: f64,
    /// Numbers of clients by which scaling is measured.
    pub clients: Vec<u32>,
    /// Numbers of service processes by which scaling is measured.
    pub replicas: Vec<u32>,
    /// Rounds of each of them, and of strategies that claims compare.
    pub rounds: u32,
}

/// Rates that are tried at most: a search that has not ended by then has lost its way in noise.
const PROBES_MAX: usize = 24;
/// A rate below this is no load.
const RATE_MIN: f64 = 1.0;
/// How often a confirmation may fail before the search gives up.
const CONFIRMATIONS_MAX: usize = 4;
/// Clients of the scaling over service processes: enough to keep all of them busy, though a client
/// that books waits a while before it pays.
const REPLICAS_CLIENTS: u32 = 256;

/// Everything that the measurements need.
struct Bench<'a> {
    spec: &'a CapacitySpec,
    progress: &'a dyn Progress,
    series: Series<'a>,
    probes: Vec<Probe>,
}

/// Searches, scales, judges the claims; writes `capacity.json`, `report.html` and `report.md`.
///
/// # Errors
/// What kept a trial from being made.
#[boxed_future]
pub async fn capacity(
    spec: &CapacitySpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, Capacity)> {
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create_named(&spec.experiment.runs, "capacity", now)?;
    progress.line(&format!("capacity {}", run.path().display()));
    let series = Series::begin(run.clone(), &spec.experiment, guard).await?;
    let mut bench = Bench { spec, progress, series, probes: Vec::new() };
    let bracket = bench.search().await?;
    let by_clients = bench.over_clients().await?;
    let by_replicas = bench.over_replicas().await?;
    let claims = bench.judge(&bracket).await?;
    let context = bench.series.run_context(&spec.experiment, now)?;
    let Bench { series, probes, .. } = bench;
    series.end().await;
    let capacity = Capacity {
        header: ReportHeader {
            schema_version: Capacity::SCHEMA_VERSION,
            name: run.name(),
            context,
        },
        strategy: spec.claims.strategy,
        plan: spec.plan(spec.start, spec.effort.window)?,
        objective: spec.claims.objective,
        probes,
        bracket,
        by_clients,
        by_replicas,
        claims,
    };
    run.write_json("capacity.json", &capacity)?;
    run.write_document(&capacity.document())?;
    Ok((run, capacity))
}

impl CapacitySpec {
    fn plan(&self, rate: Rate, window: Span) -> Result<Plan, UsageError> {
        self.claims.plan(rate, window, self.effort.warm_up).map_err(UsageError)
    }

    fn trial(
        &self,
        plan: Plan,
        strategy: StrategyKind,
        replicas: u32,
        faults: Vec<Fault>,
    ) -> TrialSpec {
        let mut trial = self.experiment.trial(plan, strategy, faults);
        trial.experiment.stack.replicas = replicas;
        trial
    }
}

impl Bench<'_> {
    /// Up until a rate fails, down if the first one does, halves the bracket, and holds what was
    /// held once more.
    async fn search(&mut self) -> Result<Bracket> {
        let (mut holds, mut fails) = (None, None);
        let mut rate = self.spec.start.per_s();
        while fails.is_none() && self.probes.len() < PROBES_MAX {
            match self.probe("growth", rate).await? {
                ProbeOutcome::Holds => {
                    holds = Some(rate);
                    rate *= 2.0;
                }
                ProbeOutcome::Fails(_) | ProbeOutcome::GeneratorSaturated(_) => fails = Some(rate),
            }
        }
        while let (None, Some(lowest)) = (holds, fails) {
            rate = lowest / 4.0;
            if rate < RATE_MIN || self.probes.len() >= PROBES_MAX {
                break;
            }
            match self.probe("growth", rate).await? {
                ProbeOutcome::Holds => holds = Some(rate),
                ProbeOutcome::Fails(_) | ProbeOutcome::GeneratorSaturated(_) => fails = Some(rate),
            }
        }
        while let (Some(low), Some(high)) = (holds, fails) {
            if high / low <= self.spec.effort.precision || self.probes.len() >= PROBES_MAX {
                break;
            }
            let middle = (low * high).sqrt();
            match self.probe("bisection", middle).await? {
                ProbeOutcome::Holds => holds = Some(middle),
                ProbeOutcome::Fails(_) | ProbeOutcome::GeneratorSaturated(_) => {
                    fails = Some(middle)
                }
            }
        }
        let holds = self.confirm(holds).await?;
        Ok(self.bracket(holds))
    }

    /// The highest rate that was held, and is held again for twice as long; after each failure a
    /// lower one is tried.
    async fn confirm(&mut self, held: Option<f64>) -> Result<Option<f64>> {
        let Some(mut rate) = held else { return Ok(None) };
        for _ in 0..CONFIRMATIONS_MAX {
            if self.probe("confirmation", rate).await? == ProbeOutcome::Holds {
                return Ok(Some(rate));
            }
            rate /= self.spec.effort.precision;
        }
        Ok(None)
    }

    fn bracket(&self, holds: Option<f64>) -> Bracket {
        let rates = |probe: &Probe| Rates {
            visits_per_s: probe.asked_per_s,
            operations_per_s: probe.operations_per_s,
        };
        let confirmed = self.probes.iter().rfind(|probe| {
            probe.phase == "confirmation" && probe.held == ProbeOutcome::Holds && holds.is_some()
        });
        let above =
            |probe: &&Probe| confirmed.is_none_or(|held| probe.asked_per_s > held.asked_per_s);
        let lowest = |wanted: fn(&ProbeOutcome) -> bool| {
            let probes = self.probes.iter().filter(above).filter(|probe| wanted(&probe.held));
            probes.min_by(|left, right| left.asked_per_s.total_cmp(&right.asked_per_s))
        };
        let failed = lowest(|held| matches!(held, ProbeOutcome::Fails(_)));
        let overloaded = lowest(|held| matches!(held, ProbeOutcome::GeneratorSaturated(_)));
        Bracket {
            holds: confirmed.map(rates),
            fails: failed.map(|probe| Rates {
                // More than it was asked for it cannot make: what is refused is the load that was
                // asked.
                operations_per_s: match confirmed {
                    Some(held) => probe.asked_per_s * held.operations_per_s / held.asked_per_s,
                    None => probe.operations_per_s,
                },
                ..rates(probe)
            }),
            ended_by_generator: failed.is_none() && overloaded.is_some(),
            saturated: failed.or(overloaded).map(|probe| self.saturated(probe)).unwrap_or_default(),
        }
    }

    /// What was busy.
    fn saturated(&self, probe: &Probe) -> Vec<String> {
        let mut busy = Vec::new();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let sum: f64 = probe.cpus_busy.values().sum();
        let shares: Vec<String> = probe
            .cpus_busy
            .iter()
            .map(|(group, cpus)| format!("{group} {}", quantity::rate(*cpus)))
            .collect();
        let cpu =
            format!("CPU: {} of {cpus} were busy ({})", quantity::rate(sum), shares.join(", "));
        if sum >= cpus * 0.85 {
            busy.push(format!("{cpu}. Client, service and servers share this machine, so a machine of its own for the client would move the knee."));
        }
        if let Some(flushing) = probe.flushing.filter(|share| *share >= 0.5) {
            busy.push(format!(
                "Durable writes: flushes of the log took about {:.0} % of the time, by the calibration's median.",
                flushing * 100.0
            ));
        }
        if let Some(waiters) = probe.lock_waiters.filter(|waiters| *waiters >= 1.0) {
            busy.push(format!(
                "Locks: {} connections of the database waited for one, on average.",
                quantity::rate(waiters)
            ));
        }
        if busy.is_empty() {
            busy.push(format!("Nothing that is measured was busy when it failed. {cpu}."));
        }
        busy
    }

    /// One rate.
    async fn probe(&mut self, phase: &str, per_s: f64) -> Result<ProbeOutcome> {
        let window = match phase {
            "confirmation" => Span::of_ms(self.spec.effort.window.ms() * 2),
            _ => self.spec.effort.window,
        };
        let rate = Rate::of_per_s(per_s)
            .ok_or_else(|| UsageError(format!("{per_s} visits/s is no rate")))?;
        let plan = self.spec.plan(rate, window)?;
        let trial = self.spec.trial(
            plan,
            self.spec.claims.strategy,
            self.spec.experiment.stack.replicas,
            Vec::new(),
        );
        let Tried { case, report } = self.series.trial(&trial).await?;
        let probe = probe_of(phase, &case, &report, self.spec.claims.objective);
        self.progress.line(&format!(
            "  {phase}: {} visits/s, response p99 {}, {}",
            quantity::rate(per_s),
            quantity::duration_us(probe.response_us_p99),
            match &probe.held {
                ProbeOutcome::Holds => "holds".to_owned(),
                ProbeOutcome::Fails(reason) => format!("fails: {reason}"),
                ProbeOutcome::GeneratorSaturated(reason) =>
                    format!("load generator saturated: {reason}"),
            }
        ));
        let held = probe.held.clone();
        self.probes.push(probe);
        Ok(held)
    }

    async fn over_clients(&mut self) -> Result<Scaling> {
        let sizes = self.spec.effort.clients.clone();
        let mut points: Vec<(u32, Vec<f64>)> = sizes.iter().map(|n| (*n, Vec::new())).collect();
        for round in 1..=self.spec.effort.rounds {
            for (clients, rounds) in &mut points {
                rounds
                    .push(self.closed(*clients, self.spec.experiment.stack.replicas, round).await?);
            }
        }
        self.progress.line("  scaling over clients: done");
        let usl = usl::fit(&points);
        Ok(Scaling { over: "clients".to_owned(), points, usl })
    }

    async fn over_replicas(&mut self) -> Result<Scaling> {
        let sizes = self.spec.effort.replicas.clone();
        let mut points: Vec<(u32, Vec<f64>)> = sizes.iter().map(|n| (*n, Vec::new())).collect();
        for round in 1..=self.spec.effort.rounds {
            for (replicas, rounds) in &mut points {
                rounds.push(self.closed(REPLICAS_CLIENTS, *replicas, round).await?);
            }
        }
        self.progress.line("  scaling over service processes: done");
        let usl = usl::fit(&points);
        Ok(Scaling { over: "service processes".to_owned(), points, usl })
    }

    /// Operations per second of so many clients who never think.
    async fn closed(&mut self, clients: u32, replicas: u32, round: u32) -> Result<f64> {
        let words = PlanArgs {
            strategy: Some(self.spec.claims.strategy),
            clients: Some(clients),
            think: Some(Span::of_ms(0)),
            warm_up: Some(self.spec.effort.warm_up),
            duration: Some(self.spec.effort.window),
            seed: Some(u64::from(round)),
            ..self.spec.claims.words.clone()
        };
        let plan = Plan::try_from(words)
            .map_err(|error| UsageError(format!("[load] cannot be run closed: {error}")))?;
        let trial = self.spec.trial(plan, self.spec.claims.strategy, replicas, Vec::new());
        Ok(self.series.trial(&trial).await?.report.totals.operations_per_s)
    }
}

/// What a trial of an open load says of its rate.
fn probe_of(phase: &str, case: &Case, report: &RunReport, objective: Objective) -> Probe {
    let mut durations = Durations::default();
    let window = Window::of(case, &report.plan);
    for operation in window.scheduled(case).filter(|it| it.error_class().is_none()) {
        durations.record(operation);
    }
    let totals = &report.totals;
    // CPU and flushes were counted until the last return.
    let loaded_ms = (totals.window_ms + totals.drain_ms).max(1) as f64;
    let loaded_us = (loaded_ms + report.plan.warm_up.ms() as f64) * 1e3;
    let (asked_per_s, made_per_s) =
        totals.arrivals.map_or((0.0, 0.0), |it| (it.asked_per_s, it.made_per_s));
    let mut probe = Probe {
        phase: phase.to_owned(),
        run: report.run.clone(),
        asked_per_s,
        made_per_s,
        operations_per_s: totals.operations_per_s,
        response_us_p50: durations.response.value_at_quantile(0.5),
        response_us_p99: durations.response.value_at_quantile(0.99),
        service_us_p99: durations.service.value_at_quantile(0.99),
        lag_us_p99: durations.lag.value_at_quantile(0.99),
        errors: totals.errors.share(),
        verdict: report.verdict.verdict,
        cpus_busy: report
            .resources
            .iter()
            .map(|resource| (resource.group.clone(), resource.cpu_ms as f64 / loaded_ms))
            .collect(),
        lock_waiters: report.costs.and_then(|costs| costs.lock_waiters),
        flushing: report
            .costs
            .zip(report.environment.fsync)
            .map(|(costs, fsync)| costs.wal_syncs as f64 * fsync.us_p50 as f64 / loaded_us),
        held: ProbeOutcome::Holds,
    };
    let all_came = totals.arrivals.is_none_or(|arrivals| arrivals.made == arrivals.asked);
    probe.held = held(&probe, all_came, objective, report);
    probe
}

/// The service is blamed for what it took itself, the generator for what it sent late.
fn held(probe: &Probe, all_came: bool, objective: Objective, report: &RunReport) -> ProbeOutcome {
    /// A later request says nothing of the instant at which it was due.
    const LAG_US_MAX: u64 = 100_000;
    let limit_us = objective.p99_ms * 1_000;
    let violated =
        report.verdict.findings.iter().find(|finding| finding.verdict == Verdict::Violated);
    if let Some(finding) = violated {
        return ProbeOutcome::Fails(format!(
            "{} is violated: {}",
            finding.invariant, finding.summary
        ));
    }
    if probe.errors > objective.errors_max {
        return ProbeOutcome::Fails(format!(
            "{} of operations got no decision",
            quantity::share(probe.errors)
        ));
    }
    if probe.service_us_p99 > limit_us {
        return ProbeOutcome::Fails(format!(
            "service p99 {}",
            quantity::duration_us(probe.service_us_p99)
        ));
    }
    if !all_came {
        return ProbeOutcome::GeneratorSaturated(
            "not every visit that was due was made".to_owned(),
        );
    }
    if probe.lag_us_p99 > LAG_US_MAX {
        return ProbeOutcome::GeneratorSaturated(format!(
            "p99 send lag {}, limit 100 ms",
            quantity::duration_us(probe.lag_us_p99)
        ));
    }
    if probe.response_us_p99 > limit_us {
        return ProbeOutcome::Fails(format!(
            "response p99 {}",
            quantity::duration_us(probe.response_us_p99)
        ));
    }
    ProbeOutcome::Holds
}
