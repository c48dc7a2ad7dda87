//! Reports about several runs, one for each way that they can come out.

use std::collections::{BTreeMap, BTreeSet};

use slotproof_reports::{
    Objective, ReportHeader,
    capacity::{
        self, Bracket, Capacity, ClaimVerdict, Interval, JudgedClaim, Machine, P99, Phase, Probe,
        ProbeOutcome, Rates, Residual, Scaling, Scope, Tally, Usl,
    },
    comparison::{Aspect, Cell, Comparison, Contrast, Load, Metric, Offered, Variant},
    estimate::Estimate,
    gate::{
        Check, CheckRun, Gate, GateOutcome, Measure, MeasureKind, Performance, RoundsLay, Undecided,
    },
    selftest::{Selftest, SelftestRow, SelftestTrial, Tier},
};
use slotproof_vocabulary::{Invariant, RunContext, StrategyKind, Verdict, VerdictReport};

use crate::fixtures;

fn header(name: &str) -> ReportHeader {
    ReportHeader { schema_version: 1, name: name.to_owned(), context: context(name) }
}

/// When and where a command was run.
pub fn context(command: &str) -> RunContext {
    RunContext {
        started_at: "2026-03-04T10:15:00Z".to_owned(),
        slotproof_version: "0.1.0".to_owned(),
        repeat_command: format!("slotproof {command}"),
        environment: fixtures::environment(),
    }
}

/// A gate of some checks that measured no performance.
pub fn gate(checks: Vec<Check>) -> Gate {
    Gate { header: header("gate"), took_ms: 12_300, budget_ms: 60_000, checks, performance: None }
}

/// A check that comes out as it is told.
pub fn check(name: &str, outcome: GateOutcome) -> Check {
    let report = match outcome {
        GateOutcome::Passed | GateOutcome::Missed => fixtures::upheld(),
        GateOutcome::Unknown => fixtures::unknown(),
        GateOutcome::Violated => fixtures::violated(),
    };
    let objective = Objective {
        name: "response p99 of reserves".to_owned(),
        limit: "50.0 ms".to_owned(),
        measured: "61.2 ms".to_owned(),
        met: outcome != GateOutcome::Missed,
    };
    Check {
        name: name.to_owned(),
        strategy: StrategyKind::LostUpdate.to_string(),
        required: vec![match outcome {
            GateOutcome::Unknown => Invariant::RunCoverage,
            _ => Invariant::NoOverbookingObserved,
        }],
        ran: Some(CheckRun {
            run: format!("run-{name}"),
            seed: 42,
            took_ms: Some(6_000),
            lasted_ms: Some(2_000),
            shorter: 0,
            repeat_command: "slotproof run --seed 42".to_owned(),
            verdict: report.verdict,
            objectives: vec![objective],
            evidence: vec![format!("run-{name}-I1.jsonl")],
        }),
    }
}

/// A check for which no time was left.
pub fn not_run(name: &str) -> Check {
    Check { ran: None, ..check(name, GateOutcome::Passed) }
}

/// A check that requires an invariant by which its run was not judged.
pub fn without_evidence(name: &str) -> Check {
    let mut check = check(name, GateOutcome::Violated);
    check.required = vec![Invariant::AnnouncedOnce];
    check
}

/// How fast head and base were.
pub fn performance(ratio: Option<Estimate>) -> Performance {
    Performance {
        plan: fixtures::upheld().plan,
        environment: fixtures::environment(),
        rounds: 3,
        took_ms: Some(9_000),
        undecided: Undecided::Passes,
        rounds_lay: RoundsLay::InTurns,
        tolerance: 0.1,
        base: ratio.map(|_| "the build in target/base".to_owned()),
        measures: vec![Measure {
            kind: MeasureKind::ReservedPerS,
            head: vec![900.0, 910.0, 890.0],
            base: vec![1_200.0, 1_190.0, 1_210.0],
            ratio,
            noise: ratio.map(|_| estimate(1.0, 0.98, 1.02)),
        }],
    }
}

pub fn estimate(median: f64, low: f64, high: f64) -> Estimate {
    Estimate { median, low, high }
}

/// A comparison of strategies in one setting, each with its verdict and its confirmed bookings per
/// second.
pub fn comparison(cells: &[(StrategyKind, Verdict, Estimate)]) -> Comparison {
    comparison_of(&[100], cells)
}

/// The same with several numbers of clients.
pub fn comparison_of(
    clients: &[u32],
    cells_of: &[(StrategyKind, Verdict, Estimate)],
) -> Comparison {
    let cells = clients.iter().flat_map(|clients| {
        cells_of.iter().map(|(strategy, verdict, goodput)| Cell {
            clients: *clients,
            ..cell(*strategy, *verdict, *goodput)
        })
    });
    let cells: Vec<Cell> = cells.collect();
    let mut variants: Vec<Variant> = Vec::new();
    for strategy in cells_of.iter().map(|(strategy, ..)| *strategy) {
        variants.push(Variant {
            name: strategy.name().to_owned(),
            strategy: Some(strategy),
            topology: None,
        });
    }
    Comparison {
        header: header("compare"),
        variants,
        rounds: 3,
        margin: 0.1,
        budget_ms: 60_000,
        seed: 1,
        duration_ms: 2_000,
        durable_commit_by_round: vec![None],
        contrasts: contrasts(&cells),
        cells,
        against: Vec::new(),
    }
}

/// Every cell that was not violated beside the best of as many clients.
fn contrasts(cells: &[Cell]) -> Vec<Contrast> {
    let goodput = |cell: &Cell| cell.estimates[&Metric::Goodput];
    let ranked = || cells.iter().filter(|cell| cell.verdict != Verdict::Violated);
    let contrast = |cell: &Cell| {
        let here = ranked().filter(|other| other.clients == cell.clients);
        let best =
            here.max_by(|left, right| goodput(left).median.total_cmp(&goodput(right).median))?;
        let (own, theirs) = (goodput(cell), goodput(best));
        (best.variant != cell.variant).then(|| Contrast {
            load: cell.load,
            clients: cell.clients,
            aspect: Aspect::Throughput,
            variant: cell.variant.clone(),
            best: best.variant.clone(),
            ratio: Some(estimate(
                own.median / theirs.median,
                own.low / theirs.high,
                own.high / theirs.low,
            )),
        })
    };
    ranked().filter_map(contrast).collect()
}

fn cell(strategy: StrategyKind, verdict: Verdict, goodput: Estimate) -> Cell {
    let by = |wanted: Verdict, invariant| {
        if verdict == wanted { BTreeSet::from([invariant]) } else { BTreeSet::new() }
    };
    // The slower a strategy is, the quicker are its slowest answers.
    let p99 = Estimate {
        median: 10.0 * goodput.median,
        low: 10.0 * goodput.low,
        high: 10.0 * goodput.high,
    };
    Cell {
        variant: strategy.name().to_owned(),
        load: Load::HotSlot,
        clients: 100,
        offered: Offered::Saturating,
        offered_per_s: None,
        verdict,
        operations: 3_000,
        convicted_by: by(Verdict::Violated, Invariant::NoOverbookingObserved),
        unknown_by: by(Verdict::Unknown, Invariant::NoLostBooking),
        reason: (verdict != Verdict::Upheld).then(|| "I1: 3 seats too many".to_owned()),
        estimates: BTreeMap::from([(Metric::Goodput, goodput), (Metric::ResponseUsP99, p99)]),
        rounds: vec![BTreeMap::new(); 3],
        runs: Vec::new(),
    }
}

/// A capacity search that ended in a bracket, with one claim.
pub fn capacity(holds: Option<f64>, fails: Option<f64>, verdict: ClaimVerdict) -> Capacity {
    let rates = |per_s: f64| Rates {
        rate_per_s: per_s,
        visits_per_s: per_s,
        operations_per_s: 1.1 * per_s,
    };
    let outcomes = [
        ProbeOutcome::Holds,
        ProbeOutcome::Fails("response p99 was 61.2 ms".to_owned()),
        ProbeOutcome::GeneratorSaturated("p99 send lag 131 ms, limit 100 ms".to_owned()),
    ];
    let scaling = |over: &str, usl| Scaling {
        over: over.to_owned(),
        points: vec![(1, vec![400.0]), (8, vec![1_700.0, 1_750.0]), (16, vec![1_900.0])],
        usl,
    };
    let mut probes: Vec<Probe> =
        (1..).zip(outcomes).map(|(place, outcome)| probe(place, outcome)).collect();
    // The first two loads are those of the bracket.
    for (probe, end) in probes.iter_mut().zip([holds, fails]) {
        probe.rate_per_s = end.unwrap_or(probe.rate_per_s);
    }
    Capacity {
        header: header("capacity"),
        strategy: StrategyKind::Pessimistic.to_string(),
        plan: fixtures::upheld().plan,
        objective: capacity::Objective { p99_ms: 50, errors_max: 0.001 },
        machine: Machine {
            cpus: 2,
            memory_bytes: 8_192_000_000,
            durable_commits_per_s: Some(estimate(4_100.0, 3_900.0, 4_200.0)),
            single_core_per_s: estimate(312e6, 305e6, 316e6),
        },
        violation: None,
        probes,
        bracket: Bracket {
            holds: holds.map(rates),
            at_holds: holds.map(|_| Tally { loads: 4, held: 4, failed: 0 }).unwrap_or_default(),
            fails: fails.map(rates),
            at_fails: fails.map(|_| Tally { loads: 3, held: 1, failed: 2 }).unwrap_or_default(),
            ended_by_generator: fails.is_none(),
            saturated: vec!["CPU: 1.72 of 2 were busy.".to_owned()],
        },
        by_clients: scaling(
            "clients",
            Some(Usl {
                lambda: estimate(400.0, 390.0, 410.0),
                sigma: estimate(0.05, 0.04, 0.06),
                kappa: estimate(0.001, 0.0009, 0.0011),
                peak_at: None,
                r_squared: 0.987,
                residuals: vec![
                    Residual { n: 1, measured: 400.0, predicted: 400.0, relative: 0.0 },
                    Residual { n: 8, measured: 1_725.0, predicted: 2_275.0, relative: -0.242 },
                ],
            }),
        ),
        by_replicas: scaling("service processes", None),
        size: None,
        claims: vec![JudgedClaim {
            id: "throughput".to_owned(),
            says: "~1,000 requests/second on a single server".to_owned(),
            source: Some("system design, 9.1".to_owned()),
            verdict,
            scope: Some(Scope::ThisMachine),
            because: "1,929 operations/s were sustained".to_owned(),
            working: vec!["1,000 operations/s are 909 visits/s".to_owned()],
            operations_per_s: Some(1_000.0),
        }],
    }
}

/// A percentile of twelve hundred operations.
fn p99(us: u64) -> P99 {
    let interval = Interval { low: us * 9 / 10, high: Some(us * 12 / 10) };
    P99 { us, interval, operations: 1_200, beyond: 12 }
}

fn probe(place: u32, outcome: ProbeOutcome) -> Probe {
    Probe {
        phase: Phase::Growth,
        run: format!("run-{place}"),
        rate_per_s: 1_000.0 * f64::from(place),
        window_ms: 3_000,
        shorter: 0,
        asked_per_s: 1_000.0 * f64::from(place),
        made_per_s: 999.0 * f64::from(place),
        operations_per_s: 1_100.0 * f64::from(place),
        response_us_p50: 2_400 * u64::from(place),
        response_p99: p99(21_000 * u64::from(place)),
        service_p99: p99(19_000),
        lag_us_p99: 300,
        errors: 0.0,
        verdict: Verdict::Upheld,
        cpus_busy: BTreeMap::from([("service".to_owned(), 0.7)]),
        lock_waiters: Some(1.5),
        flushing: None,
        held: outcome,
    }
}

/// A selftest of one control that load exposes.
pub fn selftest(verdict: Verdict) -> Selftest {
    let trial = SelftestTrial {
        seed: 1,
        verdict,
        operations: 2_000,
        convicted_by: match verdict {
            Verdict::Violated => BTreeSet::from([Invariant::NoOverbookingObserved]),
            Verdict::Upheld | Verdict::Unknown => BTreeSet::new(),
        },
        first: (verdict == Verdict::Violated).then_some((1_130, Tier::B)),
    };
    Selftest {
        schema_version: Selftest::SCHEMA_VERSION,
        clients: 200,
        capacity: 120,
        duration_ms: 2_000,
        seeds: vec![1],
        took_s: 237,
        rows: vec![SelftestRow::new(StrategyKind::LostUpdate, vec![trial])],
    }
}

/// A verdict without findings.
pub fn nothing_judged() -> VerdictReport {
    VerdictReport::new(0, Vec::new())
}
