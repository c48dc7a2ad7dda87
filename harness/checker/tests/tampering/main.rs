//! Tampered evidence: a lawful simulated run and an overbooked one, each changed in one way.
//!
//! No change may make the overbooked run upheld. A change that makes the lawful run tell of
//! something unlawful must keep it from being upheld, and a harmless one must not convict it. What
//! the checker does not notice yet is marked, with what it waits for.

mod answers;
mod evidence;
mod log;
mod operations;
mod rows;

use std::{
    collections::BTreeSet,
    ops::{Deref, DerefMut},
};

use slotproof_checker::{History, judge};
use slotproof_simulation::{Bug, Settings, Shape, Telling, simulate};
use slotproof_vocabulary::{Expectation, Invariant, Operation, Verdict, VerdictReport};

/// A case whose operations can be changed in any way.
#[derive(Clone)]
struct Case {
    history: Lines,
    /// Everything but the history.
    rest: slotproof_checker::Case,
}

#[derive(Clone, Default, PartialEq)]
struct Lines {
    operations: Vec<Operation>,
    cut_off: Option<String>,
}

impl Lines {
    fn cut(self, reason: &str) -> Self {
        Self { cut_off: Some(reason.to_owned()), ..self }
    }
}

impl Case {
    fn whole(&self) -> slotproof_checker::Case {
        let history = History::of(self.history.operations.iter().cloned());
        let history = match &self.history.cut_off {
            None => history,
            Some(reason) => history.cut(reason),
        };
        slotproof_checker::Case { history, ..self.rest.clone() }
    }
}

impl Deref for Case {
    type Target = slotproof_checker::Case;

    fn deref(&self) -> &Self::Target {
        &self.rest
    }
}

impl DerefMut for Case {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.rest
    }
}

/// One way of changing the evidence.
struct Tampering {
    name: &'static str,
    expected: Expected,
    /// `None` if the evidence has nothing that can be changed in this way.
    apply: fn(&mut Case) -> Option<()>,
}

/// What must be found of the lawful run with the change.
#[derive(Clone, Copy)]
enum Expected {
    /// It is violated by one of these, or unknown; never upheld.
    Convicted(&'static [Invariant]),
    /// It is unknown: the change convicts nobody, and takes away what a verdict needs.
    Undecided,
    /// It is not violated, for this reason.
    Harmless(&'static str),
}

fn convicted(
    name: &'static str,
    by: &'static [Invariant],
    apply: fn(&mut Case) -> Option<()>,
) -> Tampering {
    Tampering { name, expected: Expected::Convicted(by), apply }
}

fn undecided(name: &'static str, apply: fn(&mut Case) -> Option<()>) -> Tampering {
    Tampering { name, expected: Expected::Undecided, apply }
}

fn harmless(
    name: &'static str,
    why: &'static str,
    apply: fn(&mut Case) -> Option<()>,
) -> Tampering {
    Tampering { name, expected: Expected::Harmless(why), apply }
}

fn all() -> Vec<Tampering> {
    [answers::all(), operations::all(), log::all(), rows::all()].into_iter().flatten().collect()
}

/// About 1,500 operations in two slots, with log, rows, announcements and probes.
fn run(bug: Option<Bug>) -> Case {
    let settings = Settings {
        slots: 2,
        capacity: 9,
        seats_max: 2,
        clients: 25,
        hold_ms: Some(100),
        telling: Telling::VersionsAndParts,
        bug,
        ..Shape::Versions.settings()
    };
    let run = simulate(&settings, 3);
    let rest = slotproof_checker::Case {
        capacity: run.capacity,
        audit: Some(run.audit),
        end: Some(run.end),
        prober: Some(run.prober),
        announces: true,
        hold_ms: settings.hold_ms,
        expectations: vec![Expectation::SoldOut, Expectation::Full],
        ..slotproof_checker::Case::default()
    };
    Case { history: Lines { operations: run.operations, cut_off: None }, rest }
}

/// Whether two cases are the same evidence.
fn same(one: &Case, other: &Case) -> bool {
    one.history == other.history
        && one.audit == other.audit
        && one.end == other.end
        && (one.capacity, &one.capacities) == (other.capacity, &other.capacities)
        && one.prober == other.prober
}

/// Numbers that would overflow are refused before they are judged.
fn judged(case: &Case) -> Option<VerdictReport> {
    let case = case.whole();
    case.validate().ok().map(|()| judge(&case))
}

fn violated(report: &VerdictReport) -> BTreeSet<Invariant> {
    let violated = report.findings.iter().filter(|finding| finding.verdict == Verdict::Violated);
    violated.map(|finding| finding.invariant).collect()
}

#[test]
fn the_two_runs_are_judged_as_they_are() {
    let lawful = judge(&run(None).whole());
    assert_eq!(lawful.verdict, Verdict::Upheld, "{lawful:#?}");
    let overbooked = violated(&judge(&run(Some(Bug::LostUpdate)).whole()));
    assert!(overbooked.contains(&Invariant::NoOverbookingObserved), "{overbooked:?}");
    assert!(overbooked.contains(&Invariant::NoOverbookingStored), "{overbooked:?}");
}

#[test]
fn no_tampering_makes_the_overbooked_run_upheld() {
    let overbooked = run(Some(Bug::LostUpdate));
    let mut changed = 0;
    for tampering in all() {
        let mut case = overbooked.clone();
        if (tampering.apply)(&mut case).is_none() {
            continue;
        }
        changed += 1;
        let verdict = judged(&case).map(|report| report.verdict);
        assert_ne!(verdict, Some(Verdict::Upheld), "{}", tampering.name);
    }
    assert!(changed >= 108, "only {changed} tamperings changed the overbooked run");
}

#[test]
fn a_tampering_of_the_lawful_run_is_noticed_unless_it_is_harmless() {
    let lawful = run(None);
    let mut wrong = Vec::new();
    for Tampering { name, expected, apply } in all() {
        let mut case = lawful.clone();
        assert!(apply(&mut case).is_some(), "{name}: nothing can be changed so");
        assert!(!same(&case, &lawful), "{name}: nothing changed");
        let Some(report) = judged(&case) else { continue };
        let found = violated(&report);
        let right = match (expected, report.verdict) {
            (Expected::Convicted(by), Verdict::Violated) => {
                by.iter().any(|invariant| found.contains(invariant))
            }
            (Expected::Convicted(_), verdict) => verdict == Verdict::Unknown,
            (Expected::Undecided, verdict) => verdict == Verdict::Unknown,
            (Expected::Harmless(_), verdict) => verdict != Verdict::Violated,
        };
        let told = match expected {
            Expected::Convicted(by) => format!("by one of {by:?}, or unknown"),
            Expected::Undecided => "unknown".to_owned(),
            Expected::Harmless(why) => format!("harmless: {why}"),
        };
        let told = format!("{name}: {} by {found:?}; expected: {told}", report.verdict);
        if !right {
            wrong.push(told);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tamperings_are_many_and_each_has_a_name_of_its_own() {
    let all = all();
    let names: BTreeSet<&str> = all.iter().map(|tampering| tampering.name).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.len() >= 108, "{}", all.len());
}
