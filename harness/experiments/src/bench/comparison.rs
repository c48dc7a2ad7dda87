//! How far `compare` can be trusted: a plan beside itself, which must not come out worse, and a plan
//! beside one that is 30 % slower by construction, which must.
//!
//! Each row is a whole comparison of two plans on the real service, with rounds that are added until
//! it is decided, as a user would make it.

use std::time::Instant;

use anyhow::Result;
use async_recursion::async_recursion as boxed_future;
use slotproof_evidence::RunDirectory;
use slotproof_reports::{
    ReportHeader,
    bench::comparison::{ComparisonBench, ComparisonRow, Pair},
    comparison::{Aspect, Comparison, Load},
};
use slotproof_stack::guard::Guard;
use slotproof_vocabulary::{Mix, PlanArgs, ScenarioKind, Span, StrategyKind};

use super::write_bench;
use crate::{
    compare::{CompareSpec, VariantSpec, compare_on},
    on::{On, Subject},
    progress::{Progress, Silent},
    spec::ExperimentSpec,
};

/// What is tried.
#[derive(Debug, Clone)]
pub struct ComparisonBenchSpec {
    /// The stack, and where results go.
    pub experiment: ExperimentSpec,
    /// Comparisons of a plan with itself, a seed each.
    pub same: u32,
    /// Comparisons with a known difference, a seed each.
    pub different: u32,
    /// The budget of each comparison.
    pub budget: Span,
}

/// The strategy of all plans.
const STRATEGY: StrategyKind = StrategyKind::Conditional;
/// Rounds that each comparison begins with.
const ROUNDS: u32 = 3;
/// Clients that never pause: the service is saturated, and as noisy as it ever is.
const CLIENTS: u32 = 64;
/// Clients that pause for so long that the service hardly matters: their throughput is proportional
/// to their number, by Little's law.
const SLOW_CLIENTS: [u32; 2] = [40, 28];
/// Their pause.
const PAUSE: Span = Span::of_ms(200);

/// The two plans of a pair. Of the same pair they differ in their names alone.
fn plans(pair: Pair) -> [VariantSpec; 2] {
    let words = PlanArgs {
        scenario: Some(ScenarioKind::Steady),
        mix: Some(Mix { buy: 1, ..Mix::default() }),
        slots: Some(100),
        capacity: Some(500),
        warm_up: Some(Span::of_ms(200)),
        duration: Some(Span::of_ms(800)),
        hold: Some(Span::of_ms(600)),
        ..PlanArgs::default()
    };
    let (clients, think) = match pair {
        Pair::Same => ([CLIENTS, CLIENTS], Span::of_ms(0)),
        Pair::Different => (SLOW_CLIENTS, PAUSE),
    };
    let plan = |clients| PlanArgs { clients: Some(clients), think: Some(think), ..words.clone() };
    let [first, second] = clients.map(plan);
    let variant = |name: &str, plan| VariantSpec {
        name: name.to_owned(),
        subject: Subject::Strategy(STRATEGY),
        plan,
    };
    [variant("first", first), variant("second", second)]
}

/// Makes every comparison; writes `bench.json`, `bench.md` and the page.
///
/// # Errors
/// What kept a comparison from being made.
#[boxed_future]
pub async fn bench(
    spec: &ComparisonBenchSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, ComparisonBench)> {
    let now = time::OffsetDateTime::now_utc();
    let run = RunDirectory::create_named(&spec.experiment.runs, "bench-comparison", now)?;
    progress.line(&format!("bench {}", run.path().display()));
    let mut on = On::begin(&spec.experiment, &[], &run, guard, progress).await?;
    let context = on.run_context(&spec.experiment, now)?;
    let header =
        ReportHeader { schema_version: ComparisonBench::SCHEMA_VERSION, name: run.name(), context };
    let mut rows = Vec::new();
    for (pair, seeds) in [(Pair::Same, spec.same), (Pair::Different, spec.different)] {
        for seed in 1..=seeds {
            let compared = of_pair(spec, pair, seed);
            let begun = Instant::now();
            let comparison;
            (on, comparison) = compare_on(on, &compared, header.clone(), begun, &Silent).await?;
            let row = row(pair, seed, &comparison);
            progress.line(&format!("  {row}"));
            rows.push(row);
        }
    }
    on.end().await;
    let bench = ComparisonBench { header, budget_ms: spec.budget.ms(), margin: MARGIN, rows };
    run.write_json("bench.json", &bench)?;
    write_bench(&run, &bench.document())?;
    Ok((run, bench))
}

/// The default of `compare`.
const MARGIN: f64 = 0.1;

fn of_pair(spec: &ComparisonBenchSpec, pair: Pair, seed: u32) -> CompareSpec {
    CompareSpec {
        experiment: spec.experiment.clone(),
        targets: Vec::new(),
        variants: plans(pair).into(),
        loads: vec![Load::Plan],
        clients: vec![CLIENTS],
        open: Vec::new(),
        rounds: ROUNDS,
        budget: spec.budget,
        margin: MARGIN,
        warm_up: Span::of_ms(0),
        duration: Span::of_ms(0),
        // Far apart, so that no two comparisons have a round's seed in common.
        seed: u64::from(seed) * 1_000,
        against: None,
    }
}

fn row(pair: Pair, seed: u32, comparison: &Comparison) -> ComparisonRow {
    let contrast = comparison.contrasts.iter().find(|it| it.aspect == Aspect::Throughput);
    let goodput = comparison
        .cells
        .iter()
        .filter_map(|cell| Some(cell.estimates.get(&Aspect::Throughput.metric())?.median));
    ComparisonRow {
        pair,
        seed,
        rounds: comparison.cells.first().map_or(0, |cell| cell.rounds.len()),
        goodput: goodput.collect(),
        contrast: contrast.cloned(),
    }
}
