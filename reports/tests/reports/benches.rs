//! Benches to render, one of each kind.

use slotproof_reports::bench::{
    checker::{CheckerBench, CheckerRow, HistorySize, Judged, Porcupine},
    engine::{CrowdReport, EngineBench, StallReport, Tool, ToolCost, ToolReport},
    strategies::{Layout, Measurement, PgbenchCell, StrategyBench, StrategyCell},
};
use slotproof_vocabulary::{StrategyKind, Verdict};

use crate::several::{context, estimate};

/// Two strategies and pgbench.
pub fn strategies() -> StrategyBench {
    let cell = |strategy, layout, factor: f64| StrategyCell {
        strategy,
        layout,
        clients: 256,
        bookings_per_s: estimate(1_250.0 * factor, 1_130.0 * factor, 1_400.0 * factor),
        ratio_to_pessimistic: Some(estimate(factor, factor * 0.9, factor * 1.1)),
        latency_us_p50: 12_400,
        latency_us_p99: 24_000,
        rounds: vec![Measurement {
            refused: 3,
            retries_per_booking: 0.02,
            bookings_per_wal_sync: 119.6,
            service_cpu_us_per_booking: 29.0,
            postgresql_cpu_us_per_booking: 30.0,
            ..Measurement::of_rate(1, 1_250.0 * factor)
        }],
    };
    let cells = [Layout::Hot, Layout::Spread].into_iter().flat_map(|layout| {
        [cell(StrategyKind::Pessimistic, layout, 1.0), cell(StrategyKind::Grouped, layout, 15.4)]
    });
    StrategyBench {
        schema_version: StrategyBench::SCHEMA_VERSION,
        context: context("bench strategies"),
        rounds: 3,
        measured_ms: 1_000,
        seed: 1,
        durable_commit_by_round: vec![Some(fsync()), None],
        cells: cells.collect(),
        pgbench: vec![PgbenchCell {
            layout: Layout::Hot,
            connections: 16,
            bookings_per_s: estimate(1_879.0, 1_851.0, 1_894.0),
            rounds: vec![1_879.0],
        }],
    }
}

fn fsync() -> slotproof_vocabulary::FsyncCalibration {
    slotproof_vocabulary::FsyncCalibration { samples: 500, us_p50: 161, us_p99: 300 }
}

/// Two tools, with oha installed or not.
pub fn engine(oha: Option<f64>) -> EngineBench {
    let tool = |tool, factor: f64| ToolReport {
        tool,
        cpu_us_per_request: estimate(31.0 * factor, 30.0 * factor, 32.0 * factor),
        cpu_ratio_to_goose: Some(estimate(0.7, 0.6, 0.8)),
        requests_per_s: estimate(40_400.0, 39_000.0, 41_000.0),
        throughput_ratio_to_without_recorder: Some(estimate(0.98, 0.97, 0.99)),
        memory_bytes_max: 33 << 20,
        rounds: vec![ToolCost {
            requests: 200_000,
            cpu_us_per_request: 31.0,
            requests_per_s: 40_400.0,
            memory_bytes_max: 33 << 20,
        }],
    };
    EngineBench {
        schema_version: EngineBench::SCHEMA_VERSION,
        cpus: 2,
        clients: 50,
        rounds: 5,
        measured_ms: 5_000,
        seed: 1,
        not_installed: if oha.is_none() { vec!["oha".to_owned()] } else { Vec::new() },
        tools: vec![tool(Tool::Slotproof, 1.0), tool(Tool::Goose, 1.4)],
        stall: StallReport {
            rate_per_s: 500.0,
            stall_ms: 3_000,
            load_ms: 20_000,
            arrivals_asked: 10_000,
            arrivals_made: 10_000,
            response_us_p50: 400,
            response_us_p99: 2_803_700,
            service_us_p99: 2_803_600,
            lag_us_p99: 200,
            oha_us_p99: oha,
        },
        crowd: CrowdReport {
            clients: 10_000,
            think_ms: 2_000,
            operations: 50_246,
            not_ok: 0,
            memory_bytes_max: 153 << 20,
            cpu_us_per_request: 49.2,
        },
    }
}

/// Two sizes, of which porcupine-rs was tried on one.
pub fn checker() -> CheckerBench {
    let row = |operations, porcupine: Option<&str>| CheckerRow {
        size: HistorySize { operations, clients: 1_000, slots: 1 },
        file_bytes: operations * 25,
        judged: Judged {
            verdict: Verdict::Upheld,
            read_ms: 110,
            tier_a_ms: 37,
            proved_slots: 1,
            judge_ms: 99,
        },
        memory_bytes_max: operations * 540,
        porcupine: porcupine.map(|result| Porcupine { result: result.to_owned(), took_ms: 10_690 }),
    };
    CheckerBench {
        schema_version: CheckerBench::SCHEMA_VERSION,
        cpus: 2,
        rows: vec![row(100_000, Some("unknown")), row(1_000_000, None)],
    }
}
