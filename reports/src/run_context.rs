//! The run_context of a run, as tables: the environment that it ran in, and the plan that it
//! followed.

use slotproof_vocabulary::{
    EnvironmentBlock, FsyncCalibration, RunContext, ScenarioKind, Workload, plan::Arrivals,
};

use crate::{
    quantity,
    run_report::RunReport,
    table::{Table, numbers, words},
    verdict_text,
};

/// Where the run ran; a figure without this means nothing.
pub(crate) fn environment(report: &RunReport) -> Table {
    rows(&report.environment, &report.slotproof_version, &report.started_at)
}

/// The same of a report about several runs.
pub(crate) fn environment_of(context: &RunContext) -> Table {
    rows(&context.environment, &context.slotproof_version, &context.started_at)
}

fn rows(environment: &EnvironmentBlock, version: &str, started_at: &str) -> Table {
    let mut table = Table::new(&[words("environment"), words("value")]);
    let mut line = |name: &str, value: String| table.push(vec![name.to_owned(), value]);
    line("kind", environment.kind.clone());
    line("CPUs", environment.cpus.to_string());
    line("memory", quantity::bytes(environment.memory_bytes));
    line("kernel", environment.kernel.clone());
    line("service processes", environment.replicas.to_string());
    line("durable 8 KiB write", fsync(environment.fsync.as_ref()));
    line("durable commit", durable_commit(environment.durable_commit.as_ref()));
    line("slotproof", version.to_owned());
    line("started", started_at.to_owned());
    table
}

/// The calibration of durable writes in a phrase.
pub(crate) fn fsync(calibration: Option<&FsyncCalibration>) -> String {
    match calibration {
        None => {
            "not measured: the harness cannot write where the database keeps its data".to_owned()
        }
        Some(fsync) => distribution(fsync, "writes"),
    }
}

/// The calibration of durable commits in a phrase.
fn durable_commit(calibration: Option<&FsyncCalibration>) -> String {
    calibration.map_or_else(
        || "not measured: the database did not let it be".to_owned(),
        |it| distribution(it, "commits"),
    )
}

fn distribution(calibration: &FsyncCalibration, what: &str) -> String {
    format!(
        "p50 {}, p99 {} ({} {what})",
        quantity::duration_us(calibration.us_p50),
        quantity::duration_us(calibration.us_p99),
        quantity::count(calibration.samples.into())
    )
}

/// The environment in one line.
pub(crate) fn environment_line(environment: &EnvironmentBlock) -> String {
    let servers: String = environment
        .servers
        .iter()
        .map(|server| format!(", {} {}", server.name, server.version))
        .collect();
    format!(
        "{}, {}, {}, {} of the service{servers}",
        environment.kind,
        quantity::counted(environment.cpus.into(), "CPU"),
        quantity::bytes(environment.memory_bytes),
        quantity::counted(environment.replicas.into(), "replica"),
    )
}

/// What was asked for.
pub(crate) fn plan(report: &RunReport) -> Table {
    let plan = &report.plan;
    let mut table = Table::new(&[words("plan"), numbers("value")]);
    let mut line = |name: &str, value: String| table.push(vec![name.to_owned(), value]);
    line("scenario", plan.scenario.name().to_owned());
    line("strategy", verdict_text::strategy(report).to_owned());
    match &plan.workload {
        Workload::Closed { clients, think, .. } => {
            line("clients", quantity::count((*clients).into()));
            if plan.scenario != ScenarioKind::FlashSale {
                line(
                    "time between two visits of a client, mean",
                    quantity::duration_ms(think.ms()),
                );
            }
        }
        Workload::Open { clients, arrivals, stages, lag_limit } => {
            let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
            line("visits arrive", stages.join(", then "));
            let spread = match arrivals {
                Arrivals::Constant => "evenly",
                Arrivals::Poisson => "as a Poisson process",
            };
            line("spread in time", spread.to_owned());
            line("visits under way at most", quantity::count((*clients).into()));
            line("send lag allowed, p99", quantity::duration_ms(lag_limit.ms()));
        }
    }
    if plan.scenario != ScenarioKind::FlashSale {
        line("visits", plan.mix.to_string());
    }
    line("slots", quantity::count(plan.slots.into()));
    line("seats of each slot", quantity::count(plan.capacity.into()));
    if let Some(zipf) = plan.zipf {
        line("exponent of Zipf's law", zipf.to_string());
    }
    line("warm-up", quantity::duration_ms(plan.warm_up.ms()));
    line("new operations begun for", quantity::duration_ms(plan.duration().ms()));
    line("answer awaited for", quantity::duration_ms(plan.timeout.ms()));
    if plan.attempts > 1 {
        line("an operation is sent", format!("{} times at most", plan.attempts));
        line("and again after", quantity::duration_ms(plan.resend.ms()));
    }
    line("hold lasts", quantity::duration_ms(plan.hold.ms()));
    line("seed", plan.seed.to_string());
    table
}
