//! `gate.json`: what a merge was held against, and what is drawn from it: a page, JUnit XML,
//! annotations, a badge.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Finding, Invariant, Plan, StrategyKind, Verdict, VerdictReport};

use crate::{
    RenderError,
    document::{Document, Section, Tone},
    estimate::Estimate,
    junit, quantity, run_context,
    run_report::EnvironmentBlock,
    table::{Table, numbers, words},
};

/// Rows of a witness's table.
const WITNESS_ROWS_MAX: usize = 30;

/// A gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Version of this shape: [`Gate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of its directory.
    pub name: String,
    /// When it began (UTC, RFC 3339).
    pub started_at: String,
    /// The version of Slotproof that ran it.
    pub slotproof_version: String,
    /// The one command that repeats it.
    pub repeat_command: String,
    /// Where it ran.
    pub environment: EnvironmentBlock,
    /// How long it took.
    pub took_ms: u64,
    /// How long it might take; what had not begun by then was not run.
    pub budget_ms: u64,
    /// Every scenario with every strategy.
    pub checks: Vec<Check>,
    /// How fast it is, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<Performance>,
}

/// One load of one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// As the configuration names it.
    pub name: String,
    /// The strategy of the service.
    pub strategy: StrategyKind,
    /// Invariants that must be upheld; each of the others is shown, and decides nothing.
    pub required: Vec<Invariant>,
    /// What it came to; absent if the budget was spent before it began.
    pub ran: Option<CheckRun>,
}

/// A check that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    /// The run's directory, beside the gate's own file.
    pub run: String,
    /// The seed of the load.
    pub seed: u64,
    /// The one command that repeats the run.
    pub repeat_command: String,
    /// What was found.
    pub verdict: VerdictReport,
    /// What was wanted beside correctness.
    pub objectives: Vec<Objective>,
    /// Files of operations that convict alone, beside the gate's own file.
    pub evidence: Vec<String>,
}

/// A limit and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// What is limited.
    pub name: String,
    /// The limit, as people read it.
    pub limit: String,
    /// What was measured, as people read it.
    pub measured: String,
    /// Whether it was kept.
    pub met: bool,
}

/// How fast the head is, and how fast the base was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// What was run for it.
    pub plan: Plan,
    /// Where: a baseline from elsewhere says nothing.
    pub environment: EnvironmentBlock,
    /// Loads of each side.
    pub rounds: u32,
    /// How much worse it may be, as a share.
    pub tolerance: f64,
    /// What it is compared with, in words; absent where it was only measured, to be a baseline
    /// later.
    pub base: Option<String>,
    /// Each number that is compared.
    pub measures: Vec<Measure>,
}

/// A number of a load, of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Which.
    pub kind: MeasureKind,
    /// The head's rounds.
    pub head: Vec<f64>,
    /// The base's rounds; empty where there is no base.
    pub base: Vec<f64>,
    /// Head to base.
    pub ratio: Option<Estimate>,
    /// Head to head: what a ratio is when nothing has changed.
    pub noise: Option<Estimate>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Acknowledged reserves per second; more is better.
    ReservedPerS,
    /// 99th percentile of the response latency of reserves in microseconds; less is better.
    ResponseUsP99,
}

impl MeasureKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::ReservedPerS, Self::ResponseUsP99];

    fn title(self) -> &'static str {
        match self {
            Self::ReservedPerS => "reserves acknowledged per second",
            Self::ResponseUsP99 => "response p99 of reserves",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::ReservedPerS => quantity::rate(value),
            Self::ResponseUsP99 => quantity::duration_us(value.round().max(0.0) as u64),
        }
    }
}

impl Measure {
    /// Whether the whole interval lies beyond the tolerance: then it is slower, and not the
    /// machine's noise.
    pub fn slower(&self, tolerance: f64) -> bool {
        self.ratio.is_some_and(|ratio| match self.kind {
            MeasureKind::ReservedPerS => ratio.high < 1.0 - tolerance,
            MeasureKind::ResponseUsP99 => ratio.low > 1.0 + tolerance,
        })
    }
}

/// What a gate comes to. The worst wins, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// Everything required was upheld, and every objective met.
    Passed,
    /// Correct as far as anybody saw, and an objective was missed.
    Missed,
    /// Something required was not decided.
    Unknown,
    /// Something required was violated.
    Violated,
}

impl GateOutcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Missed => "objective missed",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }
}

impl Check {
    /// What a required invariant came to: what nobody judged is unknown.
    fn finding(&self, invariant: Invariant) -> Option<&Finding> {
        let findings = self.ran.iter().flat_map(|ran| &ran.verdict.findings);
        findings.into_iter().find(|finding| finding.invariant == invariant)
    }

    /// What the check comes to.
    pub fn outcome(&self) -> GateOutcome {
        let Some(ran) = &self.ran else { return GateOutcome::Unknown };
        let of =
            |invariant: &Invariant| match self.finding(*invariant).map(|finding| finding.verdict) {
                Some(Verdict::Violated) => GateOutcome::Violated,
                Some(Verdict::Unknown) | None => GateOutcome::Unknown,
                Some(Verdict::Upheld) => GateOutcome::Passed,
            };
        let correct = self.required.iter().map(of).max().unwrap_or(GateOutcome::Unknown);
        let missed = ran.objectives.iter().any(|objective| !objective.met);
        correct.max(if missed { GateOutcome::Missed } else { GateOutcome::Passed })
    }

    /// The first required invariant that decided against it.
    fn deciding(&self) -> Option<&Finding> {
        let found = |verdict| {
            let required = self.required.iter().filter_map(|invariant| self.finding(*invariant));
            required.into_iter().find(|finding| finding.verdict == verdict)
        };
        found(Verdict::Violated).or_else(|| found(Verdict::Unknown))
    }

    fn why(&self) -> String {
        let Some(ran) = &self.ran else { return "the budget was spent before it began".to_owned() };
        if let Some(finding) = self.deciding() {
            return format!("{}: {}", finding.invariant, finding.summary);
        }
        if let Some(missing) =
            self.required.iter().find(|invariant| self.finding(**invariant).is_none())
        {
            return format!("{missing} is required, and nothing was there to judge it by");
        }
        match ran.objectives.iter().find(|objective| !objective.met) {
            Some(missed) => {
                format!("{} is {}, and {} is the limit", missed.name, missed.measured, missed.limit)
            }
            None => {
                let not_judged: Vec<String> =
                    ran.verdict.not_judged.iter().map(ToString::to_string).collect();
                let left = if not_judged.is_empty() {
                    String::new()
                } else {
                    format!("; not judged here: {}", not_judged.join(" "))
                };
                let operations = quantity::count(ran.verdict.operations);
                format!(
                    "{} invariants upheld over {operations} operations{left}",
                    self.required.len()
                )
            }
        }
    }
}

impl Gate {
    /// Version of the shape that this code writes and reads.
    pub const SCHEMA_VERSION: u32 = 1;

    /// What it comes to.
    pub fn outcome(&self) -> GateOutcome {
        let slower = self.performance.iter().any(|performance| {
            performance.measures.iter().any(|measure| measure.slower(performance.tolerance))
        });
        let checks = self.checks.iter().map(Check::outcome).max().unwrap_or(GateOutcome::Unknown);
        checks.max(if slower { GateOutcome::Missed } else { GateOutcome::Passed })
    }

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
        sections.push(Section::new("environment", "Environment").table(
            "",
            run_context::environment_of(
                &self.environment,
                &self.slotproof_version,
                &self.started_at,
            ),
        ));
        let took = format!(
            "{} of {}",
            quantity::duration_ms(self.took_ms),
            quantity::duration_ms(self.budget_ms)
        );
        Document {
            kicker: "Slotproof gate",
            title: format!("{} of a merge", quantity::counted(self.checks.len() as u64, "check")),
            subtitle: run_context::environment_line(&self.environment),
            tone: match outcome {
                GateOutcome::Passed => Tone::Good,
                GateOutcome::Missed | GateOutcome::Unknown => Tone::Uncertain,
                GateOutcome::Violated => Tone::Bad,
            },
            word: outcome.word().to_owned(),
            headline,
            facts: vec![("took, of its budget".to_owned(), took)],
            name: self.name.clone(),
            started_at: self.started_at.clone(),
            repeat_command: self.repeat_command.clone(),
            sections: sections.into_iter().filter(Section::says_something).collect(),
            made_by: format!(
                "Made by slotproof {} from gate.json alone, schema version {}.",
                self.slotproof_version, self.schema_version
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

    /// One suite for each check, one case for each of its invariants and objectives. A violation
    /// fails; what is not decided is an error.
    ///
    /// # Errors
    /// The report did not become XML.
    pub fn junit(&self) -> Result<Vec<u8>, RenderError> {
        let mut report = Report::new("slotproof gate");
        for check in &self.checks {
            let name = format!("{}.{}", check.name, check.strategy);
            let mut suite = TestSuite::new(name.as_str());
            let repeat =
                check.ran.as_ref().map(|ran| ran.repeat_command.clone()).unwrap_or_default();
            if let Some(ran) = &check.ran {
                suite.add_property(("run", ran.run.as_str()));
                suite.add_property(("seed", ran.seed.to_string().as_str()));
                suite.add_property(("repeat_command", repeat.as_str()));
            }
            for invariant in Invariant::ALL.iter().copied() {
                let required = check.required.contains(&invariant);
                let mut case = junit::test_case(
                    &name,
                    invariant,
                    check.finding(invariant).filter(|_| required),
                );
                if required && check.finding(invariant).is_none() {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                    status.set_message(check.why());
                    case.status = status;
                }
                case.set_system_out(format!("repeat: {repeat}"));
                suite.add_test_case(case);
            }
            for objective in check.ran.iter().flat_map(|ran| &ran.objectives) {
                suite.add_test_case(objective_case(&name, objective));
            }
            report.add_test_suite(suite);
        }
        if let Some(performance) = &self.performance {
            let mut suite = TestSuite::new("performance");
            for measure in &performance.measures {
                let met = !measure.slower(performance.tolerance);
                let ratio = measure.ratio.map_or("not compared".to_owned(), |ratio| {
                    ratio.text(|value| format!("{value:.3}"))
                });
                let limit = format!("within {:.0} % of the base", performance.tolerance * 100.0);
                let objective = Objective {
                    name: measure.kind.title().to_owned(),
                    limit,
                    measured: ratio,
                    met,
                };
                suite.add_test_case(objective_case("performance", &objective));
            }
            report.add_test_suite(suite);
        }
        let mut bytes = Vec::new();
        report.serialize(&mut bytes)?;
        Ok(bytes)
    }

    /// Lines that GitHub Actions shows beside a merge: it takes ten of each kind from a step.
    pub fn annotations(&self) -> Vec<String> {
        const MOST: usize = 10;
        let line = |check: &Check| {
            let kind = match check.outcome() {
                GateOutcome::Passed => return None,
                GateOutcome::Missed => "warning",
                GateOutcome::Unknown | GateOutcome::Violated => "error",
            };
            let repeat = check
                .ran
                .as_ref()
                .map(|ran| format!("\nrepeat: {}", ran.repeat_command))
                .unwrap_or_default();
            let title = format!(
                "slotproof: {} {} with {}",
                check.name,
                check.outcome().word(),
                check.strategy
            );
            Some(format!(
                "::{kind} title={}::{}",
                property(&title),
                message(&format!("{}{repeat}", check.why()))
            ))
        };
        self.checks.iter().filter_map(line).take(MOST).collect()
    }

    /// A badge, as shields.io reads it from an address.
    pub fn badge(&self) -> String {
        let (message, color) = match self.outcome() {
            GateOutcome::Passed => ("never overbooked", "brightgreen"),
            GateOutcome::Missed => ("objective missed", "yellow"),
            GateOutcome::Unknown => ("unknown", "lightgrey"),
            GateOutcome::Violated => ("violated", "red"),
        };
        format!(
            "{{\"schemaVersion\":1,\"label\":\"slotproof\",\"message\":\"{message}\",\"color\":\"{color}\"}}\n"
        )
    }
}

fn objective_case(classname: &str, objective: &Objective) -> TestCase {
    let status = if objective.met {
        TestCaseStatus::success()
    } else {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_type("objective")
            .set_message(format!("{} measured, {} wanted", objective.measured, objective.limit));
        status
    };
    let mut case = TestCase::new(format!("{} {}", objective.name, objective.limit), status);
    case.set_classname(classname);
    case
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
            .say(crate::verdict_text::sentence(&witness.explanation));
            for (title, mut table) in [
                ("Operations", crate::evidence::operations(witness)),
                ("Audit records", crate::evidence::records(witness)),
                ("Final rows", crate::evidence::rows(witness)),
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

/// A property of a workflow command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

/// The message of a workflow command.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_command_stays_one_line() {
        assert_eq!(message("a\nb 5%"), "a%0Ab 5%25");
        assert_eq!(property("I1: a, b"), "I1%3A a%2C b");
    }

    #[test]
    fn only_an_interval_that_lies_beyond_the_tolerance_is_slower() {
        let measure = |kind, low, high| Measure {
            kind,
            head: vec![],
            base: vec![],
            ratio: Some(Estimate { median: f64::midpoint(low, high), low, high }),
            noise: None,
        };
        assert!(!measure(MeasureKind::ReservedPerS, 0.5, 0.95).slower(0.1), "it may be within");
        assert!(measure(MeasureKind::ReservedPerS, 0.5, 0.85).slower(0.1));
        assert!(!measure(MeasureKind::ReservedPerS, 1.2, 1.5).slower(0.1), "it is faster");
        assert!(!measure(MeasureKind::ResponseUsP99, 1.05, 1.9).slower(0.1), "it may be within");
        assert!(measure(MeasureKind::ResponseUsP99, 1.2, 1.9).slower(0.1));
    }
}
