//! The faults of a run, in its verdict: one that did not take, or that no operation met, has tested
//! nothing, and the run is not covered (I15).

use slotproof_checker::Case;
use slotproof_stack::faults::Injected;
use slotproof_vocabulary::{Finding, Invariant, Operation, Verdict, VerdictReport};

const NS_PER_MS: u64 = 1_000_000;

/// The verdict with what the faults of the run say of its coverage.
pub(crate) fn judged(verdict: VerdictReport, case: &Case, faults: &[Injected]) -> VerdictReport {
    let Some(summary) = faults.iter().find_map(|fault| idle(fault, case)) else { return verdict };
    let VerdictReport { operations, mut findings, .. } = verdict;
    match findings.iter_mut().find(|finding| finding.invariant == Invariant::RunCoverage) {
        Some(coverage) if coverage.verdict == Verdict::Unknown => {
            coverage.summary = format!("{summary}; {}", coverage.summary);
        }
        Some(coverage) => {
            coverage.verdict = Verdict::Unknown;
            coverage.summary = summary;
        }
        None => findings.push(Finding {
            invariant: Invariant::RunCoverage,
            verdict: Verdict::Unknown,
            summary,
            examined: faults.len() as u64,
            violations: 0,
            witness: None,
        }),
    }
    VerdictReport::new(operations, findings)
}

/// Why a fault has tested nothing.
fn idle(fault: &Injected, case: &Case) -> Option<String> {
    if let Some(problem) = &fault.problem {
        return Some(format!("the fault {} did not take: {problem}", fault.fault));
    }
    let operations = &case.history.operations;
    let begun_ns = operations.iter().map(|it| it.sent_ns).min().unwrap_or_default();
    let since_ms = |ns: u64| ns.saturating_sub(begun_ns) / NS_PER_MS;
    let meets = |it: &Operation| {
        since_ms(it.returned_ns) >= fault.began_ms && since_ms(it.sent_ns) <= fault.ended_ms
    };
    (!operations.iter().any(meets)).then(|| {
        format!(
            "no operation was in progress during the fault {}, from {} to {} ms",
            fault.fault, fault.began_ms, fault.ended_ms
        )
    })
}

#[cfg(test)]
mod tests {
    use slotproof_checker::History;
    use slotproof_vocabulary::operation_builder::read;

    use super::*;

    fn coverage(faults: &[Injected]) -> (Verdict, String) {
        let ms =
            |from: u64, to: u64| read("s").at(from * NS_PER_MS, to * NS_PER_MS).available(1).ok();
        let operations = vec![ms(500, 510), ms(1_400, 1_600)];
        let case =
            Case { history: History { operations, ..History::default() }, ..Case::default() };
        let upheld = Finding {
            invariant: Invariant::RunCoverage,
            verdict: Verdict::Upheld,
            summary: "covered".to_owned(),
            examined: 2,
            violations: 0,
            witness: None,
        };
        let verdict = judged(VerdictReport::new(2, vec![upheld]), &case, faults);
        (verdict.findings[0].verdict, verdict.findings[0].summary.clone())
    }

    #[test]
    fn a_fault_that_tested_nothing_leaves_a_run_undecided() {
        let fault = |began_ms, ended_ms, problem: Option<&str>| Injected {
            fault: "kill:x@1s for 1s".to_owned(),
            began_ms,
            ended_ms,
            problem: problem.map(str::to_owned),
        };
        assert_eq!(coverage(&[]).0, Verdict::Upheld);
        assert_eq!(coverage(&[fault(1_000, 1_050, None)]).0, Verdict::Upheld, "it met the second");
        let (verdict, summary) = coverage(&[fault(20, 800, None)]);
        assert_eq!(verdict, Verdict::Unknown, "{summary}");
        assert!(summary.contains("no operation was in progress"), "{summary}");
        let (verdict, summary) = coverage(&[fault(900, 1_000, None), fault(0, 0, Some("gone"))]);
        assert_eq!(verdict, Verdict::Unknown);
        assert_eq!(summary, "the fault kill:x@1s for 1s did not take: gone");
    }
}
