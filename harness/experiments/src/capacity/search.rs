//! The search: a bracket around the highest rate that keeps the objective, and both of its ends
//! repeated.

use anyhow::Result;
use slotproof_reports::{
    capacity::{Bracket, Phase, Probe, ProbeOutcome, Rates, Tally},
    estimate::median,
    quantity,
};
use slotproof_vocabulary::Span;

use super::Bench;

/// Rates that are tried at most: a search that has not ended by then has lost its way in noise.
const SEARCH_MAX: usize = 24;
/// A rate below this is no load.
const RATE_MIN: f64 = 1.0;
/// How many rates are confirmed at most, each lower than the one before, and how many failing ones
/// are repeated at most, each higher.
const ENDS_MAX: usize = 6;

impl Bench<'_> {
    /// Up until a rate fails, down if the first one does, halves the bracket, and repeats its ends.
    /// A rate that is not decided counts as one that fails while the search goes on, and as neither
    /// in the bracket.
    pub(super) async fn search(&mut self) -> Result<Bracket> {
        let (mut holds, mut above) = (None, None);
        let mut rate = self.spec.start.per_s();
        while above.is_none() && self.goes_on() && rate <= self.spec.rate_max() {
            match self.probe(Phase::Growth, rate).await? {
                ProbeOutcome::Holds => {
                    holds = Some(rate);
                    rate *= 2.0;
                }
                _ => above = Some(rate),
            }
        }
        while let (None, Some(lowest)) = (holds, above) {
            rate = lowest / 4.0;
            if rate < RATE_MIN || !self.goes_on() {
                break;
            }
            match self.probe(Phase::Growth, rate).await? {
                ProbeOutcome::Holds => holds = Some(rate),
                _ => above = Some(rate),
            }
        }
        while let (Some(low), Some(high)) = (holds, above) {
            if high / low <= self.spec.effort.precision || !self.goes_on() {
                break;
            }
            let middle = (low * high).sqrt();
            match self.probe(Phase::Bisection, middle).await? {
                ProbeOutcome::Holds => holds = Some(middle),
                _ => above = Some(middle),
            }
        }
        let holds = self.confirm(holds).await?;
        let fails = self.refute(holds).await?;
        Ok(self.bracket(holds, fails))
    }

    fn goes_on(&self) -> bool {
        self.violation.is_none() && self.probes.len() < SEARCH_MAX
    }

    /// The highest rate that was held and that most of its loads keep holding; after one that they
    /// do not, a lower rate is tried, by steps that grow: on a machine that is busy with other
    /// things the knee may have moved far.
    async fn confirm(&mut self, held: Option<f64>) -> Result<Option<f64>> {
        let Some(mut rate) = held else { return Ok(None) };
        let mut step = self.spec.effort.precision;
        for _ in 0..ENDS_MAX {
            if self.most_hold(rate).await? {
                return Ok(Some(rate));
            }
            rate /= step;
            step *= self.spec.effort.precision;
            if self.violation.is_some() || rate < RATE_MIN {
                break;
            }
        }
        Ok(None)
    }

    /// Loads a rate as often as it takes to confirm it, and once more if its loads are divided.
    async fn most_hold(&mut self, rate: f64) -> Result<bool> {
        for _ in 0..self.spec.effort.confirmations {
            self.probe(Phase::Confirmation, rate).await?;
            if self.violation.is_some() {
                return Ok(false);
            }
        }
        let divided = |tally: Tally| tally.held * 2 == tally.loads;
        if divided(self.tally(rate)) {
            self.probe(Phase::Confirmation, rate).await?;
        }
        Ok(self.violation.is_none() && most_held(self.tally(rate)))
    }

    /// The lowest rate above the one that holds which most of its loads failed, of at least as many
    /// loads as confirmed the other end.
    async fn refute(&mut self, holds: Option<f64>) -> Result<Option<f64>> {
        let mut tried = holds.unwrap_or(0.0);
        for _ in 0..ENDS_MAX {
            let Some(rate) = lowest_failing(&self.probes, tried) else { return Ok(None) };
            while self.violation.is_none()
                && self.tally(rate).loads < self.spec.effort.confirmations
            {
                self.probe(Phase::Refutation, rate).await?;
            }
            if most_failed(self.tally(rate)) {
                return Ok(Some(rate));
            }
            tried = rate;
        }
        Ok(None)
    }

    fn tally(&self, rate: f64) -> Tally {
        Tally::of(self.probes.iter().filter(|probe| probe.rate_per_s == rate))
    }

    fn bracket(&self, holds: Option<f64>, fails: Option<f64>) -> Bracket {
        let of = |rate: f64| self.probes.iter().filter(move |probe| probe.rate_per_s == rate);
        let held = holds.map(|rate| rates(of(rate).filter(|it| it.phase == Phase::Confirmation)));
        let failed = fails.map(|rate| {
            let failed = rates(of(rate));
            // More than it was asked for it cannot make: what is refused is the load that was
            // asked.
            let operations_per_s = held.map_or(failed.operations_per_s, |held| {
                failed.visits_per_s * held.operations_per_s / held.visits_per_s
            });
            Rates { operations_per_s, ..failed }
        });
        let overloaded = self.probes.iter().rfind(|probe| {
            matches!(probe.held, ProbeOutcome::GeneratorSaturated(_))
                && holds.is_none_or(|rate| probe.rate_per_s > rate)
        });
        let ended_by_generator = fails.is_none()
            && (overloaded.is_some()
                || holds.is_some_and(|rate| rate * 2.0 > self.spec.rate_max()));
        let failing = fails
            .and_then(|rate| of(rate).rfind(|probe| matches!(probe.held, ProbeOutcome::Fails(_))));
        let telling = failing.or(overloaded);
        Bracket {
            holds: held,
            at_holds: holds.map(|rate| self.tally(rate)).unwrap_or_default(),
            fails: failed,
            at_fails: fails.map(|rate| self.tally(rate)).unwrap_or_default(),
            ended_by_generator,
            saturated: telling.map(|probe| self.saturated(probe)).unwrap_or_default(),
        }
    }

    /// What was busy, with the figures that show it.
    fn saturated(&self, probe: &Probe) -> Vec<String> {
        let mut busy = Vec::new();
        let sum: f64 = probe.cpus_busy.values().sum();
        let shares: Vec<String> = probe
            .cpus_busy
            .iter()
            .map(|(group, cpus)| format!("{group} {}", quantity::rate(*cpus)))
            .collect();
        let cpu = format!(
            "CPU: {} of {} were busy ({})",
            quantity::rate(sum),
            self.machine_cpus(),
            shares.join(", ")
        );
        if let ProbeOutcome::GeneratorSaturated(reason) = &probe.held {
            busy.push(format!(
                "Load generator: {reason}; it made {} of {} visits/s and kept {} CPUs busy. The service was not shown to be the limit.",
                quantity::rate(probe.made_per_s),
                quantity::rate(probe.asked_per_s),
                quantity::rate(probe.cpus_busy.get("load").copied().unwrap_or(0.0))
            ));
        }
        if cpu_share(probe, self.machine_cpus()) >= BUSY_CPUS {
            busy.push(format!("{cpu}. Client, service and servers share this machine, so a machine of its own for the client would move the knee."));
        }
        if let Some(flushing) = probe.flushing.filter(|share| *share >= BUSY_FLUSHING) {
            busy.push(format!(
                "Durable writes: flushes of the log took about {:.0} % of the time, by the calibration's median.",
                flushing * 100.0
            ));
        }
        if let Some(waiters) = probe.lock_waiters.filter(|waiters| *waiters >= 1.0) {
            busy.push(format!(
                "Locks: {} connections of the database waited for one, on average.",
                quantity::rate(waiters)
            ));
        }
        if busy.is_empty() {
            busy.push(format!("Nothing that is measured was busy when it failed. {cpu}."));
        }
        busy
    }

    fn machine_cpus(&self) -> u32 {
        self.calibration.cpus
    }
}

/// From this share on the CPUs count as busy: the rest is waiting that no program can fill.
pub(super) const BUSY_CPUS: f64 = 0.85;
/// From this share of the time on, flushes of the log count as what limits: they come one after
/// the other, and half of the time is as much as commits in groups leave.
pub(super) const BUSY_FLUSHING: f64 = 0.5;

/// The share of the CPUs that was busy.
pub(super) fn cpu_share(probe: &Probe, cpus: u32) -> f64 {
    probe.cpus_busy.values().sum::<f64>() / f64::from(cpus.max(1))
}

/// The medians of some loads of one rate.
fn rates<'a>(probes: impl Iterator<Item = &'a Probe> + Clone) -> Rates {
    Rates {
        rate_per_s: probes.clone().next().map_or(0.0, |probe| probe.rate_per_s),
        visits_per_s: median(probes.clone().map(|probe| probe.asked_per_s)),
        operations_per_s: median(probes.map(|probe| probe.operations_per_s)),
    }
}

fn lowest_failing(probes: &[Probe], above: f64) -> Option<f64> {
    let failing = probes
        .iter()
        .filter(|probe| probe.rate_per_s > above && matches!(probe.held, ProbeOutcome::Fails(_)));
    failing.map(|probe| probe.rate_per_s).min_by(f64::total_cmp)
}

fn most_held(tally: Tally) -> bool {
    tally.held * 2 > tally.loads
}

fn most_failed(tally: Tally) -> bool {
    tally.failed * 2 > tally.loads
}

/// The window of a phase: what is repeated to be sure lasts twice as long.
pub(super) fn window_of(phase: Phase, usual: Span) -> Span {
    match phase {
        Phase::Growth | Phase::Bisection | Phase::Claim => usual,
        Phase::Confirmation | Phase::Refutation | Phase::Empty | Phase::Filled => {
            Span::of_ms(usual.ms() * 2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::probe::tests::probe, *};

    fn failed(rate_per_s: f64) -> Probe {
        Probe { held: ProbeOutcome::Fails("slow".to_owned()), ..probe(rate_per_s) }
    }

    #[test]
    fn the_upper_end_is_the_lowest_rate_that_most_loads_failed() {
        let probes = [probe(100.0), failed(400.0), failed(200.0), probe(200.0)];
        assert_eq!(lowest_failing(&probes, 100.0), Some(200.0));
        assert_eq!(lowest_failing(&probes, 200.0), Some(400.0));
        assert_eq!(lowest_failing(&probes, 400.0), None);
        let of = |rate| Tally::of(probes.iter().filter(|probe| probe.rate_per_s == rate));
        assert_eq!(of(200.0), Tally { loads: 2, held: 1, failed: 1 });
        assert!(!most_failed(of(200.0)) && most_failed(of(400.0)));
        assert!(!most_held(of(200.0)), "its loads are divided");
        assert!(most_held(of(100.0)));
    }

    #[test]
    fn rates_of_repeated_loads_are_medians() {
        let mut second = probe(100.0);
        second.operations_per_s = 120.0;
        let both = [probe(100.0), second];
        assert_eq!(rates(both.iter()).operations_per_s, 110.0);
    }
}
