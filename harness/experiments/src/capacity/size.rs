//! The size of the database: a fill by bulk load, the confirmed rate beside it, and what that says
//! of larger sizes.

use anyhow::Result;
use slotproof_evidence::{
    ReferenceDatabase,
    reference::{
        bench::SeatRows,
        fill::{FillSpec, Filled},
    },
};
use slotproof_reports::{
    capacity::{Bracket, ClaimVerdict, Objective, Phase, Probe, SizeMeasured, Tally},
    quantity,
};
use slotproof_vocabulary::StrategyKind;

use super::{Bench, claims::Bytes, judge::Judged};
use crate::{on::On, statistics::estimate};

/// Sizes up to so many times what was filled are extrapolated.
const EXTRAPOLATED_UP_TO: f64 = 10.0;

impl Bench<'_> {
    /// Loads the confirmed rate on the empty database, fills it, and loads the same rate again.
    ///
    /// # Errors
    /// What kept a trial from being made, or the database from being filled.
    pub(super) async fn measure_size(&mut self, bracket: &Bracket) -> Result<Option<SizeMeasured>> {
        let (Some(Bytes(bytes)), Some(holds)) = (self.spec.fill, bracket.holds) else {
            return Ok(None);
        };
        let Some(empty) = self.loads_beside(Phase::Empty, holds.rate_per_s).await? else {
            return Ok(None);
        };
        self.clear().await?;
        let Some(url) = self.on.postgres_url() else { return Ok(None) };
        let mut database = ReferenceDatabase::connect(url).await?;
        let empty_bytes = database.bytes().await?;
        let seat_rows = match self.spec.claims.strategy {
            Some(StrategyKind::SeatRows) => SeatRows::Made,
            _ => SeatRows::Left,
        };
        let filled = {
            let progress = self.progress;
            let show = |filled: &Filled| {
                progress.line(&format!(
                    "  fill: {} of {}, {} bookings, {} s",
                    quantity::bytes(filled.bytes),
                    quantity::bytes(bytes as u64),
                    quantity::count(filled.bookings),
                    filled.took.as_secs()
                ));
            };
            database.fill(FillSpec { bytes: bytes as u64, seat_rows }, &show).await?
        };
        database.close().await?;
        let loaded = self.loads_beside(Phase::Filled, holds.rate_per_s).await?;
        self.clear().await?;
        let per_booking = estimate(&filled.bytes_per_booking);
        Ok(loaded.zip(per_booking).map(|(loaded, bytes_per_booking)| SizeMeasured {
            filled_bytes: filled.bytes,
            bookings: filled.bookings,
            bytes_per_booking,
            took_ms: u64::try_from(filled.took.as_millis()).unwrap_or(u64::MAX),
            empty_bytes,
            empty,
            filled: loaded,
        }))
    }

    /// Empties the tables of servers of our own.
    async fn clear(&self) -> Result<()> {
        match &self.on {
            On::Stack(series) => series.clear().await,
            On::Topologies(_) | On::Targets(_) => Ok(()),
        }
    }

    /// As many loads as confirm a rate; nothing after a violation.
    async fn loads_beside(&mut self, phase: Phase, rate: f64) -> Result<Option<Vec<Probe>>> {
        let mut probes = Vec::new();
        for _ in 0..self.spec.effort.confirmations {
            if self.violation.is_some() {
                return Ok(None);
            }
            probes.push(self.measure(phase, rate, self.spec.claims.objective).await?);
        }
        Ok(self.violation.is_none().then_some(probes))
    }
}

/// Judges a claim of a size by a fill.
pub(super) fn judge(
    claimed: f64,
    size: &SizeMeasured,
    objective: Objective,
    memory_bytes: u64,
) -> Judged {
    let (empty, filled) = (Tally::of(&size.empty), Tally::of(&size.filled));
    let bytes = |bytes: f64| quantity::bytes(bytes as u64);
    let reached = size.filled_bytes as f64;
    let measured = format!(
        "with {} in the database {} of {} loads of the confirmed rate kept the objective, and {} of {} with an empty one",
        bytes(reached),
        filled.held,
        filled.loads,
        empty.held,
        empty.loads
    );
    let per_booking = size.bytes_per_booking;
    let holds = format!(
        "{} hold {} to {} bookings at {} to {} each, as the batches of the fill grew the tables and indexes",
        bytes(claimed),
        quantity::count((claimed / per_booking.high) as u64),
        quantity::count((claimed / per_booking.low) as u64),
        bytes(per_booking.low),
        bytes(per_booking.high)
    );
    let judged = |verdict, text: String| Judged::new(verdict, text).worked([holds.clone()]);
    let undecided =
        |reason: String| judged(ClaimVerdict::NotMeasurableHere, format!("{measured}; {reason}"));
    let most_held = |tally: Tally| tally.held * 2 > tally.loads;
    let fails_filled = filled.failed * 2 > filled.loads && most_held(empty);
    if fails_filled && reached <= claimed {
        return judged(
            ClaimVerdict::Refuted,
            format!("{measured}: a database smaller than the claimed one already slows it down"),
        );
    }
    if !most_held(filled) || !most_held(empty) {
        return undecided("the loads did not agree".to_owned());
    }
    if reached >= claimed {
        return judged(ClaimVerdict::Supported, measured);
    }
    if claimed > reached * EXTRAPOLATED_UP_TO {
        return undecided(format!(
            "the claim is {} times as large, and more than {EXTRAPOLATED_UP_TO} times is not extrapolated; use a larger --fill",
            quantity::rate(claimed / reached)
        ));
    }
    if claimed > memory_bytes as f64 && reached <= memory_bytes as f64 {
        return undecided(format!(
            "that fits into the memory of {} and the claimed size does not, so reads from disk were not measured; use a --fill larger than the memory",
            quantity::bytes(memory_bytes)
        ));
    }
    extrapolated(claimed, size, objective, &measured).worked([holds])
}

/// p99 of a larger database.
///
/// Indexes grow by levels, so that latency grows with the logarithm of the size as long as what is
/// read stays in memory. At least, the growth from the empty database to the filled one is spread
/// over all the doublings between them; at most, all of it happened in the last factor of ten.
fn extrapolated(claimed: f64, size: &SizeMeasured, objective: Objective, measured: &str) -> Judged {
    let (Some(empty), Some(filled)) = (interval(&size.empty), interval(&size.filled)) else {
        return Judged::new(
            ClaimVerdict::NotMeasurableHere,
            format!("{measured}; the loads were too short for an interval of p99"),
        );
    };
    let reached = size.filled_bytes as f64;
    let doublings = (reached / (size.empty_bytes.max(1) as f64)).log2().max(1.0);
    let more = claimed / reached;
    let growth = (filled.0 / empty.1, filled.1 / empty.0);
    let low = filled.0 * growth.0.powf(more.log2() / doublings);
    let high = filled.1 * growth.1.max(1.0).powf(more.log10());
    let us = |us: f64| quantity::duration_us(us as u64);
    let limit_us = objective.p99_ms as f64 * 1e3;
    let text = format!(
        "{measured}; extrapolated to {}, the response p99 is {} to {}, and the limit is {}",
        quantity::bytes(claimed as u64),
        us(low),
        us(high),
        us(limit_us)
    );
    let verdict = if high <= limit_us {
        ClaimVerdict::Supported
    } else if low > limit_us {
        ClaimVerdict::Refuted
    } else {
        ClaimVerdict::NotMeasurableHere
    };
    Judged::new(verdict, text).worked([format!(
        "response p99 {} to {} on the empty database and {} to {} on the filled one: {:.2} to {:.2} times as long; for {:.1} times the size, at least the growth by doublings ({:.1} between empty and filled), at most as much again for each factor of ten",
        us(empty.0),
        us(empty.1),
        us(filled.0),
        us(filled.1),
        growth.0,
        growth.1,
        more,
        doublings
    )])
}

/// The lowest and the highest end of the intervals of p99 of some loads, in microseconds.
fn interval(probes: &[Probe]) -> Option<(f64, f64)> {
    let low = probes.iter().map(|probe| probe.response_p99.interval.low).min()?;
    let high =
        probes.iter().map(|probe| probe.response_p99.interval.high).collect::<Option<Vec<_>>>()?;
    Some((low as f64, high.into_iter().max()? as f64))
}

#[cfg(test)]
mod tests {
    use slotproof_reports::{capacity::ProbeOutcome, estimate::Estimate};

    use super::{
        super::probe::tests::{p99_of, probe},
        *,
    };

    const GB: f64 = 1e9;

    fn size(filled_gb: f64, filled_ms: (u64, u64), held: ProbeOutcome) -> SizeMeasured {
        let filled = Probe { response_p99: p99_of(filled_ms.0, filled_ms.1), held, ..probe(100.0) };
        SizeMeasured {
            filled_bytes: (filled_gb * GB) as u64,
            bookings: 2_500_000,
            bytes_per_booking: Estimate { median: 2_000.0, low: 1_900.0, high: 2_100.0 },
            took_ms: 1,
            empty_bytes: 1_000_000,
            empty: vec![probe(100.0); 2],
            filled: vec![filled; 2],
        }
    }

    #[test]
    fn a_size_is_judged_where_it_was_reached_and_a_little_beyond() {
        let objective = Objective { p99_ms: 100, errors_max: 0.01 };
        let memory = 64 * 1_000_000_000;
        let fails = || ProbeOutcome::Fails("slow".to_owned());
        let cases = [
            // (claimed, filled, its p99, its outcome, verdict, said)
            (4.0, 5.0, (50, 60), ProbeOutcome::Holds, ClaimVerdict::Supported, "2 of 2 loads"),
            (9.0, 5.0, (150, 160), fails(), ClaimVerdict::Refuted, "smaller"),
            (4.0, 5.0, (150, 160), fails(), ClaimVerdict::NotMeasurableHere, "did not agree"),
            (30.0, 5.0, (55, 65), ProbeOutcome::Holds, ClaimVerdict::Supported, "extrapolated"),
            (40.0, 5.0, (90, 99), ProbeOutcome::Holds, ClaimVerdict::NotMeasurableHere, "p99 is"),
            (60.0, 5.0, (50, 60), ProbeOutcome::Holds, ClaimVerdict::NotMeasurableHere, "--fill"),
            (70.0, 50.0, (50, 60), ProbeOutcome::Holds, ClaimVerdict::NotMeasurableHere, "memory"),
            (90.0, 70.0, (50, 60), ProbeOutcome::Holds, ClaimVerdict::Supported, "extrapolated"),
        ];
        for (claimed, filled, p99, held, verdict, said) in cases {
            let judged = judge(claimed * GB, &size(filled, p99, held), objective, memory);
            assert_eq!(judged.verdict, verdict, "{claimed} GB of {filled}: {}", judged.because);
            assert!(judged.because.contains(said), "{} does not say {said}", judged.because);
            assert!(judged.working.iter().any(|step| step.contains("bookings")));
        }
    }
}
