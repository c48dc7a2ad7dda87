//! The faults of a run, in its verdict: one that did not take has tested nothing, and the run is not
//! covered (I15).

use slotproof_stack::faults::Injected;
use slotproof_vocabulary::{Finding, Invariant, Verdict, VerdictReport};

/// The verdict with what the faults of the run say of its coverage.
pub(crate) fn judged(verdict: VerdictReport, faults: &[Injected]) -> VerdictReport {
    let not_taken = faults.iter().find_map(|Injected { fault, problem, .. }| {
        Some(format!("the fault {fault} did not take: {}", problem.as_ref()?))
    });
    let Some(summary) = not_taken else { return verdict };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(verdict: Verdict, problem: Option<&str>) -> (Verdict, String) {
        let finding = Finding {
            invariant: Invariant::RunCoverage,
            verdict,
            summary: "as it was".to_owned(),
            examined: 2,
            violations: 0,
            witness: None,
        };
        let fault = Injected {
            fault: "kill:x@1s for 1s".to_owned(),
            began_ms: 1_000,
            ended_ms: 2_000,
            began_ns: 0,
            ended_ns: 0,
            problem: problem.map(str::to_owned),
            said: None,
        };
        let judged = judged(VerdictReport::new(2, vec![finding]), &[fault]);
        (judged.findings[0].verdict, judged.findings[0].summary.clone())
    }

    #[test]
    fn a_fault_that_did_not_take_leaves_a_run_undecided() {
        assert_eq!(coverage(Verdict::Upheld, None), (Verdict::Upheld, "as it was".to_owned()));
        let not_taken = "the fault kill:x@1s for 1s did not take: gone".to_owned();
        assert_eq!(coverage(Verdict::Upheld, Some("gone")), (Verdict::Unknown, not_taken.clone()));
        let both = format!("{not_taken}; as it was");
        assert_eq!(coverage(Verdict::Unknown, Some("gone")), (Verdict::Unknown, both));
    }
}
