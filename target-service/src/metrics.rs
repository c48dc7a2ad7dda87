//! Prometheus metrics: their names, and nothing else knows them.
//!
//! There is one recorder for the process, because the `metrics` crate has one and a scrape asks a
//! process. Two services in one process add up in it: their series have the same names and labels.

use std::{
    collections::BTreeMap,
    sync::{OnceLock, PoisonError, RwLock},
    time::Duration,
};

use metrics::{Counter, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use slotproof_vocabulary::StrategyKind;
use sqlx::PgPool;
use tokio::sync::watch;

/// Upper bounds in seconds: from a cached read to a client's patience.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often samples are folded into their buckets. Between two upkeeps each sample takes 8 bytes,
/// so that 10,000 requests a second keep 400 kB.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's recorder; the first caller installs it.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full("http_request_duration_seconds".to_owned()),
                &BUCKETS,
            )
            .expect("there are buckets")
            .install_recorder()
            .expect("this is the only recorder of the process")
    })
}

/// Folds samples until told to stop. A scrape does the same, but nothing promises that there are
/// scrapes, and samples that nothing folds pile up.
pub(crate) async fn upkeep(mut stopping: watch::Receiver<bool>) {
    loop {
        recorder().run_upkeep();
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_INTERVAL) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// The series of the answers with one method and status of a route.
struct Answers {
    method: &'static str,
    status: u16,
    requests: Counter,
    duration: Histogram,
}

/// By route. The recorder finds a series by a key of strings, which are copied and hashed for each
/// request: six copies of method and route for one answer.
static ANSWERS: RwLock<BTreeMap<String, Vec<Answers>>> = RwLock::new(BTreeMap::new());

pub(crate) fn request_answered(method: &'static str, route: &str, status: u16, elapsed: Duration) {
    let count = |answers: &Answers| {
        answers.requests.increment(1);
        answers.duration.record(elapsed.as_secs_f64());
    };
    let is_it = |answers: &&Answers| answers.method == method && answers.status == status;
    let by_route = ANSWERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(answers) = by_route.get(route).and_then(|of_route| of_route.iter().find(is_it)) {
        return count(answers);
    }
    drop(by_route);
    recorder();
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.to_string()),
    ];
    let answers = Answers {
        method,
        status,
        requests: counter!("http_requests_total", &labels),
        duration: histogram!("http_request_duration_seconds", &labels[..2]),
    };
    count(&answers);
    let mut by_route = ANSWERS.write().unwrap_or_else(PoisonError::into_inner);
    let of_route = by_route.entry(route.to_owned()).or_default();
    // Another request may have added the same series since.
    if !of_route.iter().any(|answers| is_it(&answers)) {
        of_route.push(answers);
    }
}

/// A read of a slot that `standby` or `primary` has answered.
pub(crate) fn slot_read(source: &'static str) {
    counter!("slot_reads_total", "source" => source).increment(1);
}

/// A read of `slot` or `booking` that the cache did not answer: its entry is `absent`, `behind`,
/// `stale` or `unreadable`, or it is `unavailable`.
pub(crate) fn cache_read(of: &'static str, result: &'static str) {
    counter!("cache_reads_total", "of" => of, "result" => result).increment(1);
}

/// A read that the cache answered, how old the answer was, and how old the oldest one.
pub(crate) fn cache_hit(of: &'static str, age_ms: i64, oldest_ms: i64) {
    cache_read(of, "hit");
    counter!("cache_hit_age_ms_total").increment(age_ms.unsigned_abs());
    gauge!("cache_hit_age_ms_max").set(oldest_ms as f64);
}

/// An entry that was written to the cache: `stored`, `refused` or `failed`.
pub(crate) fn cache_fill(of: &'static str, result: &'static str) {
    counter!("cache_fills_total", "of" => of, "result" => result).increment(1);
}

/// Why a read of a slot was not answered by a standby.
pub(crate) fn slot_read_fell_back(reason: &'static str) {
    counter!("slot_read_fallbacks_total", "reason" => reason).increment(1);
}

pub(crate) fn reserve_retried(strategy: StrategyKind) {
    counter!("reserve_retries_total", "strategy" => strategy.name()).increment(1);
}

/// Which path of the strategy `hybrid` a reserve took.
pub(crate) fn reserve_path(path: &'static str) {
    counter!("reserves_by_path_total", "path" => path).increment(1);
}

/// Requests that one transaction decided for all.
pub(crate) fn batch_decided(strategy: StrategyKind, requests: usize) {
    counter!("batches_total", "strategy" => strategy.name()).increment(1);
    counter!("batch_requests_total", "strategy" => strategy.name()).increment(requests as u64);
}

/// Confirms and cancels that one statement was asked to make.
pub(crate) fn changes_batched(requests: usize) {
    counter!("change_batches_total").increment(1);
    counter!("change_batch_requests_total").increment(requests as u64);
}

pub(crate) fn request_decided() {
    counter!("queue_requests_decided_total").increment(1);
}

pub(crate) fn request_rejected() {
    counter!("queue_requests_rejected_total").increment(1);
}

pub(crate) fn events_relayed(events: u64) {
    counter!("events_relayed_total").increment(events);
}

pub(crate) fn hold_expired() {
    counter!("holds_expired_total").increment(1);
}

/// Months after the current one that have partitions. Fewer than two left is an alarm.
pub(crate) fn months_ahead(months: i64) {
    // The first time is before anything is served.
    recorder();
    gauge!("months_ahead").set(months as f64);
}

/// Connections to all databases together.
pub(crate) fn pools_observed<'a>(pools: impl Iterator<Item = &'a PgPool>) {
    let (mut all, mut idle) = (0, 0);
    for pool in pools {
        all += pool.size();
        idle += pool.num_idle();
    }
    gauge!("database_connections").set(f64::from(all));
    gauge!("database_connections_idle").set(idle as f64);
}
