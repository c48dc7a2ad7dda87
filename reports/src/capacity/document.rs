//! The page of a capacity search.

use super::data::{Bracket, Capacity, ClaimVerdict, Objective, ProbeOutcome, Rates, Scaling};
use crate::{
    document::{Document, Section},
    plots, quantity, run_context,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

impl Capacity {
    /// The page.
    pub fn document(&self) -> Document {
        let refuted = self.count(ClaimVerdict::Refuted);
        let (tone, outcome) = match (self.violated(), refuted) {
            (true, _) => (Tone::Bad, "violated".to_owned()),
            (false, 0) => (Tone::Good, "measured".to_owned()),
            (false, refuted) => {
                (Tone::Uncertain, format!("{} refuted", quantity::counted(refuted as u64, "claim")))
            }
        };
        let sections = [
            Section::new("claims", "Claims").table("", self.claims_table()),
            Section::new("working", "How the figures were derived").list(self.working()),
            self.search_section(),
            self.scaling_section(),
            run_context::section(&self.header.context),
        ];
        let count = |verdict| self.count(verdict).to_string();
        let facts = [
            ("claims supported", count(ClaimVerdict::Supported)),
            ("claims refuted", count(ClaimVerdict::Refuted)),
            ("claims not measurable here", count(ClaimVerdict::NotMeasurableHere)),
            ("rates tried", self.probes.len().to_string()),
        ];
        Document {
            kicker: "Slotproof capacity",
            title: format!("{} on one machine", self.strategy),
            subtitle: format!("{}; objective: {}", self.plan.scenario, objective(self.objective)),
            tone,
            outcome,
            headline: headline(&self.bracket),
            facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
            origin: Some((&self.header).into()),
            sections: sections.into_iter().filter(|section| !section.is_empty()).collect(),
            data_file: "capacity.json",
            made_by: self.header.made_by("capacity.json"),
        }
    }

    fn claims_table(&self) -> Table {
        let mut table =
            Table::new(&[words("claim"), words("verdict"), words("reason"), words("source")]);
        for claim in &self.claims {
            table.push(vec![
                claim.says.clone().into(),
                TableCell::outcome(claim.verdict.tone(), claim.verdict.name()),
                claim.because.clone().into(),
                claim.source.clone().unwrap_or_default().into(),
            ]);
        }
        table
    }

    fn working(&self) -> impl Iterator<Item = String> {
        let claims = self.claims.iter();
        claims.flat_map(|claim| claim.working.iter().map(|step| format!("{}: {step}", claim.id)))
    }

    fn search_section(&self) -> Section {
        Section::new("search", "Search")
            .paragraph(format!("A rate is sustained if it keeps {}.", objective(self.objective)))
            .paragraph(
                "The load is open: visits arrive on schedule, however slow the service becomes. \
                 The search doubles the rate until one fails, halves the bracket, and then \
                 confirms the highest sustained rate over a longer window.",
            )
            .list(self.bracket.saturated.iter().cloned())
            .figure(plots::knee::figure(self))
            .table("", self.search_table())
    }

    fn search_table(&self) -> Table {
        let columns = [
            words("phase"),
            numbers("offered visits / s"),
            numbers("achieved"),
            numbers("operations / s"),
            numbers("response p50"),
            numbers("p99"),
            numbers("service p99"),
            numbers("send lag p99"),
            numbers("unanswered"),
            numbers("CPUs busy"),
            words("outcome"),
            words("reason"),
            words("report"),
        ];
        let mut table = Table::new(&columns);
        for probe in &self.probes {
            table.push(vec![
                probe.phase.clone().into(),
                quantity::rate(probe.asked_per_s).into(),
                quantity::rate(probe.made_per_s).into(),
                quantity::rate(probe.operations_per_s).into(),
                quantity::duration_us(probe.response_us_p50).into(),
                quantity::duration_us(probe.response_us_p99).into(),
                quantity::duration_us(probe.service_us_p99).into(),
                quantity::duration_us(probe.lag_us_p99).into(),
                format!("{:.2} %", probe.errors * 100.0).into(),
                quantity::rate(probe.cpus_busy.values().sum()).into(),
                probe_cell(&probe.held),
                probe.held.reason().into(),
                TableCell::page_of(&probe.run),
            ]);
        }
        table
    }

    fn scaling_section(&self) -> Section {
        let clients = "Throughput by number of clients";
        let replicas = "Throughput by number of service processes";
        Section::new("scaling", "Scaling")
            .paragraph(
                "The Universal Scalability Law, X(N) = λN / (1 + σ(N - 1) + κN(N - 1)), fitted to \
                 a closed load without think time. Beyond the largest measured N it is an \
                 extrapolation. On one machine, more service processes share the same CPUs.",
            )
            .figure(plots::usl::figure("usl-clients", clients, &self.by_clients, &self.claims))
            .figure(plots::usl::figure("usl-replicas", replicas, &self.by_replicas, &self.claims))
            .table("", scaling_table([&self.by_clients, &self.by_replicas]))
    }
}

fn headline(bracket: &Bracket) -> String {
    let text = |rates: &Rates| {
        format!(
            "{} operations/s ({} visits/s)",
            quantity::rate(rates.operations_per_s),
            quantity::rate(rates.visits_per_s)
        )
    };
    match (&bracket.holds, &bracket.fails) {
        (Some(holds), Some(fails)) => {
            format!("Sustains {} and fails at {}.", text(holds), text(fails))
        }
        (Some(holds), None) => {
            format!("Sustains {}; the load generator could not produce more.", text(holds))
        }
        (None, Some(fails)) => {
            format!("Fails at {}, and no lower rate was sustained.", text(fails))
        }
        (None, None) => {
            "No rate was decided: the load generator could not produce the load.".to_owned()
        }
    }
}

fn objective(objective: Objective) -> String {
    format!(
        "response p99 below {}, at most {:.2} % of operations unanswered, no violation",
        quantity::duration_ms(objective.p99_ms),
        objective.errors_max * 100.0
    )
}

fn probe_cell(outcome: &ProbeOutcome) -> TableCell {
    match outcome {
        ProbeOutcome::Holds => TableCell::outcome(Tone::Good, "sustained"),
        ProbeOutcome::Fails(_) => TableCell::outcome(Tone::Bad, "failed"),
        ProbeOutcome::GeneratorSaturated(_) => {
            TableCell::outcome(Tone::Uncertain, "load generator saturated")
        }
    }
}

fn scaling_table(scalings: [&Scaling; 2]) -> Table {
    let columns = [
        words("over"),
        numbers("λ: operations / s of one"),
        numbers("σ: contention"),
        numbers("κ: coherence"),
        numbers("peak at"),
        numbers("R²"),
    ];
    let mut table = Table::new(&columns);
    for scaling in scalings {
        let Some(usl) = &scaling.usl else { continue };
        table.push(vec![
            scaling.over.clone(),
            usl.lambda.text(quantity::rate),
            usl.sigma.text(|value| format!("{value:.4}")),
            usl.kappa.text(|value| format!("{value:.6}")),
            usl.peak_at.map_or("no peak".to_owned(), quantity::rate),
            format!("{:.3}", usl.r_squared),
        ]);
    }
    table
}
