//! The page of a capacity search.

use super::data::{Capacity, ClaimVerdict, Rates};
use crate::{
    document::{Document, Section, Tone},
    plots, quantity, run_context,
    table::{Table, numbers, words},
};

impl Capacity {
    fn bracket_text(&self) -> String {
        let rates = |rates: &Rates| {
            format!(
                "{} operations/s ({} visits/s)",
                quantity::rate(rates.operations_per_s),
                quantity::rate(rates.visits_per_s)
            )
        };
        match (&self.bracket.holds, &self.bracket.fails) {
            (Some(holds), Some(fails)) => {
                format!("holds {}, fails at {}", rates(holds), rates(fails))
            }
            (Some(holds), None) => {
                format!("holds {}, and the generator could make no more", rates(holds))
            }
            (None, Some(fails)) => format!("fails at {} already", rates(fails)),
            (None, None) => "no rate was decided: the generator could not make the load".to_owned(),
        }
    }

    fn objective_text(&self) -> String {
        format!(
            "response p99 below {}, no more than {:.2} % of operations without an answer, and nothing violated",
            quantity::duration_ms(self.objective.p99_ms),
            self.objective.errors_max * 100.0
        )
    }

    /// The page.
    pub fn document(&self) -> Document {
        let (supported, refuted) =
            (self.count(ClaimVerdict::Supported), self.count(ClaimVerdict::Refuted));
        let (tone, word) = match (self.violated(), refuted) {
            (true, _) => (Tone::Bad, "violated".to_owned()),
            (false, 0) => (Tone::Good, "measured".to_owned()),
            (false, refuted) => {
                (Tone::Uncertain, format!("{} refuted", quantity::counted(refuted as u64, "claim")))
            }
        };
        let sections = vec![
            self.claims_section(),
            self.working_section(),
            self.search_section(),
            self.scaling_section(),
            Section::new("environment", "Environment")
                .table("", run_context::environment_of(&self.header.context)),
        ];
        Document {
            kicker: "Slotproof capacity",
            title: format!("{} on one machine", self.strategy),
            subtitle: format!("{}: {}", self.plan.scenario, self.objective_text()),
            tone,
            word,
            headline: format!("It {}.", self.bracket_text()),
            facts: vec![
                ("claims supported".to_owned(), supported.to_string()),
                ("refuted".to_owned(), refuted.to_string()),
                (
                    "not measurable here".to_owned(),
                    self.count(ClaimVerdict::NotMeasurableHere).to_string(),
                ),
                ("rates tried".to_owned(), self.probes.len().to_string()),
            ],
            name: self.header.name.clone(),
            started_at: self.header.context.started_at.clone(),
            repeat_command: self.header.context.repeat_command.clone(),
            sections: sections.into_iter().filter(Section::says_something).collect(),
            made_by: format!(
                "Made by slotproof {} from capacity.json alone, schema version {}.",
                self.header.context.slotproof_version, self.header.schema_version
            ),
        }
    }

    fn claims_section(&self) -> Section {
        let mut table =
            Table::new(&[words("claim"), words("verdict"), words("because"), words("source")]);
        for claim in &self.claims {
            table.push(vec![
                claim.says.clone(),
                claim.verdict.name().to_owned(),
                claim.because.clone(),
                claim.source.clone().unwrap_or_default(),
            ]);
        }
        Section::new("claims", "The estimates, line by line").table("", table)
    }

    fn working_section(&self) -> Section {
        let steps = self
            .claims
            .iter()
            .flat_map(|claim| claim.working.iter().map(|step| format!("{}: {step}", claim.id)));
        Section::new("working", "The working, and what it rests on").list(steps)
    }

    fn search_section(&self) -> Section {
        let columns = [
            words("phase"),
            numbers("visits / s asked"),
            numbers("made"),
            numbers("operations / s"),
            numbers("response p50"),
            numbers("p99"),
            numbers("service p99"),
            numbers("send lag p99"),
            numbers("no answer"),
            numbers("CPUs busy"),
            words("outcome"),
            words("because"),
            words("report"),
        ];
        let mut table = Table::new(&columns);
        for probe in &self.probes {
            table.push(vec![
                probe.phase.clone(),
                quantity::rate(probe.asked_per_s),
                quantity::rate(probe.made_per_s),
                quantity::rate(probe.operations_per_s),
                quantity::duration_us(probe.response_us_p50),
                quantity::duration_us(probe.response_us_p99),
                quantity::duration_us(probe.service_us_p99),
                quantity::duration_us(probe.lag_us_p99),
                format!("{:.2} %", probe.errors * 100.0),
                quantity::rate(probe.cpus_busy.values().sum()),
                probe.held.word().to_owned(),
                probe.held.reason(),
                format!("{}/report.html", probe.run),
            ]);
        }
        Section::new("search", "The search")
            .say(format!("A rate is held if {}.", self.objective_text()))
            .say("The load is open: visits arrive on schedule, however slow the service becomes. Rates are doubled until one fails; then the \
                  bracket is halved; then the highest rate that was held must be held again, for longer.")
            .list(self.bracket.saturated.iter().cloned())
            .figure(plots::knee::figure(self))
            .table("", table)
    }

    fn scaling_section(&self) -> Section {
        let mut table = Table::new(&[
            words("over"),
            numbers("lambda: of one, operations / s"),
            numbers("sigma: contention"),
            numbers("kappa: coherence"),
            numbers("highest at"),
            numbers("explains"),
        ]);
        for scaling in [&self.by_clients, &self.by_replicas] {
            let Some(usl) = &scaling.usl else { continue };
            let share = |value: f64| format!("{value:.4}");
            table.push(vec![
                scaling.over.clone(),
                usl.lambda.text(quantity::rate),
                usl.sigma.text(share),
                usl.kappa.text(|value| format!("{value:.6}")),
                usl.peak_at.map_or("no end in sight".to_owned(), quantity::rate),
                format!("{:.1} %", usl.r_squared * 100.0),
            ]);
        }
        Section::new("scaling", "How it scales")
            .say("The Universal Scalability Law, X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)), fitted to a closed load without thinking time. Beyond the \
                  largest N that was measured it is an extrapolation; on one machine more processes of the service share its CPUs with everything else.")
            .figure(plots::usl::figure("usl-clients", "Throughput over clients", &self.by_clients, &self.claims))
            .figure(plots::usl::figure("usl-replicas", "Throughput over service processes", &self.by_replicas, &self.claims))
            .table("", table)
    }
}
