//! The context of a run, as tables: the environment that it ran in, and the plan that it followed.

use slotproof_vocabulary::{
    Arrivals, EnvironmentBlock, FsyncCalibration, RunContext, ScenarioKind, TopologyBlock, Workload,
};

use crate::{
    document::Section,
    plots, quantity,
    run_report::RunReport,
    table::{Table, numbers, words},
    verdict_text,
};

/// Where the run ran; a figure without this means nothing.
pub(crate) fn environment(report: &RunReport) -> Table {
    rows(&report.environment, &report.slotproof_version, &report.started_at)
}

fn environment_of(context: &RunContext) -> Table {
    rows(&context.environment, &context.slotproof_version, &context.started_at)
}

/// The environment of a report about several runs as a section.
pub(crate) fn section(context: &RunContext) -> Section {
    environment_section(environment_of(context), &context.environment)
}

/// The table, and each server with its settings.
pub(crate) fn environment_section(table: Table, environment: &EnvironmentBlock) -> Section {
    let mut section = Section::new("environment", "Environment").table("", table);
    if let Some(topology) = plots::topology::figure(environment) {
        section = section.figure(topology);
    }
    section.list(environment.servers.iter().map(|server| {
        let settings: Vec<_> =
            server.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let settings =
            if settings.is_empty() { String::new() } else { format!(": {}", settings.join(", ")) };
        format!("{} {}{settings}", server.name, server.version)
    }))
}

fn rows(environment: &EnvironmentBlock, version: &str, started_at: &str) -> Table {
    let mut table = Table::new(&[words("environment"), words("value")]);
    let mut line = |name: &str, value: String| table.push(vec![name.to_owned(), value]);
    line("kind", environment.kind.clone());
    line("CPUs", environment.cpus.to_string());
    line("memory", quantity::bytes(environment.memory_bytes));
    line("kernel", environment.kernel.clone());
    line("service processes", environment.replicas.to_string());
    if let Some(topology) = &environment.topology {
        line("topology", topology_phrase(topology));
    }
    line("durable 8 KiB write", fsync(environment.fsync.as_ref()));
    line("durable commit", durable_commit(environment.durable_commit.as_ref()));
    line("Slotproof version", version.to_owned());
    line("started", started_at.to_owned());
    table
}

/// The topology, and what it declares of reads.
fn topology_phrase(topology: &TopologyBlock) -> String {
    let stale = |stale_ms| format!("; reads may be {stale_ms} ms old, as declared");
    format!("{}{}", topology.name, topology.stale_ms.map(stale).unwrap_or_default())
}

/// The calibration of durable writes in a phrase.
pub(crate) fn fsync(calibration: Option<&FsyncCalibration>) -> String {
    match calibration {
        None => {
            "not measured: the harness cannot write to the database's data directory".to_owned()
        }
        Some(fsync) => distribution(fsync, "writes"),
    }
}

/// The calibration of durable commits in a phrase.
fn durable_commit(calibration: Option<&FsyncCalibration>) -> String {
    calibration.map_or_else(
        || "not measured: the calibration needs a connection to the database".to_owned(),
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
                line("think time, mean", quantity::duration_ms(think.ms()));
            }
        }
        Workload::Open { clients, arrivals, stages, lag_limit } => {
            let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
            line("offered visits", stages.join(", then "));
            let spread = match arrivals {
                Arrivals::Constant => "constant",
                Arrivals::Poisson => "Poisson",
            };
            line("arrival process", spread.to_owned());
            line("concurrent visits, at most", quantity::count((*clients).into()));
            line("send lag p99, limit", quantity::duration_ms(lag_limit.ms()));
        }
    }
    if plan.scenario != ScenarioKind::FlashSale {
        line("mix of visits", plan.mix.to_string());
    }
    line("slots", quantity::count(plan.slots.into()));
    line("seats per slot", quantity::count(plan.capacity.into()));
    if let Some(zipf) = plan.zipf {
        line("Zipf exponent", zipf.to_string());
    }
    line("warm-up", quantity::duration_ms(plan.warm_up.ms()));
    line("load duration", quantity::duration_ms(plan.duration().ms()));
    line("timeout", quantity::duration_ms(plan.timeout.ms()));
    if plan.attempts > 1 {
        line("sends per operation, at most", plan.attempts.to_string());
        line("resend after", quantity::duration_ms(plan.resend.ms()));
    }
    line("hold time", quantity::duration_ms(plan.hold.ms()));
    line("seed", plan.seed.to_string());
    table
}
