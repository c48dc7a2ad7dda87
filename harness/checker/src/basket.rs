//! Baskets: one call that takes seats of several slots, or several bookings of one, all or nothing
//! and in one instant. The history has a line for each part.
//!
//! The lines of one call have one client and one basket, and overlap in time. A basket that is sent
//! again is another call.

use std::collections::BTreeMap;

use foldhash::HashMap;
use slotproof_history::{ActionRef, OperationRef};

use crate::{
    History,
    slot_history::Observation,
    spec::{Claim, Step},
};

/// The calls of baskets: the places of their lines in the history, in the order of their sending.
pub(crate) fn calls(history: &History) -> Vec<Vec<usize>> {
    let mut baskets: BTreeMap<(u64, &str), Vec<(usize, OperationRef<'_>)>> = BTreeMap::new();
    for (index, operation) in history.indexed() {
        if let (Some(basket), ActionRef::Reserve { .. }) = (operation.basket(), &operation.action) {
            baskets.entry((operation.client, basket)).or_default().push((index, operation));
        }
    }
    let mut calls: Vec<Vec<usize>> = Vec::new();
    for mut lines in baskets.into_values() {
        lines.sort_by_key(|(index, line)| (line.sent_ns, *index));
        let mut until_ns = None;
        for (index, line) in lines {
            // The same request twice is two calls, even at once.
            let again = |call: &&mut Vec<usize>| {
                call.iter().any(|other| is_sent_again(history.operations.at(*other), line))
            };
            let same_call = calls.last_mut().filter(|_| until_ns >= Some(line.sent_ns));
            match same_call.filter(|call| !again(call)) {
                Some(call) => call.push(index),
                None => calls.push(vec![index]),
            }
            until_ns = until_ns.max(Some(line.returned_ns));
        }
    }
    calls
}

fn is_sent_again(one: OperationRef<'_>, other: OperationRef<'_>) -> bool {
    one.slot == other.slot && one.action == other.action
}

/// The number of its call, for each line of a basket.
pub(crate) fn call_of_line(calls: &[Vec<usize>]) -> HashMap<usize, usize> {
    let lines = calls.iter().enumerate();
    lines.flat_map(|(call, lines)| lines.iter().map(move |line| (*line, call))).collect()
}

/// Makes the parts of a call in one slot one step of its order: they stand one after the other,
/// bookings first, and then what the answer said of the slot after all of them.
pub(crate) fn join_parts(
    observations: Vec<Observation>,
    call_of_line: &HashMap<usize, usize>,
) -> Vec<Observation> {
    let call = |observed: &Observation| call_of_line.get(&(observed.index as usize)).copied();
    let mut parts: BTreeMap<usize, Vec<Observation>> = BTreeMap::new();
    for observed in &observations {
        if let Some(call) = call(observed) {
            parts.entry(call).or_default().push(observed.clone());
        }
    }
    parts.retain(|_, parts| parts.len() > 1);
    if parts.is_empty() {
        return observations;
    }
    let mut joined: HashMap<usize, Option<Vec<Observation>>> =
        parts.into_iter().map(|(call, parts)| (call, joined(parts))).collect();
    let mut order = Vec::with_capacity(observations.len());
    for observed in observations {
        match call(&observed).and_then(|call| joined.get_mut(&call)) {
            // The first part stands for all of them.
            Some(Some(parts)) => order.append(parts),
            Some(None) | None => order.push(observed),
        }
    }
    order
}

/// `None` if the parts cannot have happened in one instant; other invariants say so.
fn joined(mut parts: Vec<Observation>) -> Option<Vec<Observation>> {
    let makes = |part: &Observation| matches!(part.step, Step::Reserve { .. });
    let made = parts.iter().filter(|part| makes(part)).count();
    let sent_ns = parts.iter().map(|part| part.sent_ns).max()?;
    let returned_ns = parts.iter().map(|part| part.returned_ns).min()?;
    if sent_ns > returned_ns || (made > 0 && made < parts.len()) {
        return None;
    }
    let sure = parts.iter().any(|part| part.sure);
    let mut said: Vec<Observation> = Vec::new();
    for (place, part) in parts.iter_mut().enumerate() {
        (part.sent_ns, part.returned_ns, part.sure) = (sent_ns, returned_ns, sure);
        part.joined = place > 0;
        if !makes(part) {
            continue;
        }
        let answer = Observation { step: Step::Read, hold_ns: None, joined: true, ..part.clone() };
        (part.claim, part.version) = (Claim::NONE, None);
        let says = answer.claim != Claim::NONE || answer.fresh_version().is_some();
        let same =
            |other: &Observation| (other.claim, other.version) == (answer.claim, answer.version);
        if says && !said.iter().any(same) {
            said.push(answer);
        }
    }
    parts.append(&mut said);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Invariant, Operation, Terms, Verdict};

    use super::*;
    use crate::fixture::{cancel, case, history, only, read, reserve, sold_out};

    fn in_a_basket(operation: Operation) -> Operation {
        let terms = Terms { basket: Some("o".into()), ..Terms::default() };
        Operation { client: 1, terms: Some(Box::new(terms)), ..operation }
    }

    /// Whether one order explains these lines, of a slot of three seats.
    fn judged(lines: Vec<Operation>) -> Verdict {
        only(&case(3, lines), Invariant::OneOrder).verdict
    }

    #[test]
    fn a_basket_that_is_sent_again_is_another_call() {
        let lines = [sold_out(1, 0, 10), sold_out(2, 0, 10), reserve("a", 1, 20, 30)];
        let mut lines: Vec<Operation> = lines.map(in_a_basket).into();
        assert_eq!(calls(&history(lines.clone())), [vec![0, 1], vec![2]]);
        lines[2].client = 2;
        assert_eq!(calls(&history(lines.clone())).len(), 2, "two clients may use one name");
        lines[0].terms = None;
        assert_eq!(calls(&history(lines)), [vec![1], vec![2]]);
    }

    #[test]
    fn a_basket_that_was_refused_and_is_sent_again_is_no_half_basket() {
        let again = |seats| {
            let refused = [sold_out(2, 20, 30), sold_out(1, 20, 30)];
            let made = [reserve("b", 2, 60, 70), reserve("c", 1, 60, 70)];
            let mut lines = vec![reserve("a", seats, 0, 10)];
            lines.extend(refused.map(in_a_basket));
            lines.push(cancel("a", 40, 50));
            lines.extend(made.map(in_a_basket));
            judged(lines)
        };
        assert_eq!(again(1), Verdict::Upheld, "of 3 seats 2 were free, and 3 were wanted");
        assert_eq!(again(3), Verdict::Upheld);
    }

    #[test]
    fn the_bookings_of_one_basket_in_one_slot_are_made_in_one_instant() {
        let seen = |free| {
            let made = [reserve("b", 2, 10, 90), reserve("c", 1, 10, 90)];
            judged(made.map(in_a_basket).into_iter().chain([read(free, 40, 50)]).collect())
        };
        assert_eq!(seen(3), Verdict::Upheld, "before");
        assert_eq!(seen(0), Verdict::Upheld, "after");
        assert_eq!(seen(1), Verdict::Violated, "in between");
    }

    #[test]
    fn the_numbers_in_the_answer_to_a_basket_are_those_after_all_its_parts() {
        let said = |available| {
            let lines = [reserve("b", 2, 10, 20), reserve("c", 1, 10, 20)].map(|mut line| {
                line.seen.available = Some(available);
                line.seen.version = Some(1);
                in_a_basket(line)
            });
            judged(lines.into())
        };
        assert_eq!(said(0), Verdict::Upheld);
        assert_eq!(said(1), Verdict::Violated);
    }
}
