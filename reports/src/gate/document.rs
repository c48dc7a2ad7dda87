//! The page of a gate, and the body of a comment on a merge.

use slotproof_vocabulary::Verdict;

use super::{
    data::{Check, Gate, Performance},
    outcome::GateOutcome,
};
use crate::{
    document::{Document, Section, Tone},
    estimate::Estimate,
    evidence, quantity, run_context,
    table::{Table, numbers, words},
    verdict_text,
};

/// Rows of a witness's table.
const WITNESS_ROWS_MAX: usize = 30;

impl Gate {
    /// The page, and the body of a comment.
    pub fn document(&self) -> Document {
        let outcome = self.outcome();
        let worst = self.checks.iter().max_by_key(|check| check.outcome());
        let headline = match (outcome, worst) {
            (GateOutcome::Passed, _) => format!(
                "{} held, over {} operations.",
                quantity::counted(self.checks.len() as u64, "check"),
                quantity::count(
                    self.checks
                        .iter()
                        .flat_map(|check| &check.ran)
                        .map(|ran| ran.verdict.operations)
                        .sum()
                )
            ),
            (_, Some(check)) if check.outcome() == outcome => {
                format!("{} with {}: {}.", check.name, check.strategy, check.why())
            }
            _ => "The head is slower than the base by more than the tolerance.".to_owned(),
        };
        let mut checks = Table::new(&[
            words("check"),
            words("strategy"),
            words("outcome"),
            words("because"),
            words("report"),
        ]);
        for check in &self.checks {
            let report = check
                .ran
                .as_ref()
                .map(|ran| format!("{}/report.html", ran.run))
                .unwrap_or_default();
            checks.push(vec![
                check.name.clone(),
                check.strategy.to_string(),
                check.outcome().word().to_owned(),
                check.why(),
                report,
            ]);
        }
        let mut sections = vec![Section::new("checks", "Checks").table("", checks)];
        let convicted = self.checks.iter().filter(|check| check.outcome() == GateOutcome::Violated);
        sections.extend(convicted.flat_map(witness_sections));
        sections.push(self.objectives_section());
        sections.extend(self.performance.as_ref().map(performance_section));
        sections.push(
            Section::new("environment", "Environment")
                .table("", run_context::environment_of(&self.header.context)),
        );
        let took = format!(
            "{} of {}",
            quantity::duration_ms(self.took_ms),
            quantity::duration_ms(self.budget_ms)
        );
        Document {
            kicker: "Slotproof gate",
            title: format!("{} of a merge", quantity::counted(self.checks.len() as u64, "check")),
            subtitle: run_context::environment_line(&self.header.context.environment),
            tone: match outcome {
                GateOutcome::Passed => Tone::Good,
                GateOutcome::Missed | GateOutcome::Unknown => Tone::Uncertain,
                GateOutcome::Violated => Tone::Bad,
            },
            word: outcome.word().to_owned(),
            headline,
            facts: vec![("took, of its budget".to_owned(), took)],
            name: self.header.name.clone(),
            started_at: self.header.context.started_at.clone(),
            repeat_command: self.header.context.repeat_command.clone(),
            sections: sections.into_iter().filter(Section::says_something).collect(),
            made_by: format!(
                "Made by slotproof {} from gate.json alone, schema version {}.",
                self.header.context.slotproof_version, self.header.schema_version
            ),
        }
    }

    fn objectives_section(&self) -> Section {
        let columns = [
            words("check"),
            words("strategy"),
            words("objective"),
            numbers("limit"),
            numbers("measured"),
            words(""),
        ];
        let mut table = Table::new(&columns);
        for check in &self.checks {
            for objective in check.ran.iter().flat_map(|ran| &ran.objectives) {
                table.push(vec![
                    check.name.clone(),
                    check.strategy.to_string(),
                    objective.name.clone(),
                    objective.limit.clone(),
                    objective.measured.clone(),
                    if objective.met { "met" } else { "missed" }.to_owned(),
                ]);
            }
        }
        Section::new("objectives", "Objectives").table("", table)
    }
}

fn witness_sections(check: &Check) -> Vec<Section> {
    let violated = check.required.iter().filter_map(|invariant| check.finding(*invariant));
    let violated = violated.filter(|finding| finding.verdict == Verdict::Violated).take(3);
    let Some(ran) = &check.ran else { return Vec::new() };
    violated
        .filter_map(|finding| {
            let witness = finding.witness.as_ref()?;
            let mut section = Section::new(
                format!("{}-{}-{}", check.name.replace(' ', "-"), check.strategy, finding.invariant),
                format!("Witness of {}: {} with {}", finding.invariant, check.name, check.strategy),
            )
            .say(verdict_text::sentence(&witness.explanation));
            for (title, mut table) in [
                ("Operations", evidence::operations(witness)),
                ("Audit records", evidence::records(witness)),
                ("Final rows", evidence::rows(witness)),
            ] {
                let left_out = table.rows.len().saturating_sub(WITNESS_ROWS_MAX);
                table.rows.truncate(WITNESS_ROWS_MAX);
                section = section.table(title, table);
                if left_out > 0 {
                    section =
                        section.say(format!("{left_out} more {} are in gate.json.", title.to_lowercase()));
                }
            }
            section = section.say(format!("Repeat it with seed {}: {}", ran.seed, ran.repeat_command));
            let files: Vec<&String> = ran
                .evidence
                .iter()
                .filter(|name| name.contains(&format!("{}.", finding.invariant)))
                .collect();
            Some(files.into_iter().fold(section, |section, file| {
                section.say(format!(
                    "{file} holds no more than the operations that convict; slotproof check judges it alone."
                ))
            }))
        })
        .collect()
}

fn performance_section(performance: &Performance) -> Section {
    let columns = [
        words("measure"),
        numbers("head"),
        numbers("base"),
        numbers("head / base"),
        numbers("head / head: the noise"),
        words(""),
    ];
    let mut table = Table::new(&columns);
    for measure in &performance.measures {
        let list = |values: &[f64]| {
            values.iter().map(|value| measure.kind.text(*value)).collect::<Vec<_>>().join(", ")
        };
        let ratio = |ratio: Option<Estimate>| {
            ratio.map_or(String::new(), |ratio| ratio.text(|value| format!("{value:.3}")))
        };
        let verdict = match (measure.ratio, measure.slower(performance.tolerance)) {
            (None, _) => "",
            (Some(_), true) => "missed",
            (Some(_), false) => "met",
        };
        table.push(vec![
            measure.kind.title().to_owned(),
            list(&measure.head),
            list(&measure.base),
            ratio(measure.ratio),
            ratio(measure.noise),
            verdict.to_owned(),
        ]);
    }
    let against = match &performance.base {
        Some(base) => format!(
            "Against {base}, {} of each side. It is missed only if the whole 95 % interval of the ratio lies beyond {:.0} %.",
            quantity::counted(performance.rounds.into(), "round"),
            performance.tolerance * 100.0
        ),
        None => "Measured to be a baseline: nothing was compared.".to_owned(),
    };
    Section::new("performance", "Performance").say(against).table("", table)
}
