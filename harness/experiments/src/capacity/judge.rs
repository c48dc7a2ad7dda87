//! Claims, judged: each gets a measurement, or what one machine can say of it and what that rests
//! on.

use anyhow::Result;
use slotproof_history::ActionRef;
use slotproof_reports::{
    RunReport,
    capacity::{
        Bracket, ClaimVerdict, JudgedClaim, Objective, Phase, Probe, ProbeOutcome, Rates, Scope,
        SizeMeasured,
    },
    quantity,
};
use slotproof_vocabulary::{
    Invariant, Mix, Outcome, Plan, PlanArgs, ScenarioKind, Span, StrategyKind, UsageError, Verdict,
};

use super::{
    Bench, Trial,
    claims::{Claim, ClaimKind, ClaimedMachine, Price},
    machine::{self, AllOfIt, Carried},
    size,
};
use slotproof_stack::faults::{Fault, FaultKind};

use crate::{
    on::{On, Subject},
    series::Tried,
    statistics::ratio_of_medians,
};

/// Fewer connections than this that wait, on average, are no contention.
const CONTENTION_MIN: f64 = 1.0;
/// The design's incremental backups.
const BACKUP_EVERY: Span = Span::of_ms(3_600_000);
/// When the database is killed, after the load has begun.
const CRASH_AFTER: std::time::Duration = std::time::Duration::from_millis(1_500);

/// A verdict with what it rests on.
pub(super) struct Judged {
    pub(super) verdict: ClaimVerdict,
    pub(super) because: String,
    pub(super) working: Vec<String>,
    scope: Option<Scope>,
    operations_per_s: Option<f64>,
}

impl Judged {
    pub(super) fn new(verdict: ClaimVerdict, because: impl Into<String>) -> Self {
        Self {
            verdict,
            because: because.into(),
            working: Vec::new(),
            scope: None,
            operations_per_s: None,
        }
    }

    fn on(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    pub(super) fn worked(mut self, working: impl IntoIterator<Item = String>) -> Self {
        self.working.extend(working);
        self
    }
}

impl Bench<'_> {
    /// Every claim, in the order of its file.
    ///
    /// # Errors
    /// What kept a trial from being made.
    pub(super) async fn judge(
        &mut self,
        bracket: &Bracket,
        size: Option<&SizeMeasured>,
    ) -> Result<Vec<JudgedClaim>> {
        let mut judged = Vec::new();
        for claim in self.spec.claims.claims.clone() {
            let Judged { verdict, because, working, scope, operations_per_s } =
                match &self.violation {
                    Some(violation) => Judged::new(
                        ClaimVerdict::NotMeasurableHere,
                        format!(
                            "not judged: {} was violated under {}",
                            violation.invariant, violation.under
                        ),
                    ),
                    None => self.one(&claim, bracket, size).await?,
                };
            let Claim { id, says, source, .. } = claim;
            let claim = JudgedClaim {
                id,
                says,
                source,
                verdict,
                scope,
                because,
                working,
                operations_per_s,
            };
            self.progress.line(&format!("  {}: {}", claim.id, claim.verdict_text()));
            judged.push(claim);
        }
        Ok(judged)
    }

    async fn one(
        &mut self,
        claim: &Claim,
        bracket: &Bracket,
        size: Option<&SizeMeasured>,
    ) -> Result<Judged> {
        if self.spec.target.is_some() && claim.kind.is_of_the_reference_service() {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "it is about strategies, a database or faults of the reference service, and a target \
                 file describes none",
            ));
        }
        Ok(match &claim.kind {
            ClaimKind::Throughput { rate, nodes } => {
                let judged = self.throughput(rate.per_s(), *nodes, &claim.machine, bracket);
                Judged { operations_per_s: Some(rate.per_s()), ..judged }
            }
            ClaimKind::Users { users, think, nodes } => {
                let per_user = PerUser { users: *users, think: *think };
                self.users(per_user, *nodes, &claim.machine, bracket)
            }
            ClaimKind::Latency { rate, p99 } => {
                self.latency(rate.per_s(), *p99, &claim.machine, bracket).await?
            }
            ClaimKind::Size { bytes } => match size {
                Some(size) => size::judge(
                    bytes.0,
                    size,
                    self.spec.claims.objective,
                    self.calibration.machine().memory_bytes,
                ),
                None => self.size(bytes.0, bracket),
            },
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

    /// The last load that confirmed the rate which holds.
    fn confirmed(&self, bracket: &Bracket) -> Option<&Probe> {
        let holds = bracket.holds?;
        self.probes.iter().rfind(|probe| {
            probe.phase == Phase::Confirmation
                && probe.held == ProbeOutcome::Holds
                && probe.rate_per_s == holds.rate_per_s
        })
    }

    /// The last load of the rate that failed.
    fn failing(&self, bracket: &Bracket) -> Option<&Probe> {
        let fails = bracket.fails?;
        let mut probes = self.probes.iter().rev();
        probes.find(|probe| {
            probe.rate_per_s == fails.rate_per_s && matches!(probe.held, ProbeOutcome::Fails(_))
        })
    }

    fn throughput(
        &self,
        needed: f64,
        nodes: Option<u32>,
        claimed: &ClaimedMachine,
        bracket: &Bracket,
    ) -> Judged {
        let here = self.calibration.machine();
        let (Some(holds), Some(confirmed)) = (bracket.holds, self.confirmed(bracket)) else {
            return Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("no rate was confirmed on this machine ({})", here.text()),
            );
        };
        let at = format!(
            "on this machine ({}) {} operations/s were held in {} of {} loads, with a response p99 of {}",
            here.text(),
            quantity::rate(holds.operations_per_s),
            bracket.at_holds.held,
            bracket.at_holds.loads,
            confirmed.response_p99.text()
        );
        // A claim that names a machine is about one, unless it says about how many.
        let nodes = nodes.or(claimed.is_named().then_some(1));
        if nodes.is_some_and(|nodes| nodes > 1) {
            return self.several(needed, nodes, &at, bracket, confirmed);
        }
        let used = self.report_of(confirmed).map_or(0, |report| {
            report.resources.iter().map(|resource| resource.memory_bytes_max).sum()
        });
        match machine::carry(claimed, &here, self.failing(bracket), used) {
            Carried::Here if nodes.is_none() && needed > holds.operations_per_s => {
                self.several(needed, nodes, &at, bracket, confirmed)
            }
            Carried::Here => self.throughput_here(needed, &at, holds, bracket.fails),
            Carried::Nothing(reason) => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{at}; it is not carried over to the claimed machine: {reason}"),
            ),
            Carried::Scaled { low, high, working } => {
                let most = bracket.fails.map_or(f64::INFINITY, |it| self.without_the_client(it));
                let (least, most) = (holds.operations_per_s * low, most * high);
                let text = format!(
                    "{at}; carried over, the claimed machine has its limit between {} and {} operations/s",
                    quantity::rate(least),
                    quantity::rate(most)
                );
                let working = working.into_iter().chain([format!(
                    "{} operations/s held here times {low:.2} are {}; {} at the very most here, with the client on a machine of its own, times {high:.2} are {}",
                    quantity::rate(holds.operations_per_s),
                    quantity::rate(least),
                    quantity::rate(most / high),
                    quantity::rate(most)
                )]);
                let judged = if needed <= least {
                    Judged::new(ClaimVerdict::Supported, text)
                } else if needed >= most {
                    Judged::new(ClaimVerdict::Refuted, text)
                } else {
                    let inside = format!(
                        "{text}; {} lies inside, so it is not decided here",
                        quantity::rate(needed)
                    );
                    Judged::new(ClaimVerdict::NotMeasurableHere, inside)
                };
                judged.worked(working).on(Scope::ClaimedMachine)
            }
        }
    }

    fn throughput_here(&self, needed: f64, at: &str, holds: Rates, fails: Option<Rates>) -> Judged {
        let per_s = quantity::rate;
        if needed <= holds.operations_per_s {
            return Judged::new(ClaimVerdict::Supported, at).on(Scope::ThisMachine);
        }
        match fails {
            Some(fails) if needed >= self.without_the_client(fails) => Judged::new(
                ClaimVerdict::Refuted,
                format!("{at}; {} operations/s did not keep the objective", per_s(fails.operations_per_s)),
            )
            .on(Scope::ThisMachine)
            .worked([format!(
                "had the load engine not shared the CPUs, at most {} operations/s could have been kept: its share of them is given to the service",
                per_s(self.without_the_client(fails))
            )]),
            Some(fails) if needed >= fails.operations_per_s => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!(
                    "{at}, and {} were not; but the load engine shared the CPUs, and on a machine of its own up to {} might be",
                    per_s(fails.operations_per_s),
                    per_s(self.without_the_client(fails))
                ),
            ),
            Some(fails) => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{at}; {} operations/s did not: the claim lies between", per_s(fails.operations_per_s)),
            ),
            None => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{at}; no higher rate was shown to fail: the load generator was saturated, or the loads did not agree"),
            ),
        }
    }

    /// More than one machine makes.
    fn several(
        &self,
        needed: f64,
        nodes: Option<u32>,
        at: &str,
        bracket: &Bracket,
        confirmed: &Probe,
    ) -> Judged {
        let judged = Judged::new(
            ClaimVerdict::NotMeasurableHere,
            format!(
                "{at}; that is more than one machine like this sustains, and {}",
                match nodes {
                    None => "the claim does not say how many it means".to_owned(),
                    Some(nodes) => format!("the claim is about {nodes}"),
                }
            ),
        );
        let Some(holds) = bracket.holds else { return judged };
        judged.worked(self.extrapolated(needed, nodes, holds, bracket.fails, confirmed))
    }

    /// What would have been too much at the very most if the load engine had not shared the CPUs,
    /// where they were what was busy.
    fn without_the_client(&self, fails: Rates) -> f64 {
        let failed = self.probes.iter().find(|probe| {
            probe.rate_per_s == fails.rate_per_s && matches!(probe.held, ProbeOutcome::Fails(_))
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
        let path = self.parent.file(&probe.run).join("run.json");
        RunReport::from_json(&std::fs::read(path).ok()?).ok()
    }

    fn users(
        &self,
        PerUser { users, think }: PerUser,
        nodes: Option<u32>,
        claimed: &ClaimedMachine,
        bracket: &Bracket,
    ) -> Judged {
        let Some((holds, confirmed)) = bracket.holds.zip(self.confirmed(bracket)) else {
            return Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!(
                    "no rate was confirmed on this machine ({})",
                    self.calibration.machine().text()
                ),
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
        let judged = self.throughput(needed, nodes, claimed, bracket);
        let working = std::iter::once(law).chain(judged.working);
        Judged { working: working.collect(), operations_per_s: Some(needed), ..judged }
    }

    /// The rate that the claim names, judged by the p99 that it names. Latency under load is not
    /// proportional to a calibration: on another machine only the order of all figures decides.
    async fn latency(
        &mut self,
        operations_per_s: f64,
        p99: Span,
        claimed: &ClaimedMachine,
        bracket: &Bracket,
    ) -> Result<Judged> {
        let per_visit = bracket.holds.map_or_else(
            || self.operations_per_visit(),
            |holds| holds.operations_per_s / holds.visits_per_s,
        );
        let visits_per_s = operations_per_s / per_visit;
        if self.spec.plan(visits_per_s, self.spec.longest()).is_err() {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("no load can have its {} visits/s", quantity::rate(visits_per_s)),
            ));
        }
        let objective = Objective { p99_ms: p99.ms(), ..self.spec.claims.objective };
        let probe = self.measure(Phase::Claim, visits_per_s, objective).await?;
        let here = self.calibration.machine();
        let measured = format!(
            "on this machine ({}) the response p99 was {} at {} operations/s",
            here.text(),
            probe.response_p99.text(),
            quantity::rate(probe.operations_per_s)
        );
        self.probes.push(probe.clone());
        let verdict = match &probe.held {
            ProbeOutcome::Holds => ClaimVerdict::Supported,
            ProbeOutcome::Fails(reason) if probe.verdict == Verdict::Violated => {
                return Ok(Judged::new(ClaimVerdict::Refuted, reason.clone()));
            }
            ProbeOutcome::Fails(_) => ClaimVerdict::Refuted,
            ProbeOutcome::GeneratorSaturated(reason) | ProbeOutcome::Undecided(reason) => {
                return Ok(Judged::new(
                    ClaimVerdict::NotMeasurableHere,
                    format!("{measured}; {reason}"),
                ));
            }
        };
        if machine::agrees(claimed, &here) {
            return Ok(Judged::new(verdict, measured).on(Scope::ThisMachine));
        }
        let carries = match machine::compared(claimed, &here) {
            Some(AllOfIt::AtLeast) => verdict == ClaimVerdict::Supported,
            Some(AllOfIt::AtMost) => verdict == ClaimVerdict::Refuted,
            None => false,
        };
        Ok(if carries {
            Judged::new(verdict, measured).on(Scope::ClaimedMachine).worked([
                "the claimed machine has at least as much of everything if this is supported, and at most as much if it is refuted: cores, memory, durable commits/s and speed of a core, beyond the measured ranges".to_owned(),
            ])
        } else {
            Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!(
                    "{measured}; latency is not proportional to a calibration, and the claim does not say of a machine that has more, or less, of everything"
                ),
            )
        })
    }

    /// Without a fill: what a booking takes, from the load alone.
    fn size(&self, bytes: f64, bracket: &Bracket) -> Judged {
        let remedy =
            "--fill SIZE loads that much in bulk and measures there, for example --fill 5GB";
        let confirmed = self.confirmed(bracket).and_then(|probe| self.report_of(probe));
        let measured = confirmed.and_then(|report| {
            let grown = report.costs.as_ref()?.database_bytes?;
            let reserved = report
                .latency
                .iter()
                .find(|it| it.operation == "reserve" && it.outcome.as_deref() == Some("ok"))?;
            Some(grown as f64 / reserved.count.max(1) as f64)
        });
        let Some(per_booking) = measured else {
            return Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("the size of the database was not measured; {remedy}"),
            );
        };
        Judged::new(
            ClaimVerdict::NotMeasurableHere,
            format!(
                "the database was as good as empty; {remedy}. A booking of the confirmed load took {} with its audit records, receipt, events and indexes",
                quantity::bytes(per_booking as u64)
            ),
        )
        .worked([format!(
            "{} hold {} bookings, if each goes on taking {}: nothing archived, nothing vacuumed away",
            quantity::bytes(bytes as u64),
            quantity::count((bytes / per_booking) as u64),
            quantity::bytes(per_booking as u64)
        )])
    }

    /// A strategy on one slot that sells out.
    async fn hot(&mut self, strategy: StrategyKind, clients: u32, round: u32) -> Result<Tried> {
        let plan = hot_plan(strategy, clients, round)?;
        let trial = Trial { subject: Subject::Strategy(strategy), ..self.spec.trial(plan) };
        self.trial(trial, &format!("{clients} clients of one hot slot")).await
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
                let plan = spare_plan(kind, clients, round)?;
                let trial = Trial { subject: Subject::Strategy(kind), ..self.spec.trial(plan) };
                let what = format!("{clients} clients of one slot with seats to spare");
                let report = self.trial(trial, &what).await?.report;
                if report.verdict.verdict == Verdict::Violated {
                    return Ok(Judged::new(
                        ClaimVerdict::Refuted,
                        format!("{kind} violated an invariant and is disqualified"),
                    ));
                }
                rates.push(report.totals.confirmed_per_s);
            }
        }
        let Some(ratio) = ratio_of_medians(&theirs, &others) else {
            return Ok(Judged::new(ClaimVerdict::NotMeasurableHere, "nothing was measured"));
        };
        let text = format!(
            "{strategy} confirmed {:.2} ({:.2} to {:.2}) times as many bookings per second as {than} on one slot with seats to spare and {clients} clients",
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
        let waiters = |report: &RunReport| report.costs.as_ref()?.lock_waiters;
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
        let Some(costs) = &report.costs else {
            return Ok(Judged::new(
                ClaimVerdict::NotMeasurableHere,
                "the retries of the service could not be read",
            ));
        };
        let booked = case.history.operations.iter().filter(|operation| {
            matches!(operation.action, ActionRef::Reserve { .. })
                && operation.outcome == Outcome::Ok
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
        let drill = "RTO and RPO are shown by a rehearsed loss of a machine or a region, which this run is not";
        let takes_faults = match &self.on {
            On::Stack(series) => series.environment.takes_faults(),
            On::Topologies(_) | On::Targets(_) => false,
        };
        let (true, Some(strategy)) = (takes_faults, self.spec.claims.strategy) else {
            return Ok(Judged::new(
                ClaimVerdict::NeedsDrill,
                format!("{drill}; nor does this environment take faults, use --environment native"),
            ));
        };
        let plan = crash_plan(strategy)?;
        let crash = Fault { kind: FaultKind::CrashPostgres, at: CRASH_AFTER };
        let trial = Trial { faults: vec![crash], ..self.spec.trial(plan) };
        let Tried { case, report } = self.trial(trial, "a crash of PostgreSQL").await?;
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
                operation.error_class().is_none() && Some(operation.client) != case.prober
            })
            .map(|operation| operation.returned_ns)
            .collect();
        // A service that never comes back is out until the end of the load.
        answered.extend(case.load.as_ref().map(|load| load.measured_until_ns));
        answered.sort_unstable();
        let outage_ns = answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let outage = quantity::duration_ms(outage_ns / 1_000_000);
        Ok(match lost.map(|finding| finding.verdict) {
            Some(Verdict::Violated) => Judged::new(
                ClaimVerdict::Refuted,
                format!("acknowledged bookings were lost in a crash of PostgreSQL: {}", lost.map(|it| it.summary.clone()).unwrap_or_default()),
            ),
            _ if outage_ns > rto.ns() => Judged::new(ClaimVerdict::Refuted, format!("no request was answered for {outage} after a crash of PostgreSQL")),
            None | Some(Verdict::Unknown) => Judged::new(
                ClaimVerdict::NotMeasurableHere,
                format!("{drill}; whether a crash of PostgreSQL lost a booking was not decided"),
            ),
            Some(Verdict::Upheld) => Judged::new(
                ClaimVerdict::NeedsDrill,
                format!(
                    "{drill}. A crash of PostgreSQL alone was over after {outage} without an answer and lost no acknowledged booking"
                ),
            )
            .worked((rpo < BACKUP_EVERY).then(|| {
                "hourly increments, without a copy that is always up to date, lose up to an hour of bookings, which is more than the RPO allows".to_owned()
            })),
        })
    }
}

/// The users of a claim.
#[derive(Debug, Clone, Copy)]
struct PerUser {
    users: u64,
    think: Span,
}

/// A strategy on one slot with seats to spare, whose clients never pause: `compare`'s hot_slot.
///
/// # Errors
/// More clients than a plan has.
pub(super) fn spare_plan(
    strategy: StrategyKind,
    clients: u32,
    round: u32,
) -> Result<Plan, UsageError> {
    Plan::try_from(PlanArgs {
        scenario: Some(ScenarioKind::Steady),
        mix: Some(Mix { buy: 1, ..Mix::default() }),
        think: Some(Span::of_ms(0)),
        strategy: Some(strategy),
        clients: Some(clients),
        slots: Some(1),
        capacity: Some(50_000),
        hold: Some(Span::of_ms(600)),
        warm_up: Some(Span::of_ms(250)),
        duration: Some(Span::of_ms(2_000)),
        seed: Some(u64::from(round)),
        ..PlanArgs::default()
    })
    .map_err(|error| UsageError(error.to_string()))
}

/// A strategy on one slot that sells out.
///
/// # Errors
/// More clients than a plan has.
pub(super) fn hot_plan(
    strategy: StrategyKind,
    clients: u32,
    round: u32,
) -> Result<Plan, UsageError> {
    Plan::try_from(PlanArgs {
        scenario: Some(ScenarioKind::FlashSale),
        strategy: Some(strategy),
        clients: Some(clients),
        capacity: Some((clients / 2).max(1)),
        hold: Some(Span::of_ms(600)),
        warm_up: Some(Span::of_ms(250)),
        duration: Some(Span::of_ms(2_000)),
        seed: Some(u64::from(round)),
        ..PlanArgs::default()
    })
    .map_err(|error| UsageError(error.to_string()))
}

/// The load during which the database is killed.
///
/// # Errors
/// None of its words is anybody's choice.
pub(super) fn crash_plan(strategy: StrategyKind) -> Result<Plan, UsageError> {
    Plan::try_from(PlanArgs {
        scenario: Some(ScenarioKind::FlashSale),
        strategy: Some(strategy),
        clients: Some(50),
        capacity: Some(30),
        duration: Some(Span::of_ms(6_000)),
        timeout: Some(Span::of_ms(5_000)),
        ..PlanArgs::default()
    })
    .map_err(|error| UsageError(error.to_string()))
}
