//! Evidence files: the part of a history that convicts by itself, so that another checker, or a
//! person, need look at nothing else.
//!
//! Operations that excuse must not be left out. For I1 that is easy: fewer bookings take fewer
//! seats. For I8 and I9 every booking stays that may have taken seats during the call. A finding
//! that rests on rows or on the audit log has no such file: a history alone does not show it.

use std::collections::BTreeSet;

use serde_json::json;
use slotproof_vocabulary::{
    Action, Declarations, Finding, Invariant, Operation, Outcome, Verdict, Witness,
};

use crate::{Case, slot_evidence};

/// The operations that convict by the invariant of a finding, in the order of the history; `None`
/// where no history does.
pub fn operations(case: &Case, finding: &Finding) -> Option<Vec<Operation>> {
    let witness = finding.witness.as_ref().filter(|_| finding.verdict == Verdict::Violated)?;
    // What rests on rows or records no history shows.
    if witness.operations.is_empty() || !witness.rows.is_empty() || !witness.records.is_empty() {
        return None;
    }
    match finding.invariant {
        Invariant::NoOverbookingObserved => Some(of_bookings(case, witness)),
        Invariant::HonestSoldOut | Invariant::PossibleReads => Some(around(case, witness)),
        Invariant::SeatsConserved => Some(with_resizes(case, witness)),
        Invariant::Idempotent | Invariant::SessionOrder | Invariant::UniqueBookings => {
            Some(shown(witness))
        }
        Invariant::NoLostBooking | Invariant::LimitPerOwner => Some(of_bookings(case, witness)),
        Invariant::OneOrder if case.audit.is_some() => None,
        Invariant::OneOrder => Some(with_bookings(case, witness)),
        Invariant::NoOverbookingStored
        | Invariant::NoPhantom
        | Invariant::LawfulLifecycle
        | Invariant::NothingLeaked
        | Invariant::AnnouncedOnce
        | Invariant::RunCoverage => None,
    }
}

/// The file of these operations: a declaration that they are an excerpt, and a line for each.
pub fn text(case: &Case, operations: &[Operation]) -> String {
    let declared = Declarations { excerpt: true, ..case.history.declarations };
    let mut text = json!({ "declare": declared }).to_string() + "\n";
    for operation in operations {
        text += &serde_json::to_string(operation).expect("an operation is JSON");
        text.push('\n');
    }
    text
}

fn shown(witness: &Witness) -> Vec<Operation> {
    witness.operations.iter().map(|shown| shown.operation.clone()).collect()
}

/// Bookings and keys that operations are about.
fn named(witness: &Witness) -> BTreeSet<&str> {
    witness.operations.iter().flat_map(|shown| names(&shown.operation)).collect()
}

fn names(operation: &Operation) -> Vec<&str> {
    match &operation.action {
        Action::Reserve { key, .. } => {
            [&**key].into_iter().chain(operation.seen.booking.as_deref()).collect()
        }
        _ => operation.names_booking().into_iter().collect(),
    }
}

/// The capacity of the slot is part of every finding about it.
fn resizes(operation: &Operation, witness: &Witness) -> bool {
    matches!(operation.action, Action::Resize { .. }) && *operation.slot == *witness.slot
}

fn of_bookings(case: &Case, witness: &Witness) -> Vec<Operation> {
    let named = named(witness);
    // When a hold was made depends on the bookings that were in its way.
    let holds = witness.operations.iter().any(|shown| shown.operation.seen.hold_ms.is_some());
    let about = |operation: &Operation| {
        (holds && *operation.slot == *witness.slot)
            || resizes(operation, witness)
            || names(operation).iter().any(|name| named.contains(name))
    };
    kept(case, about)
}

fn kept(case: &Case, keeps: impl Fn(&Operation) -> bool) -> Vec<Operation> {
    case.history.operations.iter().map(|it| it.to_operation()).filter(keeps).collect()
}

fn with_resizes(case: &Case, witness: &Witness) -> Vec<Operation> {
    let shown = shown(witness);
    let keeps = |operation: &Operation| shown.contains(operation) || resizes(operation, witness);
    kept(case, keeps)
}

/// Answers, and all operations on their bookings: a later operation makes no impossible answer
/// possible.
fn with_bookings(case: &Case, witness: &Witness) -> Vec<Operation> {
    let (named, shown) = (named(witness), shown(witness));
    let keeps = |operation: &Operation| {
        shown.contains(operation)
            || resizes(operation, witness)
            || names(operation).iter().any(|name| named.contains(name))
    };
    kept(case, keeps)
}

/// An answer, and every booking of its slot that may have taken seats during its call.
fn around(case: &Case, witness: &Witness) -> Vec<Operation> {
    let observed = &witness.operations[0].operation;
    let slots = slot_evidence::of(case);
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for held in slots
        .iter()
        .filter(|slot| *slot.name == *observed.slot)
        .flat_map(|slot| &slot.held_intervals)
    {
        held.each_possible(|interval, _| {
            if interval.from_ns <= observed.returned_ns && observed.sent_ns <= interval.to_ns {
                named.insert(held.booking.text());
            }
        });
    }
    let keeps = |operation: &Operation| {
        let unknown = matches!(operation.action, Action::Reserve { .. })
            && operation.outcome == Outcome::Unknown
            && operation.slot == observed.slot
            && operation.sent_ns <= observed.returned_ns;
        operation == observed
            || unknown
            || resizes(operation, witness)
            || names(operation).iter().any(|name| named.contains(name))
    };
    kept(case, keeps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        History,
        fixture::{cancel, case, read, reserve, sold_out},
        judge,
    };

    /// A finding's evidence convicts without the rest of the history, and has `kept` operations.
    fn convicts_again(
        capacity: i64,
        operations: Vec<Operation>,
        invariant: Invariant,
        kept: usize,
    ) {
        let whole = case(capacity, operations);
        let of = |case: &Case| {
            judge(case)
                .findings
                .into_iter()
                .find(|finding| finding.invariant == invariant)
                .expect("it is judged")
        };
        let finding = of(&whole);
        assert_eq!(finding.verdict, Verdict::Violated, "{invariant}: {}", finding.summary);
        let evidence = super::operations(&whole, &finding).expect("a history shows it");
        assert_eq!(evidence.len(), kept, "{invariant}: {evidence:#?}");
        let alone = Case { history: History::of(evidence), ..whole };
        assert_eq!(of(&alone).verdict, Verdict::Violated, "{invariant}, alone");
    }

    #[test]
    fn the_evidence_convicts_by_itself() {
        let early = || vec![reserve("gone", 1, 0, 10), cancel("gone", 20, 30)];
        let more = |operations: Vec<Operation>| [early(), operations].concat();
        convicts_again(
            1,
            more(vec![reserve("a", 1, 40, 50), reserve("b", 1, 45, 60), read(0, 70, 80)]),
            Invariant::NoOverbookingObserved,
            2,
        );
        convicts_again(
            2,
            more(vec![reserve("a", 1, 40, 50), sold_out(1, 60, 70)]),
            Invariant::HonestSoldOut,
            2,
        );
        convicts_again(
            2,
            more(vec![reserve("a", 1, 40, 50), read(2, 60, 70)]),
            Invariant::PossibleReads,
            2,
        );
        let swinging = vec![
            reserve("a", 1, 40, 150),
            read(1, 50, 60),
            read(2, 70, 80),
            read(1, 90, 100),
            read(1, 120, 130),
        ];
        convicts_again(2, swinging, Invariant::OneOrder, 3);
    }
}
