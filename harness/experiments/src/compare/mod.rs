//! A comparison: variants side by side, in one environment, in rounds that visit every cell in
//! random order.
//!
//! Each visit of a cell is a whole trial: a fresh service on empty tables, a load, a settling, a
//! verdict. What a round has of good or bad luck of the machine, all variants have of it.

mod against;
mod contrasts;
mod measure;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use async_recursion::async_recursion as boxed_future;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use slotproof_reports::{
    ReportHeader, RunReport,
    comparison::{Aspect, Cell, Comparison, Decision, Load, Metric, Offered, Setting, Variant},
};
use slotproof_vocabulary::{
    Finding, Invariant, Mix, Plan, PlanArgs, Ramp, Rate, ScenarioKind, Span, UsageError, Verdict,
    VerdictReport, Workload,
};

pub use self::against::read as read_earlier;
use self::measure::measure;
use slotproof_evidence::RunDirectory;
use slotproof_stack::{Topology, guard::Guard};

use crate::{
    on::{On, Subject},
    progress::Progress,
    series::{Extended, Tried, lacks_coverage},
    spec::ExperimentSpec,
    statistics::estimate,
    target_series::TargetSpec,
};

/// What is compared.
#[derive(Debug, Clone)]
pub struct CompareSpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// Booking APIs that are compared, instead of the reference service.
    pub targets: Vec<TargetSpec>,
    /// What is compared.
    pub variants: Vec<VariantSpec>,
    /// The loads.
    pub loads: Vec<Load>,
    /// Numbers of clients of each load.
    pub clients: Vec<u32>,
    /// Open loads that are offered where seats are to spare, with the largest number of clients,
    /// and how often.
    pub open: Vec<(Offered, u32)>,
    /// How often each cell of a closed load is visited at least.
    pub rounds: u32,
    /// Rounds are added where they decide most, until this much time has passed; open loads have
    /// theirs within it. Nothing: none is added, and no round is left out.
    pub budget: Span,
    /// The difference that does not matter: 0.1 is 10 %.
    pub margin: f64,
    /// Load before the measured time: judged, and left out of the figures.
    pub warm_up: Span,
    /// The measured time of each closed load. An open one lasts twice as long: a p99 needs
    /// operations beyond it.
    pub duration: Span,
    /// Of the order of cells, and of every load.
    pub seed: u64,
    /// An earlier comparison to set beside this one.
    pub against: Option<Comparison>,
}

/// One of the things that are compared.
#[derive(Debug, Clone)]
pub struct VariantSpec {
    /// Its name in the report.
    pub name: String,
    /// What is judged.
    pub subject: Subject,
    /// Its own plan, for [`Load::Plan`].
    pub plan: PlanArgs,
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
/// A variant that makes less than this share of the best's throughput does not hold the others down:
/// an open load for all is one that the others can serve.
const LEFT_BEHIND: f64 = 0.1;
/// A group has no more rounds than this: what they do not decide, more will hardly.
const ROUNDS_MAX: usize = 12;

/// A load in a setting, with a cell for each variant. All its variants have as many rounds.
struct Group {
    setting: Setting,
    offered: Offered,
    cells: Vec<Visited>,
}

/// A variant under the load of a group, and what its rounds gave.
struct Visited {
    variant: VariantSpec,
    offered_per_s: Option<f64>,
    rounds: Vec<Round>,
}

struct Round {
    report: RunReport,
    metrics: BTreeMap<Metric, f64>,
}

/// Everything that a comparison goes through.
struct Comparing<'a, 's> {
    spec: &'s CompareSpec,
    progress: &'s dyn Progress,
    on: On<'a>,
    rng: ChaCha8Rng,
    begun: Instant,
    comparison: Comparison,
    groups: Vec<Group>,
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
    let begun = Instant::now();
    let run = RunDirectory::create_named(&spec.experiment.runs, "compare", now)?;
    progress.line(&format!("compare {}", run.path().display()));
    let on = match spec.topologies().next() {
        Some(_) => {
            let all = spec.topologies();
            On::begin_topologies(&spec.experiment, all, &run, guard, progress).await?
        }
        None => On::begin(&spec.experiment, &spec.targets, &run, guard, progress).await?,
    };
    let context = on.run_context(&spec.experiment, now)?;
    let header =
        ReportHeader { schema_version: Comparison::SCHEMA_VERSION, name: run.name(), context };
    let (on, mut comparison) = compare_on(on, spec, header, begun, progress).await?;
    on.end().await;
    if let Some(then) = &spec.against {
        comparison.against = against::against(then, &comparison);
    }
    run.write_json("comparison.json", &comparison)?;
    run.write_document(&comparison.document())?;
    Ok((run, comparison))
}

/// Every round of a comparison on servers that run already.
///
/// # Errors
/// What kept a trial from being made.
pub(crate) async fn compare_on<'a>(
    on: On<'a>,
    spec: &CompareSpec,
    header: ReportHeader,
    begun: Instant,
    progress: &dyn Progress,
) -> Result<(On<'a>, Comparison)> {
    let mut comparing = Comparing {
        spec,
        progress,
        on,
        rng: ChaCha8Rng::seed_from_u64(spec.seed),
        begun,
        comparison: empty(spec, header),
        groups: Vec::new(),
    };
    comparing.closed_loads().await?;
    comparing.open_loads().await?;
    comparing.until_decided().await?;
    Ok((comparing.on, comparing.comparison))
}

/// A comparison before its first round.
fn empty(spec: &CompareSpec, header: ReportHeader) -> Comparison {
    let variant = |it: &VariantSpec| Variant {
        name: it.name.clone(),
        strategy: it.subject.strategy(),
        topology: it.subject.topology().map(Topology::block),
    };
    Comparison {
        header,
        variants: spec.variants.iter().map(variant).collect(),
        rounds: spec.rounds,
        margin: spec.margin,
        budget_ms: spec.budget.ms(),
        seed: spec.seed,
        duration_ms: spec.duration.ms(),
        durable_commit_by_round: Vec::new(),
        cells: Vec::new(),
        contrasts: Vec::new(),
        against: Vec::new(),
    }
}

impl Comparing<'_, '_> {
    /// Every load with clients that never pause.
    async fn closed_loads(&mut self) -> Result<()> {
        for load in &self.spec.loads {
            for clients in &self.spec.clients {
                let cell = |variant: &VariantSpec| Visited::new(variant, None);
                let cells = self.spec.variants.iter().map(cell).collect();
                let setting = (*load, *clients);
                self.groups.push(Group { setting, offered: Offered::Saturating, cells });
            }
        }
        // What is violated is violated in the first round; more rounds are for the figures.
        let any_decides = self.spec.loads.iter().any(|load| load.decides());
        for round in 1..=self.spec.rounds {
            let visited = |group: &Group| round == 1 || group.setting.0.decides() || !any_decides;
            let all = 0..self.groups.len();
            let groups = all.filter(|place| visited(&self.groups[*place])).collect::<Vec<_>>();
            self.round(&groups, &format!("round {round} of {}", self.spec.rounds)).await?;
        }
        Ok(())
    }

    /// The open loads of those that were upheld, at rates that follow from their throughput.
    async fn open_loads(&mut self) -> Result<()> {
        let Some(clients) = self.spec.clients.iter().copied().max() else { return Ok(()) };
        let mut planned: Vec<(usize, u32)> = Vec::new();
        for load in self.spec.loads.iter().filter(|load| load.has_seats_to_spare()) {
            let setting = (*load, clients);
            let throughput: Vec<(VariantSpec, f64)> = self.throughput(setting);
            let all = || throughput.iter().map(|(_, per_s)| *per_s);
            let best = all().fold(0.0, f64::max);
            let served = all().filter(|per_s| *per_s >= best * LEFT_BEHIND);
            let slowest = served.fold(f64::INFINITY, f64::min);
            for (offered, rounds) in &self.spec.open {
                let Some(share) = offered.share() else { continue };
                let rate = |own: f64| match offered {
                    Offered::OfSlowest => slowest * share,
                    Offered::OfBest => best * share,
                    Offered::Saturating | Offered::Overload => own * share,
                };
                let cell =
                    |(variant, own): &(VariantSpec, f64)| Visited::new(variant, Some(rate(*own)));
                let cells = throughput.iter().map(cell).collect();
                planned.push((self.groups.len(), *rounds));
                self.groups.push(Group { setting, offered: *offered, cells });
            }
        }
        let most = planned.iter().map(|(_, rounds)| *rounds).max().unwrap_or_default();
        for round in 1..=most {
            let open = planned.iter().filter(|(_, rounds)| round <= *rounds);
            let groups: Vec<usize> = open.map(|(place, _)| *place).collect();
            let visits = groups.iter().map(|place| self.groups[*place].cells.len());
            let least = self.spec.duration.0 * 2 * visits.sum::<usize>() as u32;
            if self.spec.budget.0 > Duration::ZERO
                && self.begun.elapsed() + least > self.spec.budget.0
            {
                self.progress.line("  the budget ends before the open loads have had their rounds");
                break;
            }
            self.round(&groups, &format!("open loads, round {round} of {most}")).await?;
        }
        Ok(())
    }

    /// The variants that were upheld and confirmed anything in a setting, with their throughput.
    fn throughput(&self, setting: Setting) -> Vec<(VariantSpec, f64)> {
        let ranked = self.comparison.ranked();
        let cells = self.comparison.cells.iter().filter(|cell| {
            cell.setting() == setting
                && cell.offered == Offered::Saturating
                && ranked.contains(&cell.variant.as_str())
        });
        let of = |cell: &Cell| {
            let per_s = cell.estimates.get(&Metric::Goodput)?.median;
            let variant = self.spec.variants.iter().find(|it| it.name == cell.variant)?;
            (per_s > 0.0).then(|| (variant.clone(), per_s))
        };
        cells.filter_map(of).collect()
    }

    /// Adds rounds to the group in which most is undecided, while they can end within the budget.
    async fn until_decided(&mut self) -> Result<()> {
        let mut longest = Duration::ZERO;
        while let Some((place, undecided)) = self.most_undecided() {
            let begun = Instant::now();
            if self.begun.elapsed() + longest > self.spec.budget.0 {
                self.progress.line(&format!("  the budget ends with {undecided} undecided"));
                break;
            }
            let Group { setting: (load, clients), offered, .. } = &self.groups[place];
            let name = format!(
                "{undecided} undecided: a round more of {load}, {clients} clients, {}",
                offered.name()
            );
            self.round(&[place], &name).await?;
            longest = longest.max(begun.elapsed());
        }
        Ok(())
    }

    /// The group that may have more rounds and has most undecided contrasts, and how many it has.
    fn most_undecided(&self) -> Option<(usize, usize)> {
        let undecided = |group: &Group| {
            let contrasts = self.comparison.contrasts.iter().filter(|it| {
                (it.load, it.clients) == group.setting
                    && it.aspect.offered() == group.offered
                    // The cost hardly varies; what it leaves undecided is near the margin.
                    && it.aspect != Aspect::Cost
                    && it.decision(self.spec.margin) == Decision::Undecided
            });
            contrasts.count()
        };
        let groups = self.groups.iter().enumerate();
        let open = groups.filter(|(_, group)| group.rounds() < ROUNDS_MAX);
        let counted = open.map(|(place, group)| (place, undecided(group)));
        // Of groups with as many, the one with the fewest rounds.
        counted.filter(|(_, undecided)| *undecided > 0).max_by_key(|(place, undecided)| {
            (*undecided, ROUNDS_MAX - self.groups[*place].rounds())
        })
    }

    /// One round of some groups: every cell of them once, in random order.
    async fn round(&mut self, groups: &[usize], name: &str) -> Result<()> {
        let commit = match self.on.postgres_url() {
            Some(url) => slotproof_stack::durable_commit(url).await,
            None => None,
        };
        self.comparison.durable_commit_by_round.push(commit);
        let mut order: Vec<(usize, usize)> = groups
            .iter()
            .flat_map(|place| (0..self.groups[*place].cells.len()).map(|cell| (*place, cell)))
            .collect();
        order.shuffle(&mut self.rng);
        for (place, cell) in order {
            let round = self.visit(place, cell).await?;
            self.groups[place].cells[cell].rounds.push(round);
        }
        self.comparison.cells = self.groups.iter().flat_map(Group::summed_up).collect();
        self.comparison.contrasts = contrasts::contrasts(&self.comparison);
        self.progress.line(&format!("  {name} ({} s)", self.begun.elapsed().as_secs()));
        Ok(())
    }

    async fn visit(&mut self, place: usize, cell: usize) -> Result<Round> {
        let group = &self.groups[place];
        let cell_of = &group.cells[cell];
        let plan = self.spec.plan(group, cell_of)?;
        let subject = cell_of.variant.subject.clone();
        let spare = group.setting.0.has_seats_to_spare();
        // A scenario goes on until seats have run out; a plan is run as it is.
        let scenario = matches!(group.setting.0, Load::Scenario(_));
        let open = |report: &RunReport| scenario && lacks_coverage(report);
        let until_decided =
            self.on.until_decided(&self.spec.experiment, &subject, &plan, None, open).await;
        let Extended { tried: Tried { case, mut report }, .. } = match &subject {
            Subject::Target(name) => until_decided.with_context(|| {
                format!(
                    "{name} was asked for slots of {} seats; where it allows fewer, compare with \
                     --loads flash_sale,hot_and_cold",
                    plan.capacity
                )
            }),
            Subject::Strategy(_) | Subject::Topology(..) => until_decided,
        }?;
        let offered = self.groups[place].offered;
        // More than a variant can serve is not made on schedule, on purpose.
        let as_planned = offered == Offered::Overload || kept_its_schedule(&report);
        if spare && as_planned && report.verdict.operations > 0 {
            // Nobody is refused, on purpose: whether the load was dangerous is not asked here.
            report.verdict = without_coverage(report.verdict);
        }
        if report.verdict.verdict != Verdict::Upheld {
            self.progress.line(&format!("  {}: {}", report.run, report.verdict.verdict));
        }
        let mut metrics = measure(&case, &report);
        if offered != Offered::Overload {
            // What is left at the end of another load is no backlog.
            metrics.remove(&Metric::RecoveryUs);
        }
        if !as_planned {
            // The figures are those of another load than the one that was asked for.
            metrics.clear();
        }
        Ok(Round { metrics, report })
    }
}

impl CompareSpec {
    /// Those that the variants run on, where they differ in that.
    fn topologies(&self) -> impl Iterator<Item = &Topology> {
        self.variants.iter().filter_map(|variant| variant.subject.topology())
    }

    fn plan(&self, group: &Group, cell: &Visited) -> Result<Plan, UsageError> {
        let (load, clients) = group.setting;
        let seed = Some(self.seed + cell.rounds.len() as u64 + 1);
        let strategy = cell.variant.subject.strategy();
        let words = match load {
            Load::Plan => PlanArgs { strategy, seed, ..cell.variant.plan.clone() },
            _ => PlanArgs {
                strategy,
                seed,
                clients: Some(clients),
                warm_up: Some(self.warm_up),
                duration: Some(match group.offered {
                    Offered::Saturating => self.duration,
                    Offered::OfSlowest | Offered::OfBest | Offered::Overload => {
                        Span(self.duration.0 * 2)
                    }
                }),
                hold: Some(HOLD),
                ..words(load, clients, cell.offered_per_s)?
            },
        };
        Plan::try_from(words).map_err(|error| {
            UsageError(format!("{} cannot run {load}: {error}", cell.variant.name))
        })
    }
}

/// A load in words, without what all loads of a comparison have in common.
fn words(load: Load, clients: u32, offered_per_s: Option<f64>) -> Result<PlanArgs, UsageError> {
    // Nobody thinks: else the clients' pace would be measured, and not the service's.
    let think = Some(Span::of_ms(0));
    let rate = offered_per_s.map(|per_s| {
        let rate = Rate::of_per_s(per_s).map(Ramp::flat);
        rate.ok_or_else(|| UsageError(format!("{per_s} visits/s cannot be offered")))
    });
    let rate = rate.transpose()?;
    let spare = PlanArgs {
        scenario: Some(ScenarioKind::Steady),
        mix: Some(Mix { buy: 1, ..Mix::default() }),
        think: if rate.is_some() { None } else { think },
        rate,
        ..PlanArgs::default()
    };
    Ok(match load {
        Load::HotSlot => PlanArgs { slots: Some(1), capacity: Some(SPARE_SEATS), ..spare },
        Load::ManySlots => {
            PlanArgs { slots: Some(MANY_SLOTS), capacity: Some(SPARE_SEATS / MANY_SLOTS), ..spare }
        }
        Load::MostlyReads => PlanArgs {
            mix: Some(Mix { browse: 9, buy: 1, ..Mix::default() }),
            slots: Some(MANY_SLOTS),
            capacity: Some(SPARE_SEATS / MANY_SLOTS),
            ..spare
        },
        Load::Plan => PlanArgs::default(),
        // Fewer seats than clients, or no reserve is ever refused.
        Load::Scenario(scenario @ ScenarioKind::FlashSale) => PlanArgs {
            scenario: Some(scenario),
            capacity: Some((clients / 2).max(1)),
            ..PlanArgs::default()
        },
        Load::Scenario(scenario) => PlanArgs {
            scenario: Some(scenario),
            slots: Some(SLOTS),
            capacity: Some(SEATS),
            think,
            ..PlanArgs::default()
        },
    })
}

impl Group {
    /// Rounds that all its cells have.
    fn rounds(&self) -> usize {
        self.cells.iter().map(|cell| cell.rounds.len()).min().unwrap_or_default()
    }

    fn summed_up(&self) -> Vec<Cell> {
        let visited = self.cells.iter().filter(|cell| !cell.rounds.is_empty());
        visited.map(|cell| cell.summed_up(self)).collect()
    }
}

impl Visited {
    fn new(variant: &VariantSpec, offered_per_s: Option<f64>) -> Self {
        Self { variant: variant.clone(), offered_per_s, rounds: Vec::new() }
    }

    fn summed_up(&self, group: &Group) -> Cell {
        let (load, clients) = group.setting;
        let findings = |wanted: Verdict| {
            let all = self.rounds.iter().flat_map(|round| &round.report.verdict.findings);
            all.filter(move |finding| finding.verdict == wanted)
        };
        let by = |wanted| findings(wanted).map(|finding| finding.invariant).collect();
        let (convicted_by, unknown_by): (BTreeSet<Invariant>, BTreeSet<Invariant>) =
            (by(Verdict::Violated), by(Verdict::Unknown));
        let verdict = self.verdict();
        let deciding: Option<&Finding> = findings(verdict).next();
        let estimates = Metric::ALL.into_iter().filter_map(|metric| {
            let rounds = self.rounds.iter().filter_map(|round| round.metrics.get(&metric).copied());
            Some((metric, estimate(&rounds.collect::<Vec<_>>())?))
        });
        let operations = self.rounds.iter().map(|round| round.report.verdict.operations);
        Cell {
            variant: self.variant.name.clone(),
            load,
            clients,
            offered: group.offered,
            offered_per_s: self.offered_per_s,
            verdict,
            operations: operations.sum(),
            convicted_by,
            unknown_by,
            reason: deciding
                .filter(|_| verdict != Verdict::Upheld)
                .map(|finding| format!("{}: {}", finding.invariant, finding.summary)),
            estimates: estimates.collect(),
            rounds: self.rounds.iter().map(|round| round.metrics.clone()).collect(),
            runs: self.rounds.iter().map(|round| round.report.run.clone()).collect(),
        }
    }

    /// The worst of its rounds; but a round in which nothing was at stake weakens no other one.
    fn verdict(&self) -> Verdict {
        let verdicts = || self.rounds.iter().map(|round| &round.report.verdict);
        let idle = |report: &&VerdictReport| {
            let undecided = report.findings.iter().filter(|it| it.verdict != Verdict::Upheld);
            undecided.map(|it| it.invariant).eq([Invariant::RunCoverage])
        };
        let exercised = verdicts().filter(|report| !idle(report));
        exercised.map(|report| report.verdict).max().unwrap_or(Verdict::Unknown)
    }
}

/// Whether an open load was made as it was planned: every visit, and none late. A closed one has no
/// schedule.
fn kept_its_schedule(report: &RunReport) -> bool {
    let all_made = report.totals.arrivals.is_none_or(|arrivals| arrivals.made == arrivals.asked);
    let late = match report.plan.workload {
        Workload::Open { lag_limit, .. } => {
            let limit_us = lag_limit.ms() * 1_000;
            report.latency.iter().any(|it| it.outcome.is_none() && it.lag.us_p99 > limit_us)
        }
        Workload::Closed { .. } => false,
    };
    all_made && !late
}

/// Without the finding on coverage.
fn without_coverage(verdict: VerdictReport) -> VerdictReport {
    let findings = verdict.findings.into_iter().filter(|it| it.invariant != Invariant::RunCoverage);
    VerdictReport::new(verdict.operations, findings.collect())
}
