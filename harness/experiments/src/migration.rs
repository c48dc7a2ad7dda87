//! The service moves from one topology to another under load: one history, one verdict, and for how
//! long nobody got an answer.

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use serde::Serialize;
use slotproof_checker::Case;
use slotproof_evidence::RunDirectory;
use slotproof_reports::RunReport;
use slotproof_stack::{faults::Injected, guard::Guard};
use slotproof_vocabulary::Operation;

use crate::{
    check_run,
    progress::Progress,
    trial::{self, TrialSpec},
};

/// What a migration cost those who were booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Downtime {
    /// The version of this shape.
    pub schema_version: u32,
    /// When it began, in milliseconds since the load did.
    pub began_ms: u64,
    /// When it had ended.
    pub ended_ms: u64,
    /// The longest time in which no operation was decided while it lasted, in milliseconds.
    pub longest_gap_ms: u64,
    /// The same before it began.
    pub longest_gap_before_ms: u64,
    /// Operations that ended while it lasted.
    pub operations: u64,
    /// Those of them that got no decision.
    pub undecided: u64,
    /// What moved.
    pub moved: Option<String>,
}

impl Downtime {
    /// The version of this shape.
    pub const SCHEMA_VERSION: u32 = 1;

    /// `load_ns`: when the load began, on the clock of the history.
    fn of(case: &Case, load_ns: u64, migration: &Injected) -> Self {
        let (began_ms, ended_ms) = (migration.began_ms, migration.ended_ms);
        let at_ns = |ms: u64| load_ns + ms * 1_000_000;
        // It may go on when the load is over.
        let load_until_ns = case.load.as_ref().map_or(u64::MAX, |load| load.measured_until_ns);
        let (began_ns, ended_ns) = (at_ns(began_ms), at_ns(ended_ms).min(load_until_ns));
        let operations = case.history.operations.iter();
        let of_load = operations.filter(|it| Some(it.client) != case.prober);
        let is_decided = |it: &&Operation| it.error_class().is_none();
        let mut decided_ns: Vec<u64> =
            of_load.clone().filter(is_decided).map(|it| it.returned_ns).collect();
        decided_ns.sort_unstable();
        let meanwhile = of_load.filter(|it| (began_ns..=ended_ns).contains(&it.returned_ns));
        Self {
            schema_version: Self::SCHEMA_VERSION,
            began_ms,
            ended_ms,
            longest_gap_ms: longest_gap_ms(&decided_ns, began_ns, ended_ns),
            longest_gap_before_ms: longest_gap_ms(&decided_ns, load_ns, began_ns),
            operations: meanwhile.clone().count() as u64,
            undecided: meanwhile.filter(|it| !is_decided(it)).count() as u64,
            moved: migration.said.clone(),
        }
    }
}

/// The longest time without one of these instants, which are sorted, that overlaps the time from
/// `from` to `until`. After the last of them it lasts until `until`.
fn longest_gap_ms(decided_ns: &[u64], from_ns: u64, until_ns: u64) -> u64 {
    let first = decided_ns.first().copied().unwrap_or(from_ns).min(from_ns);
    let last = decided_ns.last().copied().unwrap_or(until_ns).max(until_ns);
    let instants: Vec<u64> =
        [first].into_iter().chain(decided_ns.iter().copied()).chain([last]).collect();
    let pairs = instants.windows(2).filter_map(|pair| <[u64; 2]>::try_from(pair).ok());
    let within = pairs.filter(|[before, after]| *after > from_ns && *before < until_ns);
    within.map(|[before, after]| (after - before) / 1_000_000).max().unwrap_or_default()
}

/// Loads the service, moves it meanwhile, judges, and writes `migration.json` beside the report.
/// `None`: it did not begin.
///
/// # Errors
/// What kept the run from being made.
#[boxed_future]
pub async fn migrate(
    spec: &TrialSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, RunReport, Option<Downtime>)> {
    let (run, report) = trial::conduct(spec, guard, progress).await?;
    let faults: Option<Vec<Injected>> = run.read_json_if_there("faults.json")?;
    let Some(migration) = faults.unwrap_or_default().into_iter().next() else {
        return Ok((run, report, None));
    };
    let (plan, case) = check_run::case(&run)?;
    let measured_ns = case.load.as_ref().map(|load| load.measured_from_ns);
    let warm_up_ns = plan.warm_up.ms() * 1_000_000;
    let load_ns = measured_ns.map_or(0, |measured_ns| measured_ns.saturating_sub(warm_up_ns));
    let downtime = Downtime::of(&case, load_ns, &migration);
    run.write_json("migration.json", &downtime).context("write migration.json")?;
    Ok((run, report, Some(downtime)))
}

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_vocabulary::{Action, Outcome};

    use super::*;

    #[test]
    fn a_gap_counts_where_it_overlaps_the_migration() {
        let read = |client, returned_ms: u64, outcome| {
            let returned_ns = returned_ms * 1_000_000;
            let read = Operation::new(client, "s", Action::Read, returned_ns - 1, returned_ns);
            Operation { outcome, ..read }
        };
        let ok = |returned_ms| read(1, returned_ms, Outcome::Ok);
        let operations = vec![
            ok(10),
            ok(40),
            ok(95),
            // No decision, and so no end of a gap.
            read(1, 150, Outcome::Unknown),
            ok(300),
            ok(310),
            // The probe of the settled service.
            read(9, 400, Outcome::Ok),
        ];
        let history = History { operations, ..History::default() };
        let case = Case { history, prober: Some(9), ..Case::default() };
        let migration = Injected {
            fault: "migrate:sharded@100ms".to_owned(),
            began_ms: 100,
            ended_ms: 305,
            problem: None,
            said: None,
        };
        let downtime = Downtime::of(&case, 0, &migration);
        assert_eq!((downtime.longest_gap_before_ms, downtime.longest_gap_ms), (205, 205));
        assert_eq!((downtime.operations, downtime.undecided), (2, 1));
        let ended = Injected { ended_ms: 900, ..migration.clone() };
        assert_eq!(
            Downtime::of(&case, 0, &ended).longest_gap_ms,
            590,
            "nobody was answered any more"
        );
        let later = Downtime::of(&case, 0, &Injected { began_ms: 96, ended_ms: 97, ..migration });
        assert_eq!((later.longest_gap_before_ms, later.longest_gap_ms), (205, 205));
    }
}
