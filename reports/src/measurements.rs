//! What was measured, as tables: latency, totals, CPU and memory.

use slotproof_vocabulary::Outcome;

use crate::{
    quantity,
    run_report::{Latency, Percentiles, RunReport},
    table::{Table, numbers, words},
};

/// What the columns of the latency table mean.
pub(crate) const LATENCY_KINDS: &str = "Response latency counts from the scheduled send time and \
    includes queueing in front of the service; service latency counts from the actual send. Send \
    lag is how late the load generator sent.";

/// One line of the latency table, its durations written for people.
pub(crate) struct LatencyLine<'a> {
    pub(crate) operation: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) count: String,
    /// Response and service, of each p50, p90, p99, p99.9 and the maximum; send lag, p50, p99 and
    /// the maximum.
    pub(crate) groups: [Vec<String>; 3],
}

/// The latency table: an operation's line over all outcomes, then its outcomes.
pub(crate) fn latency_lines(report: &RunReport) -> Vec<LatencyLine<'_>> {
    report.latency.iter().map(latency_line).collect()
}

fn latency_line(latency: &Latency) -> LatencyLine<'_> {
    LatencyLine {
        operation: &latency.operation,
        outcome: latency.outcome.as_deref().unwrap_or("decided"),
        count: quantity::count(latency.count),
        groups: [percentiles(&latency.response), percentiles(&latency.service), lag(&latency.lag)],
    }
}

fn percentiles(of: &Percentiles) -> Vec<String> {
    [of.us_p50, of.us_p90, of.us_p99, of.us_p999, of.us_max].map(quantity::duration_us).to_vec()
}

fn lag(of: &Percentiles) -> Vec<String> {
    [of.us_p50, of.us_p99, of.us_max].map(quantity::duration_us).to_vec()
}

/// The latency table, short enough for a comment.
pub(crate) fn latency_table(report: &RunReport) -> Table {
    let mut table = Table::new(&[
        words("operation"),
        words("outcome"),
        numbers("count"),
        numbers("response p50"),
        numbers("p99"),
        numbers("max"),
        numbers("service p50"),
        numbers("p99"),
        numbers("max"),
        numbers("send lag p99"),
    ]);
    for latency in &report.latency {
        let (response, service) = (&latency.response, &latency.service);
        let durations = [
            response.us_p50,
            response.us_p99,
            response.us_max,
            service.us_p50,
            service.us_p99,
            service.us_max,
        ];
        let outcome = latency.outcome.as_deref().unwrap_or("decided");
        let mut row =
            vec![latency.operation.clone(), outcome.to_owned(), quantity::count(latency.count)];
        row.extend(durations.map(quantity::duration_us));
        row.push(quantity::duration_us(latency.lag.us_p99));
        table.push(row);
    }
    table
}

/// What the run took, where its first load did not reach what I15 asks for.
pub(crate) fn shorter(report: &RunReport) -> Option<(&'static str, String)> {
    let operations = report.shorter.iter().map(|load| load.operations).sum::<u64>();
    let lasted = report.shorter.iter().map(|load| quantity::duration_ms(load.lasted_ms));
    let lasted = lasted.reduce(|all, next| format!("{all}, {next}"))?;
    let text = format!(
        "{}, after loads of {lasted} ({}) that did not reach what I15 asks for",
        quantity::duration_ms(report.totals.window_ms),
        quantity::counted(operations, "operation")
    );
    Some(("load until covered", text))
}

/// The run in numbers.
pub(crate) fn totals(report: &RunReport) -> Table {
    let totals = &report.totals;
    let mut table = Table::new(&[words("total"), numbers("value")]);
    let mut line = |name: &str, value: String| table.push(vec![name.to_owned(), value]);
    line("measured window", quantity::duration_ms(totals.window_ms));
    if let Some((name, text)) = shorter(report) {
        line(name, text);
    }
    line("operations in the window", quantity::count(totals.operations));
    line("operations per second", quantity::rate(totals.operations_per_s));
    line("reserves acknowledged", quantity::count(totals.reserved));
    line("reserves acknowledged per second", quantity::rate(totals.reserved_per_s));
    line("confirms acknowledged", quantity::count(totals.confirmed));
    line("confirms acknowledged per second", quantity::rate(totals.confirmed_per_s));
    line("cancels acknowledged", quantity::count(totals.cancelled));
    if totals.resends > 0 {
        line("requests resent", quantity::count(totals.resends));
    }
    if let Some(arrivals) = totals.arrivals {
        line("offered visits per second", quantity::rate(arrivals.asked_per_s));
        line("achieved visits per second", quantity::rate(arrivals.made_per_s));
        line(
            "visits offered, achieved",
            format!("{}, {}", quantity::count(arrivals.asked), quantity::count(arrivals.made)),
        );
        line("visits waiting for a client, at most", quantity::count(arrivals.waiting_max));
    }
    if let Some(costs) = &report.costs {
        line("retries of a reserve", quantity::count(costs.retries));
        line("transactions rolled back", quantity::count(costs.rollbacks));
        let per_sync = costs.commits as f64 / costs.wal_syncs.max(1) as f64;
        line("transactions per WAL flush", quantity::rate(per_sync));
        if let Some(reads) = costs.slot_reads {
            let (standby, all) = (reads.standby, reads.standby + reads.primary);
            let share = quantity::share(standby as f64 / all.max(1) as f64);
            line("reads of slots from standbys", format!("{} ({share})", quantity::count(standby)));
        }
        for standby in &costs.standbys {
            line(
                &format!("log not yet replayed by {}, mean and max", standby.name),
                format!(
                    "{}, {}",
                    quantity::bytes(standby.bytes_mean.round() as u64),
                    quantity::bytes(standby.bytes_max)
                ),
            );
        }
        if let Some(pooler) = costs.pooler {
            line("transactions through the pooler", quantity::count(pooler.transactions));
            let mean = pooler.waited_us as f64 / 1e3 / pooler.transactions.max(1) as f64;
            line("wait for a pooled connection, mean", format!("{mean:.3} ms"));
        }
        if let Some(reads) = costs.cache_reads {
            let share = quantity::share(reads.hits as f64 / reads.all().max(1) as f64);
            let hits = quantity::count(reads.hits);
            line("reads answered by the cache", format!("{hits} ({share})"));
            line(
                "age of cached answers, mean and max",
                format!("{} ms, {} ms", reads.age_ms_mean, reads.age_ms_max),
            );
            line(
                "reads that the cache could not answer: absent, behind, stale, unavailable",
                [reads.absent, reads.behind, reads.stale, reads.unavailable]
                    .map(quantity::count)
                    .join(", "),
            );
            line("fills refused by a later version", quantity::count(reads.fills_refused));
        }
        if let Some(waiters) = costs.lock_waiters {
            line("connections waiting for a lock, mean", quantity::rate(waiters));
        }
    }
    for outcome in outcomes(totals.outcomes.keys().map(String::as_str)) {
        line(&format!("outcome {outcome}"), quantity::count(totals.outcomes[outcome]));
    }
    line("operations without a decision", quantity::share(totals.errors.share()));
    for replica in totals.errors.by_replica.iter().filter(|replica| replica.errors > 0) {
        line(
            &format!("without a decision by {}", replica.address),
            quantity::share(replica.errors as f64 / replica.of.max(1) as f64),
        );
    }
    line("drain after the window", quantity::duration_ms(totals.drain_ms));
    for outcome in outcomes(totals.drained.keys().map(String::as_str)) {
        line(&format!("drained {outcome}"), quantity::count(totals.drained[outcome]));
    }
    table
}

/// What was done to the service, and what clients noticed.
pub(crate) fn faults(report: &RunReport) -> Table {
    let mut table = Table::new(&[
        words("fault"),
        numbers("began"),
        numbers("lasted"),
        numbers("longest time without a decision"),
        numbers("before it"),
        numbers("operations meanwhile"),
        numbers("without a decision"),
        words("message"),
    ]);
    for fault in &report.faults {
        if let Some(problem) = &fault.problem {
            let mut row = vec![String::new(); table.columns.len()];
            row[0].clone_from(&fault.fault);
            row[table.columns.len() - 1] = format!("did not take: {problem}");
            table.push(row);
            continue;
        }
        table.push(vec![
            fault.fault.clone(),
            quantity::duration_ms(fault.began_ms),
            quantity::duration_ms(fault.ended_ms.saturating_sub(fault.began_ms)),
            quantity::duration_ms(fault.longest_gap_ms),
            quantity::duration_ms(fault.longest_gap_before_ms),
            quantity::count(fault.operations),
            quantity::count(fault.undecided),
            fault.said.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// What the times of [`faults`] are.
pub(crate) const FAULT_TIMES: &str = "Times count from the beginning of the load, warm-up included. A decision is an \
     answer that is definite (ok, sold_out or rejected), to any client, about any slot.";

/// CPU and memory of each group of processes.
pub(crate) fn resources(report: &RunReport) -> Table {
    let mut table = Table::new(&[
        words("group"),
        numbers("CPU time"),
        numbers("CPU per operation"),
        numbers("largest memory"),
    ]);
    for resource in &report.resources {
        let per_operation =
            resource.cpu_ms.saturating_mul(1_000).checked_div(report.totals.errors.of);
        table.push(vec![
            resource.group.clone(),
            quantity::duration_ms(resource.cpu_ms),
            per_operation.map(quantity::duration_us).unwrap_or_default(),
            quantity::bytes(resource.memory_bytes_max),
        ]);
    }
    table
}

/// Names of outcomes in the order of reports; names that the vocabulary does not know come last.
pub(crate) fn outcomes<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let place = |name: &str| Outcome::ALL.iter().position(|outcome| outcome.name() == name);
    let mut names: Vec<_> = names.collect();
    names.sort_by_key(|name| (place(name).unwrap_or(Outcome::ALL.len()), *name));
    names.dedup();
    names
}
