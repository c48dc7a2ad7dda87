//! From a run directory to [`RunReport`]: the numbers that reports are drawn from.

use std::{collections::BTreeMap, num::NonZeroU64};

use anyhow::Result;
use hdrhistogram::Histogram;
use slotproof_checker::{Case, occupancy};
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_reports::{
    Objective, RunReport, quantity,
    run_report::{
        Errors, Latency, Percentiles, ReplicaErrors, Resource, SeatsSeries, Second, Totals,
    },
};
use slotproof_scenarios::{Durations, LoadOrder};
use slotproof_vocabulary::{Outcome, Plan, RunContext, VerdictReport};

use slotproof_evidence::RunDirectory;
use slotproof_stack::{faults::Injected, sampling::Sample};

use crate::fault_effects;

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
    let window = Window::of(case, &plan);
    let faults: Vec<Injected> = run.read_json_if_there("faults.json")?.unwrap_or_default();
    let warm_up = plan.warm_up;
    let begun_ns = window.from_ns;
    let totals = Totals {
        arrivals: case.load.as_ref().and_then(|load| load.arrivals),
        errors: errors(run, &plan, case)?,
        ..totals(case, window)
    };
    Ok(RunReport {
        schema_version: RunReport::SCHEMA_VERSION,
        run: run.name(),
        started_at: circumstances.started_at,
        slotproof_version: circumstances.slotproof_version,
        repeat_command: circumstances.repeat_command,
        objectives: vec![errors_objective(plan.errors_max.get(), &totals.errors)],
        plan,
        environment: circumstances.environment,
        verdict,
        totals,
        latency: latency(case, window),
        timeline: timeline(case, window),
        seats: seats(case, begun_ns),
        resources: resources(&run.read_samples()?, begun_ns),
        costs: run.read_json_if_there("costs.json")?,
        faults: fault_effects::effects(case, window, warm_up, &faults),
        shorter: run.read_json_if_there("shorter.json")?.unwrap_or_default(),
    })
}

/// Limits the share of operations without a decision. Every run has this objective: a service that
/// does not answer books nothing twice, and that is no reason to call it good.
pub(crate) fn errors_objective(limit: f64, errors: &Errors) -> Objective {
    let by_class = |(class, count): (&String, &u64)| {
        format!("{class} {}", quantity::share(*count as f64 / errors.of.max(1) as f64))
    };
    let classes: Vec<String> = errors.by_class.iter().map(by_class).collect();
    let share = quantity::share(errors.share());
    Objective {
        name: "operations without a decision".to_owned(),
        limit: quantity::share(limit),
        measured: match &classes[..] {
            [] => share,
            classes => format!("{share} ({})", classes.join(", ")),
        },
        met: errors.share() <= limit,
    }
}

/// The measured window, on the history's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from_ns: u64,
    pub(crate) until_ns: u64,
}

impl Window {
    /// As the load engine said it. A load that was killed did not say so; then its window begins
    /// the plan's warm-up after the first operation, and ends when the plan does or with the last
    /// return.
    pub(crate) fn of(case: &Case, plan: &Plan) -> Self {
        let operations = &case.history.operations;
        let Some(load) = &case.load else {
            let first_ns = operations.iter().map(|operation| operation.scheduled_ns).min();
            let last_ns = operations.iter().map(|operation| operation.returned_ns).max();
            let from_ns = first_ns.unwrap_or_default() + plan.warm_up.ns();
            let planned_ns = from_ns + plan.duration().ns();
            let until_ns = planned_ns.min(last_ns.unwrap_or_default()).max(from_ns);
            return Self { from_ns, until_ns };
        };
        Self { from_ns: load.measured_from_ns, until_ns: load.measured_until_ns }
    }

    /// Whether an operation returned inside it.
    fn holds(&self, operation: &OperationRef<'_>) -> bool {
        (self.from_ns..self.until_ns).contains(&operation.returned_ns)
    }

    /// The operations that returned inside it or later, without the probes of the settled service.
    pub(crate) fn returned<'a>(
        &self,
        case: &'a Case,
    ) -> impl Iterator<Item = OperationRef<'a>> + Clone {
        self.returned_with_places(case).map(|(_, operation)| operation)
    }

    /// The same with their places in the history.
    fn returned_with_places<'a>(
        &self,
        case: &'a Case,
    ) -> impl Iterator<Item = (usize, OperationRef<'a>)> + Clone {
        let from_ns = self.from_ns;
        let operations = case.history.operations.iter().enumerate();
        operations
            .filter(move |(_, it)| it.returned_ns >= from_ns && Some(it.client) != case.prober)
    }

    /// The operations that were scheduled inside it, whenever they returned: those whose latency
    /// counts. What a stalled service makes wait must not be left out.
    pub(crate) fn scheduled<'a>(&self, case: &'a Case) -> impl Iterator<Item = OperationRef<'a>> {
        let from_ns = self.from_ns;
        self.returned(case).filter(move |operation| operation.scheduled_ns >= from_ns)
    }
}

/// The figures of a judged load, without what the run's directory adds.
pub fn totals_of(case: &Case, plan: &Plan) -> Totals {
    totals(case, Window::of(case, plan))
}

/// Seats that were set aside on the way to a booking that did not come about, and their release: no
/// booking was made or cancelled.
pub(crate) fn is_provisional(operation: &OperationRef<'_>) -> bool {
    let released = |booking: Name<'_>| booking.starts_with("provisional ");
    operation.is_provisional() || operation.names_booking().is_some_and(released)
}

fn totals(case: &Case, window: Window) -> Totals {
    let inside = window.returned(case).filter(|operation| window.holds(operation));
    let drained = window.returned(case).filter(|operation| !window.holds(operation));
    let last_ns = drained.clone().map(|operation| operation.returned_ns).max();
    let operations = inside.clone().count() as u64;
    let ms = |from_ns: u64, until_ns: u64| until_ns.saturating_sub(from_ns) / 1_000_000;
    let window_s = (window.until_ns - window.from_ns) as f64 / 1e9;
    let per_s = |count: u64| if window_s > 0.0 { count as f64 / window_s } else { 0.0 };
    let done = |name: &str| {
        let done = inside.clone().filter(|operation| {
            operation.outcome == Outcome::Ok
                && operation.action.name() == name
                && !is_provisional(operation)
        });
        done.count() as u64
    };
    let reserved = done("reserve");
    let confirmed = if case.sells_at_once { reserved } else { done("confirm") };
    Totals {
        window_ms: ms(window.from_ns, window.until_ns),
        drain_ms: ms(window.until_ns, last_ns.unwrap_or(window.until_ns)),
        operations,
        outcomes: by_outcome(inside.clone()),
        drained: by_outcome(drained.clone()),
        reserved,
        confirmed,
        cancelled: done("cancel"),
        reserved_per_s: per_s(reserved),
        confirmed_per_s: per_s(confirmed),
        operations_per_s: per_s(operations),
        errors: Errors::default(),
        resends: inside
            .clone()
            .map(|operation| u64::from(operation.attempts.saturating_sub(1)))
            .sum(),
        arrivals: None,
    }
}

fn by_outcome<'a>(operations: impl Iterator<Item = OperationRef<'a>>) -> BTreeMap<String, u64> {
    let mut outcomes = BTreeMap::new();
    for operation in operations {
        *outcomes.entry(operation.counts_as().to_owned()).or_insert(0) += 1;
    }
    outcomes
}

/// Operations without a decision.
///
/// # Errors
/// The run is damaged.
pub(crate) fn errors(run: &RunDirectory, plan: &Plan, case: &Case) -> Result<Errors> {
    let order: Option<LoadOrder> = run.read_json_if_there("order.json")?;
    let targets = order.map(|order| order.targets).unwrap_or_default();
    Ok(errors_among(Window::of(case, plan).returned(case), &targets))
}

/// By process of the service too, where there are several. Client n of the load calls process n
/// modulo their number (`scenarios/src/client.rs`).
fn errors_among<'a>(
    operations: impl Iterator<Item = OperationRef<'a>>,
    targets: &[String],
) -> Errors {
    let mut errors = Errors::default();
    let replica = |address: &String| ReplicaErrors { address: address.clone(), of: 0, errors: 0 };
    let mut by_replica: Vec<ReplicaErrors> = targets.iter().map(replica).collect();
    for operation in operations {
        errors.of += 1;
        let class = operation.error_class();
        if let Some(class) = class {
            *errors.by_class.entry(class.name().to_owned()).or_default() += 1;
        }
        if let Some(replicas) = NonZeroU64::new(by_replica.len() as u64) {
            let replica = &mut by_replica[(operation.client % replicas) as usize];
            replica.of += 1;
            replica.errors += u64::from(class.is_some());
        }
    }
    if by_replica.len() > 1 {
        errors.by_replica = by_replica;
    }
    errors
}

fn latency(case: &Case, window: Window) -> Vec<Latency> {
    let mut durations: BTreeMap<(&str, Option<&str>), Durations> = BTreeMap::new();
    for operation in window.scheduled(case) {
        let decided = operation.error_class().is_none().then_some(None);
        for outcome in decided.into_iter().chain([Some(operation.counts_as())]) {
            let durations = durations.entry((operation.action.name(), outcome)).or_default();
            record(durations, &operation);
        }
    }
    let entry = |((operation, outcome), durations): (&(&str, Option<&str>), &Durations)| Latency {
        operation: (*operation).to_owned(),
        outcome: outcome.map(str::to_owned),
        count: durations.response.len(),
        response: percentiles(&durations.response),
        service: percentiles(&durations.service),
        lag: percentiles(&durations.lag),
    };
    durations.iter().map(entry).collect()
}

fn record(durations: &mut Durations, operation: &OperationRef<'_>) {
    let OperationRef { scheduled_ns, sent_ns, returned_ns, .. } = *operation;
    durations.record_instants(scheduled_ns, sent_ns, returned_ns);
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

fn timeline(case: &Case, window: Window) -> Vec<Second> {
    let second_of = |operation: &OperationRef<'_>| {
        (operation.returned_ns.saturating_sub(window.from_ns) / 1_000_000_000).min(SECONDS_MAX)
    };
    // By their places: a run may have millions.
    let mut seconds: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, operation) in window.returned_with_places(case) {
        seconds.entry(second_of(&operation)).or_default().push(place);
    }
    let last = seconds.keys().last().copied();
    let nothing = Vec::new();
    last.map_or(0..0, |last| 0..last + 1)
        .map(|second| {
            let places = seconds.get(&second).unwrap_or(&nothing);
            let operations = || places.iter().map(|place| case.history.operations.at(*place));
            let mut durations = Durations::default();
            let mut buckets: BTreeMap<u8, u64> = BTreeMap::new();
            for operation in operations().filter(|it| it.error_class().is_none()) {
                record(&mut durations, &operation);
                let response_us =
                    operation.returned_ns.saturating_sub(operation.scheduled_ns) / 1_000;
                *buckets.entry(Second::bucket(response_us)).or_default() += 1;
            }
            Second {
                response_buckets: buckets.into_iter().collect(),
                second: u32::try_from(second).unwrap_or(u32::MAX),
                outcomes: by_outcome(operations()),
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

/// `latency.hgrm`: the response latency of the reserves that were decided, as HdrHistogram's own tools read it. Values
/// are milliseconds.
pub(crate) fn percentile_file(case: &Case, plan: &Plan) -> String {
    let mut durations = Durations::default();
    let decided_reserve = |it: &OperationRef<'_>| {
        matches!(it.action, ActionRef::Reserve { .. }) && it.error_class().is_none()
    };
    for operation in Window::of(case, plan).scheduled(case).filter(decided_reserve) {
        record(&mut durations, &operation);
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
    use slotproof_checker::History;
    use slotproof_vocabulary::{Action, LoadTotals, Operation, PlanArgs};

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

    const SECOND: u64 = 1_000_000_000;

    /// A read by a client, answered `took_ms` after it was scheduled.
    fn read(client: u64, scheduled_ns: u64, took_ms: u64) -> Operation {
        let returned_ns = scheduled_ns + took_ms * 1_000_000;
        Operation::new(client, "s", Action::Read, scheduled_ns, returned_ns)
    }

    /// A load with a window of four seconds after a warm-up of one.
    fn case(operations: Vec<Operation>) -> Case {
        Case {
            load: Some(LoadTotals {
                operations: operations.len() as u64,
                measured_from_ns: SECOND,
                measured_until_ns: 5 * SECOND,
                arrivals: None,
            }),
            history: History::of(operations),
            prober: Some(9_999),
            ..Case::default()
        }
    }

    fn window(case: &Case) -> Window {
        Window::of(case, &Plan::try_from(PlanArgs::default()).expect("a plan"))
    }

    #[test]
    fn a_rate_is_that_of_the_window_though_the_service_stalls_at_its_end() {
        // 100 a second, each of 5 ms, from 0 to 5 s; the last half second waits for 3 s.
        let steady = (0..450).map(|n| read(n, n * SECOND / 100, 5));
        let stalled = (450..500).map(|n| read(n, n * SECOND / 100, 3_000));
        let probes = (0..50).map(|n| read(9_999, 9 * SECOND + n, 1));
        let case = case(steady.chain(stalled).chain(probes).collect());
        let totals = totals(&case, window(&case));
        // The read that was sent just before the window returned inside it.
        assert_eq!(totals.operations, 350 + 1 - 1, "those of 1.0 to 4.495 s");
        assert!((totals.operations_per_s - 350.0 / 4.0).abs() < 1.0, "{}", totals.operations_per_s);
        assert_eq!((totals.window_ms, totals.drain_ms), (4_000, 2_990));
        assert_eq!(totals.drained["ok"], 50);
        let latency = latency(&case, window(&case));
        assert_eq!(latency[0].count, 400, "what waited is not left out");
        assert!(latency[0].response.us_p90 >= 2_990_000, "{:?}", latency[0].response);
    }

    #[test]
    fn operations_without_a_decision_are_errors_and_no_latency() {
        let refused = |n: u64| Operation {
            outcome: Outcome::Rejected,
            reason: Some("not_connected".into()),
            ..read(2 * n + 1, 2 * SECOND + n, 0)
        };
        let gone = Operation {
            outcome: Outcome::Rejected,
            reason: Some("not_found".into()),
            ..read(0, 2 * SECOND, 10)
        };
        let served = (0..99).map(|n| read(2 * n, 2 * SECOND + n, 10));
        let case = case((0..300).map(refused).chain(served).chain([gone]).collect());
        let window = window(&case);
        let addresses = ["http://one", "http://two"].map(str::to_owned);
        let errors = errors_among(window.returned(&case), &addresses);
        assert_eq!((errors.of, errors.count(), errors.by_class["not_connected"]), (400, 300, 300));
        let down: Vec<&str> = errors
            .by_replica
            .iter()
            .filter(|it| it.is_down())
            .map(|it| it.address.as_str())
            .collect();
        assert_eq!(down, ["http://two"]);
        let objective = errors_objective(0.01, &errors);
        assert!(!objective.met && objective.measured.starts_with("75.00 %"), "{objective:?}");
        assert!(errors_objective(0.75, &errors).met);
        let latency = latency(&case, window);
        let decided = latency.iter().find(|it| it.outcome.is_none()).expect("some were decided");
        assert_eq!(decided.count, 100);
        assert!(decided.response.us_p50 >= 9_900, "{:?}", decided.response);
        let classes: Vec<_> = latency.iter().filter_map(|it| it.outcome.as_deref()).collect();
        assert_eq!(classes, ["not_connected", "ok", "rejected"]);
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
