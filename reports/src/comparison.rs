//! `comparison.json`: strategies side by side, and the page that is drawn from it.
//!
//! Every strategy is measured in every setting (a scenario and a number of clients), in rounds that
//! visit all of them in random order. A strategy that violated anything anywhere is disqualified:
//! it is shown, and never ranked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Invariant, ScenarioKind, StrategyKind, Verdict};

use crate::{
    document::{Document, Section, Tone},
    estimate::Estimate,
    plots, quantity, run_context,
    run_report::{EnvironmentBlock, FsyncCalibration},
    table::{Table, numbers, words},
};

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version of this shape: [`Comparison::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of its directory.
    pub name: String,
    /// When it began (UTC, RFC 3339).
    pub started_at: String,
    /// The version of Slotproof that made it.
    pub slotproof_version: String,
    /// The one command that repeats it.
    pub repeat_command: String,
    /// Where it ran.
    pub environment: EnvironmentBlock,
    /// How often each cell was measured.
    pub rounds: u32,
    /// Of the order of cells, and of every load.
    pub seed: u64,
    /// How long each load began new operations for.
    pub duration_ms: u64,
    /// A calibration of durable commits before each round.
    pub durable_commit_by_round: Vec<Option<FsyncCalibration>>,
    /// Every strategy in every setting.
    pub cells: Vec<Cell>,
}

/// One strategy in one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which strategy.
    pub strategy: StrategyKind,
    /// The setting's scenario.
    pub scenario: ScenarioKind,
    /// The setting's clients.
    pub clients: u32,
    /// The worst verdict of its rounds.
    pub verdict: Verdict,
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

/// What is measured of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Bookings per second that were confirmed.
    Goodput,
    /// Response latency of reserves in microseconds, median.
    ResponseUsP50,
    /// The same, 99th percentile.
    ResponseUsP99,
    /// The same, 99.9th percentile.
    ResponseUsP999,
    /// Tries of a reserve beyond the first, inside the service, per acknowledged reserve.
    RetriesPerBooking,
    /// Transactions rolled back per acknowledged reserve: conflicts.
    RollbacksPerBooking,
    /// The share of `sold_out` answers that nothing refutes.
    SoldOutAccuracy,
    /// Seats times seconds that somebody wanted and was refused while they were free.
    WronglyRefusedSeatSeconds,
    /// Jain's index over the acknowledged reserves of clients: 1 is all alike, 1/n is one client
    /// has all.
    Fairness,
    /// Connections of the database that waited for a lock, on average.
    LockWaiters,
    /// Transactions that each flush of the log made durable.
    CommitsPerFsync,
    /// CPU of the load engine per operation, in microseconds.
    CpuUsLoad,
    /// CPU of the service per operation.
    CpuUsService,
    /// CPU of PostgreSQL per operation.
    CpuUsPostgresql,
    /// CPU of Redis per operation.
    CpuUsRedis,
    /// CPU of RabbitMQ per operation.
    CpuUsRabbitmq,
}

impl Metric {
    /// Every metric, in the order of tables.
    pub const ALL: [Self; 16] = [
        Self::Goodput,
        Self::ResponseUsP50,
        Self::ResponseUsP99,
        Self::ResponseUsP999,
        Self::RetriesPerBooking,
        Self::RollbacksPerBooking,
        Self::SoldOutAccuracy,
        Self::WronglyRefusedSeatSeconds,
        Self::Fairness,
        Self::LockWaiters,
        Self::CommitsPerFsync,
        Self::CpuUsLoad,
        Self::CpuUsService,
        Self::CpuUsPostgresql,
        Self::CpuUsRedis,
        Self::CpuUsRabbitmq,
    ];

    /// As the head of a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Goodput => "confirmed bookings / s",
            Self::ResponseUsP50 => "response p50",
            Self::ResponseUsP99 => "p99",
            Self::ResponseUsP999 => "p99.9",
            Self::RetriesPerBooking => "retries per booking",
            Self::RollbacksPerBooking => "rollbacks per booking",
            Self::SoldOutAccuracy => "sold_out accuracy",
            Self::WronglyRefusedSeatSeconds => "seat-seconds wrongly refused",
            Self::Fairness => "fairness (Jain)",
            Self::LockWaiters => "connections waiting for a lock",
            Self::CommitsPerFsync => "commits per fsync",
            Self::CpuUsLoad => "CPU per operation: load",
            Self::CpuUsService => "service",
            Self::CpuUsPostgresql => "PostgreSQL",
            Self::CpuUsRedis => "Redis",
            Self::CpuUsRabbitmq => "RabbitMQ",
        }
    }

    /// A value of it as people read it.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Goodput
            | Self::RetriesPerBooking
            | Self::RollbacksPerBooking
            | Self::WronglyRefusedSeatSeconds
            | Self::LockWaiters
            | Self::CommitsPerFsync => quantity::rate(value),
            Self::SoldOutAccuracy => format!("{:.2} %", value * 100.0),
            Self::Fairness => format!("{value:.3}"),
            Self::ResponseUsP50
            | Self::ResponseUsP99
            | Self::ResponseUsP999
            | Self::CpuUsLoad
            | Self::CpuUsService
            | Self::CpuUsPostgresql
            | Self::CpuUsRedis
            | Self::CpuUsRabbitmq => quantity::duration_us(value.round().max(0.0) as u64),
        }
    }
}

/// A scenario and a number of clients.
type Setting = (ScenarioKind, u32);

impl Comparison {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The worst verdict among strategies that claim to be safe.
    pub fn verdict(&self) -> Verdict {
        let safe = self.strategies().into_iter().filter(|strategy| !strategy.is_negative_control());
        safe.map(|strategy| self.verdict_of(strategy)).max().unwrap_or(Verdict::Unknown)
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<_> =
            self.cells.iter().map(|cell| (cell.scenario, cell.clients)).collect();
        settings.sort_unstable();
        settings.dedup();
        settings
    }

    fn strategies(&self) -> Vec<StrategyKind> {
        let mut strategies = Vec::new();
        for cell in &self.cells {
            if !strategies.contains(&cell.strategy) {
                strategies.push(cell.strategy);
            }
        }
        strategies
    }

    /// Over all settings. Where nothing was at stake a run proves nothing, and takes nothing from
    /// what others prove.
    fn verdict_of(&self, strategy: StrategyKind) -> Verdict {
        let cells = || self.cells.iter().filter(move |cell| cell.strategy == strategy);
        let undecided = |cell: &Cell| {
            cell.unknown_by.iter().any(|invariant| *invariant != Invariant::RunCoverage)
        };
        if cells().any(|cell| cell.verdict == Verdict::Violated) {
            Verdict::Violated
        } else if cells().any(undecided) || !cells().any(|cell| cell.verdict == Verdict::Upheld) {
            Verdict::Unknown
        } else {
            Verdict::Upheld
        }
    }

    /// Strategies that nothing speaks against, and that were upheld where something was at stake.
    fn ranked(&self) -> Vec<StrategyKind> {
        let upheld = |strategy: &StrategyKind| self.verdict_of(*strategy) == Verdict::Upheld;
        self.strategies().into_iter().filter(upheld).collect()
    }

    fn goodput(&self, strategy: StrategyKind, setting: Setting) -> Option<Estimate> {
        let cell = self
            .cells
            .iter()
            .find(|cell| cell.strategy == strategy && (cell.scenario, cell.clients) == setting)?;
        cell.estimates.get(&Metric::Goodput).copied()
    }

    /// The ranked strategies of a setting, the one with the highest goodput first.
    fn order(&self, setting: Setting) -> Vec<(StrategyKind, Estimate)> {
        let mut order: Vec<_> = self
            .ranked()
            .into_iter()
            .filter_map(|strategy| Some((strategy, self.goodput(strategy, setting)?)))
            .collect();
        order.sort_by(|left, right| right.1.median.total_cmp(&left.1.median));
        order
    }

    /// In how many settings a ranked strategy was first, or not significantly behind.
    fn settings_led(&self, strategy: StrategyKind) -> usize {
        let first_or_tied = |setting: &Setting| {
            let order = self.order(*setting);
            let own = order.iter().find(|(candidate, _)| *candidate == strategy);
            own.is_some_and(|(_, own)| own.median >= order[0].1.median || own.overlaps(&order[0].1))
        };
        self.settings().iter().filter(|setting| first_or_tied(setting)).count()
    }

    /// The strategy to take, and why; then the conditions under which that is wrong.
    fn recommendation(&self) -> (String, Vec<String>) {
        let settings = self.settings();
        let mean = |strategy: StrategyKind| {
            let shares = settings.iter().filter_map(|setting| {
                let best = self.order(*setting).first()?.1.median;
                Some(self.goodput(strategy, *setting)?.median / best.max(f64::MIN_POSITIVE))
            });
            shares.sum::<f64>()
        };
        let best = self.ranked().into_iter().max_by(|left, right| {
            self.settings_led(*left)
                .cmp(&self.settings_led(*right))
                .then(mean(*left).total_cmp(&mean(*right)))
        });
        let Some(best) = best else {
            return ("No strategy was upheld, so none is recommended.".to_owned(), Vec::new());
        };
        let text = format!(
            "Take {best}: of the {} that were upheld it confirmed the most bookings per second, or was not significantly behind, in {} of {}.",
            quantity::counted(self.ranked().len() as u64, "strategy")
                .replace("strategys", "strategies"),
            self.settings_led(best),
            quantity::counted(settings.len() as u64, "setting"),
        );
        (text, self.exceptions(best))
    }

    fn exceptions(&self, best: StrategyKind) -> Vec<String> {
        let mut exceptions = Vec::new();
        for setting in self.settings() {
            let (scenario, clients) = setting;
            let order = self.order(setting);
            let (Some((first, theirs)), Some(own)) = (order.first(), self.goodput(best, setting))
            else {
                continue;
            };
            if *first != best && !theirs.overlaps(&own) {
                exceptions.push(format!(
                    "{scenario} with {clients} clients: {first} confirms {:.0} % more per second.",
                    (theirs.median / own.median.max(f64::MIN_POSITIVE) - 1.0) * 100.0
                ));
            } else if let Some(tied) =
                order.iter().find(|(strategy, them)| *strategy != best && them.overlaps(&own))
            {
                exceptions.push(format!(
                    "{scenario} with {clients} clients: no significant difference to {}; choose by what else matters to you.",
                    tied.0
                ));
            }
            let p99 = |strategy: StrategyKind| {
                let cell = self.cells.iter().find(|cell| {
                    cell.strategy == strategy && (cell.scenario, cell.clients) == setting
                })?;
                cell.estimates.get(&Metric::ResponseUsP99).copied()
            };
            let quickest = self
                .ranked()
                .into_iter()
                .filter_map(|strategy| Some((strategy, p99(strategy)?)))
                .min_by(|left, right| left.1.median.total_cmp(&right.1.median));
            if let (Some((quickest, theirs)), Some(own)) = (quickest, p99(best))
                && quickest != best
                && !theirs.overlaps(&own)
            {
                exceptions.push(format!(
                    "{scenario} with {clients} clients, if the slowest answers matter more than bookings per second: {quickest} answers 99 % of reserves within {}, {best} within {}.",
                    Metric::ResponseUsP99.text(theirs.median),
                    Metric::ResponseUsP99.text(own.median)
                ));
            }
        }
        exceptions
    }

    /// The page.
    pub fn document(&self) -> Document {
        let (recommendation, exceptions) = self.recommendation();
        let disqualified: Vec<String> = self
            .strategies()
            .into_iter()
            .filter(|strategy| self.verdict_of(*strategy) == Verdict::Violated)
            .map(|strategy| strategy.to_string())
            .collect();
        let (tone, word) = match self.verdict() {
            Verdict::Violated => (Tone::Bad, "violated"),
            Verdict::Unknown => (Tone::Uncertain, "not all decided"),
            Verdict::Upheld => (Tone::Good, "compared"),
        };
        let mut sections = vec![
            Section::new("recommendation", "Recommendation").say(recommendation.clone()).list(exceptions).say(
                "It holds for this machine, these settings and this load; the environment is below. Intervals are bootstrap 95 % intervals of the \
                 median over the rounds; where two overlap the page says \"no significant difference\", and so should you.",
            ),
        ];
        for setting in self.settings() {
            sections.push(self.setting_section(setting));
        }
        let clients: BTreeSet<u32> = self.cells.iter().map(|cell| cell.clients).collect();
        if clients.len() > 1 {
            sections.push(
                Section::new("contention", "As clients grow")
                    .figure(plots::contention::figure(self, Metric::Goodput))
                    .figure(plots::contention::figure(self, Metric::ResponseUsP99)),
            );
        }
        sections.push(self.detection_section());
        sections.push(Section::new("environment", "Environment").table(
            "",
            run_context::environment_of(
                &self.environment,
                &self.slotproof_version,
                &self.started_at,
            ),
        ));
        Document {
            kicker: "Slotproof comparison",
            title: format!("{} strategies", self.strategies().len()),
            subtitle: self
                .settings()
                .iter()
                .map(|(scenario, clients)| format!("{scenario} × {clients} clients"))
                .collect::<Vec<_>>()
                .join(", "),
            tone,
            word: word.to_owned(),
            headline: match disqualified.as_slice() {
                [] => recommendation,
                names => format!("Disqualified: {}. {recommendation}", names.join(", ")),
            },
            facts: vec![
                ("strategies".to_owned(), self.strategies().len().to_string()),
                ("settings".to_owned(), self.settings().len().to_string()),
                ("rounds".to_owned(), self.rounds.to_string()),
                (
                    "runs judged".to_owned(),
                    quantity::count(self.cells.iter().map(|cell| cell.rounds.len() as u64).sum()),
                ),
                ("durable commit p50, by round".to_owned(), self.commits_text()),
            ],
            name: self.name.clone(),
            started_at: self.started_at.clone(),
            repeat_command: self.repeat_command.clone(),
            sections,
            made_by: format!(
                "Made by slotproof {} from comparison.json alone, schema version {}.",
                self.slotproof_version, self.schema_version
            ),
        }
    }

    fn commits_text(&self) -> String {
        let commits = self.durable_commit_by_round.iter().flatten();
        let texts: Vec<String> =
            commits.map(|commit| quantity::duration_us(commit.us_p50)).collect();
        if texts.is_empty() { "not measured".to_owned() } else { texts.join(", ") }
    }

    fn setting_section(&self, setting: Setting) -> Section {
        let (scenario, clients) = setting;
        let measured =
            |metric: &Metric| self.cells.iter().any(|cell| cell.estimates.contains_key(metric));
        let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(measured).collect();
        let mut table =
            Table::new(&[words("strategy"), words("verdict"), words("against the first")]);
        table.columns.extend(metrics.iter().map(|metric| numbers(metric.title())));
        let order = self.order(setting);
        let place = |cell: &&Cell| {
            order.iter().position(|(strategy, _)| *strategy == cell.strategy).unwrap_or(usize::MAX)
        };
        let mut cells: Vec<&Cell> =
            self.cells.iter().filter(|cell| (cell.scenario, cell.clients) == setting).collect();
        cells.sort_by_key(place);
        for cell in &cells {
            let against = match (self.verdict_of(cell.strategy), order.first()) {
                (Verdict::Violated, _) => "disqualified".to_owned(),
                (Verdict::Unknown, _) => "not ranked: not decided".to_owned(),
                (Verdict::Upheld, Some((first, _))) if *first == cell.strategy => {
                    "first".to_owned()
                }
                (Verdict::Upheld, Some((_, best))) => match cell.estimates.get(&Metric::Goodput) {
                    Some(own) if own.overlaps(best) => "no significant difference".to_owned(),
                    Some(own) => {
                        format!("{:.0} %", own.median / best.median.max(f64::MIN_POSITIVE) * 100.0)
                    }
                    None => String::new(),
                },
                (Verdict::Upheld, None) => String::new(),
            };
            let mut row = vec![cell.strategy.to_string(), cell.verdict.name().to_owned(), against];
            row.extend(metrics.iter().map(|metric| {
                cell.estimates
                    .get(metric)
                    .map_or(String::new(), |estimate| estimate.text(|value| metric.text(value)))
            }));
            table.push(row);
        }
        let id = format!("{scenario}-{clients}");
        Section::new(id.clone(), format!("{scenario}, {clients} clients"))
            .figure(plots::intervals::figure(&id, Metric::Goodput, &cells))
            .figure(plots::intervals::figure(&id, Metric::ResponseUsP99, &cells))
            .table("", table)
    }

    /// What was found of each strategy over all settings.
    fn detection_section(&self) -> Section {
        let mut table = Table::new(&[
            words("strategy"),
            words("verdict"),
            words("convicted by"),
            words("found"),
        ]);
        for strategy in self.strategies() {
            let cells = || self.cells.iter().filter(move |cell| cell.strategy == strategy);
            let by: BTreeSet<Invariant> =
                cells().flat_map(|cell| cell.convicted_by.iter().copied()).collect();
            let by: Vec<String> = by.iter().map(ToString::to_string).collect();
            let verdict = self.verdict_of(strategy);
            let reason =
                cells().filter(|cell| cell.verdict == verdict).find_map(|cell| cell.reason.clone());
            table.push(vec![
                strategy.to_string(),
                verdict.name().to_owned(),
                by.join(" "),
                reason.unwrap_or_else(|| {
                    let idle = cells().filter(|cell| cell.verdict == Verdict::Unknown).count();
                    match idle {
                        0 => "every invariant that was judged held in every run".to_owned(),
                        some => format!(
                            "every invariant held; in {some} of {} settings nothing was at stake",
                            cells().count()
                        ),
                    }
                }),
            ]);
        }
        Section::new("verdicts", "Verdicts")
            .say("The worst of all runs of a strategy. Each run has its own directory beside this file, with its history, and can be judged again.")
            .figure(plots::detection_matrix::figure(self, &self.strategies()))
            .table("", table)
    }
}
