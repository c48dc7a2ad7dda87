//! A gate as JUnit XML, for CI.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus, TestSuite};
use slotproof_vocabulary::Invariant;

use super::data::{Decision, Gate};
use crate::{
    junit, objective::Objective, printable::one_line, quantity, render_error::RenderError,
};

impl Gate {
    /// One suite for each check, one case for each of its invariants and objectives. A violation
    /// fails; what is not decided is an error.
    ///
    /// # Errors
    /// The report did not become XML.
    pub fn junit(&self) -> Result<Vec<u8>, RenderError> {
        let mut report = Report::new("slotproof gate");
        report.set_time(Duration::from_millis(self.took_ms));
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
                    status.set_type("unknown").set_message(one_line(&check.reason()));
                    case.status = status;
                }
                case.set_system_out(format!("repeat: {repeat}"));
                suite.add_test_case(case);
            }
            for objective in check.ran.iter().flat_map(|ran| &ran.objectives) {
                suite.add_test_case(junit::objective_case(&name, objective));
            }
            let took_ms = check.ran.as_ref().and_then(|ran| ran.took_ms);
            junit::set_time(&mut suite, Duration::from_millis(took_ms.unwrap_or_default()));
            report.add_test_suite(suite);
        }
        if let Some(performance) = &self.performance {
            let mut suite = TestSuite::new("performance");
            for measure in &performance.measures {
                let required = performance.not_decided().any(|it| it.kind == measure.kind);
                let met = !measure.slower(performance.tolerance) && !required;
                let ratio = measure.ratio.map(|ratio| ratio.text(|value| format!("{value:.3}")));
                let decision = measure.decision(performance.tolerance).map(Decision::word);
                let ratio = match (decision, ratio) {
                    (Some(decision), Some(ratio)) => format!("{decision}, {ratio}"),
                    (Some(decision), None) => decision.to_owned(),
                    (None, _) => "not compared".to_owned(),
                };
                let limit =
                    format!("within {} of the base", quantity::percent(performance.tolerance));
                let objective = Objective {
                    name: measure.kind.title().to_owned(),
                    limit,
                    measured: ratio,
                    met,
                };
                suite.add_test_case(junit::objective_case("performance", &objective));
            }
            let took_ms = performance.took_ms.unwrap_or_default();
            junit::set_time(&mut suite, Duration::from_millis(took_ms));
            report.add_test_suite(suite);
        }
        junit::xml(&report)
    }
}
