//! The page of a capacity search.

use super::data::{
    Capacity, ClaimVerdict, Objective, P99, Probe, ProbeOutcome, Rates, Scaling, SizeMeasured,
    Tally, Usl,
};
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
            self.violation_section(),
            self.claims_section(),
            Section::new("working", "How the figures were derived").list(self.working()),
            self.search_section(),
            self.size_section(),
            self.scaling_section(),
            run_context::section(&self.header.context),
        ];
        let count = |verdict| self.count(verdict).to_string();
        let facts = [
            ("claims supported", count(ClaimVerdict::Supported)),
            ("claims refuted", count(ClaimVerdict::Refuted)),
            ("claims not measurable here", count(ClaimVerdict::NotMeasurableHere)),
            ("claims that need a drill", count(ClaimVerdict::NeedsDrill)),
            ("rates tried", self.probes.len().to_string()),
        ];
        Document {
            kicker: "Slotproof capacity",
            title: format!("{} on one machine", self.strategy),
            subtitle: format!("{}; objective: {}", self.plan.scenario, objective(self.objective)),
            tone,
            outcome,
            headline: self.headline(),
            facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
            origin: Some((&self.header).into()),
            sections: sections.into_iter().filter(|section| !section.is_empty()).collect(),
            data_file: "capacity.json",
            made_by: self.header.made_by("capacity.json"),
        }
    }

    fn headline(&self) -> String {
        let bracket = &self.bracket;
        if let Some(violation) = &self.violation {
            return format!(
                "{} is violated: {} The search ended there.",
                violation.invariant,
                sentence(&violation.summary)
            );
        }
        match (&bracket.holds, &bracket.fails) {
            (Some(holds), Some(fails)) => format!(
                "Sustains {}: {}. Fails at {}: {}.",
                both(holds),
                kept(bracket.at_holds),
                both(fails),
                missed(bracket.at_fails)
            ),
            (Some(holds), None) => format!(
                "Sustains {}: {}. {}",
                both(holds),
                kept(bracket.at_holds),
                if bracket.ended_by_generator {
                    "The load generator could not produce more."
                } else {
                    "No higher rate failed with certainty."
                }
            ),
            (None, Some(fails)) => {
                format!(
                    "Fails at {}: {}. No lower rate was sustained.",
                    both(fails),
                    missed(bracket.at_fails)
                )
            }
            (None, None) if bracket.ended_by_generator => {
                "No rate was decided: the load generator could not produce the load.".to_owned()
            }
            (None, None) => "No rate was decided: the loads were too short for p99.".to_owned(),
        }
    }

    fn violation_section(&self) -> Section {
        let section = Section::new("violation", "Violation");
        let Some(violation) = &self.violation else { return section };
        let mut table = Table::new(&[
            words("invariant"),
            words("what was seen"),
            words("under"),
            words("report"),
        ]);
        table.push(vec![
            TableCell::outcome(Tone::Bad, violation.invariant.to_string()),
            violation.summary.clone().into(),
            violation.under.clone().into(),
            TableCell::page_of(&violation.run),
        ]);
        section
            .paragraph(
                "A service that breaks its promises has no capacity: the search stopped at the \
                 first violation, and nothing after it was measured.",
            )
            .table("", table)
    }

    fn claims_section(&self) -> Section {
        let section = Section::new("claims", "Claims").table("", self.claims_table());
        if self.claims.is_empty() {
            return section;
        }
        let machine = format!("This machine: {}. {}", self.machine.text(), self.calibrations());
        section.paragraph(machine).paragraph(
            "A claim that names no machine is judged on this one. A claim that names another \
                 one (cores, memory, calibration) is judged by the bracket times a ratio: if \
                 the CPUs were busy, cores times speed of a core; if durable writes were, durable \
                 commits per second. Cores that are more or fewer count between not at all and in \
                 proportion, and each calibration with the range that was measured. The claim is \
                 supported below the whole interval, refuted above it, and else not decided here.",
        )
    }

    /// The ranges of both calibrations.
    fn calibrations(&self) -> String {
        let million = |per_s: f64| quantity::rate(per_s / 1e6);
        let commits = self.machine.durable_commits_per_s;
        let commits = commits.map(|it| format!("{} durable commits/s, ", it.text(quantity::rate)));
        format!(
            "Calibrations before and after the loads, with their range: {}{} million steps/s.",
            commits.unwrap_or_default(),
            self.machine.single_core_per_s.text(million)
        )
    }

    fn claims_table(&self) -> Table {
        let mut table =
            Table::new(&[words("claim"), words("verdict"), words("reason"), words("source")]);
        for claim in &self.claims {
            table.push(vec![
                claim.says.clone().into(),
                TableCell::outcome(claim.verdict.tone(), claim.verdict_text()),
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
                 repeats both ends of the bracket over a longer window. A rate is sustained if \
                 most of its loads keep the objective; it fails if most of them miss it.",
            )
            .paragraph(
                "A load lasts until it has 1,000 operations, ten of them beyond p99, and for \
                 longer while the 95 % interval of p99 includes the limit; if the longest load \
                 does not tell, the rate is undecided. The interval is that of order statistics, \
                 without a distribution. It treats operations as independent, which operations \
                 in one queue are not: how loads of one rate differ is shown by repeating them.",
            )
            .list(self.bracket_lines())
            .list(self.bracket.saturated.iter().cloned())
            .figure(plots::knee::figure(self))
            .table("", probes_table(&self.probes))
    }

    /// Both ends of the bracket, with every load that stands behind them.
    fn bracket_lines(&self) -> impl Iterator<Item = String> {
        let bracket = &self.bracket;
        let line = |name: &str, rates: &Rates, tally: String| {
            let intervals: Vec<String> =
                self.loads_of(*rates).map(|probe| probe.response_p99.text()).collect();
            format!("{name} {}: {tally}; response p99 {}.", both(rates), intervals.join(", "))
        };
        let holds = bracket.holds.map(|rates| line("At", &rates, kept(bracket.at_holds)));
        let fails = bracket.fails.map(|rates| line("At", &rates, missed(bracket.at_fails)));
        holds.into_iter().chain(fails)
    }

    fn size_section(&self) -> Section {
        let section = Section::new("size", "Size of the database");
        let Some(size) = &self.size else { return section };
        section
            .paragraph(format!(
                "{} past bookings were filled in by bulk load in {}: {} of tables and indexes, {} \
                 for each booking with its audit records, receipt, notifications and their \
                 indexes. The confirmed rate was loaded before and after.",
                quantity::count(size.bookings),
                quantity::duration_ms(size.took_ms),
                quantity::bytes(size.filled_bytes),
                size.bytes_per_booking.text(|bytes| quantity::bytes(bytes as u64)),
            ))
            .list([
                side("Empty", size.empty_bytes, &size.empty),
                side("Filled", size.filled_bytes, &size.filled),
            ])
            .table("", size_table(size))
    }
}

/// The columns of everything that was tried.
fn probes_table(probes: &[Probe]) -> Table {
    let columns = [
        words("phase"),
        numbers("offered visits / s"),
        numbers("achieved"),
        numbers("window"),
        numbers("operations / s"),
        numbers("judged"),
        numbers("beyond p99"),
        numbers("response p50"),
        numbers("p99"),
        numbers("95 % from"),
        numbers("to"),
        numbers("service p99"),
        numbers("send lag p99"),
        numbers("no decision"),
        numbers("CPUs busy"),
        words("outcome"),
        words("reason"),
        words("report"),
    ];
    let mut table = Table::new(&columns);
    for probe in probes {
        let P99 { us, interval, operations, beyond } = probe.response_p99;
        table.push(vec![
            probe.phase.name().into(),
            quantity::rate(probe.asked_per_s).into(),
            quantity::rate(probe.made_per_s).into(),
            quantity::duration_ms(probe.window_ms).into(),
            quantity::rate(probe.operations_per_s).into(),
            quantity::count(operations).into(),
            quantity::count(beyond).into(),
            quantity::duration_us(probe.response_us_p50).into(),
            quantity::duration_us(us).into(),
            quantity::duration_us(interval.low).into(),
            interval.high.map_or("not bounded".to_owned(), quantity::duration_us).into(),
            quantity::duration_us(probe.service_p99.us).into(),
            quantity::duration_us(probe.lag_us_p99).into(),
            quantity::share(probe.errors).into(),
            quantity::rate(probe.cpus_busy.values().sum()).into(),
            probe_cell(&probe.held),
            probe.held.reason().into(),
            TableCell::page_of(&probe.run),
        ]);
    }
    table
}

/// Both sides of a fill, load by load.
fn size_table(size: &SizeMeasured) -> Table {
    let probes: Vec<Probe> = size.empty.iter().chain(&size.filled).cloned().collect();
    probes_table(&probes)
}

fn side(name: &str, bytes: u64, probes: &[Probe]) -> String {
    let loads: Vec<String> = probes
        .iter()
        .map(|probe| {
            format!(
                "{} operations/s with a response p99 of {}",
                quantity::rate(probe.operations_per_s),
                probe.response_p99.text()
            )
        })
        .collect();
    format!(
        "{name} ({}): {}; {}.",
        quantity::bytes(bytes),
        kept(Tally::of(probes)),
        loads.join(", ")
    )
}

impl Capacity {
    fn scaling_section(&self) -> Section {
        let clients = "Throughput by number of clients";
        let replicas = "Throughput by number of service processes";
        Section::new("scaling", "Scaling")
            .paragraph(
                "The Universal Scalability Law, X(N) = λN / (1 + σ(N - 1) + κN(N - 1)), fitted to \
                 a closed load without think time. Beyond the largest measured N it is an \
                 extrapolation. On one machine, more service processes share the same CPUs.",
            )
            .list([&self.by_clients, &self.by_replicas].into_iter().filter_map(misfit))
            .figure(plots::usl::figure("usl-clients", clients, &self.by_clients, &self.claims))
            .figure(plots::usl::figure("usl-replicas", replicas, &self.by_replicas, &self.claims))
            .table("", scaling_table([&self.by_clients, &self.by_replicas]))
            .table("Points beside the law", residuals_table([&self.by_clients, &self.by_replicas]))
    }
}

/// A rate in both units.
fn both(rates: &Rates) -> String {
    format!(
        "{} operations/s ({} visits/s)",
        quantity::rate(rates.operations_per_s),
        quantity::rate(rates.visits_per_s)
    )
}

fn kept(tally: Tally) -> String {
    format!(
        "{} of {} kept the objective",
        tally.held,
        quantity::counted(tally.loads.into(), "load")
    )
}

fn missed(tally: Tally) -> String {
    format!("{} of {} missed it", tally.failed, quantity::counted(tally.loads.into(), "load"))
}

/// With one full stop at its end.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

/// A warning where the law must not be read.
fn misfit(scaling: &Scaling) -> Option<String> {
    let reason = scaling.usl.as_ref()?.misfit()?;
    Some(format!(
        "Warning: over {}, the law does not fit ({reason}). Its parameters describe nothing, and no \
         peak and no value outside the points is stated.",
        scaling.over
    ))
}

fn objective(objective: Objective) -> String {
    format!(
        "response p99 below {}, at most {:.2} % of operations without a decision, no violation",
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
        ProbeOutcome::Undecided(_) => TableCell::outcome(Tone::Uncertain, "undecided"),
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
        words("fit"),
    ];
    let mut table = Table::new(&columns);
    for scaling in scalings {
        let Some(usl) = &scaling.usl else { continue };
        table.push(vec![
            scaling.over.clone(),
            usl.lambda.text(quantity::rate),
            usl.sigma.text(|value| format!("{value:.4}")),
            usl.kappa.text(|value| format!("{value:.6}")),
            peak(scaling, usl),
            format!("{:.3}", usl.r_squared),
            usl.misfit().map_or("fits", |_| "does not fit").to_owned(),
        ]);
    }
    table
}

/// Where the law has its peak, if that can be said.
fn peak(scaling: &Scaling, usl: &Usl) -> String {
    let largest = scaling.points.iter().map(|(n, _)| *n).max().unwrap_or_default();
    match usl.peak_at {
        _ if usl.misfit().is_some() => "not stated".to_owned(),
        None => "no peak".to_owned(),
        Some(peak) if peak > f64::from(largest) => {
            format!("{} (extrapolated)", quantity::rate(peak))
        }
        Some(peak) => quantity::rate(peak),
    }
}

/// Every point beside the law.
fn residuals_table(scalings: [&Scaling; 2]) -> Table {
    let columns = [
        words("over"),
        numbers("N"),
        numbers("measured, operations / s"),
        numbers("predicted"),
        numbers("residual"),
    ];
    let mut table = Table::new(&columns);
    for scaling in scalings {
        for residual in scaling.usl.iter().flat_map(|usl| &usl.residuals) {
            table.push(vec![
                scaling.over.clone(),
                quantity::count(residual.n.into()),
                quantity::rate(residual.measured),
                quantity::rate(residual.predicted),
                format!("{:+.1} %", residual.relative * 100.0),
            ]);
        }
    }
    table
}
