//! The verdict in words: the sentence at the top, and the table of invariants.

use slotproof_vocabulary::{Finding, Invariant, Verdict};

use crate::{
    quantity,
    run_report::RunReport,
    table::{Table, numbers, words},
    tone::Tone,
};

/// What a report says first: one sentence, and what stands behind it.
pub(crate) fn headline(report: &RunReport) -> String {
    match report.verdict.verdict {
        Verdict::Violated => worst(report, "violated"),
        Verdict::Unknown => worst(report, "undecided"),
        Verdict::Upheld if report.is_upheld_with_a_miss() => missed(report),
        Verdict::Upheld => format!(
            "{}ll {} judged invariants held over {} operations{}.",
            if report.verdict.is_as_told() {
                "As far as clients were told: what the service stored was not judged. A"
            } else {
                "A"
            },
            report.verdict.findings.len(),
            quantity::count(report.verdict.operations),
            match report.verdict.not_judged.len() {
                0 => String::new(),
                1 => "; one was not judged".to_owned(),
                more => format!("; {more} were not judged"),
            }
        ),
    }
}

/// The word that stands for the whole run.
pub(crate) fn outcome(report: &RunReport) -> &'static str {
    if report.is_upheld_with_a_miss() {
        return "upheld, objective missed";
    }
    if report.verdict.is_as_told() {
        return "upheld as far as clients were told";
    }
    report.verdict.verdict.name()
}

/// How to take it.
pub(crate) fn tone(report: &RunReport) -> Tone {
    if report.is_upheld_with_a_miss() {
        return Tone::Uncertain;
    }
    report.verdict.verdict.into()
}

/// What a run that missed an objective says first.
fn missed(report: &RunReport) -> String {
    let missed = report.missed().map(|objective| {
        format!("{}: {} (limit {})", objective.name, objective.measured, objective.limit)
    });
    let missed = missed.collect::<Vec<_>>().join("; ");
    let mut text = sentence(&missed);
    for replica in report.totals.errors.by_replica.iter().filter(|replica| replica.is_down()) {
        text.push_str(&format!(" {} served no operation.", replica.address));
    }
    let judged = report.verdict.findings.len();
    format!("{text} All {judged} judged invariants held for the operations that were decided.")
}

/// The first finding that made the verdict what it is, and how many more there are.
fn worst(report: &RunReport, participle: &str) -> String {
    let mut deciding =
        report.verdict.findings.iter().filter(|finding| finding.verdict == report.verdict.verdict);
    let Some(first) = deciding.next() else {
        return "No invariant was judged.".to_owned();
    };
    let summary = sentence(&first.summary);
    let summary = if summary.is_empty() {
        format!("{}: {}.", first.invariant, first.invariant.claim())
    } else {
        summary
    };
    match deciding.count() {
        0 => summary,
        1 => format!("{summary} One more invariant was {participle}."),
        more => format!("{summary} {more} more invariants were {participle}."),
    }
}

/// Begins with a capital letter and ends with a stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return String::new() };
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), characters.as_str())
}

/// The name of the run's strategy, or of its target.
pub(crate) fn strategy(report: &RunReport) -> &str {
    let target = report.environment.servers.first().filter(|_| is_on_target(report));
    match report.plan.strategy {
        Some(strategy) => strategy.name(),
        None => target.map_or("external", |target| target.name.as_str()),
    }
}

/// Whether a target file describes what was judged.
fn is_on_target(report: &RunReport) -> bool {
    report.environment.kind == "target"
}

/// One line about how the strategy works, and whether it is broken on purpose.
pub(crate) fn mechanism(report: &RunReport) -> String {
    match report.plan.strategy {
        None if is_on_target(report) => "a booking API that a target file describes".to_owned(),
        None => "an external service".to_owned(),
        Some(strategy) if strategy.is_negative_control() => {
            format!(
                "{} (negative control: broken on purpose; the checker must convict it)",
                strategy.mechanism()
            )
        }
        Some(strategy) => strategy.mechanism().to_owned(),
    }
}

/// Every invariant with its finding; an invariant without one was not judged.
pub(crate) fn invariants(report: &RunReport) -> Vec<(Invariant, Option<&Finding>)> {
    let finding =
        |invariant| report.verdict.findings.iter().find(|finding| finding.invariant == invariant);
    Invariant::ALL.iter().map(|invariant| (*invariant, finding(*invariant))).collect()
}

/// The invariants as a table.
pub(crate) fn table(report: &RunReport) -> Table {
    let columns = [
        words("id"),
        words("verdict"),
        words("property"),
        words("finding"),
        numbers("examined"),
        numbers("violations"),
    ];
    let mut table = Table::new(&columns);
    for (invariant, finding) in invariants(report) {
        let (verdict, summary, examined, violations) = match finding {
            None => ("not judged", String::new(), String::new(), String::new()),
            Some(finding) => (
                finding.verdict.name(),
                finding.summary.clone(),
                quantity::count(finding.examined),
                quantity::count(finding.violations),
            ),
        };
        let claim = invariant.claim().to_owned();
        table.push(vec![
            invariant.to_string(),
            verdict.to_owned(),
            claim,
            summary,
            examined,
            violations,
        ]);
    }
    table
}

/// The findings that come with a witness.
pub(crate) fn witnessed(report: &RunReport) -> impl Iterator<Item = &Finding> {
    report.verdict.findings.iter().filter(|finding| finding.witness.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_becomes_a_sentence_and_a_sentence_stays_one() {
        assert_eq!(sentence("231 seats were held"), "231 seats were held.");
        assert_eq!(sentence(" état? "), "État?");
        assert_eq!(sentence(""), "");
    }
}
