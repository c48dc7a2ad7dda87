//! What clients noticed of a fault, or of a move from one topology to another: the longest time without
//! a decision, and the operations that got none.

use slotproof_checker::Case;
use slotproof_history::OperationRef;
use slotproof_reports::run_report::FaultEffect;
use slotproof_stack::faults::Injected;
use slotproof_vocabulary::Span;

use crate::summary::Window;

/// One for each fault. The load begins the warm-up before its window.
pub(crate) fn effects(
    case: &Case,
    window: Window,
    warm_up: Span,
    faults: &[Injected],
) -> Vec<FaultEffect> {
    let operations = case.history.operations.iter();
    let of_load = operations.filter(|it| Some(it.client) != case.prober);
    let decided = of_load.clone().filter(is_decided);
    let mut decided_ns: Vec<u64> = decided.map(|it| it.returned_ns).collect();
    decided_ns.sort_unstable();
    let begun_ns = window.from_ns.saturating_sub(warm_up.ns());
    let load = Load { of_load, decided_ns, begun_ns, until_ns: window.until_ns };
    faults.iter().map(|fault| load.effect(fault)).collect()
}

fn is_decided(operation: &OperationRef<'_>) -> bool {
    operation.error_class().is_none()
}

struct Load<I> {
    /// Without the probe of the settled service.
    of_load: I,
    /// When operations were decided, sorted.
    decided_ns: Vec<u64>,
    /// When the load began and its window ended, on the clock of the history.
    begun_ns: u64,
    until_ns: u64,
}

impl<'a, I: Iterator<Item = OperationRef<'a>> + Clone> Load<I> {
    fn effect(&self, fault: &Injected) -> FaultEffect {
        // Files of before have no instants of the history's clock.
        let at_ns = |ns: u64, ms: u64| if ns > 0 { ns } else { self.begun_ns + ms * 1_000_000 };
        let began_ns = at_ns(fault.began_ns, fault.began_ms);
        let ended_ns = at_ns(fault.ended_ns, fault.ended_ms);
        let since_begun_ms = |ns: u64| ns.saturating_sub(self.begun_ns) / 1_000_000;
        // It may go on when the load is over.
        let until_ns = ended_ns.min(self.until_ns);
        let meanwhile =
            self.of_load.clone().filter(|it| (began_ns..=until_ns).contains(&it.returned_ns));
        FaultEffect {
            fault: fault.fault.clone(),
            began_ms: since_begun_ms(began_ns),
            ended_ms: since_begun_ms(ended_ns),
            longest_gap_ms: self.longest_gap_ms(began_ns, until_ns),
            longest_gap_before_ms: self.longest_gap_before_ms(began_ns),
            operations: meanwhile.clone().count() as u64,
            undecided: meanwhile.filter(|it| !is_decided(it)).count() as u64,
            said: fault.said.clone(),
            problem: fault.problem.clone(),
        }
    }

    /// The longest time without a decision that overlaps the one from `from` to `until`, from the
    /// last decision before it to the first one after it. Where there is none, from `from`, or to
    /// `until`.
    fn longest_gap_ms(&self, from_ns: u64, until_ns: u64) -> u64 {
        let decided_ns = &self.decided_ns[..];
        let first = decided_ns.partition_point(|ns| *ns <= from_ns);
        let after = decided_ns.partition_point(|ns| *ns < until_ns);
        let before_it = first.checked_sub(1).map_or(from_ns, |place| decided_ns[place]);
        let after_it = decided_ns.get(after).copied().unwrap_or(until_ns);
        let within = decided_ns.get(first..after).unwrap_or_default();
        longest_ms(before_it, within, after_it)
    }

    /// The longest one between the beginning of the load and a fault, which ends it.
    fn longest_gap_before_ms(&self, began_ns: u64) -> u64 {
        let first = self.decided_ns.partition_point(|ns| *ns < self.begun_ns);
        let after = self.decided_ns.partition_point(|ns| *ns <= began_ns);
        let within = self.decided_ns.get(first..after).unwrap_or_default();
        longest_ms(self.begun_ns, within, began_ns)
    }
}

/// The longest distance between neighbours.
fn longest_ms(from_ns: u64, instants_ns: &[u64], until_ns: u64) -> u64 {
    let ends = instants_ns.iter().copied().chain([until_ns]);
    let begins = [from_ns].into_iter().chain(instants_ns.iter().copied());
    let longest_ns = begins.zip(ends).map(|(begin, end)| end.saturating_sub(begin)).max();
    longest_ns.unwrap_or_default() / 1_000_000
}

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_vocabulary::{Action, Operation, Outcome};

    use super::*;

    #[test]
    fn a_gap_counts_where_it_overlaps_the_fault() {
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
        let history = History::of(operations);
        let case = Case { history, prober: Some(9), ..Case::default() };
        let migration = Injected {
            fault: "migrate:sharded@100ms".to_owned(),
            began_ms: 100,
            ended_ms: 305,
            began_ns: 0,
            ended_ns: 0,
            problem: None,
            said: None,
        };
        let window = Window { from_ns: 50_000_000, until_ns: 2_000_000_000 };
        let effect = |fault: Injected| {
            let effects = effects(&case, window, Span::of_ms(50), &[fault]);
            let [effect] = <[FaultEffect; 1]>::try_from(effects).expect("one for each");
            effect
        };
        let downtime = effect(migration.clone());
        // From the beginning to 10 ms, to 40 ms, to 95 ms; the fault ends what it began itself.
        assert_eq!((downtime.longest_gap_before_ms, downtime.longest_gap_ms), (55, 205));
        assert_eq!((downtime.operations, downtime.undecided), (2, 1));
        // The clock of the history counts: the load was heard of 7 ms late.
        let ns = |ms: u64| ms * 1_000_000;
        let late = Injected { began_ns: ns(107), ended_ns: ns(312), ..migration.clone() };
        let late = effect(late);
        assert_eq!((late.began_ms, late.ended_ms, late.operations), (107, 312, 3));
        let ended = Injected { ended_ms: 900, ..migration.clone() };
        assert_eq!(effect(ended).longest_gap_ms, 590, "nobody was answered any more");
        let later = effect(Injected { began_ms: 96, ended_ms: 97, ..migration });
        assert_eq!((later.longest_gap_before_ms, later.longest_gap_ms), (55, 205));
    }
}
