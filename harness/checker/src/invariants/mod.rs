//! The invariants, one file each, in their order.
//!
//! Every file has one function from evidence to a finding, or to none if the evidence that it needs
//! was not collected.

mod i01_no_overbooking_observed;
mod i02_no_overbooking_stored;
mod i03_no_lost_booking;
mod i04_no_phantom;
mod i05_idempotent;
mod i06_lawful_lifecycle;
mod i07_seats_conserved;
mod i08_honest_sold_out;
mod i09_possible_reads;
mod i10_session_order;
mod i11_nothing_leaked;
mod i12_unique_bookings;
mod i13_one_order;
mod i14_announced_once;
mod i15_run_coverage;
mod i16_limit_per_owner;

mod parts;

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use slotproof_vocabulary::{
    BookingRow, Finding, ForeignRows, Invariant, Verdict, Witness, verdict::WitnessOperation,
};

use self::i13_one_order::OneOrder;
use crate::{
    Case, History, Origin,
    audit::Ledger,
    held_interval::HeldInterval,
    interpretation::interpreted,
    resolution,
    slot_evidence::{self, SlotEvidence},
    slot_history::{self, Elsewhere},
};

/// A case, and what several invariants derive from it.
struct Evidence<'a> {
    /// As it is to be read (`interpretation.rs`).
    case: &'a Case,
    /// The history as it was written.
    written: &'a History,
    /// In the order of names.
    slots: Vec<SlotEvidence<'a>>,
    /// What slots say about the operations of other slots.
    elsewhere: Elsewhere,
    /// When the first operation was sent: people count from there.
    first_ns: u64,
    /// When the last one returned.
    last_ns: u64,
    /// The audit log, if the service keeps one.
    ledger: Option<Ledger<'a>>,
    /// Whether one order explains everything: I15 asks for it too.
    one_order: OnceLock<OneOrder>,
}

impl<'a> Evidence<'a> {
    fn of(case: &'a Case, written: &'a History) -> Self {
        let slots = slot_evidence::of(case);
        let moved = slot_history::moved(&case.history);
        let elsewhere =
            Elsewhere { moved, ..slot_evidence::refused_baskets(&case.history, &slots) };
        let log = case.audit.as_deref();
        let ledger = log.map(|log| Ledger::of_slots(log, &slots, |name| case.capacity_of(name)));
        let times = times(&case.history);
        Self { elsewhere, ledger, ..Self::of_slots(case, written, slots, times) }
    }

    /// Of slots that say nothing about each other, in a case without a log.
    fn of_slots(
        case: &'a Case,
        written: &'a History,
        slots: Vec<SlotEvidence<'a>>,
        (first_ns, last_ns): (u64, u64),
    ) -> Self {
        Self {
            case,
            written,
            slots,
            elsewhere: Elsewhere::default(),
            first_ns,
            last_ns,
            ledger: None,
            one_order: OnceLock::new(),
        }
    }

    /// An instant as people read it: counted from the first operation of the history.
    fn instant(&self, ns: u64) -> String {
        const MS: u64 = 1_000_000;
        let since = ns.saturating_sub(self.first_ns);
        // A history of another system may count instants in small numbers.
        let small = self.last_ns.saturating_sub(self.first_ns) < 10 * MS;
        match small {
            true => format!("{since} ns after the first operation"),
            false => {
                format!("{}.{:03} ms after the first operation", since / MS, since % MS / 1_000)
            }
        }
    }

    fn one_order(&self) -> &OneOrder {
        self.one_order.get_or_init(|| i13_one_order::decide(self))
    }

    /// Operations as a witness shows them.
    fn show(&self, indexes: impl IntoIterator<Item = usize>) -> Vec<WitnessOperation> {
        self.written.show(indexes)
    }

    fn slot(&self, name: &str) -> Option<&SlotEvidence<'a>> {
        let place = self.slots.binary_search_by_key(&name, |slot| slot.name).ok()?;
        Some(&self.slots[place])
    }

    /// The final rows that take seats, by slot; a slot without such a row has an empty list.
    fn rows_that_take_seats(&self) -> BTreeMap<&'a str, Vec<&'a BookingRow>> {
        let Some(end) = &self.case.end else { return BTreeMap::new() };
        let mut slots: BTreeMap<&str, Vec<&BookingRow>> =
            end.slots.iter().map(|row| (row.slot.as_str(), Vec::new())).collect();
        for row in end.bookings.iter().filter(|row| row.status.takes_seats()) {
            slots.entry(&row.slot).or_default().push(row);
        }
        slots
    }

    /// What is known of the final rows, if they are those of another API.
    fn foreign_rows(&self) -> Option<&'a ForeignRows> {
        self.case.end.as_ref()?.foreign.as_ref()
    }

    /// The fewest and the most seats that a slot can have when the run has settled.
    fn capacity_at_the_end(&self, name: &str) -> (i64, i64) {
        let fixed = self.case.capacity_of(name);
        self.slot(name).map_or((fixed, fixed), |slot| slot.capacity.at_the_end())
    }

    /// Whether a slot can have exactly this capacity when the run has settled.
    fn may_end_with(&self, name: &str, capacity: i64) -> bool {
        self.slot(name).map_or(capacity == self.case.capacity_of(name), |slot| {
            slot.capacity.may_be(capacity, u64::MAX, u64::MAX)
        })
    }

    fn held_intervals(&self) -> impl Iterator<Item = &HeldInterval<'a>> {
        self.slots.iter().flat_map(|slot| &slot.held_intervals)
    }

    /// Every acknowledged booking, once, as of the slot that it was made in.
    fn bookings(&self) -> impl Iterator<Item = &HeldInterval<'a>> {
        self.held_intervals().filter(|held| !held.is_a_move())
    }
}

/// When the first operation of a history was sent, and when the last one returned.
fn times(history: &History) -> (u64, u64) {
    let (mut first_ns, mut last_ns) = (u64::MAX, 0);
    for operation in &history.operations {
        first_ns = first_ns.min(operation.sent_ns);
        if operation.returned_ns < u64::MAX {
            last_ns = last_ns.max(operation.returned_ns);
        }
    }
    (if history.operations.is_empty() { 0 } else { first_ns }, last_ns)
}

/// From evidence to a finding.
type Check = for<'a> fn(&Evidence<'a>) -> Option<Finding>;

/// Every check, in the order of reports.
const CHECKS: [Check; 16] = [
    i01_no_overbooking_observed::check,
    i02_no_overbooking_stored::check,
    i03_no_lost_booking::check,
    i04_no_phantom::check,
    i05_idempotent::check,
    i06_lawful_lifecycle::check,
    i07_seats_conserved::check,
    i08_honest_sold_out::check,
    i09_possible_reads::check,
    i10_session_order::check,
    i11_nothing_leaked::check,
    i12_unique_bookings::check,
    i13_one_order::check,
    i14_announced_once::check,
    i15_run_coverage::check,
    i16_limit_per_owner::check,
];

/// A smaller history is judged faster than threads start.
const OPERATIONS_FOR_THREADS: usize = 200_000;

/// The findings of all checks, in their order. The checks are independent, so they run in parallel.
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
            // The last ones take longest, so they start first.
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
    let written = &case.history;
    let interpreted = interpreted(case);
    let case = interpreted.as_ref().unwrap_or(case);
    let findings = parts::findings(case, written, parts::Size::USUAL)
        .unwrap_or_else(|| findings(&Evidence::of(case, written)));
    let cut_off = case.history.cut_off.as_deref();
    let findings = findings.into_iter().flatten();
    let findings =
        findings.map(|finding| without_the_missing(finding, cut_off, case.origin)).collect();
    match resolution::resolved(case) {
        Some(history) => {
            let (capacity, capacities) = (case.capacity, case.capacities.clone());
            let resolved = Case { history, capacity, capacities, ..Case::default() };
            with_the_resolved(findings, &resolved, written)
        }
        None => findings,
    }
}

/// Seats times seconds of calls that were told `sold_out` while the seats they wanted were free.
pub(crate) fn wrongly_refused_seat_seconds(case: &Case) -> f64 {
    let interpreted = interpreted(case);
    let evidence = Evidence::of(interpreted.as_ref().unwrap_or(case), &case.history);
    let refusals = evidence.slots.iter();
    let refusals = refusals
        .flat_map(|slot| i08_honest_sold_out::refusals(&evidence, slot))
        .filter(i08_honest_sold_out::Refusal::wrong);
    let seat_ns = refusals.map(|refusal| {
        let lasted_ns = refusal.returned_ns - refusal.sent_ns;
        refusal.seats as f64 * lasted_ns as f64
    });
    // An empty sum is minus zero.
    (seat_ns.sum::<f64>() + 0.0) / 1e9
}

/// Violations that show only after the rows have decided unknown outcomes.
fn with_the_resolved(
    mut findings: Vec<Finding>,
    resolved: &Case,
    written: &History,
) -> Vec<Finding> {
    let evidence = Evidence::of(resolved, written);
    let again = [
        i01_no_overbooking_observed::check(&evidence),
        i08_honest_sold_out::check(&evidence),
        i09_possible_reads::check(&evidence),
    ];
    for found in again.into_iter().flatten().filter(|finding| finding.verdict == Verdict::Violated)
    {
        let before = findings.iter_mut().find(|finding| finding.invariant == found.invariant);
        let Some(before) = before.filter(|before| before.verdict != Verdict::Violated) else {
            continue;
        };
        *before = Finding {
            summary: format!(
                "{} (after the final rows had decided unknown outcomes)",
                found.summary
            ),
            ..found
        };
    }
    findings
}

/// A history that breaks off may lack the cancel that excuses, or the reserve that explains:
/// findings that rest on it are unknown.
fn without_the_missing(finding: Finding, cut_off: Option<&str>, origin: Origin) -> Finding {
    let Some(reason) = cut_off else { return finding };
    let stands = match finding.invariant {
        // The log and the rows of the service convict it without a history.
        Invariant::NoOverbookingStored
        | Invariant::LawfulLifecycle
        | Invariant::OneOrder
        | Invariant::AnnouncedOnce => return finding,
        // No missing operation can undo these: `held_interval.rs` counts no seat after its client's
        // last operation.
        Invariant::NoOverbookingObserved | Invariant::SessionOrder | Invariant::LimitPerOwner => {
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

/// The counts of one check.
#[derive(Debug)]
struct Count {
    invariant: Invariant,
    examined: u64,
    violations: u64,
    witness: Option<Witness>,
    /// What the evidence does not decide, first example.
    undecided: Option<String>,
}

impl Count {
    fn new(invariant: Invariant) -> Self {
        Self { invariant, examined: 0, violations: 0, witness: None, undecided: None }
    }

    /// Adds the counts of later slots.
    fn merge(&mut self, later: Self) {
        self.examined += later.examined;
        self.violations += later.violations;
        self.witness = self.witness.take().or(later.witness);
        self.undecided = self.undecided.take().or(later.undecided);
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

    /// Notes something that the evidence does not decide: then the invariant is not upheld.
    fn undecided(&mut self, reason: impl FnOnce() -> String) {
        self.undecided.get_or_insert_with(reason);
    }

    /// Nothing examined is nothing upheld.
    fn finding(
        self,
        upheld: impl FnOnce(u64) -> String,
        violated: impl FnOnce(u64, u64) -> String,
    ) -> Finding {
        let Self { invariant, examined, violations, witness, undecided } = self;
        let (verdict, summary) = match (examined, violations) {
            (_, 0) if undecided.is_some() => (Verdict::Unknown, undecided.unwrap_or_default()),
            (0, 0) => (Verdict::Unknown, "nothing to examine".to_owned()),
            (_, 0) => (Verdict::Upheld, upheld(examined)),
            _ => (Verdict::Violated, violated(violations, examined)),
        };
        Finding { invariant, verdict, summary, examined, violations, witness }
    }
}

/// A witness without evidence, which the caller adds.
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

/// A number of things as a text: `1 seat`, `2 seats`.
fn counted(number: impl Into<i128>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// A capacity as a text: `3`, or `2 to 4` where it is not known exactly.
fn seats_between(capacity: &RangeInclusive<i64>) -> String {
    match (capacity.start(), capacity.end()) {
        (least, most) if least == most => most.to_string(),
        (least, most) => format!("{least} to {most}"),
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
