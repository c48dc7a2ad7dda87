//! From a run directory to [`RunReport`]: the numbers that reports are drawn from.

use std::collections::BTreeMap;

use anyhow::Result;
use hdrhistogram::Histogram;
use slotproof_checker::{Case, occupancy};
use slotproof_reports::{
    RunReport,
    run_report::{Latency, Percentiles, Resource, SeatsSeries, Second, Totals},
};
use slotproof_scenarios::Durations;
use slotproof_vocabulary::{Action, Operation, Outcome, Plan, RunContext, VerdictReport};

use slotproof_evidence::RunDirectory;
use slotproof_stack::sampling::Sample;

/// Points of a drawn line: about two for each pixel of a wide screen.
const POINTS_MAX: usize = 2_000;

/// Seconds of a timeline: two days, twice as long as the longest run. What returned later counts in
/// the last one.
const SECONDS_MAX: u64 = 2 * 24 * 60 * 60;

/// Sums a judged run up.
pub(crate) fn summarise(
    run: &RunDirectory,
    plan: Plan,
    case: &Case,
    verdict: VerdictReport,
) -> Result<RunReport> {
    let circumstances: RunContext = run.read_json("environment.json")?;
    let begun_ns = measured_from_ns(case, &plan);
    let operations = measured(case, begun_ns);
    Ok(RunReport {
        schema_version: RunReport::SCHEMA_VERSION,
        run: run.name(),
        started_at: circumstances.started_at,
        slotproof_version: circumstances.slotproof_version,
        repeat_command: circumstances.repeat_command,
        plan,
        environment: circumstances.environment,
        verdict,
        totals: Totals {
            arrivals: case.load.as_ref().and_then(|load| load.arrivals),
            ..totals(&operations, begun_ns)
        },
        latency: latency(&operations),
        timeline: timeline(&operations, begun_ns),
        seats: seats(case, begun_ns),
        resources: resources(&run.read_samples()?, begun_ns),
        costs: run.read_json_if_there("costs.json")?,
    })
}

/// When the measured time began. A load that was killed did not say so; then it is the plan's
/// warm-up after the first operation.
fn measured_from_ns(case: &Case, plan: &Plan) -> u64 {
    let first_ns = || case.history.operations.iter().map(|operation| operation.scheduled_ns).min();
    match &case.load {
        Some(load) => load.measured_from_ns,
        None => first_ns().unwrap_or_default() + plan.warm_up.ns(),
    }
}

/// The operations of the measured time: neither those of the warm-up nor the probes of the settled
/// service.
fn measured(case: &Case, from_ns: u64) -> Vec<&Operation> {
    let measured = |operation: &&Operation| {
        operation.scheduled_ns >= from_ns && Some(operation.client) != case.prober
    };
    case.history.operations.iter().filter(measured).collect()
}

fn totals(operations: &[&Operation], begun_ns: u64) -> Totals {
    let ended_ns =
        operations.iter().map(|operation| operation.returned_ns).max().unwrap_or(begun_ns);
    let elapsed_ms = ended_ns.saturating_sub(begun_ns) / 1_000_000;
    let done = |name: &str| {
        let done = operations.iter().filter(|operation| {
            operation.outcome == Outcome::Ok && operation.action.name() == name
        });
        done.count() as u64
    };
    let per_s =
        |count: u64| if elapsed_ms == 0 { 0.0 } else { count as f64 * 1_000.0 / elapsed_ms as f64 };
    let reserved = done("reserve");
    Totals {
        elapsed_ms,
        operations: operations.len() as u64,
        outcomes: by_outcome(operations.iter().copied()),
        reserved,
        confirmed: done("confirm"),
        cancelled: done("cancel"),
        reserved_per_s: per_s(reserved),
        operations_per_s: per_s(operations.len() as u64),
        resends: operations
            .iter()
            .map(|operation| u64::from(operation.attempts.saturating_sub(1)))
            .sum(),
        arrivals: None,
    }
}

fn by_outcome<'a>(operations: impl Iterator<Item = &'a Operation>) -> BTreeMap<String, u64> {
    let mut outcomes = BTreeMap::new();
    for operation in operations {
        *outcomes.entry(operation.outcome.name().to_owned()).or_insert(0) += 1;
    }
    outcomes
}

fn latency(operations: &[&Operation]) -> Vec<Latency> {
    let mut durations: BTreeMap<(&str, Option<Outcome>), Durations> = BTreeMap::new();
    for operation in operations {
        for outcome in [None, Some(operation.outcome)] {
            durations.entry((operation.action.name(), outcome)).or_default().record(operation);
        }
    }
    let entry =
        |((operation, outcome), durations): (&(&str, Option<Outcome>), &Durations)| Latency {
            operation: (*operation).to_owned(),
            outcome: outcome.map(|outcome| outcome.name().to_owned()),
            count: durations.response.len(),
            response: percentiles(&durations.response),
            service: percentiles(&durations.service),
            lag: percentiles(&durations.lag),
        };
    durations.iter().map(entry).collect()
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    let curve = histogram
        .iter_quantiles(2)
        .map(|step| (step.quantile_iterated_to(), step.value_iterated_to()));
    Percentiles {
        us_p50: at(0.5),
        us_p90: at(0.9),
        us_p99: at(0.99),
        us_p999: at(0.999),
        us_max: if histogram.is_empty() { 0 } else { histogram.max() },
        curve: curve.collect(),
    }
}

fn timeline(operations: &[&Operation], begun_ns: u64) -> Vec<Second> {
    let second_of = |operation: &Operation| {
        (operation.returned_ns.saturating_sub(begun_ns) / 1_000_000_000).min(SECONDS_MAX)
    };
    let mut seconds: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        seconds.entry(second_of(operation)).or_default().push(operation);
    }
    let last = seconds.keys().last().copied();
    let nothing = Vec::new();
    last.map_or(0..0, |last| 0..last + 1)
        .map(|second| {
            let operations = seconds.get(&second).unwrap_or(&nothing);
            let mut durations = Durations::default();
            let mut buckets: BTreeMap<u8, u64> = BTreeMap::new();
            for operation in operations {
                durations.record(operation);
                let response_us =
                    operation.returned_ns.saturating_sub(operation.scheduled_ns) / 1_000;
                *buckets.entry(Second::bucket(response_us)).or_default() += 1;
            }
            Second {
                response_buckets: buckets.into_iter().collect(),
                second: u32::try_from(second).unwrap_or(u32::MAX),
                outcomes: by_outcome(operations.iter().copied()),
                response_us_p50: durations.response.value_at_quantile(0.5),
                response_us_p99: durations.response.value_at_quantile(0.99),
                service_us_p50: durations.service.value_at_quantile(0.5),
                service_us_p99: durations.service.value_at_quantile(0.99),
            }
        })
        .collect()
}

/// Seats left of the busiest slots, from the seats that were surely promised.
fn seats(case: &Case, begun_ns: u64) -> Vec<SeatsSeries> {
    let occupancies = occupancy::by_slot(&case.history);
    let mut slots: Vec<_> = occupancies.into_iter().collect();
    slots.sort_by_key(|(slot, occupancy)| (std::cmp::Reverse(occupancy.least.seats.len()), *slot));
    slots
        .into_iter()
        .take(RunReport::SEATS_SERIES_MAX)
        .map(|(slot, occupancy)| {
            let capacity = case.capacity;
            let steps = occupancy.least.at_ns.iter().zip(&occupancy.least.seats);
            let left = steps.map(|(at_ns, seats)| {
                (at_ns.saturating_sub(begun_ns) as f64 / 1e6, capacity - seats)
            });
            let points = [(0.0, capacity)].into_iter().chain(left).collect();
            SeatsSeries { slot: slot.to_owned(), capacity, points: thin(points) }
        })
        .collect()
}

/// Keeps the lowest and the last point of each of a thousand stretches: an overbooking survives,
/// however short it was.
fn thin(points: Vec<(f64, i64)>) -> Vec<(f64, i64)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 2);
    let keep = |stretch: &[(f64, i64)]| {
        let lowest = stretch.iter().copied().min_by_key(|(_, seats)| *seats);
        let last = stretch.last().copied();
        lowest.into_iter().chain(last.filter(|last| Some(*last) != lowest)).collect::<Vec<_>>()
    };
    points.chunks(stretch).flat_map(keep).collect()
}

fn resources(samples: &[Sample], begun_ns: u64) -> Vec<Resource> {
    let mut groups: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        groups.entry(&sample.group).or_default().push(sample);
    }
    let resource = |(group, samples): (&str, Vec<&Sample>)| {
        // From the last sample before the load began: what it took to start is not what the load
        // cost.
        let before = samples.iter().rposition(|sample| sample.at_ns <= begun_ns).unwrap_or(0);
        let during = &samples[before..];
        let spent = |pair: &[&Sample]| {
            let second = pair[0].at_ns.saturating_sub(begun_ns) / 1_000_000_000;
            (
                u32::try_from(second).unwrap_or(u32::MAX),
                pair[1].cpu_ms.saturating_sub(pair[0].cpu_ms),
            )
        };
        let cpu_ms_by_second: Vec<_> = during.windows(2).map(spent).collect();
        Resource {
            group: group.to_owned(),
            cpu_ms: cpu_ms_by_second.iter().map(|(_, cpu_ms)| cpu_ms).sum(),
            memory_bytes_max: during
                .iter()
                .map(|sample| sample.memory_bytes)
                .max()
                .unwrap_or_default(),
            cpu_ms_by_second,
        }
    };
    groups.into_iter().map(resource).collect()
}

/// `latency.hgrm`: the response latency of reserves, as HdrHistogram's own tools read it. Values
/// are milliseconds.
pub(crate) fn percentile_file(case: &Case, plan: &Plan) -> String {
    let mut durations = Durations::default();
    let operations = measured(case, measured_from_ns(case, plan));
    for operation in operations.into_iter().filter(|it| matches!(it.action, Action::Reserve { .. }))
    {
        durations.record(operation);
    }
    let histogram = durations.response;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut counted = 0;
    for step in histogram.iter_quantiles(5) {
        counted += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value_ms = step.value_iterated_to() as f64 / 1_000.0;
        let inverse = if quantile < 1.0 {
            format!("{:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            format!("{:>14}", "inf")
        };
        text.push_str(&format!("{value_ms:>12.3} {quantile:>2.12} {counted:>10} {inverse}\n"));
    }
    let max_ms = if histogram.is_empty() { 0.0 } else { histogram.max() as f64 / 1_000.0 };
    text.push_str(&format!(
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n",
        histogram.mean() / 1e3,
        histogram.stdev() / 1e3
    ));
    text.push_str(&format!(
        "#[Max     = {max_ms:>12.3}, Total count    = {:>12}]\n",
        histogram.len()
    ));
    text.push_str(&format!(
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        histogram.buckets(),
        2048
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_overbooking_and_the_end() {
        let mut points: Vec<(f64, i64)> = (0..100_000).map(|at| (f64::from(at), 5)).collect();
        points[50_001].1 = -1;
        let thinned = thin(points.clone());
        assert!(thinned.len() <= POINTS_MAX);
        assert!(thinned.contains(&(50_001.0, -1)));
        assert_eq!(thinned.last(), points.last());
    }

    #[test]
    fn cpu_is_counted_from_the_beginning_of_the_load() {
        let sample = |second: u64, cpu_ms| Sample {
            at_ns: second * 1_000_000_000,
            group: "service".to_owned(),
            cpu_ms,
            memory_bytes: second,
        };
        let samples = [sample(8, 500), sample(9, 900), sample(10, 1_000), sample(11, 1_600)];
        let resources = resources(&samples, 9_500_000_000);
        assert_eq!((resources[0].cpu_ms, resources[0].memory_bytes_max), (700, 11));
    }
}
