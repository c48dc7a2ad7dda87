//! The example histories: each is judged as it says, and together they notice every way in which
//! the checker could be wrong that is listed here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde::Deserialize;
use slotproof_checker::{Case, History, evidence_file, judge};
use slotproof_vocabulary::{
    Action, Expectation, Invariant, Operation, Outcome, Seen, Verdict, VerdictReport,
};

#[derive(Deserialize)]
struct Examples {
    history: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    file: String,
    capacity: i64,
    #[serde(default)]
    capacities: BTreeMap<String, i64>,
    verdict: Verdict,
    convicted_by: BTreeSet<Invariant>,
    why: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("histories")
}

fn examples() -> Vec<(Example, Case)> {
    let text = fs::read_to_string(folder().join("expected.toml")).expect("it is there");
    let examples: Examples = toml::from_str(&text).expect("it says what is expected");
    examples
        .history
        .into_iter()
        .map(|example| {
            let file = fs::File::open(folder().join(&example.file)).expect(&example.file);
            let history = History::read(std::io::BufReader::new(file)).expect(&example.file);
            assert_eq!(history.cut_off, None, "{}", example.file);
            let expectations = vec![Expectation::SoldOut, Expectation::Full];
            let (capacity, capacities) = (example.capacity, example.capacities.clone());
            let case = Case { history, capacity, capacities, expectations, ..Case::default() };
            case.validate().expect(&example.file);
            (example, case)
        })
        .collect()
}

fn convicted_by(report: &VerdictReport) -> BTreeSet<Invariant> {
    let violated = report.findings.iter().filter(|finding| finding.verdict == Verdict::Violated);
    violated.map(|finding| finding.invariant).collect()
}

fn as_expected(example: &Example, case: &Case) -> bool {
    let report = judge(case);
    report.verdict == example.verdict && convicted_by(&report) == example.convicted_by
}

#[test]
fn every_example_is_judged_as_it_says() {
    let examples = examples();
    for folder_name in ["good", "bad"] {
        let listed =
            examples.iter().filter(|(example, _)| example.file.starts_with(folder_name)).count();
        let there = fs::read_dir(folder().join(folder_name)).expect("a folder").count();
        assert!(
            listed >= 10 && listed == there,
            "{folder_name}: {listed} are listed, {there} are there"
        );
    }
    for (example, case) in &examples {
        let report = judge(case);
        assert!(as_expected(example, case), "{}: {}\n{report:#?}", example.file, example.why);
    }
}

#[test]
fn what_convicts_an_example_convicts_alone() {
    for (example, case) in examples() {
        for finding in judge(&case).findings {
            let Some(evidence) = evidence_file::operations(&case, &finding) else { continue };
            assert!(evidence.len() <= case.history.operations.len());
            let alone = Case {
                history: History { operations: evidence.into(), ..case.history.clone() },
                ..case.clone()
            };
            assert!(
                convicted_by(&judge(&alone)).contains(&finding.invariant),
                "{}: {} alone: {alone:#?}",
                example.file,
                finding.invariant
            );
        }
    }
}

/// A way in which the checker could be wrong: what it would see if it were.
type Mutant = (&'static str, fn(Case) -> Case);

fn each(mut case: Case, change: impl Fn(&mut Operation)) -> Case {
    case.history.operations.edit_each(change);
    case
}

fn without(mut case: Case, left_out: impl Fn(&Operation) -> bool) -> Case {
    let operations = case.history.operations.iter().map(|it| it.to_operation());
    case.history.operations = operations.filter(|operation| !left_out(operation)).collect();
    case
}

const MUTANTS: [Mutant; 11] = [
    ("cancels are not seen", |case| {
        without(case, |operation| matches!(operation.action, Action::Cancel { .. }))
    }),
    ("a cancel counts from its return", |case| {
        each(case, |operation| {
            if matches!(operation.action, Action::Cancel { .. }) {
                operation.sent_ns = operation.returned_ns;
            }
        })
    }),
    ("sent and returned are swapped", |case| {
        let latest = case
            .history
            .operations
            .iter()
            .map(|operation| operation.returned_ns)
            .max()
            .unwrap_or_default();
        each(case, |operation| {
            // An interval that ends before it begins is read as one of the same length, turned
            // round in time.
            (operation.sent_ns, operation.returned_ns) =
                (latest - operation.returned_ns, latest - operation.sent_ns);
        })
    }),
    ("unknown is taken for a failure", |case| {
        each(case, |operation| {
            if operation.outcome == Outcome::Unknown {
                (operation.outcome, operation.seen) = (Outcome::Rejected, Seen::default());
            }
        })
    }),
    ("sold_out is not seen", |case| {
        without(case, |operation| operation.outcome == Outcome::SoldOut)
    }),
    ("one seat too many", |case| Case { capacity: case.capacity + 1, ..case }),
    ("one seat too few", |case| Case { capacity: case.capacity - 1, ..case }),
    ("a call lasts no time", |case| {
        each(case, |operation| operation.sent_ns = operation.returned_ns)
    }),
    ("every booking is of one seat", |case| {
        each(case, |operation| {
            if let Action::Reserve { seats, .. } = &mut operation.action {
                *seats = 1;
            }
        })
    }),
    ("the number of seats never changes", |case| {
        without(case, |operation| matches!(operation.action, Action::Resize { .. }))
    }),
    ("holds do not run out", |case| each(case, |operation| operation.seen.hold_ms = None)),
];

/// A checker that is wrong in one of these ways judges some example differently.
#[test]
fn every_mutant_of_the_checker_is_killed_by_an_example() {
    for (name, mutant) in MUTANTS {
        let killers: Vec<_> = examples()
            .into_iter()
            .filter(|(example, case)| !as_expected(example, &mutant(case.clone())))
            .map(|(example, _)| example.file)
            .collect();
        assert!(!killers.is_empty(), "{name}: no example notices");
    }
}
