//! Judging a part of the slots at a time: what is known of them is forgotten before the next part,
//! so that a history of any length takes little more memory than its operations.
//!
//! Only where slots say nothing about each other: without a log, rows, baskets, changes and a
//! declared limit, and where each booking is confirmed and cancelled in the slot that it was made
//! in. Then every check counts slot by slot, and the counts are added up in the order of the slots.
//! The findings are those that all slots at once would give, to the byte.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use foldhash::HashMap;
use slotproof_history::ActionRef;
use slotproof_vocabulary::{Finding, Outcome};

use super::{
    CHECKS, Count, Evidence, OPERATIONS_FOR_THREADS, i01_no_overbooking_observed as i01,
    i03_no_lost_booking as i03, i06_lawful_lifecycle as i06, i07_seats_conserved as i07,
    i08_honest_sold_out as i08, i09_possible_reads as i09, i10_session_order as i10,
    i13_one_order::by_search as i13, i15_run_coverage as i15, times,
};
use crate::{Case, History, held_interval, slot_evidence, slot_operations::Places};

/// When a history is judged in parts, and how large they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// A shorter history is judged at once.
    history: usize,
    /// Operations of a part, unless one slot has more.
    part: usize,
}

impl Size {
    /// A part fits in the cache of a CPU.
    pub(super) const USUAL: Self = Self { history: OPERATIONS_FOR_THREADS, part: 1 << 13 };
}

/// The findings of all checks, in their order; `None` if the slots must be judged all at once.
pub(super) fn findings(case: &Case, written: &History, size: Size) -> Option<Vec<Option<Finding>>> {
    let operations = case.history.operations.len();
    if operations < size.history || !slots_are_apart(case) {
        return None;
    }
    let places = Places::of(&case.history);
    // One slot is judged by one thread: where it has most of the operations, the checks of all slots
    // at once go to as many threads as there are.
    if places.most() > operations / 2 {
        return None;
    }
    let times = times(&case.history);
    let tally = tallies(case, written, places.into_parts(size.part), times)?;
    let steps = i13::steps(&case.history);
    // Also where parts are missing, because the steps were used up.
    if tally.order.as_ref().is_some_and(|order| !order.keeps_to(steps)) {
        return None;
    }
    Some(tally.findings(&Evidence::of_slots(case, written, Vec::new(), times)))
}

/// Whether nothing that is known of one slot depends on another one.
fn slots_are_apart(case: &Case) -> bool {
    if case.audit.is_some() || case.end.is_some() || case.history.declarations.limit.is_some() {
        return false;
    }
    let operations = &case.history.operations;
    // The slot in which each booking was made.
    const NOWHERE: u32 = u32::MAX;
    let mut made_in = vec![NOWHERE; operations.names().len()];
    for operation in operations {
        if operation.basket().is_some() || matches!(operation.action, ActionRef::Change { .. }) {
            return false;
        }
        if let (ActionRef::Reserve { .. }, Outcome::Ok, Some(booking)) =
            (operation.action, operation.outcome, operation.seen.booking)
        {
            let slot = &mut made_in[booking.id() as usize];
            if *slot != NOWHERE && *slot != operation.slot.id() {
                return false;
            }
            *slot = operation.slot.id();
        }
    }
    operations.iter().all(|operation| match operation.action {
        ActionRef::Confirm { booking } | ActionRef::Cancel { booking } => {
            let slot = made_in[booking.id() as usize];
            slot == NOWHERE || slot == operation.slot.id()
        }
        _ => true,
    })
}

/// What the checks that count slot by slot found in some slots.
struct Tally<'a> {
    overbooked: i01::Tally<'a>,
    lost: Count,
    lifecycle: [Count; 2],
    conserved: Count,
    refusals: Count,
    reads: Count,
    sessions: Count,
    order: Option<i13::Tally>,
    coverage: i15::Tally,
}

impl<'a> Tally<'a> {
    fn of(evidence: &Evidence<'a>) -> Self {
        Self {
            overbooked: i01::tally(evidence),
            lost: i03::tally(evidence),
            lifecycle: i06::tally(evidence),
            conserved: i07::tally(evidence),
            refusals: i08::tally(evidence),
            reads: i09::tally(evidence),
            sessions: i10::tally(evidence),
            order: evidence.one_order().searched(),
            coverage: i15::tally(evidence),
        }
    }

    fn merge(&mut self, later: Self) {
        self.overbooked.merge(later.overbooked);
        self.lost.merge(later.lost);
        for (count, later) in self.lifecycle.iter_mut().zip(later.lifecycle) {
            count.merge(later);
        }
        self.conserved.merge(later.conserved);
        self.refusals.merge(later.refusals);
        self.reads.merge(later.reads);
        self.sessions.merge(later.sessions);
        if let (Some(order), Some(later)) = (&mut self.order, later.order) {
            order.merge(later);
        }
        self.coverage.merge(later.coverage);
    }

    /// The findings of all checks: of these, and of those that look at the whole history or have
    /// nothing to look at.
    fn findings(self, whole: &Evidence<'_>) -> Vec<Option<Finding>> {
        let [mut lifecycle, holds] = self.lifecycle;
        lifecycle.merge(holds);
        let mut counted = [const { None }; CHECKS.len()];
        counted[0] = Some(i01::finding(self.overbooked));
        counted[2] = Some(i03::finding(self.lost, whole));
        counted[5] = Some(i06::finding(lifecycle, whole));
        counted[6] = Some(i07::finding(self.conserved));
        counted[7] = Some(i08::finding(self.refusals));
        counted[8] = Some(i09::finding(self.reads));
        counted[9] = Some(i10::finding(self.sessions));
        counted[12] = Some(self.order.and_then(i13::finding));
        counted[14] = Some(i15::finding(&self.coverage, whole));
        let checks = counted.into_iter().zip(CHECKS);
        checks.map(|(counted, check)| counted.unwrap_or_else(|| check(whole))).collect()
    }
}

/// What was found in all parts, which as many threads judge as there are CPUs.
fn tallies<'a>(
    case: &'a Case,
    written: &'a History,
    parts: Vec<Places<'a>>,
    times: (u64, u64),
) -> Option<Tally<'a>> {
    let last_returned = held_interval::last_returned(&case.history);
    let parts: Vec<Mutex<Option<Places<'a>>>> =
        parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
    let next = AtomicUsize::new(0);
    // Once all parts together have searched for longer than all slots may, they are judged at once:
    // the parts that are left need not be searched.
    let (steps, used) = (i13::steps(&case.history), AtomicU64::new(0));
    let work = || {
        let mut found: Vec<(usize, Tally<'a>)> = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(place) else { return found };
            if used.load(Ordering::Relaxed) > steps {
                return found;
            }
            let part = part.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(part) = part else { continue };
            let tally = of_part(case, written, part, &last_returned, times);
            used.fetch_add(tally.order.as_ref().map_or(0, i13::Tally::used), Ordering::Relaxed);
            found.push((place, tally));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts.len());
    let mut found: Vec<(usize, Tally<'a>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |it: std::thread::ScopedJoinHandle<'_, _>| it.join().expect("no panic");
        workers.into_iter().flat_map(join).collect()
    });
    found.sort_unstable_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, tally)| tally).reduce(|mut all, later| {
        all.merge(later);
        all
    })
}

fn of_part<'a>(
    case: &'a Case,
    written: &'a History,
    part: Places<'a>,
    last_returned: &HashMap<u64, u64>,
    times: (u64, u64),
) -> Tally<'a> {
    let (slots, _) = held_interval::of_slots(part.into_slots(), last_returned);
    let slots = slot_evidence::of_bookings(case, slots);
    Tally::of(&Evidence::of_slots(case, written, slots, times))
}

#[cfg(test)]
mod tests {
    use slotproof_simulation::{Bug, Settings, Shape, simulate};
    use slotproof_vocabulary::{Expectation, Verdict};

    use super::*;
    use crate::{
        fixture::{cancel, case, confirm, reserve},
        invariants,
    };

    const SMALL: Size = Size { history: 0, part: 1 };

    /// The findings of both ways; `None` if the slots are judged at once.
    fn both(case: &Case) -> Option<[Vec<Option<Finding>>; 2]> {
        let parts = findings(case, &case.history, SMALL)?;
        Some([parts, invariants::findings(&Evidence::of(case, &case.history))])
    }

    #[test]
    fn parts_and_all_slots_at_once_are_judged_alike() {
        let expectations = vec![
            Expectation::SoldOut,
            Expectation::Full,
            Expectation::Resale,
            Expectation::Reclaim,
            Expectation::Contested(3),
        ];
        let (mut in_parts, mut violated) = (0, 0);
        for (seed, shape) in (0..12).flat_map(|seed| Shape::ALL.map(|shape| (seed, shape))) {
            for bug in [None, Some(Bug::LostUpdate), Some(Bug::SoldOutCached)] {
                let settings = Settings { slots: 5, bug, ..shape.settings() };
                let run = simulate(&settings, seed);
                let cut = |history: History| match seed % 3 {
                    0 => history.cut("the load was killed"),
                    _ => history,
                };
                let case = Case {
                    history: cut(History::of(run.operations)),
                    capacity: run.capacity,
                    expectations: expectations.clone(),
                    hold_ms: settings.hold_ms.map(|ms| ms + seed % 2),
                    ..Case::default()
                };
                let Some([parts, at_once]) = both(&case) else { continue };
                assert_eq!(parts, at_once, "{shape:?}, seed {seed}, {bug:?}");
                in_parts += 1;
                let convicted = |it: &Finding| it.verdict == Verdict::Violated;
                violated += usize::from(at_once.iter().flatten().any(convicted));
            }
        }
        assert!(in_parts > 50 && violated > 20, "{in_parts} in parts, {violated} violated");
    }

    #[test]
    fn slots_that_say_something_about_each_other_are_judged_at_once() {
        let mut moved = cancel("a", 20, 30);
        moved.slot = "t".into();
        let apart = || vec![reserve("a", 1, 0, 10), confirm("a", 20, 30)];
        assert!(slots_are_apart(&case(1, apart())));
        assert!(!slots_are_apart(&case(1, [apart(), vec![moved]].concat())), "cancelled elsewhere");
        assert!(!slots_are_apart(&Case { audit: Some(Vec::new()), ..case(1, apart()) }));
        let mut again = reserve("a", 1, 40, 50);
        again.slot = "t".into();
        assert!(!slots_are_apart(&case(1, [apart(), vec![again]].concat())), "made in two slots");
    }
}
