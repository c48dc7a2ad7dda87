//! I13 without an audit log: an order explains every answer.
//!
//! Slot by slot, because slots are independent (Herlihy and Wing, 1990). Where every answer carries
//! the slot's version the service claims an order: if it passes, that is a proof (tier A,
//! `certificate.rs`). Else an order is searched for (tier C, `search/`); if there is none, the
//! slot is convicted, and if the budget ends first the slot is undecided. A slot that I1 convicts
//! needs no search.
//!
//! The witness is shrunk: to the shortest prefix of the slot's history that no order explains, and
//! then to the fewest answers about seats in it. It stays a witness: a prefix of a history that has
//! an order has one, and so has a history that says less. Bookings are not left out, because
//! without them other answers could become impossible.

use std::collections::BTreeSet;

use slotproof_vocabulary::{Finding, Invariant, Verdict, Witness};

use super::super::{Evidence, counted, i10_session_order::versions, witness};
use crate::{
    History,
    certificate::{self, Certificate},
    search::{Budget, Found, search_counted},
    slot_evidence::SlotEvidence,
    slot_history::{self, Observation, SlotHistory},
    spec::{Claim, Step},
};

/// Steps for all slots together, as many times as one slot of the whole length may use. Each slot
/// may use as many as are left, and no more than its own budget.
const SLOTS: u64 = 3;
/// Steps for shrinking a witness, all tries together: as many as for a verdict in a second.
const SHRINK_STEPS: u64 = 20_000_000;
/// How often a witness is tried without some of its observations.
const SHRINK_TRIES: usize = 200;

/// The results of some slots.
#[derive(Clone, Default)]
pub(in super::super) struct Tally {
    claimed: u64,
    searched: u64,
    impossible: u64,
    contradictory: u64,
    undecided: Vec<String>,
    witness: Option<Witness>,
    explained: BTreeSet<String>,
    /// The steps that each slot which was searched might use at most, and those that it used.
    steps: Vec<(u64, u64)>,
}

impl Tally {
    /// The slots of which one order explains every answer.
    pub(super) fn take_explained(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.explained)
    }

    /// Adds the results of later slots.
    pub(in super::super) fn merge(&mut self, later: Self) {
        self.claimed += later.claimed;
        self.searched += later.searched;
        self.impossible += later.impossible;
        self.contradictory += later.contradictory;
        self.undecided.extend(later.undecided);
        self.witness = self.witness.take().or(later.witness);
        self.steps.extend(later.steps);
    }

    /// Steps of all its slots.
    pub(in super::super) fn used(&self) -> u64 {
        self.steps.iter().fold(0, |sum, (_, used)| sum.saturating_add(*used))
    }

    /// Whether each slot might use as many steps as it would have had if one had been searched after
    /// the other with so many steps for all.
    pub(in super::super) fn keeps_to(&self, steps: u64) -> bool {
        let mut left = steps;
        self.steps.iter().all(|(most, used)| {
            let kept = *most <= left;
            left = left.saturating_sub(*used);
            kept
        })
    }
}

/// The steps for all slots of a history together.
pub(in super::super) fn steps(history: &History) -> u64 {
    SLOTS * Budget::for_length(history.operations.len()).steps
}

/// The results of the slots; `None` if there is nothing to search.
pub(super) fn tally(evidence: &Evidence<'_>) -> Option<Tally> {
    let history = &evidence.case.history;
    if history.cut_off.is_some() || history.operations.is_empty() {
        return None;
    }
    let mut tally = Tally::default();
    let mut left = steps(history);
    for slot in &evidence.slots {
        let slot_history = slot_history::of_slot(
            slot.name,
            &slot.operations,
            &slot.freshness,
            &evidence.elsewhere,
        );
        if slot_history.observations.is_empty() && slot_history.unsearchable.is_none() {
            continue;
        }
        let name = slot.name;
        let capacity = evidence.case.capacity_of(name);
        if slot.overbooking.is_some() {
            tally
                .undecided
                .push(format!("slot {name} is overbooked, so no order was searched for"));
        } else if let Some(reason) = &slot_history.unsearchable {
            tally.undecided.push(format!("slot {name}: {reason}"));
        } else {
            match certificate::check(&slot_history, capacity) {
                Certificate::Proved => {
                    tally.claimed += 1;
                    tally.explained.insert(name.to_owned());
                }
                Certificate::Refuted { index } => {
                    tally.contradictory += 1;
                    tally.witness.get_or_insert_with(|| contradiction(evidence, slot, index));
                }
                Certificate::Incomplete => {
                    look_for_an_order(evidence, name, &slot_history, &mut left, &mut tally)
                }
            }
        }
    }
    Some(tally)
}

fn look_for_an_order(
    evidence: &Evidence<'_>,
    slot: &str,
    slot_history: &SlotHistory,
    left: &mut u64,
    tally: &mut Tally,
) {
    let capacity = evidence.case.capacity_of(slot);
    let own = Budget::for_length(slot_history.observations.len());
    let budget = Budget { steps: own.steps.min(*left), ..own };
    let (found, steps) = search_counted(slot_history, capacity, budget);
    *left = left.saturating_sub(steps);
    tally.steps.push((own.steps, steps));
    match found {
        Found::Explained => {
            tally.searched += 1;
            tally.explained.insert(slot.to_owned());
        }
        Found::Impossible => {
            tally.impossible += 1;
            if tally.witness.is_none() {
                tally.witness = Some(shown(evidence, slot, &shrunk(slot_history, capacity)));
            }
        }
        Found::Undecided { steps } => {
            tally.undecided.push(format!(
                "slot {slot}: no order was found or ruled out in {steps} steps of search; use \
                 fewer clients at once, or answers that carry the slot's version"
            ));
        }
    }
}

pub(in super::super) fn finding(tally: Tally) -> Option<Finding> {
    let Tally { claimed, searched, impossible, contradictory, undecided, witness, .. } = tally;
    let examined = claimed + searched + impossible + contradictory;
    if examined == 0 && undecided.is_empty() {
        return None;
    }
    let proved = format!(
        "every answer fits one order in {}: {claimed} by versions, {searched} by search",
        counted(claimed + searched, "slot")
    );
    let (verdict, summary) = if impossible + contradictory > 0 {
        (Verdict::Violated, convictions(impossible, contradictory))
    } else if let Some(first) = undecided.first() {
        let more = undecided.len() - 1;
        let others = if more > 0 { format!(" (and {more} more slots)") } else { String::new() };
        let proved = if examined > 0 { format!("; {proved}") } else { String::new() };
        (Verdict::Unknown, format!("{first}{others}{proved}"))
    } else {
        (Verdict::Upheld, proved)
    };
    Some(Finding {
        invariant: Invariant::OneOrder,
        verdict,
        summary,
        examined,
        violations: impossible + contradictory,
        witness,
    })
}

fn convictions(impossible: u64, contradictory: u64) -> String {
    let no_order = (impossible > 0)
        .then(|| format!("no order explains every answer in {}", counted(impossible, "slot")));
    let versions = (contradictory > 0).then(|| {
        format!("versions in answers contradict real time in {}", counted(contradictory, "slot"))
    });
    no_order.into_iter().chain(versions).collect::<Vec<_>>().join("; ")
}

/// The answer at which the order of the versions breaks, and the one with an older version that was
/// sent last.
fn contradiction(evidence: &Evidence<'_>, slot: &SlotEvidence<'_>, index: usize) -> Witness {
    let overtaken = evidence.case.history.operations.at(index).seen.version.unwrap_or_default();
    let older = versions(slot).filter(|(_, _, version)| *version < overtaken);
    let older = older.max_by_key(|(_, operation, _)| operation.sent_ns);
    let explanation = match older {
        Some((later, _, version)) => format!(
            "line {} returned with version {overtaken} before line {} was sent, which has version \
             {version}",
            evidence.written.line_of(index),
            evidence.written.line_of(later)
        ),
        None => format!(
            "version {overtaken} of line {} contradicts real time",
            evidence.written.line_of(index)
        ),
    };
    Witness {
        operations: evidence.show([index].into_iter().chain(older.map(|(later, ..)| later))),
        ..witness(slot.name, explanation)
    }
}

/// The part of a slot's history that no order explains.
fn shrunk(slot_history: &SlotHistory, capacity: i64) -> Vec<Observation> {
    let left = std::cell::Cell::new(SHRINK_STEPS);
    let impossible = |observations: Vec<Observation>| {
        let part = SlotHistory { observations, ..SlotHistory::default() };
        // A part that is impossible shows it soon, or is left as it is.
        let steps = left.get().min(SHRINK_STEPS / 10);
        let (found, used) = search_counted(&part, capacity, Budget { steps, sets: 200_000 });
        left.set(left.get().saturating_sub(used));
        found == Found::Impossible
    };
    // The shortest prefix: a longer one is never less impossible, so halving finds it.
    let all = &slot_history.observations;
    let sure = all.iter().filter(|observed| observed.sure);
    let mut returns: Vec<u64> = sure.map(|observed| observed.returned_ns).collect();
    returns.sort_unstable();
    let first = returns.partition_point(|until_ns| !impossible(prefix(all, *until_ns)));
    let mut kept =
        returns.get(first).map_or_else(|| all.clone(), |until_ns| prefix(all, *until_ns));
    // Then without answers about seats, larger parts of them first (Zeller and Hildebrandt, 2002).
    let (mut part, mut tries) = (answers_about_seats(&kept).count().div_ceil(2), 0);
    while part > 0 && tries < SHRINK_TRIES {
        let places: Vec<usize> = answers_about_seats(&kept).map(|(place, _)| place).collect();
        let spared = places.chunks(part).find_map(|without| {
            tries += 1;
            let rest = kept.iter().enumerate();
            let rest = rest.filter(|(place, _)| without.binary_search(place).is_err());
            let rest: Vec<Observation> = rest.map(|(_, observed)| observed.clone()).collect();
            (tries < SHRINK_TRIES && impossible(rest.clone())).then_some(rest)
        });
        match spared {
            Some(rest) => kept = rest,
            None => part /= 2,
        }
    }
    kept
}

/// The answers that only say how many seats were free, with their places; those of baskets stay with
/// their other parts.
fn answers_about_seats(
    observations: &[Observation],
) -> impl Iterator<Item = (usize, &Observation)> {
    let alone = |place: usize| {
        let joined = |place: usize| observations.get(place).is_some_and(|it| it.joined);
        !joined(place) && !joined(place + 1)
    };
    let observations = observations.iter().enumerate();
    observations.filter(move |(place, observed)| says_only(&observed.step) && alone(*place))
}

/// Whether a step only says something of the slot or of a booking, and is nobody's change.
fn says_only(step: &Step<u32>) -> bool {
    match step {
        Step::SoldOut { .. }
        | Step::SoldOutTo { .. }
        | Step::Read
        | Step::Look { .. }
        | Step::Gone { .. } => true,
        Step::Reserve { .. }
        | Step::Confirm { .. }
        | Step::Cancel { .. }
        | Step::Expire { .. }
        | Step::Change { .. }
        | Step::Enter { .. }
        | Step::Leave { .. }
        | Step::Resize { .. } => false,
    }
}

/// What clients had observed by an instant. Changes that had not returned by then may have happened
/// or not; answers that had not returned are left out.
fn prefix(observations: &[Observation], until_ns: u64) -> Vec<Observation> {
    let sent = observations.iter().filter(|observed| observed.sent_ns <= until_ns);
    let cut = sent.filter_map(|observed| match observed.step {
        _ if observed.returned_ns <= until_ns || !observed.sure => Some(observed.clone()),
        ref step if says_only(step) => None,
        _ => Some(Observation {
            sure: false,
            returned_ns: u64::MAX,
            version: None,
            claim: Claim::NONE,
            ..observed.clone()
        }),
    });
    cut.collect()
}

fn shown(evidence: &Evidence<'_>, slot: &str, kept: &[Observation]) -> Witness {
    let sure = kept.iter().filter(|observed| observed.sure);
    let until_ns = sure.map(|observed| observed.returned_ns).max();
    Witness {
        instant_ns: until_ns,
        operations: evidence.show(kept.iter().map(|observed| observed.index as usize)),
        ..witness(
            slot,
            format!(
                "no order of these {} operations explains every answer; those that had not \
                 returned by {} may have happened or not",
                kept.len(),
                evidence.instant(until_ns.unwrap_or_default())
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{case, confirm, only, read, reserve, sold_out};

    #[test]
    fn what_has_an_order_is_upheld_and_what_has_none_is_convicted_by_the_fewest_observations() {
        let sold = || vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30)];
        let finding = only(&case(1, sold()), Invariant::OneOrder);
        assert_eq!(finding.verdict, Verdict::Upheld, "{}", finding.summary);

        let swinging = [
            vec![reserve("z", 1, 0, 5), read(2, 6, 8), reserve("a", 1, 9, 100)],
            vec![
                read(1, 10, 20),
                read(2, 30, 40),
                read(1, 50, 60),
                read(1, 62, 64),
                read(1, 200, 210),
            ],
        ];
        let finding = only(&case(3, swinging.concat()), Invariant::OneOrder);
        assert_eq!(finding.verdict, Verdict::Violated, "{}", finding.summary);
        let lines: Vec<u64> = finding
            .witness
            .expect("it is shown")
            .operations
            .iter()
            .map(|shown| shown.line)
            .collect();
        assert_eq!(
            lines,
            [1, 4, 5, 3],
            "the two reads that contradict each other, and the bookings"
        );
    }

    #[test]
    fn a_confirm_of_a_booking_that_was_never_acknowledged_leaves_it_open() {
        let finding = only(&case(1, vec![confirm("ghost", 0, 10)]), Invariant::OneOrder);
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(finding.summary.contains("line 1"), "{}", finding.summary);
    }
}
