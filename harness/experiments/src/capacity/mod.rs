//! Capacity: the highest rate that keeps an objective, what saturates there, how throughput scales,
//! and what that says of somebody's estimates.
//!
//! The search is by an open load: visits arrive on schedule, however slow the service becomes.
//! Every probe is a whole trial, judged like any other.

pub mod claims;

mod machine;
mod probe;
mod quantile;
mod search;
mod usl;

mod judge;
mod size;

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use slotproof_reports::{
    ReportHeader, RunReport,
    capacity::{Capacity, Objective, Phase, Probe, ProbeOutcome, Scaling, Violation},
    quantity,
};
use slotproof_vocabulary::{Plan, PlanArgs, Rate, ScenarioKind, Span, UsageError};

use self::{
    claims::{Bytes, ClaimKind, Claims},
    machine::Calibration,
    probe::Asked,
};
use slotproof_evidence::RunDirectory;
use slotproof_stack::{EnvironmentSpec, faults::Fault, guard::Guard};

use crate::{
    on::{On, Subject},
    progress::Progress,
    series::Tried,
    spec::ExperimentSpec,
    target_series::TargetSpec,
};

/// What is measured.
#[derive(Debug, Clone)]
pub struct CapacitySpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// The booking API that is measured, instead of the reference service.
    pub target: Option<TargetSpec>,
    /// What is measured: the strategy of the claims, or the target.
    pub subject: Subject,
    /// What is claimed, and the load by which it is judged.
    pub claims: Claims,
    /// How much is spent.
    pub effort: Effort,
    /// The rate with which the search begins.
    pub start: Rate,
    /// The size to which the database is filled, to measure the confirmed rate there.
    pub fill: Option<Bytes>,
}

/// How much is spent.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Load before the measured time of a probe.
    pub warm_up: Span,
    /// The measured time of a probe; a repeated one takes twice as long. A probe with too few
    /// operations, or whose p99 has the limit in its interval, takes up to [`LONGEST`] times as
    /// long.
    pub window: Span,
    /// How often each end of the bracket is loaded, at least.
    pub confirmations: u32,
    /// The bracket is halved until its ends are no further apart than this.
    pub precision: f64,
    /// Numbers of clients by which scaling is measured.
    pub clients: Vec<u32>,
    /// Numbers of service processes by which scaling is measured.
    pub replicas: Vec<u32>,
    /// Rounds of each of them, and of strategies that claims compare.
    pub rounds: u32,
}

/// How many times as long as its window a probe may last.
pub const LONGEST: u32 = 8;
/// Disk space that a fill needs for each byte of it: the tables, and the files of a vacuum.
const DISK_PER_FILLED: f64 = 1.3;
/// Disk space beside it: the log of the database, and the histories of the runs.
const DISK_BESIDE: f64 = 3e9;
/// Clients of the scaling over service processes: enough to keep all of them busy, though a client
/// that books waits a while before it pays.
const REPLICAS_CLIENTS: u32 = 256;

/// A trial that is to be made.
struct Trial {
    subject: Subject,
    plan: Plan,
    /// Processes of the reference service.
    replicas: u32,
    faults: Vec<Fault>,
    /// Whether the tables are left as they are.
    beside: bool,
}

/// Everything that the measurements need.
struct Bench<'a> {
    spec: &'a CapacitySpec,
    progress: &'a dyn Progress,
    on: On<'a>,
    /// Where the directories of the runs are.
    parent: RunDirectory,
    calibration: Calibration,
    probes: Vec<Probe>,
    /// The first violation by the strategy that is measured: nothing goes on after it.
    violation: Option<Violation>,
}

/// Searches, scales, judges the claims; writes `capacity.json`, `report.html` and `report.md`. The
/// first violated invariant ends it: a service that breaks its promises has no capacity.
///
/// # Errors
/// What kept a trial from being made.
#[boxed_future]
pub async fn capacity(
    spec: &CapacitySpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, Capacity)> {
    spec.check()?;
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create_named(&spec.experiment.runs, "capacity", now)?;
    progress.line(&format!("capacity {}", run.path().display()));
    let targets = spec.target.as_slice();
    let on = On::begin(&spec.experiment, targets, &run, guard, progress).await?;
    let mut calibration = Calibration::new();
    calibration.measure(on.postgres_url()).await;
    let mut bench = Bench {
        spec,
        progress,
        on,
        parent: run.clone(),
        calibration,
        probes: Vec::new(),
        violation: None,
    };
    let bracket = bench.search().await?;
    let by_clients = bench.over_clients().await?;
    let by_replicas = bench.over_replicas().await?;
    let size = bench.measure_size(&bracket).await?;
    bench.calibration.measure(bench.on.postgres_url()).await;
    let claims = bench.judge(&bracket, size.as_ref()).await?;
    let context = bench.on.run_context(&spec.experiment, now)?;
    let Bench { on, calibration, probes, violation, .. } = bench;
    on.end().await;
    let capacity = Capacity {
        header: ReportHeader {
            schema_version: Capacity::SCHEMA_VERSION,
            name: run.name(),
            context,
        },
        strategy: spec.subject.name().to_owned(),
        plan: spec.plan(spec.start.per_s(), spec.effort.window)?,
        objective: spec.claims.objective,
        machine: calibration.machine(),
        violation,
        probes,
        bracket,
        by_clients,
        by_replicas,
        size,
        claims,
    };
    run.write_json("capacity.json", &capacity)?;
    run.write_document(&capacity.document())?;
    Ok((run, capacity))
}

impl CapacitySpec {
    /// Makes every plan that the search, the scaling and the claims will need, so that what cannot
    /// be asked is said before anything is begun.
    ///
    /// # Errors
    /// The first that cannot be made, with the line of its claim; or a fill that has no place.
    pub fn check(&self) -> Result<(), UsageError> {
        let longest = self.longest();
        if longest > Plan::SPAN_MAX {
            return Err(UsageError(format!(
                "--window {} is too long: a probe lasts up to {LONGEST} times as long, and a plan {} at most",
                self.effort.window,
                Plan::SPAN_MAX
            )));
        }
        if !(1.0..=self.rate_max()).contains(&self.start.per_s()) {
            return Err(UsageError(format!(
                "--start must be 1/s to {}/s",
                self.rate_max().floor()
            )));
        }
        let load = |error: UsageError| self.claims.refuse_load(&error.0);
        for window in [self.effort.window, longest] {
            self.plan(self.start.per_s(), window).map_err(load)?;
        }
        for clients in self.effort.clients.iter().copied().chain([REPLICAS_CLIENTS]) {
            self.closed_plan(clients, 1).map_err(load)?;
        }
        for claim in &self.claims.claims {
            let refused = |error: UsageError| self.claims.refuse(claim.line, &error.0);
            if self.target.is_some() && claim.kind.is_of_the_reference_service() {
                continue;
            }
            match &claim.kind {
                ClaimKind::Latency { rate, .. } if rate.per_s() > self.rate_max() => {
                    return Err(self.claims.refuse(
                        claim.line,
                        &format!(
                            "rate is {rate}, and {}/s is the most that a load of {longest} can have",
                            self.rate_max().floor()
                        ),
                    ));
                }
                ClaimKind::Latency { rate, .. } => {
                    let window = quantile::window(self.effort.window, longest, rate.per_s());
                    self.plan(rate.per_s(), window).map(drop).map_err(refused)?;
                }
                ClaimKind::Better { strategy, than, clients } => {
                    judge::hot_plan(*strategy, *clients, 1).map_err(refused)?;
                    judge::hot_plan(*than, *clients, 1).map(drop).map_err(refused)?;
                }
                ClaimKind::Contention { strategy, clients }
                | ClaimKind::Retries { strategy, clients } => {
                    judge::hot_plan(*strategy, *clients, 1).map(drop).map_err(refused)?;
                }
                ClaimKind::Recovery { .. } => {
                    let strategy = self.claims.strategy.ok_or_else(|| {
                        self.claims.refuse(claim.line, "the file names no strategy")
                    })?;
                    judge::crash_plan(strategy).map(drop).map_err(refused)?;
                }
                ClaimKind::Throughput { .. } | ClaimKind::Users { .. } | ClaimKind::Size { .. } => {
                }
            }
        }
        self.check_fill()
    }

    /// Whether there is a database to fill, and room for it.
    fn check_fill(&self) -> Result<(), UsageError> {
        let Some(Bytes(bytes)) = self.fill else { return Ok(()) };
        match self.experiment.stack.environment {
            EnvironmentSpec::External(_) => Err(UsageError(
                "--fill writes into a database that ends with the run; use --environment native or containers".to_owned(),
            )),
            EnvironmentSpec::Containers(_) => Ok(()),
            EnvironmentSpec::Native => {
                let needed = bytes * DISK_PER_FILLED + DISK_BESIDE;
                let existing = self.experiment.runs.ancestors().find(|path| path.is_dir());
                let places =
                    [existing.unwrap_or_else(|| ".".as_ref()).to_owned(), std::env::temp_dir()];
                // The servers' data lies in one of both.
                let free = places.iter().filter_map(|path| rustix::fs::statvfs(path).ok());
                let free = free.map(|it| it.f_bavail as f64 * it.f_frsize as f64).fold(f64::INFINITY, f64::min);
                if free >= needed {
                    return Ok(());
                }
                Err(UsageError(format!(
                    "--fill {} needs {} of disk, and {} are free; fill less, or let --runs name another disk",
                    quantity::bytes(bytes as u64),
                    quantity::bytes(needed as u64),
                    quantity::bytes(free as u64)
                )))
            }
        }
    }

    /// How long the longest probe is.
    fn longest(&self) -> Span {
        Span(self.effort.window.0.saturating_mul(LONGEST))
    }

    /// The highest rate whose longest load is a plan, in visits per second.
    fn rate_max(&self) -> f64 {
        let longest_s = (self.longest().0 + self.effort.warm_up.0).as_secs_f64();
        (Plan::ARRIVALS_MAX / longest_s).min(Rate::PER_S_MAX)
    }

    fn plan(&self, per_s: f64, window: Span) -> Result<Plan, UsageError> {
        let rate = Rate::of_per_s(per_s)
            .ok_or_else(|| UsageError(format!("{per_s} visits/s is no rate")))?;
        self.claims.plan(rate, window, self.effort.warm_up).map_err(UsageError)
    }

    /// The load by which scaling is measured: clients who never think. What the load says of
    /// arrivals is about the open one.
    fn closed_plan(&self, clients: u32, round: u32) -> Result<Plan, UsageError> {
        let words = PlanArgs {
            strategy: self.claims.strategy,
            scenario: self.claims.words.scenario.or(Some(ScenarioKind::Steady)),
            clients: Some(clients),
            think: Some(Span::of_ms(0)),
            arrivals: None,
            spike: None,
            lag_limit: None,
            warm_up: Some(self.effort.warm_up),
            duration: Some(self.effort.window),
            seed: Some(u64::from(round)),
            ..self.claims.words.clone()
        };
        Plan::try_from(words)
            .map_err(|error| UsageError(format!("[load] cannot be run closed: {error}")))
    }
}

impl CapacitySpec {
    /// A trial of what is measured.
    fn trial(&self, plan: Plan) -> Trial {
        let replicas = self.experiment.stack.replicas;
        Trial { subject: self.subject.clone(), plan, replicas, faults: Vec::new(), beside: false }
    }
}

impl Bench<'_> {
    /// A trial. A violation by what is measured is kept; that of another strategy is a matter of the
    /// claim that asked for it.
    async fn trial(&mut self, asked: Trial, under: &str) -> Result<Tried> {
        let Trial { subject, plan, replicas, faults, beside } = asked;
        let tried = match (&mut self.on, subject.strategy()) {
            (On::Stack(series), Some(strategy)) => {
                let mut trial = self.spec.experiment.trial(plan, strategy, faults);
                trial.experiment.stack.replicas = replicas;
                match beside {
                    true => series.trial_beside(&trial).await?,
                    false => series.trial(&trial).await?,
                }
            }
            (on, _) => {
                let experiment = &self.spec.experiment;
                on.until_decided(experiment, &subject, &plan, None, |_| false).await?.tried
            }
        };
        self.note(&subject, &tried.report, under);
        Ok(tried)
    }

    fn note(&mut self, subject: &Subject, report: &RunReport, under: &str) {
        let Some(finding) = probe::violated(report) else { return };
        if *subject == self.spec.subject && self.violation.is_none() {
            self.progress.line(&format!("  {} is violated; the search ends", finding.invariant));
            self.violation = Some(Violation {
                run: report.run.clone(),
                invariant: finding.invariant,
                summary: finding.summary.clone(),
                under: under.to_owned(),
            });
        }
    }

    /// One rate of the search.
    async fn probe(&mut self, phase: Phase, per_s: f64) -> Result<ProbeOutcome> {
        let probe = self.measure(phase, per_s, self.spec.claims.objective).await?;
        let held = probe.held.clone();
        self.probes.push(probe);
        Ok(held)
    }

    /// Loads a rate for long enough, and for longer while that can decide it.
    async fn measure(&mut self, phase: Phase, per_s: f64, objective: Objective) -> Result<Probe> {
        let longest = self.spec.longest();
        let usual = search::window_of(phase, self.spec.effort.window);
        let mut window = quantile::window(usual, longest, per_s * self.operations_per_visit());
        let mut shorter = 0;
        loop {
            let asked = Asked { phase, rate_per_s: per_s, objective, shorter };
            let probe = self.load(asked, window).await?;
            let undecided = matches!(probe.held, ProbeOutcome::Undecided(_));
            if !undecided || window >= longest || self.violation.is_some() {
                return Ok(probe);
            }
            window = Span::of_ms(window.ms() * 2).min(longest);
            shorter += 1;
        }
    }

    async fn load(&mut self, asked: Asked, window: Span) -> Result<Probe> {
        let plan = self.spec.plan(asked.rate_per_s, window)?;
        let trial = Trial { beside: asked.phase == Phase::Filled, ..self.spec.trial(plan) };
        let rate = quantity::rate(asked.rate_per_s);
        let under = format!("{} at {rate} visits/s", asked.phase.name());
        let Tried { case, report } = self.trial(trial, &under).await?;
        let probe = probe::probe_of(asked, &case, &report);
        self.progress.line(&format!(
            "  {}: {rate} visits/s for {window}, {} operations, response p99 {}, {}",
            asked.phase.name(),
            quantity::count(probe.response_p99.operations),
            probe.response_p99.text(),
            match &probe.held {
                ProbeOutcome::Holds => "holds".to_owned(),
                ProbeOutcome::Fails(reason) => format!("fails: {reason}"),
                ProbeOutcome::GeneratorSaturated(reason) =>
                    format!("load generator saturated: {reason}"),
                ProbeOutcome::Undecided(reason) => format!("undecided: {reason}"),
            }
        ));
        Ok(probe)
    }

    /// Operations of a visit, as the last load had them.
    fn operations_per_visit(&self) -> f64 {
        let last = self.probes.iter().rfind(|probe| probe.made_per_s > 0.0);
        last.map_or(1.0, |probe| probe.operations_per_s / probe.made_per_s).max(0.1)
    }

    async fn over_clients(&mut self) -> Result<Scaling> {
        let replicas = self.spec.experiment.stack.replicas;
        let sizes = self.spec.effort.clients.clone();
        let loads = sizes.iter().map(|clients| (*clients, *clients, replicas)).collect();
        self.scaling("clients", loads).await
    }

    async fn over_replicas(&mut self) -> Result<Scaling> {
        let sizes = self.spec.effort.replicas.clone();
        let loads = sizes.iter().map(|replicas| (*replicas, REPLICAS_CLIENTS, *replicas)).collect();
        self.scaling("service processes", loads).await
    }

    /// Throughput of each of (N, clients, service processes), round by round.
    async fn scaling(&mut self, over: &str, loads: Vec<(u32, u32, u32)>) -> Result<Scaling> {
        let mut points: Vec<(u32, Vec<f64>)> =
            loads.iter().map(|(n, ..)| (*n, Vec::new())).collect();
        for round in 1..=self.spec.effort.rounds {
            for ((_, clients, replicas), (_, rounds)) in loads.iter().zip(&mut points) {
                if self.violation.is_some() {
                    break;
                }
                rounds.push(self.closed(*clients, *replicas, round).await?);
            }
        }
        points.retain(|(_, rounds)| !rounds.is_empty());
        self.progress.line(&format!("  scaling over {over}: done"));
        let usl = usl::fit(&points);
        Ok(Scaling { over: over.to_owned(), points, usl })
    }

    /// Operations per second of so many clients who never think.
    async fn closed(&mut self, clients: u32, replicas: u32, round: u32) -> Result<f64> {
        let plan = self.spec.closed_plan(clients, round)?;
        let trial = Trial { replicas, ..self.spec.trial(plan) };
        let under = format!("{clients} clients without think time, {replicas} service processes");
        Ok(self.trial(trial, &under).await?.report.totals.operations_per_s)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use slotproof_stack::{StackSpec, Topology};

    use super::*;

    fn spec(claims: &str) -> CapacitySpec {
        let head = "strategy = \"pessimistic\"\nobjective = { p99 = \"500ms\", errors = 0.01 }\n";
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("claims.toml");
        std::fs::write(&file, format!("{head}{claims}")).expect("it is written");
        CapacitySpec {
            target: None,
            subject: Subject::Strategy(slotproof_vocabulary::StrategyKind::Conditional),
            experiment: ExperimentSpec {
                stack: StackSpec {
                    topology: Topology::single(),
                    environment: EnvironmentSpec::Native,
                    replicas: 1,
                    connections: 4,
                    lock_ttl: std::time::Duration::from_secs(5),
                },
                runs: PathBuf::from("runs"),
                repeat_command: String::new(),
            },
            claims: Claims::read(&file).expect("it can be read"),
            effort: Effort {
                warm_up: Span::of_ms(1_000),
                window: Span::of_ms(3_000),
                confirmations: 2,
                precision: 1.25,
                clients: vec![16, 64],
                replicas: vec![1, 2],
                rounds: 1,
            },
            start: Rate::of_per_s(100.0).expect("a rate"),
            fill: None,
        }
    }

    fn claim(rest: &str) -> String {
        format!("[[claim]]\nid = \"a\"\nsays = \"b\"\n{rest}")
    }

    #[test]
    fn what_no_plan_can_be_made_of_is_refused_before_the_search_with_its_line() {
        let sound = claim("kind = \"users\"\nusers = 5\nthink = \"1s\"\n");
        assert_eq!(spec(&sound).check().map_err(|error| error.0), Ok(()));
        let refused = |spec: &CapacitySpec| spec.check().expect_err("it is refused").0;

        let fast = spec(&claim("kind = \"latency\"\nrate = \"1000000/s\"\np99 = \"1s\"\n"));
        assert_eq!(fast.check().map_err(|error| error.0), Ok(()), "a short load can have it");
        let mut long = fast.clone();
        long.effort.window = Span::of_ms(60_000);
        let said = refused(&long);
        assert!(said.contains("line 3: rate is 1000000/s"), "{said}");

        let arrivals = spec(&format!("{sound}[load]\narrivals = \"poisson\"\n"));
        assert_eq!(arrivals.check().map_err(|error| error.0), Ok(()), "the closed load has none");
        let spike = spec(&format!("{sound}[load]\nspike = \"900/s:2s@500ms\"\n"));
        let mut short = spike.clone();
        short.effort.window = Span::of_ms(1_000);
        assert_eq!(spike.check().map_err(|error| error.0), Ok(()));
        let said = refused(&short);
        assert!(said.contains("line 9: [load] cannot be run"), "{said}");

        let mut late = spec(&sound);
        late.effort.window = Span::of_ms(20 * 3_600_000);
        assert!(refused(&late).contains("--window"), "{}", refused(&late));
        let mut start = spec(&sound);
        start.start = Rate::of_per_s(0.5).expect("a rate");
        assert!(refused(&start).contains("--start"), "{}", refused(&start));
        let mut full = spec(&sound);
        full.fill = Some(Bytes(1e18));
        assert!(refused(&full).contains("of disk"), "{}", refused(&full));
    }
}
