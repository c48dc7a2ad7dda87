//! What a target file leaves unjudged: an API says less of itself than the reference service does.

use std::collections::{BTreeMap, HashSet};

use slotproof_checker::Case;
use slotproof_evidence::TargetEvidence;
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::{Finding, Invariant, Outcome, ReasonCode, Verdict, VerdictReport};

/// Of more answers that no rule matches than this share nothing is known, and so of the API.
const UNMATCHED_MAX: f64 = 0.01;

/// The verdict on a run through a target file: without what the API offers no evidence for, and
/// undecided where too many answers were not understood or rows could not be read.
pub(crate) fn judge(case: &Case, evidence: &TargetEvidence) -> VerdictReport {
    let stale = StaleReads { slots_ms: evidence.stale_ms, bookings_ms: None };
    restricted(judge_with_stale_reads(case, stale), case, evidence)
}

/// How old reads may be, as is declared; absent where nothing is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StaleReads {
    /// Of a slot.
    pub(crate) slots_ms: Option<u64>,
    /// Of a booking.
    pub(crate) bookings_ms: Option<u64>,
}

impl StaleReads {
    /// How old the answer to this operation may be.
    fn of(self, action: &ActionRef<'_>) -> u64 {
        let declared = match action {
            ActionRef::Read => self.slots_ms,
            ActionRef::Booking { .. } => self.bookings_ms,
            ActionRef::Reserve { .. }
            | ActionRef::Confirm { .. }
            | ActionRef::Cancel { .. }
            | ActionRef::Change { .. }
            | ActionRef::Resize { .. } => None,
        };
        declared.unwrap_or_default()
    }

    /// The longest that is declared; 0 if nothing is.
    fn longest_ms(self) -> u64 {
        self.slots_ms.max(self.bookings_ms).unwrap_or_default()
    }
}

/// The verdict on the reference service where a topology declares how old reads may be. Each read
/// says which version its client has seen, and clients read no bookings but their own. So a client
/// never goes back, and what it is told of a booking knows its own reserve and confirm: both are
/// judged as if nothing were declared.
pub(crate) fn judge_of_topology(case: &Case, stale: StaleReads) -> VerdictReport {
    let VerdictReport { operations, mut findings, .. } = judge_with_stale_reads(case, stale);
    if stale.longest_ms() > 0 {
        let of_sessions = [Invariant::SessionOrder, Invariant::NoLostBooking];
        let strict = slotproof_checker::judge(case).findings;
        for strict in strict.into_iter().filter(|it| of_sessions.contains(&it.invariant)) {
            let same = |finding: &&mut Finding| finding.invariant == strict.invariant;
            if let Some(finding) = findings.iter_mut().find(same) {
                *finding = strict;
            }
        }
    }
    VerdictReport::new(operations, findings)
}

/// The verdict where reads may be as old as a target file declares.
fn judge_with_stale_reads(case: &Case, stale: StaleReads) -> VerdictReport {
    match stale.longest_ms() {
        0 => slotproof_checker::judge(case),
        longest_ms => {
            with_the_claim(slotproof_checker::judge(&with_stale_reads(case, stale)), longest_ms)
        }
    }
}

/// The case with reads that may say what was so before they were sent, as is declared.
fn with_stale_reads(case: &Case, stale: StaleReads) -> Case {
    let mut case = case.clone();
    for index in 0..case.history.operations.len() {
        let OperationRef { action, scheduled_ns, sent_ns, .. } = case.history.operations.at(index);
        let stale_ns = stale.of(&action).saturating_mul(1_000_000);
        // Both, so that a generator that was late still shows.
        let earlier_ns = stale_ns.min(scheduled_ns).min(sent_ns);
        if earlier_ns > 0 {
            case.history.operations.edit(index, |operation| {
                operation.scheduled_ns -= earlier_ns;
                operation.sent_ns -= earlier_ns;
            });
        }
    }
    case
}

/// What a finding rests on beside what was seen: a declaration that weakened it.
fn with_the_claim(mut verdict: VerdictReport, stale_ms: u64) -> VerdictReport {
    let weakened = [Invariant::PossibleReads, Invariant::SessionOrder, Invariant::OneOrder];
    for finding in verdict.findings.iter_mut().filter(|it| weakened.contains(&it.invariant)) {
        finding.summary.push_str(&format!("; reads may be {stale_ms} ms old, as declared"));
    }
    verdict
}

fn restricted(verdict: VerdictReport, case: &Case, evidence: &TargetEvidence) -> VerdictReport {
    let VerdictReport { operations, mut findings, .. } = verdict;
    let any_key_twice = any_key_was_sent_twice(case);
    let any_seats_were_said = case.history.operations.iter().any(|it| it.seen.available.is_some());
    findings.retain(|finding| match finding.invariant {
        // A refusal may be about a hold that was still there.
        Invariant::NothingLeaked if evidence.holds_left => false,
        invariant => {
            finding.verdict == Verdict::Violated || {
                is_judged(invariant, evidence, any_key_twice, any_seats_were_said)
            }
        }
    });
    let all = case.history.operations.len();
    let unmatched = case.history.operations.iter().filter(|it| is_unmatched(it)).count();
    let problem = if unmatched as f64 > all as f64 * UNMATCHED_MAX {
        Some(format!(
            "{unmatched} of {all} answers matched no rule of the target file{}, limit 1 %; slotproof \
             target try shows the rule to add",
            most_frequent(case)
        ))
    } else {
        evidence
            .problem
            .as_ref()
            .map(|problem| format!("the evidence could not be read: {problem}"))
    };
    if let Some(summary) = problem {
        findings.retain(|finding| finding.invariant != Invariant::RunCoverage);
        findings.push(Finding {
            invariant: Invariant::RunCoverage,
            verdict: Verdict::Unknown,
            summary,
            examined: all as u64,
            violations: 0,
            witness: None,
        });
    }
    VerdictReport::new(operations, findings)
}

/// Whether there is evidence that could have convicted the API. Without it, that nothing was found
/// says nothing.
fn is_judged(
    invariant: Invariant,
    evidence: &TargetEvidence,
    any_key_twice: bool,
    any_seats_were_said: bool,
) -> bool {
    let rows = evidence.rows.as_ref();
    let all_rows = rows.is_some_and(|rows| rows.all);
    let keyed = rows.is_some_and(|rows| rows.keyed);
    let own_slots = rows.is_some_and(|rows| rows.own_slots);
    let logged = evidence.log.is_some();
    match invariant {
        Invariant::NoOverbookingStored => all_rows || logged,
        Invariant::NoPhantom => all_rows && (keyed || own_slots),
        // Seats left that the log does not say are computed from it, and prove nothing.
        Invariant::SeatsConserved => {
            evidence.log.is_none_or(|log| log.counts_seats) || any_seats_were_said
        }
        Invariant::Idempotent => evidence.keeps_keys && any_key_twice,
        _ => true,
    }
}

/// Whether an API that forgets its keys could have shown it.
fn any_key_was_sent_twice(case: &Case) -> bool {
    let mut sent = HashSet::new();
    case.history.operations.iter().any(|operation| match operation.action {
        ActionRef::Reserve { key, .. } => operation.attempts > 1 || !sent.insert(key),
        _ => false,
    })
}

/// Why most answers were not understood: their status.
fn most_frequent(case: &Case) -> String {
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for operation in case.history.operations.iter().filter(|it| is_unmatched(it)) {
        *by_reason.entry(operation.reason.map_or("", Name::text)).or_default() += 1;
    }
    let Some((reason, count)) = by_reason.into_iter().max_by_key(|(_, count)| *count) else {
        return String::new();
    };
    let means = match reason {
        "http_401" | "http_403" => ": the API refuses who asks, see [auth]",
        "http_429" => ": the API wants fewer requests, see rate",
        _ => "",
    };
    format!(" ({count} of them {reason}{means})")
}

/// An answer came, and no rule said what it means.
fn is_unmatched(operation: &OperationRef<'_>) -> bool {
    let reason = operation.reason_code();
    operation.outcome == Outcome::Unknown
        && matches!(reason, Some(ReasonCode::Http(_) | ReasonCode::Unreadable(_)))
}

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_evidence::{LogEvidence, RowsEvidence};
    use slotproof_vocabulary::{Action, Operation, operation_builder};

    use super::*;

    fn case(unmatched: usize) -> Case {
        let operation = |number: usize| {
            let mut read = Operation::new(1, "s", Action::Read, 1, 2);
            if number < unmatched {
                read.outcome = Outcome::Unknown;
                read.reason = Some("http_418".into());
            }
            read
        };
        let operations = (0..100).map(operation);
        Case { history: History::of(operations), ..Case::default() }
    }

    fn upheld() -> VerdictReport {
        let finding = |invariant| Finding {
            invariant,
            verdict: Verdict::Upheld,
            summary: String::new(),
            examined: 1,
            violations: 0,
            witness: None,
        };
        let all = [
            Invariant::NoOverbookingStored,
            Invariant::NoPhantom,
            Invariant::Idempotent,
            Invariant::RunCoverage,
        ];
        VerdictReport::new(100, all.map(finding).into())
    }

    #[test]
    fn answers_that_nobody_understood_leave_a_run_undecided() {
        let evidence = TargetEvidence::default();
        assert_eq!(restricted(upheld(), &case(1), &evidence).verdict, Verdict::Upheld);
        let undecided = restricted(upheld(), &case(2), &evidence);
        assert_eq!(undecided.verdict, Verdict::Unknown);
        let summary = &undecided.findings.iter().find(|it| it.verdict == Verdict::Unknown);
        let summary = &summary.expect("a finding").summary;
        assert!(summary.contains("2 of 100 answers matched no rule"), "{summary}");
    }

    #[test]
    fn rows_that_could_not_be_read_leave_a_run_undecided() {
        let problem = Some("the role can write".to_owned());
        let evidence = TargetEvidence { problem, ..TargetEvidence::default() };
        let undecided = restricted(upheld(), &case(0), &evidence);
        assert_eq!(undecided.verdict, Verdict::Unknown);
    }

    #[test]
    fn what_there_is_no_evidence_for_is_not_upheld() {
        use Invariant::{Idempotent, NoOverbookingStored, NoPhantom, RunCoverage};
        let judged = |keeps_keys, rows| {
            let evidence = TargetEvidence { keeps_keys, rows, ..TargetEvidence::default() };
            let verdict = restricted(upheld(), &case(0), &evidence);
            verdict.findings.iter().map(|finding| finding.invariant).collect::<Vec<_>>()
        };
        let rows = |all, keyed| Some(RowsEvidence { all, keyed, ..RowsEvidence::default() });
        assert_eq!(judged(false, None), [RunCoverage]);
        assert_eq!(judged(true, rows(false, true)), [RunCoverage], "no key was sent twice");
        assert_eq!(judged(false, rows(true, false)), [NoOverbookingStored, RunCoverage]);
        let all = [NoOverbookingStored, NoPhantom, RunCoverage];
        assert_eq!(judged(true, rows(true, true)), all);
        let log = Some(LogEvidence { read: 3, counts_seats: false });
        let logged =
            restricted(upheld(), &case(0), &TargetEvidence { log, ..TargetEvidence::default() });
        let logged: Vec<_> = logged.findings.iter().map(|finding| finding.invariant).collect();
        assert_eq!(logged, [NoOverbookingStored, RunCoverage]);
        let mut twice = case(0);
        let click = operation_builder::reserve("s").key("k").at(0, 10).booked("b");
        twice.history.operations.extend([click.clone(), click]);
        let keeps = TargetEvidence { keeps_keys: true, ..TargetEvidence::default() };
        let verdict = restricted(upheld(), &twice, &keeps);
        assert!(verdict.findings.iter().any(|finding| finding.invariant == Idempotent));
        let mut violated = upheld();
        violated.findings[0].verdict = Verdict::Violated;
        let violated = restricted(violated, &case(0), &TargetEvidence::default());
        assert_eq!(violated.verdict, Verdict::Violated, "less evidence never acquits");
    }

    fn of_slots(slots_ms: Option<u64>) -> StaleReads {
        StaleReads { slots_ms, bookings_ms: None }
    }

    #[test]
    fn a_read_is_as_old_as_is_declared_of_what_it_reads() {
        let stale = StaleReads { slots_ms: Some(3), bookings_ms: Some(5) };
        let history = History::of([
            operation_builder::read("s").ok(),
            operation_builder::booking("s", "b").ok(),
            operation_builder::cancel("s", "b").ok(),
            operation_builder::reserve("s").key("k").booked("b"),
        ]);
        let ages: Vec<u64> = history.operations.iter().map(|it| stale.of(&it.action)).collect();
        assert_eq!(ages, [3, 5, 0, 0]);
        assert_eq!((stale.longest_ms(), StaleReads::default().longest_ms()), (5, 0));
    }

    #[test]
    fn a_client_of_a_topology_never_goes_back_however_old_reads_may_be() {
        let reserve = operation_builder::reserve("s").key("k").at(0, 10).version(7).booked("b");
        let back = operation_builder::read("s").at(20, 30).available(1).version(6).ok();
        let operations = vec![reserve, back];
        let case = Case { history: History::of(operations), ..case(0) };
        let of_sessions = |verdict: VerdictReport| {
            let mut findings = verdict.findings.into_iter();
            let found = findings.find(|finding| finding.invariant == Invariant::SessionOrder);
            found.expect("it is judged").verdict
        };
        assert_eq!(of_sessions(judge_with_stale_reads(&case, of_slots(Some(3)))), Verdict::Upheld);
        assert_eq!(of_sessions(judge_of_topology(&case, of_slots(Some(3)))), Verdict::Violated);
        assert_eq!(of_sessions(judge_of_topology(&case, of_slots(None))), Verdict::Violated);
    }

    #[test]
    fn a_client_of_a_topology_knows_its_own_booking_however_old_reads_may_be() {
        let (made, look) = (2_000_000_000, 2_100_000_000);
        let reserve = operation_builder::reserve("s").key("k").at(made, made + 10);
        let reserve = reserve.hold_ms(5_000).version(7).booked("b");
        let gone = operation_builder::booking("s", "b").at(look, look + 10).rejected("not_found");
        let operations = vec![reserve, gone];
        let case = Case { history: History::of(operations), ..case(0) };
        let lost = |verdict: VerdictReport| {
            let mut findings = verdict.findings.into_iter();
            let found = findings.find(|finding| finding.invariant == Invariant::NoLostBooking);
            found.expect("it is judged").verdict
        };
        let stale = StaleReads { slots_ms: Some(1_000), bookings_ms: Some(1_000) };
        assert_eq!(lost(judge_with_stale_reads(&case, stale)), Verdict::Upheld);
        assert_eq!(lost(judge_of_topology(&case, stale)), Verdict::Violated);
    }

    #[test]
    fn a_read_may_be_as_old_as_the_file_claims() {
        let mut case = case(0);
        case.history.operations.edit(0, |read| {
            (read.scheduled_ns, read.sent_ns, read.returned_ns) = (4_000_000, 5_000_000, 6_000_000);
        });
        let stale = with_stale_reads(&case, of_slots(Some(3)));
        assert_eq!(stale.history.operations.at(0).sent_ns, 2_000_000);
        assert_eq!(stale.history.operations.at(0).scheduled_ns, 1_000_000, "as late as it was");
        assert!(
            stale.history.operations.at(1).scheduled_ns <= stale.history.operations.at(1).sent_ns
        );
    }
}
