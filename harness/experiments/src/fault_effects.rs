//! What clients noticed of a fault, or of a move from one topology to another: for how long nobody got
//! an answer, and how many operations got no decision.

use slotproof_checker::Case;
use slotproof_reports::run_report::FaultEffect;
use slotproof_stack::faults::Injected;
use slotproof_vocabulary::{Operation, Span};

use crate::summary::Window;

/// One for each fault. The load begins the warm-up before its window.
pub(crate) fn effects(
    case: &Case,
    window: Window,
    warm_up: Span,
    faults: &[Injected],
) -> Vec<FaultEffect> {
    let operations = case.history.operations.iter();
    let of_load: Vec<&Operation> = operations.filter(|it| Some(it.client) != case.prober).collect();
    let decided = of_load.iter().filter(|it| is_decided(it));
    let mut decided_ns: Vec<u64> = decided.map(|it| it.returned_ns).collect();
    decided_ns.sort_unstable();
    let begun_ns = window.from_ns.saturating_sub(warm_up.ns());
    let load = Load { of_load, decided_ns, begun_ns, until_ns: window.until_ns };
    faults.iter().map(|fault| load.effect(fault)).collect()
}

fn is_decided(operation: &Operation) -> bool {
    operation.error_class().is_none()
}

struct Load<'a> {
    /// Without the probe of the settled service.
    of_load: Vec<&'a Operation>,
    /// When operations were decided, sorted.
    decided_ns: Vec<u64>,
    /// When the load began and its window ended, on the clock of the history.
    begun_ns: u64,
    until_ns: u64,
}

impl Load<'_> {
    fn effect(&self, fault: &Injected) -> FaultEffect {
        let at_ns = |ms: u64| self.begun_ns + ms * 1_000_000;
        let began_ns = at_ns(fault.began_ms);
        // It may go on when the load is over.
        let ended_ns = at_ns(fault.ended_ms).min(self.until_ns);
        let meanwhile =
            self.of_load.iter().filter(|it| (began_ns..=ended_ns).contains(&it.returned_ns));
        FaultEffect {
            fault: fault.fault.clone(),
            began_ms: fault.began_ms,
            ended_ms: fault.ended_ms,
            longest_gap_ms: longest_gap_ms(&self.decided_ns, began_ns, ended_ns),
            longest_gap_before_ms: longest_gap_ms(&self.decided_ns, self.begun_ns, began_ns),
            operations: meanwhile.clone().count() as u64,
            undecided: meanwhile.filter(|it| !is_decided(it)).count() as u64,
            said: fault.said.clone(),
            problem: fault.problem.clone(),
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

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_vocabulary::{Action, Outcome};

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
        let history = History { operations, ..History::default() };
        let case = Case { history, prober: Some(9), ..Case::default() };
        let migration = Injected {
            fault: "migrate:sharded@100ms".to_owned(),
            began_ms: 100,
            ended_ms: 305,
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
        assert_eq!((downtime.longest_gap_before_ms, downtime.longest_gap_ms), (205, 205));
        assert_eq!((downtime.operations, downtime.undecided), (2, 1));
        let ended = Injected { ended_ms: 900, ..migration.clone() };
        assert_eq!(effect(ended).longest_gap_ms, 590, "nobody was answered any more");
        let later = effect(Injected { began_ms: 96, ended_ms: 97, ..migration });
        assert_eq!((later.longest_gap_before_ms, later.longest_gap_ms), (205, 205));
    }
}
