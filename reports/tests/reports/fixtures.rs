//! Reports to render: one for each verdict, and what no run should ever leave.

use std::{collections::BTreeMap, fs, path::PathBuf};

use slotproof_reports::{
    Objective, RunReport,
    run_report::{
        EnvironmentBlock, Errors, FaultEffect, FsyncCalibration, Latency, Percentiles, Resource,
        SeatsSeries, Second, ServerBlock, Totals,
    },
};
use slotproof_vocabulary::{
    Action, AuditRecord, BookingRow, BookingStatus, Finding, Invariant, Operation, Outcome, Plan,
    PlanArgs, Seen, Span, StrategyKind, Verdict, VerdictReport, Witness, verdict::WitnessOperation,
};

const CAPACITY: i64 = 40;
const HELD: u64 = 46;
const SECONDS: u32 = 15;

/// The text of a stored report.
pub fn example_text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    fs::read_to_string(path).expect(name)
}

/// A stored report.
pub fn example<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&example_text(name)).expect(name)
}

/// Everything held.
pub fn upheld() -> RunReport {
    let mut report = measured(StrategyKind::Conditional);
    let upheld =
        |invariant| finding(invariant, Verdict::Upheld, "0 of 61,204 facts contradict it", 61_204);
    let findings = Invariant::ALL
        .iter()
        .copied()
        .filter(|invariant| *invariant != Invariant::AnnouncedOnce)
        .map(upheld);
    report.verdict = VerdictReport::new(61_204, findings.collect());
    report
}

/// The last seats were sold twice.
pub fn violated() -> RunReport {
    let mut report = measured(StrategyKind::LostUpdate);
    let summary = format!("{HELD} acknowledged seats were held at once in a slot of {CAPACITY}");
    let mut overbooked =
        finding(Invariant::NoOverbookingObserved, Verdict::Violated, &summary, 61_204);
    overbooked.violations = 6;
    overbooked.witness = Some(witness());
    let mut conserved = finding(
        Invariant::SeatsConserved,
        Verdict::Violated,
        "the counter of 1 slot is 6 seats off",
        1,
    );
    conserved.violations = 1;
    let findings = vec![
        overbooked,
        finding(
            Invariant::NoLostBooking,
            Verdict::Upheld,
            "all 46 acknowledged bookings are in the final rows",
            46,
        ),
        conserved,
        finding(
            Invariant::HonestSoldOut,
            Verdict::Upheld,
            "all 58,911 refusals were possible",
            58_911,
        ),
        finding(
            Invariant::PossibleReads,
            Verdict::Unknown,
            "the target declares no staleness for reads",
            0,
        ),
        finding(
            Invariant::RunCoverage,
            Verdict::Upheld,
            "sold out, full and resale were reached",
            3,
        ),
    ];
    report.verdict = VerdictReport::new(61_204, findings);
    report.seats[0].points = seats(-6);
    report
}

/// Nothing happened.
pub fn unknown() -> RunReport {
    let mut report = measured(StrategyKind::Pessimistic);
    report.verdict = VerdictReport::new(
        0,
        vec![finding(
            Invariant::RunCoverage,
            Verdict::Unknown,
            "no operation was recorded: is the service reachable?",
            0,
        )],
    );
    report.totals = Totals {
        window_ms: 0,
        drain_ms: 0,
        operations: 0,
        outcomes: BTreeMap::new(),
        drained: BTreeMap::new(),
        reserved: 0,
        confirmed: 0,
        cancelled: 0,
        reserved_per_s: 0.0,
        confirmed_per_s: 0.0,
        operations_per_s: 0.0,
        errors: Errors::default(),
        resends: 0,
        arrivals: None,
    };
    report.latency.clear();
    report.timeline.clear();
    report.seats.clear();
    report.resources.clear();
    report.environment.fsync = None;
    report.environment.servers.clear();
    report
}

fn finding(invariant: Invariant, verdict: Verdict, summary: &str, examined: u64) -> Finding {
    Finding {
        invariant,
        verdict,
        summary: summary.to_owned(),
        examined,
        violations: 0,
        witness: None,
    }
}

/// A witness of `HELD` reserves that were all told yes, one of them after a cancel.
fn witness() -> Witness {
    let mut operations: Vec<_> = (0..HELD).map(reserve).collect();
    operations.push(cancelled());
    operations.sort_by_key(|found| found.operation.returned_ns);
    let instant_ns = operations.iter().map(|found| found.operation.returned_ns).max();
    Witness {
        slot: "019a-monday-9".into(),
        explanation: format!(
            "{HELD} reserves of one seat each were acknowledged and none was given back, in a slot \
             of {CAPACITY}"
        ),
        instant_ns,
        operations,
        records: vec![AuditRecord {
            slot: "019a-monday-9".into(),
            version: 41,
            booking: "b-45".into(),
            from: None,
            to: BookingStatus::Pending,
            seats: 1,
            available: 0,
        }],
        rows: vec![BookingRow {
            booking: "b-45".into(),
            slot: "019a-monday-9".into(),
            status: BookingStatus::Pending,
            seats: 1,
            key: Some("k-45".into()),
            overdue_ms: Some(-1_200),
        }],
    }
}

fn reserve(nth: u64) -> WitnessOperation {
    let sent_ns = 5_000_000_000 + nth * 1_700_000;
    WitnessOperation {
        line: 12 + 3 * nth,
        operation: Operation {
            client: 100 + 7 * nth,
            process: 100 + 7 * nth,
            slot: "019a-monday-9".into(),
            action: Action::Reserve { seats: 1, key: format!("k-{nth}").into() },
            terms: None,
            scheduled_ns: sent_ns - 200_000,
            sent_ns,
            returned_ns: sent_ns + 9_000_000 + (nth % 7) * 2_300_000,
            attempts: 1,
            outcome: Outcome::Ok,
            reason: None,
            seen: Seen {
                booking: Some(format!("b-{nth}").into()),
                version: Some(nth.min(40) as i64 + 1),
                ..Seen::default()
            },
        },
    }
}

/// A client whose cancel was never answered.
fn cancelled() -> WitnessOperation {
    let mut found = reserve(3);
    found.line = 90;
    found.operation.action = Action::Cancel { booking: "b-900".into() };
    found.operation.sent_ns += 30_000_000;
    found.operation.returned_ns += 36_000_000;
    found.operation.outcome = Outcome::Unknown;
    found.operation.reason = Some("timeout".into());
    found.operation.seen = Seen::default();
    found
}

/// A run that was measured and not yet judged.
fn measured(strategy: StrategyKind) -> RunReport {
    RunReport {
        schema_version: RunReport::SCHEMA_VERSION,
        run: format!("20260304T101500Z-flash_sale-{strategy}"),
        started_at: "2026-03-04T10:15:00Z".into(),
        slotproof_version: "0.1.0".into(),
        repeat_command: format!(
            "slotproof run --scenario flash_sale --strategy {strategy} --clients 2000 --seed 42"
        ),
        plan: Plan::try_from(PlanArgs {
            strategy: Some(strategy),
            capacity: Some(CAPACITY as u32),
            duration: Some(Span::of_ms(u64::from(SECONDS) * 1_000)),
            seed: Some(42),
            ..PlanArgs::default()
        })
        .expect("it can be run"),
        environment: environment(),
        verdict: VerdictReport::new(0, Vec::new()),
        objectives: vec![Objective {
            name: "operations without a decision".to_owned(),
            limit: "1.00 %".to_owned(),
            measured: "0.18 % (throttled 0.18 %, unknown 0.00 %)".to_owned(),
            met: true,
        }],
        totals: Totals {
            window_ms: 15_000,
            drain_ms: 210,
            operations: 61_204,
            outcomes: outcomes([1_180, 59_911, 0, 110, 3]),
            drained: outcomes([40, 12, 0, 0, 0]),
            reserved: 611,
            confirmed: 398,
            cancelled: 171,
            reserved_per_s: 40.73,
            confirmed_per_s: 26.53,
            operations_per_s: 4_080.3,
            errors: Errors {
                of: 61_256,
                by_class: [("throttled".to_owned(), 110), ("unknown".to_owned(), 3)].into(),
                by_replica: Vec::new(),
            },
            resends: 0,
            arrivals: None,
        },
        latency: vec![
            latency("reserve", None, 59_700, 1_800),
            latency("reserve", Some("ok"), 611, 4_100),
            latency("reserve", Some("sold_out"), 58_911, 1_700),
            latency("confirm", None, 398, 2_600),
            latency("cancel", None, 171, 900),
        ],
        timeline: (0..SECONDS).map(second).collect(),
        seats: vec![SeatsSeries {
            slot: "019a-monday-9".into(),
            capacity: CAPACITY,
            points: seats(0),
        }],
        costs: None,
        faults: vec![
            FaultEffect {
                fault: "crash-postgres@4s".into(),
                began_ms: 4_002,
                ended_ms: 5_310,
                longest_gap_ms: 1_204,
                longest_gap_before_ms: 31,
                operations: 212,
                undecided: 97,
                said: None,
                problem: None,
            },
            FaultEffect {
                fault: "rebalance:shard-2@9s".into(),
                began_ms: 9_001,
                ended_ms: 9_040,
                longest_gap_ms: 30,
                longest_gap_before_ms: 1_204,
                operations: 160,
                undecided: 0,
                said: None,
                problem: Some("the shard was not there".into()),
            },
        ],
        shorter: Vec::new(),
        resources: vec![
            resource("load", 620, 92 << 20),
            resource("service", 480, 41 << 20),
            resource("postgresql", 710, 310 << 20),
            resource("harness", 12, 18 << 20),
        ],
    }
}

pub fn environment() -> EnvironmentBlock {
    let settings = [
        ("fsync", "on"),
        ("max_connections", "200"),
        ("shared_buffers", "128MB"),
        ("synchronous_commit", "on"),
    ];
    EnvironmentBlock {
        kind: "native".into(),
        cpus: 2,
        memory_bytes: 8_192_000_000,
        kernel: "Linux 6.12.8".into(),
        replicas: 2,
        topology: None,
        fsync: Some(FsyncCalibration { samples: 500, us_p50: 412, us_p99: 2_310 }),
        durable_commit: Some(FsyncCalibration { samples: 200, us_p50: 640, us_p99: 3_100 }),
        servers: vec![ServerBlock {
            name: "postgresql".into(),
            version: "17.2".into(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }],
    }
}

fn outcomes(counts: [u64; 5]) -> BTreeMap<String, u64> {
    let named = Outcome::ALL.iter().map(|outcome| outcome.name().to_owned()).zip(counts);
    named.filter(|(_, count)| *count > 0).collect()
}

fn latency(operation: &str, outcome: Option<&str>, count: u64, median_us: u64) -> Latency {
    Latency {
        operation: operation.into(),
        outcome: outcome.map(str::to_owned),
        count,
        response: percentiles(median_us + median_us / 2, 60),
        service: percentiles(median_us, 18),
        lag: percentiles(median_us / 20, 4),
    }
}

/// A long tail: the maximum is `stretch` medians.
fn percentiles(median_us: u64, stretch: u64) -> Percentiles {
    let at = |quantile: f64| {
        let nines = -(1.0 - quantile).max(1e-5).log10();
        median_us / 2
            + (median_us as f64
                * (stretch as f64).powf((nines / 5.0).powi(2))
                * (0.5 + quantile / 2.0)) as u64
                / 2
    };
    let quantiles =
        [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995, 1.0];
    Percentiles {
        us_p50: at(0.5),
        us_p90: at(0.9),
        us_p99: at(0.99),
        us_p999: at(0.999),
        us_max: at(1.0),
        curve: quantiles.iter().map(|quantile| (*quantile, at(*quantile))).collect(),
    }
}

/// A second of the load; the fifth is a stall.
fn second(second: u32) -> Second {
    let stall = if second == 5 { 20 } else { 1 };
    let wave = u64::from(second * 37 % 11);
    Second {
        second,
        outcomes: outcomes([
            70 + wave * 3,
            (3_900 + wave * 60) / stall,
            0,
            if second < 3 { 370 } else { 0 },
            u64::from(stall > 1) * 3,
        ]),
        response_us_p50: (2_600 + wave * 40) * stall,
        response_us_p99: (14_000 + wave * 700) * stall * 2,
        service_us_p50: (1_750 + wave * 30) * stall,
        response_buckets: vec![(16, 30), (17, 9), (20, 1)],
        service_us_p99: (9_100 + wave * 500) * stall,
    }
}

/// Seats that go within a second, come back as holds run out, and go again; at worst `lowest` are
/// left.
fn seats(lowest: i64) -> Vec<(f64, i64)> {
    let mut points = vec![(0.0, CAPACITY)];
    let mut left = CAPACITY;
    let mut at_ms = 120.0;
    for wave in 0..5 {
        let floor = if wave == 0 { lowest } else { lowest.min(0) / 2 + wave };
        while left > floor {
            left -= 1;
            points.push((at_ms, left));
            at_ms += 11.0 + f64::from(wave as u32) * 5.0;
        }
        at_ms = 3_000.0 * (wave + 1) as f64;
        for _ in 0..(6 + 2 * wave) {
            left += 1;
            points.push((at_ms, left));
            at_ms += 31.0;
        }
    }
    points
}

fn resource(group: &str, cpu_ms: u64, memory_bytes_max: u64) -> Resource {
    let by_second = |second: u32| (second, cpu_ms + u64::from(second * 53 % 17) * cpu_ms / 80);
    let cpu_ms_by_second: Vec<_> = (0..SECONDS).map(by_second).collect();
    let cpu_ms = cpu_ms_by_second.iter().map(|(_, cpu_ms)| cpu_ms).sum();
    Resource { group: group.into(), cpu_ms, memory_bytes_max, cpu_ms_by_second }
}
