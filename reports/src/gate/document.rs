//! The page of a gate, and the body of a comment on a merge.

use std::cmp::Reverse;

use slotproof_vocabulary::{Invariant, Verdict, Witness};

use super::{
    data::{Check, CheckRun, Decision, Gate, Measure, Performance, RoundsLay, Undecided},
    outcome::GateOutcome,
};
use crate::{
    document::{Document, Section},
    estimate::Estimate,
    evidence, quantity, run_context,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
    verdict_text,
};

/// Rows of a witness's table.
const WITNESS_ROWS_MAX: usize = 30;
/// Witnesses of a check that are shown, in the order of the invariants.
const WITNESSES_MAX: usize = 3;

impl Gate {
    /// The page, and the body of a comment.
    pub fn document(&self) -> Document {
        let outcome = self.outcome();
        let sections = [Section::new("checks", "Checks").table("", self.checks_table())]
            .into_iter()
            .chain(self.checks.iter().flat_map(witness_sections))
            .chain([Section::new("objectives", "Objectives").table("", self.objectives_table())])
            .chain(self.performance.as_ref().map(performance_section))
            .chain([run_context::section(&self.header.context)]);
        let took = format!(
            "{} of {}",
            quantity::duration_ms(self.took_ms),
            quantity::duration_ms(self.budget_ms)
        );
        Document {
            kicker: "Slotproof gate",
            title: format!("{} of a merge", quantity::counted(self.checks.len() as u64, "check")),
            subtitle: run_context::environment_line(&self.header.context.environment),
            tone: outcome.tone(),
            outcome: outcome.word().to_owned(),
            headline: self.headline(),
            facts: vec![("time used of the budget".to_owned(), took)],
            origin: Some((&self.header).into()),
            sections: sections.filter(|section| !section.is_empty()).collect(),
            data_file: "gate.json",
            made_by: self.header.made_by("gate.json"),
        }
    }

    fn headline(&self) -> String {
        let outcome = self.outcome();
        if outcome == GateOutcome::Passed {
            let runs = self.checks.iter().flat_map(|check| &check.ran);
            return format!(
                "{} passed over {}.{}",
                quantity::counted(self.checks.len() as u64, "check"),
                quantity::counted(runs.map(|ran| ran.verdict.operations).sum(), "operation"),
                self.performance.as_ref().map(compared).unwrap_or_default()
            );
        }
        let mut alike = self.checks.iter().filter(|check| check.outcome() == outcome);
        let (deciding, more) = (alike.next(), alike.count());
        let mut performance = self.performance.iter().flat_map(not_decided);
        let slower = self.performance.iter().flat_map(slower).next();
        match (deciding, performance.next().or(slower)) {
            (Some(check), _) => {
                let first = format!("{} with {}: {}", check.name, check.strategy, check.reason());
                match more {
                    0 => verdict_text::sentence(&first),
                    more => format!(
                        "{} of {}: {}. The first is {}",
                        more + 1,
                        quantity::counted(self.checks.len() as u64, "check"),
                        outcome.word(),
                        verdict_text::sentence(&first)
                    ),
                }
            }
            (None, Some(slower)) => slower,
            (None, None) => "No check was configured.".to_owned(),
        }
    }

    /// The head of a column with what each check is of.
    fn what_is_checked(&self) -> &'static str {
        match self.header.context.environment.kind.as_str() {
            "target" => "target",
            _ => "strategy",
        }
    }

    fn checks_table(&self) -> Table {
        let columns = [
            words("outcome"),
            words("check"),
            words(self.what_is_checked()),
            words("reason"),
            numbers("operations"),
            numbers("load"),
            words("report"),
        ];
        let mut table = Table::new(&columns);
        // What needs a look first; in the order of the configuration where that is alike.
        let mut worst_first: Vec<&Check> = self.checks.iter().collect();
        worst_first.sort_by_key(|check| Reverse(check.outcome()));
        for check in worst_first {
            let ran = check.ran.as_ref();
            let page = ran.map(|ran| TableCell::page_of(&ran.run));
            let operations = ran.map(|ran| quantity::count(ran.verdict.operations));
            let load = ran.and_then(|ran| ran.lasted_ms).map(quantity::duration_ms);
            table.push(vec![
                TableCell::outcome(check.outcome().tone(), check.outcome().word()),
                check.name.clone().into(),
                check.strategy.clone().into(),
                check.reason().into(),
                operations.unwrap_or_default().into(),
                load.unwrap_or_default().into(),
                page.unwrap_or_else(|| "".into()),
            ]);
        }
        table
    }

    fn objectives_table(&self) -> Table {
        let columns = [
            words("check"),
            words(self.what_is_checked()),
            words("objective"),
            numbers("limit"),
            numbers("measured"),
            words("result"),
        ];
        let mut table = Table::new(&columns);
        for check in &self.checks {
            for objective in check.ran.iter().flat_map(|ran| &ran.objectives) {
                table.push(vec![
                    check.name.clone().into(),
                    check.strategy.clone().into(),
                    objective.name.clone().into(),
                    objective.limit.clone().into(),
                    objective.measured.clone().into(),
                    result(objective.met),
                ]);
            }
        }
        table
    }
}

/// What the comparison of a passed gate came to, as a sentence; nothing where there was none.
fn compared(performance: &Performance) -> String {
    let decisions: Vec<String> = performance
        .measures
        .iter()
        .filter_map(|measure| {
            let decision = measure.decision(performance.tolerance)?;
            Some(format!("{} {}", measure.kind.title(), decision.word()))
        })
        .collect();
    match (&performance.base, &decisions[..]) {
        (None, _) | (_, []) => String::new(),
        (Some(base), decisions) => {
            let undecided = decisions.iter().any(|it| it.ends_with(Decision::Undecided.word()));
            let note = if undecided { "; undecided does not fail this gate" } else { "" };
            format!(" Compared with {base}: {}{note}.", decisions.join(", "))
        }
    }
}

fn result(met: bool) -> TableCell {
    match met {
        true => TableCell::outcome(Tone::Good, "met"),
        false => TableCell::outcome(Tone::Bad, "missed"),
    }
}

/// A section for each of the first witnesses of a check that was violated.
fn witness_sections(check: &Check) -> Vec<Section> {
    let Some(ran) = &check.ran else { return Vec::new() };
    let required = check.required.iter().filter_map(|invariant| check.finding(*invariant));
    let violated = required.filter(|finding| finding.verdict == Verdict::Violated);
    let sections = violated.take(WITNESSES_MAX).filter_map(|finding| {
        let witness = finding.witness.as_ref()?;
        Some(witness_section(check, ran, finding.invariant, witness))
    });
    sections.collect()
}

fn witness_section(
    check: &Check,
    ran: &CheckRun,
    invariant: Invariant,
    witness: &Witness,
) -> Section {
    let section = Section::new(
        format!("{}-{}-{invariant}", check.name.replace(' ', "-"), check.strategy),
        format!("Witness of {invariant}: {} with {}", check.name, check.strategy),
    )
    .paragraph(verdict_text::sentence(&witness.explanation))
    .paragraph(format!("Repeat with seed {}: {}", ran.seed, ran.repeat_command));
    let files = ran.evidence.iter().filter(|name| name.contains(&format!("{invariant}.")));
    let section = files.fold(section, |section, file| {
        section.paragraph(format!(
            "{file} holds only the operations that convict. Judge it alone with slotproof check \
             FILE --capacity SEATS."
        ))
    });
    evidence::tables(witness)
        .into_iter()
        .fold(section, |section, (title, table)| section.first_rows(title, table, WITNESS_ROWS_MAX))
}

fn performance_section(performance: &Performance) -> Section {
    let columns = [
        words("measure"),
        numbers("head"),
        numbers("base"),
        numbers("head / base"),
        numbers("head / head (noise)"),
        words("result"),
    ];
    let mut table = Table::new(&columns);
    for measure in &performance.measures {
        let values = |values: &[f64]| {
            values.iter().map(|value| measure.kind.text(*value)).collect::<Vec<_>>().join(", ")
        };
        table.push(vec![
            measure.kind.title().into(),
            values(&measure.head).into(),
            values(&measure.base).into(),
            measure.ratio.map(ratio).unwrap_or_default().into(),
            measure.noise.map(ratio).unwrap_or_default().into(),
            match measure.decision(performance.tolerance) {
                Some(decision) => decided(decision, performance.undecided),
                None => "not compared".into(),
            },
        ]);
    }
    let against = match &performance.base {
        Some(base) => format!(
            "Compared with {base}, {} per side, {}. A measure is equal if the whole 95 % interval of \
             its ratio lies within the tolerance of {}, worse or better if the whole interval lies \
             beyond it, else undecided. {}",
            quantity::counted(performance.rounds.into(), "round"),
            match performance.rounds_lay {
                RoundsLay::InTurns => "measured in turns; ratios are of the same round",
                RoundsLay::Apart => {
                    "not paired: the base was measured at another time, and medians are compared"
                }
            },
            quantity::percent(performance.tolerance),
            match performance.undecided {
                Undecided::Passes => {
                    "Undecided does not fail this gate; [performance] undecided = \"fails\" would."
                }
                Undecided::Fails => "This gate requires a decision: undecided fails it.",
            }
        ),
        None => "Recorded as a baseline; nothing was compared.".to_owned(),
    };
    Section::new("performance", "Performance").paragraph(against).table("", table)
}

fn decided(decision: Decision, undecided: Undecided) -> TableCell {
    let tone = match (decision, undecided) {
        (Decision::Equal | Decision::Better, _) => Tone::Good,
        (Decision::Worse, _) | (Decision::Undecided, Undecided::Fails) => Tone::Bad,
        (Decision::Undecided, Undecided::Passes) => Tone::Uncertain,
    };
    TableCell::outcome(tone, decision.word())
}

fn ratio(ratio: Estimate) -> String {
    ratio.text(|value| format!("{value:.3}"))
}

/// A sentence for each measure without the decision that the gate requires.
pub(super) fn not_decided(performance: &Performance) -> Vec<String> {
    let sentence = |measure: &Measure| {
        format!(
            "Whether the head is slower than the base is undecided: {} changed by a factor of {}, \
             tolerance {}; give more rounds.",
            measure.kind.title(),
            measure.ratio.map(ratio).unwrap_or_else(|| "nothing that was measured".to_owned()),
            quantity::percent(performance.tolerance)
        )
    };
    performance.not_decided().map(sentence).collect()
}

/// A sentence for each measure in which the head is slower.
pub(super) fn slower(performance: &Performance) -> Vec<String> {
    let slower =
        performance.measures.iter().filter(|measure| measure.slower(performance.tolerance));
    let sentence = |measure: &Measure| {
        format!(
            "The head is slower than the base: {} changed by a factor of {}, tolerance {}.",
            measure.kind.title(),
            measure.ratio.map(ratio).unwrap_or_default(),
            quantity::percent(performance.tolerance)
        )
    };
    slower.map(sentence).collect()
}
