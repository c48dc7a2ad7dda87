//! What is measured of one trial.

use std::collections::BTreeMap;

use slotproof_checker::Case;
use slotproof_history::{ActionRef, OperationRef};
use slotproof_reports::{RunReport, comparison::Metric};
use slotproof_vocabulary::{Invariant, Outcome};

use crate::summary::{Window, is_provisional};

/// A percentile needs an operation beyond it: of fewer than a hundred, p99 is their maximum.
const OF_P99: u64 = 100;
/// The same for p99.9.
const OF_P999: u64 = 1_000;

/// The figures of one trial.
pub(super) fn measure(case: &Case, report: &RunReport) -> BTreeMap<Metric, f64> {
    let totals = &report.totals;
    let mut metrics = BTreeMap::new();
    metrics.insert(Metric::Goodput, totals.confirmed_per_s);
    metrics.insert(Metric::NoDecisionShare, totals.errors.share());
    metrics.insert(Metric::RecoveryUs, totals.drain_ms as f64 * 1e3);
    let reserve =
        report.latency.iter().find(|it| it.operation == "reserve" && it.outcome.is_none());
    if let Some(reserve) = reserve {
        metrics.insert(Metric::ResponseUsP50, reserve.response.us_p50 as f64);
        if reserve.count >= OF_P99 {
            metrics.insert(Metric::ResponseUsP99, reserve.response.us_p99 as f64);
        }
        if reserve.count >= OF_P999 {
            metrics.insert(Metric::ResponseUsP999, reserve.response.us_p999 as f64);
        }
    }
    metrics.extend(refused_share(case).map(|share| (Metric::RefusedShare, share)));
    let refused = report
        .verdict
        .findings
        .iter()
        .find(|finding| finding.invariant == Invariant::HonestSoldOut);
    if let Some(refused) = refused.filter(|finding| finding.examined > 0) {
        let wrong = refused.violations as f64 / refused.examined as f64;
        metrics.insert(Metric::SoldOutAccuracy, 1.0 - wrong);
    }
    metrics.insert(
        Metric::WronglyRefusedSeatSeconds,
        slotproof_checker::wrongly_refused_seat_seconds(case),
    );
    metrics.extend(jain(case, report.plan.clients()).map(|index| (Metric::Fairness, index)));
    metrics.extend(costs(case, report));
    metrics.extend(cpu(case, report));
    metrics
}

/// What the database did, by booking. It counts from before the service starts, so all bookings
/// count, those of the warm-up included.
fn costs(case: &Case, report: &RunReport) -> BTreeMap<Metric, f64> {
    let Some(costs) = &report.costs else { return BTreeMap::new() };
    let reserved = reserved_by_client(case).values().sum::<u64>().max(1) as f64;
    let mut metrics = BTreeMap::from([
        (Metric::RetriesPerBooking, costs.retries as f64 / reserved),
        (Metric::RollbacksPerBooking, costs.rollbacks as f64 / reserved),
        (Metric::CommitsPerFsync, costs.commits as f64 / costs.wal_syncs.max(1) as f64),
    ]);
    metrics.extend(costs.lock_waiters.map(|waiters| (Metric::LockWaiters, waiters)));
    let confirmed = of_clients(case).filter(|it| is_sold(case, it)).count();
    if confirmed > 0 {
        let by_booking = |count: u64| count as f64 / confirmed as f64;
        metrics.insert(Metric::CommitsPerBooking, by_booking(costs.commits));
        metrics.extend(costs.wal_bytes.map(|it| (Metric::WalBytesPerBooking, by_booking(it))));
    }
    metrics
}

/// CPU by booking. It counts from the beginning of the measured window until the last return.
fn cpu(case: &Case, report: &RunReport) -> BTreeMap<Metric, f64> {
    let us = |group: &str| {
        let resource = report.resources.iter().find(|resource| resource.group == group);
        resource.map(|resource| resource.cpu_ms as f64 * 1e3)
    };
    let mut metrics = BTreeMap::new();
    let operations = report.totals.errors.of.max(1) as f64;
    metrics.extend(us("load").map(|us| (Metric::CpuUsLoad, us / operations)));
    let window = Window::of(case, &report.plan);
    let confirmed = window.returned(case).filter(|it| is_sold(case, it)).count();
    if confirmed == 0 {
        return metrics;
    }
    let mut sum = 0.0;
    for resource in report.resources.iter().filter(|it| it.group != "load") {
        let us = resource.cpu_ms as f64 * 1e3 / confirmed as f64;
        let part = match resource.group.as_str() {
            "service" => Metric::CpuUsService,
            "postgresql" => Metric::CpuUsPostgresql,
            "redis" => Metric::CpuUsRedis,
            "rabbitmq" => Metric::CpuUsRabbitmq,
            _ => Metric::CpuUsOthers,
        };
        *metrics.entry(part).or_insert(0.0) += us;
        sum += us;
    }
    if sum > 0.0 {
        metrics.insert(Metric::CpuUsPerBooking, sum);
    }
    metrics
}

/// The operations of the load, without the probes of the settled service.
fn of_clients(case: &Case) -> impl Iterator<Item = OperationRef<'_>> {
    let of_clients = case.history.operations.iter().filter(|it| Some(it.client) != case.prober);
    of_clients.filter(|it| !is_provisional(it))
}

/// Whether an operation has sold seats: a confirm, or a reserve where the API has no confirm.
fn is_sold(case: &Case, operation: &OperationRef<'_>) -> bool {
    let sells = match operation.action {
        ActionRef::Confirm { .. } => true,
        ActionRef::Reserve { .. } => case.sells_at_once && !is_provisional(operation),
        _ => false,
    };
    sells && operation.outcome == Outcome::Ok
}

/// The share of decided reserves that were refused; nothing of a load without any.
fn refused_share(case: &Case) -> Option<f64> {
    let reserves = of_clients(case)
        .filter(|it| matches!(it.action, ActionRef::Reserve { .. }) && it.error_class().is_none());
    let (refused, all) = reserves.fold((0_u64, 0_u64), |(refused, all), operation| {
        (refused + u64::from(operation.outcome != Outcome::Ok), all + 1)
    });
    (all > 0).then(|| refused as f64 / all as f64)
}

fn reserved_by_client(case: &Case) -> BTreeMap<u64, u64> {
    let mut reserved = BTreeMap::new();
    for operation in of_clients(case) {
        if matches!(operation.action, ActionRef::Reserve { .. }) && operation.outcome == Outcome::Ok
        {
            *reserved.entry(operation.client).or_insert(0) += 1;
        }
    }
    reserved
}

/// Jain's index over the acknowledged reserves of all clients, those without any included; nothing
/// if nobody got any.
fn jain(case: &Case, clients: u32) -> Option<f64> {
    let reserved = reserved_by_client(case);
    let sum: f64 = reserved.values().map(|count| *count as f64).sum();
    let squares: f64 = reserved.values().map(|count| (*count as f64).powi(2)).sum();
    (squares > 0.0).then(|| sum * sum / (f64::from(clients) * squares))
}

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_vocabulary::{Action, Operation};

    use super::*;

    #[test]
    fn fairness_is_one_when_all_have_the_same_and_a_share_when_one_has_all() {
        let case = |clients: &[u64]| {
            let reserve = |client: &u64| {
                let action = Action::Reserve { seats: 1, key: "k".into() };
                Operation::new(*client, "s", action, 1, 2)
            };
            let operations = clients.iter().map(reserve);
            Case { history: History::of(operations), ..Case::default() }
        };
        assert_eq!(jain(&case(&[1, 2, 3, 4]), 4), Some(1.0));
        assert_eq!(jain(&case(&[1, 1, 1, 1]), 4), Some(0.25));
        assert_eq!(jain(&case(&[]), 4), None);
    }
}
