//! The selftest on simulated services: no server is started, and every run is a function of its
//! seed.
//!
//! The servers of [`selftest`](crate::selftest) show that the checker convicts real bugs. Here are
//! the bugs that no strategy has, and hundreds of lawful runs with everything that could cause a
//! false alarm.

use slotproof_checker::{Case, History, judge};
use slotproof_reports::simulated::{Detection, LawfulRuns, SimulatedBug, SimulatedSelftest};
use slotproof_simulation::{Bug, Settings, Shape, Simulated, Telling, simulate};
use slotproof_vocabulary::{Expectation, Finding, Verdict, VerdictReport};

use crate::selftest::operations_until;

/// Runs of each lawful shape.
const LAWFUL_SEEDS: std::ops::Range<u64> = 0..48;

/// Simulates and judges every shape and every bug.
pub fn simulated_selftest() -> SimulatedSelftest {
    let bug = |bug: &Bug| SimulatedBug {
        bug: bug.name().to_owned(),
        summary: bug.summary().to_owned(),
        with_versions: detection(*bug, Telling::Versions),
        without_versions: detection(*bug, Telling::SeatsInReads),
    };
    SimulatedSelftest {
        schema_version: SimulatedSelftest::SCHEMA_VERSION,
        lawful: lawful_runs(),
        bugs: Bug::ALL.iter().map(bug).collect(),
    }
}

fn history_alone(run: &Simulated) -> Case {
    Case {
        history: History::of(run.operations.clone()),
        capacity: run.capacity,
        expectations: vec![Expectation::SoldOut, Expectation::Full],
        ..Case::default()
    }
}

fn with_the_end(run: &Simulated) -> Case {
    Case {
        audit: Some(run.audit.clone()),
        end: Some(run.end.clone()),
        prober: Some(run.prober),
        ..history_alone(run)
    }
}

fn lawful_runs() -> LawfulRuns {
    let mut lawful = LawfulRuns::default();
    for shape in Shape::ALL {
        for seed in LAWFUL_SEEDS {
            let run = simulate(&shape.settings(), seed);
            lawful.runs += 1;
            for case in [history_alone(&run), with_the_end(&run)] {
                let report = judge(&case);
                lawful.judged += 1;
                lawful.upheld += u64::from(report.verdict == Verdict::Upheld);
                if let Some(finding) = violated(&report).next() {
                    lawful.convicted += 1;
                    lawful.first_convicted.get_or_insert_with(|| {
                        format!(
                            "{shape:?}, seed {seed}: {}, {}",
                            finding.invariant, finding.summary
                        )
                    });
                }
            }
        }
    }
    lawful
}

fn violated(report: &VerdictReport) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(|finding| finding.verdict == Verdict::Violated)
}

/// The runs of a bug, by their histories alone.
fn detection(bug: Bug, telling: Telling) -> Detection {
    let settings = Settings::of_bug(bug, telling);
    let mut detection =
        Detection { least_convicted: bug.least_convicted(telling), ..Detection::default() };
    let mut until = Vec::new();
    for seed in Bug::SEEDS {
        let run = simulate(&settings, seed);
        detection.runs += 1;
        detection.struck += u64::from(run.strikes > 0);
        detection.revealed += u64::from(run.first_revealed.is_some());
        let mut returns: Vec<u64> = run.operations.iter().map(|it| it.returned_ns).collect();
        returns.sort_unstable();
        let report = judge(&history_alone(&run));
        let detected = |it: &Finding| (operations_until(it, &returns), it.invariant);
        if let Some((operations, invariant)) = violated(&report).map(detected).min() {
            detection.convicted += 1;
            detection.first_by.insert(invariant);
            until.push(operations);
        }
    }
    until.sort_unstable();
    detection.operations_until = until.get(until.len() / 2).copied();
    detection
}
