//! The invariants, one file each, in their order.
//!
//! Every file has one function from evidence to a finding, or to none where the evidence that it
//! needs was never collected.

mod i01_promised;
mod i02_taken;
mod i03_lost;
mod i04_phantom;
mod i05_one_effect;
mod i06_one_life;
mod i07_conserved;
mod i08_sold_out;
mod i09_read;
mod i10_session;
mod i11_settled;
mod i12_identity;
mod i13_audit;
mod i13_told;
mod i14_announced;
mod i15_worth;

use std::sync::atomic::{AtomicUsize, Ordering};

use slotproof_vocabulary::{Finding, Invariant, Verdict, Witness};

use crate::{
    Case, Origin, resolution,
    slots::{self, Slot},
    tenure::Tenure,
};

/// A case, and what several invariants derive from it.
struct Evidence<'a> {
    case: &'a Case,
    /// In the order of names.
    slots: Vec<Slot<'a>>,
}

impl<'a> Evidence<'a> {
    fn of(case: &'a Case) -> Self {
        Self { case, slots: slots::of(case) }
    }

    fn tenures(&self) -> impl Iterator<Item = &Tenure<'a>> {
        self.slots.iter().flat_map(|slot| &slot.tenures)
    }
}

/// From evidence to a finding.
type Check = for<'a> fn(&Evidence<'a>) -> Option<Finding>;

/// Every check, in the order of reports.
const CHECKS: [Check; 15] = [
    i01_promised::check,
    i02_taken::check,
    i03_lost::check,
    i04_phantom::check,
    i05_one_effect::check,
    i06_one_life::check,
    i07_conserved::check,
    i08_sold_out::check,
    i09_read::check,
    i10_session::check,
    i11_settled::check,
    i12_identity::check,
    i13_audit::check,
    i14_announced::check,
    i15_worth::check,
];

/// A smaller history is judged sooner than threads are started.
const OPERATIONS_FOR_THREADS: usize = 200_000;

/// What every check finds, in their order. None of them knows of the others, so they may run at
/// once.
fn findings(evidence: &Evidence<'_>) -> Vec<Option<Finding>> {
    let threads = match evidence.case.history.operations.len() {
        few if few < OPERATIONS_FOR_THREADS => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from).min(CHECKS.len()),
    };
    if threads == 1 {
        return CHECKS.iter().map(|check| check(evidence)).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            // The last ones take longest, and so are begun first.
            let taken = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = (CHECKS.len() - 1).checked_sub(taken) else { return found };
            found.push((place, CHECKS[place](evidence)));
        }
    };
    let mut found: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a check does not panic"))
            .collect()
    });
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, finding)| finding).collect()
}

pub(crate) fn judge(case: &Case) -> Vec<Finding> {
    let evidence = Evidence::of(case);
    let findings = findings(&evidence);
    let cut_off = case.history.cut_off.as_deref();
    let findings = findings.into_iter().flatten();
    let findings =
        findings.map(|finding| without_the_missing(finding, cut_off, case.origin)).collect();
    match resolution::resolved(case) {
        Some(history) => {
            let (capacity, capacities) = (case.capacity, case.capacities.clone());
            with_the_resolved(findings, &Case { history, capacity, capacities, ..Case::default() })
        }
        None => findings,
    }
}

/// Seats times seconds of calls that were told `sold_out` while what they wanted was free.
pub(crate) fn wrongly_refused_seat_seconds(case: &Case) -> f64 {
    let slots = slots::of(case);
    let refusals =
        slots.iter().flat_map(i08_sold_out::refusals).filter(i08_sold_out::Refusal::wrong);
    let seat_ns = refusals.map(|refusal| {
        let lasted_ns = refusal.operation.returned_ns - refusal.operation.sent_ns;
        refusal.seats as f64 * lasted_ns as f64
    });
    // Of nothing it is minus zero.
    (seat_ns.sum::<f64>() + 0.0) / 1e9
}

/// What shows only when the rows have decided what clients do not know.
fn with_the_resolved(mut findings: Vec<Finding>, resolved: &Case) -> Vec<Finding> {
    let evidence = Evidence::of(resolved);
    let again = [
        i01_promised::check(&evidence),
        i08_sold_out::check(&evidence),
        i09_read::check(&evidence),
    ];
    for found in again.into_iter().flatten().filter(|finding| finding.verdict == Verdict::Violated)
    {
        let before = findings.iter_mut().find(|finding| finding.invariant == found.invariant);
        let Some(before) = before.filter(|before| before.verdict != Verdict::Violated) else {
            continue;
        };
        *before = Finding {
            summary: format!(
                "{} (only once the final rows had decided what no client knew)",
                found.summary
            ),
            ..found
        };
    }
    findings
}

/// A history that breaks off may lack just the cancel that excuses, or the reserve that explains:
/// what rests on it is unknown.
fn without_the_missing(finding: Finding, cut_off: Option<&str>, origin: Origin) -> Finding {
    let Some(reason) = cut_off else { return finding };
    let stands = match finding.invariant {
        // What the service itself logged and stored needs no history to convict it.
        Invariant::NoOverbookingStored
        | Invariant::LawfulLifecycle
        | Invariant::OneOrder
        | Invariant::AnnouncedOnce => return finding,
        // Nothing that is missing can undo these: `tenure.rs` counts no seat beyond what was heard
        // of its client.
        Invariant::NoOverbookingObserved | Invariant::SessionOrder => {
            finding.verdict == Verdict::Violated && origin == Origin::Recorder
        }
        Invariant::UniqueBookings => finding.verdict == Verdict::Violated,
        Invariant::NoLostBooking
        | Invariant::NoPhantom
        | Invariant::Idempotent
        | Invariant::SeatsConserved
        | Invariant::HonestSoldOut
        | Invariant::PossibleReads
        | Invariant::NothingLeaked
        | Invariant::RunCoverage => false,
    };
    if stands {
        return Finding { summary: format!("{} ({reason})", finding.summary), ..finding };
    }
    Finding {
        verdict: Verdict::Unknown,
        summary: reason.to_owned(),
        violations: 0,
        witness: None,
        ..finding
    }
}

/// What one check counted.
struct Count {
    invariant: Invariant,
    examined: u64,
    violations: u64,
    witness: Option<Witness>,
}

impl Count {
    fn new(invariant: Invariant) -> Self {
        Self { invariant, examined: 0, violations: 0, witness: None }
    }

    fn examine(&mut self) {
        self.examined += 1;
    }

    /// Counts a violation; the first one is shown.
    fn violation(&mut self, witness: impl FnOnce() -> Witness) {
        self.violations += 1;
        if self.witness.is_none() {
            self.witness = Some(witness());
        }
    }

    /// Nothing examined is nothing upheld.
    fn finding(
        self,
        upheld: impl FnOnce(u64) -> String,
        violated: impl FnOnce(u64, u64) -> String,
    ) -> Finding {
        let Self { invariant, examined, violations, witness } = self;
        let (verdict, summary) = match (examined, violations) {
            (0, 0) => (Verdict::Unknown, "there was nothing to examine".to_owned()),
            (_, 0) => (Verdict::Upheld, upheld(examined)),
            _ => (Verdict::Violated, violated(violations, examined)),
        };
        Finding { invariant, verdict, summary, examined, violations, witness }
    }
}

/// A witness without evidence; callers add theirs.
fn witness(slot: &str, explanation: impl Into<String>) -> Witness {
    Witness {
        slot: slot.to_owned(),
        explanation: explanation.into(),
        instant_ns: None,
        operations: Vec::new(),
        records: Vec::new(),
        rows: Vec::new(),
    }
}

/// The fewest of some holders of seats that together exceed `capacity`: the largest first.
fn fewest_beyond<T>(mut holders: Vec<(i64, T)>, capacity: i64) -> Vec<T> {
    holders.sort_by_key(|(seats, _)| std::cmp::Reverse(*seats));
    let mut sum = 0;
    let mut fewest = Vec::new();
    for (seats, holder) in holders {
        if sum > capacity {
            break;
        }
        sum += seats;
        fewest.push(holder);
    }
    fewest
}

#[cfg(test)]
pub(crate) fn only(case: &Case, invariant: Invariant) -> Finding {
    judge(case).into_iter().find(|finding| finding.invariant == invariant).expect("it was judged")
}
