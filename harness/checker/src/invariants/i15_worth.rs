//! I15: the run was worth judging.
//!
//! A slot that never sold out was never in danger, and a verdict about it says nothing. What a run must have reached depends on
//! its scenario; what it did not reach makes it unknown, never upheld and never violated.

use slotproof_vocabulary::{Action, Expectation, Finding, Invariant, Outcome, Verdict};

use super::Evidence;
use crate::occupancy::Occupancy;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let operations = &evidence.case.history.operations;
    let reached = |expectation: &Expectation| match expectation {
        Expectation::SoldOut => first_sold_out(evidence).is_some(),
        Expectation::Full => full(evidence),
        Expectation::Resale => resale(evidence),
    };
    let expected = &evidence.case.expectations;
    let missing: Vec<&str> =
        expected.iter().filter(|expectation| !reached(expectation)).map(describe).collect();
    let (verdict, summary) = if operations.is_empty() {
        (Verdict::Unknown, "the history is empty".to_owned())
    } else if missing.is_empty() {
        (Verdict::Upheld, "everything that the scenario is about was reached".to_owned())
    } else {
        (
            Verdict::Unknown,
            format!("{}; more clients, a longer run or fewer seats would show more", missing.join(", and ")),
        )
    };
    let examined = expected.len() as u64;
    Some(Finding { invariant: Invariant::I15, verdict, summary, examined, violations: 0, witness: None })
}

fn describe(expectation: &Expectation) -> &'static str {
    match expectation {
        Expectation::SoldOut => "nobody was told sold_out",
        Expectation::Full => "no slot had all its seats taken",
        Expectation::Resale => "no seat was sold again after a cancel",
    }
}

fn first_sold_out(evidence: &Evidence<'_>) -> Option<u64> {
    let told =
        evidence.case.history.operations.iter().filter(|operation| operation.outcome == Outcome::SoldOut);
    told.map(|operation| operation.returned_ns).min()
}

/// By the log where there is one, else by what clients were told.
fn full(evidence: &Evidence<'_>) -> bool {
    let logged = evidence.case.audit.iter().flatten().any(|record| record.available == 0);
    let reached =
        |occupancy: &Occupancy| occupancy.least.seats.iter().any(|seats| *seats >= evidence.case.capacity);
    let promised = evidence.occupancies.values().any(reached);
    logged || promised
}

/// A reserve that was sent after somebody had been told `sold_out` and a cancel had returned, and got its seats.
fn resale(evidence: &Evidence<'_>) -> bool {
    let operations = &evidence.case.history.operations;
    let cancels = operations.iter().filter(|operation| {
        matches!(operation.action, Action::Cancel { .. }) && operation.outcome == Outcome::Ok
    });
    let (Some(sold_out_ns), Some(cancel_ns)) =
        (first_sold_out(evidence), cancels.map(|cancel| cancel.returned_ns).min())
    else {
        return false;
    };
    let prober = evidence.case.prober;
    operations.iter().any(|operation| {
        matches!(operation.action, Action::Reserve { .. })
            && operation.outcome == Outcome::Ok
            && operation.sent_ns > sold_out_ns.max(cancel_ns)
            && Some(operation.client) != prober
    })
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        Case,
        fixture::{cancel, case, reserve, sold_out},
        invariants::only,
    };

    fn judged(operations: Vec<Operation>) -> Finding {
        let expectations = vec![Expectation::SoldOut, Expectation::Full, Expectation::Resale];
        only(&Case { expectations, ..case(1, operations) }, Invariant::I15)
    }

    #[test]
    fn a_run_that_sold_out_and_sold_again_was_worth_judging() {
        let run =
            vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30), cancel("a", 40, 50), reserve("b", 1, 60, 70)];
        assert_eq!(judged(run).verdict, Verdict::Upheld);
    }

    #[test]
    fn what_was_not_reached_is_named_and_makes_the_run_unknown() {
        let never_full = judged(vec![sold_out(1, 20, 30)]);
        assert_eq!(never_full.verdict, Verdict::Unknown);
        assert!(never_full.summary.contains("no slot had all its seats taken"), "{}", never_full.summary);
        let never_sold_out = judged(vec![reserve("a", 1, 0, 10)]);
        assert!(never_sold_out.summary.contains("nobody was told sold_out"), "{}", never_sold_out.summary);
        let never_resold = judged(vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30), cancel("a", 40, 50)]);
        assert!(never_resold.summary.contains("no seat was sold again"), "{}", never_resold.summary);
        assert_eq!(judged(vec![]).verdict, Verdict::Unknown);
    }
}
