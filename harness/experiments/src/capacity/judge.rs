//! Claims, judged: each gets a measurement, or what one machine can say of it and what that rests
//! on.

use anyhow::Result;
use slotproof_reports::{
    RunReport,
    capacity::{Bracket, ClaimVerdict, JudgedClaim, Probe, ProbeOutcome, Rates},
    quantity,
};
use slotproof_vocabulary::{
    Action, Invariant, Outcome, Plan, PlanArgs, ScenarioKind, Span, StrategyKind, UsageError,
    Verdict,
};

use super::{
    Bench,
    claims::{Claim, ClaimKind, Price},
};
use slotproof_stack::faults::{Fault, FaultKind};

use crate::{series::Tried, statistics::ratio_of_medians};

/// Fewer connections than this that wait, on average, are no contention.
const CONTENTION_MIN: f64 = 1.0;
/// The design's incremental backups.
const BACKUP_EVERY: Span = Span::of_ms(3_600_000);
/// When the database is killed, after the load has begun.
const CRASH_AFTER: std::time::Duration = std::time::Duration::from_millis(1_500);

/// A verdict with what it rests on.
struct Judged {
    verdict: ClaimVerdict,
    because: String,
    working: Vec<String>,
    operations_per_s: Option<f64>,
}

impl Judged {
    fn new(verdict: ClaimVerdict, because: impl Into<String>) -> Self {
        Self { verdict, because: because.into(), working: Vec::new(), operations_per_s: None }
    }

    fn worked(mut self, working: impl IntoIterator<Item = String>) -> Self {
        self.working.extend(working);
        self
    }
}

impl Bench<'_> {
    /// Every claim, in the order of its file.
    ///
    /// # Errors
    /// What kept a trial from being made.
    pub(super) async fn judge(&mut self, bracket: &Bracket) -> Result<Vec<JudgedClaim>> {
        let mut judged = Vec::new();
        for claim in self.spec.claims.claims.clone() {
            let Judged { verdict, because, working, operations_per_s } =
                self.one(&claim, bracket).await?;
            self.progress.line(&format!("  {}: {}", claim.id, verdict.name()));
            let Claim { id, says, source, .. } = claim;
            judged.push(JudgedClaim {
                id,
                says,
                source,
                verdict,
                because,
                working,
                operations_per_s,
            });
        }
        Ok(judged)
    }

    async fn one(&mut self, claim: &Claim, bracket: &Bracket) -> Result<Judged> {
        Ok(match &claim.kind {
            ClaimKind::Throughput { rate, nodes } => {
                let judged = self.throughput(rate.per_s(), *nodes, bracket);
                Judged { operations_per_s: Some(rate.per_s()), ..judged }
            }
            ClaimKind::Users { users, think, nodes } => self.users(*users, *think, *nodes, bracket),
            ClaimKind::Latency { rate, p99 } => self.latency(rate.per_s(), *p99, bracket).await?,
            ClaimKind::Size { bytes } => self.size(bytes.0, bracket)?,
            ClaimKind::Better { strategy, than, clients } => {
                self.better(*strategy, *than, *clients).await?
            }
            ClaimKind::Contention { strategy, clients } => {
                self.contention(*strategy, *clients).await?
            }
            ClaimKind::Retries { strategy, clients } => self.retries(*strategy, *clients).await?,
            ClaimKind::Recovery { rto, rpo } => self.recovery(*rto, *rpo).await?,
        })
    }

    /// The probe that confirmed the rate which holds.
    fn confirmed(&self, bracket: &Bracket) -> Option<&Probe> {
        let holds = bracket.holds?;
        self.probes.iter().rfind(|probe| {
            probe.phase == "confirmation"
                && probe.held == ProbeOutcome::Holds
                && probe.asked_per_s == holds.visits_per_s
        })
    }

    fn throughput(&self, needed: f64, nodes: Option<u32>, bracket: &Bracket) -> Judged {
        let per_s = quantity::rate;
        let (Some(holds), Some(confirmed)) = (bracket.holds, self.confirmed(bracket)) else {
            return Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "no rate kept the objective on this machine",
            );
        };
        let held = holds.operations_per_s;
        let at = format!(
            "{} operations/s were held, with a response p99 of {}",
            per_s(held),
            quantity::duration_us(confirmed.response_us_p99)
        );
        if nodes.is_none_or(|nodes| nodes == 1) && needed <= held {
            return Judged::new(ClaimVerdict::Supported, at);
        }
        match (nodes, bracket.fails) {
            (Some(1), Some(fails)) if needed >= self.without_the_client(fails) => Judged::new(
                ClaimVerdict::Refuted,
                format!("{at}; {} operations/s did not keep the objective", per_s(fails.operations_per_s)),
            )
            .worked([format!(
                "had the load engine not shared the CPUs, at most {} operations/s could have been kept: its share of them is given to the service",
                per_s(self.without_the_client(fails))
            )]),
            (Some(1), Some(fails)) if needed >= fails.operations_per_s => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!(
                    "{at}, and {} were not; but the load engine shared the CPUs, and on a machine of its own up to {} might be",
                    per_s(fails.operations_per_s),
                    per_s(self.without_the_client(fails))
                ),
            ),
            (Some(1), Some(fails)) => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{at}; {} operations/s did not: the claim lies between", per_s(fails.operations_per_s)),
            ),
            (Some(1), None) => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{at}; the load generator was saturated above that on this machine"),
            ),
            (_, fails) => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{at} on one machine; the claim refers to several"),
            )
            .worked(self.extrapolated(needed, nodes, holds, fails, confirmed)),
        }
    }

    /// What would have been too much at the very most if the load engine had not shared the CPUs,
    /// where they were what was busy.
    fn without_the_client(&self, fails: Rates) -> f64 {
        let failed = self.probes.iter().find(|probe| {
            probe.asked_per_s == fails.visits_per_s && matches!(probe.held, ProbeOutcome::Fails(_))
        });
        let Some(probe) = failed else { return fails.operations_per_s };
        let busy: f64 = probe.cpus_busy.values().sum();
        let client = probe.cpus_busy.get("load").copied().unwrap_or(0.0);
        fails.operations_per_s / (1.0 - (client / busy.max(f64::MIN_POSITIVE)).min(0.9))
    }

    /// How many machines like this one would be needed, and what a million bookings would cost on
    /// them.
    fn extrapolated(
        &self,
        needed: f64,
        nodes: Option<u32>,
        holds: Rates,
        fails: Option<Rates>,
        confirmed: &Probe,
    ) -> Vec<String> {
        let at_most = (needed / holds.operations_per_s).ceil();
        let at_least = fails.map(|fails| (needed / fails.operations_per_s).ceil());
        let range = match at_least {
            Some(least) if least < at_most => {
                format!("{least:.0} to {at_most:.0}")
            }
            _ => format!("{at_most:.0}"),
        };
        let mut working = vec![
            format!(
                "{} operations/s at {} a machine (the bracket that was measured) are {range} machines like this one",
                quantity::rate(needed),
                match fails {
                    Some(fails) => format!("{} to {}", quantity::rate(holds.operations_per_s), quantity::rate(fails.operations_per_s)),
                    None => quantity::rate(holds.operations_per_s),
                }
            ),
            "it is assumed that throughput adds up over machines: slots are independent, so that shards by doctor share nothing; that was not measured"
                .to_owned(),
        ];
        if let Some(nodes) = nodes.filter(|nodes| *nodes > 1) {
            working.push(format!(
                "on its {nodes} nodes each would have to make {} operations/s",
                quantity::rate(needed / f64::from(nodes))
            ));
        }
        if let Some(price) = &self.spec.claims.price {
            working.extend(self.cost(price, needed, at_most, confirmed));
        }
        working
    }

    fn cost(&self, price: &Price, needed: f64, nodes: f64, confirmed: &Probe) -> Option<String> {
        let share = self.booked_share(confirmed)?;
        let bookings_per_hour = needed * share * 3_600.0;
        let per_million = price.per_node_hour * nodes / bookings_per_hour * 1e6;
        Some(format!(
            "{:.2} {} per million confirmed bookings: {nodes:.0} machines at {} {} an hour, of whose operations {:.1} % confirmed a booking ({})",
            per_million,
            price.currency,
            price.per_node_hour,
            price.currency,
            share * 100.0,
            price.source
        ))
    }

    /// The share of a probe's operations that confirmed a booking.
    fn booked_share(&self, probe: &Probe) -> Option<f64> {
        let report = self.report_of(probe)?;
        let share = report.totals.confirmed as f64 / report.totals.operations.max(1) as f64;
        (share > 0.0).then_some(share)
    }

    fn report_of(&self, probe: &Probe) -> Option<RunReport> {
        let path = self.series.parent.file(&probe.run).join("run.json");
        RunReport::from_json(&std::fs::read(path).ok()?).ok()
    }

    fn users(&self, users: u64, think: Span, nodes: Option<u32>, bracket: &Bracket) -> Judged {
        let Some((holds, confirmed)) = bracket.holds.zip(self.confirmed(bracket)) else {
            return Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "no rate kept the objective on this machine",
            );
        };
        let operations_per_visit = holds.operations_per_s / holds.visits_per_s;
        let response_s = confirmed.response_us_p50 as f64 / 1e6 * operations_per_visit;
        let visits_per_s = users as f64 / (response_s + think.0.as_secs_f64());
        let needed = visits_per_s * operations_per_visit;
        let law = format!(
            "Little's law, N = X (R + Z): {} users, {} s between visits and {:.3} s in a visit (median response times {:.2} operations) are {} visits/s, which are {} operations/s",
            quantity::count(users),
            think.0.as_secs_f64(),
            response_s,
            operations_per_visit,
            quantity::rate(visits_per_s),
            quantity::rate(needed)
        );
        let judged = self.throughput(needed, nodes, bracket);
        let working = std::iter::once(law).chain(judged.working);
        Judged { working: working.collect(), operations_per_s: Some(needed), ..judged }
    }

    async fn latency(
        &mut self,
        operations_per_s: f64,
        p99: Span,
        bracket: &Bracket,
    ) -> Result<Judged> {
        let per_visit =
            bracket.holds.map_or(1.0, |holds| holds.operations_per_s / holds.visits_per_s);
        self.probe("claim", operations_per_s / per_visit).await?;
        let probe = self.probes.last().expect("it was just tried");
        let measured = format!(
            "at {} operations/s the response p99 was {}",
            quantity::rate(probe.operations_per_s),
            quantity::duration_us(probe.response_us_p99)
        );
        Ok(match &probe.held {
            ProbeOutcome::GeneratorSaturated(reason) => {
                Judged::new(ClaimVerdict::NotMeasurableHere, format!("{measured}; {reason}"))
            }
            ProbeOutcome::Fails(reason) if probe.verdict == Verdict::Violated => {
                Judged::new(ClaimVerdict::Refuted, reason.clone())
            }
            _ if probe.response_us_p99 <= p99.ms() * 1_000 => {
                Judged::new(ClaimVerdict::Supported, measured)
            }
            _ => Judged::new(ClaimVerdict::Refuted, measured),
        })
    }

    fn size(&self, bytes: f64, bracket: &Bracket) -> Result<Judged> {
        let confirmed = self.confirmed(bracket).and_then(|probe| self.report_of(probe));
        let measured = confirmed.and_then(|report| {
            let grown = report.costs?.database_bytes?;
            let reserved = report
                .latency
                .iter()
                .find(|it| it.operation == "reserve" && it.outcome.as_deref() == Some("ok"))?;
            Some(grown as f64 / reserved.count.max(1) as f64)
        });
        let Some(per_booking) = measured else {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "the size of the database could not be read",
            ));
        };
        Ok(Judged::new(
            ClaimVerdict::NotMeasurableHere,
            format!(
                "a booking takes {} with its audit records, receipt, events and indexes; not measured: writing that much data would take longer than this run",
                quantity::bytes(per_booking as u64)
            ),
        )
        .worked([format!(
            "{} hold {} bookings, if each goes on taking {}: nothing archived, nothing vacuumed away",
            quantity::bytes(bytes as u64),
            quantity::count((bytes / per_booking) as u64),
            quantity::bytes(per_booking as u64)
        )]))
    }

    /// A strategy on one hot slot, as `compare` has it.
    async fn hot(&mut self, strategy: StrategyKind, clients: u32, round: u32) -> Result<Tried> {
        let plan = Plan::try_from(PlanArgs {
            scenario: Some(ScenarioKind::FlashSale),
            strategy: Some(strategy),
            clients: Some(clients),
            capacity: Some(clients / 2),
            hold: Some(Span::of_ms(600)),
            warm_up: Some(Span::of_ms(250)),
            duration: Some(Span::of_ms(2_000)),
            seed: Some(u64::from(round)),
            ..PlanArgs::default()
        })
        .map_err(|error| UsageError(error.to_string()))?;
        let trial =
            self.spec.trial(plan, strategy, self.spec.experiment.stack.replicas, Vec::new());
        self.series.trial(&trial).await
    }

    async fn better(
        &mut self,
        strategy: StrategyKind,
        than: StrategyKind,
        clients: u32,
    ) -> Result<Judged> {
        let (mut theirs, mut others) = (Vec::new(), Vec::new());
        for round in 1..=self.spec.effort.rounds.max(3) {
            for (kind, rates) in [(strategy, &mut theirs), (than, &mut others)] {
                let report = self.hot(kind, clients, round).await?.report;
                if report.verdict.verdict == Verdict::Violated {
                    return Ok(Judged::new(
                        ClaimVerdict::Refuted,
                        format!("{kind} violated an invariant and is disqualified"),
                    ));
                }
                rates.push(report.totals.operations_per_s);
            }
        }
        let Some(ratio) = ratio_of_medians(&theirs, &others) else {
            return Ok(Judged::new(ClaimVerdict::NotMeasurableHere, "nothing was measured"));
        };
        let text = format!(
            "{strategy} answered {:.2} ({:.2} to {:.2}) times as many operations per second as {than} on one hot slot with {clients} clients",
            ratio.median, ratio.low, ratio.high
        );
        Ok(match (ratio.low > 1.0, ratio.high < 1.0) {
            (true, _) => Judged::new(ClaimVerdict::Supported, text),
            (_, true) => Judged::new(ClaimVerdict::Refuted, text),
            _ => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("the interval includes 1: {text}"),
            ),
        })
    }

    async fn contention(&mut self, strategy: StrategyKind, clients: u32) -> Result<Judged> {
        let few = self.hot(strategy, 2, 1).await?.report;
        let many = self.hot(strategy, clients, 1).await?.report;
        let waiters = |report: &RunReport| report.costs.and_then(|costs| costs.lock_waiters);
        let (Some(few), Some(many)) = (waiters(&few), waiters(&many)) else {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "the lock waits of the database could not be read",
            ));
        };
        let text = format!(
            "{} connections waited for a lock on average with {clients} clients on one slot, and {} with 2",
            quantity::rate(many),
            quantity::rate(few)
        );
        let verdict = if many >= CONTENTION_MIN && many > few {
            ClaimVerdict::Supported
        } else {
            ClaimVerdict::Refuted
        };
        Ok(Judged::new(verdict, text))
    }

    async fn retries(&mut self, strategy: StrategyKind, clients: u32) -> Result<Judged> {
        let Tried { case, report } = self.hot(strategy, clients, 1).await?;
        let Some(costs) = report.costs else {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "the retries of the service could not be read",
            ));
        };
        let booked = case.history.operations.iter().filter(|operation| {
            matches!(operation.action, Action::Reserve { .. }) && operation.outcome == Outcome::Ok
        });
        let per_booking = costs.retries as f64 / booked.count().max(1) as f64;
        let text = format!(
            "{} tries beyond the first for each booking, with {clients} clients on one slot",
            quantity::rate(per_booking)
        );
        let verdict =
            if costs.retries > 0 { ClaimVerdict::Supported } else { ClaimVerdict::Refuted };
        Ok(Judged::new(verdict, text))
    }

    /// A crash of the database is measured; the loss of a machine or a region is not.
    async fn recovery(&mut self, rto: Span, rpo: Span) -> Result<Judged> {
        if !self.series.environment.takes_faults() {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "this environment takes no faults; use --environment native",
            ));
        }
        let words = PlanArgs {
            strategy: Some(self.spec.claims.strategy),
            clients: Some(50),
            duration: Some(Span::of_ms(6_000)),
            timeout: Some(Span::of_ms(5_000)),
            ..PlanArgs {
                scenario: Some(ScenarioKind::FlashSale),
                capacity: Some(30),
                ..PlanArgs::default()
            }
        };
        let plan = Plan::try_from(words).map_err(|error| UsageError(error.to_string()))?;
        let crash = Fault { kind: FaultKind::CrashPostgres, at: CRASH_AFTER };
        let trial = self.spec.trial(
            plan,
            self.spec.claims.strategy,
            self.spec.experiment.stack.replicas,
            vec![crash],
        );
        let Tried { case, report } = self.series.trial(&trial).await?;
        let lost = report
            .verdict
            .findings
            .iter()
            .find(|finding| finding.invariant == Invariant::NoLostBooking);
        let mut answered: Vec<u64> = case
            .history
            .operations
            .iter()
            .filter(|operation| {
                operation.outcome != Outcome::Unknown && Some(operation.client) != case.prober
            })
            .map(|operation| operation.returned_ns)
            .collect();
        answered.sort_unstable();
        let outage_ns = answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let outage = quantity::duration_ms(outage_ns / 1_000_000);
        Ok(match lost.map(|finding| finding.verdict) {
            Some(Verdict::Violated) => Judged::new(
                ClaimVerdict::Refuted,
                format!("acknowledged bookings were lost in a crash of PostgreSQL: {}", lost.map(|it| it.summary.clone()).unwrap_or_default()),
            ),
            _ if outage_ns > rto.ns() => Judged::new(ClaimVerdict::Refuted, format!("no request was answered for {outage} after a crash of PostgreSQL")),
            _ => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!(
                    "a crash of PostgreSQL alone was over after {outage} without an answer and lost no acknowledged booking; the claim refers to the loss of a \
                     machine or a region, and there is no second one here"
                ),
            )
            .worked((rpo < BACKUP_EVERY).then(|| {
                "hourly increments, without a copy that is always up to date, lose up to an hour of bookings, which is more than the RPO allows".to_owned()
            })),
        })
    }
}
