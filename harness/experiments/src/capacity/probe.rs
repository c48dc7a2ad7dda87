//! One load at one rate: what it measured, and whether the rate was sustained.

use slotproof_checker::Case;
use slotproof_reports::{
    RunReport,
    capacity::{Objective, P99, Phase, Probe, ProbeOutcome},
    quantity,
};
use slotproof_scenarios::Durations;
use slotproof_vocabulary::{Finding, Verdict};

use super::quantile;
use crate::summary::Window;

/// A request that is sent later says nothing of the instant at which it was due.
const LAG_US_MAX: u64 = 100_000;

/// What a probe was asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) phase: Phase,
    /// Visits per second.
    pub(super) rate_per_s: f64,
    pub(super) objective: Objective,
    /// Shorter loads of this rate before it.
    pub(super) shorter: u32,
}

/// What a trial of an open load says of its rate.
pub(super) fn probe_of(asked: Asked, case: &Case, report: &RunReport) -> Probe {
    let window = Window::of(case, &report.plan);
    let decided = || window.scheduled(case).filter(|it| it.error_class().is_none());
    let us = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) / 1_000;
    let mut durations = Durations::default();
    decided().for_each(|it| {
        durations.record_instants(it.scheduled_ns, it.sent_ns, it.returned_ns);
    });
    let mut response: Vec<u64> = decided().map(|it| us(it.scheduled_ns, it.returned_ns)).collect();
    let mut service: Vec<u64> = decided().map(|it| us(it.sent_ns, it.returned_ns)).collect();
    let totals = &report.totals;
    // CPU and flushes were counted until the last return.
    let loaded_ms = (totals.window_ms + totals.drain_ms).max(1) as f64;
    let loaded_us = (loaded_ms + report.plan.warm_up.ms() as f64) * 1e3;
    let (asked_per_s, made_per_s) =
        totals.arrivals.map_or((0.0, 0.0), |it| (it.asked_per_s, it.made_per_s));
    let mut probe = Probe {
        phase: asked.phase,
        run: report.run.clone(),
        rate_per_s: asked.rate_per_s,
        window_ms: totals.window_ms,
        shorter: asked.shorter,
        asked_per_s,
        made_per_s,
        operations_per_s: totals.operations_per_s,
        response_us_p50: durations.response.value_at_quantile(0.5),
        response_p99: quantile::p99(&mut response).unwrap_or(P99::NONE),
        service_p99: quantile::p99(&mut service).unwrap_or(P99::NONE),
        lag_us_p99: durations.lag.value_at_quantile(0.99),
        errors: totals.errors.share(),
        verdict: report.verdict.verdict,
        cpus_busy: report
            .resources
            .iter()
            .map(|resource| (resource.group.clone(), resource.cpu_ms as f64 / loaded_ms))
            .collect(),
        lock_waiters: report.costs.as_ref().and_then(|costs| costs.lock_waiters),
        flushing: report
            .costs
            .as_ref()
            .zip(report.environment.fsync)
            .map(|(costs, fsync)| costs.wal_syncs as f64 * fsync.us_p50 as f64 / loaded_us),
        held: ProbeOutcome::Holds,
    };
    let all_came = totals.arrivals.is_none_or(|arrivals| arrivals.made == arrivals.asked);
    probe.held = held(&probe, all_came, asked.objective, violated(report));
    probe
}

/// The first violated invariant.
pub(super) fn violated(report: &RunReport) -> Option<&Finding> {
    report.verdict.findings.iter().find(|finding| finding.verdict == Verdict::Violated)
}

/// The service is blamed for what it took itself, the generator for what it sent late. A limit
/// inside an interval decides nothing.
fn held(
    probe: &Probe,
    all_came: bool,
    objective: Objective,
    violated: Option<&Finding>,
) -> ProbeOutcome {
    let limit_us = objective.p99_ms * 1_000;
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
    if probe.service_p99.interval.low > limit_us {
        return ProbeOutcome::Fails(format!("service p99 {}", probe.service_p99.text()));
    }
    if !all_came {
        return ProbeOutcome::GeneratorSaturated(
            "not every visit that was due was made".to_owned(),
        );
    }
    if probe.lag_us_p99 > LAG_US_MAX {
        return ProbeOutcome::GeneratorSaturated(format!(
            "p99 send lag {}, limit {}",
            quantity::duration_us(probe.lag_us_p99),
            quantity::duration_us(LAG_US_MAX)
        ));
    }
    let P99 { interval, operations, .. } = probe.response_p99;
    if interval.low > limit_us {
        return ProbeOutcome::Fails(format!("response p99 {}", probe.response_p99.text()));
    }
    match interval.high {
        Some(high) if high <= limit_us => ProbeOutcome::Holds,
        Some(_) => ProbeOutcome::Undecided(format!(
            "the limit of {} lies inside the interval: response p99 {} of {}",
            quantity::duration_us(limit_us),
            probe.response_p99.text(),
            quantity::counted(operations, "operation")
        )),
        None => ProbeOutcome::Undecided(format!(
            "{} bound p99 on one side only; 368 are needed",
            quantity::counted(operations, "operation")
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use slotproof_reports::capacity::Interval;
    use slotproof_vocabulary::Invariant;

    use super::*;

    /// A percentile of 2,000 operations.
    pub(in super::super) fn p99_of(low_ms: u64, high_ms: u64) -> P99 {
        P99 {
            us: low_ms.midpoint(high_ms) * 1_000,
            interval: Interval { low: low_ms * 1_000, high: Some(high_ms * 1_000) },
            operations: 2_000,
            beyond: 20,
        }
    }

    /// A load that kept every objective from 60 ms on.
    pub(in super::super) fn probe(rate_per_s: f64) -> Probe {
        Probe {
            phase: Phase::Growth,
            run: "run".to_owned(),
            rate_per_s,
            window_ms: 3_000,
            shorter: 0,
            asked_per_s: rate_per_s,
            made_per_s: rate_per_s,
            operations_per_s: rate_per_s,
            response_us_p50: 10_000,
            response_p99: p99_of(50, 60),
            service_p99: p99_of(45, 55),
            lag_us_p99: 1_000,
            errors: 0.0,
            verdict: Verdict::Upheld,
            cpus_busy: BTreeMap::new(),
            lock_waiters: None,
            flushing: None,
            held: ProbeOutcome::Holds,
        }
    }

    #[test]
    fn a_probe_holds_fails_or_says_what_kept_it_from_telling() {
        let objective = |p99_ms| Objective { p99_ms, errors_max: 0.01 };
        let name = |outcome: ProbeOutcome| match outcome {
            ProbeOutcome::Holds => "holds",
            ProbeOutcome::Fails(_) => "fails",
            ProbeOutcome::GeneratorSaturated(_) => "generator",
            ProbeOutcome::Undecided(_) => "undecided",
        };
        let at = |probe: &Probe, p99_ms| name(held(probe, true, objective(p99_ms), None));
        let good = probe(100.0);
        assert_eq!(at(&good, 60), "holds");
        assert_eq!(at(&good, 55), "undecided", "the limit is inside the interval");
        assert_eq!(at(&good, 49), "fails");
        let mut few = good.clone();
        few.response_p99.interval.high = None;
        assert_eq!(at(&few, 60), "undecided", "nothing bounds it from above");
        assert_eq!(at(&few, 40), "fails", "what is too slow is so however few there are");
        assert_eq!(at(&Probe { errors: 0.02, ..good.clone() }, 60), "fails");
        let late = Probe { lag_us_p99: 100_001, response_p99: p99_of(500, 600), ..good.clone() };
        assert_eq!(at(&late, 60), "generator", "the service was quick; the generator was not");
        assert_eq!(at(&Probe { service_p99: p99_of(500, 600), ..late }, 60), "fails");
        assert_eq!(name(held(&good, false, objective(60), None)), "generator");
        let finding = Finding {
            invariant: Invariant::NoLostBooking,
            verdict: Verdict::Violated,
            summary: "one booking is lost".to_owned(),
            examined: 1,
            violations: 1,
            witness: None,
        };
        assert_eq!(name(held(&good, true, objective(60), Some(&finding))), "fails");
    }
}
