//! The selftest of topologies: each negative control under the load and the fault that show its bug,
//! and its right twin under the same, on one set of servers.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use slotproof_evidence::RunDirectory;
use slotproof_reports::{
    RunReport,
    architecture::{ArchitectureRow, ArchitectureSelftest},
};
use slotproof_stack::{EnvironmentSpec, StackSpec, Topology, Wiring, guard::Guard};
use slotproof_vocabulary::{
    CacheMode, Invariant, MonthMode, Plan, PlanArgs, Pooling, ReadMode, ScenarioKind, ShardMode,
    Span, StrategyKind, Verdict,
};

use crate::{
    progress::Progress,
    series::{Extended, Series, lacks_coverage},
    spec::ExperimentSpec,
};

/// What decides is the same everywhere: a strategy that is right.
const STRATEGY: StrategyKind = StrategyKind::Conditional;

/// What shows the bug of a control.
struct Shown {
    /// The invariant that must convict it.
    convicts: Invariant,
    fault: Option<&'static str>,
    words: PlanArgs,
}

/// Runs every control and its twin, and writes `architecture.json`, `architecture.md` and the
/// report.
///
/// # Errors
/// What kept a trial from being made.
#[boxed_future]
pub async fn architecture_selftest(
    runs: PathBuf,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, ArchitectureSelftest)> {
    let begun = Instant::now();
    let run = RunDirectory::create_named(&runs, "architecture", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("selftest {}", run.path().display()));
    let mut rows = Vec::new();
    for mutant in Topology::built_in().filter(Topology::is_negative_control) {
        let twin = on(mutant.right_twin().context("a control has a right twin")?, &run);
        let row = one(&on(mutant, &run), &twin, &run, guard).await?;
        progress.line(&format!(
            "  {:<30} {} ({} s)",
            row.mutant,
            row.summary(),
            begun.elapsed().as_secs()
        ));
        rows.push(row);
    }
    let report = ArchitectureSelftest {
        schema_version: ArchitectureSelftest::SCHEMA_VERSION,
        took_s: begun.elapsed().as_secs(),
        rows,
    };
    run.write_json("architecture.json", &report)?;
    run.write("architecture.md", report.document().markdown().as_bytes())?;
    run.write_document(&report.document())?;
    Ok((run, report))
}

fn on(topology: Topology, run: &RunDirectory) -> ExperimentSpec {
    ExperimentSpec {
        stack: StackSpec { topology, ..StackSpec::single(EnvironmentSpec::Native) },
        runs: run.path().to_owned(),
        repeat_command: "slotproof selftest --architecture".to_owned(),
    }
}

/// A control, loaded until it is convicted, and its twin, loaded until the load has reached what it
/// is about. Each has servers of its own: what a control leaves behind, a lock that a pooler holds say,
/// must not meet its twin.
async fn one(
    mutant: &ExperimentSpec,
    twin: &ExperimentSpec,
    run: &RunDirectory,
    guard: &Guard,
) -> Result<ArchitectureRow> {
    let topology = &mutant.stack.topology;
    let Shown { convicts, fault, words } = shown_by(&topology.service)
        .with_context(|| format!("{} is no negative control", topology.name))?;
    let plan = Plan::try_from(PlanArgs { strategy: Some(STRATEGY), ..words })?;
    let faults = fault.map(|fault| fault.parse().expect("a test parses it")).into_iter();
    let faults: Vec<_> = faults.collect();

    let spec = mutant.trial(plan.clone(), STRATEGY, faults.clone());
    let unconvicted = |report: &RunReport| !convicted_by(report).contains(&convicts);
    let mut series = Series::begin(run.clone(), mutant, guard).await?;
    let Extended { tried: of_mutant, .. } =
        series.trial_until_decided(&spec, None, unconvicted).await?;
    series.end().await;
    let spec = twin.trial(plan, STRATEGY, faults);
    let mut series = Series::begin(run.clone(), twin, guard).await?;
    let Extended { tried: of_twin, .. } =
        series.trial_until_decided(&spec, None, lacks_coverage).await?;
    series.end().await;
    Ok(ArchitectureRow {
        mutant: topology.name.clone(),
        summary: topology.summary.clone(),
        fault: done_to(&topology.service, fault),
        convicts,
        verdict: of_mutant.report.verdict.verdict,
        convicted_by: convicted_by(&of_mutant.report).into_iter().collect(),
        twin: twin.stack.topology.name.clone(),
        twin_verdict: of_twin.report.verdict.verdict,
    })
}

fn convicted_by(report: &RunReport) -> Vec<Invariant> {
    let findings = report.verdict.findings.iter();
    let violated = findings.filter(|finding| finding.verdict == Verdict::Violated);
    violated.map(|finding| finding.invariant).collect()
}

/// What is done to a control and its twin under load.
fn done_to(service: &Wiring, fault: Option<&str>) -> Option<String> {
    let slow = format!("late-cache-writes:{}ms", service.cache_delay_ms);
    fault.map(str::to_owned).or_else(|| (service.cache_delay_ms > 0).then_some(slow))
}

/// `None` for what is right.
fn shown_by(service: &Wiring) -> Option<Shown> {
    shown_by_reads(service.read_mode)
        .or_else(|| shown_by_pooling(service.pooling))
        .or_else(|| shown_by_cache(service.cache_mode))
        .or_else(|| shown_by_months(service.months?.mode))
        .or_else(|| shown_by_shards(service.shard_mode))
}

fn flash_sale(duration_ms: u64) -> PlanArgs {
    PlanArgs {
        clients: Some(100),
        capacity: Some(20),
        duration: Some(Span::of_ms(duration_ms)),
        hold: Some(Span::of_ms(600)),
        seed: Some(1),
        ..PlanArgs::default()
    }
}

fn shown_by_pooling(pooling: Pooling) -> Option<Shown> {
    match pooling {
        Pooling::Requests | Pooling::Transactions => None,
        // Reads of many slots at once, some of them sold out and some free for as long as the load
        // lasts: for those that are sold out another slot is looked for, by a statement of the same
        // shape.
        Pooling::PgbouncerUnnamed => Some(Shown {
            convicts: Invariant::PossibleReads,
            fault: None,
            words: PlanArgs {
                scenario: Some(ScenarioKind::Steady),
                mix: Some("browse=20,abandon=1".parse().expect("a test parses it")),
                think: Some(Span::of_ms(10)),
                clients: Some(60),
                slots: Some(40),
                capacity: Some(1),
                ..flash_sale(3_000)
            },
        }),
        // Holds that must end.
        Pooling::PgbouncerSessionLock => Some(Shown {
            convicts: Invariant::NothingLeaked,
            fault: None,
            words: PlanArgs {
                scenario: Some(ScenarioKind::Steady),
                mix: Some("browse=1,abandon=1".parse().expect("a test parses it")),
                think: Some(Span::of_ms(10)),
                clients: Some(60),
                slots: Some(2),
                capacity: Some(10),
                ..flash_sale(4_000)
            },
        }),
        // Seats that still go when the database is killed, on any machine, and no other commit that
        // would bring them to disk: none is confirmed, and no hold ends before.
        Pooling::PgbouncerSetLeak => Some(Shown {
            convicts: Invariant::NoLostBooking,
            fault: Some("kill:postgresql@3s for 200ms"),
            words: PlanArgs {
                scenario: Some(ScenarioKind::Steady),
                mix: Some("browse=1,abandon=1".parse().expect("a test parses it")),
                think: Some(Span::of_ms(200)),
                clients: Some(40),
                slots: Some(3),
                capacity: Some(300),
                hold: Some(Span::of_ms(8_000)),
                ..flash_sale(14_000)
            },
        }),
    }
}

/// Clients of one slot, which do what `mix` says one after the other.
fn visits(mix: &str, duration_ms: u64) -> PlanArgs {
    PlanArgs {
        scenario: Some(ScenarioKind::Steady),
        mix: Some(mix.parse().expect("a test parses it")),
        think: Some(Span::of_ms(10)),
        clients: Some(30),
        slots: Some(1),
        capacity: Some(300),
        ..flash_sale(duration_ms)
    }
}

fn shown_by_cache(mode: CacheMode) -> Option<Shown> {
    let shown = |convicts, words| Some(Shown { convicts, fault: None, words });
    match mode {
        CacheMode::Aside | CacheMode::Through | CacheMode::Behind => None,
        // Clients that take and give back seats one after the other, and look in between: what a
        // late write left in the cache is older than what one of them has just been told.
        CacheMode::CacheAsideRace | CacheMode::CacheThroughReorder => shown(
            Invariant::SessionOrder,
            PlanArgs { capacity: Some(12), ..visits("browse=3,give_up=1", 4_000) },
        ),
        // Seats that are sold for good while holds last for longer than the declared staleness: what
        // was left when a hold was made is not left when it is over.
        CacheMode::CacheOutlivesHold => shown(
            Invariant::PossibleReads,
            PlanArgs {
                hold: Some(Span::of_ms(2_000)),
                think: Some(Span::of_ms(50)),
                ..visits("buy=2,watch=1", 5_000)
            },
        ),
        // All clients look before the first of them has written.
        CacheMode::CacheDecides => shown(
            Invariant::NoOverbookingObserved,
            PlanArgs { hold: Some(Span::of_ms(4_000)), ..flash_sale(4_000) },
        ),
        // A client that is told that its booking does not exist, while its hold lasts.
        CacheMode::NegativeCache | CacheMode::CacheBehindBookings => shown(
            Invariant::NoLostBooking,
            PlanArgs {
                hold: Some(Span::of_ms(4_000)),
                capacity: Some(40),
                ..visits("buy=1,watch=1", 4_000)
            },
        ),
    }
}

fn shown_by_months(mode: MonthMode) -> Option<Shown> {
    // Clients that come back to what they bought.
    let shown = |duration_ms| {
        Some(Shown {
            convicts: Invariant::NoLostBooking,
            fault: None,
            words: PlanArgs {
                hold: Some(Span::of_ms(4_000)),
                capacity: Some(40),
                ..visits("buy=1,watch=1", duration_ms)
            },
        })
    };
    match mode {
        MonthMode::Utc => None,
        // The slot starts at midnight (UTC) of the first day of a month.
        MonthMode::PartitionLocalTime => shown(4_000),
        // Longer than bookings take to come of age, and then to be found.
        MonthMode::ArchiveLiveMonth => shown(9_000),
    }
}

/// Clients of many doctors, for longer than the doctors of a shard take to move.
fn shown_by_shards(mode: ShardMode) -> Option<Shown> {
    let words = |mix: &str| PlanArgs {
        think: Some(Span::of_ms(20)),
        clients: Some(40),
        slots: Some(24),
        capacity: Some(10),
        hold: Some(Span::of_ms(3_000)),
        ..visits(mix, 8_000)
    };
    let moves = "rebalance:shard-2@1s";
    match mode {
        ShardMode::Fenced => None,
        // Half of the clients ask the process that has the old map.
        ShardMode::TwoOwners => Some(Shown {
            convicts: Invariant::OneOrder,
            fault: Some(moves),
            words: words("browse=2,book=1,cancel=3,give_up=3"),
        }),
        ShardMode::MoveWithoutTail => Some(Shown {
            convicts: Invariant::NoLostBooking,
            fault: Some(moves),
            words: words("browse=2,book=1,cancel=3,give_up=3"),
        }),
        // Clients that come back to what they hold, after the process has been started again.
        ShardMode::DefaultHasher => Some(Shown {
            convicts: Invariant::NoLostBooking,
            fault: None,
            words: words("browse=2,book=1,cancel=3,give_up=3,watch=2"),
        }),
    }
}

fn shown_by_reads(mode: ReadMode) -> Option<Shown> {
    match mode {
        ReadMode::Split => None,
        // Clients that buy one after the other, and look in between. Half of the looks go to a
        // standby that stands still; without that, a standby is behind for a millisecond, and a
        // client on a busy machine is slower.
        ReadMode::ReplicaReadNoToken => Some(Shown {
            convicts: Invariant::SessionOrder,
            fault: Some("pause-replay:standby-1@100ms for 1s"),
            words: visits("browse=1,buy=1", 3_000),
        }),
        // Seats that go one after the other for longer than the pause: whatever the standby says
        // is soon long gone.
        ReadMode::ReplicaStalenessUndeclared => Some(Shown {
            convicts: Invariant::PossibleReads,
            fault: Some("pause-replay:standby-1@100ms for 3s"),
            words: PlanArgs {
                think: Some(Span::of_ms(50)),
                slots: Some(2),
                capacity: Some(400),
                ..visits("browse=1,book=1", 5_000)
            },
        }),
        // The standby stands still while the slot is sold out, and seats come back meanwhile.
        ReadMode::ReplicaDecides => Some(Shown {
            convicts: Invariant::HonestSoldOut,
            fault: Some("pause-replay:standby-1@500ms for 3s"),
            words: flash_sale(5_000),
        }),
        // While one standby is away no commit ends, and the other shows each of them.
        ReadMode::ReplicaReadAhead => Some(Shown {
            convicts: Invariant::OneOrder,
            fault: Some("kill:standby-2@500ms for 2s"),
            words: PlanArgs {
                scenario: Some(ScenarioKind::Steady),
                think: Some(Span::of_ms(50)),
                clients: Some(40),
                slots: Some(5),
                capacity: Some(5),
                ..flash_sale(5_000)
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use slotproof_stack::faults::Fault;

    use super::*;

    #[test]
    fn every_control_has_a_load_and_a_fault_that_its_servers_can_take() {
        let reads = ReadMode::ALL.into_iter().filter(|mode| mode.is_negative_control());
        let pooling = Pooling::ALL.into_iter().filter(|mode| mode.is_negative_control());
        let cache = CacheMode::ALL.into_iter().filter(|mode| mode.is_negative_control());
        let months = MonthMode::ALL.into_iter().filter(|mode| mode.is_negative_control());
        let names = reads.map(ReadMode::name).chain(pooling.map(Pooling::name));
        let names = names.chain(cache.map(CacheMode::name)).chain(months.map(MonthMode::name));
        let shards = ShardMode::ALL.into_iter().filter(|mode| mode.is_negative_control());
        let names: Vec<_> = names.chain(shards.map(ShardMode::name)).collect();
        let controls = Topology::built_in().filter(Topology::is_negative_control);
        assert_eq!(controls.count(), names.len());
        for name in names {
            let control = Topology::find(name).expect("built in");
            let twin = control.right_twin().expect("a right twin");
            let shown = shown_by(&control.service).expect("it is shown by something");
            let plan = Plan::try_from(PlanArgs { strategy: Some(STRATEGY), ..shown.words });
            let plan = plan.expect("a plan");
            let Some(fault) = shown.fault else { continue };
            let fault: Fault = fault.parse().expect("a fault");
            assert_eq!(fault.fits(&twin), Ok(()));
            let lasts = fault.lasts().unwrap_or_default();
            assert!(fault.at + lasts < plan.duration().0, "{fault} ends under load");
        }
    }
}
